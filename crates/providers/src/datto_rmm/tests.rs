//! Answers written by hand in, canonical records and sentences out.

mod check;
mod contract;
mod mutated;
mod records;
mod sentences;
mod sign_in;
mod simulated;
mod transport;
mod urls;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{asset::AssetType, integration::IntegrationSettings};
use outbound::{AllowRule, ClientOptions, EgressRules, HttpClient};
use provider::{Budget, Connection, DeviceRef, Problem, RateStatus, RequestKind, Secrets};
use secrecy::SecretString;
use serde_json::Value;

use super::{API_KEY, API_SECRET, OAUTH};
use crate::fake::Reply;

pub(super) const TEST_KEY: &str = "CANARYKEY0CANARYKEY0";
pub(super) const TEST_SECRET: &str = "CANARY secret+with&signs=";
pub(super) const TEST_TOKEN: &str = "CANARYTOKEN.1";

/// One pair.
pub(super) fn fixture(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/datto_rmm");
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The body of an answer, as text.
pub(super) fn body(name: &str) -> String {
    match &fixture(name)["response"]["body"] {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    }
}

/// An answer as written down.
pub(super) fn reply(name: &str) -> Reply {
    Reply::of_pair(&fixture(name), body(name))
}

/// A client that may reach loopback.
pub(super) fn client() -> HttpClient {
    let rules = EgressRules::new(vec!["127.0.0.1/32".parse::<AllowRule>().unwrap()]);
    HttpClient::new(rules, ClientOptions::default()).unwrap()
}

/// A connection that is signed in.
pub(super) fn connection(url: &str) -> Connection {
    let mut secrets = Secrets::default();
    secrets.set(API_KEY, SecretString::from(TEST_KEY.to_owned()));
    secrets.set(API_SECRET, SecretString::from(TEST_SECRET.to_owned()));
    Connection {
        integration: None,
        base_url: url.parse().unwrap(),
        auth_mode: OAUTH.to_owned(),
        secrets,
        token: Some(SecretString::from(TEST_TOKEN.to_owned())),
        settings: IntegrationSettings { allow_plain_http: true, ..IntegrationSettings::default() },
        budget: Arc::new(Ledger::default()),
        http: client(),
    }
}

/// A device of this id and type.
pub(super) fn device(external_id: &str, device_type: AssetType) -> DeviceRef<'_> {
    DeviceRef { external_id, device_type }
}

/// A budget that writes down what it is told, and never lets anybody wait.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Clone, Default)]
pub(super) struct Book {
    pub(super) taken: u32,
    pub(super) observed: Vec<RateStatus>,
    pub(super) pauses: Vec<(Duration, String)>,
    pub(super) refused_ago: Option<Duration>,
    pub(super) wants_status: bool,
}

impl Ledger {
    pub(super) fn book(&self) -> Book {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn of(book: Book) -> Arc<Ledger> {
        Arc::new(Ledger(Mutex::new(book)))
    }
}

#[async_trait]
impl Budget for Ledger {
    async fn take(&self, kind: RequestKind) -> provider::Result<()> {
        assert_eq!(kind, RequestKind::Read, "nothing writes");
        self.0.lock().unwrap().taken += 1;
        Ok(())
    }

    async fn observed(&self, status: RateStatus) {
        self.0.lock().unwrap().observed.push(status);
    }

    async fn wants_status(&self) -> bool {
        std::mem::take(&mut self.0.lock().unwrap().wants_status)
    }

    async fn pause(&self, wait: Duration, problem: &Problem) {
        self.0.lock().unwrap().pauses.push((wait, problem.code.clone()));
    }

    async fn refused_ago(&self) -> Option<Duration> {
        self.0.lock().unwrap().refused_ago
    }
}
