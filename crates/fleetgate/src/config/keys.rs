//! The table of keys: file, environment, flags, `fleetgate config` and `docs/configuration.md` all follow it.

/// One key of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// With its section, as in the file: `log.level`.
    pub(super) name: &'static str,
    /// The variable.
    pub(super) env: &'static str,
    /// Where else it may stand.
    pub(super) place: Place,
    /// What a value looks like.
    pub(super) kind: Kind,
    /// For people.
    pub(super) default: &'static str,
    /// Does the demo read it from file and environment?
    pub(super) reach: Reach,
    /// One sentence.
    pub(super) help: &'static str,
}

/// Where a key may stand besides the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, and as this flag (without the dashes).
    FileAndFlag { flag: &'static str, value_name: &'static str },
    /// Nowhere: a file or a command line would give it away.
    EnvironmentOnly,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ADDR:PORT`.
    Address,
    /// A file or folder.
    Path,
    /// `http://` or `https://`.
    WebAddress,
    /// `postgres://…`; may hold a password.
    Database,
    /// Never shown.
    Secret,
    /// Networks, as `outbound` reads them.
    Networks,
    /// Addresses and networks of proxies, as `server` reads them.
    Proxies,
    /// Names of hosts.
    Hosts,
    /// A level, with exceptions by module.
    Levels,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number in this range.
    Count(i64, i64),
}

/// Does the demo read the key from file and environment, or only from its flag?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Everywhere,
    /// It leads to real data.
    RealData,
}

const fn flag(flag: &'static str, value_name: &'static str) -> Place {
    Place::FileAndFlag { flag, value_name }
}

