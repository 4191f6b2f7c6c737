//! The command line against a running server.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    home::{Home, PASSWORD, Ran, Server},
    rmm::{self, NAME},
};

/// Somebody at a shell.
struct Shell<'a> {
    home: &'a Home,
    server: &'a Server,
    token: &'a str,
    secrets: Vec<String>,
}

impl Shell<'_> {
    #[track_caller]
    fn typed(&self, args: &[&str]) -> Ran {
        self.typed_with(args, "")
    }

    #[track_caller]
    fn typed_with(&self, args: &[&str], input: &str) -> Ran {
        let ran = self.home.cli(self.server, self.token, args, input);
        for secret in &self.secrets {
            assert!(
                !ran.out.contains(secret) && !ran.err.contains(secret),
                "a secret in the output of {args:?}"
            );
        }
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "no colours in a pipe: {args:?}");
        ran
    }

    #[track_caller]
    fn fails(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.typed(args).ends_with(code);
        assert!(ran.out.is_empty(), "{args:?} answers nothing: {}", ran.out);
        assert!(!ran.err.is_empty(), "{args:?} says why");
        ran
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manual_can_be_typed() {
    let mut home = Home::sqlite();
    let rmm = rmm::start(60, 4, Duration::ZERO).await;
    rmm::allow(&mut home, &rmm);
    let token = home.admin_token();
    home.add_user("bob@example.com", "read_only");
    let bob = home.token("bob@example.com", "user");
    let server = home.start();
    let key = rmm.accounts().api_key.clone();
    fs::write(home.folder().join("key.txt"), format!("{key}\n")).unwrap();
    fs::write(home.folder().join("wrong.txt"), "WRONGKEYWRONGKEYWRONGKEYWRONGKEY\n").unwrap();
    let secrets = vec![key.clone(), token.clone(), "WRONGKEYWRONGKEY".to_owned()];
    let shell = Shell { home: &home, server: &server, token: &token, secrets };

    check_connecting(&shell, rmm.url(), &key);
    check_syncing(&shell);
    check_mapping(&shell);
    check_assets(&shell);
    check_clients(&shell);
    check_tokens(&shell, &bob);
    check_refusals(&shell, &bob);
    shell.typed(&["integration", "disconnect", NAME, "--yes"]).ends_with(0);
    let refused = shell.fails(5, &["sync", "devices", NAME]);
    assert!(refused.err.contains("reconnect"), "{}", refused.err);
    shell.typed(&["integration", "reconnect", NAME, "--secret", "tacticalrmm_api_key=@key.txt"]).ends_with(0);
    server.kill();
    let away = home.run(&["assets", "list", "--server", "http://127.0.0.1:9"], "").ends_with(3);
    assert!(away.err.contains("FLEETGATE_TOKEN"), "without a token: {}", away.err);
}

fn check_connecting(shell: &Shell<'_>, url: &str, key: &str) {
    shell.typed(&["integration", "providers"]).ends_with(0);
    let fields = shell.typed(&["integration", "providers", "tacticalrmm"]).ends_with(0);
    for field in ["tacticalrmm_api_key", "action_tacticalrmm_api_key", "tacticalrmm_password"] {
        let is_listed = fields.out.lines().any(|line| line.split_whitespace().any(|word| word == field));
        assert!(is_listed, "`{field}` is missing:\n{}", fields.out);
    }
    let second = fields.out.lines().filter(|line| line.contains("action_tacticalrmm_api_key")).count();
    assert_eq!(second, 2, "a key for actions goes with either way to sign in: {}", fields.out);
    let add = |secret: &'static str| {
        let plain = "--allow-plain-http";
        [
            "integration",
            "add",
            "--provider",
            "tacticalrmm",
            "--url",
            url,
            "--name",
            NAME,
            plain,
            "--set",
            "schedules_enabled=false",
            "--secret",
            secret,
        ]
    };

    let literal = format!("tacticalrmm_api_key={key}");
    let args = ["integration", "add", "--provider", "tacticalrmm", "--url", url, "--secret", &literal];
    let refused = shell.fails(2, &args);
    assert!(refused.err.contains("@FILE"), "{}", refused.err);
    let args = ["integration", "add", "--provider", "tacticalrmm", "--url", url, "--field", &literal];
    shell.fails(2, &args);
    shell.fails(2, &["assets", "list", "--token", key]);

    let dry = [&add("tacticalrmm_api_key=@key.txt")[..], &["--dry-run"]].concat();
    assert!(shell.typed(&dry).ends_with(0).out.contains("ok"));
    let dry_wrong = [&add("tacticalrmm_api_key=@wrong.txt")[..], &["--dry-run"]].concat();
    shell.typed(&dry_wrong).ends_with(6);
    shell.fails(2, &add("tacticalrmm_api_key=@missing.txt"));
    shell.fails(2, &add("tacticalrmm_api_key=-"));
    assert!(shell.typed(&["integration", "list"]).ends_with(0).out.is_empty(), "nothing is saved so far");
    let wrong = shell.typed(&add("tacticalrmm_api_key=@wrong.txt")).ends_with(0);
    assert!(!wrong.err.contains("Connected"), "nobody has tried the key yet: {}", wrong.err);
    let tested = shell.typed(&["integration", "test", NAME]).ends_with(6);
    assert!(tested.out.contains("key"), "{}", tested.out);
    let synced = shell.typed(&["sync", "clients", NAME]).ends_with(6);
    assert!(synced.out.contains("failed"), "{}", synced.out);
    let why = synced.out.lines().find_map(|line| line.strip_prefix("Problem")).unwrap().trim();
    let failed = shell.typed(&["sync", "runs", "--state", "failed"]).ends_with(0);
    assert!(failed.out.contains(why), "`{why}` is missing: {}", failed.out);
    let edit = ["integration", "edit", NAME, "--secret", "tacticalrmm_api_key=-"];
    shell.typed_with(&edit, &format!("{key}\n")).ends_with(0);

    let listed = shell.typed(&["integration", "list"]).ends_with(0);
    assert!(
        listed.out.lines().nth(1).is_some_and(|line| line.trim_start().starts_with(NAME)),
        "{}",
        listed.out
    );
    let shown = shell.typed(&["--json", "integration", "show", "main rmm"]).ends_with(0).json();
    assert_eq!(shown["name"], NAME);
    let id = shown["id"].as_str().unwrap();
    shell.typed(&["integration", "show", id]).ends_with(0);
    let tested = shell.typed(&["integration", "test", NAME]).ends_with(0);
    assert!(tested.out.contains("ok"), "{}", tested.out);
    let second = ["integration", "edit", NAME, "--secret", "action_tacticalrmm_api_key=@key.txt", "--json"];
    let edited = shell.typed(&second).ends_with(0).json();
    let has_second = |secret: &Value| secret["name"] == "action_tacticalrmm_api_key";
    assert!(edited["secrets"].as_array().unwrap().iter().any(has_second), "{edited}");
    let unknown = shell.fails(2, &["integration", "edit", NAME, "--secret", "api_key=@key.txt"]);
    assert!(unknown.err.contains("action_tacticalrmm_api_key"), "{}", unknown.err);
    let set = ["integration", "edit", NAME, "--set", "sync_interval_s=1800", "--json"];
    let edited = shell.typed(&set).ends_with(0).json();
    assert_eq!(
        (&edited["settings"]["sync_interval_s"], &edited["settings"]["allow_plain_http"]),
        (&1800.into(), &true.into())
    );
    check_settings(shell);
}

