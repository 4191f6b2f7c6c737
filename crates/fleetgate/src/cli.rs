//! The command line: what can be typed, and which code runs then.
//!
//! Commands on the server's own machine (`serve`, `migrate`, `user` …) read the configuration and are carried out by
//! `boot` and `demo`. All others are a client of the REST interface and know nothing that it does not say.

pub(crate) mod assets;
pub(crate) mod audit_log;
pub(crate) mod clients;
pub(crate) mod clock;
mod credentials;
pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod integration;
pub(crate) mod operator;
pub(crate) mod organizations;
mod reach;
mod resolve;
pub(crate) mod roles;
pub(crate) mod sync;
pub(crate) mod tokens;
pub(crate) mod users;

use std::ffi::OsString;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::operator::{
    AuditArgs, BackupArgs, ConfigArgs, DbArgs, DemoArgs, DoctorArgs, KeysArgs, MigrateArgs, RestoreArgs,
    ServeArgs, TenantArgs, TokenArgs, UserArgs,
};
use self::{exit::Exit, failure::Failure};
use crate::{
    api_client::{ApiClient, ApiFlags, Listed},
    config,
    output::{Output, table::Column},
};

/// One gate for every machine of every RMM.
#[derive(Debug, Parser)]
#[command(name = "fleetgate", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "`fleetgate help exit-codes` lists the exit codes. Manual: docs/cli.md")]
pub(crate) struct Cli {
    /// Which server, and as whom.
    #[command(flatten)]
    pub(crate) api: ApiFlags,
    /// How to print.
    #[command(flatten)]
    pub(crate) form: FormFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads what was typed.
    pub(crate) fn read_from<T: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = T>,
    ) -> Result<Cli, clap::Error> {
        let command = reach::hide(Cli::command()).mut_subcommand("demo", config::for_demo);
        let command = ["migrate", "backup", "restore", "db", "audit", "keys", "tenant", "user", "token"]
            .into_iter()
            .fold(command, |command, name| command.mut_subcommand(name, config::for_data));
        let matches = command.clone().try_get_matches_from(words)?;
        reach::check(&mut command.clone(), &matches)?;
        Cli::from_arg_matches(&matches)
    }
}

/// How to print.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct FormFlags {
    /// Print JSON, for scripts: the server's, where one is asked. Errors are problem documents on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only what was asked for and errors: no notes, no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Run a server with simulated RMMs and machines, to look around.
    Demo(DemoArgs),
    /// Bring the database up to this version; the server must not be running.
    Migrate(MigrateArgs),
    /// Write all data into one file, also beside a running server. The root key is not in it.
    Backup(BackupArgs),
    /// Put a backup into an empty database, of SQLite or PostgreSQL; the server must not be running.
    Restore(RestoreArgs),
    /// Move between SQLite and PostgreSQL.
    Db(DbArgs),
    /// See and rotate the keys of secrets, also beside a running server.
    Keys(KeysArgs),
    /// Look for mistakes in configuration, files, database and integrations.
    Doctor(DoctorArgs),
    /// Ask the server on this machine whether it is well; for health checks of containers.
    Health(ConfigArgs),
    /// Show the configuration in effect, and where each value comes from.
    Config(ConfigArgs),
    /// Check the audit log, on the server's machine. `audit-log` shows it from anywhere.
    Audit(AuditArgs),
    /// Make more tenants, on the server's machine.
    Tenant(TenantArgs),
    /// Manage users of every tenant, on the server's machine. `users` does it from anywhere.
    User(UserArgs),
    /// Make access tokens, on the server's machine. `tokens` lists and revokes them.
    Token(TokenArgs),
    /// What talks to a server.
    #[command(flatten)]
    Remote(RemoteCommand),
    /// List the exit codes.
    #[command(name = "exit-codes", long_about = exit_codes_help())]
    ExitCodes,
}

/// Commands that talk to a server, with a token.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    /// RMM accounts: connect, test, change, disconnect.
    #[command(subcommand, visible_alias = "integrations")]
    Integration(integration::Command),
    /// The RMMs' organizations, and which client each belongs to.
    #[command(subcommand, visible_alias = "organization")]
    Organizations(organizations::Command),
    /// Your clients.
    #[command(subcommand, visible_alias = "client")]
    Clients(clients::Command),
    /// Fetch organizations and devices from an RMM, and see how that went.
    #[command(subcommand)]
    Sync(sync::Command),
    /// The register of machines.
    #[command(subcommand, visible_alias = "asset")]
    Assets(assets::Command),
    /// The people of your tenant: who they are, what they may do, where they are signed in.
    #[command(subcommand)]
    Users(users::Command),
    /// Roles: what people may do.
    #[command(subcommand)]
    Roles(roles::Command),
    /// Who did what: list and export.
    #[command(subcommand)]
    AuditLog(audit_log::Command),
    /// Your access tokens: list and revoke. `token` makes them, on the server's machine.
    #[command(subcommand)]
    Tokens(tokens::Command),
}

fn exit_codes_help() -> String {
    format!("Exit codes, the same for all commands:\n\n{}", Exit::list())
}

/// Everything a user command needs.
#[derive(Debug)]
pub(crate) struct Session {
    /// The server.
    pub(crate) client: ApiClient,
    /// Where answers go.
    pub(crate) output: Output,
}

impl Session {
    /// Reads address and token.
    pub(crate) fn new(flags: &ApiFlags, output: Output) -> Result<Session, Failure> {
        Ok(Session { client: ApiClient::new(flags)?, output })
    }

    /// Prints a list: the JSON as it is, or a table with a word about what is not shown.
    fn print_list(
        &self,
        listed: &Listed,
        columns: &[Column],
        row: impl Fn(&serde_json::Value) -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.output.json(&listed.text);
        }
        if listed.items.is_empty() {
            self.output.note("Nothing found.");
            return Ok(());
        }
        self.output.table(columns, &listed.items.iter().map(row).collect::<Vec<_>>())?;
        if listed.has_more {
            let shown = listed.items.len();
            let of = match (listed.total, listed.at_least) {
                (Some(total), _) => format!("{shown} of {total}"),
                (None, Some(least)) => format!("{shown} of more than {least}"),
                (None, None) => format!("the first {shown}"),
            };
            self.output.note(&format!("Shown: {of}. `--all` shows everything."));
        }
        Ok(())
    }

    /// Prints one thing: its JSON, or what `people` makes of it.
    fn print_one(
        &self,
        answer: &crate::api_client::Answer,
        people: impl FnOnce(&serde_json::Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.output.is_json() { self.output.json(&answer.text) } else { people(&answer.value) }
    }
}

/// Runs a command that talks to a server.
pub(crate) async fn run_remote(
    command: RemoteCommand,
    flags: &ApiFlags,
    output: &Output,
) -> Result<Exit, Failure> {
    let session = Session::new(flags, output.clone())?;
    match command {
        RemoteCommand::Integration(command) => integration::run(command, &session).await,
        RemoteCommand::Organizations(command) => organizations::run(command, &session).await,
        RemoteCommand::Clients(command) => clients::run(command, &session).await,
        RemoteCommand::Sync(command) => sync::run(command, &session).await,
        RemoteCommand::Assets(command) => assets::run(command, &session).await,
        RemoteCommand::Users(command) => users::run(command, &session).await,
        RemoteCommand::Roles(command) => roles::run(command, &session).await,
        RemoteCommand::AuditLog(command) => audit_log::run(command, &session).await,
        RemoteCommand::Tokens(command) => tokens::run(command, &session).await,
    }
}

#[cfg(test)]
mod tests;
