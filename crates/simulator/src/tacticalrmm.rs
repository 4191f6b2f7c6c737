//! A Tactical RMM server as recorded: its paths, statuses, content types, error bodies and quirks.
//!
//! [`start`] gives a [`Server`] with two ports: the vendor's API, and a control URL on a port of its own, so that
//! it never collides with the vendor's paths. [`Control`] does in-process what the control URL does over HTTP.
//!
//! # Control URL
//! JSON in, JSON out. An answer is `{"ok": true}` unless said otherwise; what does not exist is 404.
//!
//! | call | does |
//! | --- | --- |
//! | `GET /counts` | [`Counts`]: requests per `METHOD route-template`, bytes, tokens, most in flight |
//! | `POST /counts/reset` | counts from zero |
//! | `GET /faults`, `POST /faults [Fault…]`, `DELETE /faults` | lists, adds, removes [`Fault`]s |
//! | `POST /beta {"enabled": bool}` | switches the beta API |
//! | `POST /messaging {"state": "up"\|"down"\|"no_responders"}` | the message bus between server and agents |
//! | `POST /advance {"seconds": n}` | moves time: tokens age, online agents were seen later, silent ones grow overdue |
//! | `POST /change {"fraction": 0.05}` | changes description and system of that share; answers `{"changed": n}` |
//! | `POST /live` | one round of a living fleet's changes, now |
//! | `POST /warm` | renders every cached list now |
//! | `POST /skew {"seconds": n}` | error of the `Date` header |
//! | `POST /permission {"who": key or user, "right": name, "granted": bool}` | a role's right (`is_superuser` too) |
//! | `POST /scope {"who": key or user, "clients": [id…]}` | clients a role sees; none means all |
//! | `POST /login {"user": name, "blocked": bool}` | blocks a login by password |
//! | `POST /tokens/expire`, `POST /throttle/reset` | ends all tokens; forgets login attempts |
//! | `POST /output` [`Output`] | what agents print for commands and scripts holding a text |
//! | `GET /agents?client=id` | `[{"agent_id", "hostname", "client", "id", "answers"}]` |
//! | `POST /agents/{agent_id}/move {"client": id}` | to the first site of that client |
//! | `POST /agents/{agent_id}/reinstall` | a second row; answers `{"agent_id": new}` |
//! | `POST /agents/{agent_id}/vanish`, `…/restore`, `…/silence`, `…/wake` | takes off, brings back, mutes, unmutes |
//! | `POST /agents/{agent_id}/rename {"name": text}`, `…/describe {"text": text or null}` | host name, description |
//! | `POST /agents/{agent_id}/fail` [`Failure`] | a check fails: alert, webhook; answers `{"alert": id}` |
//! | `POST /alerts/{id}/pass` | its check passes again: resolved, resolved webhook |
//! | `GET /clients` | `[{"id", "name", "agents"}]` |
//! | `POST /clients {"name": text}` | answers `{"id": n}`; the client has one site |
//! | `POST /clients/{id}/rename {"name": text}`, `DELETE /clients/{id}` | renames, removes with its agents |
//!
//! # Beyond the recordings
//! Right names, 404s and validation texts that nobody recorded follow the framework's habits. MeshCentral, agent
//! deployment, policies and tasks do not exist here; paths nobody recorded are the HTML 404.

mod accounts;
mod acting;
mod agents;
mod alerts;
mod beta;
mod call;
mod clients;
mod control;
mod control_http;
mod detail;
mod library;
mod live;
mod login;
mod provisioning;
mod reply;
mod routes;
mod rows;
mod seed;
mod serve;
mod sim;
mod templating;
mod views;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::fleet::{FleetSpec, Mode};
use crate::spawn::Task;

pub use crate::faults::{Fault, FaultKind};
pub use accounts::Accounts;
pub use alerts::Failure;
pub use control::{AgentInfo, ClientInfo, Control, UnknownId};
pub use sim::{Counts, Messaging, Output};

use sim::Sim;

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The generated fleet; unused in the recorded world.
    pub fleet: FleetSpec,
    /// Whether the fleet changes by itself.
    pub mode: Mode,
    /// Where the API listens; loopback only.
    pub listen: SocketAddr,
    /// Whether the beta API is switched on.
    pub beta: bool,
    /// Time every answer takes at least.
    pub delay: Duration,
    /// Serves the 31 agents of the recordings, with their keys and accounts, instead of a generated fleet.
    pub recorded: bool,
    /// Length of the real server's long waits (7 s pings, 15 s checks) here: 1 is true to life, 0.01 is for tests.
    pub time_scale: f64,
    /// About how large `services` of a Windows agent is in its detail and in beta rows.
    pub detail_bytes: usize,
    /// Further names accepted in the `Host` header, beside the own address and `localhost`.
    pub hosts: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fleet: FleetSpec::default(),
            mode: Mode::Frozen,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            beta: false,
            delay: Duration::ZERO,
            recorded: false,
            time_scale: 1.0,
            detail_bytes: 20_000,
            hosts: Vec::new(),
        }
    }
}

/// A running server. It ends with [`Server::shutdown`], or when dropped.
pub struct Server {
    url: String,
    control_url: String,
    accounts: Accounts,
    control: Control,
    tasks: Vec<Task>,
}

/// Starts a server on loopback.
pub async fn start(config: Config) -> std::io::Result<Server> {
    if !config.listen.ip().is_loopback() {
        return Err(std::io::Error::other("a simulator listens on loopback only"));
    }
    let listener = TcpListener::bind(config.listen).await?;
    let control_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let authority = listener.local_addr()?.to_string();
    let url = format!("http://{authority}");
    let control_url = format!("http://{}/", control_listener.local_addr()?);
    let accounts = if config.recorded { Accounts::recorded() } else { Accounts::random()? };
    let sim = Arc::new(Sim::new(&config, &accounts, authority));
    let (control, waiting) = Control::new(sim.clone());
    let mut tasks = vec![
        Task::start(serve::serve(listener, sim.clone())),
        Task::start(control_http::serve(control_listener, control.clone())),
        Task::start(control.clone().deliver(waiting)),
    ];
    if let (Mode::Living { period }, false) = (config.mode, config.recorded) {
        tasks.push(Task::start(live_on(control.clone(), period)));
    }
    Ok(Server { url, control_url, accounts, control, tasks })
}

/// Lets a fleet live, a round at each period.
async fn live_on(control: Control, period: Duration) {
    let mut rounds = tokio::time::interval(period.max(Duration::from_millis(10)));
    rounds.tick().await;
    loop {
        rounds.tick().await;
        control.live();
    }
}

impl Server {
    /// `http://127.0.0.1:PORT` of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `http://127.0.0.1:PORT/` of the control URL, on a port of its own.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// Keys, users and passwords.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The in-process handle with the abilities of the control URL.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Ends the server and waits until its ports are closed.
    pub async fn shutdown(self) {
        for task in self.tasks {
            task.stop().await;
        }
    }
}
