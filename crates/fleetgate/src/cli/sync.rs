//! `fleetgate sync …`: start a sync run, watch it, look at old ones.

mod watch;

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Session, clock, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Paging, Query},
    output::{
        report::next_step,
        table::{name, prose, text as short, whole},
        time::took,
        value::{ago, find, is_true, number, shown, text},
    },
};

/// How many items of a run are shown.
const FIRST_ITEMS: u16 = 10;

/// What can be done with syncs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch the organizations (the RMM's clients) of an integration.
    #[command(visible_alias = "organizations")]
    Clients(StartArgs),
    /// Fetch the devices of mapped organizations.
    Devices(StartArgs),
    /// Fetch details of devices: hardware, thresholds.
    Details(StartArgs),
    /// Fetch which devices are online.
    Presence(StartArgs),
    /// List sync runs, newest first.
    Runs(RunsArgs),
    /// Show a run with the items that failed.
    Show {
        /// Its id.
        run: String,
        /// Show all its items.
        #[arg(long)]
        all: bool,
    },
    /// Ask a run to stop.
    Cancel {
        /// Its id.
        run: String,
    },
}

/// Starting a run.
#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    /// Name or id.
    integration: String,
    /// Only say what would change.
    #[arg(long)]
    preview: bool,
    /// Do not wait for the end.
    #[arg(long)]
    no_wait: bool,
}

/// `sync runs`.
#[derive(Args, Debug)]
pub(crate) struct RunsArgs {
    /// Of this integration.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// In this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// How much.
    #[command(flatten)]
    paging: Paging,
}

/// A kind of run, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Organizations into mappings.
    Organizations,
    /// Devices into assets.
    Devices,
    /// Hardware and thresholds.
    Details,
    /// Who is online.
    Presence,
}

/// A state of a run, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// Waits.
    Queued,
    /// At work.
    Running,
    /// Done.
    Succeeded,
    /// Done in part.
    Partial,
    /// Stopped by an error.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Clients(args) => start("organizations", &args, session).await,
        Command::Devices(args) => start("devices", &args, session).await,
        Command::Details(args) => start("details", &args, session).await,
        Command::Presence(args) => start("presence", &args, session).await,
        Command::Runs(args) => list_runs(args, session).await,
        Command::Show { run, all } => show(&run, all, session).await,
        Command::Cancel { run } => cancel(&run, session).await,
    }
}

async fn start(kind: &str, args: &StartArgs, session: &Session) -> Result<Exit, Failure> {
    let id = resolve::integration(&session.client, &args.integration).await?;
    let before = newest(kind, &id, session).await;
    let body = json!({ "kind": kind, "preview": args.preview });
    let answer = session.client.post(&["integrations", &id, "sync"], &body).await?;
    let run = shown(&answer.value, "id");
    let was_there = before.as_deref() == Some(run.as_str());
    if was_there {
        let state = if text(&answer.value, "state") == Some("queued") { "waiting" } else { "running" };
        session.output.note(&format!("It was {state} already; nothing new was started."));
    }
    if args.no_wait {
        session.print_one(&answer, |value| session.output.line(&shown(value, "id")))?;
        let started = if was_there { "" } else { "Started. " };
        session.output.note(&format!("{started}`fleetgate sync show {run}` tells how it goes."));
        return Ok(Exit::Ok);
    }
    let last = watch::until_over(&run, answer, session).await?;
    session.print_one(&last, |value| print_summary(value, session))?;
    if !session.output.is_json() {
        print_items(&last.value, &Paging::first(FIRST_ITEMS), session).await?;
        print_next_step(&last.value, session).await?;
    }
    Ok(exit_of(&last.value))
}

/// The last run of this kind: the server answers one that is not over instead of starting another. None if it cannot
/// be told, for whoever may start runs but not see them.
async fn newest(kind: &str, integration: &str, session: &Session) -> Option<String> {
    let query = vec![("integration_id", integration.to_owned()), ("kind", kind.to_owned())];
    let listed = session.client.list(&["sync-runs"], &query, &Paging::first(1)).await.ok()?;
    listed.items.first().map(|run| shown(run, "id"))
}

