//! The whole story over HTTP: connect, map, sync, read, export, disconnect, reconnect.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};
use simulator::tacticalrmm::Server as Rmm;

use crate::{
    api::{Api, escaped, ids},
    home::Home,
    rmm,
};

const AGENTS: usize = 150;

mod an_rmm_comes_into_the_register {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        story(Home::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        story(Home::postgres().await).await;
    }
}

async fn story(mut home: Home) {
    let rmm = rmm::start(AGENTS, 5, Duration::ZERO).await;
    rmm::allow(&mut home, &rmm);
    home.set("FLEETGATE_LOG_LEVEL", "debug");
    let token = home.admin_token();
    let server = home.start();
    let key = rmm.accounts().api_key.clone();
    let api = server.api(token.as_str()).never_showing(&[&key, WRONG_KEY]);

    let zero = json!({ "email": "a\0@example.com", "password": "x" });
    server.api(None).post("/session", &zero).await.problem(400, "invalid_json");
    let integration = connect(&api, &rmm).await;
    map(&api, &rmm, &integration).await;
    let mut live = api.events(None).await.stands().await;
    first_sync(&api, &integration).await;
    let event = live.next_of("asset_created").await;
    assert!(event.subject.starts_with("ast_"), "{event:?}");

    let assets = api.all("/assets", 200).await;
    assert_eq!(assets.len(), AGENTS);
    check_sorts(&api).await;
    check_filters(&api, &assets).await;
    check_exports(&api, &assets).await;
    check_person_and_history(&api, &integration).await;
    check_events(&api).await;
    check_reinstall(&api, &rmm, &integration).await;
    check_reconnect(&api, &rmm, &integration).await;

    let log = server.kill();
    for secret in [key.as_str(), WRONG_KEY, token.as_str()] {
        assert!(!log.contains(secret), "a secret stands in the log");
        check_files(&home, secret);
    }
}

/// Nothing on the disk holds it in the clear.
fn check_files(home: &Home, secret: &str) {
    let mut looked_at = 0;
    for entry in fs::read_dir(home.data()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a secret stands in {}", path.display());
        looked_at += 1;
    }
    assert!(looked_at > 0);
}

const WRONG_KEY: &str = "CANARYKEYCANARYKEYCANARYKEYCANAR";

async fn connect(api: &Api, rmm: &Rmm) -> String {
    let wrong = api.post("/integrations/test", &rmm::connection(rmm, WRONG_KEY)).await.is(200);
    assert_eq!((&wrong["ok"], &wrong["problem"]["code"]), (&json!(false), &json!("key_wrong")), "{wrong}");
    let typo =
        rmm::connection(rmm, WRONG_KEY).to_string().replace("tacticalrmm_api_key", "tacticalrmm_apikey");
    let json_type = [("content-type", "application/json")];
    assert_eq!(api.send_with("POST", "/integrations", &json_type, Some(typo)).await.status, 422);

    let draft = rmm::connection(rmm, &rmm.accounts().api_key);
    let report = api.post("/integrations/test", &draft).await.is(200);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(api.get("/integrations").await["total"], 0, "a test saves nothing");
    let id = connect_wrongly(api, rmm).await;
    let path = format!("/integrations/{id}");
    let mended = json!({ "fields": { "tacticalrmm_api_key": rmm.accounts().api_key } });
    let mended = api.patch(&path, &mended).await.is(200);
    let secret = &mended["secrets"][0];
    let last_four = &rmm.accounts().api_key[rmm.accounts().api_key.len() - 4..];
    assert_eq!((&secret["name"], &secret["last_four"]), (&json!("tacticalrmm_api_key"), &json!(last_four)));
    let stored = api.post(&format!("{path}/test"), &json!({})).await.is(200);
    assert_eq!(stored["ok"], true, "{stored}");
    assert_eq!(api.get(&path).await["state"], "connected");

    let elsewhere = json!({ "url": "https://elsewhere.example.com" });
    api.patch(&path, &elsewhere).await.problem(409, "secret_required");
    api.post(&format!("{path}/test"), &elsewhere).await.problem(409, "secret_required");
    let stale = json!({ "version": 0, "name": "Other" });
    api.patch(&path, &stale).await.problem(409, "stale");
    id
}

