//! Every operation of the OpenAPI document, called by everybody who must not.

use std::{collections::BTreeMap, time::Duration};

use domain::auth::{Permission, Permissions, Role, TokenKind};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::people::{NewPasskey, NewToken, NewUser};

use crate::{
    api::{Answer, Api, escaped},
    home::{ADMIN, Home, Server, now, system},
    rmm,
};

/// What anybody may call. This list may only get shorter.
const OPEN: [(&str, &str); 8] = [
    ("GET", "/api/v1/setup"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/session"),
    ("POST", "/api/v1/session/second-factor"),
    ("POST", "/api/v1/setup"),
];

pub(crate) struct Operation {
    id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    permission: Option<String>,
    pub(crate) is_open: bool,
    has_body: bool,
}

impl Operation {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn is_of_one(&self) -> bool {
        self.path.contains("{id}")
    }

    /// The kind of thing that the id in the path names.
    fn prefix(&self) -> &'static str {
        let collection = self.path.split('/').nth(3).unwrap();
        match collection {
            "assets" => "ast",
            "clients" => "cli",
            "me" if self.path.contains("/passkeys/") => "pky",
            "me" => "ses",
            "roles" => "rol",
            "users" => "usr",
            "integrations" => "int",
            "organizations" => "org",
            "proposals" => "pro",
            "sites" => "sit",
            "sync-runs" => "run",
            "tokens" => "tok",
            other => panic!("what do ids of `{other}` begin with?"),
        }
    }

    fn of(&self, id: &str) -> String {
        self.path.replace("{id}", id).replace("{session_id}", &unknown("ses"))
    }

    /// A body that is fine: what is refused is refused for the id.
    fn body(&self, client: &str, site: &str) -> Option<Value> {
        if !self.has_body {
            return None;
        }
        Some(match self.id.as_str() {
            "change_organization" => json!({ "auto_sync": true }),
            "merge_client" => json!({ "into": client }),
            "merge_site" => json!({ "into": site }),
            "merge_assets" => json!({ "other": unknown("ast") }),
            "merge_proposal" => json!({}),
            "split_asset" => json!({ "device_id": unknown("dev") }),
            "audit_asset" => json!({ "kinds": ["software"] }),
            "reconnect_integration" => json!({ "fields": {} }),
            "set_user_password" => json!({ "password": "no longer theirs" }),
            "create_site" | "rename_client" | "rename_passkey" | "rename_site" | "update_integration"
            | "update_role" | "update_user" => {
                json!({ "name": "Mine now" })
            }
            "set_role_second_factor" => json!({ "required": true }),
            "request_sync" => json!({ "kind": "devices" }),
            "sign_in_integration" | "test_integration" => json!({}),
            "update_asset" => json!({ "note": "mine now" }),
            other => panic!("`{other}` needs a body here"),
        })
    }
}

pub(crate) async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await;
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                permission: operation["x-permission"].as_str().map(str::to_owned),
                is_open: operation["security"] == json!([]),
                has_body: operation.get("requestBody").is_some(),
            });
        }
    }
    assert!(operations.len() >= 50, "only {} operations", operations.len());
    operations
}

/// Nobody has this one.
fn unknown(prefix: &str) -> String {
    format!("{prefix}_0192aaaaaaaa7aaa8aaaaaaaaaaaaaaa")
}

