//! The simulated Datto RMM. There are no recordings: each test names the section of what is known about the API that it
//! holds the server to.

mod access;
mod fleet;
mod lists;
mod rate;
mod rows;
mod webhooks;
mod writes;

use serde_json::Value;
use simulator::datto_rmm::{self, Config, Server};

use crate::client::{Got, http, send};

/// A started server and the token of one of its users.
pub(crate) struct Datto {
    pub(crate) server: Server,
    http: reqwest::Client,
    token: String,
}

impl Datto {
    pub(crate) async fn of(devices: usize) -> Self {
        Self::start(Config::sized(devices)).await
    }

    pub(crate) async fn start(config: Config) -> Self {
        let mut sim =
            Self { server: datto_rmm::start(config).await.unwrap(), http: http(), token: String::new() };
        let accounts = sim.server.accounts().clone();
        sim.sign_in(&accounts.api_key, &accounts.api_secret).await;
        sim
    }

    /// From now on calls are those of this key's owner.
    pub(crate) async fn sign_in(&mut self, key: &str, secret: &str) {
        let got =
            self.ask_token(&[("grant_type", "password"), ("username", key), ("password", secret)]).await;
        assert_eq!(got.status, 200, "{}", got.text);
        self.token = got.json()["access_token"].as_str().unwrap().to_owned();
    }

    pub(crate) async fn ask_token(&self, form: &[(&str, &str)]) -> Got {
        let request = self.request("POST", "/auth/oauth/token").basic_auth("public-client", Some("public"));
        send(form_of(request, form)).await.unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.server.url()))
    }

    fn with_token(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.request(method, &format!("/api{path}")).bearer_auth(&self.token)
    }

    /// Reads a path below `/api`.
    pub(crate) async fn get(&self, path: &str) -> Got {
        send(self.with_token("GET", path)).await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let got = self.get(path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        got.json()
    }

    /// Writes; no answer is an error of the connection.
    pub(crate) async fn write(&self, method: &str, path: &str, body: &Value) -> reqwest::Result<Got> {
        send(self.with_token(method, path).json(body)).await
    }

    /// All rows of a list, by counting pages.
    pub(crate) async fn walk(&self, path: &str, list: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for page in 0..1_000 {
            let mut answer = self.json(&format!("{path}?page={page}&max=250")).await;
            let Value::Array(found) = answer[list].take() else { panic!("no `{list}`: {answer}") };
            let is_last = answer["pageDetails"]["nextPageUrl"].as_str().unwrap_or("").is_empty();
            rows.extend(found);
            if is_last {
                return rows;
            }
        }
        panic!("the list has no end")
    }

    /// The uid of the first device of a class that is online.
    pub(crate) fn device(&self, class: &str) -> String {
        let devices = self.server.control().devices(None);
        let found = devices.iter().find(|device| device["class"] == class && device["online"] == true);
        found.unwrap_or_else(|| panic!("no `{class}` is online"))["uid"].as_str().unwrap().to_owned()
    }
}

/// The number of a path in a value, or a failure that shows the value.
pub(crate) fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number `{path}` in {value}"))
}

/// A request with a form as its body, percent-encoded.
pub(crate) fn form_of(request: reqwest::RequestBuilder, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let encode = |text: &str| {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        text.bytes().map(byte).collect::<String>()
    };
    let pairs: Vec<String> =
        form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
}
