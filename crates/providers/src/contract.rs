//! What holds for every provider, tried with each one against its simulator.
//!
//! A failure is a class and a sentence; nothing of a list is taken for the whole of it; no secret is in an error or a
//! report; and when the trouble is over, everything is as before.

use std::{collections::BTreeSet, time::Duration};

use domain::asset::AssetType;
use futures::StreamExt;
use provider::{Connection, DeviceRef, Dictionary, ErrorKind, Inventory, Provider, ProviderError};
use simulator::faults::{Fault, FaultKind};

/// A provider, connected to its simulator.
pub(crate) struct Subject {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) connection: Connection,
    /// What must be seen nowhere.
    pub(crate) secrets: Vec<String>,
    pub(crate) trouble: Trouble,
    pub(crate) server: Box<dyn Troubled>,
}

/// Where trouble is made, and what its refusals look like.
pub(crate) struct Trouble {
    /// Routes, as the simulator names them: the one that proves the host, the list of organizations, lists of devices.
    pub(crate) host: &'static str,
    pub(crate) organizations: &'static str,
    pub(crate) devices: &'static str,
    /// JSON of a refused credential and of a missing right.
    pub(crate) unauthorized: &'static str,
    pub(crate) forbidden: &'static str,
    /// A page of devices that says there is another one, where lists have pages.
    pub(crate) repeated_page: Option<&'static str>,
}

/// A simulator that misbehaves on demand.
pub(crate) trait Troubled: Send + Sync {
    fn fault(&self, fault: Fault);
    fn calm(&self);
}

impl Subject {
    fn id(&self) -> &'static str {
        self.provider.descriptor().id
    }

    /// Trouble on a route, after so many good answers.
    fn trouble_on(&self, route: &str, kind: FaultKind, after: u32) {
        self.server.fault(Fault::new(route, kind).after(after));
    }
}

/// What came of asking for all organizations and all their devices, as a sync does.
#[derive(Debug, Default)]
struct Listing {
    devices: BTreeSet<String>,
    /// Rows that could not be read.
    rejected: usize,
    /// Every list came to its end, and its count says that it was whole.
    is_whole: bool,
    error: Option<(ErrorKind, String)>,
}

/// No secret, and something to do, whatever it is about.
#[track_caller]
fn told(subject: &Subject, error: ProviderError) -> (ErrorKind, String) {
    let everything = format!("{error:?} {error}");
    for secret in &subject.secrets {
        assert!(!everything.contains(secret), "a secret in an error of {}", subject.id());
    }
    assert!(!error.problem.message.is_empty() && !error.problem.fix.is_empty(), "{everything}");
    (error.kind, error.problem.code)
}

async fn list(subject: &Subject) -> Listing {
    let mut listing = Listing::default();
    match list_into(subject, &mut listing).await {
        Ok(is_whole) => listing.is_whole = is_whole,
        Err(error) => listing.error = Some(told(subject, error)),
    }
    listing
}

async fn list_into(subject: &Subject, listing: &mut Listing) -> provider::Result<bool> {
    let (inventory, connection) = (subject.provider.inventory(), &subject.connection);
    let organizations = inventory.organizations(connection).await?;
    let dictionary = inventory.dictionary(connection).await?;
    if let Some(mut pages) = inventory.account_devices(connection, &dictionary) {
        let mut is_whole = false;
        while let Some(page) = pages.next().await {
            let page = page?;
            assert!(!is_whole, "nothing comes after the end");
            listing.rejected += page.rejected.len();
            for device in page.devices {
                assert!(listing.devices.insert(device.record.external_id), "a device comes once");
            }
            is_whole = page.end.is_some_and(|end| end.is_complete);
        }
        return Ok(is_whole);
    }
    let mut is_whole = !organizations.is_empty();
    for organization in &organizations {
        let before = listing.devices.len() + listing.rejected;
        let last = list_one(subject, inventory, (&organization.external_id, &dictionary), listing).await?;
        let found = (listing.devices.len() + listing.rejected - before) as u64;
        is_whole &= last && organization.device_count == Some(found);
    }
    Ok(is_whole)
}

