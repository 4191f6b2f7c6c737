//! The document describes what the server does: status and shape of every kind of answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    home::{ADMIN, Home, PASSWORD},
    rmm,
    schema::Document,
};

/// Calls, and compares the answer with the document.
struct Checked<'a> {
    api: &'a Api,
    document: &'a Document,
}

impl Checked<'_> {
    async fn call(&self, method: &str, template: &str, id: &str, body: Option<Value>) -> Answer {
        self.call_with(method, template, "", id, body).await
    }

    async fn call_with(
        &self,
        method: &str,
        template: &str,
        query: &str,
        id: &str,
        body: Option<Value>,
    ) -> Answer {
        let path = format!("{}{query}", template.replace("{id}", id));
        let answer = self.api.send(method, &path, body.as_ref()).await;
        let value = match answer.header("content-type") {
            "application/json" | "application/problem+json" => answer.json(),
            _ => Value::Null,
        };
        self.document.check(method, template, answer.status, &value);
        answer
    }

    /// A good answer.
    async fn good(&self, method: &str, template: &str, id: &str, body: Option<Value>) -> Value {
        let answer = self.call(method, template, id, body).await;
        assert!(answer.status < 300, "{method} {template}: {}", answer.text);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }
}

const V1: &str = "/api/v1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_documented() {
    let mut home = Home::sqlite();
    let rmm = rmm::start(40, 4, Duration::ZERO).await;
    let connected = rmm::connect(&mut home, &rmm).await;
    let (api, integration) = (&connected.api, connected.integration.as_str());
    api.sync(integration, "devices", false).await;
    let agent = rmm.control().agents(None).into_iter().find(|agent| agent.answers).unwrap();
    rmm.control().reinstall(&agent.agent_id).unwrap();
    // The old one falls silent.
    rmm.control().advance(700);
    let run = api.sync(integration, "devices", true).await;
    api.sync(integration, "devices", false).await;
    api.sync(integration, "details", false).await;
    let document = Document(api.get("/openapi.json").await);
    let checked = Checked { api, document: &document };

    for path in ["/healthz", "/readyz", "/api/v1/setup"] {
        checked.good("GET", path, "", None).await;
    }
    check_lists(&checked).await;
    check_singles(&checked, integration, run["id"].as_str().unwrap()).await;
    check_writes(&checked).await;
    check_people(&checked).await;
    check_integration(&checked, &rmm, integration).await;
    check_failures(&checked, &connected.server.api(None), &document).await;
}

async fn check_lists(checked: &Checked<'_>) {
    for list in [
        "me",
        "users",
        "roles",
        "tokens",
        "providers",
        "integrations",
        "sync-runs",
        "organizations",
        "clients",
        "assets",
        "proposals",
    ] {
        let answer = checked.good("GET", &format!("{V1}/{list}"), "", None).await;
        if list != "me" {
            assert!(!answer["items"].as_array().unwrap().is_empty(), "{list}: nothing to look at");
        }
    }
    checked
        .call_with("GET", &format!("{V1}/organizations"), "?include=suggestions&limit=1", "", None)
        .await
        .is(200);
    checked.good("GET", &format!("{V1}/assets.json"), "", None).await;
}

