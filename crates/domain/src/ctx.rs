//! Who asks, for which tenant, when.

use crate::{
    auth::{Permission, Permissions},
    id::{TenantId, TokenId, UserId},
    scope::ClientScope,
    time::Time,
};

/// What kind of party acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A person in a browser or with the command line.
    Person,
    /// A program with a `user` token.
    Script,
    /// An AI agent.
    Agent,
    /// Someone at the server's own console.
    Operator,
    /// Fleetgate itself: schedules and jobs.
    System,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [ActorKind; 5] =
        [ActorKind::Person, ActorKind::Script, ActorKind::Agent, ActorKind::Operator, ActorKind::System];

    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            ActorKind::Person => "person",
            ActorKind::Script => "script",
            ActorKind::Agent => "agent",
            ActorKind::Operator => "operator",
            ActorKind::System => "system",
        }
    }

    /// The kind of this public name.
    pub fn from_name(name: &str) -> Option<ActorKind> {
        ActorKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The party that acts, with its rights at this moment.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its kind.
    pub kind: ActorKind,
    /// The person, or the person a script or agent acts for.
    pub user: Option<UserId>,
    /// The token used, if one was.
    pub token: Option<TokenId>,
    /// What people call it: an e-mail address or `system`.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// Whose data of the tenant it may see.
    pub clients: ClientScope,
}

impl Actor {
    /// Fleetgate itself, with every right: schedules and jobs were authorised when they were set up.
    pub fn system() -> Actor {
        Actor {
            kind: ActorKind::System,
            user: None,
            token: None,
            name: "system".to_owned(),
            permissions: Permissions::all(),
            clients: ClientScope::All,
        }
    }
}

/// The context of one request or job: every service method takes it first.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// Whose data.
    pub tenant: TenantId,
    /// Who asks.
    pub actor: Actor,
    /// Names the request in logs and error answers.
    pub request_id: String,
    /// The time of the request. Rules use this and never a clock.
    pub now: Time,
}

impl Ctx {
    /// Refuses with the permission's name unless the actor holds it.
    pub fn require(&self, permission: Permission) -> Result<(), MissingPermission> {
        if self.actor.permissions.has(permission) { Ok(()) } else { Err(MissingPermission(permission)) }
    }

    /// The clients the actor may see.
    pub fn clients(&self) -> &ClientScope {
        &self.actor.clients
    }

    /// Refuses who may see only some clients: for what concerns the tenant as a whole.
    pub fn require_all_clients(&self) -> Result<(), LimitedToClients> {
        if self.clients().is_all() { Ok(()) } else { Err(LimitedToClients) }
    }

    /// The same context at a later time, for long jobs.
    #[must_use]
    pub fn at(&self, now: Time) -> Ctx {
        Ctx { now, ..self.clone() }
    }
}

/// The actor lacks this permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs the permission `{}`", .0.name())]
pub struct MissingPermission(pub Permission);

/// The actor may see only some clients, and this concerns more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this concerns more clients than you may see; ask somebody who may see them all")]
pub struct LimitedToClients;
