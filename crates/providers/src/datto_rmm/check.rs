//! Test Connection: one line for each capability and right, each found out by a cheap question.
//!
//! Nothing is asked that changes something at Datto RMM. A line says *works* only when status, content type and shape of
//! the answer were right. The key is sent after the host has proved to be Datto RMM's API. Another platform is only
//! offered, never asked: the key goes there after a click that names it.

mod lines;

use domain::{asset::AssetType, device::clean_text};
use provider::{
    CheckReport, Connection, ErrorKind, LineState, Offer, ProviderError, RateStatus, Result, SignedIn,
};
use secrecy::SecretString;

use self::lines::{Need, Run};
use super::{
    OAUTH,
    api::{Answer, Api, Route, unreadable},
    auth,
    hardware::{self, Audit},
    inventory::{AUDIT, DEVICES, SITES, SOFTWARE},
    normalize, pages,
    sentences::{self, Right},
    url,
    wire::{self, Account, ActivityLog, Status},
};

const STATUS: Route = Route::small("GET /system/status", None);
const ACCOUNT: Route = Route::small("GET /account", None);
const ALERTS: Route = Route::list("GET /account/alerts/open", Right::Alerts);
const COMPONENTS: Route = Route::list("GET /account/components", Right::Components);
const ACTIVITY_LOG: Route = Route::small("GET /activity-logs", Some(Right::ActivityLog));

/// Devices that are looked through for one that can be audited.
const DEVICES_LOOKED_AT: &str = "25";

pub(super) async fn check(connection: &Connection) -> CheckReport {
    let mut run = Run::new(connection);
    if let Some(signed_in) = enter(&mut run, connection).await {
        look_around(&mut run, connection, signed_in.as_ref()).await;
        run.report.signed_in = signed_in;
    }
    run.finish()
}

/// Host and account, without which nothing else can be tried. `Some(Some(_))`: with a fresh token.
async fn enter(run: &mut Run, connection: &Connection) -> Option<Option<SignedIn>> {
    if let Err(error) = host(run, connection).await {
        run.stop(lines::HOST, error);
        return None;
    }
    match account(run, connection).await {
        Ok(signed_in) => Some(signed_in),
        Err(error) => {
            offer_other_platforms(run, connection, &error);
            run.stop(lines::ACCOUNT, error);
            None
        }
    }
}

/// A key that its platform knows is refused on every other one.
fn offer_other_platforms(run: &mut Run, connection: &Connection, error: &ProviderError) {
    let may_be_elsewhere =
        matches!(error.problem.code.as_str(), "login_refused" | "sign_in_not_here" | "key_refused");
    if may_be_elsewhere {
        let others = url::other_platforms(&connection.base_url);
        run.report.offers.extend(others.into_iter().map(|url| Offer::UseUrl { url }));
    }
}