/// Did the list of one organization come to its end?
async fn list_one(
    subject: &Subject,
    inventory: &dyn Inventory,
    (organization, dictionary): (&str, &Dictionary),
    listing: &mut Listing,
) -> provider::Result<bool> {
    let mut pages = inventory.devices(&subject.connection, organization, dictionary, 7);
    let mut last = false;
    while let Some(page) = pages.next().await {
        let page = page?;
        assert!(!last, "nothing comes after the last page");
        last = page.last;
        listing.rejected += page.rejected.len();
        listing.devices.extend(page.records.into_iter().map(|record| record.external_id));
    }
    Ok(last)
}

fn canned(status: u16, content_type: &str, body: &str) -> FaultKind {
    FaultKind::Canned { status, content_type: content_type.to_owned(), body: body.to_owned() }
}

/// Troubles on a list, and the classes that they may have.
fn troubles(trouble: &Trouble) -> Vec<(FaultKind, &'static [ErrorKind])> {
    use ErrorKind::*;
    const NOT_READABLE: &[ErrorKind] = &[Malformed, NotAnApi];
    vec![
        (canned(401, "application/json", trouble.unauthorized), &[Unauthorized]),
        (canned(403, "application/json", trouble.forbidden), &[Forbidden]),
        (FaultKind::Throttled { retry_after_s: 40 }, &[RateLimited]),
        (FaultKind::Status { status: 500 }, &[Unavailable]),
        (FaultKind::Status { status: 502 }, &[Unavailable]),
        (canned(200, "text/html", "<!doctype html><title>x</title>"), &[NotAnApi]),
        (FaultKind::ContentType { value: "text/plain".to_owned() }, &[NotAnApi]),
        (FaultKind::Redirect { to: "https://login.example.com/x?secret=y".to_owned() }, &[NotAnApi]),
        (FaultKind::CloseUnhandled, &[Unavailable]),
        (FaultKind::CutBody, &[Malformed]),
        (FaultKind::TruncatedJson, &[Malformed]),
        (FaultKind::WrongTypes, NOT_READABLE),
        (canned(200, "application/json", "null"), &[Malformed]),
        (canned(200, "application/json", "{\"a\":1}"), &[Malformed]),
        (canned(200, "application/json", "[[]]"), &[Malformed]),
        (canned(200, "application/json", "\u{0}"), &[Malformed]),
    ]
}

pub(crate) async fn failures_have_their_class_and_save_no_half(subject: Subject) {
    let whole = list(&subject).await;
    assert!(whole.is_whole && whole.error.is_none() && !whole.devices.is_empty(), "{whole:?}");
    for route in [subject.trouble.organizations, subject.trouble.devices] {
        for (fault, kinds) in troubles(&subject.trouble) {
            let name = format!("{} {route}: {fault:?}", subject.id());
            subject.trouble_on(route, fault, 0);
            let listing = list(&subject).await;
            let (kind, code) = listing.error.unwrap_or_else(|| panic!("{name}: no error"));
            assert!(kinds.contains(&kind), "{name}: {kind:?} `{code}`");
            assert!(!listing.is_whole, "{name}");
            subject.server.calm();
        }
    }
    let again = list(&subject).await;
    assert_eq!((again.devices, again.is_whole), (whole.devices, true), "as before");
}

pub(crate) async fn empty_and_spoiled_lists_are_not_whole(subject: Subject) {
    let whole = list(&subject).await;
    subject.trouble_on(subject.trouble.devices, FaultKind::EmptyList, 0);
    let empty = list(&subject).await;
    assert!(!empty.is_whole && empty.devices.is_empty(), "{}: {empty:?}", subject.id());
    subject.server.calm();
    subject.trouble_on(subject.trouble.devices, FaultKind::BadRow, 0);
    let spoiled = list(&subject).await;
    assert_eq!(spoiled.error, None, "{}: one bad row fails no list", subject.id());
    assert!(spoiled.rejected > whole.rejected && spoiled.devices.len() < whole.devices.len(), "{spoiled:?}");
    assert!(spoiled.devices.is_subset(&whole.devices));
    assert!(!spoiled.devices.is_empty());
}

/// The first answer is good, what follows is not: what was read may be kept, and is not called whole.
pub(crate) async fn trouble_in_the_middle_leaves_no_whole(subject: Subject) {
    for fault in [
        FaultKind::TruncatedJson,
        FaultKind::Status { status: 500 },
        FaultKind::Throttled { retry_after_s: 45 },
    ] {
        let name = format!("{}: {fault:?}", subject.id());
        subject.trouble_on(subject.trouble.devices, fault, 1);
        let listing = list(&subject).await;
        assert!(listing.error.is_some() && !listing.is_whole, "{name}: {listing:?}");
        assert!(!listing.devices.is_empty(), "{name}: the first answer was good");
        subject.server.calm();
    }
}