/// Saving a key tries nothing; the first sync says what is wrong with it.
async fn connect_wrongly(api: &Api, rmm: &Rmm) -> String {
    let made = api.post("/integrations", &rmm::connection(rmm, WRONG_KEY)).await.is(201);
    assert_eq!(made["state"], "new", "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let run = api.sync(&id, "organizations", false).await;
    assert_eq!((&run["state"], &run["problem"]["code"]), (&json!("failed"), &json!("key_wrong")), "{run}");
    assert!(!run["problem"]["fix"].as_str().unwrap().is_empty());
    let refused = api.get(&format!("/integrations/{id}")).await;
    assert_eq!(
        (&refused["state"], &refused["problem"]["code"]),
        (&json!("refused"), &json!("key_wrong")),
        "{refused}"
    );
    id
}

async fn map(api: &Api, rmm: &Rmm, integration: &str) {
    let run = api.sync(integration, "organizations", false).await;
    let clients = rmm.control().clients();
    assert_eq!(
        (&run["state"], &run["counts"]["created"]),
        (&json!("succeeded"), &json!(clients.len())),
        "{run}"
    );
    let found = api.all("/organizations?state=unmapped&include=suggestions", 2).await;
    assert_eq!(found.len(), clients.len());
    for organization in &found {
        let at_rmm = clients.iter().find(|client| organization["name"] == client.name.as_str());
        assert_eq!(organization["device_count"], at_rmm.unwrap().agents, "{organization}");
    }
    let first = &found[0];
    let path = format!("/organizations/{}", first["id"].as_str().unwrap());
    let existing = api.post("/clients", &json!({ "name": first["name"] })).await.is(201);
    let suggested = api.get("/organizations?include=suggestions").await;
    let best = suggested["items"].as_array().unwrap().iter().find(|o| o["id"] == first["id"]).unwrap();
    assert_eq!(
        (&best["suggestions"][0]["client_id"], &best["suggestions"][0]["score"]),
        (&existing["id"], &json!(100))
    );
    assert_eq!(api.patch(&path, &json!({ "excluded": true })).await.is(200)["state"], "excluded");
    assert_eq!(api.post(&format!("{path}/undo"), &json!({})).await.is(200)["state"], "unmapped");
    let accepted = rmm::map_all(api).await;
    assert_eq!(accepted, json!({ "mapped": 1, "created": clients.len() - 1, "skipped": 0 }));
}

async fn first_sync(api: &Api, integration: &str) {
    let preview = api.sync(integration, "devices", true).await;
    assert_eq!(
        (&preview["state"], &preview["counts"]["created"]),
        (&json!("succeeded"), &json!(AGENTS)),
        "{preview}"
    );
    let items = api.all(&format!("/sync-runs/{}/items", preview["id"].as_str().unwrap()), 100).await;
    assert_eq!(items.iter().filter(|item| item["action"] == "created").count(), AGENTS);
    assert_eq!(api.get("/assets").await["total"], 0, "a preview saves nothing");
    let run = api.sync(integration, "devices", false).await;
    assert_eq!((&run["state"], &run["counts"]["created"]), (&json!("succeeded"), &json!(AGENTS)), "{run}");
    let again = api.sync(integration, "devices", false).await;
    assert_eq!((&again["counts"]["created"], &again["counts"]["missing"]), (&json!(0), &json!(0)), "{again}");
    let runs = api.all(&format!("/sync-runs?kind=devices&integration_id={integration}"), 1).await;
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[0]["id"], again["id"], "newest first");
}

fn text<'a>(asset: &'a Value, key: &str) -> &'a str {
    let value = match key {
        "client" => &asset["client"]["name"],
        "created" => &asset["created_at"],
        other => &asset[other],
    };
    value.as_str().unwrap_or_default()
}