/// A run that failed because the RMM wants a code: the command that gives it.
async fn print_next_step(run: &Value, session: &Session) -> Result<(), Failure> {
    if text(run, "state") != Some("failed") {
        return Ok(());
    }
    let id = shown(run, "integration_id");
    let answer = session.client.get(&["integrations", &id], &Query::new()).await?;
    match next_step(&answer.value) {
        Some(line) => session.output.line(&line),
        None => Ok(()),
    }
}

/// A run that failed with a sentence failed at the RMM.
fn exit_of(run: &Value) -> Exit {
    match text(run, "state") {
        Some("succeeded" | "queued" | "running") => Exit::Ok,
        Some("partial") => Exit::Partial,
        Some("failed") if find(run, "problem").is_some() => Exit::Rmm,
        _ => Exit::Failure,
    }
}

async fn list_runs(args: RunsArgs, session: &Session) -> Result<Exit, Failure> {
    let mut query = Query::new();
    if let Some(name) = &args.integration {
        query.push(("integration_id", resolve::integration(&session.client, name).await?));
    }
    let kind = args.kind.and_then(|kind| kind.to_possible_value());
    query.extend(kind.map(|kind| ("kind", kind.get_name().to_owned())));
    let state = args.state.and_then(|state| state.to_possible_value());
    query.extend(state.map(|state| ("state", state.get_name().to_owned())));
    let listed = session.client.list(&["sync-runs"], &query, &args.paging).await?;
    let names = integration_names(session).await?;
    let now = clock::now();
    session.print_list(
        &listed,
        &[
            whole("Run", 0),
            name("Integration", 3),
            whole("Kind", 0),
            whole("State", 0),
            short("Asked by", 4),
            whole("Asked", 1),
            short("What", 2),
        ],
        |run| {
            vec![
                shown(run, "id"),
                names.get(&shown(run, "integration_id")).cloned().unwrap_or_default(),
                kind_of(run),
                shown(run, "state"),
                shown(run, "requested_by"),
                ago(run, "created_at", now),
                what(run),
            ]
        },
    )?;
    Ok(Exit::Ok)
}

/// Names by id, for people; scripts read the ids.
async fn integration_names(session: &Session) -> Result<BTreeMap<String, String>, Failure> {
    if session.output.is_json() {
        return Ok(BTreeMap::new());
    }
    let listed = session.client.list(&["integrations"], &Query::new(), &Paging::default()).await?;
    Ok(listed.items.iter().map(|item| (shown(item, "id"), shown(item, "name"))).collect())
}

fn kind_of(run: &Value) -> String {
    let preview = if is_true(run, "preview") { " (preview)" } else { "" };
    format!("{}{preview}", shown(run, "kind"))
}

