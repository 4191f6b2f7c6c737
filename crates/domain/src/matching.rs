//! Is this the same machine? Two devices, of two RMMs or of one after its agent was installed anew, are compared by serial
//! number, hardware addresses and name. The result is a score and the evidence in words; a person decides.
//!
//! What many machines carry says nothing: serial numbers that makers left blank, those of more than
//! [`MOST_OF_ONE_SERIAL`] machines, addresses of docks and of virtual adapters.

use std::collections::BTreeSet;

use crate::{
    id::{AssetId, ClientId, DeviceId, IntegrationId},
    status::Status,
    time::Time,
};

/// A serial number that more machines of one integration carry says nothing.
pub const MOST_OF_ONE_SERIAL: usize = 4;

/// Devices that share a value are looked at up to this number: what more carry says nothing.
pub const MOST_SHARING: usize = 8;

/// From this score on a person is asked.
pub const ASK_FROM: u8 = 50;

/// A device, by what a machine is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The device.
    pub device_id: DeviceId,
    /// Its asset.
    pub asset_id: AssetId,
    /// Its integration.
    pub integration_id: IntegrationId,
    /// Its client.
    pub client_id: ClientId,
    /// When it came into the register.
    pub created_at: Time,
    /// Its status by its own look.
    pub status: Status,
    /// Its RMM does not list it any more.
    pub is_missing: bool,
    /// [`crate::asset::serial_key`]; none if it has none that counts.
    pub serial_key: Option<String>,
    /// [`crate::client::name_key`] of its host name.
    pub name_key: String,
    /// Hardware addresses that count, see [`telling_mac`].
    pub macs: BTreeSet<String>,
}

impl Candidate {
    /// What tells it from others of its integration: two devices of the same are one machine.
    fn machine(&self) -> &str {
        self.serial_key.as_deref().unwrap_or(&self.name_key)
    }

    fn is_silent(&self) -> bool {
        self.is_missing || self.status != Status::Online
    }
}

/// What speaks for two devices being one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// 0 to 100.
    pub score: u8,
    /// Why, one by one, in words.
    pub reasons: Vec<String>,
    /// Serial number and a hardware address are the same, at one client, in two integrations: as sure as it gets.
    pub is_exact: bool,
}

/// What is known of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be one machine.
    Same(Evidence),
    /// It would be, but both report: later one of them may have gone silent.
    NotYet,
    /// Nothing speaks for it.
    Other,
}

/// First halves of addresses that virtual adapters have: the same one may be on many machines.
const VIRTUAL: &[&str] = &[
    "00:00:00", "00:05:69", "00:05:9a", "00:09:0f", "00:0c:29", "00:15:5d", "00:16:3e", "00:1c:14",
    "00:1c:42", "00:50:56", "00:ff:", "08:00:27", "20:41:53", "50:50:54",
];

/// The address in the form in which it is compared, if it can tell a machine: given by a maker, to one adapter, not
/// virtual.
pub fn telling_mac(mac: &str) -> Option<String> {
    let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase();
    if digits.len() != 12 {
        return None;
    }
    let pairs: Vec<&str> = (0..6).filter_map(|n| digits.get(n * 2..n * 2 + 2)).collect();
    let key = pairs.join(":");
    let first = u8::from_str_radix(pairs.first()?, 16).ok()?;
    // The lowest bits of the first byte: a group of adapters; not given by a maker.
    let is_telling = first & 0b11 == 0 && !VIRTUAL.iter().any(|prefix| key.starts_with(prefix));
    is_telling.then_some(key)
}

/// The telling addresses of a device, each once.
pub fn telling_macs(macs: &[String]) -> BTreeSet<String> {
    macs.iter().filter_map(|mac| telling_mac(mac)).collect()
}

