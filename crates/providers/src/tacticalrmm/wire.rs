//! The bodies as Tactical sends them, read tolerantly.
//!
//! Servers of different age leave keys out, send `null` anywhere and numbers as text. None of that is an error here,
//! except in names and ids.
//! An object or a list where a plain value belongs *is* one: then nothing of that row is used, and what is known of
//! the device stays as it was. Text is borrowed from the body wherever it has no escapes.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

pub(crate) use crate::json::{Flag, Number, Text, Texts, Word, object};

/// One row of `GET /agents/`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AgentRow<'a> {
    #[serde(borrow)]
    pub(crate) agent_id: Word<'a>,
    #[serde(borrow)]
    pub(crate) hostname: Word<'a>,
    #[serde(borrow)]
    pub(crate) client_name: Text<'a>,
    #[serde(borrow)]
    pub(crate) site_name: Text<'a>,
    #[serde(borrow)]
    pub(crate) monitoring_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) plat: Text<'a>,
    #[serde(borrow)]
    pub(crate) goarch: Text<'a>,
    #[serde(borrow)]
    pub(crate) version: Text<'a>,
    #[serde(borrow)]
    pub(crate) operating_system: Text<'a>,
    #[serde(borrow)]
    pub(crate) status: Text<'a>,
    #[serde(borrow)]
    pub(crate) last_seen: Text<'a>,
    pub(crate) boot_time: Number,
    pub(crate) needs_reboot: Flag,
    pub(crate) maintenance_mode: Flag,
    pub(crate) has_patches_pending: Flag,
    #[serde(borrow)]
    pub(crate) description: Text<'a>,
    #[serde(borrow)]
    pub(crate) logged_username: Text<'a>,
    /// The user is the last one, not a present one.
    pub(crate) italic: Flag,
    #[serde(borrow)]
    pub(crate) public_ip: Text<'a>,
    /// One text joined with `, `.
    #[serde(borrow)]
    pub(crate) local_ips: Text<'a>,
    #[serde(borrow)]
    pub(crate) cpu_model: Texts<'a>,
    #[serde(borrow)]
    pub(crate) physical_disks: Texts<'a>,
    #[serde(borrow)]
    pub(crate) graphics: Text<'a>,
    #[serde(borrow)]
    pub(crate) make_model: Text<'a>,
    #[serde(borrow)]
    pub(crate) serial_number: Text<'a>,
    pub(crate) custom_fields: Option<Vec<CustomFieldValue>>,
}

/// The value of one custom field; `field` is a number whose name `/core/customfields/` knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CustomFieldValue {
    pub(crate) field: Number,
    pub(crate) value: serde_json::Value,
}

/// One row of `GET /agents/?detail=false`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AgentPlace<'a> {
    #[serde(borrow)]
    pub(crate) agent_id: Word<'a>,
    #[serde(borrow)]
    pub(crate) client: Word<'a>,
    #[serde(borrow)]
    pub(crate) site: Text<'a>,
}

/// What `GET /agents/<agent_id>/` and a row of `/beta/v1/agent/` have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AgentDetail<'a> {
    #[serde(borrow)]
    pub(crate) agent_id: Word<'a>,
    pub(crate) offline_time: Number,
    pub(crate) overdue_time: Number,
    /// Gigabytes.
    pub(crate) total_ram: Number,
    #[serde(borrow)]
    pub(crate) disks: Option<Vec<Disk<'a>>>,
    /// The machine's own zone. The stable answer's `timezone` is the server's default instead.
    #[serde(borrow)]
    pub(crate) time_zone: Text<'a>,
    /// Read apart: its shape depends on platform and age, and nothing in it may spoil the rest.
    #[serde(borrow)]
    pub(crate) wmi_detail: Option<&'a RawValue>,
}

