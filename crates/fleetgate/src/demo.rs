//! `fleetgate demo`: a server with simulated RMMs in the same process, connected and synced, on loopback only.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use domain::{
    Ctx,
    auth::{Permissions, Role, TokenKind},
    id::{IntegrationId, TenantId},
    page::PageRequest,
    scope::ClientScope,
    sync::{RunKind, RunState},
};
use outbound::AllowRule;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use service::{
    Services,
    account::{FIRST_TENANT, NewAccount, TokenRequest},
    integration::Draft,
    organization::{MappingChange, MappingTarget, OrganizationFilter},
};
use simulator::{
    fleet::{FleetSpec, Mode},
    tacticalrmm,
};
use store::people::InstallationKind;

use crate::{
    boot::{self, Node, service_failure},
    cli::{DemoArgs, exit::Exit, failure::Failure},
    config::Config,
    output::Output,
};

/// Organizations left unmapped, so that there is something to do.
const UNMAPPED: usize = 3;

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
    let simulated = start_simulator(args).await?;
    let allow = allow_only(simulated.url())?;
    let node = Node::start(config, InstallationKind::Demo, allow).await?;
    // A file of an earlier run would tell of a server that is not there. Only now is it certain that none is.
    let _was_not_there = fs::remove_file(&summary);
    let login = make_login(&node.services).await?;
    output.note("Connecting the simulated RMM and reading its machines …");
    let integration = connect(&node.services, &simulated).await?;
    first_sync(&node.services, integration).await?;
    let url = node.url.clone();
    write_summary(&summary, &url, &login, &simulated)?;
    announce(output, &url, &login, &summary)?;
    node.run_until_asked_to_stop().await?;
    let _was_not_there = fs::remove_file(&summary);
    simulated.shutdown().await;
    Ok(Exit::Ok)
}

async fn start_simulator(args: &DemoArgs) -> Result<tacticalrmm::Server, Failure> {
    let fleet = FleetSpec { seed: 7, agents: args.agents as usize, clients: args.clients as usize };
    let mode = if args.living { Mode::Living { period: Duration::from_secs(20) } } else { Mode::Frozen };
    let config = tacticalrmm::Config {
        fleet,
        mode,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ..tacticalrmm::Config::default()
    };
    tacticalrmm::start(config).await.map_err(|error| Failure::io("the simulated RMM did not start", &error))
}

/// The demo may reach its simulators and nothing else.
fn allow_only(url: &str) -> Result<Vec<AllowRule>, Failure> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let port = authority.rsplit_once(':').map_or("80", |(_, port)| port);
    let rule = format!("127.0.0.1/32:{port}").parse();
    Ok(vec![rule.map_err(|error| Failure::usage(format!("{error}")))?])
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

async fn connect(services: &Services, simulated: &tacticalrmm::Server) -> Result<IntegrationId, Failure> {
    let draft = || {
        let key = SecretString::from(simulated.accounts().api_key.clone());
        Draft {
            provider: Some("tacticalrmm".to_owned()),
            name: Some("Simulated Tactical RMM".to_owned()),
            url: Some(simulated.url().to_owned()),
            auth_mode: Some("api_key".to_owned()),
            fields: [("tacticalrmm_api_key".to_owned(), key)].into(),
            settings: Some(json!({ "allow_plain_http": true })),
            ..Draft::default()
        }
    };
    let known = services.integrations.list(&ctx()).await.map_err(service_failure)?;
    let view = match known.into_iter().next() {
        None => services.integrations.create(&ctx(), draft()).await,
        // The simulator of an earlier run had another port and another key.
        Some(view) if view.integration.is_active => {
            let patch = Draft { provider: None, ..draft() };
            services.integrations.update(&ctx(), view.integration.id, patch, None).await
        }
        Some(view) => {
            let patch = Draft { provider: None, ..draft() };
            services.integrations.reconnect(&ctx(), view.integration.id, patch).await
        }
    };
    Ok(view.map_err(service_failure)?.integration.id)
}

async fn first_sync(services: &Services, integration: IntegrationId) -> Result<(), Failure> {
    run_to_end(services, integration, RunKind::Organizations).await?;
    let filter = OrganizationFilter { integration_id: Some(integration), ..OrganizationFilter::default() };
    let page = PageRequest { limit: 5_000, cursor: None };
    let found = services.organizations.list(&ctx(), filter, false, page).await.map_err(service_failure)?;
    let is_first_time = found.items.iter().all(|view| view.organization.client_id.is_none());
    if is_first_time {
        let mapped = found.items.len().saturating_sub(UNMAPPED).max(1);
        for view in found.items.iter().take(mapped) {
            let target = Some(MappingTarget::NewClient { name: None });
            let change = MappingChange { target, auto_sync: Some(true) };
            let changed = services.organizations.change(&ctx(), view.organization.id, change).await;
            changed.map_err(service_failure)?;
        }
    }
    run_to_end(services, integration, RunKind::Devices).await
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
fn write_summary(
    path: &Path,
    url: &str,
    login: &Login,
    simulated: &tacticalrmm::Server,
) -> Result<(), Failure> {
    let accounts = simulated.accounts();
    let summary = json!({
        "url": url, "email": login.email, "password": login.password.expose_secret(),
        "token": login.token.expose_secret(),
        "simulators": { "tacticalrmm": {
            "url": simulated.url(), "api_key": accounts.api_key, "username": accounts.username,
            "password": accounts.password, "totp_secret": accounts.totp_secret, "control_url": simulated.control_url(),
        } }
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
    output.line("Fleetgate demo is ready. Everything in it is made up.")?;
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
        "All logins, the simulator's too, are in {}. Ctrl-C ends the demo.",
        summary.display()
    ))?;
    Ok(())
}