pub(crate) async fn pages_that_repeat_come_to_an_end(subject: Subject) {
    let Some(page) = subject.trouble.repeated_page else { return };
    subject.trouble_on(subject.trouble.devices, canned(200, "application/json", page), 0);
    let listing = list(&subject).await;
    assert_eq!(listing.error.as_ref().map(|(kind, _)| *kind), Some(ErrorKind::Malformed), "{listing:?}");
    assert!(!listing.is_whole);
}

pub(crate) async fn test_connection_survives_everything(subject: Subject) {
    let report = subject.provider.check(&subject.connection, None).await;
    assert!(report.ok, "{report:?}");
    for route in [subject.trouble.host, subject.trouble.organizations, subject.trouble.devices] {
        for (fault, _) in troubles(&subject.trouble) {
            let name = format!("{} {route}: {fault:?}", subject.id());
            subject.trouble_on(route, fault, 0);
            let report = subject.provider.check(&subject.connection, None).await;
            assert!(!report.ok, "{name}: {report:?}");
            let problem = report.problem.as_ref().unwrap_or_else(|| panic!("{name}: no problem"));
            assert!(!problem.fix.is_empty(), "{name}");
            let everything = format!("{report:?}");
            for secret in &subject.secrets {
                assert!(!everything.contains(secret), "{name}: a secret in the report");
            }
            subject.server.calm();
        }
    }
}

/// A look that is given up while the server is silent leaves nothing behind.
pub(crate) async fn silence_can_be_given_up(subject: Subject) {
    subject.trouble_on(subject.trouble.devices, FaultKind::Hang { millis: 20_000 }, 0);
    let given_up = tokio::time::timeout(Duration::from_millis(300), list(&subject)).await;
    assert!(given_up.is_err(), "{}: silence is no answer", subject.id());
    subject.server.calm();
    assert!(list(&subject).await.is_whole, "{}", subject.id());
}

pub(crate) async fn secrets_are_silent_in_debug(subject: Subject) {
    let everything = format!("{:?} {:?}", subject.connection, subject.provider.descriptor());
    for secret in &subject.secrets {
        assert!(secret.len() > 8 && !everything.contains(secret), "{}", subject.id());
    }
}

pub(crate) async fn ids_lead_to_their_own_device_only(subject: Subject) {
    let inventory = subject.provider.inventory();
    for id in ["../../x", "..", "", "a/b", "no-such-device-no-such-device", "\u{0}", "x?y=1#z"] {
        for device_type in AssetType::ALL {
            let device = DeviceRef { external_id: id, device_type };
            let Ok(record) = inventory.detail(&subject.connection, &device).await else { continue };
            // A class without details is answered without asking.
            assert_eq!(record.external_id, id);
            assert_eq!(record.detail, domain::device::DeviceDetail::default(), "{id}");
        }
        let located = inventory.locate(&subject.connection, &[id.to_owned()]).await;
        assert!(located.is_ok_and(|found| found.is_empty()), "{}: `{id}` is nowhere", subject.id());
    }
}

/// The suite as tests of one provider: `contract_suite!(subject)`, where `subject` is an async function that starts its
/// simulator and gives a [`Subject`].
macro_rules! contract_suite {
    ($subject:path: $($check:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $check() {
            crate::contract::$check($subject().await).await;
        })*
    };
    ($subject:path) => {
        crate::contract::contract_suite!(
            $subject: failures_have_their_class_and_save_no_half,
            empty_and_spoiled_lists_are_not_whole,
            trouble_in_the_middle_leaves_no_whole,
            pages_that_repeat_come_to_an_end,
            test_connection_survives_everything,
            silence_can_be_given_up,
            secrets_are_silent_in_debug,
            ids_lead_to_their_own_device_only,
        );
    };
}
pub(crate) use contract_suite;

#[test]
fn every_provider_is_under_contract() {
    for id in crate::all().iter().map(|provider| provider.descriptor().id) {
        let tests = format!("{}/src/{id}/tests/contract.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&tests).unwrap_or_else(|error| panic!("{tests}: {error}"));
        assert!(text.contains("contract_suite!("), "{tests}");
    }
}
