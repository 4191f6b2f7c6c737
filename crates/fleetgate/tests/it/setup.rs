//! Who gets in, and how they are put out again.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use domain::{
    Time,
    auth::{Permissions, TokenKind},
};
use futures::future::join_all;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::people::NewToken;

use crate::{
    api::{Answer, Api},
    home::{ADMIN, Home, PASSWORD, Server, system},
    raw,
};

fn first_admin(token: &str, email: &str) -> Value {
    json!({ "token": token, "email": email, "name": "Ann", "password": PASSWORD })
}

/// `name=value` of the cookie that an answer sets.
fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// The token on the console, which comes a moment after the address.
#[track_caller]
fn printed_setup_token(server: &Server) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let out = server.stdout();
        if out.contains("user create --email") {
            return out.split_whitespace().find(|word| word.starts_with("fgs_")).unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "the console shows no token: {out}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Ways to write the path of set-up that a careless router may take for it.
const DISGUISES: [&str; 12] = [
    "/api/v1/setup/",
    "//api/v1/setup",
    "/api//v1/setup",
    "/api/v1//setup",
    "/api/v1/./setup",
    "/api/v1/%2e/setup",
    "/api/v1/me/../setup",
    "/api/v1/me/%2e%2e/setup",
    "/api/v1/%73etup",
    "/API/v1/setup",
    "/api/v1/Setup",
    "/api/v1/setup;x=1",
];

#[tokio::test]
async fn the_first_admin_comes_in_once() {
    let home = Home::sqlite();
    let server = home.start();
    let nobody = server.api(None);
    assert_eq!(nobody.get("/setup").await, json!({ "open": true }));
    let token = printed_setup_token(&server);

    nobody.post("/setup", &first_admin("fgs_wrong", ADMIN)).await.problem(401, "bad_setup_token");
    let weak = json!({ "token": token, "email": ADMIN, "name": "Ann", "password": "short" });
    assert_eq!(nobody.post("/setup", &weak).await.status, 422);
    let good = first_admin(&token, ADMIN).to_string();
    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let headers = [("content-type", "application/json"), foreign];
        nobody.send_with("POST", "/setup", &headers, Some(good.clone())).await.problem(403, "cross_site");
    }
    assert_eq!(nobody.get("/setup").await, json!({ "open": true }), "a refused try closes nothing");

    let tries = ["one@example.com", "two@example.com", "three@example.com", "four@example.com"];
    let bodies = tries.map(|email| first_admin(&token, email));
    let answers = join_all(bodies.iter().map(|body| nobody.post("/setup", body))).await;
    let admitted: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(admitted.len(), 1, "one of four at the same time");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert!(matches!(refused.status, 401 | 409), "{}", refused.text);
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    let me = nobody.send_with("GET", "/me", &[("cookie", &cookie_of(admitted[0]))], None).await.is(200);
    assert_eq!(me["user"]["role"], "admin");

    check_setup_is_closed(&server, &token).await;
    server.kill();
    let again = home.start();
    check_setup_is_closed(&again, &token).await;
    let out = again.stdout();
    assert!(!out.contains("fgs_"), "no second token is printed: {out}");
}

