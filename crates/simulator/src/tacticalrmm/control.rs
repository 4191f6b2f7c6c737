//! The handle that changes a running server from outside of its API.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::delivery::{self, Webhook};
use crate::faults::Fault;
use crate::fleet::Machine;
use crate::tacticalrmm::alerts::{self, ActionRun, Alert, Failure};
use crate::tacticalrmm::provisioning::webhook;
use crate::tacticalrmm::rows;
use crate::tacticalrmm::sim::{Counts, Messaging, Output, Sim};
use crate::tacticalrmm::templating::{Instance, Scope};
use crate::tacticalrmm::world::World;

/// Changes a running server: faults, time, fleet, rights. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    sim: Arc<Sim>,
    outbox: UnboundedSender<(u32, Event)>,
}

/// There is no such agent, client, user or alert.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no such {0}")]
pub struct UnknownId(pub &'static str);

/// An agent, for choosing one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Its identity.
    pub agent_id: String,
    /// Its number.
    pub id: u32,
    /// Its host name.
    pub hostname: String,
    /// Its client.
    pub client: u32,
    /// Whether it answers the server.
    pub answers: bool,
}

/// A client, for choosing one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// How many agents it has.
    pub agents: usize,
}

type Done = Result<(), UnknownId>;

fn known(found: bool, what: &'static str) -> Done {
    if found { Ok(()) } else { Err(UnknownId(what)) }
}

impl Control {
    /// The handle, and the webhooks that its changes of time cause, for [`Control::deliver`].
    pub(crate) fn new(sim: Arc<Sim>) -> (Self, UnboundedReceiver<(u32, Event)>) {
        let (outbox, waiting) = tokio::sync::mpsc::unbounded_channel();
        (Self { sim, outbox }, waiting)
    }

    /// Sends webhooks one after another, as the real server's outage loop does.
    pub(crate) async fn deliver(self, mut waiting: UnboundedReceiver<(u32, Event)>) {
        while let Some((alert, event)) = waiting.recv().await {
            self.fire(alert, event).await;
        }
    }

    /// Counted traffic since the start or the last reset.
    pub fn counts(&self) -> Counts {
        self.sim.counts()
    }

    /// Counts from zero.
    pub fn reset_counts(&self) {
        self.sim.reset_counts();
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

    /// Switches the beta API.
    pub fn set_beta(&self, enabled: bool) {
        self.sim.set_beta(enabled);
    }

    /// Changes how the message bus between server and agents is.
    pub fn set_messaging(&self, messaging: Messaging) {
        self.sim.set_messaging(messaging);
    }

    /// What agents answer to commands and scripts holding a text; the newest wins.
    pub fn set_output(&self, output: Output) {
        self.sim.set_output(output);
    }

    /// Lets the `Date` header be wrong by so many seconds.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.sim.clock.set_skew(seconds);
    }

    /// Grants or takes a right of a user, or of the user behind a key. `is_superuser` counts as a right.
    pub fn set_permission(&self, key_or_user: &str, right: &str, granted: bool) -> Done {
        known(self.sim.access().set_permission(key_or_user, right, granted), "user")
    }

    /// Limits a role to some clients; none means all.
    pub fn set_scope(&self, key_or_user: &str, clients: Vec<u32>) -> Done {
        known(self.sim.access().set_scope(key_or_user, clients), "user")
    }

    /// Blocks or allows a user's login by password.
    pub fn block_login(&self, user: &str, blocked: bool) -> Done {
        known(self.sim.access().block_login(user, blocked), "user")
    }

    /// Ends every token.
    pub fn expire_tokens(&self) {
        self.sim.access().expire_tokens();
    }

    /// Forgets login attempts, so that the throttle starts anew.
    pub fn reset_throttle(&self) {
        self.sim.access().reset_throttle();
    }

    /// Moves time: tokens age, agents that report were seen later, silent ones grow offline and overdue, snoozes
    /// end. Starts outage alerts and ends them, as the real server's background loops would; their webhooks follow.
    pub fn advance(&self, seconds: u64) {
        self.sim.clock.advance(Duration::from_secs(seconds));
        self.look_for_outages();
    }

    /// One round of a living fleet's changes.
    pub fn live(&self) {
        let now = self.sim.clock.fleet_now();
        self.sim.world().fleet.live(now);
        self.look_for_outages();
    }

    /// Renders every cached list now, so that the first reader does not wait.
    pub fn warm(&self) {
        let now = self.sim.clock.fleet_now();
        for client in self.client_ids() {
            let _rendered = self.sim.world().cached_list(client, now, rows::write_list_row);
        }
    }

    /// Changes description and operating system of that share of the agents, another share each time. Tells how
    /// many changed.
    pub fn change_fraction(&self, fraction: f64) -> usize {
        self.sim.world().fleet.change_fraction(fraction)
    }

    /// Numbers of all clients.
    pub fn client_ids(&self) -> Vec<u32> {
        self.sim.world().fleet.clients.keys().copied().collect()
    }

