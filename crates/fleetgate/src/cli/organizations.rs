//! `fleetgate organizations …`: which client each organization of an RMM belongs to.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Session, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Paging, Query},
    output::{
        table::{name, whole},
        value::{find, is_true, list, shown, text},
    },
};

mod transfer;

/// What can be done with organizations. They are named by id, or by name within an integration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the organizations with their mappings.
    List(ListArgs),
    /// Say which client an organization belongs to. A new mapping has Auto-sync switched on unless told otherwise.
    Map {
        /// Which.
        #[command(flatten)]
        organization: OrganizationArg,
        /// The client: name or id.
        client: String,
        /// Import its devices? If left out: on for an organization that was not mapped, else as it was.
        #[arg(long, value_enum, value_name = "on|off")]
        auto_sync: Option<Switch>,
    },
    /// Create a client for an organization, and map it.
    CreateClient {
        /// Which.
        #[command(flatten)]
        organization: OrganizationArg,
        /// Name of the client; that of the organization if left out.
        #[arg(long)]
        name: Option<String>,
        /// Import its devices? If left out: on for an organization that was not mapped, else as it was.
        #[arg(long, value_enum, value_name = "on|off")]
        auto_sync: Option<Switch>,
    },
    /// Never import an organization.
    Exclude(OrganizationArg),
    /// Forget the mapping of an organization.
    Unmap(OrganizationArg),
    /// Import the devices of an organization, or stop doing so.
    AutoSync {
        /// Which.
        #[command(flatten)]
        organization: OrganizationArg,
        /// On or off.
        #[arg(value_enum)]
        state: Switch,
    },
    /// Take back the last change of an organization's mapping.
    Undo(OrganizationArg),
    /// Accept suggestions for all organizations that are not mapped yet.
    Accept(AcceptArgs),
    /// Write the mapping as CSV.
    Export {
        /// File to write; standard output if left out.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Of this integration only.
        #[arg(long, value_name = "NAME")]
        integration: Option<String>,
    },
    /// Read a mapping from CSV.
    Import {
        /// File to read; `-` for standard input.
        file: PathBuf,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
    },
}

/// One organization.
#[derive(Args, Debug)]
pub(crate) struct OrganizationArg {
    /// Name or id.
    organization: String,
    /// The integration it is of, if its name occurs in several.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// A state of mapping, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// Nothing decided.
    Unmapped,
    /// Belongs to a client.
    Mapped,
    /// Never imported.
    Excluded,
}

/// `organizations list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Of this integration.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// In this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Mapped to this client.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Words in the name.
    #[arg(long)]
    text: Option<String>,
    /// Show which client each unmapped one probably belongs to.
    #[arg(long)]
    suggestions: bool,
    /// How much.
    #[command(flatten)]
    paging: Paging,
}

/// `organizations accept`.
#[derive(Args, Debug)]
pub(crate) struct AcceptArgs {
    /// Of this integration only.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Least score, 70 to 100; 100 is the same name.
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(70..=100))]
    min_score: u8,
    /// Import their devices?
    #[arg(long, value_enum, value_name = "on|off", default_value_t = Switch::On)]
    auto_sync: Switch,
    /// Create a client for each that has no suggestion.
    #[arg(long)]
    create_missing: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list_some(args, session).await,
        Command::Map { organization, client, auto_sync } => {
            let client_id = resolve::client(&session.client, &client).await?;
            change(&organization, with_auto_sync(json!({ "client_id": client_id }), auto_sync), session).await
        }
        Command::CreateClient { organization, name, auto_sync } => {
            let client = name.map_or_else(|| json!({}), |name| json!({ "name": name }));
            change(&organization, with_auto_sync(json!({ "create_client": client }), auto_sync), session)
                .await
        }
        Command::Exclude(organization) => change(&organization, json!({ "excluded": true }), session).await,
        Command::Unmap(organization) => change(&organization, json!({ "unmapped": true }), session).await,
        Command::AutoSync { organization, state } => {
            change(&organization, with_auto_sync(json!({}), Some(state)), session).await
        }
        Command::Undo(organization) => undo(&organization, session).await,
        Command::Accept(args) => accept(&args, session).await,
        Command::Export { output, integration } => {
            transfer::export(output.as_deref(), integration.as_deref(), session).await
        }
        Command::Import { file, dry_run } => transfer::import(&file, dry_run, session).await,
    }
}

fn with_auto_sync(mut body: Value, auto_sync: Option<Switch>) -> Value {
    if let Some(switch) = auto_sync {
        body["auto_sync"] = Value::Bool(switch == Switch::On);
    }
    body
}

