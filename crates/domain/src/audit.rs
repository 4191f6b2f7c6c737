//! The audit log: who did what, to whom, and what came of it.

use serde_json::Value;

use crate::{
    Time,
    ctx::ActorKind,
    id::{AuditId, TokenId, UserId},
};

/// What came of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 2] = [Outcome::Done, Outcome::Refused];

    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
        }
    }

    /// The outcome of this name.
    pub fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// One act on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// Its place in the tenant's chain, from 1; none until it is sealed, which takes a second.
    pub seq: Option<i64>,
    /// When.
    pub at: Time,
    /// What kind of party acted.
    pub actor_kind: ActorKind,
    /// What people call it.
    pub actor_name: String,
    /// The person, or the person on whose behalf a token acted.
    pub user: Option<UserId>,
    /// The token, if one was used.
    pub token: Option<TokenId>,
    /// The request, as in logs and error answers.
    pub request_id: String,
    /// What was done: `client.rename`.
    pub act: String,
    /// To whom: an id with its prefix.
    pub target: Option<String>,
    /// What people call the target.
    pub target_name: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Which rule decided, where one did.
    pub rule: Option<String>,
    /// With what: secrets are named and not shown, long texts are cut.
    pub arguments: Value,
    /// Keyed digest of the arguments as they were, secrets included, in hexadecimal: two acts with the same
    /// arguments have the same one, and without the key nothing can be guessed from it.
    pub arguments_digest: String,
}

/// Which acts. What is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Part of the name of the act from its beginning: `client.` or `client.rename`.
    pub act: Option<String>,
    /// The target's id, with its prefix.
    pub target: Option<String>,
    /// The person who acted, or on whose behalf.
    pub user: Option<UserId>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Not before.
    pub from: Option<Time>,
    /// Before this time.
    pub until: Option<Time>,
}