/// Compares two devices. `sharing` are all devices known that have a serial number or an address of either, both
/// themselves among them.
pub fn weigh(one: &Candidate, other: &Candidate, sharing: &[Candidate]) -> Verdict {
    if one.asset_id == other.asset_id || one.device_id == other.device_id {
        return Verdict::Other;
    }
    let of_one_integration = one.integration_id == other.integration_id;
    let Some(evidence) = compare(one, other, sharing) else { return Verdict::Other };
    if !of_one_integration {
        return Verdict::Same(evidence);
    }
    let older =
        if (one.created_at, one.device_id) < (other.created_at, other.device_id) { one } else { other };
    if !older.is_silent() {
        return Verdict::NotYet;
    }
    let mut reasons = evidence.reasons;
    let how = if older.is_missing { "is not listed any more" } else { "is silent" };
    reasons.push(format!("same integration, and the older one {how}"));
    Verdict::Same(Evidence { reasons, is_exact: false, ..evidence })
}

fn compare(one: &Candidate, other: &Candidate, sharing: &[Candidate]) -> Option<Evidence> {
    let serial = match (&one.serial_key, &other.serial_key) {
        (Some(a), Some(b)) if a == b => serial_counts(a, sharing).then_some(true),
        (Some(_), Some(_)) => Some(false),
        _ => None,
    };
    let shared: Vec<&String> = one.macs.intersection(&other.macs).collect();
    let counting = shared.iter().filter(|mac| mac_counts(mac, one, other, sharing)).count();
    let macs_differ = shared.is_empty() && !one.macs.is_empty() && !other.macs.is_empty();
    let same_client = one.client_id == other.client_id;
    let same_name = !one.name_key.is_empty() && one.name_key == other.name_key;
    // A name is one of a client's; elsewhere it says nothing by itself.
    let is_weak = serial != Some(true) && counting == 0;
    let name = same_name && (same_client || !is_weak);
    let mut score: i32 = match (serial == Some(true), counting > 0, name) {
        (true, true, true) => 100,
        (true, true, false) => 95,
        (true, false, true) => 90,
        (false, true, true) => 85,
        (true, false, false) => 75,
        (false, true, false) => 60,
        (false, false, true) => 55,
        (false, false, false) => return None,
    };
    let mut reasons = Vec::new();
    if serial == Some(true) {
        reasons.push("same serial number".to_owned());
    }
    if counting > 0 {
        reasons.push(match counting {
            1 => "same hardware address".to_owned(),
            n => format!("{n} hardware addresses are the same"),
        });
    }
    if name {
        reasons.push("same name".to_owned());
    }
    for (against, weight, words) in [
        (serial == Some(false), 40, "but another serial number"),
        (macs_differ, 15, "but other hardware addresses"),
        (!same_client, 10, "but of another client"),
    ] {
        if against {
            score -= weight;
            reasons.push(words.to_owned());
        }
    }
    let is_exact = serial == Some(true) && counting > 0 && same_client;
    let score = u8::try_from(score.clamp(0, 100)).unwrap_or(0);
    (score >= ASK_FROM).then_some(Evidence { score, reasons, is_exact })
}

/// Does this serial number tell a machine? Not if more than a few devices of one integration carry it.
fn serial_counts(serial: &str, sharing: &[Candidate]) -> bool {
    let carriers: Vec<&Candidate> =
        sharing.iter().filter(|device| device.serial_key.as_deref() == Some(serial)).collect();
    let in_one = |integration| carriers.iter().filter(|device| device.integration_id == integration).count();
    carriers.len() <= MOST_SHARING
        && carriers.iter().all(|device| in_one(device.integration_id) <= MOST_OF_ONE_SERIAL)
}