fn check_settings(shell: &Shell<'_>) {
    let set = |value: &str| {
        let setting = format!("quiet_hours={value}");
        let edited = shell.typed(&["integration", "edit", NAME, "--set", &setting, "--json"]).ends_with(0);
        edited.json()["settings"]["quiet_hours"].clone()
    };
    assert_eq!(set("22-2"), json!([22, 23, 0, 1, 2]));
    assert_eq!(set("22,23,0"), json!([22, 23, 0]));
    assert_eq!(set("[22,23]"), json!([22, 23]));
    assert_eq!(set(""), json!([]));
    let shown = shell.typed(&["integration", "show", NAME]).ends_with(0);
    assert!(shown.out.contains("quiet_hours"), "{}", shown.out);
    let wrong = shell.fails(2, &["integration", "edit", NAME, "--set", "quiet_hours=at night"]);
    assert!(wrong.err.contains("quiet_hours=22-6"), "{}", wrong.err);
    let refused = shell.fails(5, &["integration", "edit", NAME, "--set", "sync_interval_s=5"]);
    assert!(refused.err.contains("`sync_interval_s`"), "{}", refused.err);
    assert!(!refused.err.contains("`settings`"), "{}", refused.err);
    // This RMM limits no requests and masks no fields.
    for foreign in ["rate_share_percent=30", "custom_fields.udf3.shown=true"] {
        let refused = shell.fails(5, &["integration", "edit", NAME, "--set", foreign]);
        assert!(refused.err.contains("has no setting `"), "{}", refused.err);
    }
    let shown = shell.typed(&["integration", "show", NAME, "--json"]).ends_with(0).json();
    assert_eq!(shown["rate_budget"], Value::Null, "{shown}");
    assert_eq!(shown["settings"]["rate_share_percent"], Value::Null, "{shown}");
    let merged = ["integration", "edit", NAME, "--set", "merge_exact=true", "--json"];
    assert_eq!(shell.typed(&merged).ends_with(0).json()["settings"]["merge_exact"], true);
}

