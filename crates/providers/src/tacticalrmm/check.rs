//! Test Connection: one line for each capability and right, each found out by a cheap question.
//!
//! Nothing is asked that changes something at Tactical. A line says *works* only when status, content type and shape
//! of the answer were right. The first credential is sent after the host has proved to be Tactical's API.

mod lines;
mod rights;

use std::time::Instant;

use provider::{
    CheckReport, Connection, Dictionary, ErrorKind, LineState, ProviderError, Result, Secrets, SignedIn,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use self::lines::{Need, Run};
use super::{
    KNOX, USERNAME,
    api::{Answer, Api, Route},
    auth, hardware,
    inventory::{self, AGENT, AGENTS, BETA_AGENTS, CLIENTS, CUSTOM_FIELDS},
    sentences::{self, Credential, Guess},
    url,
    wire::{AgentDetail, BetaPage, ClientRow, CustomFieldRow, Home, TopAlerts, Word},
};

const HOME: Route = Route::small("GET /", None);
const VERSION: Route = Route::small("GET /core/version/", None);
const SOFTWARE: Route = Route::small("GET /software/<agent_id>/", Some("can_list_software"));
const ALERTS: Route = Route::small("PATCH /alerts/", Some("can_list_alerts"));
const SCRIPTS: Route = Route::small("GET /scripts/", Some("can_list_scripts"));

pub(super) async fn check(connection: &Connection, code: Option<&SecretString>) -> CheckReport {
    let mut run = Run::new(connection);
    if let Some(signed_in) = enter(&mut run, connection, code).await {
        look_around(&mut run, connection, signed_in.as_ref()).await;
        run.report.signed_in = signed_in;
    }
    run.finish()
}

/// Host and account, without which nothing else can be tried. `Some(Some(_))`: with a fresh token.
async fn enter(
    run: &mut Run,
    connection: &Connection,
    code: Option<&SecretString>,
) -> Option<Option<SignedIn>> {
    if let Err(error) = host(run, connection).await {
        run.stop(lines::HOST, error, Credential::Nobody);
        return None;
    }
    let who = if connection.auth_mode == KNOX { Credential::Token } else { Credential::ReadKey };
    match account(run, connection, code).await {
        Ok(signed_in) => Some(signed_in),
        Err(error) => {
            run.stop(lines::ACCOUNT, error, who);
            None
        }
    }
}

async fn host(run: &mut Run, connection: &Connection) -> Result<()> {
    match home(connection, run.until()).await {
        Ok(answer) => {
            run.note(&answer);
            run.say(lines::HOST, LineState::Ok, "The API answers.", Credential::Nobody);
            Ok(())
        }
        Err(error) if error.problem.code == "dashboard_host" => {
            let mut error = sentences::dashboard_host(&look_for_api(connection, run.until()).await);
            error.problem.endpoint = Some(HOME.name.to_owned());
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// The only open path of the API: a proof that it is one, without any credential.
async fn home(connection: &Connection, until: Instant) -> Result<Answer> {
    let api = Api::anonymous(connection).for_a_person(until);
    let answer = api.get(&HOME, &[], &[]).await.map_err(not_the_home)?;
    let is_home = answer.object::<Home<'_>>().is_ok_and(|home| home.status.as_str() == Some("ok"));
    if is_home { Ok(answer) } else { Err(not_the_home(answer.misshapen())) }
}

/// What is a fault on another path only shows here that this is something else.
fn not_the_home(error: ProviderError) -> ProviderError {
    let code = error.problem.code.as_str();
    let something_else = matches!(code, "unknown_path" | "answer_not_json" | "answer_shape")
        || matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Unauthorized)
        || error.kind == ErrorKind::Rejected;
    if !something_else {
        return error;
    }
    let mut other = sentences::not_tactical();
    other.problem.endpoint = Some(HOME.name.to_owned());
    other
}

/// Asks where the API of this dashboard usually is, without credentials.
async fn look_for_api(connection: &Connection, until: Instant) -> Guess {
    let may_be_plain = connection.settings.allow_plain_http && connection.base_url.scheme() == "http";
    let scheme = if may_be_plain { "http" } else { "https" };
    let Some(base_url) = url::guess_api(&connection.base_url, scheme) else { return Guess::Unknown };
    let there = Connection { base_url, secrets: Secrets::default(), token: None, ..connection.clone() };
    let address = url::text(&there.base_url);
    if home(&there, until).await.is_ok() { Guess::Found(address) } else { Guess::Tried(address) }
}

/// Proves the credential by a path that needs no right. Signs in first where that is the way; a token that has ended
/// is replaced where no person is needed for it.
async fn account(
    run: &mut Run,
    connection: &Connection,
    code: Option<&SecretString>,
) -> Result<Option<SignedIn>> {
    if connection.auth_mode != KNOX {
        let answer = version(Api::reading(connection)?.for_a_person(run.until())).await?;
        accept(run, &answer, None)?;
        return Ok(None);
    }
    if let Some(token) = &connection.token {
        match version(Api::with_token(connection, token).for_a_person(run.until())).await {
            Ok(answer) => {
                accept(run, &answer, Some(user_name(connection)))?;
                return Ok(None);
            }
            Err(error) if error.kind == ErrorKind::Unauthorized => {}
            Err(error) => return Err(error),
        }
    }
    let signed_in = auth::sign_in(connection, code).await?;
    let answer = version(Api::with_token(connection, &signed_in.token).for_a_person(run.until())).await?;
    let account = signed_in.account.clone().unwrap_or_else(|| user_name(connection));
    accept(run, &answer, Some(account))?;
    Ok(Some(signed_in))
}

async fn version(api: Api<'_>) -> Result<Answer> {
    api.get(&VERSION, &["core", "version"], &[]).await
}

fn accept(run: &mut Run, answer: &Answer, account: Option<String>) -> Result<()> {
    let version: Word<'_> = answer.value()?;
    run.note(answer);
    let version = version.as_str().and_then(domain::device::clean_text).ok_or_else(|| answer.misshapen())?;
    run.report.version = Some(format!("{version} (Tactical's internal number of the app)"));
    let (message, who) = match &account {
        Some(name) => (format!("Signed in as `{name}`."), Credential::Token),
        None => ("The API key is right. Tactical does not tell whose it is.".to_owned(), Credential::ReadKey),
    };
    run.say(lines::ACCOUNT, LineState::Ok, message, who);
    run.report.account = account;
    Ok(())
}

fn user_name(connection: &Connection) -> String {
    connection.secrets.get(USERNAME).map(|name| name.expose_secret().trim().to_owned()).unwrap_or_default()
}

async fn look_around(run: &mut Run, connection: &Connection, signed_in: Option<&SignedIn>) {
    let token: Option<&SecretString> = signed_in.map(|signed_in| &signed_in.token);
    let reading = match token {
        Some(token) => Api::with_token(connection, token),
        // The account was proved with it a moment ago.
        None => match Api::reading(connection) {
            Ok(reading) => reading,
            Err(error) => return run.stop(lines::CLIENTS, error, Credential::ReadKey),
        },
    };
    let reading = reading.for_a_person(run.until());
    let acting = Api::acting(connection).map(|acting| acting.for_a_person(run.until()));

    let smallest = clients(run, &reading).await;
    let agent = if run.has_time() { agents(run, &reading, smallest).await } else { None };
    if run.has_time() {
        about_one_agent(run, &reading, agent.as_deref()).await;
    }
    if run.has_time() {
        lists(run, &reading).await;
    }
    if run.has_time() {
        rights::actions(run, &reading, acting.as_ref()).await;
    }
    if run.has_time() {
        rights::webhook_setup(run, acting.as_ref().unwrap_or(&reading)).await;
    }
    if run.has_time() {
        beta(run, &reading).await;
    }
}

/// The id of the smallest client that has agents: the cheapest one to ask about.
async fn clients(run: &mut Run, api: &Api<'_>) -> Option<u64> {
    let outcome = read_clients(run, api).await;
    let smallest = outcome.as_ref().ok().and_then(|(_, smallest)| *smallest);
    let message = outcome.map(|(message, _)| message);
    run.outcome(lines::CLIENTS, message, (&CLIENTS, Need::Required), api);
    smallest
}

async fn read_clients(run: &mut Run, api: &Api<'_>) -> Result<(String, Option<u64>)> {
    let answer = api.get(&CLIENTS, &["clients"], &[]).await?;
    run.note(&answer);
    let rows: Vec<ClientRow<'_>> = answer.value()?;
    let sites: usize = rows.iter().filter_map(|row| row.sites.as_ref()).map(Vec::len).sum();
    let agents = |row: &ClientRow<'_>| row.agent_count.as_u64().unwrap_or_default();
    let total: u64 = rows.iter().map(agents).sum();
    let smallest = rows.iter().filter(|row| agents(row) > 0).min_by_key(|row| agents(row)).map(|row| row.id);
    let counts = [count(rows.len(), "client"), count(sites, "site")].join(" with ");
    Ok((
        format!("{counts}, {} in all.", count(usize::try_from(total).unwrap_or(usize::MAX), "agent")),
        smallest,
    ))
}

/// The id of an agent to ask further about.
async fn agents(run: &mut Run, api: &Api<'_>, client: Option<u64>) -> Option<String> {
    let outcome = read_agents(run, api, client).await;
    match outcome {
        Ok((message, unreadable, agent)) if unreadable > 0 => {
            let message = format!(
                "{message} {} could not be read and will be left as they are.",
                count(unreadable, "row")
            );
            run.say(lines::AGENTS, LineState::Warning, message, api.who());
            agent
        }
        Ok((message, _, agent)) => {
            run.say(lines::AGENTS, LineState::Ok, message, api.who());
            agent
        }
        Err(error) => {
            run.outcome(lines::AGENTS, Err(error), (&AGENTS, Need::Required), api);
            None
        }
    }
}

/// Of one client, as a sync asks; where no client has agents, the short list of all.
async fn read_agents(
    run: &mut Run,
    api: &Api<'_>,
    client: Option<u64>,
) -> Result<(String, usize, Option<String>)> {
    let client = client.map(|id| id.to_string());
    let query = match &client {
        Some(id) => ("client", id.as_str()),
        None => ("detail", "false"),
    };
    let answer = api.get(&AGENTS, &["agents"], &[query]).await?;
    run.note(&answer);
    let rows: Vec<Box<RawValue>> = answer.value()?;
    let (records, rejected) =
        inventory::read_rows(rows, &Dictionary::default()).map_err(|error| error.at(AGENTS.name))?;
    let message = match (&client, records.len() + rejected.len()) {
        (_, 0) => "The list can be read. It is empty.".to_owned(),
        (Some(_), found) => format!("Read {} of the smallest client.", count(found, "agent")),
        (None, found) => format!("Read {}.", count(found, "agent")),
    };
    Ok((message, rejected.len(), records.first().map(|record| record.external_id.clone())))
}

async fn about_one_agent(run: &mut Run, api: &Api<'_>, agent: Option<&str>) {
    let Some(agent) = agent else {
        let message = "Not tried: there is no agent to ask about.";
        run.say(lines::AGENT_DETAIL, LineState::Skipped, message, api.who());
        run.say(lines::SOFTWARE, LineState::Skipped, message, api.who());
        return;
    };
    let detail = read_detail(run, api, agent).await;
    let without = Need::Optional("Memory, volumes, hardware addresses and thresholds are missing then.");
    run.outcome(lines::AGENT_DETAIL, detail, (&AGENT, without), api);
    if !run.has_time() {
        return;
    }
    let software = read_software(run, api, agent).await;
    let without = Need::Optional("Software lists are missing then.");
    run.outcome(lines::SOFTWARE, software, (&SOFTWARE, without), api);
}

async fn read_detail(run: &mut Run, api: &Api<'_>, agent: &str) -> Result<String> {
    let answer = api.get(&AGENT, &["agents", agent], &[]).await?;
    run.note(&answer);
    let row: AgentDetail<'_> = answer.object()?;
    hardware::detail(&row)
        .map(|_| "The details of one agent were read.".to_owned())
        .ok_or_else(|| answer.misshapen())
}

/// One object, or an empty list where there is nothing yet.
async fn read_software(run: &mut Run, api: &Api<'_>, agent: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Software {
        software: Vec<IgnoredAny>,
    }
    let answer = api.get(&SOFTWARE, &["software", agent], &[]).await?;
    run.note(&answer);
    let programs = match answer.value::<[IgnoredAny; 0]>() {
        Ok(_) => 0,
        Err(_) => answer.object::<Software>()?.software.len(),
    };
    Ok(format!("The software of one agent was read: {}.", count(programs, "program")))
}

async fn lists(run: &mut Run, api: &Api<'_>) {
    let fields = read_custom_fields(run, api).await;
    let without = Need::Optional("Custom fields are then shown with numbers instead of names.");
    run.outcome(lines::CUSTOM_FIELDS, fields, (&CUSTOM_FIELDS, without), api);
    if !run.has_time() {
        return;
    }
    let alerts = read_alerts(run, api).await;
    run.outcome(lines::ALERTS, alerts, (&ALERTS, Need::Optional("Alerts are missing then.")), api);
    if !run.has_time() {
        return;
    }
    let scripts = read_scripts(run, api).await;
    run.outcome(lines::SCRIPTS, scripts, (&SCRIPTS, Need::Optional("Scripts cannot be chosen then.")), api);
}

async fn read_custom_fields(run: &mut Run, api: &Api<'_>) -> Result<String> {
    let answer = api.get(&CUSTOM_FIELDS, &["core", "customfields"], &[]).await?;
    run.note(&answer);
    let rows: Vec<CustomFieldRow<'_>> = answer.value()?;
    let of_agents = rows.iter().filter(|row| row.model.as_str() == Some("agent")).count();
    Ok(format!("{} of agents.", count(of_agents, "custom field")))
}

/// `top` keeps the answer short; without it Tactical sends every alert there ever was.
async fn read_alerts(run: &mut Run, api: &Api<'_>) -> Result<String> {
    let answer = api.ask_json(&ALERTS, &["alerts"], &serde_json::json!({ "top": 1 })).await?;
    run.note(&answer);
    let top: TopAlerts = answer.object()?;
    Ok(format!("{} open.", count(usize::try_from(top.alerts_count).unwrap_or(usize::MAX), "alert")))
}

async fn read_scripts(run: &mut Run, api: &Api<'_>) -> Result<String> {
    let answer = api.get(&SCRIPTS, &["scripts"], &[("showCommunityScripts", "false")]).await?;
    run.note(&answer);
    let rows: Vec<IgnoredAny> = answer.value()?;
    Ok(format!("{} of your own.", count(rows.len(), "script")))
}

async fn beta(run: &mut Run, api: &Api<'_>) {
    let outcome = read_beta(run, api).await;
    match outcome {
        Err(error) if error.kind == ErrorKind::FeatureOff => {
            run.tell(lines::BETA, LineState::Missing, &error.problem, None, api.who());
        }
        other => {
            let without = Need::Optional("Details then take one request per agent.");
            run.outcome(lines::BETA, other, (&BETA_AGENTS, without), api);
        }
    }
}

async fn read_beta(run: &mut Run, api: &Api<'_>) -> Result<String> {
    let answer =
        api.get(&BETA_AGENTS, &["beta", "v1", "agent"], &[("page", "1"), ("page_size", "1")]).await?;
    run.note(&answer);
    let page: BetaPage = answer.object()?;
    Ok(format!(
        "On: details of {} come in pages of 100.",
        count(usize::try_from(page.count).unwrap_or(usize::MAX), "agent")
    ))
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
