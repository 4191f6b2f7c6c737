//! The handle that changes a running server from outside of its API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::datto_rmm::alerts;
use crate::datto_rmm::devices;
use crate::datto_rmm::jobs::JobOutput;
use crate::datto_rmm::rate::{LoggedRequest, Rate, RateRecord};
use crate::datto_rmm::sim::{Counts, Sim};
use crate::datto_rmm::webhooks::{self, Webhooks};
use crate::datto_rmm::world::World;
use crate::delivery::{self, Webhook};
use crate::faults::Fault;

/// Changes a running server: faults, time, limits, devices, rights. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    sim: Arc<Sim>,
    webhooks: Arc<Mutex<Webhooks>>,
}

/// There is no such device, site, user, job or alert.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no such {0}")]
pub struct UnknownId(pub &'static str);

/// A site, for choosing one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteInfo {
    /// Its number.
    pub id: u32,
    /// Its identity.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// How many devices it lists.
    pub devices: usize,
}

/// What is wrong with a device, so that an alert is raised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// Which of the documented contexts, by index; unknown ones are among them.
    pub kind: usize,
    /// The context itself, in place of one by index.
    pub context: Option<Value>,
    /// The message that webhooks carry; made up where empty.
    pub message: String,
}

type Done = Result<(), UnknownId>;

fn known(found: bool, what: &'static str) -> Done {
    if found { Ok(()) } else { Err(UnknownId(what)) }
}

impl Control {
    pub(crate) fn new(sim: Arc<Sim>) -> Self {
        Self { sim, webhooks: Arc::default() }
    }

    /// Counted traffic since the start or the last reset.
    pub fn counts(&self) -> Counts {
        self.sim.counts()
    }

    /// Counts from zero, the record of requests in windows too.
    pub fn reset_counts(&self) {
        self.sim.reset_counts();
    }

    /// What reached the server, as it counted in rolling windows: the proof that a budget was kept.
    pub fn rate_record(&self) -> RateRecord {
        self.sim.limiter().record()
    }