fn check_syncing(shell: &Shell<'_>) {
    let ran = shell.typed(&["sync", "clients", NAME]).ends_with(0);
    assert!(ran.out.contains("succeeded"), "{}", ran.out);
    let accepted =
        shell.typed(&["organizations", "accept", "--min-score", "95", "--create-missing"]).ends_with(0);
    assert_eq!(accepted.out.trim(), "0 mapped, 4 created, 0 skipped");
    let preview = shell.typed(&["sync", "devices", NAME, "--preview"]).ends_with(0);
    assert!(preview.out.contains("60 created") && preview.out.contains("preview"), "{}", preview.out);
    assert!(shell.typed(&["assets", "list"]).ends_with(0).out.is_empty());
    let ran = shell.typed(&["sync", "devices", NAME]).ends_with(0);
    assert!(ran.out.contains("60 created"), "{}", ran.out);
    assert!(
        !ran.err.trim().is_empty() && !ran.err.contains('\r'),
        "progress is lines where no terminal is: {}",
        ran.err
    );
    let quiet = shell.typed(&["sync", "devices", NAME, "--quiet"]).ends_with(0);
    assert!(quiet.err.is_empty(), "{}", quiet.err);
    let run = shell.typed(&["sync", "devices", NAME, "--json"]).ends_with(0).json();
    assert_eq!(run["state"], "succeeded");
    let id = run["id"].as_str().unwrap();
    assert!(shell.typed(&["sync", "show", id]).ends_with(0).out.contains(id));
    shell.typed(&["sync", "cancel", id]).ends_with(0);
    let runs = shell.typed(&["sync", "runs", "--kind", "devices", "--state", "succeeded"]).ends_with(0);
    assert_eq!(runs.out.lines().count(), 5, "{}", runs.out);
    let begun = shell.typed(&["sync", "presence", NAME, "--no-wait"]).ends_with(0);
    assert!(begun.out.starts_with("run_"), "{}", begun.out);
}

/// A run that waits or works is answered again, and said not to be new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_runs_already_is_not_started_again() {
    let mut home = Home::sqlite();
    let rmm = rmm::start(20, 2, Duration::from_millis(300)).await;
    let connected = rmm::connect(&mut home, &rmm).await;
    let shell =
        Shell { home: &home, server: &connected.server, token: &connected.token, secrets: Vec::new() };
    let first = shell.typed(&["sync", "devices", NAME, "--no-wait"]).ends_with(0);
    assert!(first.err.contains("Started."), "{}", first.err);
    let second = shell.typed(&["sync", "devices", NAME, "--no-wait"]).ends_with(0);
    assert_eq!(second.out, first.out);
    assert!(second.err.contains("already") && !second.err.contains("Started."), "{}", second.err);
    assert!(shell.typed(&["sync", "devices", NAME]).ends_with(0).out.contains(first.out.trim()));
    let third = shell.typed(&["sync", "devices", NAME]).ends_with(0);
    assert!(!third.err.contains("already"), "{}", third.err);
}

