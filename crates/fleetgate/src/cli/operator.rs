//! Commands on the server's own machine. Here is only what can be typed; `boot` and `demo` carry them out.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use domain::auth::{Role, TokenKind};

use crate::config::ConfigFlags;

/// `fleetgate serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Simulated machines of each RMM.
    #[arg(long, value_name = "N", default_value_t = 240, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) agents: u32,
    /// Simulated clients of the first RMM.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(crate) clients: u32,
    /// Let machines come, go and change while the demo runs.
    #[arg(long)]
    pub(crate) living: bool,
    /// The configuration. Data folder, database and keys are taken from flags only, and no usual file is read.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate migrate`.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The file to write. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate db …`.
#[derive(Args, Debug)]
pub(crate) struct DbArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DbCommand,
}

/// What can be done with whole databases.
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Copy a database into an empty one, of SQLite or PostgreSQL, with both at rest.
    ///
    /// A place is a data folder (SQLite), `@FILE` or `env:NAME` (a file or a variable that holds a `postgres://` address),
    /// a `postgres://` address without a password, or `config`: the database of the configuration.
    Copy {
        /// Where to read. It stays as it is.
        #[arg(long, value_name = "PLACE", default_value = "config")]
        from: CopyPlace,
        /// Where to write. There must be nothing yet.
        #[arg(long, value_name = "PLACE")]
        to: CopyPlace,
    },
}

/// Where a database is, as typed. Of an address only the scheme is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum CopyPlace {
    /// The database of the configuration.
    Config,
    /// A data folder.
    Folder(PathBuf),
    /// `postgres://…`, for sockets and roles without a password.
    Address(String),
    /// A file with the address.
    AddressIn(PathBuf),
    /// A variable with the address.
    Variable(String),
}

impl FromStr for CopyPlace {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<CopyPlace, Infallible> {
        let prefixed = |prefix: &str| text.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        Ok(match (prefixed("@"), prefixed("env:")) {
            (Some(file), _) => CopyPlace::AddressIn(PathBuf::from(file)),
            (_, Some(name)) => CopyPlace::Variable(name.to_owned()),
            _ if text == "config" => CopyPlace::Config,
            _ if text.contains("://") => CopyPlace::Address(text.to_owned()),
            _ => CopyPlace::Folder(PathBuf::from(text)),
        })
    }
}

impl fmt::Display for CopyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyPlace::Config => f.write_str("the configured database"),
            CopyPlace::Folder(folder) => write!(f, "`{}`", folder.display()),
            CopyPlace::Address(_) => f.write_str("the given PostgreSQL database"),
            CopyPlace::AddressIn(file) => write!(f, "the database of `@{}`", file.display()),
            CopyPlace::Variable(name) => write!(f, "the database of `env:{name}`"),
        }
    }
}

impl fmt::Debug for CopyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `fleetgate keys …`.
#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What can be done with the keys of secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show which keys are in use, how old they are, and whether a rotation has not ended.
    Status,
    /// Seal all secrets with a new data key, beside a running server. What was cut off is finished by running it again.
    Rotate {
        /// Make a new root key instead, and wrap the data keys by it. The old one is kept for earlier backups.
        #[arg(long)]
        root: bool,
        /// The new root key, where it is not this command that makes it: 32 bytes in base64, readable by you alone. No file
        /// changes its name then.
        #[arg(long, value_name = "FILE", requires = "root")]
        new_key_file: Option<PathBuf>,
    },
}

/// `fleetgate doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// `fleetgate user …`.
#[derive(Args, Debug)]
pub(crate) struct UserArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user. The password is asked for.
    Create {
        /// To sign in with.
        #[arg(long)]
        email: String,
        /// For people; the e-mail address if left out.
        #[arg(long)]
        name: Option<String>,
        /// What the user may do.
        #[arg(long, value_enum, default_value_t = RoleName::Admin)]
        role: RoleName,
        /// Of which tenant, by number or name; of the first one if left out.
        #[arg(long)]
        tenant: Option<String>,
        /// A client the user sees, by name or id; several times for several. All if left out.
        #[arg(long = "client", value_name = "CLIENT")]
        clients: Vec<String>,
        /// Where the password comes from: `@FILE`, or `-` for standard input.
        #[arg(long, value_name = "@FILE|-")]
        password: Option<String>,
        /// The password is the user's own choice: it need not be changed at the next sign-in. That of the first admin
        /// always is.
        #[arg(long)]
        own_password: bool,
    },
    /// List the users.
    List {
        /// Only those of this tenant, by number or name.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Set a new password, and sign the user out everywhere.
    ResetPassword {
        /// Whose.
        #[arg(long)]
        email: String,
        /// Where the password comes from: `@FILE`, or `-` for standard input.
        #[arg(long, value_name = "@FILE|-")]
        password: Option<String>,
        /// The password is the user's own choice: it need not be changed at the next sign-in.
        #[arg(long)]
        own_password: bool,
    },
    /// Remove lost second factors, app and passkeys, and sign the user out everywhere.
    ResetSecondFactor {
        /// Whose.
        #[arg(long)]
        email: String,
    },
    /// Shut a user out: no sign-in, no tokens.
    Disable {
        /// Whom.
        #[arg(long)]
        email: String,
        /// Do not ask, not even before the last admin is shut out.
        #[arg(long)]
        yes: bool,
    },
    /// Let a user in again who was shut out.
    Enable {
        /// Whom.
        #[arg(long)]
        email: String,
    },
}

/// `fleetgate tenant …`.
#[derive(Args, Debug)]
pub(crate) struct TenantArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TenantCommand,
}

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// List the tenants.
    List,
    /// Make a tenant. Its first admin is made with `fleetgate user create --tenant`.
    Create {
        /// Its name, for operators.
        name: String,
    },
}

/// `fleetgate audit …`.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// What can be done with the audit log on the server's machine.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every row, the chain, and the chain against signed checkpoints. Names the first bad row.
    Verify {
        /// File of checkpoints; the configured one if left out. Best a copy from another machine.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// Public part of a key that may have signed them, in hexadecimal. May be repeated; this machine's if left out.
        #[arg(long, value_name = "HEX")]
        public_key: Vec<String>,
        /// Only this tenant, by number or name.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Sign a checkpoint now. The server does it every hour.
    Checkpoint,
    /// Print the public part of the key that signs checkpoints.
    PublicKey,
}

/// `fleetgate token …`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// The configuration.
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make an access token for a user. It is printed once, alone on standard output.
    Create {
        /// Whose: the token can do what this user can.
        #[arg(long)]
        email: String,
        /// What it is for, to recognise it later.
        #[arg(long)]
        name: String,
        /// Days until it ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
        /// `user` for REST and this command line, `agent` for AI agents.
        #[arg(long, value_enum, default_value_t = TokenKindName::User)]
        kind: TokenKindName,
    },
}

/// A role, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum RoleName {
    /// Everything.
    Admin,
    /// Works with assets and alerts.
    Technician,
    /// Decides approvals, reads the rest.
    Approver,
    /// Reads.
    ReadOnly,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Admin => Role::Admin,
            RoleName::Technician => Role::Technician,
            RoleName::Approver => Role::Approver,
            RoleName::ReadOnly => Role::ReadOnly,
        }
    }
}

/// A kind of token, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenKindName {
    /// REST and the command line.
    User,
    /// AI agents.
    Agent,
}

impl From<TokenKindName> for TokenKind {
    fn from(name: TokenKindName) -> TokenKind {
        match name {
            TokenKindName::User => TokenKind::User,
            TokenKindName::Agent => TokenKind::Agent,
        }
    }
}
