//! `fleetgate demo`: a server with simulated RMMs in the same process, connected and synced, on loopback only.

mod rmm;

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use domain::{
    Ctx,
    auth::{Permissions, Role, TokenKind},
    id::{IntegrationId, TenantId},
    page::PageRequest,
    scope::ClientScope,
    sync::{RunKind, RunState},
};
use outbound::AllowRule;
use rmm::{Rmm, Rmms};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use service::{
    Services,
    account::{FIRST_TENANT, NewAccount, TokenRequest},
    integration::Draft,
    organization::{MappingChange, MappingTarget, OrganizationFilter, OrganizationView},
};
use store::people::InstallationKind;

use crate::{
    boot::{self, Node, service_failure},
    cli::{DemoArgs, exit::Exit, failure::Failure},
    config::Config,
    output::Output,
};

/// From this score on a site of the second RMM is taken for a client that the first one has.
const SAME_CLIENT_SCORE: u8 = 80;

/// Longest wait for the first sync.
const FIRST_SYNC: Duration = Duration::from_secs(600);

/// A login to the demo.
struct Login {
    email: &'static str,
    password: SecretString,
    token: SecretString,
}

/// Runs until asked to stop.
pub(crate) async fn run(args: &DemoArgs, config: &Config, output: &Output) -> Result<Exit, Failure> {
    if !config.listen.ip().is_loopback() {
        // Its logins are shown on the screen, and nothing in it is worth an open port.
        return Err(Failure::usage(format!("the demo answers on this machine only, not on {}", config.listen))
            .advise("Leave `--listen` out, or give an address like 127.0.0.1:8800. `fleetgate serve` is for networks."));
    }
    boot::start_log(config);
    let summary = config.data_dir.join("demo.json");
    let rmms = Rmms::start(args).await?;
    let allow = allow_only(&rmms.urls())?;
    let node = Node::start(config, InstallationKind::Demo, allow).await?;
    // A file of an earlier run would tell of a server that is not there. Only now is it certain that none is.
    let _was_not_there = fs::remove_file(&summary);
    let login = make_login(&node.services).await?;
    output.note("Connecting two simulated RMMs and reading their machines …");
    for rmm in rmms.list() {
        let integration = connect(&node.services, &rmm).await?;
        first_sync(&node.services, integration, rmm.left_unmapped).await?;
    }
    let url = node.url.clone();
    write_summary(&summary, &url, &login, &rmms)?;
    announce(output, &url, &login, &summary)?;
    node.run_until_asked_to_stop().await?;
    let _was_not_there = fs::remove_file(&summary);
    rmms.shutdown().await;
    Ok(Exit::Ok)
}

/// The demo may reach its simulators and nothing else.
fn allow_only(urls: &[&str]) -> Result<Vec<AllowRule>, Failure> {
    let rule = |url: &&str| {
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let port = authority.rsplit_once(':').map_or("80", |(_, port)| port);
        format!("127.0.0.1/32:{port}").parse().map_err(|error| Failure::usage(format!("{error}")))
    };
    urls.iter().map(rule).collect()
}

async fn make_login(services: &Services) -> Result<Login, Failure> {
    let email = "admin@demo.example";
    let password = random_text(16);
    let new = NewAccount {
        email: email.to_owned(),
        name: "Demo admin".to_owned(),
        role: Role::Admin.into(),
        clients: ClientScope::All,
        password: password.clone(),
    };
    let created = services.accounts.create_user(FIRST_TENANT, new).await;
    if let Err(error) = created {
        if !matches!(error, service::ServiceError::Conflict { .. }) {
            return Err(service_failure(error));
        }
        services.accounts.reset_password(email, password.clone()).await.map_err(service_failure)?;
    }
    let request =
        TokenRequest { kind: TokenKind::User, name: "demo".to_owned(), permissions: None, days: 30 };
    let made = services.accounts.create_token_for(email, &request).await;
    let (_, token) = made.map_err(service_failure)?;
    Ok(Login { email, password, token })
}

/// Random letters and digits that can be typed.
fn random_text(chars: usize) -> SecretString {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = vec![0_u8; chars];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let text: String = bytes
        .iter()
        .filter_map(|b| LETTERS.get(usize::from(*b) % LETTERS.len()))
        .map(|b| char::from(*b))
        .collect();
    text.into()
}

/// The operator at the console, for the first tenant.
fn ctx() -> Ctx {
    let actor = domain::Actor {
        kind: domain::ActorKind::Operator,
        user: None,
        token: None,
        name: "demo".to_owned(),
        permissions: Permissions::all(),
        clients: ClientScope::All,
    };
    Ctx { tenant: TenantId(1), actor, request_id: "demo".to_owned(), now: service::now() }
}