async fn first(checked: &Checked<'_>, list: &str) -> String {
    let list = checked.api.get(&format!("{V1}/{list}")).await;
    list["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn check_singles(checked: &Checked<'_>, integration: &str, run: &str) {
    let (asset, client) = (first(checked, "assets?status=online").await, first(checked, "clients").await);
    let site =
        checked.api.get(&format!("{V1}/assets/{asset}")).await["site"]["id"].as_str().unwrap().to_owned();
    let calls = [
        ("integrations/{id}", integration),
        ("sync-runs/{id}", run),
        ("sync-runs/{id}/items", run),
        ("clients/{id}", &client),
        ("clients/{id}/sites", &client),
        ("sites/{id}", &site),
        ("assets/{id}", &asset),
        ("assets/{id}/history", &asset),
    ];
    for (template, id) in calls {
        let answer = checked.good("GET", &format!("{V1}/{template}"), id, None).await;
        if let Some(items) = answer.get("items") {
            assert!(!items.as_array().unwrap().is_empty(), "{template}: nothing to look at");
        }
    }
}

async fn check_people(checked: &Checked<'_>) {
    let role = json!({ "name": "Night shift", "permissions": ["assets:read"] });
    let role = checked.good("POST", &format!("{V1}/roles"), "", Some(role)).await["id"].clone();
    let own_role = format!("{V1}/roles/{{id}}");
    let renamed = json!({ "name": "Nights", "permissions": ["alerts:read"] });
    checked.good("PATCH", &own_role, role.as_str().unwrap(), Some(renamed)).await;
    let new = json!({ "email": "cy@example.com", "name": "Cy", "role": role, "password": PASSWORD });
    let made = checked.good("POST", &format!("{V1}/users"), "", Some(new.clone())).await;
    checked.call("POST", &format!("{V1}/users"), "", Some(new)).await.problem(409, "email_taken");
    let id = made["id"].as_str().unwrap();
    let user = format!("{V1}/users/{{id}}");
    checked.good("GET", &user, id, None).await;
    checked.good("PATCH", &user, id, Some(json!({ "disabled": true }))).await;
    let password = json!({ "password": "another good password" });
    checked.good("POST", &format!("{user}/password"), id, Some(password)).await;
    checked.good("DELETE", &format!("{user}/second-factors"), id, None).await;
    let guard = format!("{V1}/roles/{{id}}/second-factor");
    for required in [true, false] {
        let body = Some(json!({ "required": required }));
        let set = checked.good("PUT", &guard, "technician", body).await;
        assert_eq!(set["second_factor_required"], required);
    }
    for path in ["me/totp", "me/passkeys", "session/step-up/options"] {
        checked.call("POST", &format!("{V1}/{path}"), "", None).await.problem(409, "not_a_person");
    }
    checked.good("GET", &format!("{V1}/me/passkeys"), "", None).await;
    checked.good("GET", &format!("{user}/sessions"), id, None).await;
    checked.good("DELETE", &format!("{user}/sessions"), id, None).await;
    checked.call("DELETE", &own_role, role.as_str().unwrap(), None).await.problem(409, "role_in_use");
    checked.good("PATCH", &user, id, Some(json!({ "role": "read_only" }))).await;
    checked.good("DELETE", &own_role, role.as_str().unwrap(), None).await;
    let credentials = json!({ "email": ADMIN, "password": PASSWORD });
    checked.good("POST", &format!("{V1}/session"), "", Some(credentials)).await;
    let own = format!("{V1}/me/sessions");
    let mine = checked.good("GET", &own, "", None).await["items"][0]["id"].clone();
    checked.good("DELETE", &format!("{own}/{{id}}"), mine.as_str().unwrap(), None).await;
    checked.good("DELETE", &own, "", None).await;
    let me = checked.api.get("/me").await["user"]["id"].clone();
    let demoted = Some(json!({ "role": "read_only" }));
    checked.call("PATCH", &user, me.as_str().unwrap(), demoted).await.problem(409, "last_admin");
}

async fn check_writes(checked: &Checked<'_>) {
    let asset = first(checked, "assets").await;
    let note = json!({ "note": "n", "name": "Named", "asset_type": "printer" });
    checked.good("PATCH", &format!("{V1}/assets/{{id}}"), &asset, Some(note)).await;
    let clients = format!("{V1}/clients");
    let one = format!("{V1}/clients/{{id}}");
    let made = checked.good("POST", &clients, "", Some(json!({ "name": "New" }))).await;
    let id = made["id"].as_str().unwrap();
    checked.call("POST", &clients, "", Some(json!({ "name": "new" }))).await.problem(409, "name_taken");
    checked.good("PATCH", &one, id, Some(json!({ "name": "Newer" }))).await;
    checked.good("POST", &format!("{one}/archive"), id, None).await;
    checked.good("POST", &format!("{one}/restore"), id, None).await;
    check_sites(checked, id).await;
    let into = checked.good("POST", &clients, "", Some(json!({ "name": "Stays" }))).await["id"].clone();
    checked.good("POST", &format!("{one}/merge"), id, Some(json!({ "into": into }))).await;
    let organization = first(checked, "organizations").await;
    let organizations = format!("{V1}/organizations/{{id}}");
    checked.good("PATCH", &organizations, &organization, Some(json!({ "excluded": true }))).await;
    checked.good("POST", &format!("{organizations}/undo"), &organization, None).await;
    let accept = json!({ "min_score": 95, "auto_sync": true });
    checked.good("POST", &format!("{V1}/organizations/accept-suggestions"), "", Some(accept)).await;
    let csv = checked.api.fetch("/organizations.csv").await.text;
    let imported = checked
        .api
        .send_with("POST", "/organizations/import?dry_run=true", &[("content-type", "text/csv")], Some(csv))
        .await;
    checked.document.check("POST", &format!("{V1}/organizations/import"), 200, &imported.is(200));
    let token = json!({ "name": "t", "kind": "agent", "days": 1 });
    let made = checked.good("POST", &format!("{V1}/tokens"), "", Some(token)).await;
    checked.good("DELETE", &format!("{V1}/tokens/{{id}}"), made["token"]["id"].as_str().unwrap(), None).await;
    let proposal = first(checked, "proposals").await;
    for answer in ["dismiss", "keep-both", "never-match"] {
        checked.good("POST", &format!("{V1}/proposals/{{id}}/{answer}"), &proposal, None).await;
    }
    check_one_machine(checked, &proposal).await;
}

/// A merge, a look and a split; each answer is as documented.
async fn check_one_machine(checked: &Checked<'_>, proposal: &str) {
    let merge = format!("{V1}/proposals/{{id}}/merge");
    let kept = checked.good("POST", &merge, proposal, Some(json!({}))).await;
    assert_eq!(kept["sources"].as_array().unwrap().len(), 2, "{kept}");
    checked.call("POST", &merge, proposal, Some(json!({}))).await.problem(409, "already_merged");
    let (id, gone) = (kept["id"].as_str().unwrap(), kept["merged"][0]["id"].as_str().unwrap());
    let one = format!("{V1}/assets/{{id}}");
    let led = checked.good("GET", &one, gone, None).await;
    assert_eq!((&led["id"], &led["redirected_from"]), (&kept["id"], &json!(gone)));
    let other = kept["sources"][1]["device_id"].clone();
    let choice = json!({ "field_sources": { "name": other }, "leading_device": kept["source"]["device_id"] });
    checked.good("PATCH", &one, id, Some(choice)).await;
    checked.good("PATCH", &one, id, Some(json!({ "field_sources": { "name": null } }))).await;
    let unknown = json!({ "field_sources": { "colour": other } });
    checked.call("PATCH", &one, id, Some(unknown)).await.problem(422, "field_unknown");
    let look = json!({ "kinds": ["hardware", "software"] });
    let found = checked.good("POST", &format!("{one}/audit"), id, Some(look)).await;
    assert_eq!(found["results"].as_array().unwrap().len(), 2, "{found}");
    let split = format!("{one}/split");
    let own = json!({ "device_id": kept["source"]["device_id"] });
    checked.call("POST", &split, id, Some(own)).await.problem(409, "own_device");
    let apart = checked.good("POST", &split, id, Some(json!({ "device_id": other }))).await;
    assert_eq!(apart["restored"]["id"], gone);
    let again = checked.good("POST", &format!("{one}/merge"), id, Some(json!({ "other": gone }))).await;
    assert_eq!(again["id"], id);
}

async fn check_sites(checked: &Checked<'_>, client: &str) {
    let (all, one) = (format!("{V1}/clients/{{id}}/sites"), format!("{V1}/sites/{{id}}"));
    let merge = format!("{one}/merge");
    let mut made = Vec::new();
    for name in ["North", "South"] {
        let site = checked.good("POST", &all, client, Some(json!({ "name": name }))).await;
        assert_eq!((&site["client_id"], &site["asset_count"]), (&json!(client), &json!(0)));
        made.push(site["id"].as_str().unwrap().to_owned());
    }
    let (north, south) = (made[0].as_str(), made[1].as_str());
    checked.call("POST", &all, client, Some(json!({ "name": "NORTH" }))).await.problem(409, "name_taken");
    checked.call("PATCH", &one, south, Some(json!({ "name": "north" }))).await.problem(409, "name_taken");
    assert_eq!(checked.good("PATCH", &one, south, Some(json!({ "name": "West" }))).await["name"], "West");
    let listed = checked.api.get(&format!("{V1}/clients/{client}/sites?limit=1")).await;
    assert_eq!((&listed["items"][0]["name"], &listed["total"]), (&json!("North"), &json!(2)));
    let next = listed["next_cursor"].as_str().unwrap();
    let rest = checked.api.get(&format!("{V1}/clients/{client}/sites?limit=1&cursor={next}")).await;
    assert_eq!((&rest["items"][0]["name"], &rest["next_cursor"]), (&json!("West"), &json!(null)));
    let found = checked.api.get(&format!("{V1}/clients/{client}/sites?text=es")).await;
    assert_eq!((&found["items"][0]["id"], &found["total"]), (&json!(south), &json!(1)));
    checked.call("POST", &merge, north, Some(json!({ "into": north }))).await.problem(422, "same_site");
    let full = checked.api.get(&format!("{V1}/assets")).await["items"][0]["site"]["id"].clone();
    let full = full.as_str().unwrap();
    checked.call("POST", &merge, north, Some(json!({ "into": full }))).await.problem(422, "other_client");
    checked.call("DELETE", &one, full, None).await.problem(409, "site_has_assets");
    assert_eq!(checked.good("POST", &merge, north, Some(json!({ "into": south }))).await["id"], south);
    checked.call("GET", &one, north, None).await.problem(404, "not_found");
    checked.good("DELETE", &one, south, None).await;
    assert_eq!(checked.api.get(&format!("{V1}/clients/{client}/sites")).await["total"], 0);
}

async fn check_integration(checked: &Checked<'_>, rmm: &simulator::tacticalrmm::Server, id: &str) {
    let all = format!("{V1}/integrations");
    let one = format!("{V1}/integrations/{{id}}");
    let draft = rmm::connection(rmm, &rmm.accounts().api_key);
    checked.good("POST", &format!("{all}/test"), "", Some(draft)).await;
    checked.good("POST", &format!("{all}/test"), "", Some(rmm::connection(rmm, "WRONG"))).await;
    let twice = named(rmm::connection(rmm, "WRONG"), "The same again");
    checked.call("POST", &all, "", Some(twice)).await.problem(409, "already_connected");
    let wrong = json!({ "tacticalrmm_username": "nobody", "tacticalrmm_password": "wrong" });
    let knox = json!({ "auth_mode": "knox", "fields": wrong });
    assert_eq!(checked.good("PATCH", &one, id, Some(knox)).await["state"], "refused");
    let refused = checked.call("POST", &format!("{one}/sign-in"), id, Some(json!({}))).await;
    assert!(refused.problem(502, "login_refused")["fix"].is_string());
    let key = json!({ "tacticalrmm_api_key": rmm.accounts().api_key });
    let by_key = json!({ "auth_mode": "api_key", "fields": key });
    checked.good("PATCH", &one, id, Some(by_key)).await;
    checked.good("POST", &format!("{one}/test"), id, Some(json!({}))).await;
    checked.good("PATCH", &one, id, Some(json!({ "name": "Other name" }))).await;
    checked.call("POST", &format!("{one}/sign-in"), id, Some(json!({}))).await.is(409);
    checked.good("POST", &format!("{one}/sync"), id, Some(json!({ "kind": "presence" }))).await;
    let run = first(checked, "sync-runs").await;
    checked.good("POST", &format!("{V1}/sync-runs/{{id}}/cancel"), &run, None).await;
    checked.good("POST", &format!("{one}/disconnect"), id, None).await;
    checked
        .call("POST", &format!("{one}/sync"), id, Some(json!({ "kind": "devices" })))
        .await
        .problem(409, "disconnected");
    let fields = json!({ "fields": { "tacticalrmm_api_key": rmm.accounts().api_key } });
    checked.good("POST", &format!("{one}/reconnect"), id, Some(fields)).await;
}

fn named(mut draft: Value, name: &str) -> Value {
    draft["name"] = json!(name);
    draft
}

async fn check_failures(checked: &Checked<'_>, nobody: &Api, document: &Document) {
    let clients = format!("{V1}/clients");
    let problems = [
        (checked.call("POST", &clients, "", Some(json!({ "nmae": "x" }))).await, 400, "unknown_field"),
        (checked.call("POST", &clients, "", Some(json!({}))).await, 400, "missing_field"),
        (checked.call("POST", &clients, "", Some(json!({ "name": 7 }))).await, 400, "invalid_field"),
        (checked.call_with("GET", &clients, "?limit=0", "", None).await, 400, "invalid_parameter"),
        (checked.call_with("GET", &clients, "?cursor=x", "", None).await, 400, "invalid_cursor"),
    ];
    for (answer, status, code) in &problems {
        assert!(answer.problem(*status, code).get("field").is_some(), "{}", answer.text);
    }
    let long = "x".repeat(1024 * 1024 + 1);
    checked.call("POST", &clients, "", Some(json!({ "name": long }))).await.problem(413, "body_too_large");
    checked.call("POST", &clients, "", Some(json!({ "name": " " }))).await.is(422);
    let json_type = [("content-type", "application/json")];
    let broken = checked.api.send_with("POST", "/clients", &json_type, Some("{\"name\":".to_owned())).await;
    broken.problem(400, "invalid_json");
    let form = checked
        .api
        .send_with("POST", "/clients", &[("content-type", "text/html")], Some("{}".to_owned()))
        .await;
    form.problem(415, "content_type");
    checked.api.fetch("/nothing").await.problem(404, "not_found");
    let as_nobody = Checked { api: nobody, document };
    as_nobody.call("GET", &clients, "", None).await.problem(401, "not_signed_in");
    let session = format!("{V1}/session");
    let login = |password: &str| Some(json!({ "email": ADMIN, "password": password }));
    as_nobody.call("POST", &session, "", login("a wrong password")).await.problem(401, "bad_credentials");
    as_nobody.good("POST", &session, "", login(PASSWORD)).await;
    checked.call("DELETE", &session, "", None).await.problem(409, "not_a_person");
    for answer in
        [checked.api.fetch("/clients").await, nobody.fetch("/clients").await, nobody.fetch("/x").await]
    {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(answer.header("x-request-id").len() > 8);
    }
}