/// What it did; for one that failed, why.
fn what(run: &Value) -> String {
    let parts = [counts(run), shown(run, "problem.message")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The counts that are not zero: `120 read, 3 created`.
fn counts(run: &Value) -> String {
    const NAMES: [&str; 12] = [
        "read",
        "created",
        "updated",
        "unchanged",
        "moved",
        "returned",
        "status_changes",
        "absent",
        "missing",
        "failed",
        "incomplete",
        "skipped",
    ];
    let counted = NAMES.iter().filter_map(|name| {
        let count = number(run, &format!("counts.{name}")).filter(|count| *count > 0)?;
        let word = match *name {
            "incomplete" => "organizations incomplete",
            "skipped" => "organizations skipped",
            "status_changes" => "changed their status",
            "absent" => "not listed",
            other => other,
        };
        Some(format!("{count} {word}"))
    });
    counted.collect::<Vec<_>>().join(", ")
}

async fn show(run: &str, all: bool, session: &Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&["sync-runs", run], &Query::new()).await?;
    session.print_one(&answer, |value| print_summary(value, session))?;
    if !session.output.is_json() {
        let paging = if all { Paging::ALL } else { Paging::first(FIRST_ITEMS) };
        print_items(&answer.value, &paging, session).await?;
        print_next_step(&answer.value, session).await?;
    }
    Ok(Exit::Ok)
}

fn print_summary(run: &Value, session: &Session) -> Result<(), Failure> {
    let now = clock::now();
    session.output.facts(&[
        ("Run", shown(run, "id")),
        ("Kind", kind_of(run)),
        ("State", shown(run, "state")),
        ("Stage", if is_open(run) { watch::progress_line(run) } else { String::new() }),
        ("Asked", format!("{} by {}", ago(run, "created_at", now), shown(run, "requested_by"))),
        ("Took", duration(run)),
        (if is_true(run, "preview") { "Would" } else { "Result" }, counts(run)),
        ("Problem", shown(run, "problem.message")),
        ("What to do", shown(run, "problem.fix")),
    ])
}

fn is_open(run: &Value) -> bool {
    matches!(text(run, "state"), Some("queued" | "running"))
}

fn duration(run: &Value) -> String {
    let time = |path| text(run, path).and_then(|text| text.parse::<domain::Time>().ok());
    match (time("started_at"), time("ended_at")) {
        (Some(started), Some(ended)) => took(ended.since(started)),
        _ => String::new(),
    }
}

/// Rows that failed, organizations that were skipped; in a preview what would change.
async fn print_items(run: &Value, paging: &Paging, session: &Session) -> Result<(), Failure> {
    let is_counted = |path| number(run, path).is_some_and(|count| count > 0);
    let has_items = is_true(run, "preview")
        || ["counts.failed", "counts.incomplete", "counts.skipped"].into_iter().any(is_counted);
    if !has_items {
        return Ok(());
    }
    let id = shown(run, "id");
    let listed = session.client.list(&["sync-runs", &id, "items"], &Query::new(), paging).await?;
    if listed.items.is_empty() {
        return Ok(());
    }
    let row = |item: &Value| {
        vec![shown(item, "action"), shown(item, "name"), shown(item, "external_id"), shown(item, "message")]
    };
    let columns = [whole("What", 0), name("Name", 0), whole("Id at the RMM", 1), prose("Message", 0)];
    session.output.table(&columns, &listed.items.iter().map(row).collect::<Vec<_>>())?;
    if listed.has_more {
        session.output.note(&format!("There are more: `fleetgate sync show {id} --all`."));
    }
    Ok(())
}

async fn cancel(run: &str, session: &Session) -> Result<Exit, Failure> {
    let answer = session.client.post(&["sync-runs", run, "cancel"], &json!({})).await?;
    session.print_one(&answer, |value| print_summary(value, session))?;
    let note = match is_open(&answer.value) {
        true => "Asked to stop. It ends after the piece it is working on.",
        false => "It was over already.",
    };
    session.output.note(note);
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_follows_the_state() {
        let exit = |run: Value| exit_of(&run);
        assert_eq!(exit(json!({ "state": "succeeded" })), Exit::Ok);
        assert_eq!(exit(json!({ "state": "partial" })), Exit::Partial);
        assert_eq!(exit(json!({ "state": "failed", "problem": { "code": "key_wrong" } })), Exit::Rmm);
        assert_eq!(exit(json!({ "state": "failed", "problem": null })), Exit::Failure);
        assert_eq!(exit(json!({ "state": "cancelled" })), Exit::Failure);
    }

    #[test]
    fn zero_counts_are_left_out() {
        let run = json!({ "counts": { "read": 120, "created": 3, "failed": 0, "incomplete": 1, "skipped": 2, "calls": 9 } });
        assert_eq!(counts(&run), "120 read, 3 created, 1 organizations incomplete, 2 organizations skipped");
    }

    #[test]
    fn a_failed_run_says_why() {
        let problem =
            json!({ "code": "key_wrong", "message": "The key was refused.", "fix": "Make another." });
        assert_eq!(what(&json!({ "state": "failed", "problem": problem })), "The key was refused.");
        let begun = json!({ "state": "failed", "counts": { "read": 3 }, "problem": problem });
        assert_eq!(what(&begun), "3 read; The key was refused.");
        assert_eq!(what(&json!({ "state": "queued", "problem": null })), "");
    }
}