/// What the RMM does, as it is told afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_reinstallations_and_ended_sign_ins_are_told_plainly() {
    let mut home = Home::sqlite();
    let rmm = rmm::start(60, 4, Duration::ZERO).await;
    let connected = rmm::connect(&mut home, &rmm).await;
    fs::write(home.folder().join("password"), &rmm.accounts().password).unwrap();
    let secrets = vec![rmm.accounts().password.clone(), connected.token.clone()];
    let shell = Shell { home: &home, server: &connected.server, token: &connected.token, secrets };
    shell.typed(&["sync", "devices", NAME]).ends_with(0);

    let (control, clients) = (rmm.control(), rmm.control().clients());
    let agent = control.agents(Some(clients[0].id)).into_iter().find(|agent| agent.answers).unwrap();
    control.move_agent(&agent.agent_id, clients[1].id).unwrap();
    shell.typed(&["sync", "devices", NAME]).ends_with(0);
    let listed = shell.typed(&["assets", "list", "--text", &agent.hostname, "--json"]).ends_with(0).json();
    let is_it =
        |asset: &&Value| asset["name"] == agent.hostname && asset["client"]["name"] == clients[1].name;
    let asset = listed["items"].as_array().unwrap().iter().find(is_it).unwrap();
    let history = shell.typed(&["assets", "history", asset["id"].as_str().unwrap()]).ends_with(0);
    let moved = history.out.lines().find(|line| line.contains("asset moved")).unwrap();
    let told = format!("client {} -> {}", clients[0].name, clients[1].name);
    assert!(moved.contains(&told) && !moved.contains("cli_") && !moved.contains("org_"), "{moved}");

    control.reinstall(&agent.agent_id).unwrap();
    // The old one falls silent.
    control.advance(700);
    shell.typed(&["sync", "devices", NAME]).ends_with(0);
    let proposals = shell.typed(&["assets", "proposals"]).ends_with(0);
    let mut lines = proposals.out.lines();
    let header = lines.next().unwrap();
    let (name, id) = (header.find("Machine").unwrap(), header.find("Proposal").unwrap());
    let row = lines.find(|line| line.contains(&agent.hostname)).unwrap();
    assert!(row[name..].starts_with(&agent.hostname) && row[id..].starts_with("pro_"), "{}", proposals.out);
    let proposal = row[id..].trim();
    let why = header.find("Evidence").unwrap();
    assert!(row[why..].starts_with("same "), "{}", proposals.out);
    shell.typed(&["assets", "keep-both", proposal]).ends_with(0);
    check_one_machine(&shell, proposal);

    check_code_needed(&shell, &rmm.accounts().username);
}

/// Merged by the proposal, looked at, told, and split again.
fn check_one_machine(shell: &Shell<'_>, proposal: &str) {
    let merged = shell.typed(&["assets", "merge", proposal, "--yes"]).ends_with(0);
    assert!(merged.out.contains("Merged into it") && merged.out.contains("Speaks"), "{}", merged.out);
    let kept = shell.typed(&["assets", "merge", proposal, "--yes", "--json"]).ends_with(5);
    assert!(kept.err.contains("already_merged"), "{}", kept.err);
    let id = merged.out.lines().find(|line| line.starts_with("Id ")).unwrap();
    let id = id.split_whitespace().last().unwrap().to_owned();
    let looked = shell.typed(&["assets", "audit", &id, "--software"]);
    assert!(looked.out.contains("software: not read: none of the RMMs"), "{}", looked.out);
    let told = shell.typed(&["assets", "history", &id]).ends_with(0);
    assert!(told.out.contains("asset merged"), "{}", told.out);
    let none = shell.typed(&["assets", "merge", &id, "--yes"]);
    assert!(none.err.contains("with which machine?"), "{}", none.err);
    let split = shell.typed(&["assets", "split", &id]).ends_with(0);
    assert!(split.out.contains("is a machine of its own again"), "{}", split.out);
    let one = shell.typed(&["assets", "split", &id]);
    assert!(one.err.contains("has one source: nothing was merged into it"), "{}", one.err);
    shell.typed(&["assets", "never-match", proposal]).ends_with(0);
}

