//! Users, roles and sign-ins: over REST with a browser's cookie, and with the command line.

use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    home::{ADMIN, Home, PASSWORD, Server},
};

const BOB: &str = "bob@example.com";

/// A browser that is signed in.
pub(crate) struct Browser {
    pub(crate) api: Api,
    pub(crate) cookie: String,
}

impl Browser {
    pub(crate) async fn sign_in(server: &Server, email: &str, password: &str) -> Browser {
        let api = server.api(None);
        let answer = api.post("/session", &json!({ "email": email, "password": password })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Browser { api, cookie: cookie_of(&answer) }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ];
        self.api.send_with(method, path, &headers, body.map(|body| body.to_string())).await
    }
}

/// The cookie that an answer sets.
pub(crate) fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// An admin's API, and Bob, who has an own role and a token with all of its rights.
struct People {
    home: Home,
    server: Server,
    token: String,
    admin: Api,
    bob: String,
    role: String,
    bobs: Api,
}

async fn people(home: Home, permissions: &[&str]) -> People {
    let token = home.admin_token();
    let server = home.start();
    let admin = server.api(token.as_str());
    let role = admin.post("/roles", &json!({ "name": "Own", "permissions": permissions })).await.is(201);
    let new = json!({ "email": BOB, "name": "Bob", "role": role["id"], "password": PASSWORD });
    let bob = admin.post("/users", &new).await.is(201);
    let own = ["user", "reset-password", "--email", BOB, "--own-password", "--password", "-"];
    home.run(&own, PASSWORD).ends_with(0);
    assert_eq!((&bob["role"], &bob["role_name"]), (&role["id"], &json!("Own")));
    let bobs = server.api(home.token(BOB, "user").as_str());
    let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
    People { token, admin, bob: text(&bob), role: text(&role), bobs, server, home }
}

#[tokio::test]
async fn a_change_of_rights_reaches_sessions_and_tokens_at_once() {
    let People { home: _home, server, admin, bob, role, bobs, .. } =
        people(Home::sqlite(), &["assets:read", "clients:manage"]).await;
    let browser = Browser::sign_in(&server, BOB, PASSWORD).await;
    assert_eq!(browser.send("GET", "/clients", None).await.status, 200);
    bobs.post("/clients", &json!({ "name": "One" })).await.is(201);

    let narrowed = json!({ "permissions": ["assets:read"] });
    admin.patch(&format!("/roles/{role}"), &narrowed).await.is(200);
    browser.send("GET", "/clients", None).await.problem(401, "not_signed_in");
    bobs.post("/clients", &json!({ "name": "Two" })).await.problem(403, "permission_missing");
    bobs.get("/clients").await;
    let again = Browser::sign_in(&server, BOB, PASSWORD).await;
    assert_ne!(again.cookie, browser.cookie);
    assert_eq!(again.send("GET", "/me", None).await.is(200)["permissions"], json!(["assets:read"]));

    admin.patch(&format!("/users/{bob}"), &json!({ "role": "approver" })).await.is(200);
    again.send("GET", "/me", None).await.problem(401, "not_signed_in");
    assert_eq!(bobs.get("/me").await["permissions"], json!(["assets:read"]), "a token never gets more");

    admin.patch(&format!("/users/{bob}"), &json!({ "disabled": true })).await.is(200);
    bobs.fetch("/me").await.problem(401, "bad_token");
    let credentials = json!({ "email": BOB, "password": PASSWORD });
    server.api(None).post("/session", &credentials).await.problem(401, "bad_credentials");
    admin.patch(&format!("/users/{bob}"), &json!({ "disabled": false })).await.is(200);
    let password = json!({ "password": "another good password" });
    assert_eq!(admin.post(&format!("/users/{bob}/password"), &password).await.status, 204);
    Browser::sign_in(&server, BOB, "another good password").await;
}

