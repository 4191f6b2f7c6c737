//! `fleetgate users …`: the people of one's own tenant, over REST. `fleetgate user` works on the server's machine.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Session, clock, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Answer, Paging, Query},
    output::{
        table::{name, whole},
        text::plain,
        value::{ago, find, is_true, shown},
    },
    prompt,
};

/// What can be done with users. They are named by e-mail address, name or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the users.
    List,
    /// Show one, with the clients they see.
    Show {
        /// E-mail address, name or id.
        user: String,
    },
    /// Create a user. The first password is asked for.
    Create {
        /// To sign in with.
        email: String,
        /// For people; the e-mail address if left out.
        #[arg(long)]
        name: Option<String>,
        /// What the user may do: a role's name or id. No more than you may.
        #[arg(long)]
        role: String,
        /// A client they see, by name or id; several times for several. All if left out.
        #[arg(long = "client", value_name = "CLIENT")]
        clients: Vec<String>,
        /// Where the password comes from: `@FILE`, or `-` for standard input.
        #[arg(long, value_name = "@FILE|-")]
        password: Option<String>,
    },
    /// Give a user another role. Their sign-ins end.
    SetRole {
        /// E-mail address, name or id.
        user: String,
        /// Name or id.
        role: String,
    },
    /// Limit a user to some clients, or lift the limit. Their sign-ins end.
    SetClients {
        /// E-mail address, name or id.
        user: String,
        /// Which.
        #[command(flatten)]
        wanted: WantedClients,
    },
    /// Shut a user out: no sign-in, no tokens.
    Disable {
        /// E-mail address, name or id.
        user: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Let a user in again.
    Enable {
        /// E-mail address, name or id.
        user: String,
    },
    /// Set another person's password. Their sign-ins end, and the next one has to change it.
    ResetPassword {
        /// E-mail address, name or id.
        user: String,
        /// Where the password comes from: `@FILE`, or `-` for standard input.
        #[arg(long, value_name = "@FILE|-")]
        password: Option<String>,
    },
    /// Remove another person's lost second factors, app and passkeys. Their sign-ins end, and the password lets in again.
    ResetSecondFactor {
        /// E-mail address, name or id.
        user: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// List the browsers in which somebody is signed in.
    Sessions {
        /// E-mail address, name or id; you if left out.
        #[arg(long)]
        user: Option<String>,
    },
    /// End a sign-in.
    EndSession {
        /// Its id, from `sessions`.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        session: Option<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Whose: e-mail address, name or id; yours if left out.
        #[arg(long)]
        user: Option<String>,
    },
}

/// Which clients a user shall see.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct WantedClients {
    /// A client they see, by name or id; several times for several. All others are hidden.
    #[arg(long = "client", value_name = "CLIENT")]
    clients: Vec<String>,
    /// All clients, those to come as well.
    #[arg(long)]
    all: bool,
    /// No client at all.
    #[arg(long)]
    none: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::List => list_all(session).await?,
        Command::Show { user } => {
            let id = resolve::user(&session.client, &user).await?;
            let answer = session.client.get(&["users", &id], &Query::new()).await?;
            show(&answer, session).await?;
        }
        Command::Create { email, name, role, clients, password } => {
            let role = resolve::role(&session.client, &role).await?;
            let clients = if clients.is_empty() { None } else { Some(ids(&clients, session).await?) };
            let password = prompt::new_password(password.as_deref())?;
            let name = name.unwrap_or_else(|| email.clone());
            let password = password.expose_secret();
            let new = json!({
                "email": email, "name": name, "role": role, "clients": clients, "password": password,
            });
            let answer = session.client.post(&["users"], &new).await?;
            show(&answer, session).await?;
        }
        Command::SetRole { user, role } => {
            let role = resolve::role(&session.client, &role).await?;
            change(&user, &json!({ "role": role }), session).await?;
        }
        Command::SetClients { user, wanted: WantedClients { clients, all, none: _ } } => {
            let clients = if all { None } else { Some(ids(&clients, session).await?) };
            change(&user, &json!({ "clients": clients }), session).await?;
        }
        Command::Disable { user, yes } => {
            let question = format!("Shut `{user}` out? Their sign-ins end, and their tokens stop working.");
            prompt::confirm(&question, yes.into())?;
            change(&user, &json!({ "disabled": true }), session).await?;
        }
        Command::Enable { user } => change(&user, &json!({ "disabled": false }), session).await?,
        Command::ResetPassword { user, password } => {
            let id = resolve::user(&session.client, &user).await?;
            let password = prompt::new_password(password.as_deref())?;
            let body = json!({ "password": password.expose_secret() });
            let answer = session.client.post(&["users", &id, "password"], &body).await?;
            let sentence = format!(
                "{} has a new password, to be changed at the next sign-in, and is signed out everywhere.",
                plain(&user)
            );
            session.print_one(&answer, |_| session.output.line(&sentence))?;
        }
        Command::ResetSecondFactor { user, yes } => reset_second_factor(&user, yes, session).await?,
        Command::Sessions { user } => list_sessions(user.as_deref(), session).await?,
        Command::EndSession { session: wanted, all: _, user } => {
            end(wanted.as_deref(), user.as_deref(), session).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn reset_second_factor(user: &str, yes: bool, session: &Session) -> Result<(), Failure> {
    let id = resolve::user(&session.client, user).await?;
    let question =
        format!("Remove the second factor of `{user}`? Their sign-ins end, and the password alone lets in.");
    prompt::confirm(&question, yes.into())?;
    let answer = session.client.delete(&["users", &id, "second-factors"]).await?;
    let sentence = format!("{} has no second factor any more and is signed out everywhere.", plain(user));
    session.print_one(&answer, |_| session.output.line(&sentence))
}

async fn list_all(session: &Session) -> Result<(), Failure> {
    let listed = session.client.list(&["users"], &Query::new(), &Paging::default()).await?;
    let columns = [
        whole("E-mail", 0),
        name("Name", 1),
        whole("Role", 0),
        whole("Clients", 0),
        whole("State", 0),
        whole("Second factor", 3),
        whole("Id", 2),
    ];
    session.print_list(&listed, &columns, |user| {
        vec![
            shown(user, "email"),
            shown(user, "name"),
            shown(user, "role_name"),
            how_many(user),
            state(user).to_owned(),
            shown(user, "second_factors"),
            shown(user, "id"),
        ]
    })
}

fn state(user: &Value) -> &'static str {
    if find(user, "disabled_at").is_some() { "disabled" } else { "active" }
}

/// Ids of clients, put aside or not.
async fn ids(wanted: &[String], session: &Session) -> Result<Vec<String>, Failure> {
    let mut found = Vec::with_capacity(wanted.len());
    for client in wanted {
        found.push(resolve::any_client(&session.client, client).await?);
    }
    Ok(found)
}

/// How many clients a user sees.
fn how_many(user: &Value) -> String {
    match find(user, "clients").and_then(Value::as_array).map(Vec::len) {
        None => "all".to_owned(),
        Some(0) => "none".to_owned(),
        Some(n) => n.to_string(),
    }
}

/// The clients a user sees, by name where one may read it.
async fn client_names(user: &Value, session: &Session) -> Result<String, Failure> {
    let Some(ids) = find(user, "clients").and_then(Value::as_array).filter(|ids| !ids.is_empty()) else {
        return Ok(how_many(user));
    };
    let mut names = Vec::with_capacity(ids.len());
    for id in ids.iter().filter_map(Value::as_str) {
        names.push(match session.client.get(&["clients", id], &Query::new()).await {
            Ok(client) => shown(&client.value, "name"),
            Err(failure) if matches!(failure.exit, Exit::NotFound | Exit::SignIn) => id.to_owned(),
            Err(failure) => return Err(failure),
        });
    }
    Ok(names.join(", "))
}

/// Prints a user as the server answered.
async fn show(answer: &Answer, session: &Session) -> Result<(), Failure> {
    let clients =
        if session.output.is_json() { String::new() } else { client_names(&answer.value, session).await? };
    session.print_one(answer, |user| print(user, &clients, session))
}

fn print(user: &Value, clients: &str, session: &Session) -> Result<(), Failure> {
    session.output.facts(&[
        ("E-mail", shown(user, "email")),
        ("Name", shown(user, "name")),
        ("Role", shown(user, "role_name")),
        ("Clients", plain(clients)),
        ("State", state(user).to_owned()),
        ("Second factor", shown(user, "second_factors")),
        ("Id", shown(user, "id")),
    ])
}

async fn change(wanted: &str, body: &Value, session: &Session) -> Result<(), Failure> {
    let id = resolve::user(&session.client, wanted).await?;
    let answer = session.client.patch(&["users", &id], body).await?;
    show(&answer, session).await
}

/// The path of a user's sign-ins, or of one's own.
async fn sessions_of(user: Option<&str>, session: &Session) -> Result<Vec<String>, Failure> {
    let whose = match user {
        Some(user) => vec!["users".to_owned(), resolve::user(&session.client, user).await?],
        None => vec!["me".to_owned()],
    };
    Ok(whose.into_iter().chain(["sessions".to_owned()]).collect())
}

async fn list_sessions(user: Option<&str>, session: &Session) -> Result<(), Failure> {
    let path = sessions_of(user, session).await?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let listed = session.client.list(&path, &Query::new(), &Paging::default()).await?;
    let now = clock::now();
    let columns = [
        whole("Signed in", 0),
        whole("Last used", 0),
        whole("Ends", 1),
        name("Browser", 1),
        whole("This one", 3),
        whole("Id", 0),
    ];
    session.print_list(&listed, &columns, |item| {
        vec![
            ago(item, "created_at", now),
            ago(item, "last_used_at", now),
            ago(item, "expires_at", now),
            shown(item, "user_agent"),
            if is_true(item, "current") { "yes".to_owned() } else { String::new() },
            shown(item, "id"),
        ]
    })
}

async fn end(wanted: Option<&str>, user: Option<&str>, session: &Session) -> Result<(), Failure> {
    let mut path = sessions_of(user, session).await?;
    path.extend(wanted.map(str::to_owned));
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let answer = session.client.delete(&path).await?;
    let sentence = match wanted {
        Some(_) => "Ended: that browser has to sign in again.",
        None => "Ended: every browser has to sign in again.",
    };
    session.print_one(&answer, |_| session.output.line(sentence))
}
