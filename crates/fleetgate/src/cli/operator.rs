//! Commands on the server's own machine. Here is only what can be typed; `boot` and `demo` carry them out.

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
    /// Simulated machines.
    #[arg(long, value_name = "N", default_value_t = 240, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) agents: u32,
    /// Simulated clients.
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
        /// Where the password comes from: `@FILE`, or `-` for standard input.
        #[arg(long, value_name = "@FILE|-")]
        password: Option<String>,
    },
    /// List the users.
    List,
    /// Set a new password, and sign the user out everywhere.
    ResetPassword {
        /// Whose.
        #[arg(long)]
        email: String,
        /// Where the password comes from: `@FILE`, or `-` for standard input.
        #[arg(long, value_name = "@FILE|-")]
        password: Option<String>,
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