#[tokio::test]
async fn who_manages_users_cannot_climb() {
    let People { home: _home, server: _server, admin, bob, role, bobs, .. } =
        people(Home::sqlite(), &["users:manage", "assets:read"]).await;
    let ann = admin.get("/me").await["user"]["id"].as_str().unwrap().to_owned();
    let eve =
        |role: &str| json!({ "email": "eve@example.com", "name": "Eve", "role": role, "password": PASSWORD });
    let taken = json!({ "password": "another good password" });
    let answers = [
        bobs.patch(&format!("/users/{bob}"), &json!({ "role": "admin" })).await,
        bobs.patch(&format!("/users/{ann}"), &json!({ "role": role })).await,
        bobs.patch(&format!("/users/{ann}"), &json!({ "disabled": true })).await,
        bobs.post(&format!("/users/{ann}/password"), &taken).await,
        bobs.post("/users", &eve("technician")).await,
        bobs.post("/roles", &json!({ "name": "More", "permissions": ["freeze"] })).await,
        bobs.patch(&format!("/roles/{role}"), &json!({ "permissions": ["users:manage", "freeze"] })).await,
    ];
    for answer in answers {
        answer.problem(403, "permission_missing");
    }
    let demoted = admin.patch(&format!("/users/{ann}"), &json!({ "role": "read_only" })).await;
    let problem = demoted.problem(409, "last_admin");
    assert!(problem["detail"].as_str().unwrap().contains("give them to somebody else first"), "{problem}");
    admin.patch(&format!("/users/{ann}"), &json!({ "disabled": true })).await.problem(409, "last_admin");
    admin.post(&format!("/users/{ann}/password"), &taken).await.problem(409, "own_password");
    bobs.post("/users", &eve(&role)).await.is(201);
    bobs.patch("/roles/admin", &json!({ "name": "Mine" })).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_limit_to_some_clients_is_given_and_counts_at_once() {
    let People { home, server, admin, bob, bobs, .. } =
        people(Home::sqlite(), &["users:manage", "assets:read", "clients:manage"]).await;
    let mut clients = Vec::new();
    for name in ["One", "Two"] {
        let made = admin.post("/clients", &json!({ "name": name })).await.is(201);
        clients.push(made["id"].as_str().unwrap().to_owned());
    }
    let (one, two) = (clients[0].as_str(), clients[1].as_str());
    let browser = Browser::sign_in(&server, BOB, PASSWORD).await;
    assert_eq!(admin.get(&format!("/users/{bob}")).await["clients"], Value::Null);
    let limited = admin.patch(&format!("/users/{bob}"), &json!({ "clients": [one, one] })).await.is(200);
    assert_eq!(limited["clients"], json!([one]));
    browser.send("GET", "/clients", None).await.problem(401, "not_signed_in");
    let browser = Browser::sign_in(&server, BOB, PASSWORD).await;
    let seen = browser.send("GET", "/clients", None).await.is(200);
    assert_eq!((&seen["total"], &seen["items"][0]["id"]), (&json!(1), &json!(one)));
    assert_eq!(bobs.get("/clients").await["total"], 1);
    assert_eq!(bobs.get("/me").await["user"]["clients"], json!([one]));
    let tokens = json!({ "name": "another", "kind": "user", "days": 1 });
    let token = bobs.post("/tokens", &tokens).await.is(201)["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        server.api(token.as_str()).get("/clients").await["total"],
        1,
        "a token sees no more than its user"
    );

    let ann = admin.get("/me").await["user"]["id"].as_str().unwrap().to_owned();
    let role = bobs.get("/me").await["user"]["role"].clone();
    let eve = |clients: Value| json!({ "email": "eve@example.com", "name": "Eve", "role": role, "clients": clients, "password": PASSWORD });
    let taken = json!({ "password": "another good password" });
    let anns_token = admin.get("/tokens").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["user_id"] == ann.as_str())
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let beyond = [
        bobs.post("/users", &eve(Value::Null)).await,
        bobs.patch(&format!("/users/{bob}"), &json!({ "clients": null })).await,
        bobs.send("DELETE", &format!("/users/{ann}/sessions"), None).await,
        bobs.send("DELETE", &format!("/tokens/{anns_token}"), None).await,
        bobs.post("/clients", &json!({ "name": "Two" })).await,
        bobs.post("/clients", &json!({ "name": "Three" })).await,
        bobs.patch(&format!("/clients/{one}"), &json!({ "name": "Two" })).await,
    ];
    for answer in beyond {
        let problem = answer.problem(403, "limited_to_clients");
        assert!(problem["detail"].as_str().unwrap().contains("ask somebody"), "{problem}");
    }
    bobs.post(&format!("/users/{ann}/password"), &taken).await.problem(403, "limited_to_clients");
    let unknown = "cli_0192aaaaaaaa7aaa8aaaaaaaaaaaaaaa";
    let outside = bobs.post("/users", &eve(json!([two]))).await;
    assert_eq!(outside.problem(422, "unknown_client")["field"], "clients");
    let nothing = bobs.post("/users", &eve(json!([unknown]))).await;
    assert_eq!(outside.without_request_id(), nothing.without_request_id());
    admin
        .patch(&format!("/users/{bob}"), &json!({ "clients": [unknown] }))
        .await
        .problem(422, "unknown_client");
    let made = bobs.post("/users", &eve(json!([one]))).await.is(201);
    let eve = format!("/users/{}", made["id"].as_str().unwrap());
    admin.patch(&eve, &json!({ "clients": [one, two] })).await.is(200);
    assert_eq!(bobs.get(&eve).await["clients"], json!([one]), "without the client that is outside");
    bobs.patch(&eve, &json!({ "name": "Mine" })).await.problem(403, "limited_to_clients");
    admin.patch(&format!("/users/{ann}"), &json!({ "clients": [] })).await.problem(409, "last_admin");
    assert_eq!(admin.patch(&eve, &json!({ "clients": null })).await.is(200)["clients"], Value::Null);

    admin.patch(&format!("/users/{bob}"), &json!({ "clients": [] })).await.is(200);
    assert_eq!(bobs.get("/clients").await["total"], 0);
    drop(home);
}