/// Every key, in the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "listen",
        env: "FLEETGATE_LISTEN",
        place: flag("listen", "ADDR:PORT"),
        kind: Kind::Address,
        default: "127.0.0.1:8800",
        reach: Reach::Everywhere,
        help: "Where the REST interface answers",
    },
    Key {
        name: "data_dir",
        env: "FLEETGATE_DATA_DIR",
        place: flag("data-dir", "DIR"),
        kind: Kind::Path,
        default: "./fleetgate-data",
        reach: Reach::RealData,
        help: "Folder with everything Fleetgate keeps, except the root key",
    },
    Key {
        name: "public_url",
        env: "FLEETGATE_PUBLIC_URL",
        place: flag("public-url", "URL"),
        kind: Kind::WebAddress,
        default: "http:// and listen",
        reach: Reach::Everywhere,
        help: "Address that people and RMMs use, as `https://fleet.example.com`; never guessed from a request",
    },
    Key {
        name: "server.tls_certificate",
        env: "FLEETGATE_TLS_CERTIFICATE",
        place: flag("tls-certificate", "FILE"),
        kind: Kind::Path,
        default: "none: plain http",
        reach: Reach::Everywhere,
        help: "PEM file with the server's certificate and those of its issuers; read again when it changes",
    },
    Key {
        name: "server.tls_key",
        env: "FLEETGATE_TLS_KEY",
        place: flag("tls-key", "FILE"),
        kind: Kind::Path,
        default: "none: plain http",
        reach: Reach::Everywhere,
        help: "PEM file with the certificate's private key, not readable by everybody",
    },
    Key {
        name: "server.trusted_proxies",
        env: "FLEETGATE_TRUSTED_PROXIES",
        place: flag("trusted-proxies", "NETWORK"),
        kind: Kind::Proxies,
        default: "none",
        reach: Reach::Everywhere,
        help: "Proxies in front whose word about the caller counts, as `10.0.0.5` or `10.0.0.0/24`",
    },
    Key {
        name: "database.url",
        env: "FLEETGATE_DATABASE_URL",
        place: flag("database-url", "URL"),
        kind: Kind::Database,
        default: "SQLite in the data folder",
        reach: Reach::RealData,
        help: "PostgreSQL, as `postgres://…`; a password is refused in the flag",
    },
    Key {
        name: "database.migrate_url",
        env: "FLEETGATE_DATABASE_MIGRATE_URL",
        place: flag("database-migrate-url", "URL"),
        kind: Kind::Database,
        default: "database.url",
        reach: Reach::RealData,
        help: "The same database, as the role that owns the tables",
    },
    Key {
        name: "keys.root_key_file",
        env: "FLEETGATE_ROOT_KEY_FILE",
        place: flag("root-key-file", "FILE"),
        kind: Kind::Path,
        default: "<data_dir>.key",
        reach: Reach::RealData,
        help: "File with the key that encrypts the secrets of integrations; never inside the data folder",
    },
    Key {
        name: "keys.root_key",
        env: "FLEETGATE_ROOT_KEY",
        place: Place::EnvironmentOnly,
        kind: Kind::Secret,
        default: "from the root key file",
        reach: Reach::RealData,
        help: "The key itself, for systems that hand out secrets as variables; wins over the file",
    },
    Key {
        name: "keys.checkpoint_key_file",
        env: "FLEETGATE_CHECKPOINT_KEY_FILE",
        place: flag("checkpoint-key-file", "FILE"),
        kind: Kind::Path,
        default: "<data_dir>.checkpoint.key",
        reach: Reach::RealData,
        help: "File with the key that signs checkpoints of the audit log; never inside the data folder",
    },
    Key {
        name: "keys.checkpoint_key",
        env: "FLEETGATE_CHECKPOINT_KEY",
        place: Place::EnvironmentOnly,
        kind: Kind::Secret,
        default: "from the checkpoint key file",
        reach: Reach::RealData,
        help: "That key itself, for systems that hand out secrets as variables; wins over the file",
    },
    Key {
        name: "audit.checkpoint_file",
        env: "FLEETGATE_AUDIT_CHECKPOINT_FILE",
        place: flag("audit-checkpoint-file", "FILE"),
        kind: Kind::Path,
        default: "audit-checkpoints.jsonl in data_dir",
        reach: Reach::RealData,
        help: "File to which signed checkpoints of the audit log are added; best where this server cannot rewrite it",
    },
    Key {
        name: "outbound.allow",
        env: "FLEETGATE_OUTBOUND_ALLOW",
        place: flag("outbound-allow", "NETWORK"),
        kind: Kind::Networks,
        default: "none",
        reach: Reach::Everywhere,
        help: "Private networks that Fleetgate may reach, as `10.0.0.0/8` or `127.0.0.1/32:8801`",
    },
    Key {
        name: "outbound.rmm_hosts",
        env: "FLEETGATE_OUTBOUND_RMM_HOSTS",
        place: flag("outbound-rmm-hosts", "HOST"),
        kind: Kind::Hosts,
        default: "none",
        reach: Reach::Everywhere,
        help: "Hosts that credentials of an RMM in the vendor's cloud may be sent to, beside the vendor's own",
    },
    Key {
        name: "log.level",
        env: "FLEETGATE_LOG_LEVEL",
        place: flag("log-level", "LEVEL"),
        kind: Kind::Levels,
        default: "info",
        reach: Reach::Everywhere,
        help: "`error`, `warn`, `info`, `debug` or `trace`; exceptions by module as in `info,store=debug`",
    },
    Key {
        name: "log.format",
        env: "FLEETGATE_LOG_FORMAT",
        place: flag("log-format", "FORMAT"),
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        reach: Reach::Everywhere,
        help: "`text` for people or `json` for machines",
    },
    Key {
        name: "jobs.workers",
        env: "FLEETGATE_JOBS_WORKERS",
        place: flag("jobs-workers", "N"),
        kind: Kind::Count(1, 64),
        default: "4",
        reach: Reach::Everywhere,
        help: "Jobs that run at a time, 1 to 64",
    },
];

impl Key {
    /// The section, if it stands in one.
    pub(super) fn section(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(section, _)| section)
    }
}

impl Kind {
    /// What is expected, for an error message.
    pub(super) fn expected(self) -> String {
        match self {
            Kind::Address => "an address with a port in quotes, as \"127.0.0.1:8800\"".to_owned(),
            Kind::Path => "a path in quotes, as \"/var/lib/fleetgate\"".to_owned(),
            Kind::WebAddress => "a web address in quotes, as \"https://fleet.example.com\"".to_owned(),
            Kind::Database => "an address in quotes, as \"postgres://user@host/fleetgate\"".to_owned(),
            Kind::Secret => "text in quotes".to_owned(),
            Kind::Networks => "a list of networks, as [\"10.0.0.0/8\"]".to_owned(),
            Kind::Proxies => "a list of addresses, as [\"10.0.0.5\"]".to_owned(),
            Kind::Hosts => "a list of host names, as [\"rmm.example.com\"]".to_owned(),
            Kind::Levels => "a level in quotes, as \"info\"".to_owned(),
            Kind::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
            Kind::Count(least, most) => format!("a whole number from {least} to {most}, without quotes"),
        }
    }
}
