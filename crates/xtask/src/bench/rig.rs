//! One installation under test: a server, a simulated RMM beside it, an administrator's token, an integration.
//!
//! It speaks to the server through REST and metrics only, as any other program would. Schedules are off: runs
//! happen when asked for, and nothing else does.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::http::Client;
use super::programs::{Home, Server, Simulator};

/// Longest wait for one run.
const RUN_LIMIT: Duration = Duration::from_secs(1_800);

/// Between two looks at a run.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Which simulated RMM to measure with.
pub(crate) struct Wanted<'a> {
    /// Id of its provider; without it, one that does not limit requests.
    pub(crate) provider: Option<&'a str>,
    pub(crate) agents: usize,
    /// What every answer of it takes at least.
    pub(crate) delay_ms: u64,
}

/// How many requests an RMM takes in a rolling window from all who use an account.
#[derive(Clone, Copy)]
pub(crate) struct RateLimit {
    pub(crate) window_s: u64,
    pub(crate) reads: u64,
}

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) api: Client,
    pub(crate) control: Client,
    pub(crate) integration: String,
    /// Its credentials, to be saved again.
    pub(crate) fields: Value,
    pub(crate) token: String,
    pub(crate) home: Home,
    /// Of the RMM, where it has one.
    pub(crate) rate_limit: Option<RateLimit>,
    /// Its drop ends the program.
    simulator: Simulator,
}

/// A run as REST tells it.
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) counts: Value,
    /// From its first to its last moment of work.
    pub(crate) took: Duration,
    /// Looks taken to see its end.
    pub(crate) looks: u64,
}

impl Rig {
    /// Server up, RMM connected, every organization mapped to a client of its own; no device known yet.
    pub(crate) fn start(home: Home, agents: usize) -> Result<Self> {
        Self::start_with(home, &Wanted { provider: None, agents, delay_ms: 0 })
    }

    /// The same with a certain RMM.
    pub(crate) fn start_with(home: Home, wanted: &Wanted<'_>) -> Result<Self> {
        let server = Server::start(&home)?;
        let token = home.sign_up()?;
        let mut api = Client::new(&server.url, Some(&token))?;
        let provider = provider(&api.get("/api/v1/providers")?["items"], wanted.provider)?;
        let kind = text(&provider["id"])?;
        let limit = |name: &str| provider["rate_limit"][name].as_u64();
        let rate_limit = limit("window_s").zip(limit("reads"));
        let rate_limit = rate_limit.map(|(window_s, reads)| RateLimit { window_s, reads });
        let simulator = Simulator::start(&kind, wanted.agents, wanted.delay_ms)?;
        let control = Client::new(&simulator.control_url, None)?;
        let (integration, fields) = connect(&mut api, &provider, &simulator)?;
        let mut rig = Self { server, api, control, integration, fields, token, home, rate_limit, simulator };
        let run = rig.sync("organizations")?;
        if run.state != "succeeded" {
            bail!("organizations were not read: {}", run.state);
        }
        let accept = json!({ "integration_id": rig.integration, "min_score": 100, "auto_sync": true, "create_missing": true });
        rig.api.post("/api/v1/organizations/accept-suggestions", &accept)?;
        Ok(rig)
    }