/// The RMM asks for a code that nobody gave: the command that gives it is told, and no end of a token that is dead.
fn check_code_needed(shell: &Shell<'_>, username: &str) {
    shell.typed(&["integration", "disconnect", NAME, "--yes"]).ends_with(0);
    let user = format!("tacticalrmm_username={username}");
    let args = ["integration", "reconnect", NAME, "--auth-mode", "knox", "--field", &user];
    let again =
        shell.typed(&[&args[..], &["--secret", "tacticalrmm_password=@password"]].concat()).ends_with(0);
    assert!(!again.err.contains("not tried"), "it was tried: {}", again.err);
    let next = format!("Next: fleetgate integration sign-in '{NAME}' --code");
    let shown = shell.typed(&["integration", "show", NAME]).ends_with(0);
    assert!(shown.out.contains("needs_code") && shown.out.contains(&next), "{}", shown.out);
    assert!(!shown.out.contains("Token ends"), "{}", shown.out);
    let synced = shell.typed(&["sync", "devices", NAME]).ends_with(6);
    assert!(synced.out.contains(&next), "{}", synced.out);
}

fn check_mapping(shell: &Shell<'_>) {
    let listed = shell.typed(&["organizations", "list", "--json"]).ends_with(0).json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    let name = items[0]["name"].as_str().unwrap();
    assert!(shell.typed(&["organizations", "list", "--client", name]).ends_with(0).out.contains(name));
    shell.typed(&["organizations", "exclude", name, "--integration", NAME]).ends_with(0);
    shell.typed(&["organizations", "undo", name]).ends_with(0);
    shell.typed(&["organizations", "auto-sync", name, "off"]).ends_with(0);
    shell.typed(&["organizations", "auto-sync", name, "on"]).ends_with(0);

    let exported = shell.typed(&["organizations", "export", "--output", "mapping.csv"]).ends_with(0);
    assert!(exported.out.is_empty() && exported.err.contains("mapping.csv"), "{}", exported.err);
    let file = shell.home.folder().join("mapping.csv");
    let csv = fs::read_to_string(&file).unwrap();
    assert_eq!(csv, shell.typed(&["organizations", "export"]).ends_with(0).out);
    let same = shell.typed(&["organizations", "import", "mapping.csv"]).ends_with(0);
    assert!(same.out.contains("0 changed") && same.out.contains("4 unchanged"), "{}", same.out);
    let excluded: String =
        csv.lines().map(|line| format!("{}\n", line.replacen(",mapped,", ",excluded,", 1))).collect();
    fs::write(&file, &excluded).unwrap();
    let dry = shell.typed(&["organizations", "import", "mapping.csv", "--dry-run"]).ends_with(0);
    assert!(dry.out.contains("4 changed"), "{}", dry.out);
    assert_eq!(shell.typed(&["organizations", "export"]).out, csv, "a dry run changes nothing");
    let broken = csv.replacen(",mapped,", ",maped,", 1);
    let refused = shell.typed_with(&["organizations", "import", "-"], &broken).ends_with(8);
    assert!(refused.out.contains("maped") || refused.out.contains("state"), "{}", refused.out);
    assert_eq!(shell.typed(&["organizations", "export"]).out, csv, "a broken file changes nothing");
}