#[tokio::test]
async fn every_operation_is_closed_to_who_lacks_the_right() {
    let home = Home::sqlite();
    let token = home.admin_token();
    let agent = home.token(ADMIN, "agent");
    home.add_user("bob@example.com", "read_only");
    let bob = home.token("bob@example.com", "user");
    let server = home.start();
    let admin = server.api(token.as_str());
    let operations = operations(&admin).await;

    let mut open: Vec<(&str, &str)> =
        operations.iter().filter(|o| o.is_open).map(|o| (o.method.as_str(), o.path.as_str())).collect();
    open.sort_unstable();
    assert_eq!(open, OPEN);
    check_documented(&operations);

    let strangers = [
        server.api(None),
        server.api("nonsense"),
        server.api("fgu_0000000000000000000000000000000000000000000"),
        server.api(agent.as_str()),
    ];
    for operation in operations.iter().filter(|o| !o.is_open) {
        for (n, stranger) in strangers.iter().enumerate() {
            let code = ["not_signed_in", "bad_token", "bad_token", "token_not_accepted"][n];
            refused(operation, stranger, &[]).await.problem(401, code);
        }
        let forged =
            refused(operation, &strangers[0], &[("cookie", "fleetgate=forged"), ("sec-fetch-site", "none")]);
        forged.await.problem(401, "not_signed_in");
    }
    check_permissions(&admin, &server.api(bob.as_str()), &operations, &server.url).await;
    check_roles(&home, &server, &operations).await;
    check_unknown_ids(&admin, &operations).await;
    check_other_methods(&admin, &operations).await;
}

/// Calls with a body that cannot be read: who may not call does not learn that.
pub(crate) async fn refused(operation: &Operation, api: &Api, headers: &[(&str, &str)]) -> Answer {
    let path = if operation.is_of_one() {
        operation.of(&unknown(operation.prefix()))
    } else {
        operation.path.clone()
    };
    let body = operation.has_body.then(|| "{ not JSON".to_owned());
    api.send_with(&operation.method, &path, headers, body).await
}

/// Who has every right but the one that is asked for is refused by its name; so is who may only read.
async fn check_permissions(admin: &Api, bob: &Api, operations: &[Operation], url: &str) {
    let reading = Role::ReadOnly.permissions();
    let mut lacking: BTreeMap<String, Api> = BTreeMap::new();
    for operation in operations {
        let Some(permission) = &operation.permission else { continue };
        if !lacking.contains_key(permission) {
            let others: Vec<&str> =
                Permission::ALL.iter().map(|p| p.name()).filter(|name| name != permission).collect();
            let new = json!({ "name": permission, "kind": "user", "days": 1, "permissions": others });
            let made = admin.post("/tokens", &new).await.is(201);
            lacking.insert(permission.clone(), Api::new(url, made["secret"].as_str()));
        }
        let problem = refused(operation, &lacking[permission], &[]).await.problem(403, "permission_missing");
        assert_eq!(&problem["permission"], permission, "{}", operation.name());
        if !reading.has(Permission::from_name(permission).unwrap()) {
            let problem = refused(operation, bob, &[]).await.problem(403, "permission_missing");
            assert_eq!(&problem["permission"], permission, "{}", operation.name());
        }
    }
    assert_eq!(lacking.len(), 7, "{:?}", lacking.keys());
}

/// Each built-in role may call exactly what the table says: the rest is refused by the name of the right.
async fn check_roles(home: &Home, server: &Server, operations: &[Operation]) {
    for role in Role::ALL {
        let email = format!("{}@roles.example", role.name());
        home.add_user(&email, role.name());
        let token = home.token(&email, "user");
        let api = server.api(token.as_str());
        for operation in operations.iter().filter(|o| !o.is_open) {
            let needed = operation.permission.as_deref().and_then(Permission::from_name);
            let is_allowed = needed.is_none_or(|needed| role.permissions().has(needed));
            if is_allowed && operation.id == "get_events" {
                api.events(None).await; // a stream, which checks its answer
                continue;
            }
            let answer = refused(operation, &api, &[]).await;
            if is_allowed {
                assert!(
                    !matches!(answer.status, 401 | 403),
                    "{role:?} {}: {}",
                    operation.name(),
                    answer.text
                );
            } else {
                let problem = answer.problem(403, "permission_missing");
                assert_eq!(problem["permission"], needed.unwrap().name(), "{role:?} {}", operation.name());
            }
        }
    }
}

