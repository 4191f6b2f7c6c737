//! A started server and a plain HTTP client for it.

use std::sync::Once;

use serde_json::Value;
use simulator::fleet::FleetSpec;
use simulator::tacticalrmm::{self, Config, Server};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in `{}`", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client that follows nothing and knows no vendor.
pub(crate) fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("the provider is installed once");
    });
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A server with its superuser's client.
pub(crate) struct Sim {
    pub(crate) server: Server,
    pub(crate) http: reqwest::Client,
}

impl Sim {
    /// The recorded world, with waits a hundredth as long.
    pub(crate) async fn recorded() -> Self {
        Self::start(Config { recorded: true, ..quick() }).await
    }

    /// A generated fleet.
    pub(crate) async fn of(agents: usize) -> Self {
        Self::start(Config { fleet: FleetSpec::sized(agents), ..quick() }).await
    }

    pub(crate) async fn start(config: Config) -> Self {
        Self { server: tacticalrmm::start(config).await.unwrap(), http: http() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.server.url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        let key = &self.server.accounts().api_key;
        send(self.request("GET", path).header("X-API-KEY", key)).await.unwrap()
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Got {
        let key = &self.server.accounts().api_key;
        send(self.request(method, path).header("X-API-KEY", key).json(&body)).await.unwrap()
    }
}

/// Quick waits, everything else as by default.
pub(crate) fn quick() -> Config {
    Config { time_scale: 0.01, ..Config::default() }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Got> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Got { status, headers, text: response.text().await? })
}
