//! `fleetgate roles …`.

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{Session, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Paging, Query},
    output::{
        table::{name, whole},
        value::{is_true, shown},
    },
    prompt,
};

/// What can be done with roles. They are named by name or id; of built-in ones only the second factor can be set.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the roles, built in and own.
    List,
    /// Make a role.
    Create {
        /// Its name.
        name: String,
        /// What it allows, as `assets:read,alerts:read`. No more than you may.
        #[arg(long, value_name = "A,B,…", value_delimiter = ',', required = true)]
        permissions: Vec<String>,
    },
    /// Change an own role. Other permissions end the sign-ins of all who have it.
    Edit {
        /// Name or id.
        role: String,
        /// A new name.
        #[arg(long, required_unless_present = "permissions")]
        name: Option<String>,
        /// All that it allows from now on.
        #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
        permissions: Option<Vec<String>>,
    },
    /// Ask for a second factor of all who have a role, built in or own, or stop asking.
    SecondFactor {
        /// Name or id.
        role: String,
        /// Who has none can do nothing but set one up, from now on.
        #[arg(value_enum)]
        rule: Rule,
    },
    /// Remove an own role that nobody has.
    Remove {
        /// Name or id.
        role: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Whether a second factor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// Who has none can only set one up.
    Required,
    /// Everybody decides for themselves.
    Optional,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    let client = &session.client;
    match command {
        Command::List => list_all(session).await?,
        Command::Create { name, permissions } => {
            let new = json!({ "name": name, "permissions": permissions });
            let answer = client.post(&["roles"], &new).await?;
            session.print_one(&answer, |role| print(role, session))?;
        }
        Command::Edit { role, name, permissions } => {
            let id = resolve::own_role(client, &role).await?;
            let name = name.map(|name| ("name".to_owned(), json!(name)));
            let permissions = permissions.map(|names| ("permissions".to_owned(), json!(names)));
            let change: Map<String, Value> = name.into_iter().chain(permissions).collect();
            let answer = client.patch(&["roles", &id], &Value::Object(change)).await?;
            session.print_one(&answer, |role| print(role, session))?;
        }
        Command::SecondFactor { role, rule } => {
            let id = resolve::role(client, &role).await?;
            let body = json!({ "required": rule == Rule::Required });
            let answer = client.put(&["roles", &id, "second-factor"], &body).await?;
            session.print_one(&answer, |role| print(role, session))?;
        }
        Command::Remove { role, yes } => {
            let id = resolve::own_role(client, &role).await?;
            prompt::confirm(&format!("Remove the role `{role}`?"), yes.into())?;
            let answer = client.delete(&["roles", &id]).await?;
            session.print_one(&answer, |_| session.output.line("Removed."))?;
        }
    }
    Ok(Exit::Ok)
}

fn second_factor(role: &Value) -> &'static str {
    if is_true(role, "second_factor_required") { "required" } else { "optional" }
}

fn kind(role: &Value) -> &'static str {
    if is_true(role, "built_in") { "built in" } else { "own" }
}

async fn list_all(session: &Session) -> Result<(), Failure> {
    let listed = session.client.list(&["roles"], &Query::new(), &Paging::default()).await?;
    let columns = [
        name("Name", 0),
        whole("Kind", 1),
        whole("Users", 0),
        whole("Second factor", 1),
        name("Permissions", 0),
        whole("Id", 2),
    ];
    session.print_list(&listed, &columns, |role| {
        vec![
            shown(role, "name"),
            kind(role).to_owned(),
            shown(role, "user_count"),
            second_factor(role).to_owned(),
            shown(role, "permissions"),
            shown(role, "id"),
        ]
    })
}

fn print(role: &Value, session: &Session) -> Result<(), Failure> {
    session.output.facts(&[
        ("Name", shown(role, "name")),
        ("Permissions", shown(role, "permissions")),
        ("Users", shown(role, "user_count")),
        ("Second factor", second_factor(role).to_owned()),
        ("Id", shown(role, "id")),
    ])
}
