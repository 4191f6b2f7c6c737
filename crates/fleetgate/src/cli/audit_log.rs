//! `fleetgate audit-log …`: who did what, over REST. `fleetgate audit` checks the log on the server's machine.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{Session, assets::download, clock, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Paging, Query},
    output::{
        table::{Column, name, text, whole},
        value::{ago, find, shown},
    },
};

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what was done, newest first.
    List {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// How much.
        #[command(flatten)]
        paging: Paging,
    },
    /// Write what was done to a file.
    Export {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// Form of the file.
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// File to write; standard output if left out.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line, for programs.
    Jsonl,
    /// For spreadsheets.
    Csv,
}

/// Which acts.
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Act, or the beginning of its name: `client.rename`, `client.`.
    #[arg(long)]
    act: Option<String>,
    /// Id of the target.
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Who acted, or on whose behalf: e-mail address, name or id.
    #[arg(long)]
    user: Option<String>,
    /// What came of it.
    #[arg(long, value_enum)]
    outcome: Option<OutcomeName>,
    /// Not before this time: `2026-11-25T08:00:00Z`.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// What came of an act, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeName {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
}

impl FilterArgs {
    async fn query(&self, session: &Session) -> Result<Query, Failure> {
        let user = match &self.user {
            Some(wanted) => Some(resolve::user(&session.client, wanted).await?),
            None => None,
        };
        let outcome = self.outcome.map(|outcome| match outcome {
            OutcomeName::Done => "done".to_owned(),
            OutcomeName::Refused => "refused".to_owned(),
        });
        let mut query = Query::new();
        for (name, value) in [
            ("act", self.act.clone()),
            ("target", self.target.clone()),
            ("user", user),
            ("outcome", outcome),
            ("from", self.from.clone()),
            ("until", self.until.clone()),
        ] {
            query.extend(value.map(|value| (name, value)));
        }
        Ok(query)
    }
}

const COLUMNS: [Column; 7] = [
    whole("When", 0),
    text("Who", 0),
    whole("Act", 0),
    name("Target", 1),
    whole("Outcome", 2),
    whole("Row", 3),
    whole("Kind", 4),
];

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::List { filter, paging } => {
            let query = filter.query(session).await?;
            let listed = session.client.list(&["audit"], &query, &paging).await?;
            let now = clock::now();
            session.print_list(&listed, &COLUMNS, |act| {
                vec![
                    ago(act, "at", now),
                    shown(act, "actor_name"),
                    shown(act, "act"),
                    target(act),
                    outcome(act),
                    shown(act, "seq"),
                    shown(act, "actor_kind"),
                ]
            })?;
        }
        Command::Export { filter, format, output } => {
            let query = filter.query(session).await?;
            let path = match format {
                Format::Jsonl => "audit.jsonl",
                Format::Csv => "audit.csv",
            };
            let response = session.client.download(&[path], &query).await?;
            download::save(response, output.as_deref(), session).await?;
        }
    }
    Ok(Exit::Ok)
}

/// The name if there is one, else the id.
fn target(act: &Value) -> String {
    shown(act, "target_name|target")
}

fn outcome(act: &Value) -> String {
    match find(act, "rule").and_then(Value::as_str) {
        Some(rule) => format!("{} ({rule})", shown(act, "outcome")),
        None => shown(act, "outcome"),
    }
}
