//! `kill -9` under mixed writes: what was acknowledged is stored, and every act has its row in the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Found, expect_whole};
use crate::bench::http::{Client, Connection};
use crate::bench::programs::{Home, Server};
use crate::bench::rig::text;

/// Connections that write at a time.
const WRITERS: u32 = 6;

/// What one client should be called: acknowledged, and tried since.
#[derive(Clone, Default)]
pub(super) struct Told {
    pub(super) name: String,
    /// A new name that was sent and not acknowledged; it may be there or not.
    pub(super) maybe: Option<String>,
    pub(super) sites: Vec<String>,
}

/// What servers acknowledged, by the client's id.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<BTreeMap<String, Told>>>);

impl Ledger {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Told>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn run(home: Home, kills: u32, found: &mut Found) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut server = Server::start(&home)?;
    let token = home.sign_up()?;
    let ledger = Ledger::default();
    let mut longest = Duration::ZERO;
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..kills {
        let writers: Vec<JoinHandle<()>> = (0..WRITERS)
            .map(|writer| {
                let work =
                    write(server.url.clone(), token.clone(), format!("{round}-{writer}"), ledger.clone());
                runtime.spawn(work)
            })
            .collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_millis(40 + random % 160));
        server.kill();
        for writer in writers {
            runtime.block_on(writer).context("a writer broke")?;
        }
        let started = Instant::now();
        server = Server::start(&home)?;
        longest = longest.max(started.elapsed());
    }
    let mut api = Client::new(&server.url, Some(&token))?;
    compare(&mut api, &ledger, found)?;
    thread::sleep(Duration::from_secs(2));
    expect_whole(&home, found)?;
    found.count("kills", kills);
    found.count("longest_restart_ms", u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
    server.stop()
}

/// Creates, renames and adds sites until the server is gone.
pub(super) async fn write(url: String, token: String, name: String, ledger: Ledger) {
    let Ok(mut connection) = Connection::open(&url, Some(&token)).await else { return };
    for n in 0.. {
        if write_one(&mut connection, &format!("{name}-{n}"), &ledger).await.is_none() {
            return;
        }
    }
}

/// None once the server does not answer any more.
async fn write_one(connection: &mut Connection, name: &str, ledger: &Ledger) -> Option<()> {
    let created = acknowledged(connection, "POST", "/api/v1/clients", &json!({ "name": name })).await?;
    let id = created["id"].as_str()?.to_owned();
    ledger.with(|told| told.insert(id.clone(), Told { name: name.to_owned(), ..Told::default() }));
    let renamed = format!("{name} renamed");
    ledger.with(|told| told.entry(id.clone()).or_default().maybe = Some(renamed.clone()));
    let body = json!({ "name": renamed });
    acknowledged(connection, "PATCH", &format!("/api/v1/clients/{id}"), &body).await?;
    ledger.with(|told| *told.entry(id.clone()).or_default() = Told { name: renamed, ..Told::default() });
    let site = json!({ "name": "Main" });
    let made = acknowledged(connection, "POST", &format!("/api/v1/clients/{id}/sites"), &site).await?;
    let site = made["id"].as_str()?.to_owned();
    ledger.with(|told| told.entry(id.clone()).or_default().sites.push(site));
    Some(())
}

async fn acknowledged(connection: &mut Connection, method: &str, path: &str, body: &Value) -> Option<Value> {
    let answer = connection.send(method, path, Some(body)).await.ok()?;
    answer.json(path).ok()
}

/// Clients, sites and the audit log, against what was acknowledged.
pub(super) fn compare(api: &mut Client, ledger: &Ledger, found: &mut Found) -> Result<()> {
    let told = ledger.with(|told| told.clone());
    let clients = all_clients(api)?;
    let acts = acts(api)?;
    for (id, wanted) in &told {
        match clients.get(id) {
            None => found.problem(format!("the client `{id}` was acknowledged and is not there")),
            Some(name) if *name == wanted.name || Some(name) == wanted.maybe.as_ref() => {
                let is_renamed = name.ends_with(" renamed");
                found.expect(acts.contains(&("client.create".to_owned(), id.clone())), || {
                    format!("`{id}` was created without a row in the audit log")
                });
                found.expect(!is_renamed || acts.contains(&("client.rename".to_owned(), id.clone())), || {
                    format!("`{id}` was renamed without a row in the audit log")
                });
            }
            Some(name) => {
                found.problem(format!("the client `{id}` is called `{name}`, not `{}`", wanted.name))
            }
        }
        for site in &wanted.sites {
            found.expect(acts.contains(&("site.create".to_owned(), site.clone())), || {
                format!("the site `{site}` has no row in the audit log")
            });
        }
    }
    let created = acts.iter().filter(|(act, _)| act == "client.create");
    for (_, id) in created.clone() {
        found.expect(clients.contains_key(id), || {
            format!("the audit log tells of `{id}`, which is not there")
        });
    }
    found.count("acknowledged_clients", told.len());
    found.count("clients", clients.len());
    found.count("acknowledged_sites", told.values().map(|told| told.sites.len()).sum::<usize>());
    Ok(())
}

fn all_clients(api: &mut Client) -> Result<BTreeMap<String, String>> {
    let mut clients = BTreeMap::new();
    let mut path = "/api/v1/clients?limit=200".to_owned();
    loop {
        let page = api.get(&path)?;
        for client in page["items"].as_array().context("no list")? {
            clients.insert(text(&client["id"])?, text(&client["name"])?);
        }
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("/api/v1/clients?limit=200&cursor={next}"),
            None => return Ok(clients),
        }
    }
}

/// Act and target of every row of the audit log.
fn acts(api: &mut Client) -> Result<BTreeSet<(String, String)>> {
    let answer = api.send("GET", "/api/v1/audit.jsonl", None)?;
    let lines = String::from_utf8(answer.body)?;
    let mut acts = BTreeSet::new();
    for line in lines.lines() {
        let act: Value = serde_json::from_str(line)?;
        if let (Some(name), Some(target)) = (act["act"].as_str(), act["target"].as_str()) {
            acts.insert((name.to_owned(), target.to_owned()));
        }
    }
    Ok(acts)
}
