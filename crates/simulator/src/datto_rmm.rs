//! A Datto RMM server as its users describe it: tokens, limits, pages, dates, nulls and quirks.
//!
//! Nobody has recorded a real account for this project. What is here follows what the vendor's help, its API document
//! and people with real accounts say; what none of them says is answered plainly and listed in the folder's README.
//!
//! [`start`] gives a [`Server`] with two ports: the vendor's API, and a control URL on a port of its own. [`Control`]
//! does in-process what the control URL does over HTTP.
//!
//! # Control URL
//! JSON in, JSON out. An answer is `{"ok": true}` unless said otherwise; what does not exist is 404.
//!
//! | call | does |
//! | --- | --- |
//! | `GET /counts` | [`Counts`]: requests per `METHOD route-template`, bytes, tokens, most in flight |
//! | `POST /counts/reset` | counts from zero; the windows of the limits go on |
//! | `GET /rate/record` | [`RateRecord`]: the most requests of ours in any rolling window, refusals, blocks |
//! | `GET /now` | `{"at_ms": n}`: the time since the start, as requests are logged |
//! | `GET /requests` | `[`[`LoggedRequest`]`]`, the last 200,000 with their times |
//! | `GET /rate`, `POST /rate` [`Rate`] | limits, others' traffic, shape, `Retry-After`, block |
//! | `GET /faults`, `POST /faults [Fault…]`, `DELETE /faults` | lists, adds, removes [`Fault`]s |
//! | `POST /set {…}` | any of `delay_ms`, `skew_s`, `token_life_s`, `others_per_minute`, `moves_per_page`, `malformed_row`, `udfs`, `patches` |
//! | `POST /do/rate-reset`, `…/tokens-revoke`, `…/live` | empties windows; revokes all tokens; one round of change |
//! | `POST /advance {"seconds": n}` | moves time: windows empty, tokens age, jobs go on |
//! | `POST /change {"fraction": 0.05}` | changes that share of the devices and renews their audits; answers `{"changed": n}` |
//! | `POST /warm` | nothing: rows are rendered when they are asked for |
//! | `POST /right {"who": key or user, "right": name, "granted": bool}` | rights: `account`, `sites`, `devices`, `audit`, `alerts`, `jobs`, `variables`, `users`, `writes`, `administrator` |
//! | `POST /scope {"who": key or user, "sites": [id…]}` | sites a user sees; none means all |
//! | `GET /sites`, `POST /sites/{id}/rename {"name": text}` | [`SiteInfo`]s; renames |
//! | `POST /sites/{id}/burst` | one alert per device of the site, webhooks at once; answers `{"raised": n}` |
//! | `GET /devices?site=id` | uid, id, host name, site, class of each |
//! | `POST /devices/{uid}/move {"site": id}`, `…/rename {"name": text}`, `…/describe {"text": text or null}` | changes one |
//! | `POST /devices/{uid}/vanish`, `…/restore`, `…/silence`, `…/wake`, `…/audit` | takes off, brings back, offline, online, audits anew |
//! | `POST /devices/{uid}/reinstall` | a second uid; answers `{"uid": new}` |
//! | `POST /devices/{uid}/raise` [`Trouble`] | an alert and its webhook; answers `{"alert": uid}` |
//! | `POST /alerts/{uid}/resolve` | its monitor is content again: resolved, resolved webhook |
//! | `POST /jobs/{uid}/output` [`JobOutput`] | how a job ends and what it prints |
//! | `POST /webhooks` [`Webhooks`], `POST /webhooks/test` | where they go; the test button, answers `{"status": n}` |

mod access;
mod account;
mod alerts;
mod audit;
mod build;
mod call;
mod contexts;
mod control;
mod control_http;
mod devices;
mod jobs;
mod logs;
mod patches;
mod rate;
mod reply;
mod routes;
mod rows;
mod serve;
mod sim;
mod sites;
mod variables;
mod webhooks;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::fleet::{FleetSpec, Mode};
use crate::spawn::Task;

pub use crate::faults::{Fault, FaultKind};
pub use access::Accounts;
pub use control::{Control, SiteInfo, Trouble, UnknownId};
pub use jobs::JobOutput;
pub use rate::{LoggedRequest, Rate, RateRecord};
pub use sim::Counts;
pub use webhooks::Webhooks;

use sim::Sim;

/// Which machines of another simulated fleet are in this account too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The other fleet.
    pub fleet: FleetSpec,
    /// How many of this account's devices are machines of it, in per cent.
    pub percent: u8,
}

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// Chooses names, hardware and states.
    pub seed: u64,
    /// How many devices, deleted ones and those of on-demand sites among them.
    pub devices: usize,
    /// Machines that another simulated RMM has as well.
    pub overlap: Option<Overlap>,
    /// Whether the account changes by itself.
    pub mode: Mode,
    /// Where the API listens; loopback only.
    pub listen: SocketAddr,
    /// Time every answer takes at least.
    pub delay: Duration,
    /// Life of a token.
    pub token_life: Duration,
    /// Where the API lives for the single key in the header `x-au-api-key`.
    pub header_root: String,
    /// How many fields of its own each device has: 30 on older accounts, 300 since mid-2026.
    pub udfs: u16,
    /// Whether the platform has the paths of patches.
    pub patches: bool,
    /// Whether one row of the device list is malformed.
    pub malformed_row: bool,
    /// How long a job waits, and then runs, on a device that is online.
    pub job_millis: u64,
    /// Limits on requests.
    pub rate: Rate,
}

impl Config {
    /// An account of so many devices, 40 % of which are machines of another fleet of the same size.
    pub fn sized(devices: usize) -> Self {
        Self {
            seed: 1,
            devices,
            overlap: Some(Overlap { fleet: FleetSpec::sized(devices), percent: 40 }),
            mode: Mode::Frozen,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            delay: Duration::ZERO,
            token_life: Duration::from_secs(100 * 3_600),
            header_root: "/api/v1".to_owned(),
            udfs: 30,
            patches: false,
            malformed_row: true,
            job_millis: 5_000,
            rate: Rate::default(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::sized(240)
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
    let accounts = Accounts::random()?;
    let sim = Arc::new(Sim::new(&config, &accounts, authority));
    let control = Control::new(sim.clone());
    let mut tasks = vec![
        Task::start(serve::serve(listener, sim)),
        Task::start(control_http::serve(control_listener, control.clone())),
    ];
    if let Mode::Living { period } = config.mode {
        tasks.push(Task::start(live_on(control.clone(), period)));
    }
    Ok(Server { url, control_url, accounts, control, tasks })
}

/// Lets an account live, a round at each period.
async fn live_on(control: Control, period: Duration) {
    let mut rounds = tokio::time::interval(period.max(Duration::from_millis(10)));
    rounds.tick().await;
    loop {
        rounds.tick().await;
        control.live();
    }
}

impl Server {
    /// `http://127.0.0.1:PORT` of the API host.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `http://127.0.0.1:PORT/` of the control URL, on a port of its own.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// Keys and secrets.
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
