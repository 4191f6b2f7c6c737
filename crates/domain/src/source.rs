//! An asset with several sources: devices of one machine, each with its own RMM's view of it.
//!
//! One device leads. It says whose the asset is and speaks first for every field; where it has nothing, the next one
//! speaks, unless a person chose who does. Status, last seen, user and start come together from one source, the most
//! alive one, so that they are of one moment. What is missing at its RMM speaks last.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::{
    asset::AssetType,
    device::{DeviceDetail, DeviceFacts},
    id::DeviceId,
    status::Status,
    time::Time,
};

/// Which device speaks for a field, where a person chose. Serialized into the `field_sources` column.
pub type FieldSources = BTreeMap<Field, DeviceId>;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// A field that any of the sources may speak for. Serialized by name, into the `field_sources` column and for REST.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Field {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Field] = &[$(Field::$variant),+];

            /// The stored and public name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Field::$variant => $name,)+
                }
            }
        }
    };
}

fields! {
    /// Name.
    Name = "name";
    /// Type.
    AssetType = "asset_type";
    /// `windows`, `linux`, `macos` …
    Platform = "platform";
    /// Processor architecture.
    Architecture = "architecture";
    /// Operating system.
    Os = "os";
    /// Manufacturer and model.
    MakeModel = "make_model";
    /// Serial number.
    Serial = "serial";
    /// Processors.
    Cpus = "cpus";
    /// Graphics.
    Graphics = "graphics";
    /// Physical disks.
    Disks = "disks";
    /// Addresses in the local network.
    LanIps = "lan_ips";
    /// Address seen from outside.
    WanIp = "wan_ip";
    /// A technician's text at the RMM.
    Description = "description";
    /// Name of the site at the RMM.
    RmmSite = "rmm_site";
    /// Version of the RMM's agent.
    AgentVersion = "agent_version";
    /// It waits for a restart.
    NeedsReboot = "needs_reboot";
    /// Patches wait.
    PatchesPending = "patches_pending";
    /// The RMM's maintenance mode.
    Maintenance = "maintenance";
    /// Custom fields.
    CustomFields = "custom_fields";
    /// Memory.
    RamBytes = "ram_bytes";
    /// Volumes.
    Volumes = "volumes";
    /// Hardware addresses.
    Macs = "macs";
    /// Time zone.
    TimeZone = "time_zone";
    /// What only one RMM tells.
    More = "more";
}

impl Field {
    /// The field of this name.
    pub fn from_name(name: &str) -> Option<Field> {
        Field::ALL.iter().copied().find(|field| field.name() == name)
    }
}

/// One device of an asset, as far as the rules need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The device.
    pub device_id: DeviceId,
    /// When it came into the register.
    pub created_at: Time,
    /// Its RMM does not list it any more.
    pub is_missing: bool,
    /// Its status by its own look, moved on by the clock.
    pub status: Status,
    /// When silence makes it overdue; none if it never does.
    pub overdue_at: Option<Time>,
    /// When it last reported to its RMM.
    pub last_seen: Option<Time>,
    /// Its facts, completed by its detail.
    pub facts: DeviceFacts,
    /// Its detail.
    pub detail: DeviceDetail,
}

/// What the sources say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// Facts.
    pub facts: DeviceFacts,
    /// Detail. The thresholds are left out: they are of a device.
    pub detail: DeviceDetail,
    /// Who speaks for which field.
    pub speakers: BTreeMap<Field, DeviceId>,
}

/// The source that speaks for status, last seen, user and start: not missing before missing, then the most alive one, of
/// two that are offline the one that becomes overdue last, then the one that reported last.
pub fn voice(sources: &[Source]) -> Option<&Source> {
    sources.iter().min_by_key(|source| {
        let alive = match source.status {
            Status::Online => 0,
            Status::Offline => 1,
            Status::Overdue => 2,
        };
        let overdue_at = source.overdue_at.unwrap_or(Time(i64::MAX));
        (source.is_missing, alive, Reverse(overdue_at), Reverse(source.last_seen), source.device_id)
    })
}

/// Sources in the order in which they speak.
fn in_order(sources: &[Source], leading: DeviceId) -> Vec<&Source> {
    let mut ordered: Vec<&Source> = sources.iter().collect();
    ordered.sort_by_key(|source| {
        (source.is_missing, source.device_id != leading, source.created_at, source.device_id)
    });
    ordered
}