/// Does this address tell a machine? Not if it was seen on several machines of one integration: it is a dock's.
fn mac_counts(mac: &str, one: &Candidate, other: &Candidate, sharing: &[Candidate]) -> bool {
    let carriers: Vec<&Candidate> =
        sharing.iter().chain([one, other]).filter(|device| device.macs.contains(mac)).collect();
    carriers.len() <= MOST_SHARING + 2
        && carriers.iter().all(|a| {
            carriers.iter().all(|b| a.integration_id != b.integration_id || a.machine() == b.machine())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::id::TypedId;

    /// `7 rmm1 client1 sn1 pc1 aa,bb online`: the words of a device.
    fn device(words: &str) -> Candidate {
        let mut parts = words.split_whitespace();
        let mut next = || parts.next().unwrap();
        let number =
            |word: &str| Uuid::from_u128(word.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte)));
        let text = |word: &str| (word != "-").then(|| word.to_owned());
        let n: u8 = next().parse().unwrap();
        let uuid = Uuid::from_u128(n.into());
        Candidate {
            device_id: DeviceId::from_uuid(uuid),
            asset_id: AssetId::from_uuid(uuid),
            created_at: Time(n.into()),
            integration_id: IntegrationId::from_uuid(number(next())),
            client_id: ClientId::from_uuid(number(next())),
            serial_key: text(next()),
            name_key: text(next()).unwrap_or_default(),
            macs: text(next())
                .into_iter()
                .flat_map(|macs| macs.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect(),
            status: match next() {
                "online" => Status::Online,
                _ => Status::Offline,
            },
            is_missing: false,
        }
    }

    #[track_caller]
    fn check(one: &str, other: &str, others: &[&str], expected: &str) {
        let (one, other) = (device(one), device(other));
        let mut sharing = vec![one.clone(), other.clone()];
        sharing.extend(others.iter().map(|words| device(words)));
        let told = |verdict| match verdict {
            Verdict::Same(evidence) => {
                let exact = if evidence.is_exact { "exact " } else { "" };
                format!("{exact}{}: {}", evidence.score, evidence.reasons.join(", "))
            }
            Verdict::NotYet => "not yet".to_owned(),
            Verdict::Other => "other".to_owned(),
        };
        assert_eq!(told(weigh(&one, &other, &sharing)), expected);
        assert_eq!(told(weigh(&other, &one, &sharing)), expected, "the other way round");
    }

    #[test]
    fn what_is_the_same_in_two_rmms_adds_up() {
        let one = "1 a c sn1 pc1 m1 online";
        check(
            one,
            "2 b c sn1 pc1 m1 online",
            &[],
            "exact 100: same serial number, same hardware address, same name",
        );
        check(one, "2 b c sn1 pc9 m1 online", &[], "exact 95: same serial number, same hardware address");
        check(one, "2 b c sn1 pc1 - online", &[], "90: same serial number, same name");
        check(one, "2 b c - pc1 m1 online", &[], "85: same hardware address, same name");
        check(one, "2 b c sn1 pc9 - online", &[], "75: same serial number");
        check(one, "2 b c - pc9 m1 online", &[], "60: same hardware address");
        check(one, "2 b c - pc1 - online", &[], "55: same name");
        check(one, "2 b c - pc9 - online", &[], "other");
        check("1 a c - - - online", "2 b c - - - online", &[], "other");
    }

    #[test]
    fn what_contradicts_takes_away() {
        let one = "1 a c sn1 pc1 m1 online";
        check(one, "2 b c sn2 pc1 m1 online", &[], "other");
        check(
            one,
            "2 b c sn1 pc1 m2 online",
            &[],
            "75: same serial number, same name, but other hardware addresses",
        );
        check(one, "2 b c sn1 pc9 m2 online", &[], "60: same serial number, but other hardware addresses");
        check(one, "2 b c - pc1 m2 online", &[], "other");
        check(
            one,
            "2 b d sn1 pc1 m1 online",
            &[],
            "90: same serial number, same hardware address, same name, but of another client",
        );
        check(one, "2 b d - pc1 - online", &[], "other");
    }

    #[test]
    fn what_many_machines_carry_says_nothing() {
        let serials = [
            "3 b c sn1 x3 - online",
            "4 b c sn1 x4 - online",
            "5 b c sn1 x5 - online",
            "6 b c sn1 x6 - online",
        ];
        let (one, other) = ("1 a c sn1 pc1 m1 online", "2 b c sn1 pc2 m2 online");
        check(one, other, &serials[..3], "60: same serial number, but other hardware addresses");
        check(one, other, &serials, "other");
        // Two laptops at one dock, and the second RMM's view of the first.
        let dock = ["3 a c sn3 laptop3 dock online"];
        check("1 a c - laptop1 dock online", "2 b c - other dock online", &dock, "other");
        check(
            "1 a c sn1 laptop1 dock,m1 online",
            "2 b c sn1 other dock,m1 online",
            &dock,
            "exact 95: same serial number, same hardware address",
        );
    }

    #[test]
    fn within_one_integration_the_older_one_has_to_be_silent() {
        check("1 a c sn1 pc1 m1 online", "2 a c sn1 pc1 m1 online", &[], "not yet");
        check(
            "1 a c sn1 pc1 m1 offline",
            "2 a c sn1 pc1 m1 online",
            &[],
            "100: same serial number, same hardware address, same name, same integration, and the older one is silent",
        );
        check(
            "1 a c - pc1 - offline",
            "2 a c - pc1 - online",
            &[],
            "55: same name, same integration, and the older one is silent",
        );
        check("1 a c sn1 pc1 - offline", "2 a c sn2 pc1 - online", &[], "other");
        check("1 a c - laptop1 dock offline", "2 a c - laptop2 dock online", &[], "other");
    }

    #[test]
    fn addresses_of_no_single_machine_do_not_tell() {
        for mac in [
            "",
            "xx",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "02:00:4c:4f:4f:50",
            "52-54-00-12-34-56",
            "00:50:56:c0:00:08",
            "00-15-5D-01-02-03",
            "0a:00:27:00:00:00",
            "01:00:5e:00:00:01",
            "3c:52:82:aa:bb",
        ] {
            assert_eq!(telling_mac(mac), None, "{mac}");
        }
        assert_eq!(telling_mac("3C-52-82-AA-BB-CC").as_deref(), Some("3c:52:82:aa:bb:cc"));
        assert_eq!(telling_mac("3c5282aabbcc").as_deref(), Some("3c:52:82:aa:bb:cc"));
    }

    fn any_device() -> impl Strategy<Value = Candidate> {
        (1u8..9, 0usize..2, 0usize..2, 0usize..3, 0usize..3, 0usize..3, any::<bool>(), any::<bool>())
            .prop_map(|(n, rmm, client, serial, name, mac, online, missing)| {
                let pick = |list: &[&'static str], at: usize| list[at];
                let words = format!(
                    "{n} {} {} {} {} {} {}",
                    pick(&["a", "b"], rmm),
                    pick(&["c", "d"], client),
                    pick(&["-", "s1", "s2"], serial),
                    pick(&["-", "n1", "n2"], name),
                    pick(&["-", "m1", "m1,m2"], mac),
                    if online { "online" } else { "offline" },
                );
                Candidate { is_missing: missing, ..device(&words) }
            })
    }

    proptest! {
        #[test]
        fn two_of_one_integration_that_report_are_never_proposed(one in any_device(), other in any_device()) {
            let verdict = weigh(&one, &other, &[one.clone(), other.clone()]);
            let both_report = !one.is_silent() && !other.is_silent();
            if one.integration_id == other.integration_id && both_report {
                prop_assert!(!matches!(verdict, Verdict::Same(_)));
            }
        }

        #[test]
        fn the_order_of_two_does_not_matter(one in any_device(), other in any_device(), more in prop::collection::vec(any_device(), 0..5)) {
            prop_assume!(one.device_id != other.device_id);
            let mut sharing = vec![one.clone(), other.clone()];
            sharing.extend(more);
            prop_assert_eq!(weigh(&one, &other, &sharing), weigh(&other, &one, &sharing));
        }

        #[test]
        fn more_that_share_a_value_never_raise_the_score(one in any_device(), other in any_device(), third in any_device()) {
            let score = |verdict| match verdict { Verdict::Same(evidence) => evidence.score, _ => 0 };
            let alone = score(weigh(&one, &other, &[one.clone(), other.clone()]));
            let with_third = score(weigh(&one, &other, &[one.clone(), other.clone(), third]));
            prop_assert!(with_third <= alone);
        }

        #[test]
        fn a_score_is_one_to_ask_for(one in any_device(), other in any_device()) {
            if let Verdict::Same(evidence) = weigh(&one, &other, &[]) {
                prop_assert!((ASK_FROM..=100).contains(&evidence.score) && !evidence.reasons.is_empty());
            }
        }
    }
}
