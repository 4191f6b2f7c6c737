//! Secrets planted everywhere, and then looked for: in logs, answers, files, backups and what commands print.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    home::{ADMIN, Home, PASSWORD, Ran, Server},
    rmm,
};

const WRONG_PASSWORD: &str = "canary wrong password 7f3a";
const NEW_PASSWORD: &str = "canary new password 91be";
const WRONG_KEY: &str = "CANARYWRONGKEYCANARYWRONGKEY0001";
const RMM_PASSWORD: &str = "canary-rmm-password-55aa";
const IN_ADDRESS: &str = "canary-in-the-address-c0de";

/// What was shown to anybody, by place.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    fn answer(&mut self, place: &str, answer: &Answer) {
        self.add(place, format!("{:?}\n{}", answer.headers, answer.text));
    }

    fn ran(&mut self, place: &str, ran: &Ran) {
        self.add(place, format!("{}\n{}", ran.out, ran.err));
    }

    /// Every file below a folder.
    fn files(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path);
            } else {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }

    /// Places where a secret stands, in one of the forms in which programs write texts.
    fn hits(&self, secret: &str) -> Vec<&str> {
        let forms = [
            secret.to_owned(),
            STANDARD.encode(secret),
            hex::encode(secret),
            secret.replace(' ', "%20"),
            secret.replace(' ', "+"),
        ];
        let stands = |bytes: &[u8]| {
            forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
        };
        self.0.iter().filter(|(_, bytes)| stands(bytes)).map(|(place, _)| place.as_str()).collect()
    }
}

fn write(seen: &mut Seen, place: &str, answer: Answer) -> Value {
    seen.answer(place, &answer);
    serde_json::from_str(&answer.text).unwrap_or_default()
}

/// Set-up, sign-ins, passwords; answers the cookie.
async fn people(server: &Server, api: &Api, seen: &mut Seen) -> String {
    let nobody = server.api(None);
    let wrong = json!({ "email": ADMIN, "password": WRONG_PASSWORD });
    seen.answer("a refused sign-in", &nobody.post("/session", &wrong).await);
    let swapped = json!({ "email": WRONG_PASSWORD, "password": "x" });
    seen.answer("a password as address", &nobody.post("/session", &swapped).await);
    for body in [
        format!("{{\"email\": \"a@example.com\", \"password\": \"{WRONG_PASSWORD}\""),
        format!("{{\"email\": 1, \"password\": \"{WRONG_PASSWORD}\"}}"),
        format!("{{\"email\": \"a\", \"password\": [\"{WRONG_PASSWORD}\"]}}"),
        format!("{{\"email\": \"a\", \"passwort\": \"{WRONG_PASSWORD}\"}}"),
    ] {
        let headers = [("content-type", "application/json")];
        seen.answer(
            "a body that cannot be read",
            &nobody.send_with("POST", "/session", &headers, Some(body)).await,
        );
    }
    let token = json!({ "token": WRONG_PASSWORD, "email": ADMIN, "name": "Ann", "password": NEW_PASSWORD });
    seen.answer("a wrong set-up token", &nobody.post("/setup", &token).await);
    seen.answer("a wrong token", &server.api(WRONG_KEY).fetch("/me").await);
    let signed_in = nobody.post("/session", &json!({ "email": ADMIN, "password": PASSWORD })).await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    // The cookie goes to its owner in a header, and nowhere else.
    seen.add("an accepted sign-in", signed_in.text);
    let headers = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    for path in ["/me", "/me/sessions", "/no-such-route"] {
        seen.answer(path, &nobody.send_with("GET", path, &headers, None).await);
    }
    let weak = json!({ "email": "eve@example.com", "name": "Eve", "role": "admin", "password": "canary" });
    seen.answer("a weak password", &api.post("/users", &weak).await);
    let user =
        json!({ "email": "bob@example.com", "name": "Bob", "role": "admin", "password": NEW_PASSWORD });
    seen.answer("a new user", &api.post("/users", &user).await);
    cookie
}

