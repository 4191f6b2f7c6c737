//! `fleetgate integration …`: RMM accounts.

mod budget;
mod save;
mod settings;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::save::{AddArgs, EditArgs, ReconnectArgs};
use super::{Session, clock, credentials, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Answer, Paging, Query},
    output::{
        report::{Subject, check_report, next_step, offer_command},
        table::{name, prose, text as short, whole},
        text::plain,
        value::{ago, find, is_true, list, shown, text},
    },
    prompt,
};

/// What can be done with integrations. They are named by name or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the integrations.
    List,
    /// Show one, with the report of its last test.
    Show {
        /// Name or id.
        integration: String,
    },
    /// List the kinds of RMM, or the auth modes and fields of one.
    Providers {
        /// Its id.
        provider: Option<String>,
    },
    /// Connect an RMM account. What is not given is asked for on a terminal.
    Add(Box<AddArgs>),
    /// Change one. What is not given stays.
    Edit(Box<EditArgs>),
    /// Test the connection, and say what is wrong.
    Test(CodeArgs),
    /// Sign in again, where the RMM wants a one-time code.
    SignIn(CodeArgs),
    /// Forget the secrets and stop syncing. Mappings and assets stay.
    Disconnect {
        /// Name or id.
        integration: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Connect a disconnected one again.
    Reconnect(ReconnectArgs),
}

/// An integration and perhaps a code.
#[derive(Args, Debug)]
pub(crate) struct CodeArgs {
    /// Name or id.
    integration: String,
    /// With a one-time code: asked for, or from `@FILE` or `-` (standard input).
    #[arg(long, value_name = "@FILE|-", num_args = 0..=1, default_missing_value = "prompt")]
    code: Option<String>,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::List => list_all(session).await,
        Command::Show { integration } => show(&integration, session).await,
        Command::Providers { provider } => providers(provider.as_deref(), session).await,
        Command::Add(args) => save::add(&args, session).await,
        Command::Edit(args) => save::edit(&args, session).await,
        Command::Test(args) => test(&args, session).await,
        Command::SignIn(args) => sign_in(&args, session).await,
        Command::Disconnect { integration, yes } => disconnect(&integration, yes, session).await,
        Command::Reconnect(args) => save::reconnect(&args, session).await,
    }
}

async fn list_all(session: &Session) -> Result<Exit, Failure> {
    let listed = session.client.list(&["integrations"], &Query::new(), &Paging::default()).await?;
    let now = clock::now();
    session.print_list(
        &listed,
        &[
            name("Name", 0),
            whole("Provider", 4),
            whole("State", 0),
            short("Address", 2),
            whole("Devices synced", 3),
            short("Problem", 1),
            whole("Id", 5),
        ],
        |item| {
            vec![
                shown(item, "name"),
                shown(item, "provider"),
                shown(item, "state"),
                shown(item, "url"),
                ago(item, "last_device_sync_at", now),
                shown(item, "problem.message|problem"),
                shown(item, "id"),
            ]
        },
    )?;
    Ok(Exit::Ok)
}

async fn show(wanted: &str, session: &Session) -> Result<Exit, Failure> {
    let answer = get(wanted, session).await?;
    session.print_one(&answer, |value| print(value, session))?;
    Ok(Exit::Ok)
}

async fn get(wanted: &str, session: &Session) -> Result<Answer, Failure> {
    let id = resolve::integration(&session.client, wanted).await?;
    session.client.get(&["integrations", &id], &Query::new()).await
}

/// One integration for people.
fn print(value: &Value, session: &Session) -> Result<(), Failure> {
    let now = clock::now();
    session.output.facts(&[
        ("Name", shown(value, "name")),
        ("Id", shown(value, "id")),
        ("Provider", shown(value, "provider")),
        ("State", shown(value, "state")),
        ("Address", shown(value, "url")),
        ("Auth mode", shown(value, "auth_mode")),
        ("Account", shown(value, "account")),
        ("Secrets", secrets(value)),
        ("Organizations synced", ago(value, "last_organization_sync_at", now)),
        ("Devices synced", ago(value, "last_device_sync_at", now)),
        ("Presence", ago(value, "last_presence_at", now)),
        ("Details", ago(value, "last_detail_at", now)),
        ("Token ends at the earliest", token_end(value, now)),
        ("Settings", settings::line(value)),
        ("Requests", budget::line(value)),
        ("Shut out by the RMM", budget::pause(value, now)),
        ("Problem", shown(value, "problem.message")),
        ("What to do", shown(value, "problem.fix")),
        ("Last test", ago(value, "last_check_at", now)),
    ])?;
    if let Some(line) = next_step(value) {
        session.output.line(&line)?;
    }
    for warning in list(value, "warnings") {
        session.output.line(&warning_lines(warning))?;
    }
    match find(value, "last_check").filter(|report| report.is_object()) {
        Some(report) => session.output.line(&check_report(report, session.output.look, &subject(value))),
        None => Ok(()),
    }
}

/// A token that the RMM ended before its time has no end any more.
fn token_end(value: &Value, now: domain::Time) -> String {
    if text(value, "state") == Some("needs_code") {
        String::new()
    } else {
        ago(value, "token_expires_at", now)
    }
}

/// `name (ends with abcd)` of each secret.
fn secrets(value: &Value) -> String {
    let named = list(value, "secrets").iter().map(|secret| match text(secret, "last_four") {
        Some(last_four) => format!("{} (ends with {last_four})", shown(secret, "name")),
        None => shown(secret, "name"),
    });
    named.collect::<Vec<_>>().join(", ")
}

