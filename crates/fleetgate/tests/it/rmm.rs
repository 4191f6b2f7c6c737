//! The simulated RMM of a test, and how it is connected.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{
    fleet::FleetSpec,
    tacticalrmm::{self, Config},
};

use crate::{
    api::Api,
    home::{Home, Server},
};

/// What the integration is called.
pub(crate) const NAME: &str = "Main RMM";

pub(crate) async fn start(agents: usize, clients: usize, delay: Duration) -> tacticalrmm::Server {
    let fleet = FleetSpec { seed: 7, agents, clients };
    tacticalrmm::start(Config { fleet, delay, detail_bytes: 500, ..Config::default() }).await.unwrap()
}

/// Lets the servers of this home reach it.
pub(crate) fn allow(home: &mut Home, rmm: &tacticalrmm::Server) {
    let (_, port) = rmm.url().rsplit_once(':').unwrap();
    home.set("FLEETGATE_OUTBOUND_ALLOW", &format!("127.0.0.1/32:{port}"));
}

/// A connection by this key; nothing happens by itself.
pub(crate) fn connection(rmm: &tacticalrmm::Server, key: &str) -> Value {
    json!({
        "provider": "tacticalrmm", "name": NAME, "url": rmm.url(), "auth_mode": "api_key",
        "fields": { "tacticalrmm_api_key": key },
        "settings": { "allow_plain_http": true, "schedules_enabled": false },
    })
}

/// A server with an admin that has the RMM connected and all organizations mapped.
pub(crate) struct Connected {
    pub(crate) server: Server,
    pub(crate) token: String,
    pub(crate) api: Api,
    pub(crate) integration: String,
}

pub(crate) async fn connect(home: &mut Home, rmm: &tacticalrmm::Server) -> Connected {
    allow(home, rmm);
    let token = home.admin_token();
    let server = home.start();
    let api = server.api(token.as_str()).never_showing(&[&rmm.accounts().api_key]);
    let made = api.post("/integrations", &connection(rmm, &rmm.accounts().api_key)).await.is(201);
    let integration = made["id"].as_str().unwrap().to_owned();
    assert_eq!(api.sync(&integration, "organizations", false).await["state"], "succeeded");
    map_all(&api).await;
    Connected { server, token, api, integration }
}

/// A client for each organization.
pub(crate) async fn map_all(api: &Api) -> Value {
    let request = json!({ "min_score": 100, "auto_sync": true, "create_missing": true });
    api.post("/organizations/accept-suggestions", &request).await.is(200)
}