/// Connections that work and that do not, and everything that is read of them.
async fn integrations(api: &Api, rmm: &simulator::tacticalrmm::Server, seen: &mut Seen) {
    let key = &rmm.accounts().api_key;
    let made = write(seen, "a connection", api.post("/integrations", &rmm::connection(rmm, key)).await);
    let id = made["id"].as_str().unwrap().to_owned();
    let mut refused = rmm::connection(rmm, WRONG_KEY);
    refused["name"] = json!("Wrong");
    let other = write(seen, "a wrong key", api.post("/integrations", &refused).await);
    let other = other["id"].as_str().map(str::to_owned);
    let mut closed = rmm::connection(rmm, WRONG_KEY);
    closed["url"] = json!(format!("http://ann:{IN_ADDRESS}@127.0.0.1:1/"));
    closed["name"] = json!("Closed");
    seen.answer("a password in the address", &api.post("/integrations", &closed).await);
    let mut login = rmm::connection(rmm, "");
    login["auth_mode"] = json!("knox");
    login["name"] = json!("Login");
    login["fields"] = json!({ "tacticalrmm_username": "ann", "tacticalrmm_password": RMM_PASSWORD });
    seen.answer("a login", &api.post("/integrations", &login).await);
    for id in [Some(id.clone()), other].into_iter().flatten() {
        seen.answer("a test", &api.post(&format!("/integrations/{id}/test"), &Value::Null).await);
        seen.answer("an integration", &api.fetch(&format!("/integrations/{id}")).await);
        let changed = json!({ "fields": { "tacticalrmm_api_key": WRONG_KEY, "nonsense": WRONG_KEY } });
        seen.answer("a wrong field", &api.patch(&format!("/integrations/{id}"), &changed).await);
    }
    assert_eq!(api.sync(&id, "organizations", false).await["state"], "succeeded");
    rmm::map_all(api).await;
    assert_eq!(api.sync(&id, "devices", false).await["state"], "succeeded");
}

async fn reading(api: &Api, seen: &mut Seen) {
    for path in [
        "/integrations",
        "/assets.json",
        "/assets.csv",
        "/sync-runs",
        "/tokens",
        "/users",
        "/audit",
        "/audit.jsonl",
        "/audit.csv",
        "/no-such-route",
    ] {
        seen.answer(path, &api.fetch(path).await);
    }
}

async fn planted(mut home: Home) {
    home.set("FLEETGATE_LOG_LEVEL", "trace");
    home.set("RUST_BACKTRACE", "full");
    let rmm = rmm::start(40, 3, Duration::from_millis(1)).await;
    rmm::allow(&mut home, &rmm);
    let mut seen = Seen::default();
    home.add_user(ADMIN, "admin");
    let token = home.token(ADMIN, "user");
    let agent = home.token(ADMIN, "agent");
    let server = home.start();
    let api = server.api(token.as_str());
    let cookie = people(&server, &api, &mut seen).await;
    integrations(&api, &rmm, &mut seen).await;
    reading(&api, &mut seen).await;
    seen.answer("an agent at REST", &server.api(agent.as_str()).fetch("/me").await);
    for words in [
        &["backup", "--to", "copy.db"][..],
        &["config"],
        &["doctor"],
        &["user", "list", "--json"],
        &["audit", "verify", "--json"],
        &["audit", "checkpoint"],
    ] {
        seen.ran(&words.join(" "), &home.run(words, ""));
    }
    for words in [&["integration", "list"][..], &["tokens", "list", "--json"], &["assets", "list"]] {
        seen.ran(&words.join(" "), &home.cli(&server, &token, words, ""));
    }
    seen.add("standard output of the server", server.stdout());
    let (_, log) = server.stop(Duration::from_secs(20));
    assert!(log.contains("TRACE") && log.len() > 50_000, "the log is told in full: {} bytes", log.len());
    assert!(!log.contains("panicked"), "{log}");
    seen.add("log", log);
    seen.files(&home.data());
    seen.add("backup", fs::read(home.folder().join("copy.db")).unwrap());

    let root_key = match fs::read_to_string(home.key_file()) {
        Ok(text) => text,
        Err(_) => home.root_key_text(),
    };
    let checkpoint_key = fs::read_to_string(home.folder().join("data.checkpoint.key")).unwrap();
    let (_, session) = cookie.split_once('=').unwrap();
    let secrets = [
        PASSWORD,
        WRONG_PASSWORD,
        NEW_PASSWORD,
        WRONG_KEY,
        RMM_PASSWORD,
        IN_ADDRESS,
        rmm.accounts().api_key.as_str(),
        token.as_str(),
        agent.as_str(),
        session,
        root_key.trim(),
        checkpoint_key.trim(),
    ];
    let hits: Vec<(usize, Vec<&str>)> = secrets
        .iter()
        .map(|secret| seen.hits(secret))
        .enumerate()
        .filter(|(_, places)| !places.is_empty())
        .collect();
    println!("{} secrets, {} places, {} hits", secrets.len(), seen.0.len(), hits.len());
    assert!(hits.is_empty(), "by the number of the secret: {hits:?}");
    // What is no secret is found, so the search itself works.
    assert!(!seen.hits(ADMIN).is_empty() && !seen.hits(rmm::NAME).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_secrets_are_found_nowhere_sqlite() {
    planted(Home::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_secrets_are_found_nowhere_postgres() {
    planted(Home::postgres().await).await;
}
