use std::path::Path;

use secrecy::ExposeSecret;

use super::*;

const NO_FILE: &str = "/nonexistent/fleetgate.toml";

#[track_caller]
fn parse(text: &str) -> Vec<Setting> {
    file::parse(Path::new("fleetgate.toml"), text).unwrap()
}

#[track_caller]
fn check_file_error(text: &str, expected: &str) {
    let error = file::parse(Path::new("fleetgate.toml"), text).unwrap_err().to_string();
    assert_eq!(error, expected);
}

fn load_with(flags: &ConfigFlags, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_from(flags, Purpose::Operate, &Variables::of(variables), Path::new(NO_FILE))
}

#[track_caller]
fn check_variable_error(name: &str, value: &str, expected: &str) {
    let error = load_with(&ConfigFlags::default(), &[(name, value)]).unwrap_err().to_string();
    assert_eq!(error, expected);
}

#[test]
fn everything_has_a_default() {
    let config = load_with(&ConfigFlags::default(), &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8800");
    assert_eq!(config.data_dir, Path::new("./fleetgate-data"));
    assert_eq!(config.sqlite_file(), Path::new("./fleetgate-data/fleetgate.db"));
    assert_eq!(config.keys.root_key_file, Path::new("./fleetgate-data.key"));
    assert_eq!(config.log.level, "info");
    assert_eq!(config.jobs.workers, 4);
    assert!(config.outbound.allow.is_empty() && config.database.url.is_none());
    assert!(config.settings.0.iter().all(|setting| setting.source == Source::Default), "{config:?}");
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleetgate.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:1\"\npublic_url = \"https://f\"\n[jobs]\nworkers = 1\n")
        .unwrap();
    let variables = Variables::of(&[("FLEETGATE_LISTEN", "127.0.0.1:2"), ("FLEETGATE_JOBS_WORKERS", "2")]);
    let flags = ConfigFlags::of(&[("listen", "127.0.0.1:3")]);
    let config = load_from(&flags, Purpose::Operate, &variables, &file).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.jobs.workers, 2);
    assert_eq!(config.public_url.as_ref().map(Url::as_str), Some("https://f/"));
    assert_eq!(config.settings.find("listen").unwrap().source, Source::Flag("listen"));
    let source = config.settings.find("public_url").unwrap().source.to_string();
    assert_eq!(source, format!("{}, line 2", file.display()));
}