fn check_assets(shell: &Shell<'_>) {
    let listed = shell.typed(&["assets", "list", "--json", "--all"]).ends_with(0).json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 60);
    let names: Vec<&str> = items.iter().map(|asset| asset["name"].as_str().unwrap()).collect();
    let is_unique = |name: &&&str| names.iter().filter(|other| **other == **name).count() == 1;
    let name = *names.iter().filter(is_unique).find(|name| name.starts_with(char::is_alphabetic)).unwrap();
    for odd in names.iter().filter(is_unique).filter(|name| !name.starts_with(char::is_alphabetic)) {
        let shown = shell.typed(&["assets", "show", "--json", "--", odd]).ends_with(0).json();
        assert_eq!(shown["name"], **odd);
    }
    let table = shell.typed(&["assets", "list", "--all"]).ends_with(0);
    assert_eq!(table.out.lines().count(), 61, "{}", table.out);
    let first = shell.typed(&["assets", "list", "--limit", "5"]).ends_with(0);
    assert!(first.out.lines().count() == 6 && first.err.contains("5 of 60"), "{}{}", first.out, first.err);
    let client = items[0]["client"]["name"].as_str().unwrap();
    let some = shell
        .typed(&["assets", "list", "--client", client, "--sort", "-last_seen", "--json", "--all"])
        .ends_with(0)
        .json();
    assert!(some["items"].as_array().unwrap().iter().all(|asset| asset["client"]["name"] == client));
    shell
        .typed(&["assets", "list", "--seen-before", "30d", "--status", "overdue", "--needs-reboot"])
        .ends_with(0);

    assert!(shell.typed(&["assets", "show", name]).ends_with(0).out.contains(name));
    shell.typed(&["assets", "edit", name, "--type", "server", "--note", "in the basement"]).ends_with(0);
    let shown = shell.typed(&["assets", "show", name, "--json"]).ends_with(0).json();
    assert_eq!((&shown["type"], &shown["note"]), (&"server".into(), &"in the basement".into()));
    shell.typed(&["assets", "edit", name, "--reset", "type", "--reset", "note"]).ends_with(0);
    shell.typed(&["assets", "history", name]).ends_with(0);
    shell.typed(&["assets", "proposals"]).ends_with(0);

    let csv = shell.typed(&["assets", "export", "--status", "online"]).ends_with(0).out;
    let online = items.iter().filter(|asset| asset["status"] == "online").count();
    assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().count(), online);
    shell.typed(&["assets", "export", "--format", "json", "--output", "all.json"]).ends_with(0);
    let file = fs::read_to_string(shell.home.folder().join("all.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Value>>(&file).unwrap().len(), 60);
}

fn check_clients(shell: &Shell<'_>) {
    shell.typed(&["clients", "create", "Northwind Traders"]).ends_with(0);
    let taken = shell.fails(5, &["clients", "create", "northwind traders"]);
    assert!(taken.err.contains("name_taken"), "{}", taken.err);
    shell.typed(&["clients", "rename", "Northwind Traders", "Northwind"]).ends_with(0);
    shell.typed(&["clients", "archive", "Northwind"]).ends_with(0);
    let archived = shell.typed(&["clients", "show", "northwind"]).ends_with(0);
    assert!(archived.out.contains("Archived") && archived.err.contains("archived"), "{}", archived.err);
    shell.typed(&["clients", "restore", "Northwind"]).ends_with(0);
    shell.typed(&["clients", "create", "Stays"]).ends_with(0);
    shell.fails(2, &["clients", "merge", "Northwind", "--into", "Stays"]);
    shell.typed(&["clients", "merge", "Northwind", "--into", "Stays", "--yes"]).ends_with(0);
    assert!(shell.typed(&["clients", "show", "Stays"]).ends_with(0).out.contains("Stays"));
    assert!(!shell.typed(&["clients", "list"]).ends_with(0).out.contains("Northwind"));
    let merged = shell.typed(&["clients", "show", "Northwind"]).ends_with(0);
    assert!(merged.out.contains("Merged into") && merged.err.contains("Stays (cli_"), "{}", merged.err);
    shell.fails(4, &["clients", "show", "Nobody"]);
    check_sites(shell);
}

fn check_sites(shell: &Shell<'_>) {
    let assets = shell.typed(&["assets", "list", "--all", "--json"]).ends_with(0).json();
    let asset = assets["items"].as_array().unwrap().iter().find(|asset| asset["site"].is_object()).unwrap();
    let [client, site] = ["client", "site"].map(|what| asset[what]["name"].as_str().unwrap());
    let at = |site: &str| {
        let listed = shell.typed(&["assets", "list", "--client", client, "--site", site, "--json", "--all"]);
        listed.ends_with(0).json()["items"].as_array().unwrap().len()
    };
    let there = at(site);
    assert!(there > 0);
    let listed = shell.typed(&["clients", "sites", client]).ends_with(0).out;
    assert!(listed.contains(site) && listed.contains("the RMM"), "{listed}");
    shell.typed(&["clients", "rename-site", client, site, "Head Office"]).ends_with(0);
    assert_eq!(at("Head Office"), there);
    shell.typed(&["clients", "add-site", client, "Attic"]).ends_with(0);
    let taken = shell.fails(5, &["clients", "add-site", client, "attic"]);
    assert!(taken.err.contains("name_taken"), "{}", taken.err);
    let listed = shell.typed(&["clients", "sites", client, "--text", "head", "--json"]).ends_with(0).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["asset_count"], there);
    assert_eq!(listed["items"][0]["sources"][0]["name"], site);
    let refused = shell.fails(5, &["clients", "remove-site", client, "Head Office"]);
    assert!(refused.err.contains("site_has_assets") && refused.err.contains("merge"), "{}", refused.err);
    shell.fails(2, &["clients", "merge-sites", client, "Head Office", "--into", "Attic"]);
    shell.typed(&["clients", "merge-sites", client, "Head Office", "--into", "Attic", "--yes"]).ends_with(0);
    assert_eq!(at("Attic"), there);
    shell.fails(4, &["clients", "remove-site", client, "Head Office"]);
    shell.typed(&["clients", "add-site", client, "Cellar"]).ends_with(0);
    shell.typed(&["clients", "remove-site", client, "Cellar"]).ends_with(0);
}