async fn check_unknown_ids(admin: &Api, operations: &[Operation]) {
    for operation in operations.iter().filter(|o| o.is_of_one()) {
        let body =
            operation.body("cli_0192bbbbbbbb7bbb8bbbbbbbbbbbbbbb", "sit_0192bbbbbbbb7bbb8bbbbbbbbbbbbbbb");
        let answer =
            admin.send(&operation.method, &operation.of(&unknown(operation.prefix())), body.as_ref()).await;
        answer.problem(404, "not_found");
        for nonsense in ["1", "ast_1", "%00", "..%2f..", &unknown("xyz"), &"a".repeat(3_000)] {
            let answer = admin.send(&operation.method, &operation.of(nonsense), body.as_ref()).await;
            assert_eq!(answer.problem(400, "invalid_parameter")["field"], "id", "{}", operation.name());
        }
    }
}

/// A method that is not documented does not exist.
async fn check_other_methods(admin: &Api, operations: &[Operation]) {
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for operation in operations {
        paths.entry(&operation.path).or_default().push(&operation.method);
    }
    for (path, documented) in paths {
        let path = path.replace("{id}", &unknown("ast")).replace("{session_id}", &unknown("ses"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            if documented.contains(&method) {
                continue;
            }
            let answer = admin.send(method, &path, None).await;
            answer.problem(405, "method_not_allowed");
            let mut allowed: Vec<&str> =
                answer.header("allow").split(", ").filter(|m| *m != "HEAD").collect();
            allowed.sort_unstable();
            let mut documented = documented.clone();
            documented.sort_unstable();
            assert_eq!(allowed, documented, "{method} {path}");
        }
    }
}

/// `docs/api.md` says of each operation what the document of the server says.
fn check_documented(operations: &[Operation]) {
    let mut documented = documented();
    for operation in operations.iter().filter(|o| o.path.starts_with("/api/v1/")) {
        let told = documented.remove(&operation.name());
        let told = told.unwrap_or_else(|| panic!("docs/api.md lacks {}", operation.name()));
        let right = match (&operation.permission, operation.is_open) {
            (Some(permission), _) => format!("`{permission}`"),
            (None, true) => "open".to_owned(),
            (None, false) => "signed in".to_owned(),
        };
        assert!(told == right || told == "several", "{}: {told}, but it is {right}", operation.name());
    }
    assert!(documented.is_empty(), "docs/api.md has more: {documented:?}");
}

/// Operation and right, from the table of routes.
fn documented() -> BTreeMap<String, String> {
    let text = include_str!("../../../../docs/api.md");
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let right = match cells[1] {
            "–" | "set-up token" => "open".to_owned(),
            text if text.starts_with("signed in") => "signed in".to_owned(),
            text if text.contains(" / ") => "several".to_owned(),
            text => text.to_owned(),
        };
        let mut last = String::new();
        for piece in cells[0].split('`').skip(1).step_by(2) {
            let piece = piece.split('?').next().unwrap();
            last = match piece.split_once(' ') {
                Some((method, path)) => format!("{method} /api/v1{path}"),
                // `POST /clients/{id}/archive`, `/restore`
                None => format!("{}{piece}", last.rsplit_once('/').unwrap().0),
            };
            found.insert(last.clone(), right.clone());
        }
    }
    assert!(found.len() > 40, "only {} operations in docs/api.md", found.len());
    found
}

mod another_tenants_data_is_not_there {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        check(Home::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        check(Home::postgres().await).await;
    }