    /// `kill -9`, then another server process on the same data.
    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        self.server.kill();
        self.server = Server::start(&self.home)?;
        self.api = Client::new(&self.server.url, Some(&self.token))?;
        Ok(())
    }

    /// Asks for a run and waits for its end.
    pub(crate) fn sync(&mut self, kind: &str) -> Result<Run> {
        let id = self.request(kind)?;
        self.wait_for(&id)
    }

    /// Asks for a run; answers its id.
    pub(crate) fn request(&mut self, kind: &str) -> Result<String> {
        let path = format!("/api/v1/integrations/{}/sync", self.integration);
        text(&self.api.post(&path, &json!({ "kind": kind }))?["id"])
    }

    /// A run as it is now; `None` while it works.
    pub(crate) fn look(&mut self, id: &str) -> Result<Option<Run>> {
        let run = self.api.get(&format!("/api/v1/sync-runs/{id}"))?;
        let state = text(&run["state"])?;
        if matches!(state.as_str(), "queued" | "running") {
            return Ok(None);
        }
        let time = |name: &str| run[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let took = match (time("started_at"), time("ended_at")) {
            (Some(start), Some(end)) => end.duration_since(start).unsigned_abs(),
            _ => Duration::ZERO,
        };
        Ok(Some(Run { id: id.to_owned(), state, counts: run["counts"].clone(), took, looks: 0 }))
    }

    /// Looks until a run is over.
    pub(crate) fn wait_for(&mut self, id: &str) -> Result<Run> {
        let deadline = Instant::now() + RUN_LIMIT;
        for looks in 1.. {
            if let Some(run) = self.look(id)? {
                return Ok(Run { looks, ..run });
            }
            if Instant::now() > deadline {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("the run did not end within {} s\n{}", RUN_LIMIT.as_secs(), self.home.log_tail())
    }

    /// Keeps detail runs at their first call until [`Rig::release_details`].
    pub(crate) fn hold_details(&mut self) -> Result<()> {
        // Where requests are limited, a run that is held must not use up what the measured one needs.
        let millis = if self.rate_limit.is_some() { 5_000 } else { 1_000 };
        let fault = json!([{ "route": self.simulator.detail_route, "kind": "hang", "millis": millis }]);
        self.control.post("/faults", &fault).map(drop)
    }

    /// Cancels the detail run that follows a list pass, if there is one, and waits for its end.
    pub(crate) fn release_details(&mut self) -> Result<()> {
        // Let go before it is told to end, it would use up requests that the next pass needs.
        let ends_first = self.rate_limit.is_some();
        if !ends_first {
            self.control.send("DELETE", "/faults", None)?;
        }
        let path = format!("/api/v1/sync-runs?integration_id={}&kind=details&limit=1", self.integration);
        let run = self.api.get(&path)?["items"][0]["id"].as_str().map(str::to_owned);
        let going_on = match run {
            Some(id) => self.look(&id)?.is_none().then_some(id),
            None => None,
        };
        if let Some(id) = &going_on {
            self.api.post(&format!("/api/v1/sync-runs/{id}/cancel"), &Value::Null)?;
        }
        if ends_first {
            self.control.send("DELETE", "/faults", None)?;
        }
        going_on.map_or(Ok(()), |id| self.wait_for(&id).map(drop))
    }

    /// SQL statements of the server since its start.
    pub(crate) fn statements(&mut self) -> Result<u64> {
        let answer = self.api.send("GET", "/metrics", None)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("fleetgate_sql_statements_total "));
        line.and_then(|number| number.trim().parse().ok()).context("no count of statements in `/metrics`")
    }

    /// Statements that one look at a run costs, to take looks off a count.
    pub(crate) fn statements_per_look(&mut self, id: &str) -> Result<f64> {
        const LOOKS: u32 = 20;
        let before = self.statements()?;
        for _ in 0..LOOKS {
            self.look(id)?;
        }
        Ok((self.statements()? - before) as f64 / f64::from(LOOKS))
    }

    /// Calls the simulated RMM has counted, without looks at single devices.
    pub(crate) fn list_calls(&mut self) -> Result<u64> {
        let counts = self.control.get("/counts")?;
        let requests = counts["requests"].as_object().context("the simulator counts nothing")?;
        Ok(requests.iter().filter(|(route, _)| !route.contains('<')).filter_map(|(_, n)| n.as_u64()).sum())
    }

    /// Organizations whose devices are synced.
    pub(crate) fn organizations(&mut self) -> Result<u64> {
        let path =
            format!("/api/v1/organizations?integration_id={}&state=mapped&limit=200", self.integration);
        let list = self.api.get(&path)?;
        list["total"].as_u64().context("how many organizations are mapped is not said")
    }
}

fn connect(api: &mut Client, provider: &Value, simulator: &Simulator) -> Result<(String, Value)> {
    let mode = first(&provider["auth_modes"], "way to sign in")?;
    let kind = text(&provider["id"])?;
    let mut fields = serde_json::Map::new();
    for field in mode["fields"].as_array().into_iter().flatten() {
        let name = text(&field["name"])?;
        if let Some(value) = simulator.field(&kind, &name) {
            fields.insert(name, value.into());
        }
    }
    let fields = Value::Object(fields);
    let new = json!({
        "provider": provider["id"], "url": simulator.url, "auth_mode": mode["id"],
        "fields": fields,
        "settings": { "allow_plain_http": true, "schedules_enabled": false },
    });
    Ok((text(&api.post("/api/v1/integrations", &new)?["id"])?, fields))
}

/// The provider of that id; without one, the first that does not limit requests.
fn provider(list: &Value, wanted: Option<&str>) -> Result<Value> {
    let providers = list.as_array().map_or(&[][..], Vec::as_slice);
    let ids: Vec<&str> = providers.iter().filter_map(|provider| provider["id"].as_str()).collect();
    let is_wanted = |provider: &&Value| match wanted {
        Some(id) => provider["id"] == id,
        None => provider["rate_limit"].is_null(),
    };
    let found = providers.iter().find(is_wanted).cloned();
    found.with_context(|| format!("the server knows no such provider; choose one of: {}", ids.join(", ")))
}

fn first(list: &Value, what: &str) -> Result<Value> {
    list.get(0).cloned().with_context(|| format!("the server knows no {what}"))
}

pub(crate) fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("a text is missing in an answer of the server")
}