async fn list_some(args: ListArgs, session: &Session) -> Result<Exit, Failure> {
    let mut query = Query::new();
    if let Some(name) = &args.integration {
        query.push(("integration_id", resolve::integration(&session.client, name).await?));
    }
    if let Some(name) = &args.client {
        query.push(("client_id", resolve::client(&session.client, name).await?));
    }
    let state = args.state.and_then(|state| state.to_possible_value());
    query.extend(state.map(|state| ("state", state.get_name().to_owned())));
    query.extend(args.text.map(|text| ("text", text)));
    if args.suggestions {
        query.push(("include", "suggestions".to_owned()));
    }
    let listed = session.client.list(&["organizations"], &query, &args.paging).await?;
    let integrations = Integrations::of(session).await?;
    let columns = [
        name("Organization", 0),
        name("State", 0),
        name("Client", 0),
        whole("Auto-sync", 1),
        whole("Devices", 2),
        whole("Id", 4),
    ];
    let row = |item: &Value| {
        vec![
            shown(item, "name"),
            state_of(item),
            client_of(item),
            shown(item, "auto_sync"),
            shown(item, "device_count"),
            shown(item, "id"),
        ]
    };
    if !integrations.tell_apart() {
        session.print_list(&listed, &columns, row)?;
        return Ok(Exit::Ok);
    }
    let mut columns = columns.to_vec();
    columns.insert(1, name("Integration", 1));
    session.print_list(&listed, &columns, |item| {
        let mut row = row(item);
        row.insert(1, integrations.name(&shown(item, "integration_id")));
        row
    })?;
    Ok(Exit::Ok)
}

/// Names of integrations by id, for people; scripts read the ids.
struct Integrations(Vec<Value>);

impl Integrations {
    async fn of(session: &Session) -> Result<Integrations, Failure> {
        if session.output.is_json() {
            return Ok(Integrations(Vec::new()));
        }
        Ok(Integrations(
            session.client.list(&["integrations"], &Query::new(), &Paging::default()).await?.items,
        ))
    }

    /// With a single one at work it need not be named.
    fn tell_apart(&self) -> bool {
        self.0.len() > 1 || self.0.iter().any(is_disconnected)
    }

    fn name(&self, id: &str) -> String {
        match self.0.iter().find(|item| text(item, "id") == Some(id)) {
            Some(item) if is_disconnected(item) => format!("{} (disconnected)", shown(item, "name")),
            Some(item) => shown(item, "name"),
            None => id.to_owned(),
        }
    }
}

fn is_disconnected(integration: &Value) -> bool {
    text(integration, "state") == Some("disconnected")
}

fn state_of(item: &Value) -> String {
    let gone = if find(item, "vanished_at").is_some() { " (gone at the RMM)" } else { "" };
    format!("{}{gone}", shown(item, "state"))
}

/// The client, or what is suggested: `Contoso? (95, same name)`.
fn client_of(item: &Value) -> String {
    let mapped = shown(item, "client_name");
    let suggestion = list(item, "suggestions").first();
    match (mapped.is_empty(), suggestion) {
        (true, Some(suggestion)) => {
            let (name, score) = (shown(suggestion, "client_name"), shown(suggestion, "score"));
            format!("{name}? ({score}, {})", shown(suggestion, "reason"))
        }
        _ => mapped,
    }
}

async fn change(organization: &OrganizationArg, body: Value, session: &Session) -> Result<Exit, Failure> {
    let id = find_organization(organization, session).await?;
    let answer = session.client.patch(&["organizations", &id], &body).await?;
    session.print_one(&answer, |value| print(value, session))?;
    Ok(Exit::Ok)
}

async fn undo(organization: &OrganizationArg, session: &Session) -> Result<Exit, Failure> {
    let id = find_organization(organization, session).await?;
    let answer = session.client.post(&["organizations", &id, "undo"], &json!({})).await?;
    session.print_one(&answer, |value| print(value, session))?;
    Ok(Exit::Ok)
}

async fn find_organization(organization: &OrganizationArg, session: &Session) -> Result<String, Failure> {
    let OrganizationArg { organization, integration } = organization;
    resolve::organization(&session.client, integration.as_deref(), organization).await
}

fn print(value: &Value, session: &Session) -> Result<(), Failure> {
    session.output.facts(&[
        ("Organization", shown(value, "name")),
        ("Id", shown(value, "id")),
        ("Company", shown(value, "company.name")),
        ("State", state_of(value)),
        ("Client", client_of(value)),
        ("Auto-sync", shown(value, "auto_sync")),
        ("Devices", shown(value, "device_count")),
    ])?;
    if is_true(value, "can_undo") {
        session.output.note("`fleetgate organizations undo` takes this back.");
    }
    Ok(())
}

async fn accept(args: &AcceptArgs, session: &Session) -> Result<Exit, Failure> {
    let mut body = json!({
        "min_score": args.min_score,
        "auto_sync": args.auto_sync == Switch::On,
        "create_missing": args.create_missing,
    });
    if let Some(name) = &args.integration {
        body["integration_id"] = Value::String(resolve::integration(&session.client, name).await?);
    }
    let answer = session.client.post(&["organizations", "accept-suggestions"], &body).await?;
    session.print_one(&answer, |value| {
        let counts = ["mapped", "created", "skipped"].map(|name| format!("{} {name}", shown(value, name)));
        session.output.line(&counts.join(", "))
    })?;
    Ok(Exit::Ok)
}

/// `-` is standard input.
fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_integrations_are_told_apart_and_a_disconnected_one_is_marked() {
        let item = |id: &str, state: &str| json!({ "id": id, "name": format!("RMM {id}"), "state": state });
        let one = Integrations(vec![item("int_a", "connected")]);
        assert!(!one.tell_apart());
        let two = Integrations(vec![item("int_a", "connected"), item("int_b", "disconnected")]);
        assert!(two.tell_apart());
        assert_eq!(two.name("int_a"), "RMM int_a");
        assert_eq!(two.name("int_b"), "RMM int_b (disconnected)");
        assert_eq!(two.name("int_c"), "int_c");
    }
}