    /// All clients.
    pub fn clients(&self) -> Vec<ClientInfo> {
        let world = self.sim.world();
        let info = |client: &crate::fleet::Client| ClientInfo {
            id: client.id,
            name: client.name.clone(),
            agents: world.fleet.count_of_client(client.id),
        };
        world.fleet.clients.values().map(info).collect()
    }

    /// Ids of a client's agents.
    pub fn agent_ids(&self, client: u32) -> Vec<String> {
        self.sim.world().fleet.of_client(client).map(|machine| machine.id.to_string()).collect()
    }

    /// Agents of a client, or all.
    pub fn agents(&self, client: Option<u32>) -> Vec<AgentInfo> {
        let world = self.sim.world();
        let info = |machine: &Machine| AgentInfo {
            agent_id: machine.id.to_string(),
            id: machine.number,
            hostname: machine.hostname.to_string(),
            client: machine.client,
            answers: machine.answers(),
        };
        let is_wanted = |machine: &&Machine| client.is_none_or(|client| machine.client == client);
        world.fleet.machines.values().filter(is_wanted).map(info).collect()
    }

    /// Moves an agent to the first site of a client.
    pub fn move_agent(&self, agent_id: &str, client: u32) -> Done {
        known(self.sim.world().fleet.move_machine(agent_id, client), "agent or client")
    }

    /// Installs an agent anew: a second row with a new id reports, the old row stays and is silent.
    pub fn reinstall(&self, agent_id: &str) -> Result<String, UnknownId> {
        let now = self.sim.clock.fleet_now();
        self.sim.world().fleet.reinstall(agent_id, now).ok_or(UnknownId("agent"))
    }

    /// Deletes an agent; its alerts go with it.
    pub fn vanish(&self, agent_id: &str) -> Done {
        let mut world = self.sim.world();
        let number = world.fleet.find(agent_id).map(|machine| machine.number).ok_or(UnknownId("agent"))?;
        world.alerts.retain(|_, alert| alert.agent != Some(number));
        known(world.fleet.vanish(agent_id), "agent")
    }

    /// Brings back an agent that vanished, without its alerts.
    pub fn restore(&self, agent_id: &str) -> Done {
        known(self.sim.world().fleet.restore(agent_id), "agent")
    }

    /// From now on the agent is not heard of: it answers nothing at once, and is offline after 4 minutes of
    /// [`Control::advance`].
    pub fn silence(&self, agent_id: &str) -> Done {
        let now = self.sim.clock.fleet_now();
        known(self.sim.world().fleet.silence(agent_id, now), "agent")
    }

    /// From now on the agent reports.
    pub fn wake(&self, agent_id: &str) -> Done {
        known(self.sim.world().fleet.wake(agent_id), "agent")
    }

    /// Changes an agent's host name.
    pub fn rename(&self, agent_id: &str, name: &str) -> Done {
        known(self.sim.world().fleet.edit(agent_id, |machine| machine.hostname = name.into()), "agent")
    }

    /// Changes an agent's description.
    pub fn describe(&self, agent_id: &str, text: Option<&str>) -> Done {
        known(
            self.sim.world().fleet.edit(agent_id, |machine| machine.description = text.map(Into::into)),
            "agent",
        )
    }

    /// Adds a client with one site.
    pub fn add_client(&self, name: &str) -> u32 {
        let mut world = self.sim.world();
        let id = world.fleet.add_client(name);
        world.fleet.add_site(id, "Main Office");
        id
    }

    /// Removes a client with its sites and agents.
    pub fn remove_client(&self, id: u32) -> Done {
        known(self.sim.world().fleet.remove_client(id), "client")
    }

    /// Renames a client.
    pub fn rename_client(&self, id: u32, name: &str) -> Done {
        known(self.sim.world().fleet.rename_client(id, name), "client")
    }

    /// Sites of a client: id and name, by name.
    pub fn sites(&self, client: u32) -> Vec<(u32, String)> {
        let world = self.sim.world();
        world.fleet.sites_of(client).into_iter().map(|site| (site.id, site.name.clone())).collect()
    }

    /// Adds a site to a client and answers its id.
    pub fn add_site(&self, client: u32, name: &str) -> u32 {
        let mut world = self.sim.world();
        let id = world.fleet.add_site(client, name);
        world.fleet.touch(client);
        id
    }

    /// Renames a site.
    pub fn rename_site(&self, id: u32, name: &str) -> Done {
        known(self.sim.world().fleet.rename_site(id, name), "site")
    }

    /// Moves an agent to another site of its client.
    pub fn move_to_site(&self, agent_id: &str, site: u32) -> Done {
        known(self.sim.world().fleet.edit(agent_id, |machine| machine.site = site), "agent")
    }

