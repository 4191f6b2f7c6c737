//! Recorded traffic in, canonical records and sentences out.

mod check;
mod contract;
mod fake;
mod mutated;
mod records;
mod sentences;
mod sign_in;
mod simulated;
mod transport;
mod urls;

use std::{path::PathBuf, sync::Arc};

use domain::{asset::AssetType, integration::IntegrationSettings};
use outbound::{AllowRule, ClientOptions, EgressRules, HttpClient};
use provider::{Connection, DeviceRef, Secrets, Unlimited};
use secrecy::SecretString;
use serde_json::Value;

use super::{API_KEY, KEY_MODE};

pub(super) const TEST_KEY: &str = "CANARYKEY0CANARYKEY0CANARYKEY012";

/// One recorded pair.
pub(super) fn recorded(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tacticalrmm");
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The body of a recorded answer, as text.
pub(super) fn recorded_body(name: &str) -> String {
    let pair = recorded(name);
    let body = &pair["response"]["body"];
    match body {
        Value::String(text) if pair["response"]["body_is_json"] == false => text.clone(),
        json => json.to_string(),
    }
}

/// A client that may reach loopback.
pub(super) fn client() -> HttpClient {
    let rules = EgressRules::new(vec!["127.0.0.1/32".parse::<AllowRule>().unwrap()]);
    HttpClient::new(rules, ClientOptions::default()).unwrap()
}

/// A connection with an API key.
pub(super) fn connection(url: &str) -> Connection {
    let mut secrets = Secrets::default();
    secrets.set(API_KEY, SecretString::from(TEST_KEY.to_owned()));
    Connection {
        integration: None,
        base_url: url.parse().unwrap(),
        auth_mode: KEY_MODE.to_owned(),
        secrets,
        token: None,
        settings: IntegrationSettings { allow_plain_http: true, ..IntegrationSettings::default() },
        budget: Arc::new(Unlimited),
        http: client(),
    }
}

/// A device of this id.
pub(super) fn device(external_id: &str) -> DeviceRef<'_> {
    DeviceRef { external_id, device_type: AssetType::Unknown }
}

/// The same connection with this key instead.
pub(super) fn with_secret(mut connection: Connection, name: &str, value: &str) -> Connection {
    connection.secrets.set(name, SecretString::from(value.to_owned()));
    connection
}