#[test]
fn a_named_file_must_exist_and_the_usual_one_need_not() {
    let flags = ConfigFlags::default().with_file(PathBuf::from(NO_FILE));
    let error = load_with(&flags, &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration `/nonexistent/fleetgate.toml`"), "{error}");
}

#[test]
fn every_key_of_the_file_is_read() {
    let settings = parse(
        "listen = \"[::]:80\"\ndata_dir = \"d\"\npublic_url = \"http://x\"\n[server]\ntls_certificate = \"c\"\n\
         tls_key = \"k\"\ntrusted_proxies = [\"::1\"]\n[database]\nurl = \"postgres://a/b\"\n\
         migrate_url = \"postgres://o@a/b\"\n[keys]\nroot_key_file = \"k\"\ncheckpoint_key_file = \"c\"\n\
         [audit]\ncheckpoint_file = \"a\"\n[outbound]\nallow = [\"10.0.0.0/8\"]\n\
         rmm_hosts = [\"rmm.example.com\"]\n[log]\nlevel = \"info,store=debug\"\nformat = \"json\"\n[jobs]\nworkers = 0x10\n",
    );
    let read: Vec<&str> = settings.iter().map(|setting| setting.key.name).collect();
    let in_file = KEYS.iter().filter(|key| key.place != keys::Place::EnvironmentOnly).count();
    assert_eq!(read.len(), in_file, "{read:?}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    check_file_error(
        "\nlisten_to = \"x\"\n",
        "fleetgate.toml, line 2: `listen_to`: there is no such key; did you mean `listen`?",
    );
    check_file_error(
        "[log]\nlevle = \"x\"\n",
        "fleetgate.toml, line 2: `log.levle`: there is no such key; did you mean `log.level`?",
    );
    check_file_error(
        "workers = 3\n",
        "fleetgate.toml, line 1: `workers`: there is no such key; did you mean `jobs.workers`?",
    );
    check_file_error(
        "[databse]\nurl = \"postgres://a\"\n",
        "fleetgate.toml, line 1: `databse`: there is no such section; did you mean `[database]`?",
    );
    check_file_error(
        "database = \"postgres://a\"\n",
        "fleetgate.toml, line 1: `database`: this is a section: write `[database]`, and `url = …` below it",
    );
}

#[test]
fn a_wrong_type_says_what_is_expected() {
    check_file_error(
        "listen = 8800\n",
        "fleetgate.toml, line 1: `listen`: this is a whole number; expected is an address with a port in quotes, as \
         \"127.0.0.1:8800\"",
    );
    check_file_error(
        "[jobs]\nworkers = \"4\"\n",
        "fleetgate.toml, line 2: `jobs.workers`: this is text; expected is a whole number from 1 to 64, without quotes",
    );
    check_file_error(
        "[outbound]\nallow = \"10.0.0.0/8\"\n",
        "fleetgate.toml, line 2: `outbound.allow`: this is text; expected is a list of networks, as [\"10.0.0.0/8\"]",
    );
    for wrong in
        ["https://rmm.example.com", "rmm.example.com:443", "*.example.com", "a/b", "", "u@rmm.example.com"]
    {
        check_file_error(
            &format!("[outbound]\nrmm_hosts = [\"ok.example.com\", \"{wrong}\"]\n"),
            &format!(
                "fleetgate.toml, line 2: `outbound.rmm_hosts`: `{wrong}` is not the name of a host; write it without \
                 `https://`, port and path, as `rmm.example.com`"
            ),
        );
    }
    let text = "[outbound]\nallow = [\"10.0.0.0/99\"]\n";
    let wrong = file::parse(Path::new("fleetgate.toml"), text).unwrap_err().to_string();
    assert!(wrong.starts_with("fleetgate.toml, line 2: `outbound.allow`: `10.0.0.0/99`"), "{wrong}");
}

#[test]
fn all_mistakes_are_told_at_once_in_their_order() {
    check_file_error(
        "[log]\nformat = \"xml\"\n[jobs]\nworkers = 0\n",
        "fleetgate.toml, line 2: `log.format`: `xml` is not \"text\" or \"json\"\n\
         fleetgate.toml, line 4: `jobs.workers`: 0 is not a whole number from 1 to 64",
    );
}

#[test]
fn broken_toml_names_the_line_but_not_its_text() {
    let error = file::parse(Path::new("f.toml"), "[database]\nurl = \"postgres://u:s3cret@h\n").unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("f.toml, line 2: no valid TOML: "), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn the_root_key_is_refused_in_the_file_and_read_from_the_environment() {
    check_file_error(
        "[keys]\nroot_key = \"abc\"\n",
        "fleetgate.toml, line 2: `keys.root_key`: a key does not belong into this file; set the variable \
         `FLEETGATE_ROOT_KEY`",
    );
    let config = load_with(&ConfigFlags::default(), &[("FLEETGATE_ROOT_KEY", "abc\n")]).unwrap();
    assert_eq!(config.keys.root_key.unwrap().expose_secret(), "abc");
}

#[test]
fn unknown_variables_are_refused_and_foreign_ones_left_alone() {
    check_variable_error(
        "FLEETGATE_LISTN",
        "x",
        "environment: there is no `FLEETGATE_LISTN`; did you mean `FLEETGATE_LISTEN`?",
    );
    check_variable_error(
        "FLEETGATE_LISTEN",
        "8800",
        "environment: `FLEETGATE_LISTEN`: `8800` is not an address with a port; write `127.0.0.1:8800`, or \
         `0.0.0.0:8800` for all networks",
    );
    let foreign = [
        ("FLEETGATE_URL", "x"),
        ("FLEETGATE_TOKEN", "x"),
        ("FLEETGATE_TEST_PG", "x"),
        ("FLEETGATE_SERVICE_HOST", "10.0.0.1"),
        ("FLEETGATE_PORT", "tcp://10.0.0.1:8800"),
        ("FLEETGATE_PORT_8800_TCP", "tcp://10.0.0.1:8800"),
    ];
    assert!(load_with(&ConfigFlags::default(), &foreign).is_ok());
    assert!(load_with(&ConfigFlags::default(), &[("FLEETGATE_PORT", "8800")]).is_err());
}

#[test]
fn lists_in_variables_and_flags_are_separated_by_commas() {
    let variables = [("FLEETGATE_OUTBOUND_ALLOW", "10.0.0.0/8, 127.0.0.1/32:8801,")];
    let config = load_with(&ConfigFlags::default(), &variables).unwrap();
    assert_eq!(config.outbound.allow, ["10.0.0.0/8", "127.0.0.1/32:8801"]);
    assert!(config.outbound.rmm_hosts.is_empty());
    let variables = [("FLEETGATE_OUTBOUND_RMM_HOSTS", "RMM.example.com, 127.0.0.1,[::1]")];
    let config = load_with(&ConfigFlags::default(), &variables).unwrap();
    assert_eq!(config.outbound.rmm_hosts, ["rmm.example.com", "127.0.0.1", "[::1]"]);
}

#[test]
fn certificate_and_key_come_together() {
    let both = [("FLEETGATE_TLS_CERTIFICATE", "/etc/c.pem"), ("FLEETGATE_TLS_KEY", "/etc/k.pem")];
    let tls = load_with(&ConfigFlags::default(), &both).unwrap().server.tls.unwrap();
    assert_eq!(
        (tls.certificate.as_path(), tls.key.as_path()),
        (Path::new("/etc/c.pem"), Path::new("/etc/k.pem"))
    );
    check_variable_error(
        "FLEETGATE_TLS_CERTIFICATE",
        "/etc/c.pem",
        "`server.tls_certificate` (environment FLEETGATE_TLS_CERTIFICATE): `server.tls_key` is missing; set both for \
         TLS, or neither behind a proxy",
    );
    check_variable_error(
        "FLEETGATE_TLS_KEY",
        "/etc/k.pem",
        "`server.tls_key` (environment FLEETGATE_TLS_KEY): `server.tls_certificate` is missing; set both for TLS, or \
         neither behind a proxy",
    );
}

#[test]
fn proxies_are_addresses_and_networks() {
    let variables = [("FLEETGATE_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/24,fd00::/8")];
    let config = load_with(&ConfigFlags::default(), &variables).unwrap();
    assert!(config.server.trusted_proxies.contains("10.0.0.9".parse().unwrap()));
    check_variable_error(
        "FLEETGATE_TRUSTED_PROXIES",
        "proxy.example",
        "environment: `FLEETGATE_TRUSTED_PROXIES`: `proxy.example` is no address or network; write `10.0.0.5`, \
         `10.0.0.0/24` or `fd00::/8`",
    );
    check_file_error(
        "[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n",
        "fleetgate.toml, line 2: `server.trusted_proxies`: `0.0.0.0/0` is everybody, and then every caller could claim \
         to be another; write the addresses of your proxies",
    );
}

#[test]
fn a_password_in_the_flag_is_refused_without_repeating_it() {
    let flags = ConfigFlags::of(&[("database.url", "postgres://u:s3cret@h/d")]);
    let error = load_with(&flags, &[]).unwrap_err().to_string();
    assert!(error.contains("FLEETGATE_DATABASE_URL") && !error.contains("s3cret"), "{error}");
    let without = ConfigFlags::of(&[("database.url", "postgres://u@h/d")]);
    assert!(load_with(&without, &[]).unwrap().database.url.is_some());
}

#[test]
fn the_root_key_must_not_lie_in_the_data_folder() {
    let inside = ConfigFlags::of(&[("data_dir", "/srv/fg"), ("keys.root_key_file", "/srv/fg/x/root.key")]);
    let error = load_with(&inside, &[]).unwrap_err().to_string();
    assert!(error.contains("lies inside the data folder"), "{error}");
    let root = ConfigFlags::of(&[("data_dir", "/")]);
    assert!(load_with(&root, &[]).unwrap_err().to_string().contains("set `keys.root_key_file`"));
}

#[test]
fn the_demo_takes_real_data_from_flags_only() {
    let variables = Variables::of(&[
        ("FLEETGATE_DATABASE_URL", "postgres://real/db"),
        ("FLEETGATE_DATA_DIR", "/srv/real"),
        ("FLEETGATE_LISTEN", "0.0.0.0:9"),
    ]);
    let load = |flags: &ConfigFlags| load_from(flags, Purpose::Demo, &variables, Path::new(NO_FILE)).unwrap();
    let config = load(&ConfigFlags::default());
    assert_eq!(config.data_dir, Path::new("./fleetgate-demo"));
    assert!(config.database.url.is_none());
    assert_eq!(config.listen.port(), 9);
    assert_eq!(load(&ConfigFlags::of(&[("data_dir", "/tmp/d")])).data_dir, Path::new("/tmp/d"));
}

#[test]
fn the_documentation_has_every_key() {
    let document = include_str!("../../../../docs/configuration.md");
    for key in KEYS {
        let last = key.name.rsplit('.').next().unwrap();
        let mut words = vec![format!("`{}`", key.env)];
        match key.place {
            keys::Place::FileAndFlag { flag, .. } => {
                words.extend([format!("`{}`", key.name), format!("`--{flag}`"), format!("{last} = ")]);
            }
            keys::Place::EnvironmentOnly => words.push(key.env.to_owned()),
        }
        words.push(key.default.to_owned());
        for word in words {
            assert!(document.contains(&word), "docs/configuration.md lacks {word} of {}", key.name);
        }
    }
    let example = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let uncommented: Vec<&str> =
        example.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    parse(&uncommented.join("\n"));
}

#[test]
fn configurations_for_operators_are_read() {
    let with_all = |text: &str| {
        let lines = text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        // What is commented out is a key; the rest of the comments are sentences.
        let keys = lines.filter(|line| line.is_empty() || line.starts_with('[') || line.contains(" = "));
        keys.collect::<Vec<_>>().join("\n")
    };
    let packaged = include_str!("../../../../packaging/fleetgate.toml");
    assert!(parse(packaged).len() >= 4 && parse(&with_all(packaged)).len() >= 8);
    let operations = include_str!("../../../../docs/operations.md");
    let blocks = operations.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    assert!(blocks.map(|block| parse(block).len()).filter(|keys| *keys >= 3).count() >= 3);
}

#[test]
fn debug_output_holds_no_secret() {
    let variables = [("FLEETGATE_ROOT_KEY", "s3cret"), ("FLEETGATE_DATABASE_URL", "postgres://u:s3cret@h/d")];
    let config = load_with(&ConfigFlags::default(), &variables).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
}