    /// The last 200,000 requests with their times, oldest first.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.sim.limiter().requests()
    }

    /// Milliseconds since the server's start, as [`Control::requests`] counts them.
    pub fn now_ms(&self) -> i64 {
        let now = self.sim.clock.wall_now();
        self.sim.limiter().since_start_ms(now)
    }

    /// Changes the limits; what was counted stays.
    pub fn set_rate(&self, rate: Rate) {
        self.sim.limiter().rate = rate;
    }

    /// The limits.
    pub fn rate(&self) -> Rate {
        self.sim.limiter().rate.clone()
    }

    /// Reads that other programs make each minute from now on.
    pub fn set_others(&self, per_minute: u32) {
        self.sim.limiter().rate.others_per_minute = per_minute;
    }

    /// Empties the windows and lifts blocks.
    pub fn reset_rate(&self) {
        self.sim.limiter().reset();
    }

    /// Adds a fault behind those that are set.
    pub fn set_fault(&self, fault: Fault) {
        self.sim.faults.set(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.sim.faults.clear();
    }

    /// The faults that are set.
    pub fn faults(&self) -> Vec<Fault> {
        self.sim.faults.list()
    }

    /// Lets the `Date` header be wrong by so many seconds.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.sim.clock.set_skew(seconds);
    }

    /// Time every answer takes at least.
    pub fn set_delay(&self, millis: u64) {
        self.sim.set_delay(millis);
    }

    /// Life of tokens that are given out from now on.
    pub fn set_token_life(&self, seconds: i64) {
        self.sim.access().set_life(seconds);
    }

    /// Revokes every token.
    pub fn revoke_tokens(&self) {
        self.sim.access().revoke();
    }

    /// Tokens that are valid at this moment.
    pub fn valid_tokens(&self) -> usize {
        self.sim.access().valid(self.sim.clock.wall_now())
    }

    /// Grants or takes a right of a user, or of the user behind a key.
    pub fn set_right(&self, key_or_user: &str, right: &str, granted: bool) -> Done {
        known(self.sim.access().set_right(key_or_user, right, granted), "user or right")
    }

    /// Limits a user to some sites; none means all.
    pub fn set_scope(&self, key_or_user: &str, sites: Vec<u32>) -> Done {
        known(self.sim.access().set_scope(key_or_user, sites), "user")
    }

    /// Moves time: windows empty, tokens age, devices that report were seen later, jobs go on.
    pub fn advance(&self, seconds: u64) {
        self.sim.clock.advance(Duration::from_secs(seconds));
    }

    /// One round of a living account's changes.
    pub fn live(&self) {
        let now = self.sim.clock.fleet_now();
        self.world().live(now);
    }

    /// Changes description and system of that share of the devices and renews their audits. Tells how many changed.
    pub fn change_fraction(&self, fraction: f64) -> usize {
        let now = self.sim.clock.fleet_now();
        self.world().change_fraction(fraction, now)
    }

    /// How many rows change their place after each page of the account's devices.
    pub fn set_moves_per_page(&self, rows: usize) {
        self.world().moves_per_page = rows;
    }

    /// Whether one row of the device list is malformed.
    pub fn set_malformed_row(&self, present: bool) {
        self.world().malformed_row = present;
    }

    /// How many own fields each device has.
    pub fn set_udfs(&self, count: u16) {
        self.world().udfs = count;
    }

    /// Whether the platform has the paths of patches.
    pub fn set_patches(&self, present: bool) {
        self.world().has_patches = present;
    }

    /// All sites.
    pub fn sites(&self) -> Vec<SiteInfo> {
        let world = self.world();
        let info = |site: &crate::datto_rmm::world::Site| SiteInfo {
            id: site.id,
            uid: site.uid.clone(),
            name: site.name.clone(),
            devices: world.listed().filter(|device| device.site == site.id).count(),
        };
        world.sites.values().map(info).collect()
    }

    /// Renames a site.
    pub fn rename_site(&self, id: u32, name: &str) -> Done {
        known(self.world().sites.get_mut(&id).map(|site| site.name = name.to_owned()).is_some(), "site")
    }

    /// Devices of a site, or all: `uid`, `id`, `hostname`, `site`, `site_uid`, `online`, `class`.
    pub fn devices(&self, site: Option<u32>) -> Vec<Value> {
        let world = self.world();
        let listed = world.listed().filter(|device| site.is_none_or(|site| device.site == site));
        listed.map(|device| devices::short(&world, device)).collect()
    }

    /// Moves a device to a site.
    pub fn move_device(&self, uid: &str, site: u32) -> Done {
        let mut world = self.world();
        known(world.sites.contains_key(&site), "site")?;
        known(world.edit(uid, |device| device.site = site), "device")
    }

    /// Installs a device's agent anew: another uid reports, the old one stays and is silent.
    pub fn reinstall(&self, uid: &str) -> Result<String, UnknownId> {
        let now = self.sim.clock.fleet_now();
        self.world().reinstall(uid, now).ok_or(UnknownId("device"))
    }

    /// Takes a device off every list.
    pub fn vanish(&self, uid: &str) -> Done {
        known(self.world().vanish(uid), "device")
    }

    /// Brings back a device that vanished.
    pub fn restore(&self, uid: &str) -> Done {
        known(self.world().restore(uid), "device")
    }

    /// From now on the device is offline.
    pub fn silence(&self, uid: &str) -> Done {
        let now = self.sim.clock.fleet_now();
        known(self.world().silence(uid, now), "device")
    }

    /// From now on the device is online.
    pub fn wake(&self, uid: &str) -> Done {
        known(self.world().wake(uid), "device")
    }

    /// Changes a device's host name.
    pub fn rename(&self, uid: &str, name: &str) -> Done {
        known(self.world().edit(uid, |device| device.machine.hostname = name.into()), "device")
    }

    /// Changes a device's description.
    pub fn describe(&self, uid: &str, text: Option<&str>) -> Done {
        known(self.world().edit(uid, |device| device.machine.description = text.map(Into::into)), "device")
    }

    /// Renews a device's audit now.
    pub fn renew_audit(&self, uid: &str) -> Done {
        let now = self.sim.clock.fleet_now();
        known(self.world().edit(uid, |device| device.audited_at = Some(now)), "device")
    }

    /// How a job ends and what it prints.
    pub fn set_job_output(&self, uid: &str, output: JobOutput) -> Done {
        known(self.world().set_job_output(uid, output), "job")
    }

    /// Where webhooks go and what they say.
    pub fn set_webhooks(&self, webhooks: Webhooks) {
        *self.webhooks.lock().unwrap_or_else(PoisonError::into_inner) = webhooks;
    }

    fn webhooks(&self) -> Webhooks {
        self.webhooks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Raises an alert on a device. Answers its uid after its webhooks were sent.
    pub async fn raise(&self, uid: &str, trouble: Trouble) -> Result<String, UnknownId> {
        let (alert, webhook) = self.prepare(uid, &trouble)?;
        self.deliver(&alert, webhook).await;
        Ok(alert)
    }

    /// Raises an alert on each device of a site at once, as an outage does. Answers how many.
    pub async fn burst(&self, site: u32) -> Result<usize, UnknownId> {
        known(self.world().sites.contains_key(&site), "site")?;
        let uids: Vec<String> = self
            .world()
            .listed()
            .filter(|device| device.site == site)
            .map(|device| device.uid.to_string())
            .collect();
        let outage = Trouble { kind: 2, ..Trouble::default() };
        let mut raised = Vec::new();
        for uid in &uids {
            raised.push(self.prepare(uid, &outage)?);
        }
        let sent = raised.iter().map(|(alert, webhook)| self.deliver(alert, webhook.clone()));
        futures::future::join_all(sent).await;
        Ok(raised.len())
    }

    /// The monitor is content again: the alert is resolved by itself, with its webhook.
    pub async fn resolve(&self, alert: &str) -> Done {
        let now = self.sim.clock.event_now();
        let webhook = {
            let mut world = self.world();
            let found = world.alerts.get_mut(alert).ok_or(UnknownId("alert"))?;
            found.resolved.get_or_insert((now, None));
            let webhooks = self.webhooks();
            let template = webhooks.resolved.clone().filter(|_| !webhooks.url.is_empty());
            let alert = world.alerts.get(alert).ok_or(UnknownId("alert"))?;
            template.map(|template| {
                let message = webhooks::message(&world, alert);
                webhooks.with(webhooks::fill(&world, alert, &message, &template))
            })
        };
        self.deliver(alert, webhook).await;
        Ok(())
    }

    /// The test button: one delivery with its placeholders unresolved. Answers the receiver's status.
    pub async fn test_webhook(&self) -> i64 {
        let webhook = self.webhooks().test();
        self.sim.count_webhook();
        delivery::send(&webhook).await.status
    }

    fn prepare(&self, uid: &str, trouble: &Trouble) -> Result<(String, Option<Webhook>), UnknownId> {
        let now = self.sim.clock.event_now();
        let webhooks = self.webhooks();
        let mut world = self.world();
        let device = world.device_by_uid(uid).ok_or(UnknownId("device"))?.number;
        let mut alert = alerts::fresh(&mut world, device, trouble.kind, now);
        if let Some(context) = &trouble.context {
            alert.context = context.clone();
        }
        let message = match trouble.message.as_str() {
            "" => webhooks::message(&world, &alert),
            given => given.to_owned(),
        };
        let body = webhooks::fill(&world, &alert, &message, &webhooks.raised);
        let webhook = (!webhooks.url.is_empty()).then(|| webhooks.with(body));
        let uid = alert.uid.clone();
        world.alerts.insert(uid.clone(), alert);
        Ok((uid, webhook))
    }

    /// Sends, as often as is set, and keeps what came of it in the alert.
    async fn deliver(&self, alert: &str, webhook: Option<Webhook>) {
        let webhooks = self.webhooks();
        let Some(webhook) = webhook.filter(|_| !webhooks.is_lossy) else { return };
        for _ in 0..webhooks.copies.max(1) {
            self.sim.count_webhook();
            let delivered = delivery::send(&webhook).await;
            let is_fine = (200..300).contains(&delivered.status);
            let kind = if is_fine { "WEBHOOK_EXECUTED" } else { "WEBHOOK_EXECUTION_ERROR" };
            let entry = alerts::action(self.sim.clock.event_now(), kind, &delivered.text);
            if let Some(alert) = self.world().alerts.get_mut(alert) {
                alert.actions.push(entry);
            }
        }
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.sim.world()
    }
}