async fn connect(services: &Services, rmm: &Rmm) -> Result<IntegrationId, Failure> {
    let known = services.integrations.list(&ctx()).await.map_err(service_failure)?;
    let known = known.into_iter().find(|view| view.integration.provider == rmm.provider);
    let view = match known {
        None => services.integrations.create(&ctx(), rmm.draft()).await,
        // The simulator of an earlier run had another port and another key.
        Some(view) if view.integration.is_active => {
            let patch = Draft { provider: None, ..rmm.draft() };
            services.integrations.update(&ctx(), view.integration.id, patch, None).await
        }
        Some(view) => {
            let patch = Draft { provider: None, ..rmm.draft() };
            services.integrations.reconnect(&ctx(), view.integration.id, patch).await
        }
    };
    Ok(view.map_err(service_failure)?.integration.id)
}

async fn first_sync(
    services: &Services,
    integration: IntegrationId,
    left_unmapped: usize,
) -> Result<(), Failure> {
    run_to_end(services, integration, RunKind::Organizations).await?;
    let filter = OrganizationFilter { integration_id: Some(integration), ..OrganizationFilter::default() };
    let page = PageRequest { limit: 5_000, cursor: None };
    let found = services.organizations.list(&ctx(), filter, true, page).await.map_err(service_failure)?;
    let is_first_time = found.items.iter().all(|view| view.organization.client_id.is_none());
    if is_first_time {
        map(services, &found.items, left_unmapped).await?;
    }
    run_to_end(services, integration, RunKind::Devices).await
}

/// Maps each organization to the client that it surely is, others to new clients, and leaves the last of these unmapped.
async fn map(services: &Services, found: &[OrganizationView], left_unmapped: usize) -> Result<(), Failure> {
    let (known, mut new): (Vec<_>, Vec<_>) = found.iter().partition(|view| same_client(view).is_some());
    new.truncate(new.len().saturating_sub(left_unmapped).max(usize::from(known.is_empty())));
    for view in known.into_iter().chain(new) {
        let target = same_client(view).unwrap_or(MappingTarget::NewClient { name: None });
        let change = MappingChange { target: Some(target), auto_sync: Some(true) };
        let changed = services.organizations.change(&ctx(), view.organization.id, change).await;
        changed.map_err(service_failure)?;
    }
    Ok(())
}

fn same_client(view: &OrganizationView) -> Option<MappingTarget> {
    let best = view.suggestions.first().filter(|best| best.score >= SAME_CLIENT_SCORE)?;
    Some(MappingTarget::Client(best.client_id))
}

async fn run_to_end(services: &Services, integration: IntegrationId, kind: RunKind) -> Result<(), Failure> {
    let run = services.sync.request(&ctx(), integration, kind, false).await.map_err(service_failure)?;
    let deadline = tokio::time::Instant::now() + FIRST_SYNC;
    while tokio::time::Instant::now() < deadline {
        let now = services.sync.get(&ctx(), run.id).await.map_err(service_failure)?;
        match now.state {
            RunState::Queued | RunState::Running => tokio::time::sleep(Duration::from_millis(50)).await,
            RunState::Succeeded | RunState::Partial => return Ok(()),
            RunState::Failed | RunState::Cancelled => {
                let problem = now.problem.unwrap_or_default();
                return Err(Failure::new(
                    Exit::Rmm,
                    "first_sync",
                    format!("the first sync failed: {problem}"),
                ));
            }
        }
    }
    Err(Failure::new(Exit::Failure, "first_sync", "the first sync did not end in time"))
}

/// Written beside and renamed into place, so that whoever waits for it never reads half of it.
fn write_summary(path: &Path, url: &str, login: &Login, rmms: &Rmms) -> Result<(), Failure> {
    let summary = json!({
        "url": url, "email": login.email, "password": login.password.expose_secret(),
        "token": login.token.expose_secret(),
        "simulators": rmms.summary(),
    });
    let failed = |error| Failure::io(&format!("cannot write `{}`", path.display()), &error);
    let draft = path.with_extension("json.new");
    let _was_not_there = fs::remove_file(&draft);
    let mut file =
        fs::File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    file.write_all(format!("{summary:#}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)
}

fn announce(output: &Output, url: &str, login: &Login, summary: &Path) -> Result<(), Failure> {
    output.line("")?;
    output.line(
        "Fleetgate demo is ready. Everything in it is made up: a Tactical RMM and a Datto RMM, which have",
    )?;
    output.line("many machines in common.")?;
    output.line("")?;
    output.line(&format!("  Address   {url}"))?;
    output.line(&format!("  E-mail    {}", login.email))?;
    output.line(&format!("  Password  {}", login.password.expose_secret()))?;
    output.line("")?;
    output.line("Try it from another terminal:")?;
    output.line("")?;
    output.line(&format!("  export FLEETGATE_URL={url}"))?;
    output.line(&format!("  export FLEETGATE_TOKEN={}", login.token.expose_secret()))?;
    output.line("  fleetgate assets list")?;
    output.line("")?;
    output.line(&format!(
        "All logins, those of the simulated RMMs too, are in {}. Ctrl-C ends the demo.",
        summary.display()
    ))?;
    Ok(())
}