    async fn check(mut home: Home) {
        let rmm = rmm::start(30, 3, Duration::ZERO).await;
        let connected = rmm::connect(&mut home, &rmm).await;
        let (ours, integration) = (&connected.api, &connected.integration);
        assert_eq!(ours.sync(integration, "devices", false).await["state"], "succeeded");
        let agent = rmm.control().agents(None).into_iter().find(|agent| agent.answers).unwrap();
        rmm.control().reinstall(&agent.agent_id).unwrap();
        // The old one falls silent.
        rmm.control().advance(700);
        assert_eq!(ours.sync(integration, "devices", false).await["counts"]["created"], 1);
        let night = json!({ "name": "Night shift", "permissions": ["assets:read"] });
        ours.post("/roles", &night).await.is(201);
        add_passkey(&home).await;
        let before = everything(ours).await;

        let (token, own_client, own_site) = second_tenant(&home).await;
        let theirs = connected.server.api(token.as_str());
        let operations = operations(ours).await;
        for operation in operations.iter().filter(|o| o.is_of_one()) {
            let body = operation.body(&own_client, &own_site);
            let real = path_to_ours(ours, operation).await;
            let real = theirs.send(&operation.method, &real, body.as_ref()).await;
            let unknown = operation.of(&unknown(operation.prefix()));
            let unknown = theirs.send(&operation.method, &unknown, body.as_ref()).await;
            real.problem(404, "not_found");
            assert_eq!(real.without_request_id(), unknown.without_request_id(), "{}", operation.name());
            let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(&real), names(&unknown), "{}", operation.name());
        }
        check_foreign_ids_in_bodies(ours, &theirs, &own_client, &own_site).await;
        check_lists_are_empty(ours, &theirs).await;
        assert_eq!(everything(ours).await, before, "nothing of it had an effect");
        check_events(&connected, &theirs).await;
    }

    /// An admin of tenant 2 with a token, and a client with a site.
    async fn second_tenant(home: &Home) -> (String, String, String) {
        let store = home.store().await;
        let ctx = system(store.create_tenant("Other", now()).await.unwrap().id.0);
        let tenant = store.tenant(&ctx);
        let new = NewUser {
            email: "eve@other.example",
            name: "Eve",
            role: Role::Admin.into(),
            password_hash: "none",
        };
        let user = tenant.users().create(&new).await.unwrap().id;
        let expires_at = now() + Duration::from_secs(3_600);
        let permissions = Permissions::all();
        let token = NewToken { user, kind: TokenKind::User, name: "eve", permissions, expires_at };
        let (_, secret) = tenant.tokens().create(&token).await.unwrap();
        let client = tenant.clients().create("Theirs").await.unwrap().id;
        let site = tenant.sites().create(client, "Theirs").await.unwrap();
        store.close().await;
        (secret.expose_secret().to_owned(), client.to_string(), site.to_string())
    }

    /// A passkey of the admin, who then signs in.
    async fn add_passkey(home: &Home) {
        let store = home.store().await;
        let ctx = system(1);
        let tenant = store.tenant(&ctx);
        let admin = tenant.users().find_by_email(ADMIN).await.unwrap().unwrap().id;
        let key = NewPasskey {
            rp_id: "fleet.example",
            credential_id: "aWQ",
            public_key: "a2V5",
            algorithm: -7,
            sign_count: 0,
            backup_eligible: false,
            backed_up: false,
            transports: &[],
            name: "Laptop",
        };
        tenant.passkeys().add(admin, &key).await.unwrap();
        tenant.sessions().create(admin, None).await.unwrap();
        store.close().await;
    }

    /// The lists of all that has an id in a path.
    const LISTS: [&str; 11] = [
        "/integrations",
        "/sync-runs",
        "/organizations",
        "/clients",
        "/assets",
        "/proposals",
        "/tokens",
        "/users",
        "/roles",
        "/me/sessions",
        "/me/passkeys",
    ];

    /// The operation on something that `api` has.
    async fn path_to_ours(api: &Api, operation: &Operation) -> String {
        let collection = operation.path.split('/').nth(3).unwrap();
        let id = match collection {
            "sites" => id_in(api, "assets", "/items/0/site/id").await,
            "me" if operation.path.contains("/passkeys/") => id_in(api, "me/passkeys", "/items/0/id").await,
            "me" => id_in(api, "me/sessions", "/items/0/id").await,
            "roles" => id_in(api, "roles", &format!("/items/{}/id", Role::ALL.len())).await,
            other => id_in(api, other, "/items/0/id").await,
        };
        let session = id_in(api, "me/sessions", "/items/0/id").await;
        operation.path.replace("{id}", &id).replace("{session_id}", &session)
    }

    async fn id_in(api: &Api, list: &str, pointer: &str) -> String {
        let found = api.get(&format!("/{list}")).await;
        let id = found.pointer(pointer).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("there is nothing in {list} to try with")).to_owned()
    }

    /// All that could have been changed, without times of use.
    async fn everything(api: &Api) -> Vec<Value> {
        let mut all = Vec::new();
        for path in LISTS.iter().filter(|path| **path != "/tokens" && **path != "/sync-runs") {
            all.extend(api.all(path, 200).await);
        }
        for item in all.iter_mut().filter_map(Value::as_object_mut) {
            for moving in
                ["last_detail_at", "last_used_at", "updated_at", "version", "last_check", "last_check_at"]
            {
                item.remove(moving);
            }
        }
        all
    }

    async fn check_foreign_ids_in_bodies(ours: &Api, theirs: &Api, own_client: &str, own_site: &str) {
        let client = ours.get("/clients").await["items"][0]["id"].as_str().unwrap().to_owned();
        let merge = async |into: &str| {
            theirs.post(&format!("/clients/{own_client}/merge"), &json!({ "into": into })).await
        };
        let (real, unknown) = (merge(&client).await, merge(&unknown("cli")).await);
        real.problem(404, "not_found");
        assert_eq!(real.without_request_id(), unknown.without_request_id());
        let site = ours.get("/assets").await["items"][0]["site"]["id"].as_str().unwrap().to_owned();
        let merge = async |into: &str| {
            theirs.post(&format!("/sites/{own_site}/merge"), &json!({ "into": into })).await
        };
        let (real, unknown) = (merge(&site).await, merge(&super::unknown("sit")).await);
        real.problem(404, "not_found");
        assert_eq!(real.without_request_id(), unknown.without_request_id());
        let integration = ours.get("/integrations").await["items"][0]["id"].clone();
        let accept = json!({ "integration_id": integration, "min_score": 70, "auto_sync": true, "create_missing": true });
        let accepted = theirs.post("/organizations/accept-suggestions", &accept).await;
        if accepted.status == 200 {
            assert_eq!(accepted.json(), json!({ "mapped": 0, "created": 0, "skipped": 0 }));
        } else {
            accepted.problem(404, "not_found");
        }
    }

    async fn check_lists_are_empty(ours: &Api, theirs: &Api) {
        for path in LISTS {
            let expected = match path {
                "/tokens" | "/clients" | "/users" => 1,
                "/roles" => Role::ALL.len(),
                _ => 0,
            };
            assert_eq!(theirs.get(path).await["total"], expected, "{path}");
            assert!(!ours.get(path).await["items"].as_array().unwrap().is_empty(), "{path}");
        }
        let asset = ours.get("/assets").await["items"][0].clone();
        let filters = [
            format!("client_id={}", asset["client"]["id"].as_str().unwrap()),
            format!("integration_id={}", asset["integration_id"].as_str().unwrap()),
            format!("text={}", escaped(asset["name"].as_str().unwrap())),
        ];
        for filter in filters {
            assert_ne!(ours.get(&format!("/assets?{filter}")).await["total"], 0, "{filter}");
            assert_eq!(theirs.get(&format!("/assets?{filter}")).await["total"], 0, "{filter}");
        }
        assert_eq!(theirs.get("/assets.json").await, json!([]));
        for path in ["/assets.csv", "/organizations.csv"] {
            assert!(theirs.fetch(path).await.text.lines().count() <= 1, "{path}");
        }
        let site = asset["site"]["id"].as_str();
        if let Some(site) = site {
            assert_eq!(theirs.get(&format!("/assets?site_id={site}")).await["total"], 0);
        }
    }

    /// From the beginning of all events, the first that tenant 2 sees is its own.
    async fn check_events(connected: &rmm::Connected, theirs: &Api) {
        let mut ours = connected.api.events(Some(0)).await;
        assert!(ours.next().await.id > 0);
        let mut stream = theirs.events(Some(0)).await;
        let first = stream.next().await;
        assert_eq!(first.kind, "client_changed");
        let client = theirs.get("/clients").await["items"][0]["id"].clone();
        assert_eq!(first.subject, client);
    }
}