#[tokio::test]
async fn limits_are_given_with_the_command_line() {
    let People { home, server, token, admin, .. } = people(Home::sqlite(), &["assets:read"]).await;
    for name in ["Northwind", "Contoso"] {
        admin.post("/clients", &json!({ "name": name })).await.is(201);
    }
    let cli = |args: &[&str], code: i32| home.cli(&server, &token, args, PASSWORD).ends_with(code);
    let shown = cli(&["users", "set-clients", BOB, "--client", "northwind", "--client", "CONTOSO"], 0).out;
    assert!(shown.contains("Northwind") && shown.contains("Contoso"), "{shown}");
    assert_eq!(cli(&["users", "show", "Bob", "--json"], 0).json()["clients"].as_array().unwrap().len(), 2);
    let listed = cli(&["users", "list"], 0).out;
    assert!(listed.contains("Clients") && listed.contains("all") && listed.contains(" 2 "), "{listed}");
    assert_eq!(cli(&["users", "set-clients", BOB, "--none", "--json"], 0).json()["clients"], json!([]));
    assert!(cli(&["users", "show", BOB], 0).out.contains("none"));
    assert_eq!(cli(&["users", "set-clients", BOB, "--all", "--json"], 0).json()["clients"], Value::Null);
    cli(&["users", "set-clients", BOB], 2);
    cli(&["users", "set-clients", BOB, "--all", "--client", "Contoso"], 2);
    assert!(
        cli(&["users", "set-clients", BOB, "--client", "Fabrikam"], 4).err.contains("no client `Fabrikam`")
    );
    let create =
        ["users", "create", "cy@example.com", "--role", "Own", "--client", "Contoso", "--password", "-"];
    assert!(cli(&create, 0).out.contains("Contoso"));

    let at_console =
        ["user", "create", "--email", "di@example.com", "--client", "contoso", "--password", "-", "--json"];
    let made = home.run(&at_console, PASSWORD).ends_with(0).json();
    assert_eq!(made["clients"].as_array().unwrap().len(), 1);
    let wrong = ["user", "create", "--email", "ed@example.com", "--client", "Fabrikam", "--password", "-"];
    let wrong = home.run(&wrong, PASSWORD).ends_with(4);
    assert!(wrong.err.contains("no client `Fabrikam`"), "{}", wrong.err);
    let di = server.api(home.token("di@example.com", "user").as_str());
    assert_eq!(di.get("/clients").await["items"][0]["name"], "Contoso");
    // She is an admin, but not one who could take over: the last admin is somebody else still.
    let last = home.run(&["user", "disable", "--email", ADMIN], "").ends_with(2);
    assert!(last.err.contains("last admin"), "{}", last.err);
}

