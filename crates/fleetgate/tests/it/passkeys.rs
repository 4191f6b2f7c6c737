//! Passkeys over HTTP, with an authenticator and a browser in software. What they make is put together byte by byte, so that
//! nothing of the program is asked about its own forms.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use crate::{
    home::{ADMIN, Home, PASSWORD, Server},
    people::{Browser, cookie_of},
};

const ORIGIN: &str = "http://localhost:8080";

struct Authenticator {
    key: EcdsaKeyPair,
    id: [u8; 16],
    count: u32,
}

impl Authenticator {
    fn new() -> Authenticator {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let id = digest(&SHA256, key.public_key().as_ref()).as_ref()[..16].try_into().unwrap();
        Authenticator { key, id, count: 1 }
    }

    /// Present and verified.
    fn data(&self, flags: u8) -> Vec<u8> {
        let rp = digest(&SHA256, b"localhost");
        [rp.as_ref(), &[flags | 0x05], &self.count.to_be_bytes()].concat()
    }

    /// What `toJSON()` of a new credential gives in a browser.
    fn create(&self, options: &Value) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let key = [b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".as_slice(), x, b"\x22\x58\x20".as_slice(), y]
            .concat();
        let data = [self.data(0x40).as_slice(), &[0; 16], &[0, 16], &self.id, &key].concat();
        let object = [
            b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(),
            &[u8::try_from(data.len()).unwrap()],
            &data,
        ];
        json!({
            "id": text(&self.id),
            "rawId": text(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(client_data("webauthn.create", options).as_bytes()),
                "attestationObject": text(&object.concat()),
                "authenticatorData": text(&data),
                "publicKeyAlgorithm": -7,
                "transports": ["internal"],
            },
        })
    }

