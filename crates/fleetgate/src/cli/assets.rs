//! `fleetgate assets …`: the register of machines.

pub(crate) mod download;
mod filter;
mod history;
mod identity;
mod look;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use self::{
    filter::{FilterArgs, TypeName},
    identity::{MergeArgs, SplitArgs},
    look::LookArgs,
};
use super::{Session, clock, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Paging, Query},
    output::{
        table::{Column, name, text, whole},
        value::{ago, find, is_true, shown},
    },
};

/// What can be done with assets. They are named by name or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List assets.
    List {
        /// Which.
        #[command(flatten)]
        filter: Box<FilterArgs>,
        /// How much.
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one, each field with its source and age.
    Show {
        /// Name or id.
        asset: String,
    },
    /// Change name, type or note. `--reset` gives a field back to the RMM.
    Edit(EditArgs),
    /// Show what happened to one, newest first.
    History {
        /// Name or id.
        asset: String,
        /// How much.
        #[command(flatten)]
        paging: Paging,
    },
    /// Write assets to a file.
    Export {
        /// Which.
        #[command(flatten)]
        filter: Box<FilterArgs>,
        /// Form of the file.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
        /// File to write; standard output if left out.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Read from the RMM now what it knows of one; hardware and network unless said otherwise.
    Audit(LookArgs),
    /// List machines that may be the same, with the evidence.
    Proposals {
        /// How much.
        #[command(flatten)]
        paging: Paging,
    },
    /// Make two machines one. The older one stays unless `--keep` says otherwise.
    Merge(MergeArgs),
    /// Undo a merge: the other machine is there again, under its own id.
    Split(SplitArgs),
    /// Answer a proposal: they are two. It is asked again only if the evidence becomes stronger.
    #[command(alias = "dismiss")]
    KeepBoth {
        /// Id of the proposal, or name of one of its machines.
        proposal: String,
    },
    /// Answer a proposal: they are two, and nobody is to ask again.
    NeverMatch {
        /// Id of the proposal, or name of one of its machines.
        proposal: String,
    },
}

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For spreadsheets.
    Csv,
    /// For programs.
    Json,
}

/// `assets edit`.
#[derive(Args, Debug)]
pub(crate) struct EditArgs {
    /// Name or id.
    asset: String,
    /// New name.
    #[arg(long)]
    name: Option<String>,
    /// What kind of machine it is.
    #[arg(long = "type", value_enum)]
    asset_type: Option<TypeName>,
    /// A note.
    #[arg(long)]
    note: Option<String>,
    /// Give a field back to the RMM, or remove the note. May be repeated.
    #[arg(long, value_enum, value_name = "FIELD")]
    reset: Vec<Field>,
    /// Which of several sources leads: name of the integration, or id of the device.
    #[arg(long, value_name = "SOURCE")]
    lead: Option<String>,
    /// Which of several sources speaks for a field, as `serial=Main RMM`; `serial=` gives it back. May be repeated.
    #[arg(long, value_name = "FIELD=SOURCE")]
    speaks: Vec<String>,
}

/// A field that people may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Field {
    /// The name.
    Name,
    /// The type.
    Type,
    /// The note.
    Note,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::List { filter, paging } => list_some(&filter, &paging, session).await?,
        Command::Show { asset } => show(&asset, session).await?,
        Command::Edit(args) => edit(args, session).await?,
        Command::History { asset, paging } => history::print(&asset, &paging, session).await?,
        Command::Export { filter, format, output } => {
            let query = filter.query(session).await?;
            let path = match format {
                Format::Csv => "assets.csv",
                Format::Json => "assets.json",
            };
            let response = session.client.download(&[path], &query).await?;
            download::save(response, output.as_deref(), session).await?;
        }
        Command::Audit(args) => return look::run(args, session).await,
        Command::Proposals { paging } => identity::proposals(&paging, session).await?,
        Command::Merge(args) => identity::merge(args, session).await?,
        Command::Split(args) => identity::split(args, session).await?,
        Command::KeepBoth { proposal } => {
            let said = "They stay two machines. It is asked again only if the evidence becomes stronger.";
            identity::answer(&proposal, "keep-both", said, session).await?;
        }
        Command::NeverMatch { proposal } => {
            let said = "They are two machines. It will not be asked again.";
            identity::answer(&proposal, "never-match", said, session).await?;
        }
    }
    Ok(Exit::Ok)
}

const COLUMNS: [Column; 10] = [
    name("Name", 0),
    name("Client", 0),
    name("Site", 3),
    whole("Type", 1),
    whole("Status", 0),
    text("System", 2),
    whole("Last seen", 0),
    text("User", 4),
    whole("RMM", 5),
    whole("Id", 6),
];