#[tokio::test]
async fn sign_ins_are_listed_and_ended() {
    let People { home: _home, server, admin, bob, bobs, .. } = people(Home::sqlite(), &["assets:read"]).await;
    let here = Browser::sign_in(&server, BOB, PASSWORD).await;
    let there = Browser::sign_in(&server, BOB, PASSWORD).await;
    let listed = here.send("GET", "/me/sessions", None).await.is(200);
    let items = listed["items"].as_array().unwrap();
    let current: Vec<&Value> = items.iter().filter(|item| item["current"] == true).collect();
    assert_eq!((items.len(), current.len()), (2, 1));
    bobs.fetch(&format!("/users/{bob}/sessions")).await.problem(403, "permission_missing");
    assert_eq!(here.send("DELETE", "/me/sessions", None).await.status, 204);
    there.send("GET", "/me", None).await.problem(401, "not_signed_in");
    assert_eq!(here.send("GET", "/me", None).await.status, 200);

    let sessions = format!("/users/{bob}/sessions");
    let left = admin.get(&sessions).await;
    assert_eq!((&left["total"], &left["items"][0]["id"]), (&json!(1), &current[0]["id"]));
    let one = format!("{sessions}/{}", current[0]["id"].as_str().unwrap());
    admin.send("DELETE", &format!("{sessions}/ses_1"), None).await.problem(400, "invalid_parameter");
    assert_eq!(admin.send("DELETE", &one, None).await.status, 204);
    admin.send("DELETE", &one, None).await.problem(404, "not_found");
    here.send("GET", "/me", None).await.problem(401, "not_signed_in");
    let forged = [("cookie", here.cookie.as_str()), ("sec-fetch-site", "cross-site")];
    here.api.send_with("DELETE", "/me/sessions", &forged, None).await.problem(403, "cross_site");
}

#[tokio::test]
async fn people_are_managed_with_the_command_line() {
    let People { home, server, token, bob, .. } = people(Home::sqlite(), &["assets:read"]).await;
    let cli = |args: &[&str], code: i32| home.cli(&server, &token, args, PASSWORD).ends_with(code);
    let listed = cli(&["users", "list"], 0).out;
    assert!(listed.contains(BOB) && listed.contains("Own") && listed.contains("active"), "{listed}");
    let list = cli(&["users", "list", "--json"], 0).json();
    assert_eq!(list["total"], 2);
    cli(&["users", "create", "cy@example.com", "--role", "technician", "--password", "-"], 0);
    let changed = cli(&["users", "set-role", "CY@example.com", "own", "--json"], 0).json();
    assert_eq!(changed["role_name"], "Own");
    assert_eq!(cli(&["users", "set-role", BOB, "nobody"], 4).out, "");
    cli(&["users", "disable", "Bob"], 2);
    assert!(cli(&["users", "disable", "Bob", "--yes"], 0).out.contains("disabled"));
    assert!(cli(&["users", "enable", &bob], 0).out.contains("active"));
    let refused = cli(&["users", "disable", ADMIN, "--yes"], 5);
    assert!(refused.err.contains("give them to somebody else first"), "{}", refused.err);

    Browser::sign_in(&server, BOB, PASSWORD).await;
    let session = cli(&["users", "sessions", "--user", BOB, "--json"], 0).json()["items"][0]["id"].clone();
    cli(&["users", "end-session", session.as_str().unwrap(), "--user", BOB], 0);
    cli(&["users", "end-session", "--all", "--user", BOB], 0);
    assert_eq!(cli(&["users", "sessions"], 0).out, "");
    cli(&["users", "reset-password", BOB, "--password", "-"], 0);

    let made =
        cli(&["roles", "create", "Night", "--permissions", "assets:read,alerts:read", "--json"], 0).json();
    assert_eq!(made["permissions"], json!(["assets:read", "alerts:read"]));
    let edited = cli(&["roles", "edit", "night", "--name", "Nights", "--permissions", "assets:read"], 0).out;
    assert!(edited.contains("Nights") && !edited.contains("alerts:read"), "{edited}");
    let built_in = cli(&["roles", "edit", "admin", "--name", "Root"], 5);
    assert!(built_in.err.contains("built in"), "{}", built_in.err);
    let unknown = cli(&["roles", "create", "X", "--permissions", "assets:raed"], 5);
    assert!(unknown.err.contains("no permission `assets:raed`"), "{}", unknown.err);
    cli(&["roles", "remove", "Own", "--yes"], 5);
    cli(&["roles", "remove", "Nights", "--yes"], 0);
    assert!(!cli(&["roles", "list"], 0).out.contains("Nights"));
}

