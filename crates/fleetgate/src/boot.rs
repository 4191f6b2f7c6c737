//! Wiring: configuration in, a running node out. Also the operator's commands beside it.

use std::{fs, fs::File, path::Path};

use outbound::{AllowRule, ClientOptions, EgressRules, HttpClient};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use server::App;
use service::{
    Services,
    account::SetupState,
    job::{Options, Runner},
};
use store::{Engine, Location, RootKeys, Store, StoreError, people::InstallationKind, presence::Presence};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    cli::{exit::Exit, failure::Failure},
    config::{Config, LogFormat},
    output::Output,
};

mod audit;
mod copy;
mod doctor;
mod edge;
mod health;
mod isolation;
mod keys;
mod lock;
mod people;
mod root_key;

pub(crate) use audit::audit;
pub(crate) use copy::{backup, db, restore};
pub(crate) use doctor::doctor;
pub(crate) use health::health;
pub(crate) use keys::keys;
pub(crate) use people::{tenant, token, user};

/// A node at work.
pub(crate) struct Node {
    /// The use cases.
    pub(crate) services: Services,
    /// Where it answers on this machine, `http://127.0.0.1:8800`.
    pub(crate) url: String,
    store: Store,
    stop: CancellationToken,
    background: Vec<JoinHandle<()>>,
    /// Hears of jobs that other nodes queue; PostgreSQL only.
    job_listener: Option<JoinHandle<()>>,
    server: JoinHandle<std::io::Result<()>>,
    /// Held while it runs: a second process on the same folder refuses.
    _lock: Option<File>,
    /// The same for a PostgreSQL database: commands that need it for themselves refuse.
    presence: Option<Presence>,
}

impl Node {
    /// Opens the data, then listens, then works. `more_allow` is added to the rules for what leaves.
    pub(crate) async fn start(
        config: &Config,
        kind: InstallationKind,
        more_allow: Vec<AllowRule>,
    ) -> Result<Node, Failure> {
        let options = edge::options(config)?;
        let lock = prepare_folder(config)?;
        let presence = lock::announce(&location(config)).await?;
        let store = open_store(config).await?;
        let checkpoint_key = audit::checkpoint_key(config)?;
        isolation::warn_if_open(&store).await?;
        keys::warn_if_unfinished(config, &store).await?;
        store.installation(kind).await.map_err(|error| match error {
            StoreError::OtherInstallation { .. } => {
                Failure::new(Exit::Refused, "other_installation", error.to_string())
                    .advise("Choose another folder with `--data-dir`: demo data and real data never mix.")
            }
            other => store_failure(other),
        })?;
        if config.database.url.is_none() {
            // The lock on the folder proves that nobody else works on this database.
            store.end_leases().await.map_err(store_failure)?;
        }
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            Failure::io(&format!("cannot listen on {}", config.listen), &error)
                .advise("Another program may use the port; choose one with `--listen ADDR:PORT`.")
        })?;
        let address = listener.local_addr().map_err(|error| Failure::io("cannot listen", &error))?;
        let mut allow = allow_rules(config)?;
        allow.extend(more_allow);
        let rules = EgressRules::new(allow).deny_listener(address);
        let http = HttpClient::new(rules, ClientOptions::default()).map_err(|error| {
            Failure::new(Exit::Failure, "http_client", format!("cannot set up outgoing connections: {error}"))
        })?;
        let options_of_services =
            service::Options { rmm_hosts: rmm_hosts(config, kind), ..service::Options::default() };
        let services = Services::with_options(store.clone(), providers::all(), http, options_of_services);
        let stop = CancellationToken::new();
        let limits = [service::sync::DETAIL_PASSES].into();
        let work = Options { workers: config.jobs.workers, limits, ..Options::default() };
        let runner = Runner::new(store.clone(), services.handlers(), work);
        let background = vec![
            runner.start(stop.clone()),
            services.scheduler().start(stop.clone()),
            audit::sealer(store.clone(), checkpoint_key, config).start(stop.clone()),
        ];
        let job_listener = store.listen();
        let app = App { services: services.clone(), options };
        let url = edge::local_url(config, address);
        let stopped = stop.clone();
        let server = crate::spawn::start(async move {
            server::serve(listener, app, async move { stopped.cancelled().await }).await
        });
        Ok(Node { services, url, store, stop, background, job_listener, server, _lock: lock, presence })
    }

    /// Works until the process is asked to stop, then ends in order: no new requests, jobs back to the queue, data closed.
    pub(crate) async fn run_until_asked_to_stop(self) -> Result<(), Failure> {
        let Node { store, stop, background, job_listener, mut server, presence, _lock, .. } = self;
        let ended = tokio::select! {
            ended = &mut server => Some(ended),
            () = asked_to_stop() => None,
        };
        info!("stopping: jobs go back to the queue");
        stop.cancel();
        let ended = match ended {
            Some(ended) => ended,
            None => server.await,
        };
        // It waits for the database and would wait for ever.
        if let Some(listener) = job_listener {
            listener.abort();
        }
        for task in background {
            if tokio::time::timeout(std::time::Duration::from_secs(12), task).await.is_err() {
                break;
            }
        }
        store.close().await;
        drop(presence);
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::io("the server stopped", &error)),
            Err(error) => Err(Failure::new(Exit::Failure, "server", format!("the server stopped: {error}"))),
        }
    }
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// `fleetgate serve`.
pub(crate) async fn serve(config: &Config, output: &Output) -> Result<Exit, Failure> {
    start_log(config);
    let node = Node::start(config, InstallationKind::Serve, Vec::new()).await?;
    let public = config.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let address = public.unwrap_or(&node.url);
    let known_as = public.map(|public| format!(", public address {public}")).unwrap_or_default();
    output.line(&format!("Fleetgate listens on {} ({}){known_as}", node.url, node.services.engine_name()))?;
    if let Some(token) = first_start_token(&node.services).await? {
        output.line("")?;
        output.line(
            "Nobody can sign in yet. Make the first administrator with this set-up token, which works once:",
        )?;
        output.line(&format!("  {}", token.expose_secret()))?;
        output.line(&format!(
            "  POST {address}/api/v1/setup   {{\"token\", \"email\", \"name\", \"password\"}}"
        ))?;
        output.line("or here on this machine:  fleetgate user create --email you@example.com")?;
        let public = audit::checkpoint_key(config)?.public();
        output.line("")?;
        output.line("Checkpoints of the audit log are signed with the key of which this is the public part. Keep it elsewhere:")?;
        output.line(&format!("  {public}"))?;
    }
    node.run_until_asked_to_stop().await?;
    Ok(Exit::Ok)
}

