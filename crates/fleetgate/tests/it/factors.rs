//! Second factors, step-up and limited sign-ins, as a browser, a program and the console meet them.

use std::cell::Cell;

use serde_json::{Value, json};
use totp_rs::{Algorithm, Builder};

use crate::{
    api::Answer,
    coverage,
    home::{ADMIN, Home, PASSWORD, Server, now},
    people::{Browser, cookie_of},
};

/// An authenticator app.
struct App {
    secret: String,
    /// The step of the last code.
    last: Cell<i64>,
}

impl App {
    fn new(enrolment: &Value) -> App {
        let secret = enrolment["secret"].as_str().unwrap().to_owned();
        let uri = enrolment["uri"].as_str().unwrap();
        assert!(uri.starts_with("otpauth://totp/Fleetgate:") && uri.contains(&secret), "{uri}");
        App { secret, last: Cell::new(0) }
    }

    /// A code that was not shown before; three of them count around one moment.
    fn next(&self) -> String {
        let now = now().0 / 30_000;
        self.last.set((self.last.get() + 1).max(now - 1));
        assert!(self.last.get() <= now + 1, "too many codes at once");
        self.again()
    }

    /// The last code once more.
    fn again(&self) -> String {
        let letters = self.secret.to_lowercase();
        let bits: String = letters
            .chars()
            .map(|letter| format!("{:05b}", "abcdefghijklmnopqrstuvwxyz234567".find(letter).unwrap()))
            .collect();
        let mut key = [0_u8; 20];
        for (byte, bits) in key.iter_mut().zip(bits.as_bytes().chunks(8)) {
            *byte = u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap();
        }
        let totp = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_secret(key);
        totp.build().unwrap().generate(u64::try_from(self.last.get() * 30).unwrap()).to_string()
    }
}

/// Enrols an app in this browser, which gets a new cookie; answers the recovery codes as well.
async fn enrol(browser: &mut Browser) -> (App, Vec<String>) {
    let app = App::new(&browser.send("POST", "/me/totp", None).await.is(201));
    let wrong = browser.send("POST", "/me/totp/confirm", Some(json!({ "code": "12345" }))).await;
    assert_eq!(wrong.problem(422, "wrong_code")["field"], "code");
    let confirmed = browser.send("POST", "/me/totp/confirm", Some(json!({ "code": app.next() }))).await;
    let codes = confirmed.is(200)["recovery_codes"].as_array().unwrap().clone();
    browser.send("GET", "/me", None).await.problem(401, "not_signed_in");
    browser.cookie = cookie_of(&confirmed);
    (app, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// The first step of a sign-in, which asks for a second.
async fn challenge(server: &Server, email: &str) -> String {
    let answer = server.api(None).post("/session", &json!({ "email": email, "password": PASSWORD })).await;
    assert!(!answer.headers.contains_key("set-cookie"), "the password alone lets nobody in");
    let asked = answer.is(202);
    assert_eq!(asked["second_factors"], json!(["totp"]));
    asked["challenge"].as_str().unwrap().to_owned()
}

async fn second_step(server: &Server, challenge: &str, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, "code": code });
    server.api(None).post("/session/second-factor", &body).await
}

/// Signs in with both steps.
async fn sign_in(server: &Server, email: &str, code: &str) -> Browser {
    let answer = second_step(server, &challenge(server, email).await, code).await;
    assert_eq!(answer.is(200)["user"]["email"], email);
    Browser { api: server.api(None), cookie: cookie_of(&answer) }
}