fn warning_lines(warning: &Value) -> String {
    let (message, fix) = (plain(&shown(warning, "message")), plain(&shown(warning, "fix")));
    format!("! {message}\n  What to do: {fix}")
}

fn subject(value: &Value) -> Subject {
    Subject::Saved(text(value, "name").or_else(|| text(value, "id")).unwrap_or_default().to_owned())
}

/// `GET /providers`, as a list or in the form of one.
async fn descriptors(session: &Session) -> Result<(Answer, Vec<Value>), Failure> {
    let answer = session.client.get(&["providers"], &Query::new()).await?;
    let descriptors = match answer.value.as_array() {
        Some(descriptors) => descriptors.clone(),
        None => list(&answer.value, "items").to_vec(),
    };
    Ok((answer, descriptors))
}

async fn providers(wanted: Option<&str>, session: &Session) -> Result<Exit, Failure> {
    let (answer, descriptors) = descriptors(session).await?;
    if session.output.is_json() {
        session.output.json(&answer.text)?;
        return Ok(Exit::Ok);
    }
    let Some(wanted) = wanted else {
        let row = |descriptor: &Value| {
            let modes: Vec<String> =
                list(descriptor, "auth_modes").iter().map(|mode| shown(mode, "id")).collect();
            vec![shown(descriptor, "id"), shown(descriptor, "name"), modes.join(", ")]
        };
        let columns = [whole("Provider", 0), name("Name", 0), prose("Auth modes", 0)];
        session.output.table(&columns, &descriptors.iter().map(row).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    };
    let descriptor = resolve::provider(&descriptors, wanted)?;
    session.output.facts(&[
        ("Provider", shown(descriptor, "name")),
        ("Address", format!("{}, as {}", shown(descriptor, "url_label"), shown(descriptor, "url_example"))),
        (
            "Settings of its own",
            list(descriptor, "settings").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        ),
        ("Requests", budget::limit(descriptor)),
    ])?;
    let columns = [
        name("Auth mode", 0),
        whole("Field", 0),
        whole("Kind", 2),
        whole("Required", 1),
        name("Label", 0),
        prose("Help", 3),
    ];
    session.output.table(&columns, &field_rows(descriptor))?;
    let fields = || list(descriptor, "auth_modes").iter().flat_map(|mode| list(mode, "fields"));
    if fields().any(credentials::is_for_actions) {
        session.output.note(
            "A second credential is for actions alone, so that the first may be one that only reads. Its secrets are \
             given like the others, with `--secret NAME=@FILE`.",
        );
    }
    Ok(Exit::Ok)
}

/// The fields of all auth modes.
fn field_rows(descriptor: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for mode in list(descriptor, "auth_modes") {
        for field in list(mode, "fields") {
            rows.push(vec![
                shown(mode, "id"),
                shown(field, "name"),
                shown(field, "kind"),
                shown(field, "required"),
                shown(field, "label"),
                shown(field, "help"),
            ]);
        }
    }
    rows
}

async fn test(args: &CodeArgs, session: &Session) -> Result<Exit, Failure> {
    let code = credentials::code(args.code.as_deref())?;
    let id = resolve::integration(&session.client, &args.integration).await?;
    let body = code.map_or_else(|| json!({}), |code| json!({ "code": code }));
    let subject = Subject::Saved(args.integration.clone());
    let answer = session
        .client
        .post(&["integrations", &id, "test"], &body)
        .await
        .map_err(|failure| offering(failure, &subject))?;
    print_report(&answer, &subject, session)
}

/// Prints a report; a connection that does not work is the RMM's problem.
fn print_report(answer: &Answer, subject: &Subject, session: &Session) -> Result<Exit, Failure> {
    let look = session.output.look;
    session.print_one(answer, |report| session.output.line(&check_report(report, look, subject)))?;
    Ok(if is_true(&answer.value, "ok") { Exit::Ok } else { Exit::Rmm })
}

async fn sign_in(args: &CodeArgs, session: &Session) -> Result<Exit, Failure> {
    let code = credentials::code(args.code.as_deref())?;
    let id = resolve::integration(&session.client, &args.integration).await?;
    let body = code.map_or_else(|| json!({}), |code| json!({ "code": code }));
    let subject = Subject::Saved(args.integration.clone());
    let answer = session
        .client
        .post(&["integrations", &id, "sign-in"], &body)
        .await
        .map_err(|failure| offering(failure, &subject))?;
    session.print_one(&answer, |value| print(value, session))?;
    Ok(Exit::Ok)
}

async fn disconnect(wanted: &str, yes: bool, session: &Session) -> Result<Exit, Failure> {
    let id = resolve::integration(&session.client, wanted).await?;
    prompt::confirm(&format!("Forget the secrets of `{wanted}` and stop syncing?"), yes.into())?;
    let answer = session.client.post(&["integrations", &id, "disconnect"], &json!({})).await?;
    session.print_one(&answer, |value| print(value, session))?;
    session
        .output
        .note("Disconnected. Mappings and assets stay; `fleetgate integration reconnect` takes it up again.");
    Ok(Exit::Ok)
}

/// Adds the command that takes the offer in a failed answer.
fn offering(failure: Failure, subject: &Subject) -> Failure {
    let offer = failure.problem.as_ref().and_then(|problem| offer_command(find(problem, "offer")?, subject));
    match offer {
        Some(command) => failure.advise(format!("Next: {command}")),
        None => failure,
    }
}