/// A volume; sizes are text such as `237.9G`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Disk<'a> {
    #[serde(borrow)]
    pub(crate) device: Text<'a>,
    #[serde(borrow)]
    pub(crate) fstype: Text<'a>,
    #[serde(borrow)]
    pub(crate) total: Text<'a>,
    #[serde(borrow)]
    pub(crate) free: Text<'a>,
    pub(crate) percent: Number,
}

/// The parts of `wmi_detail` that hold hardware addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WmiNetwork {
    pub(crate) network_config: MacTexts,
    pub(crate) network_adapter: MacTexts,
}

/// Every value of a key `MACAddress`, however deep it stands: new agents send a list of lists of objects, old ones
/// one object per property.
#[derive(Debug, Default)]
pub(crate) struct MacTexts(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for MacTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MacVisitor)
    }
}

struct MacVisitor;

impl<'de> Visitor<'de> for MacVisitor {
    type Value = MacTexts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MacTexts, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key.eq_ignore_ascii_case("MACAddress") {
                let value: serde_json::Value = map.next_value()?;
                found.extend(value.as_str().map(str::to_owned));
            } else {
                found.extend(map.next_value::<MacTexts>()?.0);
            }
        }
        Ok(MacTexts(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MacTexts, A::Error> {
        let mut found = Vec::new();
        while let Some(inner) = seq.next_element::<MacTexts>()? {
            found.extend(inner.0);
        }
        Ok(MacTexts(found))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<MacTexts, E> {
        Ok(MacTexts::default())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<MacTexts, E> {
        Ok(MacTexts::default())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<MacTexts, E> {
        Ok(MacTexts::default())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<MacTexts, E> {
        Ok(MacTexts::default())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<MacTexts, E> {
        Ok(MacTexts::default())
    }

    fn visit_unit<E: de::Error>(self) -> Result<MacTexts, E> {
        Ok(MacTexts::default())
    }
}

/// One page of `/beta/v1/agent/`. `next` is left out on purpose: it is the address as the server sees itself.
#[derive(Debug, Deserialize)]
pub(crate) struct BetaPage {
    pub(crate) count: u64,
    pub(crate) results: Vec<Box<RawValue>>,
}

/// One row of `GET /clients/`.
#[derive(Debug, Deserialize)]
pub(crate) struct ClientRow<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) name: Word<'a>,
    #[serde(default)]
    pub(crate) agent_count: Number,
    #[serde(borrow, default)]
    pub(crate) sites: Option<Vec<SiteRow<'a>>>,
}

/// A site inside a row of `GET /clients/`.
#[derive(Debug, Deserialize)]
pub(crate) struct SiteRow<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) name: Word<'a>,
    #[serde(default)]
    pub(crate) agent_count: Number,
}

/// One row of `GET /core/customfields/`.
#[derive(Debug, Deserialize)]
pub(crate) struct CustomFieldRow<'a> {
    pub(crate) id: u64,
    /// `agent`, `client` or `site`.
    #[serde(borrow)]
    pub(crate) model: Word<'a>,
    #[serde(borrow)]
    pub(crate) name: Word<'a>,
}

/// `GET /`.
#[derive(Debug, Deserialize)]
pub(crate) struct Home<'a> {
    #[serde(borrow)]
    pub(crate) status: Text<'a>,
}

/// `PATCH /alerts/` with `top`.
#[derive(Debug, Deserialize)]
pub(crate) struct TopAlerts {
    pub(crate) alerts_count: u64,
    /// Read for its shape alone.
    #[serde(rename = "alerts")]
    _alerts: Vec<de::IgnoredAny>,
}

/// An answer of `POST /v2/checkcreds/` or `/v2/login/`.
#[derive(Deserialize)]
pub(crate) struct Login<'a> {
    /// The account wants a code.
    #[serde(default)]
    pub(crate) totp: Flag,
    #[serde(borrow, default)]
    pub(crate) token: Word<'a>,
    #[serde(borrow, default)]
    pub(crate) expiry: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) username: Text<'a>,
}

/// The framework's own refusals.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Detail<'a> {
    #[serde(borrow)]
    pub(crate) detail: Text<'a>,
}