/// Two tenants, made at the console: neither sees the other's people, and an address names one of them.
async fn check_tenants(home: Home) {
    let ann = home.admin_token();
    let made = home.run(&["tenant", "create", "Northwind", "--json"], "").ends_with(0).json();
    assert_eq!(made["id"], 2);
    assert_eq!(home.run(&["tenant", "create", "northwind"], "").ends_with(5).out, "");
    let list = home.run(&["tenant", "list"], "").ends_with(0).out;
    assert!(list.contains("Northwind"), "{list}");
    let create = ["user", "create", "--tenant", "Northwind", "--email", "eve@example.com", "--password", "-"];
    home.run(&create, PASSWORD).ends_with(0);
    let nowhere = ["user", "create", "--tenant", "Southwind", "--email", "x@example.com", "--password", "-"];
    home.run(&nowhere, PASSWORD).ends_with(4);
    let everybody = home.run(&["user", "list", "--json"], "").ends_with(0).json();
    assert_eq!(everybody["total"], 2);
    let theirs = home.run(&["user", "list", "--tenant", "2", "--json"], "").ends_with(0).json();
    assert_eq!((&theirs["total"], &theirs["items"][0]["tenant_id"]), (&json!(1), &json!(2)));
    let eve = home.token("eve@example.com", "user");
    let server = home.start();
    let (ann, eve) = (server.api(ann.as_str()), server.api(eve.as_str()));
    for (api, email) in [(&ann, ADMIN), (&eve, "eve@example.com")] {
        let users = api.get("/users").await;
        assert_eq!((&users["total"], &users["items"][0]["email"]), (&json!(1), &json!(email)));
    }
    let taken = json!({ "email": "EVE@example.com", "name": "Eve", "role": "admin", "password": PASSWORD });
    ann.post("/users", &taken).await.problem(409, "email_taken");
    let role = json!({ "name": "Own", "permissions": ["assets:read"] });
    let role = ann.post("/roles", &role).await.is(201)["id"].clone();
    let new = json!({ "email": "cy@example.com", "name": "Cy", "role": role, "password": PASSWORD });
    eve.post("/users", &new).await.problem(422, "unknown_role");
    Browser::sign_in(&server, "eve@example.com", PASSWORD).await;
    assert_eq!(ann.get("/me/sessions").await["total"], 0);
    assert_eq!(eve.get("/me/sessions").await["total"], 1);
    home.run(&["user", "disable", "--email", "eve@example.com", "--yes"], "").ends_with(0);
    eve.fetch("/me").await.problem(401, "bad_token");
    home.run(&["user", "enable", "--email", "eve@example.com"], "").ends_with(0);
    eve.get("/me").await;
}

mod two_tenants_have_people_of_their_own {
    use super::*;

    #[tokio::test]
    async fn sqlite() {
        check_tenants(Home::sqlite()).await;
    }

    #[tokio::test]
    async fn postgres() {
        check_tenants(Home::postgres().await).await;
    }
}