async fn list_some(filter: &FilterArgs, paging: &Paging, session: &Session) -> Result<(), Failure> {
    let query = filter.query(session).await?;
    let listed = session.client.list(&["assets"], &query, paging).await?;
    let now = clock::now();
    session.print_list(&listed, &COLUMNS, |asset| {
        vec![
            shown(asset, "name"),
            shown(asset, "client.name|client_name"),
            shown(asset, "site.name|site_name"),
            shown(asset, "type"),
            status(asset),
            shown(asset, "os"),
            ago(asset, "last_seen", now),
            shown(asset, "user"),
            shown(asset, "provider"),
            shown(asset, "id"),
        ]
    })
}

/// The status, and whether it can be relied on.
fn status(asset: &Value) -> String {
    let mut status = shown(asset, "status");
    if is_true(asset, "status_stale") {
        status.push_str(" (old)");
    }
    if is_true(asset, "stale") {
        status.push_str(" (stale)");
    }
    // A machine that another RMM still lists is not missing.
    let missing =
        if find(asset, "sources").is_some() { "missing_since" } else { "missing_since|source.missing_since" };
    if find(asset, missing).is_some() {
        status.push_str(" (missing)");
    }
    status
}

async fn show(wanted: &str, session: &Session) -> Result<(), Failure> {
    let id = resolve::asset(&session.client, wanted).await?;
    let answer = session.client.get(&["assets", &id], &Query::new()).await?;
    session.print_one(&answer, |asset| show::print(asset, session))
}

async fn edit(args: EditArgs, session: &Session) -> Result<(), Failure> {
    let mut body = changes(&args)?;
    let id = resolve::asset(&session.client, &args.asset).await?;
    if args.chooses_sources() {
        let asset = session.client.get(&["assets", &id], &Query::new()).await?.value;
        args.add_sources(&asset, &mut body)?;
    }
    let body = Value::Object(body);
    let answer = session.client.patch(&["assets", &id], &body).await?;
    session.print_one(&answer, |asset| show::print(asset, session))
}

/// The changed fields; null gives one back.
fn changes(args: &EditArgs) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    body.extend(args.name.iter().map(|name| ("name".to_owned(), json!(name))));
    body.extend(args.asset_type.iter().map(|name| ("asset_type".to_owned(), json!(name.wire()))));
    body.extend(args.note.iter().map(|note| ("note".to_owned(), json!(note))));
    for field in &args.reset {
        let name = match field {
            Field::Name => "name",
            Field::Type => "asset_type",
            Field::Note => "note",
        };
        if body.insert(name.to_owned(), Value::Null).is_some() {
            return Err(Failure::usage(format!("`{name}` is both set and reset")));
        }
    }
    if body.is_empty() && !args.chooses_sources() {
        return Err(Failure::usage("nothing to change was given")
            .advise("Give --name, --type, --note, --reset, --lead or --speaks."));
    }
    Ok(body)
}

impl EditArgs {
    fn chooses_sources(&self) -> bool {
        self.lead.is_some() || !self.speaks.is_empty()
    }

    /// Who leads and who speaks, by the ids of devices.
    fn add_sources(&self, asset: &Value, body: &mut Map<String, Value>) -> Result<(), Failure> {
        if let Some(lead) = &self.lead {
            body.insert("leading_device".to_owned(), json!(identity::source(asset, Some(lead))?));
        }
        let mut chosen = Map::new();
        for word in &self.speaks {
            let Some((field, source)) = word.split_once('=') else {
                let failure = Failure::usage(format!("`{word}` names no source"));
                return Err(failure.advise("Write it as FIELD=SOURCE, for example serial=\"Main RMM\"."));
            };
            let device = match source.trim() {
                "" => Value::Null,
                source => json!(identity::source(asset, Some(source))?),
            };
            chosen.insert(field.trim().to_owned(), device);
        }
        if !chosen.is_empty() {
            body.insert("field_sources".to_owned(), Value::Object(chosen));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: Option<&str>, reset: Vec<Field>) -> EditArgs {
        EditArgs {
            asset: "a".to_owned(),
            name: name.map(str::to_owned),
            asset_type: None,
            note: None,
            reset,
            lead: None,
            speaks: Vec::new(),
        }
    }

    #[test]
    fn a_reset_field_is_null_and_an_untouched_one_is_not_sent() {
        let body = changes(&args(Some("PC-1"), vec![Field::Note])).unwrap();
        assert_eq!(Value::Object(body), json!({ "name": "PC-1", "note": null }));
        assert_eq!(changes(&args(None, Vec::new())).unwrap_err().exit, Exit::Usage);
        assert_eq!(changes(&args(Some("x"), vec![Field::Name])).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_status_says_whether_it_can_be_relied_on() {
        let asset = json!({ "status": "online", "status_stale": true, "source": { "missing_since": "x" } });
        assert_eq!(status(&asset), "online (old) (missing)");
        let silent = json!({ "status": "overdue", "stale": true });
        assert_eq!(status(&silent), "overdue (stale)");
        let seen_elsewhere = json!({ "status": "online", "missing_since": null, "sources": [{}, {}],
            "source": { "missing_since": "x" } });
        assert_eq!(status(&seen_elsewhere), "online");
    }
}