async fn first_start_token(services: &Services) -> Result<Option<SecretString>, Failure> {
    match services.accounts.setup_state().await.map_err(service_failure)? {
        SetupState::Open => services.accounts.setup_token().await.map_err(service_failure),
        SetupState::Closed => Ok(None),
    }
}

/// `fleetgate migrate`.
pub(crate) async fn migrate(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let _lock = prepare_folder(config)?;
    let owner = owner_location(config);
    // On SQLite the lock of the folder is all there is.
    let _alone = match &owner {
        Location::File(_) => None,
        Location::Server(_) => Some(lock::hold(&owner).await?),
    };
    let engine = match migrate_as_owner(config).await? {
        Some(engine) => engine,
        None => Store::migrate(&owner, &owner).await.map_err(store_failure)?,
    };
    if output.is_json() {
        output.json(&json!({ "database": engine.name(), "up_to_date": true }).to_string())?;
    } else {
        output.line(&format!("The {} database is up to date.", engine.name()))?;
    }
    Ok(Exit::Ok)
}

/// Services for commands at the console: they reach no RMM, so nothing may leave.
async fn operator_services(config: &Config) -> Result<Services, Failure> {
    let store = open_store(config).await?;
    operator_services_of(store).await
}

async fn operator_services_of(store: Store) -> Result<Services, Failure> {
    store.installation(InstallationKind::Serve).await.map_err(store_failure)?;
    let http = HttpClient::new(EgressRules::default(), ClientOptions::default())
        .map_err(|error| Failure::new(Exit::Failure, "http_client", error.to_string()))?;
    Ok(Services::new(store, providers::all(), http))
}

fn location(config: &Config) -> Location {
    match &config.database.url {
        Some(url) => Location::Server(url.expose_secret().to_owned()),
        None => Location::File(config.sqlite_file()),
    }
}

/// The same database as the role that may change tables.
fn owner_location(config: &Config) -> Location {
    match &config.database.migrate_url {
        Some(owner) => Location::Server(owner.expose_secret().to_owned()),
        None => location(config),
    }
}