    /// A check of an agent fails: a new alert, or another run of the open one, which changes nothing. Answers the
    /// alert's id after its webhook was sent, if its template has one.
    pub async fn fail(&self, agent_id: &str, failure: Failure) -> Result<u32, UnknownId> {
        let now = self.sim.clock.event_now();
        let id = {
            let mut world = self.sim.world();
            let machine = world.fleet.find(agent_id).ok_or(UnknownId("agent"))?;
            let (number, host) = (machine.number, machine.hostname.to_string());
            let is_same = |alert: &&Alert| {
                alert.agent == Some(number) && alert.check == Some(failure.check) && !alert.resolved
            };
            if let Some(open) = world.alerts.values().find(is_same) {
                return Ok(open.id);
            }
            let id = alerts::next_id(&world);
            let default = format!("{host} has a script check: Script Check: {} that failed.", failure.check);
            let message = if failure.message.is_empty() { default } else { failure.message.clone() };
            let mut alert = Alert::new(id, Some(number), "check", &failure.severity, &message, now);
            alert.check = Some(failure.check);
            alert.output = Some(failure);
            world.alerts.insert(id, alert);
            id
        };
        self.fire(id, Event::Failed).await;
        Ok(id)
    }

    /// The check behind an alert passes again: resolved, with its webhook.
    pub async fn pass(&self, alert: u32) -> Done {
        let now = self.sim.clock.event_now();
        let found = self.sim.world().alerts.get_mut(&alert).map(|alert| alert.resolve(now)).is_some();
        known(found, "alert")?;
        self.fire(alert, Event::Resolved).await;
        Ok(())
    }

    fn look_for_outages(&self) {
        let now = self.sim.clock.fleet_now();
        let event_now = self.sim.clock.event_now();
        let changes = start_and_end_outages(&mut self.sim.world(), now, event_now);
        for change in changes {
            // Nobody delivers once the server is down, and nobody needs it then.
            let _sent_or_down = self.outbox.send(change);
        }
    }

    /// Sends the webhook of an alert, once, and keeps what came of it in the alert.
    async fn fire(&self, id: u32, event: Event) {
        let now = self.sim.clock.event_now();
        let Some(webhook) = webhook_of(&self.sim.world(), id, event, now) else { return };
        self.sim.count_webhook();
        let delivered = delivery::send(&webhook).await;
        let run = ActionRun { at: now, retcode: delivered.status, stdout: delivered.text };
        if let Some(alert) = self.sim.world().alerts.get_mut(&id) {
            match event {
                Event::Failed => alert.action = Some(run),
                Event::Resolved => alert.resolved_action = Some(run),
            }
        }
    }
}

/// What a webhook tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Failed,
    Resolved,
}

/// Starts an outage alert for each overdue agent that somebody watches, ends it for those that are back, and wakes
/// snoozed alerts whose time has come.
fn start_and_end_outages(world: &mut World, now: i64, event_now: i64) -> Vec<(u32, Event)> {
    for alert in world.alerts.values_mut() {
        alert.wake_if_due(event_now);
    }
    let mut open: HashMap<u32, u32> = HashMap::new();
    for alert in world.alerts.values().filter(|alert| alert.kind == "availability" && !alert.resolved) {
        open.extend(alert.agent.map(|number| (number, alert.id)));
    }
    let mut started = Vec::new();
    let mut ended = Vec::new();
    for machine in world.fleet.machines.values() {
        let alert = open.get(&machine.number);
        match (rows::status(machine, now), alert) {
            ("overdue", None) => {
                let is_always = world.template_of(machine).is_some_and(|t| t["agent_always_alert"] == true);
                if (machine.overdue_alert || is_always) && !machine.maintenance {
                    started.push((machine.number, alerts::overdue_message(&world.fleet, machine)));
                }
            }
            ("online", Some(alert)) => ended.push(*alert),
            (_, _) => {}
        }
    }
    let mut changes = Vec::new();
    for (number, message) in started {
        let id = alerts::next_id(world);
        world.alerts.insert(id, Alert::new(id, Some(number), "availability", "error", &message, event_now));
        changes.push((id, Event::Failed));
    }
    for id in ended {
        if let Some(alert) = world.alerts.get_mut(&id) {
            alert.resolve(event_now);
            changes.push((id, Event::Resolved));
        }
    }
    changes
}

/// The webhook an alert has to send now, if its template says so: failure and recovery are sent once each; info
/// alerts send none by default; a machine in maintenance sends none.
fn webhook_of(world: &World, id: u32, event: Event, now: i64) -> Option<Webhook> {
    let alert = world.alerts.get(&id)?;
    let machine = world.fleet.machines.get(&alert.agent?)?;
    let template = world.template_of(machine)?;
    let (kind, rest, done) = match event {
        Event::Failed => ("action_type", "action_rest", &alert.action),
        Event::Resolved => ("resolved_action_type", "resolved_action_rest", &alert.resolved_action),
    };
    let actions = if alert.kind == "availability" { "agent_script_actions" } else { "check_script_actions" };
    let is_wanted = template["is_active"] == true
        && template[kind] == "rest"
        && template[actions] == true
        && alert.severity != "info"
        && !machine.maintenance
        && done.is_none();
    let action = world.url_actions.get(&u32::try_from(template[rest].as_u64()?).ok()?)?;
    let scope = Scope { world, instance: Instance::Agent(machine), alert: Some(alert), now };
    is_wanted.then(|| webhook(scope, action))
}