/// The only open route of the API: a proof that it is one, without any credential. It is part of version 2; where the
/// root is another one, nothing is known of such a route, and the account is the proof.
async fn host(run: &mut Run, connection: &Connection) -> Result<()> {
    let api = Api::anonymous(connection).for_a_person(run.until());
    let outcome = match api.get(&STATUS, &["system", "status"], &[]).await {
        Ok(answer) => read_status(run, &answer).map_err(not_the_api),
        Err(error) => Err(not_the_api(error)),
    };
    match outcome {
        Ok(()) => {
            run.say(lines::HOST, LineState::Ok, "The API answers.");
            Ok(())
        }
        Err(error) if connection.auth_mode != OAUTH && error.problem.code == "not_datto" => {
            let message = "The host answers. Whether it is Datto RMM's API shows at the next line: this way of \
                           authentication is untested.";
            run.say(lines::HOST, LineState::Warning, message);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn read_status(run: &mut Run, answer: &Answer) -> Result<()> {
    run.note(answer);
    let status: Status<'_> = answer.object()?;
    status.status.as_str().ok_or_else(|| answer.misshapen())?;
    run.report.version = status.version.as_str().and_then(clean_text);
    Ok(())
}

/// What is a fault on another route only shows here that this is something else.
fn not_the_api(error: ProviderError) -> ProviderError {
    let something_else =
        matches!(error.problem.code.as_str(), "unknown_route" | "answer_not_json" | "answer_shape")
            || matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Unauthorized)
            || error.kind == ErrorKind::Rejected;
    if !something_else {
        return error;
    }
    let mut other = sentences::not_datto();
    other.problem.endpoint = Some(STATUS.name.to_owned());
    other
}

/// Proves the credential by the account itself. A token that has ended is replaced at once.
async fn account(run: &mut Run, connection: &Connection) -> Result<Option<SignedIn>> {
    if connection.auth_mode != OAUTH {
        let answer = ask_account(Api::reading(connection)?.for_a_person(run.until())).await?;
        accept(run, &answer)?;
        return Ok(None);
    }
    if let Some(token) = &connection.token {
        match ask_account(Api::with_token(connection, token).for_a_person(run.until())).await {
            Ok(answer) => {
                accept(run, &answer)?;
                return Ok(None);
            }
            Err(error) if error.kind == ErrorKind::Unauthorized => {}
            Err(error) => return Err(error),
        }
    }
    let mut signed_in = auth::sign_in(connection).await?;
    let answer = ask_account(Api::with_token(connection, &signed_in.token).for_a_person(run.until())).await?;
    accept(run, &answer)?;
    signed_in.account.clone_from(&run.report.account);
    Ok(Some(signed_in))
}

async fn ask_account(api: Api<'_>) -> Result<Answer> {
    api.get(&ACCOUNT, &["account"], &[]).await
}

fn accept(run: &mut Run, answer: &Answer) -> Result<()> {
    run.note(answer);
    let account: Account<'_> = answer.object()?;
    let name = account.name.as_str().and_then(clean_text);
    if name.is_none() && account.uid.as_str().is_none() {
        return Err(answer.misshapen());
    }
    let devices = account.devices_status.0.as_ref().and_then(|status| status.number_of_devices.as_u64());
    let who =
        name.as_ref().map_or_else(|| "an account without a name".to_owned(), |name| format!("`{name}`"));
    let message = match devices {
        Some(devices) => format!("The key is right. It belongs to {who}: {}.", count(devices, "device")),
        None => format!("The key is right. It belongs to {who}."),
    };
    run.say(lines::ACCOUNT, LineState::Ok, message);
    run.report.account = name;
    Ok(())
}

async fn look_around(run: &mut Run, connection: &Connection, signed_in: Option<&SignedIn>) {
    let token: Option<&SecretString> = signed_in.map(|signed_in| &signed_in.token);
    let api = match token {
        Some(token) => Api::with_token(connection, token),
        // The account was proved with it a moment ago.
        None => match Api::reading(connection) {
            Ok(api) => api,
            Err(error) => return run.stop(lines::SITES, error),
        },
    };
    let api = api.for_a_person(run.until());
    rate(run, &api).await;
    let sites = read_sites(run, &api).await;
    run.outcome(lines::SITES, sites, SITES.right, Need::Required);
    let device = if run.has_time() { devices(run, &api).await } else { None };
    if run.has_time() {
        about_one_device(run, &api, device.as_deref()).await;
    }
    if run.has_time() {
        optional_lists(run, &api).await;
    }
}

/// The first site has to be one: without its id nothing could be mapped.
async fn read_sites(run: &mut Run, api: &Api<'_>) -> Result<String> {
    let answer = api.get(&SITES, &["account", "sites"], &[("page", "0"), ("max", "1")]).await?;
    run.note(&answer);
    let page = wire::page(answer.text()?, "sites").map_err(|error| unreadable(&error, &SITES))?;
    for row in &page.rows {
        normalize::site(row).ok_or_else(|| answer.misshapen())?;
    }
    Ok(format!("{}.", count(page.total.unwrap_or(page.rows.len() as u64), "site")))
}

/// How much of the account's limit is used, by all programs together.
async fn rate(run: &mut Run, api: &Api<'_>) {
    let status = match pages::request_rate(api).await {
        Ok((answer, status)) => {
            run.note(&answer);
            status
        }
        Err(error) => {
            let without = Need::Optional("Fleetgate then counts its own requests only.");
            return run.outcome(lines::RATE, Err(error), None, without);
        }
    };
    let slow_from = u64::from(status.slow_from_percent.unwrap_or(90));
    if u64::from(status.reads.used) * 100 >= u64::from(status.reads.limit) * slow_from {
        let problem = sentences::rate_nearly_used(status.reads.used, status.reads.limit);
        return run.tell(lines::RATE, LineState::Warning, &problem, None);
    }
    let share = u64::from(status.reads.limit) * u64::from(api.connection().settings.rate_share_percent) / 100;
    run.say(lines::RATE, LineState::Ok, rate_message(&status, share));
}

fn rate_message(status: &RateStatus, share: u64) -> String {
    let window = match status.window.as_secs() {
        60 => "minute".to_owned(),
        seconds => format!("{seconds} seconds"),
    };
    let reads = if status.writes.is_some() { "reads" } else { "requests" };
    let writes = status
        .writes
        .map_or_else(String::new, |writes| format!(" Writes: {} of {}.", writes.used, writes.limit));
    format!(
        "{} of {} {reads} were used in the last {window}, by all programs of this account together. Fleetgate takes at \
         most {share}.{writes}",
        status.reads.used, status.reads.limit
    )
}

/// How many a list has, by its smallest page.
async fn total(run: &mut Run, api: &Api<'_>, route: &Route, path: &[&str], rows: &str) -> Result<u64> {
    let answer = api.get(route, path, &[("page", "0"), ("max", "1")]).await?;
    run.note(&answer);
    let page = wire::page(answer.text()?, rows).map_err(|error| unreadable(&error, route))?;
    Ok(page.total.unwrap_or(page.rows.len() as u64))
}

/// The id of a device to ask further about: one that has an audit.
async fn devices(run: &mut Run, api: &Api<'_>) -> Option<String> {
    match read_devices(run, api).await {
        Ok((message, 0, device)) => {
            run.say(lines::DEVICES, LineState::Ok, message);
            device
        }
        Ok((message, unreadable, device)) => {
            let message = format!(
                "{message} Of the first ones {unreadable} could not be read: these stay as they are in Fleetgate."
            );
            run.say(lines::DEVICES, LineState::Warning, message);
            device
        }
        Err(error) => {
            run.outcome(lines::DEVICES, Err(error), DEVICES.right, Need::Required);
            None
        }
    }
}

async fn read_devices(run: &mut Run, api: &Api<'_>) -> Result<(String, u64, Option<String>)> {
    let query = [("page", "0"), ("max", DEVICES_LOOKED_AT)];
    let answer = api.get(&DEVICES, &["account", "devices"], &query).await?;
    run.note(&answer);
    let page = wire::page(answer.text()?, "devices").map_err(|error| unreadable(&error, &DEVICES))?;
    let shown = &api.connection().settings.custom_fields;
    let mut unreadable = 0;
    let mut auditable = None;
    for row in &page.rows {
        match normalize::device(row, shown) {
            Ok(listed) if auditable.is_none() && has_device_audit(listed.record.facts.device_type) => {
                auditable = Some(listed.record.external_id);
            }
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    }
    if unreadable > 0 && unreadable == page.rows.len() as u64 {
        return Err(answer.misshapen());
    }
    let devices = page.total.unwrap_or(page.rows.len() as u64);
    let message = match devices {
        0 => "The list can be read. It is empty: either there are no devices, or the user who owns the key may see none."
            .to_owned(),
        devices => format!("{}.", count(devices, "device")),
    };
    Ok((message, unreadable, auditable))
}

fn has_device_audit(device_type: AssetType) -> bool {
    match device_type {
        AssetType::Workstation | AssetType::Server => true,
        AssetType::Printer | AssetType::NetworkDevice | AssetType::Hypervisor | AssetType::Unknown => false,
    }
}

async fn about_one_device(run: &mut Run, api: &Api<'_>, device: Option<&str>) {
    let Some(device) = device else {
        let message = "Not tried: none of the first devices is a computer.";
        run.say(lines::AUDIT, LineState::Skipped, message);
        run.say(lines::SOFTWARE, LineState::Skipped, message);
        return;
    };
    let audit = read_audit(run, api, device).await;
    let without = Need::Optional("Serial numbers, hardware addresses, memory and volumes are missing then.");
    run.outcome(lines::AUDIT, audit, AUDIT.right, without);
    if !run.has_time() {
        return;
    }
    let path = ["audit", "device", device, "software"];
    let software = total(run, api, &SOFTWARE, &path, "software").await;
    let software = software
        .map(|programs| format!("The software of one device was read: {}.", count(programs, "program")));
    run.outcome(
        lines::SOFTWARE,
        software,
        SOFTWARE.right,
        Need::Optional("Software lists are missing then."),
    );
}

async fn read_audit(run: &mut Run, api: &Api<'_>, device: &str) -> Result<String> {
    let answer = api.get(&AUDIT, &["audit", "device", device], &[]).await?;
    run.note(&answer);
    let _: Audit<'_> = answer.object()?;
    if !hardware::is_audit(answer.text()?) {
        return Err(answer.misshapen());
    }
    Ok("The audit of one device was read.".to_owned())
}

async fn optional_lists(run: &mut Run, api: &Api<'_>) {
    let alerts = total(run, api, &ALERTS, &["account", "alerts", "open"], "alerts").await;
    let alerts = alerts.map(|alerts| format!("{} open.", count(alerts, "alert")));
    run.outcome(lines::ALERTS, alerts, ALERTS.right, Need::Optional("Alerts are missing then."));
    if !run.has_time() {
        return;
    }
    let components = total(run, api, &COMPONENTS, &["account", "components"], "components").await;
    let components = components.map(|components| {
        let seen = count(components, "component");
        format!("{seen} can be seen, by the component level of the user who owns the key.")
    });
    let without = Need::Optional("Quick jobs cannot be run then.");
    run.outcome(lines::COMPONENTS, components, COMPONENTS.right, without);
    if !run.has_time() {
        return;
    }
    let activity = read_activity_log(run, api).await;
    let without = Need::Optional("What happened to a job whose answer was lost cannot be looked up then.");
    run.outcome(lines::ACTIVITY_LOG, activity, ACTIVITY_LOG.right, without);
}

async fn read_activity_log(run: &mut Run, api: &Api<'_>) -> Result<String> {
    let answer = api.get(&ACTIVITY_LOG, &["activity-logs"], &[("size", "1")]).await?;
    run.note(&answer);
    let log: ActivityLog<'_> = answer.object()?;
    if log.error.as_str().is_some_and(|error| !error.trim().is_empty()) {
        let problem = sentences::activity_log_failed().at(ACTIVITY_LOG.name);
        return Err(ProviderError::new(ErrorKind::Unavailable, problem));
    }
    log.activities.map(|_| "The activity log can be read.".to_owned()).ok_or_else(|| answer.misshapen())
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