/// Applies what migrations are missing as the role that owns the tables, and lets the role that serves use them; none
/// where there is one role for both.
async fn migrate_as_owner(config: &Config) -> Result<Option<Engine>, Failure> {
    let Some(owner) = &config.database.migrate_url else { return Ok(None) };
    let owner = Location::Server(owner.expose_secret().to_owned());
    match Store::migrate(&owner, &location(config)).await {
        Ok(engine) => Ok(Some(engine)),
        Err(error @ StoreError::NoSuchRole) => Err(store_failure(error)),
        Err(error) => {
            // The store speaks of the address that it was given.
            let failure = store_failure(error);
            let detail = failure.detail.replace("`database.url`", "`database.migrate_url`");
            Err(Failure { detail: format!("as the role of `database.migrate_url`: {detail}"), ..failure })
        }
    }
}

/// Opens the data as the role that serves.
pub(crate) async fn open_store(config: &Config) -> Result<Store, Failure> {
    create_private_folder(&config.data_dir)?;
    open_store_with(config, root_keys(config)?).await
}

async fn open_store_with(config: &Config, keys: RootKeys) -> Result<Store, Failure> {
    migrate_as_owner(config).await?;
    Store::open_with(&location(config), keys).await.map_err(|error| keys::opening_failure(config, error))
}

fn root_keys(config: &Config) -> Result<RootKeys, Failure> {
    root_key::Source::of(config).keys().map_err(|error| root_key_failure(&error))
}

fn root_key_failure(error: &store::secret::RootKeyError) -> Failure {
    Failure::new(Exit::Usage, "root_key", format!("the root key cannot be used: {}", edge::told(error)))
}

fn allow_rules(config: &Config) -> Result<Vec<AllowRule>, Failure> {
    config
        .outbound
        .allow
        .iter()
        .map(|text| text.parse().map_err(|error| Failure::usage(format!("`outbound.allow`: {error}"))))
        .collect()
}

/// Where credentials may go beside the vendors' own hosts. Those of the demo are made up, and its RMMs are simulated here.
fn rmm_hosts(config: &Config, kind: InstallationKind) -> Vec<String> {
    let mut hosts = config.outbound.rmm_hosts.clone();
    if kind == InstallationKind::Demo {
        hosts.push("127.0.0.1".to_owned());
    }
    hosts
}

/// Makes the data folder (0700) and takes its lock, so that no second process uses it.
fn prepare_folder(config: &Config) -> Result<Option<File>, Failure> {
    create_private_folder(&config.data_dir)?;
    match lock::folder(&config.data_dir) {
        Ok(file) => Ok(Some(file)),
        // Several servers of one PostgreSQL database may share a folder.
        Err(failure) if failure.code == lock::IN_USE && config.database.url.is_some() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn create_private_folder(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if path.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
        .map_err(|error| Failure::io(&format!("cannot make the folder `{}`", path.display()), &error))
}

/// Structured log lines on standard error.
pub(crate) fn start_log(config: &Config) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_new(&config.log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if a log was started before, and then that one goes on.
    let _started_before = match config.log.format {
        LogFormat::Json => lines.json().try_init(),
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
}

pub(crate) fn store_failure(error: StoreError) -> Failure {
    if let StoreError::RootKey(error) = &error {
        return root_key_failure(error);
    }
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::new(Exit::Failure, "database", format!("{error}{source}"))
        .advise("`fleetgate doctor` looks for the reason.")
}

pub(crate) fn service_failure(error: service::ServiceError) -> Failure {
    use service::ServiceError as E;
    let (exit, code) = match &error {
        E::NotFound { .. } => (Exit::NotFound, "not_found"),
        E::Invalid { code, .. } | E::Conflict { code, .. } => (Exit::Refused, *code),
        E::Unauthenticated { code, .. } | E::ProofNeeded { code, .. } => (Exit::SignIn, *code),
        E::Forbidden(_) => (Exit::SignIn, "permission_missing"),
        E::Limited => (Exit::SignIn, "limited_to_clients"),
        E::Provider(source) => (Exit::Rmm, source.problem.code.as_str()),
        E::Throttled { .. } => (Exit::Failure, "throttled"),
        E::Unavailable(_) => (Exit::Failure, "database_unavailable"),
        E::Internal(_) => (Exit::Failure, "internal"),
    };
    Failure::new(exit, code, error.to_string())
}