async fn check_setup_is_closed(server: &Server, token: &str) {
    let nobody = server.api(None);
    assert_eq!(nobody.get("/setup").await, json!({ "open": false }));
    nobody.post("/setup", &first_admin(token, "late@example.com")).await.problem(409, "setup_closed");
    let body = first_admin(token, "late@example.com").to_string();
    for path in DISGUISES {
        let (status, answer) =
            raw::send(server.authority(), "POST", path, &["content-type: application/json"], &body);
        assert!(matches!(status, 400 | 404 | 405 | 409), "{path}: {answer}");
        assert!(!answer.to_lowercase().contains("set-cookie"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn set_up_in_disguise_is_not_found_while_it_is_open() {
    let home = Home::sqlite();
    let server = home.start();
    let token = printed_setup_token(&server);
    let body = first_admin(&token, ADMIN).to_string();
    for path in DISGUISES {
        let (status, answer) =
            raw::send(server.authority(), "POST", path, &["content-type: application/json"], &body);
        assert_eq!(status, 404, "{path}: {answer}");
    }
    home.add_user(ADMIN, "admin");
    let late = server.api(None).post("/setup", &first_admin(&token, "b@example.com")).await;
    late.problem(409, "setup_closed");
}

async fn sign_in(api: &Api, email: &str, password: &str) -> Answer {
    api.post("/session", &json!({ "email": email, "password": password })).await
}

#[tokio::test]
async fn people_sign_in_and_out() {
    let home = Home::sqlite();
    home.add_user(ADMIN, "admin");
    home.add_user("bob@example.com", "read_only");
    let server = home.start();
    let nobody = server.api(None);

    let wrong = sign_in(&nobody, ADMIN, "not the password at all").await;
    let unknown = sign_in(&nobody, "nobody@example.com", "not the password at all").await;
    wrong.problem(401, "bad_credentials");
    assert_eq!(wrong.without_request_id(), unknown.without_request_id(), "nobody learns who is here");

    let signed_in = sign_in(&nobody, &ADMIN.to_uppercase(), PASSWORD).await;
    signed_in.is(200);
    let flags: Vec<&str> = signed_in.header("set-cookie").split("; ").skip(1).collect();
    assert_eq!(flags, ["HttpOnly", "SameSite=Strict", "Path=/"]);
    let cookie = cookie_of(&signed_in);
    assert!(cookie.starts_with("fleetgate="), "{cookie}");
    check_writes_from_elsewhere(&server, &cookie).await;

    let second = cookie_of(&sign_in(&nobody, ADMIN, PASSWORD).await);
    assert_ne!(cookie, second);
    let own = ("sec-fetch-site", "same-origin");
    let refused = nobody.send_with("DELETE", "/session", &[("cookie", &cookie)], None).await;
    refused.problem(403, "cross_site");
    nobody.send_with("GET", "/me", &[("cookie", &cookie)], None).await.is(200);
    let out = nobody.send_with("DELETE", "/session", &[("cookie", &cookie), own], None).await;
    out.is(204);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{:?}", out.headers);
    nobody.send_with("GET", "/me", &[("cookie", &cookie)], None).await.problem(401, "not_signed_in");
    nobody.send_with("GET", "/me", &[("cookie", &second)], None).await.is(200);

    check_password_change(&nobody, &second).await;
    let bob = cookie_of(&sign_in(&nobody, "bob@example.com", PASSWORD).await);
    home.run(&["user", "disable", "--email", "bob@example.com"], "").ends_with(0);
    nobody.send_with("GET", "/me", &[("cookie", &bob)], None).await.problem(401, "not_signed_in");
    sign_in(&nobody, "bob@example.com", PASSWORD).await.problem(401, "bad_credentials");
    check_log(&server, &[PASSWORD, cookie.trim_start_matches("fleetgate="), "not the password"]);
}

/// A change of the password ends all sign-ins but the new one.
async fn check_password_change(nobody: &Api, cookie: &str) {
    let headers =
        [("cookie", cookie), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    let change = |old: &str, new: &str| Some(json!({ "old": old, "new": new }).to_string());
    let next = "another long password 2";
    let wrong = nobody.send_with("PUT", "/me/password", &headers, change("wrong wrong wrong", next)).await;
    assert_eq!(wrong.problem(422, "wrong_password")["field"], "old");
    let changed = nobody.send_with("PUT", "/me/password", &headers, change(PASSWORD, next)).await;
    changed.is(200);
    nobody.send_with("GET", "/me", &[("cookie", cookie)], None).await.problem(401, "not_signed_in");
    nobody.send_with("GET", "/me", &[("cookie", &cookie_of(&changed))], None).await.is(200);
}

async fn check_writes_from_elsewhere(server: &Server, cookie: &str) {
    let api = server.api(None);
    let host = format!("http://{}", server.authority());
    let other_port = "http://127.0.0.1:1".to_owned();
    let origin = |origin: &str| vec![("origin".to_owned(), origin.to_owned())];
    let site = |site: &str| vec![("sec-fetch-site".to_owned(), site.to_owned())];
    let foreign = [
        vec![],
        origin("https://evil.example"),
        origin("null"),
        origin(&other_port),
        origin(&format!("{host}.evil.example")),
        site("cross-site"),
        site("same-site"),
        [site("cross-site"), origin(&host)].concat(),
    ];
    for (n, extra) in foreign.iter().enumerate() {
        let answer = write_with(&api, cookie, extra, &format!("Foreign {n}")).await;
        answer.problem(403, "cross_site");
    }
    assert_eq!(write_with(&api, cookie, &site("same-origin"), "Own 1").await.status, 201);
    assert_eq!(write_with(&api, cookie, &origin(&host), "Own 2").await.status, 201);
    let form = [("cookie", cookie), ("sec-fetch-site", "same-origin"), ("content-type", "text/plain")];
    let as_form = api.send_with("POST", "/clients", &form, Some("{\"name\":\"Form\"}".to_owned())).await;
    as_form.problem(415, "content_type");
    let clients = api.send_with("GET", "/clients", &[("cookie", cookie)], None).await.is(200);
    assert_eq!(clients["total"], 2, "nothing of what was refused is there: {clients}");
}

async fn write_with(api: &Api, cookie: &str, extra: &[(String, String)], name: &str) -> Answer {
    let mut headers = vec![("cookie", cookie), ("content-type", "application/json")];
    headers.extend(extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    api.send_with("POST", "/clients", &headers, Some(json!({ "name": name }).to_string())).await
}

#[track_caller]
fn check_log(server: &Server, secrets: &[&str]) {
    let log = server.log();
    for secret in secrets {
        assert!(!log.contains(secret), "`{secret}` stands in the log:\n{log}");
    }
}

#[tokio::test]
async fn cookies_are_bound_to_https_where_the_server_is_known_by_it() {
    let home = Home::sqlite();
    home.add_user(ADMIN, "admin");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let args = ["serve", "--listen", &listen, "--public-url", "https://fleet.example.com"];
    let told = |out: &str| out.contains("https://fleet.example.com").then(|| format!("http://{listen}"));
    let server = Server::start_at(home.command(&args), home.folder(), told);
    let nobody = server.api(None);
    let signed_in = sign_in(&nobody, ADMIN, PASSWORD).await;
    signed_in.is(200);
    assert!(signed_in.header("set-cookie").starts_with("__Host-fleetgate="));
    assert!(signed_in.header("set-cookie").ends_with("; HttpOnly; SameSite=Strict; Secure; Path=/"));
    assert!(!signed_in.header("strict-transport-security").is_empty());
    let cookie = cookie_of(&signed_in);
    let public = [("origin".to_owned(), "https://fleet.example.com".to_owned())];
    assert_eq!(write_with(&nobody, &cookie, &public, "By its public name").await.status, 201);
    let plain = [("origin".to_owned(), "http://fleet.example.com".to_owned())];
    write_with(&nobody, &cookie, &plain, "By another scheme").await.problem(403, "cross_site");
}

#[tokio::test]
async fn guessing_passwords_is_braked() {
    let home = Home::sqlite();
    home.add_user(ADMIN, "admin");
    home.add_user("bob@example.com", "read_only");
    let server = home.start();
    let nobody = server.api(None);
    let mut tries = 0;
    let braked = loop {
        let answer = sign_in(&nobody, ADMIN, "a wrong password").await;
        if answer.status == 429 {
            break answer;
        }
        answer.problem(401, "bad_credentials");
        tries += 1;
        assert!(tries <= 20, "nobody stops the guessing");
    };
    assert!(tries >= 5, "only {tries} tries");
    let problem = braked.problem(429, "throttled");
    let wait_s: u64 = braked.header("retry-after").parse().unwrap();
    assert_eq!(problem["retry_after_s"], wait_s);
    assert!((1..=61).contains(&wait_s), "{wait_s}");
    sign_in(&nobody, ADMIN, PASSWORD).await.problem(429, "throttled");
    assert_eq!(sign_in(&nobody, "bob@example.com", PASSWORD).await.status, 200, "others are not locked out");
    let reset = ["user", "reset-password", "--email", ADMIN, "--password", "-"];
    home.run(&reset, "a new long password").ends_with(0);
    assert_eq!(
        sign_in(&nobody, ADMIN, "a new long password").await.status,
        200,
        "the console lifts the brake"
    );
}

#[tokio::test]
async fn tokens_live_and_die() {
    let home = Home::sqlite();
    let token = home.admin_token();
    let agent = home.token(ADMIN, "agent");
    let server = home.start();
    let admin = server.api(token.as_str());

    let new = json!({ "name": "reader", "kind": "user", "days": 300, "permissions": ["assets:read"] });
    let made = admin.post("/tokens", &new).await.is(201);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("fgu_"), "{secret}");
    assert!(
        made["token"]["expires_at"].as_str().unwrap() <= own_end(&admin, &token).await.as_str(),
        "it does not outlive its maker"
    );
    let listed = admin.fetch("/tokens").await;
    assert!(listed.is(200)["total"] == 3 && !listed.text.contains(secret), "shown once: {}", listed.text);

    let reader = server.api(secret);
    assert_eq!(reader.get("/me").await["permissions"], json!(["assets:read"]));
    reader.get("/assets").await;
    let refused = reader.post("/clients", &json!({ "name": "x" })).await;
    assert_eq!(refused.problem(403, "permission_missing")["permission"], "clients:manage");
    let beyond = json!({ "name": "more", "kind": "user", "days": 1, "permissions": ["system_settings"] });
    reader.post("/tokens", &beyond).await.problem(422, "invalid_permissions");
    for days in [0, 367] {
        let body = json!({ "name": "x", "kind": "user", "days": days });
        assert_eq!(admin.post("/tokens", &body).await.problem(422, "invalid_expiry")["field"], "days");
    }

    let id = made["token"]["id"].as_str().unwrap();
    admin.send("DELETE", &format!("/tokens/{id}"), None).await.is(204);
    reader.fetch("/me").await.problem(401, "bad_token");
    let expired = expired_token(&home).await;
    let answers = [
        reader.fetch("/me").await,
        server.api(expired.as_str()).fetch("/me").await,
        server.api("fgu_0000000000000000000000000000000000000000000").fetch("/me").await,
    ];
    for answer in &answers {
        assert_eq!(answer.without_request_id(), answers[0].without_request_id(), "all the same from outside");
    }
    server.api(agent.as_str()).fetch("/me").await.problem(401, "token_not_accepted");
    server.api(None).fetch(&format!("/me?token={token}")).await.problem(401, "not_signed_in");
    check_log(&server, &[&token, secret, &agent, &expired]);
    let (code, _) = server.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0));
}

async fn own_end(api: &Api, token: &str) -> String {
    let last_four = &token[token.len() - 4..];
    let tokens = api.get("/tokens").await;
    let own = tokens["items"].as_array().unwrap().iter().find(|item| item["last_four"] == last_four);
    own.unwrap()["expires_at"].as_str().unwrap().to_owned()
}

async fn expired_token(home: &Home) -> String {
    let store = home.store().await;
    let ctx = system(1);
    let tenant = store.tenant(&ctx);
    let user = tenant.users().find_by_email(ADMIN).await.unwrap().unwrap().id;
    let permissions = Permissions::all();
    let new = NewToken { user, kind: TokenKind::User, name: "old", permissions, expires_at: Time(1) };
    let (_, secret) = tenant.tokens().create(&new).await.unwrap();
    store.close().await;
    secret.expose_secret().to_owned()
}