struct Panel<'s> {
    ordered: Vec<&'s Source>,
    chosen: &'s FieldSources,
    speakers: BTreeMap<Field, DeviceId>,
}

impl<'s> Panel<'s> {
    /// The first that has something to say: whom a person chose, then the others in their order.
    fn ask<T>(&mut self, field: Field, say: impl Fn(&'s Source) -> Option<T>) -> Option<T> {
        let chosen = self.chosen.get(&field);
        let first = self.ordered.iter().filter(|source| Some(&source.device_id) == chosen);
        let then = self.ordered.iter().filter(|source| Some(&source.device_id) != chosen);
        let (source, said) = first.chain(then).find_map(|source| Some((source, say(source)?)))?;
        self.speakers.insert(field, source.device_id);
        Some(said)
    }
}

fn some_of<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// What the sources say together.
pub fn compose(sources: &[Source], leading: DeviceId, chosen: &FieldSources) -> Composed {
    let mut panel = Panel { ordered: in_order(sources, leading), chosen, speakers: BTreeMap::new() };
    let facts = facts(&mut panel);
    let detail = DeviceDetail {
        ram_bytes: panel.ask(Field::RamBytes, |s| s.detail.ram_bytes),
        volumes: panel.ask(Field::Volumes, |s| some_of(&s.detail.volumes)).unwrap_or_default(),
        macs: panel.ask(Field::Macs, |s| some_of(&s.detail.macs)).unwrap_or_default(),
        time_zone: panel.ask(Field::TimeZone, |s| s.detail.time_zone.clone()),
        ..DeviceDetail::default()
    };
    Composed { facts, detail, speakers: panel.speakers }
}

fn facts(panel: &mut Panel<'_>) -> DeviceFacts {
    let name = panel.ask(Field::Name, |s| (!s.facts.name.is_empty()).then(|| s.facts.name.clone()));
    let device_type = panel.ask(Field::AssetType, |s| {
        (s.facts.device_type != AssetType::Unknown).then_some(s.facts.device_type)
    });
    DeviceFacts {
        name: name.unwrap_or_default(),
        device_type: device_type.unwrap_or_default(),
        platform: panel.ask(Field::Platform, |s| s.facts.platform.clone()),
        architecture: panel.ask(Field::Architecture, |s| s.facts.architecture.clone()),
        os: panel.ask(Field::Os, |s| s.facts.os.clone()),
        make_model: panel.ask(Field::MakeModel, |s| s.facts.make_model.clone()),
        serial: panel.ask(Field::Serial, |s| s.facts.serial.clone()),
        cpus: panel.ask(Field::Cpus, |s| some_of(&s.facts.cpus)).unwrap_or_default(),
        graphics: panel.ask(Field::Graphics, |s| s.facts.graphics.clone()),
        disks: panel.ask(Field::Disks, |s| some_of(&s.facts.disks)).unwrap_or_default(),
        lan_ips: panel.ask(Field::LanIps, |s| some_of(&s.facts.lan_ips)).unwrap_or_default(),
        wan_ip: panel.ask(Field::WanIp, |s| s.facts.wan_ip.clone()),
        description: panel.ask(Field::Description, |s| s.facts.description.clone()),
        site: panel.ask(Field::RmmSite, |s| s.facts.site.clone()),
        agent_version: panel.ask(Field::AgentVersion, |s| s.facts.agent_version.clone()),
        needs_reboot: panel.ask(Field::NeedsReboot, |s| s.facts.needs_reboot),
        patches_pending: panel.ask(Field::PatchesPending, |s| s.facts.patches_pending),
        maintenance: panel.ask(Field::Maintenance, |s| s.facts.maintenance),
        custom_fields: panel
            .ask(Field::CustomFields, |s| {
                (!s.facts.custom_fields.is_empty()).then(|| s.facts.custom_fields.clone())
            })
            .unwrap_or_default(),
        more: panel
            .ask(Field::More, |s| (!s.facts.more.is_empty()).then(|| s.facts.more.clone()))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::id::TypedId;

    fn id(n: u8) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(n.into()))
    }

    fn source(n: u8, status: Status) -> Source {
        Source {
            device_id: id(n),
            created_at: Time(n.into()),
            is_missing: false,
            status,
            overdue_at: None,
            last_seen: None,
            facts: DeviceFacts { name: format!("pc-{n}"), ..DeviceFacts::default() },
            detail: DeviceDetail::default(),
        }
    }