    /// What `toJSON()` of a credential in use gives in a browser.
    fn get(&mut self, options: &Value) -> Value {
        self.count += 1;
        let client_data = client_data("webauthn.get", options);
        let data = self.data(0);
        let signed = [data.as_slice(), digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": text(&self.id),
            "rawId": text(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(client_data.as_bytes()),
                "authenticatorData": text(&data),
                "signature": text(signature.as_ref()),
                "userHandle": null,
            },
        })
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn client_data(kind: &str, options: &Value) -> String {
    let challenge = options["challenge"].as_str().unwrap();
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#)
}

async fn options(browser: &Browser) -> Value {
    browser.send("POST", "/me/passkeys", None).await.is(201)["options"].clone()
}

/// Adds a passkey in this browser, which gets a new cookie; answers what was told.
async fn add(browser: &mut Browser, key: &Authenticator, name: &str) -> Value {
    let credential = key.create(&options(browser).await);
    let body = json!({ "name": name, "credential": credential });
    let added = browser.send("POST", "/me/passkeys/confirm", Some(body)).await;
    let told = added.is(200);
    browser.send("GET", "/me", None).await.problem(401, "not_signed_in");
    browser.cookie = cookie_of(&added);
    told
}

/// The first step of a sign-in.
async fn challenge(server: &Server) -> Value {
    let answer = server.api(None).post("/session", &json!({ "email": ADMIN, "password": PASSWORD })).await;
    assert!(!answer.headers.contains_key("set-cookie"), "the password alone lets nobody in");
    answer.is(202)
}

async fn sign_in(server: &Server, key: &mut Authenticator) -> Browser {
    let asked = challenge(server).await;
    let body = json!({ "challenge": asked["challenge"], "passkey": key.get(&asked["passkey"]) });
    let answer = server.api(None).post("/session/second-factor", &body).await;
    assert_eq!(answer.is(200)["user"]["second_factors"], json!(["passkey"]));
    Browser { api: server.api(None), cookie: cookie_of(&answer) }
}

fn local(mut home: Home) -> Home {
    home.set("FLEETGATE_PUBLIC_URL", ORIGIN);
    home
}

async fn check_passkeys(home: Home) {
    let token = home.admin_token();
    let server = home.start();
    let mut browser = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    let other = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    let mut key = Authenticator::new();
    let first = options(&browser).await;
    assert_eq!(first["rp"], json!({ "id": "localhost", "name": "Fleetgate" }));
    assert_eq!(first["user"]["name"], ADMIN);
    let kinds: Vec<_> =
        first["pubKeyCredParams"].as_array().unwrap().iter().map(|kind| &kind["alg"]).collect();
    assert_eq!(kinds, [-7, -8, -257]);
    assert_eq!((&first["attestation"], &first["timeout"]), (&json!("none"), &json!(300_000)));
    let wanted =
        json!({ "residentKey": "preferred", "requireResidentKey": false, "userVerification": "required" });
    assert_eq!(first["authenticatorSelection"], wanted);
    let stale = json!({ "name": "Laptop", "credential": key.create(&first) });
    options(&browser).await;
    let refused =
        browser.send("POST", "/me/passkeys/confirm", Some(stale)).await.problem(422, "wrong_passkey");
    assert_eq!(refused["field"], "credential");

    let told = add(&mut browser, &key, "Laptop").await;
    assert_eq!(told["recovery_codes"].as_array().unwrap().len(), 10);
    other.send("GET", "/me", None).await.problem(401, "not_signed_in");
    let me = browser.send("GET", "/me", None).await.is(200);
    assert_eq!(
        (&me["user"]["second_factors"], &me["recovery_codes_left"]),
        (&json!(["passkey"]), &json!(10))
    );
    assert_eq!(server.api(token.as_str()).get("/me/passkeys").await["items"], json!([told["passkey"]]));

    let asked = challenge(&server).await;
    assert_eq!(asked["second_factors"], json!(["passkey"]));
    let allowed = json!([{ "type": "public-key", "id": text(&key.id), "transports": ["internal"] }]);
    assert_eq!(asked["passkey"]["allowCredentials"], allowed);
    assert_eq!(
        (&asked["passkey"]["rpId"], &asked["passkey"]["userVerification"]),
        (&json!("localhost"), &json!("required"))
    );
    let step = async |body: Value| server.api(None).post("/session/second-factor", &body).await;
    step(json!({ "challenge": asked["challenge"] })).await.problem(422, "one_proof");
    let credential = key.get(&asked["passkey"]);
    let both = json!({ "challenge": asked["challenge"], "code": "000000", "passkey": credential });
    step(both).await.problem(422, "one_proof");
    let elsewhere = challenge(&server).await;
    let swapped = json!({ "challenge": elsewhere["challenge"], "passkey": credential });
    step(swapped).await.problem(401, "bad_passkey");
    let good = json!({ "challenge": asked["challenge"], "passkey": credential });
    let answer = step(good.clone()).await;
    answer.is(200);
    step(good).await.problem(401, "bad_challenge");
    let here = Browser { api: server.api(None), cookie: cookie_of(&answer) };

    let id = told["passkey"]["id"].as_str().unwrap();
    let path = format!("/me/passkeys/{id}");
    here.send("POST", "/me/passkeys", None).await.problem(403, "step_up_needed");
    here.send("POST", "/me/totp", None).await.problem(403, "step_up_needed");
    here.send("DELETE", &path, None).await.problem(403, "step_up_needed");
    let asked_again = here.send("POST", "/session/step-up/options", None).await.is(200);
    let proof = json!({ "passkey": key.get(&asked_again["options"]) });
    here.send("POST", "/session/step-up", Some(proof.clone())).await.is(200);
    let again = here.send("POST", "/session/step-up", Some(proof)).await.problem(422, "wrong_passkey");
    assert_eq!(again["field"], "passkey");
    let renamed = here.send("PATCH", &path, Some(json!({ "name": "Desk" }))).await.is(200);
    assert_eq!((&renamed["name"], renamed["last_used_at"].is_string()), (&json!("Desk"), true));
    assert_eq!(options(&here).await["excludeCredentials"], allowed);
    assert_eq!(here.send("DELETE", &path, None).await.status, 204);
    browser.send("GET", "/me", None).await.problem(401, "not_signed_in");
    Browser::sign_in(&server, ADMIN, PASSWORD).await;

    let log = server.kill();
    for secret in
        [&first["challenge"], &asked["passkey"]["challenge"], &asked["challenge"], &told["recovery_codes"][0]]
    {
        assert!(!log.contains(secret.as_str().unwrap()), "a secret is in the log");
    }
}

mod a_passkey_is_added_used_and_removed {
    use super::*;

