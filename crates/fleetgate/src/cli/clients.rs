//! `fleetgate clients …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Session, clock, exit::Exit, failure::Failure, resolve};

use crate::{
    api_client::{Paging, Query},
    output::{
        table::{name, whole},
        text::plain,
        value::{ago, find, list, shown, text},
    },
    prompt,
};

mod sites;

/// What can be done with clients. They are named by name or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the clients.
    List {
        /// Words in the name.
        #[arg(long)]
        text: Option<String>,
        /// Those put aside.
        #[arg(long)]
        archived: bool,
        /// How much.
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one, with its sites; also one that was put aside or merged.
    Show {
        /// Name or id.
        client: String,
    },
    /// Create one.
    Create {
        /// Its name.
        name: String,
    },
    /// Give one another name.
    Rename {
        /// Name or id.
        client: String,
        /// The new name.
        name: String,
    },
    /// Put one aside. Its assets stay.
    Archive {
        /// Name or id.
        client: String,
    },
    /// Take one back.
    Restore {
        /// Name or id.
        client: String,
    },
    /// Move assets, sites and mappings of one into another.
    Merge {
        /// The one that goes: name or id.
        client: String,
        /// The one that stays: name or id.
        #[arg(long, value_name = "CLIENT")]
        into: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// What can be done with the sites of one.
    #[command(flatten)]
    Sites(sites::Command),
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    let client = &session.client;
    let answer = match command {
        Command::List { text, archived, paging } => return list_some(text, archived, &paging, session).await,
        Command::Show { client } => return show(&client, session).await,
        Command::Sites(command) => return sites::run(command, session).await,
        Command::Create { name } => client.post(&["clients"], &json!({ "name": name })).await?,
        Command::Rename { client: wanted, name } => {
            let id = resolve::client(client, &wanted).await?;
            client.patch(&["clients", &id], &json!({ "name": name })).await?
        }
        Command::Archive { client: wanted } => {
            let id = resolve::client(client, &wanted).await?;
            client.post(&["clients", &id, "archive"], &json!({})).await?
        }
        Command::Restore { client: wanted } => {
            let id = resolve::archived_client(client, &wanted).await?;
            client.post(&["clients", &id, "restore"], &json!({})).await?
        }
        Command::Merge { client: wanted, into, yes } => {
            let id = resolve::client(client, &wanted).await?;
            let target = resolve::client(client, &into).await?;
            let question = format!("Move everything of `{wanted}` into `{into}`? `{wanted}` is gone then.");
            prompt::confirm(&question, yes.into())?;
            client.post(&["clients", &id, "merge"], &json!({ "into": target })).await?
        }
    };
    session.print_one(&answer, |value| print(value, session))?;
    Ok(Exit::Ok)
}

async fn list_some(
    text: Option<String>,
    archived: bool,
    paging: &Paging,
    session: &Session,
) -> Result<Exit, Failure> {
    let mut query: Query = text.map(|text| ("text", text)).into_iter().collect();
    if archived {
        query.push(("archived", "true".to_owned()));
    }
    let listed = session.client.list(&["clients"], &query, paging).await?;
    let now = clock::now();
    let columns = [
        name("Name", 0),
        whole("Assets", 0),
        whole("Organizations", 1),
        whole("Archived", 2),
        whole("Id", 3),
    ];
    session.print_list(&listed, &columns, |item| {
        vec![
            shown(item, "name"),
            shown(item, "asset_count"),
            shown(item, "organization_count"),
            ago(item, "archived_at", now),
            shown(item, "id"),
        ]
    })?;
    Ok(Exit::Ok)
}

async fn show(wanted: &str, session: &Session) -> Result<Exit, Failure> {
    let id = resolve::any_client(&session.client, wanted).await?;
    let answer = session.client.get(&["clients", &id], &Query::new()).await?;
    let target = match text(&answer.value, "merged_into") {
        Some(target) if !session.output.is_json() => Some(named(target, session).await?),
        _ => None,
    };
    session.print_one(&answer, |value| print(value, session))?;
    match target {
        Some(target) => session.output.note(&format!("It was merged into {target}; its assets are there.")),
        None if find(&answer.value, "archived_at").is_some() => {
            session.output.note("It is archived: `fleetgate clients restore` takes it back.");
        }
        None => {}
    }
    Ok(Exit::Ok)
}

/// `Contoso (cli_…)`.
async fn named(id: &str, session: &Session) -> Result<String, Failure> {
    let answer = session.client.get(&["clients", id], &Query::new()).await?;
    Ok(format!("{} ({id})", plain(&shown(&answer.value, "name"))))
}

fn print(value: &Value, session: &Session) -> Result<(), Failure> {
    let sites: Vec<String> = list(value, "sites").iter().map(|site| shown(site, "name")).collect();
    session.output.facts(&[
        ("Name", shown(value, "name")),
        ("Id", shown(value, "id")),
        ("Sites", sites.join(", ")),
        ("Assets", shown(value, "asset_count")),
        ("Organizations", shown(value, "organization_count")),
        ("Archived", ago(value, "archived_at", clock::now())),
        ("Merged into", shown(value, "merged_into")),
    ])
}
