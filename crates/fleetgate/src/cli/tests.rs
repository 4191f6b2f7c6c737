use clap::CommandFactory;

use super::*;

#[track_caller]
fn check_parses(typed: &str) -> Cli {
    match Cli::read_from(typed.split_whitespace()) {
        Ok(cli) => cli,
        Err(error) => panic!("{typed}: {error}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn documented_commands_can_be_typed() {
    let document = include_str!("../../../../docs/cli.md");
    let mut checked = 0;
    for line in document.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let command =
            line.split(" # ").next().unwrap().split(" > ").next().unwrap().split(" < ").next().unwrap();
        let words: Vec<String> = split_quoted(command);
        if words.first().is_some_and(|word| word == "fleetgate") && !words.iter().any(|word| word == "help") {
            if let Err(error) = Cli::read_from(&words) {
                panic!("{line}: {error}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands in docs/cli.md");
}

/// Words as a shell splits them, quotes for blanks only.
fn split_quoted(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn there_is_no_way_to_type_a_token() {
    let error = Cli::read_from(["fleetgate", "assets", "list", "--token=fgu_s3cret"]).unwrap_err();
    assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()));
    assert!(!error.to_string().contains("fgu_s3cret"), "{error}");
}

#[test]
fn configuration_flags_stand_before_or_after_the_subcommand() {
    for typed in [
        "fleetgate user --data-dir d list",
        "fleetgate user list --data-dir d",
        "fleetgate serve --listen 0.0.0.0:1 --data-dir d --outbound-allow 10.0.0.0/8 --outbound-allow 127.0.0.1/32",
        "fleetgate demo --agents 9 --clients 2 --living --listen 127.0.0.1:0 --data-dir d",
        "fleetgate token create --email a@b --name x --days 7 --kind agent --config f.toml",
        "fleetgate db --data-dir d copy --to @f",
        "fleetgate db copy --from config --to e --data-dir d",
        "fleetgate keys --data-dir d rotate --root --new-key-file f",
    ] {
        check_parses(typed);
    }
}

#[test]
fn an_address_of_a_database_is_never_shown() {
    let cli = check_parses("fleetgate db copy --from postgres://ann:s3cret@db/x --to env:NEW");
    let shown = format!("{cli:?}");
    assert!(!shown.contains("s3cret") && shown.contains("env:NEW"), "{shown}");
}

#[test]
fn output_flags_stand_anywhere() {
    for typed in
        ["fleetgate --json assets list", "fleetgate assets --json list", "fleetgate assets list --json"]
    {
        assert!(check_parses(typed).form.json, "{typed}");
    }
}

#[test]
fn help_lists_the_exit_codes() {
    let error = Cli::read_from(["fleetgate", "help", "exit-codes"]).unwrap_err();
    let text = error.to_string();
    for exit in Exit::ALL {
        assert!(text.contains(exit.meaning()), "{text}");
    }
}

fn help_of(command: &[&str]) -> String {
    let words = [&["fleetgate"], command, &["--help"]].concat();
    Cli::read_from(words).unwrap_err().to_string()
}

#[test]
fn options_without_effect_are_neither_listed_nor_accepted() {
    let server = ["--server", "--token-file", "--insecure-http"];
    for command in [
        &["serve"][..],
        &["demo"],
        &["migrate"],
        &["backup"],
        &["restore"],
        &["db", "copy"],
        &["keys", "status"],
        &["doctor"],
        &["config"],
        &["user"],
        &["user", "list"],
        &["token", "create"],
        &["exit-codes"],
    ] {
        let help = help_of(command);
        for option in server {
            assert!(!help.contains(option), "{option} in the help of {command:?}:\n{help}");
        }
        let has_json = !matches!(command, ["serve" | "demo"]);
        assert_eq!(help.contains("--json"), has_json, "{command:?}:\n{help}");
    }
    for command in [&["user", "list"][..], &["token", "create"], &["migrate"], &["backup"], &["db", "copy"]] {
        let help = help_of(command);
        assert!(help.contains("--data-dir") && !help.contains("--listen"), "{command:?}:\n{help}");
    }
    for typed in [
        "fleetgate serve --json",
        "fleetgate --json demo",
        "fleetgate --server http://x doctor",
        "fleetgate user list --token-file f",
        "fleetgate token create --email a@b --name x --insecure-http",
    ] {
        let error = Cli::read_from(typed.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{typed}");
        assert!(error.to_string().contains("has no effect"), "{typed}: {error}");
    }
    let help = help_of(&["assets", "list"]);
    assert!(server.iter().all(|option| help.contains(option)), "{help}");
    let cli = check_parses("fleetgate --server http://x --json assets list");
    assert_eq!((cli.api.server.as_deref(), cli.form.json), (Some("http://x"), true));
    assert!(check_parses("fleetgate user list --json").form.json);
    assert!(
        check_parses("fleetgate --quiet migrate").form.quiet && check_parses("fleetgate serve -q").form.quiet
    );
}

#[test]
fn the_help_of_the_demo_promises_no_file_that_it_does_not_read() {
    let help = help_of(&["demo"]);
    for wrong in ["./fleetgate.toml", "./fleetgate-data]", "FLEETGATE_DATA_DIR", "FLEETGATE_DATABASE_URL"] {
        assert!(!help.contains(wrong), "`{wrong}`:\n{help}");
    }
    for told in ["FLEETGATE_LISTEN", "FLEETGATE_CONFIG", "./fleetgate-demo"] {
        assert!(help.contains(told), "`{told}` is missing:\n{help}");
    }
    assert!(help_of(&["serve"]).contains("FLEETGATE_DATA_DIR"));
}

#[test]
fn the_help_of_mapping_says_what_becomes_of_auto_sync() {
    assert!(help_of(&["organizations", "map"]).contains("on for an organization that was not mapped"));
}