/// Each sort both ways and by small pages: everything once, in order, and backwards the same backwards.
async fn check_sorts(api: &Api) {
    for sort in ["name", "client", "type", "os", "last_seen", "created"] {
        let up = api.all(&format!("/assets?sort={sort}"), 40).await;
        let down = api.all(&format!("/assets?sort=-{sort}"), 67).await;
        assert_eq!((up.len(), down.len()), (AGENTS, AGENTS));
        // Systems are sorted as they are written, names whatever their case.
        let key = |item: &Value| {
            if sort == "os" { text(item, sort).to_owned() } else { text(item, sort).to_lowercase() }
        };
        let keys = |items: &[Value]| items.iter().map(key).collect::<Vec<_>>();
        let ordered = keys(&up);
        assert!(ordered.is_sorted(), "{sort}: {ordered:?}");
        let backwards: Vec<String> = keys(&down).into_iter().rev().collect();
        assert_eq!(backwards, ordered, "-{sort}");
    }
    api.fetch("/assets?cursor=nonsense").await.problem(400, "invalid_cursor");
    api.fetch("/assets?statsu=online").await.problem(400, "unknown_field");
}

/// Each filter finds exactly what its words say.
async fn check_filters(api: &Api, assets: &[Value]) {
    let one = |wanted: &dyn Fn(&Value) -> bool| assets.iter().find(|asset| wanted(asset)).unwrap();
    let with_serial = one(&|a| text(a, "serial").len() > 6 && a["site"].is_object());
    let seen = text(one(&|a| a["last_seen"].is_string()), "last_seen").to_owned();
    let os = text(one(&|a| a["os"].is_string()), "os").to_owned();
    let os_begin: String = os.chars().take(9).collect();
    let begin = os_begin.to_lowercase();
    let (client, site) = (&with_serial["client"]["id"], &with_serial["site"]["id"]);
    let query = |name: &str, value: &Value| format!("{name}={}", escaped(value.as_str().unwrap()));
    let (before, after) = (seen.clone(), seen.clone());

    check(api, assets, &query("client_id", client), |a| a["client"]["id"] == *client).await;
    check(api, assets, &query("site_id", site), |a| a["site"]["id"] == *site).await;
    check(api, assets, "provider=tacticalrmm", |_| true).await;
    check(api, assets, "provider=nonsense", |_| false).await;
    check(api, assets, &query("integration_id", &assets[0]["integration_id"]), |_| true).await;
    for kind in ["workstation", "server", "printer"] {
        check(api, assets, &format!("type={kind}"), |a| a["type"] == kind).await;
    }
    for status in ["online", "offline", "overdue"] {
        check(api, assets, &format!("status={status}"), |a| a["status"] == status).await;
    }
    check(api, assets, &query("text", &with_serial["serial"]), |a| a["serial"] == with_serial["serial"])
        .await;
    check(api, assets, &format!("seen_after={}", escaped(&after)), |a| {
        text(a, "last_seen") >= after.as_str()
    })
    .await;
    check(api, assets, &format!("seen_before={}", escaped(&before)), |a| {
        text(a, "last_seen") < before.as_str()
    })
    .await;
    let has_os = |a: &Value| text(a, "os").to_lowercase().starts_with(&begin);
    check(api, assets, &format!("os={}", escaped(&os_begin.to_uppercase())), has_os).await;
    for yes in [true, false] {
        check(api, assets, &format!("needs_reboot={yes}"), |a| {
            a["needs_reboot"].as_bool().unwrap_or(false) == yes
        })
        .await;
        check(api, assets, &format!("missing={yes}"), |a| a["missing_since"].is_string() == yes).await;
    }
    let both = format!("{}&type=workstation&status=online", query("client_id", client));
    let fits =
        |a: &Value| a["client"]["id"] == *client && a["type"] == "workstation" && a["status"] == "online";
    check(api, assets, &both, fits).await;
    check_words(api, assets, with_serial).await;
}

/// Words are found anywhere and in any order; signs of the database's own language are plain characters.
async fn check_words(api: &Api, assets: &[Value], asset: &Value) {
    let (name, serial) = (text(asset, "name"), text(asset, "serial"));
    let words = escaped(&format!("{} {}", serial.to_lowercase(), name.to_uppercase()));
    let found = ids(&api.all(&format!("/assets?text={words}"), 50).await);
    assert!(found.contains(&text(asset, "id").to_owned()), "{words}");
    for odd in ["%", "_", "'", "\"", "\\", "*", "(", "a' OR '1'='1", "NEAR(", "\0", "🍕"] {
        let answer = api.fetch(&format!("/assets?text={}", escaped(odd))).await;
        assert_eq!(answer.status, if odd == "\0" { 400 } else { 200 }, "{odd}: {}", answer.text);
        if odd == "%" {
            assert!(
                answer.json()["total"].as_u64().unwrap() < assets.len() as u64,
                "a wildcard: {}",
                answer.text
            );
        }
    }
}

