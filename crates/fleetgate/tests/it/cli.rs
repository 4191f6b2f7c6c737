//! The command line against a running server.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    home::{Home, Ran, Server},
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
    assert!(fields.out.contains("tacticalrmm_api_key"), "{}", fields.out);
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
    let set = ["integration", "edit", NAME, "--set", "sync_interval_s=1800", "--json"];
    let edited = shell.typed(&set).ends_with(0).json();
    assert_eq!(
        (&edited["settings"]["sync_interval_s"], &edited["settings"]["allow_plain_http"]),
        (&1800.into(), &true.into())
    );
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
    shell.typed(&["clients", "restore", "Northwind"]).ends_with(0);
    shell.typed(&["clients", "create", "Stays"]).ends_with(0);
    shell.fails(2, &["clients", "merge", "Northwind", "--into", "Stays"]);
    shell.typed(&["clients", "merge", "Northwind", "--into", "Stays", "--yes"]).ends_with(0);
    assert!(shell.typed(&["clients", "show", "Stays"]).ends_with(0).out.contains("Stays"));
    assert!(!shell.typed(&["clients", "list"]).ends_with(0).out.contains("Northwind"));
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
