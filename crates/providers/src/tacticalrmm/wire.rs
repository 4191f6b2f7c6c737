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

/// Reads an object. serde would take a list for one as well, field by field: that is refused.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    let first = json.bytes().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{') | None => serde_json::from_str(json),
        Some(_) => Err(de::Error::custom("not an object")),
    }
}

/// A text, or a number or boolean in its written form; none for `null` and for a missing key.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(if value { "true" } else { "false" }))))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }
}

/// A text or `null`, never a number: for what names a thing. An answer in which ids have turned into something else is
/// no answer about these things.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Word<'a>(Option<Cow<'a, str>>);

impl Word<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

struct WordVisitor;

impl<'de> Visitor<'de> for WordVisitor {
    type Value = Word<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or null")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Word<'de>, E> {
        Ok(Word(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<'de>, E> {
        Ok(Word(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Word<'de>, E> {
        Ok(Word(None))
    }
}

/// A number, or a text that holds one; none for `null`, a missing key and any other text.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) Option<f64>);

impl Number {
    /// As a whole number, if it is one that can be.
    pub(crate) fn as_u64(self) -> Option<u64> {
        let value = self.0?;
        // Above 2^53 a float no longer tells neighbours apart; nothing here is that large.
        (0.0..9_007_199_254_740_992.0).contains(&value).then(|| value.round() as u64)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(Some(value).filter(|value| value.is_finite())))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
        Ok(Number(text.trim().parse().ok().filter(|value: &f64| value.is_finite())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Number, E> {
        Ok(Number(None))
    }
}

/// Yes or no in any of the usual spellings; none for anything else.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Ok(Flag(match text.as_str() {
            Some("true" | "True" | "1") => Some(true),
            Some("false" | "False" | "0") => Some(false),
            _ => None,
        }))
    }
}

/// A list of texts; one text counts as a list of one, `null` as an empty list.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Texts<'a>(pub(crate) Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Texts<'de>, E> {
        Ok(Texts(vec![Text(Some(Cow::Borrowed(text)))]))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts<'de>, E> {
        Ok(Texts(vec![Text(Some(Cow::Owned(text.to_owned())))]))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Texts<'de>, E> {
        Ok(Texts(Vec::new()))
    }
}

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