/// Somebody limited to one client asks everything about the things of others, and about their own.
mod what_is_outside_a_limit_is_not_there {
    use super::*;

    /// Collections whose things belong to people and not to clients.
    const OF_PEOPLE: [&str; 4] = ["me", "roles", "tokens", "users"];

    /// Collections that span clients: to whoever may see only some there is nothing in them.
    const SPANNING: [&str; 2] = ["integrations", "sync-runs"];

    /// One of each kind of thing, by the collection.
    type Things = BTreeMap<&'static str, String>;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        check(Home::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        check(Home::postgres().await).await;
    }

    async fn check(mut home: Home) {
        let rmm = rmm::start(30, 3, Duration::ZERO).await;
        let connected = rmm::connect(&mut home, &rmm).await;
        let all = &connected.api;
        assert_eq!(all.sync(&connected.integration, "devices", false).await["state"], "succeeded");
        for client in [1, 2] {
            let agents = rmm.control().agents(Some(client));
            let agent = agents.into_iter().find(|agent| agent.answers).unwrap();
            rmm.control().reinstall(&agent.agent_id).unwrap();
            // The old one falls silent.
            rmm.control().advance(700);
        }
        all.sync(&connected.integration, "devices", false).await;
        let clients = clients_with_proposals(all).await;
        assert!(clients.len() >= 2, "two clients have a machine that was reinstalled: {clients:?}");
        let (inside, outside) =
            (things(all, &connected, &clients[0]).await, things(all, &connected, &clients[1]).await);
        home.add_user("bob@example.com", "admin");
        let token = home.token("bob@example.com", "user");
        let bob = all.get("/users").await["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|user| user["email"] == "bob@example.com")
            .unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        all.patch(&format!("/users/{bob}"), &json!({ "clients": [inside["clients"]] })).await.is(200);
        let bob = connected.server.api(token.as_str());

        check_lists(all, &bob, &inside).await;
        check_filters(&bob, &outside).await;
        check_events(&bob).await;
        let before =
            (counts(all).await, all.get(&format!("/assets/{}", outside["assets"])).await["note"].clone());
        let operations = operations(all).await;
        for operation in operations.iter().filter(|o| o.is_of_one()) {
            check_outside(&bob, operation, &inside, &outside).await;
        }
        check_bodies(&bob, &inside, &outside).await;
        let after =
            (counts(all).await, all.get(&format!("/assets/{}", outside["assets"])).await["note"].clone());
        assert_eq!(after, before, "nothing of it had an effect");
        for operation in operations.iter().filter(|o| o.is_of_one()) {
            check_inside(&bob, operation, &inside).await;
        }
    }

    /// Clients of the assets that proposals are about, each once.
    async fn clients_with_proposals(api: &Api) -> Vec<String> {
        let mut found = Vec::new();
        for proposal in api.all("/proposals", 200).await {
            let asset = api.get(&format!("/assets/{}", proposal["asset_id"].as_str().unwrap())).await;
            let other = api.get(&format!("/assets/{}", proposal["other_asset_id"].as_str().unwrap())).await;
            let client = asset["client"]["id"].as_str().unwrap().to_owned();
            if other["client"]["id"] == client.as_str() && !found.contains(&client) {
                found.push(client);
            }
        }
        found
    }

    async fn things(api: &Api, connected: &rmm::Connected, client: &str) -> Things {
        let assets = api.get(&format!("/assets?client_id={client}&limit=200")).await;
        let assets = assets["items"].as_array().unwrap();
        let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let of_client = |id: &Value| assets.iter().any(|asset| &asset["id"] == id);
        let proposals = api.all("/proposals", 200).await;
        let proposal = proposals.iter().find(|proposal| of_client(&proposal["asset_id"])).unwrap();
        let organizations = api.get(&format!("/organizations?client_id={client}")).await;
        let site = assets.iter().find(|asset| !asset["site"].is_null()).unwrap();
        Things::from([
            ("assets", proposal["asset_id"].as_str().unwrap().to_owned()),
            ("clients", client.to_owned()),
            ("integrations", connected.integration.clone()),
            ("organizations", text(&organizations["items"][0])),
            ("proposals", text(proposal)),
            ("sites", text(&site["site"])),
            ("sync-runs", text(&api.get("/sync-runs").await["items"][0])),
        ])
    }

    fn collection(operation: &Operation) -> &str {
        operation.path.split('/').nth(3).unwrap()
    }

    async fn check_outside(bob: &Api, operation: &Operation, inside: &Things, outside: &Things) {
        if OF_PEOPLE.contains(&collection(operation)) {
            return;
        }
        let body = operation.body(&inside["clients"], &inside["sites"]);
        let real = operation.of(&outside[collection(operation)]);
        let real = bob.send(&operation.method, &real, body.as_ref()).await;
        let nothing = operation.of(&unknown(operation.prefix()));
        let nothing = bob.send(&operation.method, &nothing, body.as_ref()).await;
        real.problem(404, "not_found");
        assert_eq!(real.without_request_id(), nothing.without_request_id(), "{}", operation.name());
        let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&real), names(&nothing), "{}", operation.name());
    }

    /// What is inside is there: read, changed, or refused with what to do.
    async fn check_inside(bob: &Api, operation: &Operation, inside: &Things) {
        let collection = collection(operation);
        let merges =
            ["merge_client", "merge_site", "merge_assets", "merge_proposal"].contains(&operation.id.as_str());
        if OF_PEOPLE.contains(&collection) || SPANNING.contains(&collection) || merges {
            return;
        }
        let body = operation.body(&inside["clients"], &inside["sites"]);
        let path = operation.of(&inside[collection]);
        let answer = bob.send(&operation.method, &path, body.as_ref()).await;
        assert_ne!(answer.status, 404, "{}: {}", operation.name(), answer.text);
        assert!(answer.status < 500, "{}: {}", operation.name(), answer.text);
        if operation.method == "GET" {
            answer.is(200);
        }
    }

    /// Each list is that of all without the rest, and says so many.
    async fn check_lists(all: &Api, bob: &Api, inside: &Things) {
        let client = inside["clients"].as_str();
        let whole = all.get(&format!("/assets?client_id={client}&limit=200")).await;
        let mut organizations = all.get(&format!("/organizations?client_id={client}&limit=200")).await;
        // Before, they were of nobody.
        organizations["items"][0]["can_undo"] = json!(false);
        for (path, expected) in [("/assets?limit=200", &whole), ("/organizations?limit=200", &organizations)]
        {
            let found = bob.get(path).await;
            assert_eq!(
                (&found["items"], &found["total"]),
                (&expected["items"], &expected["total"]),
                "{path}"
            );
        }
        assert!(whole["total"].as_u64() < all.get("/assets").await["total"].as_u64());
        let clients = bob.get("/clients").await;
        assert_eq!((&clients["total"], &clients["items"][0]["id"]), (&json!(1), &json!(client)));
        let proposals = bob.get("/proposals").await;
        let is_inside =
            |id: &Value| whole["items"].as_array().unwrap().iter().any(|asset| &asset["id"] == id);
        for proposal in proposals["items"].as_array().unwrap() {
            assert!(is_inside(&proposal["asset_id"]) && is_inside(&proposal["other_asset_id"]));
        }
        assert!(proposals["total"].as_u64() > Some(0));
        assert!(proposals["total"].as_u64() < all.get("/proposals").await["total"].as_u64());
        for path in ["/integrations", "/sync-runs"] {
            let found = bob.get(path).await;
            assert_eq!((&found["items"], &found["total"]), (&json!([]), &json!(0)), "{path}");
            assert_ne!(all.get(path).await["total"], 0);
        }
        assert_eq!(
            bob.get("/assets.json").await.as_array().unwrap().len() as u64,
            whole["total"].as_u64().unwrap()
        );
        let lines = |text: String| text.lines().count() as u64;
        assert_eq!(lines(bob.fetch("/assets.csv").await.text), whole["total"].as_u64().unwrap() + 1);
        let mapped = organizations["total"].as_u64().unwrap();
        assert_eq!(lines(bob.fetch("/organizations.csv").await.text), mapped + 1);
    }

    /// A filter by something outside answers like one by something that there is not.
    async fn check_filters(bob: &Api, outside: &Things) {
        let filters = [
            ("/assets?client_id=", "clients", "cli"),
            ("/assets?site_id=", "sites", "sit"),
            ("/assets.json?client_id=", "clients", "cli"),
            ("/organizations?client_id=", "clients", "cli"),
            ("/sync-runs?integration_id=", "integrations", "int"),
        ];
        for (path, collection, prefix) in filters {
            let real = bob.fetch(&format!("{path}{}", outside[collection])).await;
            let nothing = bob.fetch(&format!("{path}{}", unknown(prefix))).await;
            real.is(200);
            assert_eq!(real.text, nothing.text, "{path}");
        }
    }

    /// From the beginning of all events, each that comes is about something that can be read.
    async fn check_events(bob: &Api) {
        let mut stream = bob.events(Some(0)).await;
        for _ in 0..10 {
            let event = stream.next().await;
            let path = match event.subject.split('_').next().unwrap() {
                "ast" => "/assets",
                "cli" => "/clients",
                // They have no route of their own.
                "org" | "pro" => continue,
                other => panic!("an event about `{other}`"),
            };
            bob.get(&format!("{path}/{}", event.subject)).await;
        }
    }

    /// Ids outside in bodies are like ids that there are not.
    async fn check_bodies(bob: &Api, inside: &Things, outside: &Things) {
        let (client, site, organization) = (&inside["clients"], &inside["sites"], &inside["organizations"]);
        let bodies = [
            ("POST", format!("/clients/{client}/merge"), "into", "clients", "cli"),
            ("POST", format!("/sites/{site}/merge"), "into", "sites", "sit"),
            ("PATCH", format!("/organizations/{organization}"), "client_id", "clients", "cli"),
        ];
        for (method, path, field, collection, prefix) in bodies {
            let real = bob.send(method, &path, Some(&json!({ field: outside[collection] }))).await;
            let nothing = bob.send(method, &path, Some(&json!({ field: unknown(prefix) }))).await;
            real.problem(404, "not_found");
            assert_eq!(real.without_request_id(), nothing.without_request_id(), "{path}");
        }
        let merge = format!("/assets/{}/merge", inside["assets"]);
        let real = bob.post(&merge, &json!({ "other": outside["assets"] })).await;
        let nothing = bob.post(&merge, &json!({ "other": unknown("ast") })).await;
        real.problem(404, "not_found");
        assert_eq!(real.without_request_id(), nothing.without_request_id());
        let accept = json!({ "min_score": 1, "auto_sync": true, "create_missing": true });
        let accepted = bob.post("/organizations/accept-suggestions", &accept).await.is(200);
        assert_eq!(accepted, json!({ "mapped": 0, "created": 0, "skipped": 0 }));
        let connection = json!({ "provider": "tacticalrmm", "url": "https://rmm.example", "auth_mode": "api_key", "fields": {} });
        for path in ["/integrations", "/integrations/test"] {
            bob.post(path, &connection).await.problem(403, "limited_to_clients");
        }
        bob.post("/clients", &json!({ "name": "Mine" })).await.problem(403, "limited_to_clients");
    }

    /// How much there is of everything.
    async fn counts(all: &Api) -> Vec<Value> {
        let mut found = Vec::new();
        for path in
            ["/assets", "/clients", "/clients?archived=true", "/organizations", "/proposals", "/integrations"]
        {
            found.push(all.get(path).await["total"].clone());
        }
        let open = all.get("/proposals?state=open").await["total"].clone();
        let mapped = all.get("/organizations?state=mapped").await["total"].clone();
        found.extend([open, mapped]);
        found
    }
}