async fn check_two_steps(home: Home) {
    let token = home.admin_token();
    let server = home.start();
    let mut browser = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    let other = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    let (app, codes) = enrol(&mut browser).await;
    assert_eq!(codes.len(), 10);
    other.send("GET", "/me", None).await.problem(401, "not_signed_in");
    let me = browser.send("GET", "/me", None).await.is(200);
    assert_eq!((&me["user"]["second_factors"], &me["recovery_codes_left"]), (&json!(["totp"]), &json!(10)));
    browser.send("POST", "/me/totp", None).await.problem(409, "totp_exists");
    assert_eq!(server.api(token.as_str()).get("/me").await["token_kind"], "user", "tokens have one step");

    let wrong = json!({ "email": ADMIN, "password": "not the password" });
    server.api(None).post("/session", &wrong).await.problem(401, "bad_credentials");
    let first = challenge(&server, ADMIN).await;
    second_step(&server, &first, "000000").await.problem(401, "bad_code");
    second_step(&server, &first, &app.again()).await.problem(401, "bad_code");
    second_step(&server, "fgc_nonsense", &app.again()).await.problem(401, "bad_challenge");
    second_step(&server, &first, &app.next()).await.is(200);
    second_step(&server, &first, &app.again()).await.problem(401, "bad_challenge");
    let here = sign_in(&server, ADMIN, &codes[0]).await;
    assert_eq!(here.send("GET", "/me", None).await.is(200)["recovery_codes_left"], 9);
    let used = second_step(&server, &challenge(&server, ADMIN).await, &codes[0]).await;
    used.problem(401, "bad_code");

    for (method, path) in [("DELETE", "/me/totp"), ("POST", "/me/recovery-codes")] {
        let told = here.send(method, path, None).await.problem(403, "step_up_needed");
        assert!(told["detail"].as_str().unwrap().contains("POST /api/v1/session/step-up"), "{told}");
    }
    let step_up = |body: Value| here.send("POST", "/session/step-up", Some(body));
    step_up(json!({})).await.problem(422, "one_proof");
    step_up(json!({ "password": PASSWORD, "code": "000000" })).await.problem(422, "one_proof");
    step_up(json!({ "password": "not the password" })).await.problem(422, "wrong_password");
    step_up(json!({ "code": app.again() })).await.problem(422, "wrong_code");
    step_up(json!({ "code": app.next() })).await.is(200);
    let renewed = here.send("POST", "/me/recovery-codes", None).await.is(201);
    assert_eq!(renewed["recovery_codes"].as_array().unwrap().len(), 10);
    second_step(&server, &challenge(&server, ADMIN).await, &codes[1]).await.problem(401, "bad_code");
    assert_eq!(here.send("DELETE", "/me/totp", None).await.status, 204);
    browser.send("GET", "/me", None).await.problem(401, "not_signed_in");
    Browser::sign_in(&server, ADMIN, PASSWORD).await;

    let log = server.kill();
    for secret in codes.iter().chain([&app.secret, &first]) {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
    }
}

mod a_second_factor_makes_a_second_step {
    use super::*;

    #[tokio::test]
    async fn sqlite() {
        check_two_steps(Home::sqlite()).await;
    }

    #[tokio::test]
    async fn postgres() {
        check_two_steps(Home::postgres().await).await;
    }
}

/// Every operation but those: refused before anything else is looked at.
async fn check_limited(server: &Server, browser: &Browser, code: &str, allowed: &[&str]) {
    let operations = coverage::operations(&browser.api).await;
    let mut open = Vec::new();
    let cookie = [("cookie", browser.cookie.as_str()), ("sec-fetch-site", "same-origin")];
    for operation in operations.iter().filter(|operation| !operation.is_open) {
        let name = operation.name();
        if allowed.contains(&name.as_str()) {
            open.push(name);
            continue;
        }
        let answer = coverage::refused(operation, &server.api(None), &cookie).await;
        answer.problem(403, code);
    }
    assert_eq!(open.len(), allowed.len(), "{open:?}");
    let me = browser.send("GET", "/me", None).await.is(200);
    assert_eq!(me["permissions"], json!([]));
}

#[tokio::test]
async fn a_limited_sign_in_can_mend_that_and_nothing_else() {
    const OWN: [&str; 2] = ["GET /api/v1/me", "DELETE /api/v1/session"];
    let home = Home::sqlite();
    let token = home.admin_token();
    let server = home.start();
    let admin = server.api(token.as_str());
    let new =
        json!({ "email": "bob@example.com", "name": "Bob", "role": "technician", "password": PASSWORD });
    assert_eq!(admin.post("/users", &new).await.is(201)["must_change_password"], true);
    let required = json!({ "required": true });
    let role = admin.send("PUT", "/roles/technician/second-factor", Some(&required)).await.is(200);
    assert_eq!(role["second_factor_required"], true);

    let mut bob = Browser::sign_in(&server, "bob@example.com", PASSWORD).await;
    let me = bob.send("GET", "/me", None).await.is(200);
    assert_eq!(me["limited_to"], "change_password");
    let allowed = [OWN.as_slice(), &["PUT /api/v1/me/password"]].concat();
    check_limited(&server, &bob, "password_change_needed", &allowed).await;
    let same = json!({ "old": PASSWORD, "new": PASSWORD });
    assert_eq!(
        bob.send("PUT", "/me/password", Some(same)).await.problem(422, "weak_password")["field"],
        "new"
    );
    let own = "a password of his own";
    let changed = bob.send("PUT", "/me/password", Some(json!({ "old": PASSWORD, "new": own }))).await;
    changed.is(200);
    bob.cookie = cookie_of(&changed);

    assert_eq!(bob.send("GET", "/me", None).await.is(200)["limited_to"], "enrol_second_factor");
    let allowed = [
        OWN.as_slice(),
        &[
            "POST /api/v1/me/passkeys",
            "POST /api/v1/me/passkeys/confirm",
            "POST /api/v1/me/totp",
            "POST /api/v1/me/totp/confirm",
        ],
    ]
    .concat();
    check_limited(&server, &bob, "second_factor_needed", &allowed).await;
    enrol(&mut bob).await;
    let me = bob.send("GET", "/me", None).await.is(200);
    assert_eq!((&me["limited_to"], bob.send("GET", "/clients", None).await.status), (&json!(null), 200));

    // Who removes it is limited again, until the role asks no more.
    bob.send("POST", "/session/step-up", Some(json!({ "password": own }))).await.is(200);
    assert_eq!(bob.send("DELETE", "/me/totp", None).await.status, 204);
    bob.send("GET", "/clients", None).await.problem(403, "second_factor_needed");
    let optional = json!({ "required": false });
    admin.send("PUT", "/roles/technician/second-factor", Some(&optional)).await.is(200);
    assert_eq!(bob.send("GET", "/clients", None).await.status, 200);
    assert_eq!(bob.send("DELETE", "/session", None).await.status, 204);
}