fn check_tokens(shell: &Shell<'_>, bob: &str) {
    let (home, server) = (shell.home, shell.server);
    let spare = home.token("ann@example.com", "user");
    let listed = shell.typed(&["tokens", "list", "--json"]).ends_with(0).json();
    let items = listed["items"].as_array().unwrap();
    let spare_id = items.iter().find(|token| spare.ends_with(token["last_four"].as_str().unwrap())).unwrap();
    let id = spare_id["id"].as_str().unwrap();
    assert!(shell.typed(&["tokens", "list"]).ends_with(0).out.contains(id));
    let twice = shell.fails(5, &["tokens", "revoke", "test", "--yes"]);
    assert!(twice.err.contains(id), "both are called so: {}", twice.err);
    shell.fails(2, &["tokens", "revoke", id]);
    home.cli(server, bob, &["tokens", "revoke", id, "--yes"], "").ends_with(4);
    home.cli(server, &spare, &["tokens", "list"], "").ends_with(0);
    shell.typed(&["tokens", "revoke", id, "--yes"]).ends_with(0);
    home.cli(server, &spare, &["tokens", "list"], "").ends_with(3);
    shell.fails(4, &["tokens", "revoke", "no such token", "--yes"]);
}

/// The form of the server's problems, whoever found the problem.
#[track_caller]
fn check_problem(ran: &Ran, code: &str) -> Value {
    let problem: Value =
        serde_json::from_str(&ran.err).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    assert_eq!(
        (&problem["code"], &problem["type"]),
        (&code.into(), &format!("urn:fleetgate:problem:{code}").into())
    );
    for key in ["title", "detail"] {
        assert!(problem[key].is_string(), "`{key}` is missing: {problem}");
    }
    problem
}

#[test]
fn commands_on_the_servers_machine_obey_json() {
    let home = Home::sqlite();
    let json =
        |args: &[&str], input: &str| home.run(&[args, &["--json"]].concat(), input).ends_with(0).json();
    let create = ["user", "create", "--email", "ann@example.com", "--name", "Ann", "--password", "-"];
    let made = json(&create, PASSWORD);
    assert_eq!((&made["email"], &made["role"]), (&"ann@example.com".into(), &"admin".into()));
    let listed = json(&["user", "list"], "");
    assert_eq!((&listed["items"][0], &listed["total"]), (&made, &1.into()));
    let token = json(&["token", "create", "--email", "ann@example.com", "--name", "x"], "");
    assert!(
        token["secret"].as_str().unwrap().starts_with("fgu_") && token["token"]["name"] == "x",
        "{token}"
    );
    assert_eq!(json(&["doctor"], "")["ok"], true);
    assert_eq!(json(&["migrate"], "")["up_to_date"], true);
    assert_eq!(json(&["exit-codes"], "")["items"][0], json!({ "code": 0, "meaning": "done" }));
    assert!(json(&["config"], "")["listen"].is_object());
    let taken = home.run(&[&create[..], &["--json"]].concat(), PASSWORD).ends_with(5);
    check_problem(&taken, "email_taken");
}

