//! A client of the REST interface.

use std::time::{Duration, Instant};

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};

use crate::stream::Stream;

/// No sync here takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Sends as one party.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    secrets: Vec<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem document, if it is this one.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        let kind = self.header("content-type");
        assert_eq!(kind, "application/problem+json", "{}", self.text);
        let problem = self.json();
        for key in ["type", "title", "status", "detail", "code", "request_id"] {
            assert!(
                problem.get(key).is_some_and(|value| !value.is_null()),
                "`{key}` is missing: {}",
                self.text
            );
        }
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:fleetgate:problem:{}", problem["code"].as_str().unwrap()));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert_eq!(problem["code"], code, "{}", self.text);
        problem
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body without the request's own name: what two answers may differ in.
    pub(crate) fn without_request_id(&self) -> String {
        self.text.replace(self.header("x-request-id"), "REQUEST")
    }
}

impl Api {
    pub(crate) fn new(base: &str, token: Option<&str>) -> Api {
        // Fails for all but the first, and then one is installed.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Api { http, base: base.to_owned(), token: token.map(str::to_owned), secrets: Vec::new() }
    }

    /// The same, and no answer may hold one of these.
    pub(crate) fn never_showing(mut self, secrets: &[&str]) -> Api {
        self.secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        self
    }

    /// A path below `/api/v1`, or a whole one.
    fn url(&self, path: &str) -> String {
        let is_whole = ["/api/", "/healthz", "/readyz", "/metrics", "/openapi.json"]
            .iter()
            .any(|begin| path.starts_with(begin));
        if is_whole { format!("{}{path}", self.base) } else { format!("{}/api/v1{path}", self.base) }
    }

    /// Sends with these headers.
    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, self.url(path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = read(request.send().await.unwrap()).await;
        for secret in &self.secrets {
            assert!(!answer.text.contains(secret), "a secret in the answer of {path}: {}", answer.text);
        }
        answer
    }

    /// Sends JSON, or nothing.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        self.send_with(method, path, headers, body.map(Value::to_string)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, Some(body)).await
    }

    pub(crate) async fn fetch(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// The answer, which must be a good one.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.fetch(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    /// All items, page by page: each once, and as many as the list says.
    pub(crate) async fn all(&self, path: &str, limit: u32) -> Vec<Value> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}limit={limit}{cursor}")).await;
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit as usize, "{path}");
            items.extend(found.iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else {
                check_total(path, &page, items.len());
                check_unique(path, &items);
                return items;
            };
            assert_eq!(found.len(), limit as usize, "{path}: a page before the last is full");
            cursor = format!("&cursor={}", escaped(next));
        }
    }

    /// Asks for a sync and waits for its end.
    pub(crate) async fn sync(&self, integration: &str, kind: &str, preview: bool) -> Value {
        let body = json!({ "kind": kind, "preview": preview });
        let run = self.post(&format!("/integrations/{integration}/sync"), &body).await.is(202);
        self.end_of(run["id"].as_str().unwrap()).await
    }

    /// Waits for the end of a run.
    pub(crate) async fn end_of(&self, run: &str) -> Value {
        self.run_until(run, |run| !matches!(run["state"].as_str(), Some("queued" | "running"))).await
    }

    /// Looks at a run until it is as wanted.
    pub(crate) async fn run_until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.get(&format!("/sync-runs/{run}")).await;
            if wanted(&now) {
                return now;
            }
            assert!(Instant::now() < deadline, "the run did not come so far: {now}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Live updates.
    pub(crate) async fn events(&self, after: Option<i64>) -> Stream {
        let mut request = self.http.get(self.url("/events"));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Stream::new(request.send().await.unwrap())
    }
}

fn check_total(path: &str, page: &Value, found: usize) {
    let at_least = page["total_at_least"].as_u64().unwrap();
    match page["total"].as_u64() {
        Some(total) => assert_eq!((total, at_least), (found as u64, total), "{path}"),
        // A history is counted as far as it was read.
        None if path.contains("/history") => assert!(at_least <= found as u64, "{path}: {at_least}"),
        None => assert!(at_least <= found as u64 && at_least >= 1_000, "{path}: {at_least}"),
    }
}

fn check_unique(path: &str, items: &[Value]) {
    let key = |item: &Value| {
        item.get("id").or_else(|| item.get("seq")).or_else(|| item.get("n")).unwrap().to_string()
    };
    let mut keys: Vec<String> = items.iter().map(key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), items.len(), "{path}: an item came twice");
}

async fn read(response: Response) -> Answer {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// As part of a query.
pub(crate) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The ids of items, in their order.
pub(crate) fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}