    #[test]
    fn the_leading_one_speaks_first_and_the_next_fills_its_gaps() {
        let (mut one, mut two) = (source(1, Status::Online), source(2, Status::Online));
        one.facts.os = Some("Windows 10".to_owned());
        one.facts.serial = Some("S1".to_owned());
        two.facts.os = Some("Windows 11".to_owned());
        two.detail.ram_bytes = Some(8);
        let composed = compose(&[one, two], id(2), &FieldSources::new());
        assert_eq!(composed.facts.name, "pc-2");
        assert_eq!(composed.facts.os.as_deref(), Some("Windows 11"));
        assert_eq!(composed.facts.serial.as_deref(), Some("S1"));
        assert_eq!(composed.detail.ram_bytes, Some(8));
        assert_eq!(composed.speakers[&Field::Serial], id(1));
        assert_eq!(composed.speakers[&Field::Os], id(2));
        assert_eq!(composed.speakers.get(&Field::WanIp), None);
    }

    #[test]
    fn whom_a_person_chose_speaks_first_where_it_has_something_to_say() {
        let (mut one, two) = (source(1, Status::Online), source(2, Status::Online));
        one.facts.os = Some("Windows 10".to_owned());
        let chosen = FieldSources::from([(Field::Name, id(2)), (Field::Os, id(2))]);
        let composed = compose(&[one, two], id(1), &chosen);
        assert_eq!(composed.facts.name, "pc-2");
        assert_eq!(composed.facts.os.as_deref(), Some("Windows 10"), "the chosen one has none");
    }

    #[test]
    fn what_is_missing_speaks_last() {
        let (mut one, two) = (source(1, Status::Online), source(2, Status::Offline));
        one.is_missing = true;
        let both = [one, two];
        assert_eq!(compose(&both, id(1), &FieldSources::new()).facts.name, "pc-2");
        assert_eq!(voice(&both).unwrap().device_id, id(2), "it was online when it was last listed");
    }

    #[test]
    fn of_two_that_are_offline_the_one_that_becomes_overdue_last_speaks() {
        let (mut one, mut two) = (source(1, Status::Offline), source(2, Status::Offline));
        (one.overdue_at, two.overdue_at) = (Some(Time(5)), Some(Time(9)));
        assert_eq!(voice(&[one.clone(), two.clone()]).unwrap().device_id, id(2));
        one.overdue_at = None;
        assert_eq!(voice(&[one, two]).unwrap().device_id, id(1));
        assert_eq!(voice(&[]), None);
    }

    #[test]
    fn names_of_fields_are_read_back() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(*field));
            assert_eq!(serde_json::to_value(field).unwrap(), field.name());
        }
    }

    fn any_source() -> impl Strategy<Value = Source> {
        (1u8..6, 0u8..3, any::<bool>(), any::<Option<u8>>(), any::<bool>()).prop_map(
            |(n, status, is_missing, os, ram)| {
                let status = [Status::Online, Status::Offline, Status::Overdue][usize::from(status)];
                let mut source = source(n, status);
                source.is_missing = is_missing;
                source.facts.os = os.map(|os| format!("os {os}"));
                source.detail.ram_bytes = ram.then_some(u64::from(n));
                source
            },
        )
    }

    proptest! {
        #[test]
        fn a_single_source_says_all_of_itself(source in any_source()) {
            let composed = compose(std::slice::from_ref(&source), source.device_id, &FieldSources::new());
            prop_assert_eq!(composed.facts, source.facts.clone());
            prop_assert_eq!(composed.detail, source.detail.clone());
            prop_assert_eq!(voice(std::slice::from_ref(&source)), Some(&source));
        }

        #[test]
        fn the_voice_is_never_less_alive_than_a_source_that_is_listed(
            sources in prop::collection::vec(any_source(), 1..5)
        ) {
            let voice = voice(&sources).unwrap();
            for source in sources.iter().filter(|source| !source.is_missing) {
                prop_assert!(!voice.is_missing && voice.status <= source.status);
            }
        }

        #[test]
        fn no_value_is_lost_that_one_source_has(sources in prop::collection::vec(any_source(), 1..5)) {
            let composed = compose(&sources, id(1), &FieldSources::new());
            prop_assert_eq!(composed.facts.os.is_some(), sources.iter().any(|s| s.facts.os.is_some()));
            let has_ram = sources.iter().any(|s| s.detail.ram_bytes.is_some());
            prop_assert_eq!(composed.detail.ram_bytes.is_some(), has_ram);
        }
    }
}