async fn check(api: &Api, assets: &[Value], query: &str, fits: impl Fn(&Value) -> bool) {
    let found: BTreeSet<String> = ids(&api.all(&format!("/assets?{query}"), 50).await).into_iter().collect();
    let fitting: Vec<Value> = assets.iter().filter(|asset| fits(asset)).cloned().collect();
    let expected: BTreeSet<String> = ids(&fitting).into_iter().collect();
    let wrong: Vec<&Value> = assets
        .iter()
        .filter(|a| found.contains(text(a, "id")) != expected.contains(text(a, "id")))
        .take(3)
        .collect();
    assert!(wrong.is_empty(), "{query}: {wrong:?}");
}

/// A file holds exactly what the list shows, in its order, and nothing that a spreadsheet would run.
async fn check_exports(api: &Api, assets: &[Value]) {
    let armed = "=cmd|' /C calc'!A0";
    let path = format!("/assets/{}", text(&assets[0], "id"));
    api.patch(&path, &json!({ "name": armed })).await.is(200);
    for query in
        ["sort=-last_seen", "type=server&sort=name", "status=online&sort=client", "provider=nonsense"]
    {
        let listed = api.all(&format!("/assets?{query}"), 200).await;
        let (columns, rows) = csv(&api.fetch(&format!("/assets.csv?{query}")).await.text);
        let first: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
        assert_eq!(first, ids(&listed), "{query}");
        assert_eq!(columns[..3], ["id", "name", "client"]);
        let exported = api.get(&format!("/assets.json?{query}")).await;
        assert_eq!(ids(exported.as_array().unwrap()), ids(&listed), "{query}");
        assert_eq!(without_moving(exported), without_moving(Value::Array(listed)), "{query}");
    }
    let (_, rows) = csv(&api.fetch("/assets.csv").await.text);
    assert!(rows.iter().any(|row| row[1] == format!("'{armed}")), "the name is disarmed");
    let (_, mappings) = csv(&api.fetch("/organizations.csv").await.text);
    assert_eq!(mappings.len(), 5);
    for cell in rows.iter().chain(&mappings).flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "a formula: {cell}");
    }
    api.fetch("/assets.csv?limit=5").await.problem(400, "invalid_parameter");
    api.patch(&path, &json!({ "name": null })).await.is(200);
}

/// Details come in behind, and time goes on.
fn without_moving(mut items: Value) -> Value {
    for item in items.as_array_mut().unwrap() {
        for moving in ["updated_at", "status", "status_stale"] {
            item.as_object_mut().unwrap().remove(moving);
        }
    }
    items
}

fn csv(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let row = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
    (columns, reader.records().map(|record| row(record.unwrap())).collect())
}

/// What a person sets stays, whatever the RMM says, and can be given back.
async fn check_person_and_history(api: &Api, integration: &str) {
    let asset = api.get("/assets?sort=created&limit=1").await["items"][0].clone();
    let path = format!("/assets/{}", text(&asset, "id"));
    api.patch(&path, &json!({ "name": "Front desk", "asset_type": "server", "note": "in the hall" }))
        .await
        .is(200);
    api.sync(integration, "devices", false).await;
    let kept = api.get(&path).await;
    assert_eq!(
        (&kept["name"], &kept["type"], &kept["note"]),
        (&json!("Front desk"), &json!("server"), &json!("in the hall"))
    );
    assert_eq!(kept["fields"]["name"]["source"], json!({ "kind": "person" }));
    assert_eq!(kept["fields"]["os"]["source"]["integration_id"], integration);
    assert_eq!(api.get("/assets?text=front%20desk").await["total"], 1);
    let back = api.patch(&path, &json!({ "name": null, "asset_type": null, "note": null })).await.is(200);
    assert_eq!((&back["name"], &back["type"], &back["locked"]), (&asset["name"], &asset["type"], &json!([])));
    api.patch(&path, &json!({ "serial": "x" })).await.problem(400, "unknown_field");
    let history = api.all(&format!("{path}/history"), 1).await;
    let kinds: Vec<&str> = history.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.last(), Some(&"asset_created"), "{kinds:?}");
    assert!(kinds.len() >= 2, "{kinds:?}");
}