#[test]
fn every_failure_is_the_same_document_for_scripts() {
    let home = Home::sqlite();
    let mistyped = home.run(&["assets", "list", "--json", "--statsu", "online"], "").ends_with(2);
    let problem = check_problem(&mistyped, "usage");
    assert!(problem["detail"].as_str().unwrap().contains("--statsu"), "{problem}");
    assert!(
        problem["fix"].as_str().unwrap().contains("--status") && problem.get("status").is_none(),
        "{problem}"
    );
    let no_token = home.run(&["assets", "list", "--json"], "").ends_with(3);
    let problem = check_problem(&no_token, "no_token");
    assert!(problem["fix"].as_str().unwrap().contains("fleetgate token create --email"), "{problem}");
    check_problem(&home.run(&["serve", "--json"], "").ends_with(2), "usage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_at_a_wrong_address_is_told() {
    let home = Home::sqlite();
    let rmm = rmm::start(5, 1, Duration::ZERO).await;
    let show = |url: &str| {
        let mut command = home.command(&["clients", "show", "x"]);
        command.env("FLEETGATE_TOKEN", "fgu_x").env("FLEETGATE_URL", url);
        crate::home::run(command, home.folder(), "")
    };
    let other = show(rmm.url()).ends_with(7);
    assert!(other.err.contains("no Fleetgate answers"), "{}", other.err);
    let tls = show(&rmm.url().replace("http://", "https://")).ends_with(7);
    assert!(tls.err.contains(rmm.url().trim_end_matches('/')), "the plain address is offered: {}", tls.err);
    // Whether anybody answers at the usual address is not known here.
    let usual = show("");
    assert_ne!(usual.code, 2, "an empty variable counts as not set: {}", usual.err);
}

#[test]
fn the_last_admin_is_not_shut_out_by_mistake() {
    let home = Home::sqlite();
    home.add_user("ann@example.com", "admin");
    home.add_user("bob@example.com", "technician");
    let disable = ["user", "disable", "--email", "Ann@example.com"];
    let refused = home.run(&disable, "").ends_with(2);
    assert!(refused.err.contains("last admin") && refused.err.contains("--yes"), "{}", refused.err);
    home.run(&["user", "disable", "--email", "bob@example.com"], "").ends_with(0);
    home.add_user("eve@example.com", "admin");
    home.run(&disable, "").ends_with(0);
    home.run(&["user", "disable", "--email", "eve@example.com"], "").ends_with(2);
    home.run(&["user", "disable", "--email", "eve@example.com", "--yes"], "").ends_with(0);
    let listed = home.run(&["user", "list"], "").ends_with(0);
    assert!(listed.out.lines().next().is_some_and(|header| header.contains("State")), "{}", listed.out);
    assert_eq!(listed.out.matches("disabled").count(), 3, "{}", listed.out);
    home.run(&["user", "disable", "--email", "nobody@example.com"], "").ends_with(4);
}

fn check_refusals(shell: &Shell<'_>, bob: &str) {
    let (home, server) = (shell.home, shell.server);
    let missing = shell.fails(4, &["assets", "show", "no such machine"]);
    assert!(missing.err.contains("no such machine"), "{}", missing.err);
    shell.fails(4, &["assets", "show", "ast_0192aaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    shell.fails(4, &["sync", "devices", "no such RMM"]);
    shell.fails(2, &["assets", "list", "--statsu", "online"]);
    shell.fails(2, &["assets", "list", "--seen-before", "yesterday-ish"]);
    shell.fails(2, &["assets", "edit", "PC"]);
    let problem = shell.fails(4, &["--json", "clients", "show", "cli_0192aaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    let problem: Value = serde_json::from_str(&problem.err).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"not_found".into(), &404.into()));

    let stranger = home.cli(server, "fgu_wrong", &["assets", "list"], "").ends_with(3);
    assert!(stranger.err.contains("bad_token"), "{}", stranger.err);
    home.cli(server, bob, &["assets", "list"], "").ends_with(0);
    let reader = home.cli(server, bob, &["clients", "create", "Mine"], "").ends_with(3);
    assert!(reader.err.contains("clients:manage"), "{}", reader.err);
    home.cli(server, bob, &["sync", "devices", NAME], "").ends_with(3);

    let away =
        home.cli(server, shell.token, &["assets", "list", "--server", "http://127.0.0.1:9"], "").ends_with(7);
    assert!(away.out.is_empty(), "{}", away.out);
    let plain = home
        .cli(server, shell.token, &["assets", "list", "--server", "http://fleet.example.com"], "")
        .ends_with(2);
    assert!(plain.err.contains("--insecure-http"), "{}", plain.err);
    fs::write(home.folder().join("token.txt"), format!("{}\n", shell.token)).unwrap();
    let mut command = home.command(&["assets", "list", "--token-file", "token.txt"]);
    command.env("FLEETGATE_URL", &server.url);
    crate::home::run(command, home.folder(), "").ends_with(0);
}