    #[tokio::test]
    async fn sqlite() {
        check_passkeys(local(Home::sqlite())).await;
    }

    #[tokio::test]
    async fn postgres() {
        check_passkeys(local(Home::postgres().await)).await;
    }
}

#[tokio::test]
async fn what_a_browser_sends_is_read_with_care() {
    let home = local(Home::sqlite());
    home.add_user(ADMIN, "admin");
    let server = home.start();
    let browser = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    let good = Authenticator::new().create(&options(&browser).await);
    let with = |pointer: &str, value: Value| {
        let mut credential = good.clone();
        *credential.pointer_mut(pointer).unwrap() = value;
        json!({ "name": "x", "credential": credential })
    };
    for (body, status, code) in [
        (json!({ "name": "x" }), 400, "missing_field"),
        (json!({ "name": "x", "credential": good, "more": 1 }), 400, "unknown_field"),
        (json!({ "name": "x", "credential": "x" }), 400, "invalid_field"),
        (with("/type", json!("password")), 400, "invalid_field"),
        (with("/response/attestationObject", json!(7)), 400, "invalid_field"),
        (with("/response", json!({})), 400, "missing_field"),
    ] {
        browser.send("POST", "/me/passkeys/confirm", Some(body)).await.problem(status, code);
    }
    let padded = format!("{}=", good["response"]["attestationObject"].as_str().unwrap());
    for (pointer, value) in [
        ("/response/attestationObject", json!("not base64url!")),
        ("/response/attestationObject", json!(padded)),
        ("/response/attestationObject", json!("A".repeat(200_000))),
        ("/response/clientDataJSON", json!("e30")),
        ("/id", json!("AAAA")),
    ] {
        options(&browser).await;
        let told = browser.send("POST", "/me/passkeys/confirm", Some(with(pointer, value))).await;
        let told = told.problem(422, "wrong_passkey");
        assert!(told["detail"].as_str().unwrap().contains("Ask for new options"), "{told}");
    }
}

#[tokio::test]
async fn a_passkey_needs_a_public_address_and_the_console_helps_who_lost_it() {
    let mut home = local(Home::sqlite());
    let token = home.admin_token();
    let mut key = Authenticator::new();
    let server = home.start();
    let mut browser = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    let codes = add(&mut browser, &key, "Laptop").await["recovery_codes"].clone();
    sign_in(&server, &mut key).await;
    let listed = home.cli(&server, &token, &["users", "list"], "").ends_with(0).out;
    assert!(listed.contains("passkey"), "{listed}");
    let console = home.run(&["user", "list", "--json"], "").ends_with(0).json();
    assert_eq!(console["items"][0]["second_factors"], json!(["passkey"]));
    server.kill();

    home.set("FLEETGATE_PUBLIC_URL", "http://127.0.0.1:8080");
    let server = home.start();
    let asked = challenge(&server).await;
    assert_eq!((&asked["second_factors"], &asked["passkey"]), (&json!(["passkey"]), &json!(null)));
    let options = json!({ "challenge": "x" });
    let body = json!({ "challenge": asked["challenge"], "passkey": key.get(&options) });
    let told =
        server.api(None).post("/session/second-factor", &body).await.problem(409, "passkeys_unavailable");
    assert!(told["detail"].as_str().unwrap().contains("set it to a name"), "{told}");
    let body = json!({ "challenge": asked["challenge"], "code": codes[0] });
    let answer = server.api(None).post("/session/second-factor", &body).await;
    let here = Browser { api: server.api(None), cookie: cookie_of(&answer) };
    here.send("GET", "/me", None).await.is(200);

    let reset = ["user", "reset-second-factor", "--email", ADMIN, "--json"];
    assert_eq!(home.run(&reset, "").ends_with(0).json()["second_factors"], json!([]));
    here.send("GET", "/me", None).await.problem(401, "not_signed_in");
    Browser::sign_in(&server, ADMIN, PASSWORD).await;
}