/// A stream goes on after the last event that was read, and misses nothing.
async fn check_events(api: &Api) {
    let mut stream = api.events(Some(0)).await;
    let mut seen = Vec::new();
    for _ in 0..60 {
        seen.push(stream.next().await);
    }
    assert!(seen.iter().map(|event| event.id).is_sorted_by(|a, b| a < b), "{seen:?}");
    let mut resumed = api.events(Some(seen[20].id)).await;
    for expected in &seen[21..] {
        assert_eq!(&resumed.next().await, expected);
    }
    let mut fresh = api.events(None).await.stands().await;
    let made = api.post("/clients", &json!({ "name": "Just now" })).await.is(201);
    let event = fresh.next_of("client_changed").await;
    assert_eq!(event.subject, made["id"]);
    assert!(event.id > seen[59].id);
    let mut late = api.events(Some(event.id - 1)).await;
    assert_eq!(late.next().await, event);
}

/// A machine with a new agent is a second asset, and a proposal that they are one.
async fn check_reinstall(api: &Api, rmm: &Rmm, integration: &str) {
    let before = api.get("/proposals").await["total"].as_u64().unwrap();
    let agent = rmm.control().agents(None).into_iter().find(|agent| agent.answers).unwrap();
    rmm.control().reinstall(&agent.agent_id).unwrap();
    // The old one falls silent.
    rmm.control().advance(700);
    let run = api.sync(integration, "devices", false).await;
    assert_eq!(run["counts"]["created"], 1, "{run}");
    let proposals = api.all("/proposals?state=open", 3).await;
    assert!(proposals.len() as u64 > before, "{proposals:?}");
    let id = text(&proposals[0], "id");
    api.post(&format!("/proposals/{id}/dismiss"), &json!({})).await.is(204);
    assert_eq!(api.all("/proposals?state=open", 50).await.len(), proposals.len() - 1);
}

async fn check_reconnect(api: &Api, rmm: &Rmm, integration: &str) {
    let path = format!("/integrations/{integration}");
    let mappings = async || {
        let organizations = api.all("/organizations", 50).await;
        organizations
            .iter()
            .map(|o| (o["id"].clone(), o["client_id"].clone(), o["auto_sync"].clone()))
            .collect::<Vec<_>>()
    };
    let before = (mappings().await, ids(&api.all("/assets?sort=created", 200).await));
    let gone = api.post(&format!("{path}/disconnect"), &json!({})).await.is(200);
    assert_eq!(
        (&gone["is_active"], &gone["secrets"], &gone["state"]),
        (&json!(false), &json!([]), &json!("disconnected"))
    );
    api.post(&format!("{path}/sync"), &json!({ "kind": "devices" })).await.problem(409, "disconnected");
    assert_eq!((mappings().await, ids(&api.all("/assets?sort=created", 200).await)), before);
    let empty = api.post(&format!("{path}/reconnect"), &json!({ "fields": {} })).await;
    assert!(matches!(empty.status, 409 | 422), "{}", empty.text);
    let fields = json!({ "fields": { "tacticalrmm_api_key": rmm.accounts().api_key } });
    assert_eq!(api.post(&format!("{path}/reconnect"), &fields).await.is(200)["is_active"], true);
    api.sync(integration, "organizations", false).await;
    assert_eq!(api.get(&path).await["state"], "connected");
    let run = api.sync(integration, "devices", false).await;
    assert_eq!((&run["state"], &run["counts"]["created"]), (&json!("succeeded"), &json!(0)), "{run}");
    assert_eq!((mappings().await, ids(&api.all("/assets?sort=created", 200).await)), before);
}