#[tokio::test]
async fn a_lost_second_factor_is_removed_by_others_and_never_by_a_token_of_its_owner() {
    let home = Home::sqlite();
    let token = home.admin_token();
    home.add_user("bob@example.com", "technician");
    let server = home.start();
    let admin = server.api(token.as_str());
    let cli = |args: &[&str], code: i32| home.cli(&server, &token, args, PASSWORD).ends_with(code);
    let mut ann = Browser::sign_in(&server, ADMIN, PASSWORD).await;
    enrol(&mut ann).await;
    let mut bob = Browser::sign_in(&server, "bob@example.com", PASSWORD).await;
    enrol(&mut bob).await;

    for (method, path, body) in [
        ("POST", "/me/totp", None),
        ("POST", "/me/totp/confirm", Some(json!({ "code": "123456" }))),
        ("DELETE", "/me/totp", None),
        ("POST", "/me/recovery-codes", None),
        ("POST", "/session/step-up", Some(json!({ "password": PASSWORD }))),
    ] {
        let told = admin.send(method, path, body.as_ref()).await.problem(409, "not_a_person");
        assert!(told["detail"].as_str().unwrap().contains("sign in in a browser"), "{told}");
    }
    let own = cli(&["users", "reset-second-factor", ADMIN, "--yes"], 5);
    assert!(own.err.contains("this is your own account"), "{}", own.err);
    let bobs = home.token("bob@example.com", "user");
    let ann_id = admin.get("/me").await["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/users/{ann_id}/second-factors");
    server.api(bobs.as_str()).send("DELETE", &path, None).await.problem(403, "permission_missing");

    assert!(cli(&["users", "list"], 0).out.contains("totp"));
    cli(&["users", "reset-second-factor", "bob@example.com"], 2);
    let done = cli(&["users", "reset-second-factor", "bob@example.com", "--yes"], 0).out;
    assert!(done.contains("no second factor any more"), "{done}");
    bob.send("GET", "/me", None).await.problem(401, "not_signed_in");
    Browser::sign_in(&server, "bob@example.com", PASSWORD).await;

    let console = ["user", "reset-second-factor", "--email", ADMIN, "--json"];
    let reset = home.run(&console, "").ends_with(0).json();
    assert_eq!(reset["second_factors"], json!([]));
    ann.send("GET", "/me", None).await.problem(401, "not_signed_in");
    Browser::sign_in(&server, ADMIN, PASSWORD).await;
    home.run(&["user", "reset-second-factor", "--email", "eve@example.com"], "").ends_with(4);

    let set = cli(&["roles", "second-factor", "read_only", "required"], 0).out;
    assert!(set.contains("required"), "{set}");
    assert!(cli(&["roles", "list"], 0).out.contains("required"));
    let listed = cli(&["roles", "list", "--json"], 0).json();
    let guarded =
        listed["items"].as_array().unwrap().iter().filter(|role| role["second_factor_required"] == true);
    assert_eq!(guarded.count(), 1);
    cli(&["roles", "second-factor", "read_only", "optional"], 0);
    assert!(!cli(&["roles", "list"], 0).out.contains("required"));
}

#[tokio::test]
async fn an_account_made_at_the_console_for_somebody_begins_with_a_change_of_password() {
    let home = Home::sqlite();
    let create = |email: &str, more: &[&str]| {
        let args = [&["user", "create", "--email", email, "--password", "-"], more].concat();
        home.run(&args, PASSWORD).ends_with(0).out
    };
    assert!(!create(ADMIN, &[]).contains("change"), "the first admin makes an own account");
    assert!(create("bob@example.com", &[]).contains("has to change the password"));
    assert!(!create("cy@example.com", &["--own-password"]).contains("change"));
    let reset = ["user", "reset-password", "--email", "cy@example.com", "--password", "-"];
    assert!(home.run(&reset, PASSWORD).ends_with(0).out.contains("has to change the password"));
    let server = home.start();
    for (email, limit) in [(ADMIN, json!(null)), ("bob@example.com", json!("change_password"))] {
        let browser = Browser::sign_in(&server, email, PASSWORD).await;
        assert_eq!(browser.send("GET", "/me", None).await.is(200)["limited_to"], limit, "{email}");
    }
}
