//! `fleetgate clients sites` and the commands that change sites.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    api_client::{Paging, Query},
    cli::{Session, exit::Exit, failure::Failure, resolve},
    output::{
        table::{Column, name, prose, whole},
        value::{find, list, shown},
    },
    prompt,
};

/// What can be done with the sites of a client. Both are named by name or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the sites of one, with their assets and where they come from.
    Sites {
        /// Name or id.
        client: String,
        /// Words in the site's name.
        #[arg(long)]
        text: Option<String>,
        /// How much.
        #[command(flatten)]
        paging: Paging,
    },
    /// Make a site.
    AddSite {
        /// The client: name or id.
        client: String,
        /// The site's name.
        name: String,
    },
    /// Give a site another name. It stays, whatever the site is called at the RMM.
    RenameSite {
        /// The client: name or id.
        client: String,
        /// The site: name or id.
        site: String,
        /// The new name.
        name: String,
    },
    /// Move the assets of a site, now and from later syncs, to another site of the client.
    MergeSites {
        /// The client: name or id.
        client: String,
        /// The site that goes: name or id.
        site: String,
        /// The site that stays: name or id.
        #[arg(long, value_name = "SITE")]
        into: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Remove a site that has no assets.
    RemoveSite {
        /// The client: name or id.
        client: String,
        /// The site: name or id.
        site: String,
    },
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    let client = &session.client;
    let answer = match command {
        Command::Sites { client, text, paging } => return list_some(&client, text, &paging, session).await,
        Command::AddSite { client: wanted, name } => {
            let id = resolve::client(client, &wanted).await?;
            client.post(&["clients", &id, "sites"], &json!({ "name": name })).await?
        }
        Command::RenameSite { client: owner, site, name } => {
            let id = named(session, &owner, &site).await?;
            client.patch(&["sites", &id], &json!({ "name": name })).await?
        }
        Command::MergeSites { client: owner, site, into, yes } => {
            let id = named(session, &owner, &site).await?;
            let target = named(session, &owner, &into).await?;
            let question = format!("Move everything at `{site}` to `{into}`? `{site}` is gone then.");
            prompt::confirm(&question, yes.into())?;
            client.post(&["sites", &id, "merge"], &json!({ "into": target })).await?
        }
        Command::RemoveSite { client: owner, site } => {
            let id = named(session, &owner, &site).await?;
            let answer = client.delete(&["sites", &id]).await?;
            session.print_one(&answer, |_| session.output.line("Removed."))?;
            return Ok(Exit::Ok);
        }
    };
    session.print_one(&answer, |value| print(value, session))?;
    Ok(Exit::Ok)
}

async fn named(session: &Session, client: &str, site: &str) -> Result<String, Failure> {
    let owner = resolve::any_client(&session.client, client).await?;
    resolve::site(&session.client, Some(&owner), site).await
}

async fn list_some(
    wanted: &str,
    text: Option<String>,
    paging: &Paging,
    session: &Session,
) -> Result<Exit, Failure> {
    let id = resolve::any_client(&session.client, wanted).await?;
    let query: Query = text.map(|text| ("text", text)).into_iter().collect();
    let listed = session.client.list(&["clients", &id, "sites"], &query, paging).await?;
    let columns: [Column; 5] =
        [name("Name", 0), whole("Assets", 0), whole("Named by", 1), prose("At the RMM", 2), whole("Id", 3)];
    session.print_list(&listed, &columns, |item| {
        vec![
            shown(item, "name"),
            shown(item, "asset_count"),
            named_by(item).to_owned(),
            sources(item),
            shown(item, "id"),
        ]
    })?;
    Ok(Exit::Ok)
}

/// Who gave a site its name.
fn named_by(site: &Value) -> &'static str {
    if find(site, "named_at").is_some() { "a person" } else { "the RMM" }
}

/// `Main Office (Contoso), HQ (Contoso Ltd)`: name and organization at the RMM.
fn sources(site: &Value) -> String {
    let one = |source: &Value| format!("{} ({})", shown(source, "name"), shown(source, "organization_name"));
    list(site, "sources").iter().map(one).collect::<Vec<_>>().join(", ")
}

fn print(value: &Value, session: &Session) -> Result<(), Failure> {
    session.output.facts(&[
        ("Name", shown(value, "name")),
        ("Id", shown(value, "id")),
        ("Assets", shown(value, "asset_count")),
        ("Named by", named_by(value).to_owned()),
        ("At the RMM", sources(value)),
    ])
}
