//! The audit log: one row for each target of an act, written in the transaction of the act.
//!
//! Each row carries an HMAC of its content under a key of the tenant that is kept like any other secret, so that nobody
//! with the database alone can write or change one. A row gets its place in the tenant's chain within a second
//! ([`Audit::seal`]), apart from the act: chaining in the act would let writers wait for each other. What shows that the
//! end of the chain was cut, or all of it written anew by somebody who has the keys, are checkpoints that lie elsewhere
//! ([`checkpoint`]).

pub mod checkpoint;
pub mod verify;

mod chain;
mod key;
mod read;
mod seal;

use domain::{
    ActorKind,
    audit::Outcome,
    id::{AuditId, TokenId, TypedId, UserId},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

pub(crate) use key::Keys;
pub use seal::MOST_AT_ONCE;

use crate::{
    Tenant, Tx,
    db::args,
    error::{Result, StoreError},
    new_id,
    sql::statements,
};

/// Longest text of an argument that is kept.
const MAX_TEXT_CHARS: usize = 500;

/// Most items of a list that are kept.
const MAX_ITEMS: usize = 100;

/// The audit log of one tenant.
pub struct Audit<'a>(pub(crate) &'a Tenant<'a>);

/// Who acts, besides the name.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) kind: ActorKind,
    pub(crate) user: Option<UserId>,
    pub(crate) token: Option<TokenId>,
    pub(crate) request_id: String,
}

impl By {
    /// Fleetgate itself.
    pub(crate) fn system() -> By {
        By { kind: ActorKind::System, user: None, token: None, request_id: String::new() }
    }
}

/// What is done to one target.
#[derive(Clone, Debug)]
pub struct Act {
    name: &'static str,
    target: Option<String>,
    target_name: Option<String>,
    outcome: Outcome,
    rule: Option<&'static str>,
    arguments: Map<String, Value>,
    /// The same with the values of secrets, for the digest alone.
    full: Map<String, Value>,
}

impl Act {
    /// An act that was done, by its name `thing.verb`.
    pub fn new(name: &'static str) -> Act {
        Act {
            name,
            target: None,
            target_name: None,
            outcome: Outcome::Done,
            rule: None,
            arguments: Map::new(),
            full: Map::new(),
        }
    }

    /// To whom: an id with its prefix.
    #[must_use]
    pub fn to(mut self, target: impl ToString) -> Act {
        self.target = Some(target.to_string());
        self
    }

    /// What people call the target.
    #[must_use]
    pub fn named(mut self, name: &str) -> Act {
        self.target_name = Some(cut(name));
        self
    }

    /// It was not allowed, by this rule.
    #[must_use]
    pub fn refused(mut self, rule: &'static str) -> Act {
        (self.outcome, self.rule) = (Outcome::Refused, Some(rule));
        self
    }

    /// With this argument; null is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Act {
        let value = value.into();
        if !value.is_null() {
            self.arguments.insert(name.to_owned(), redacted(&value));
            self.full.insert(name.to_owned(), value);
        }
        self
    }

    /// With this secret: that it was given is told, not what it is.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &SecretString) -> Act {
        self.arguments.insert(name.to_owned(), json!("(secret)"));
        self.full.insert(name.to_owned(), json!(value.expose_secret()));
        self
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The value within its limits: texts and lists are cut.
fn redacted(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Array(items) => {
            let mut kept: Vec<Value> = items.iter().take(MAX_ITEMS).map(redacted).collect();
            if items.len() > MAX_ITEMS {
                kept.push(json!(format!("… {} more", items.len() - MAX_ITEMS)));
            }
            Value::Array(kept)
        }
        Value::Object(fields) => fields
            .iter()
            .take(MAX_ITEMS)
            .map(|(name, value)| (cut(name), redacted(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

impl Tenant<'_> {
    /// The tenant's audit log.
    pub fn audit(&self) -> Audit<'_> {
        Audit(self)
    }

    /// Writes what is done, in the transaction that does it: both are there, or neither is.
    pub(crate) async fn record(&self, tx: &mut Tx, act: Act) -> Result<()> {
        let key = key::of(self, tx).await?;
        let text = |map: Map<String, Value>| Value::Object(map).to_string();
        let row = chain::Row {
            id: new_id::<AuditId>(self.now).to_db(),
            at: self.now.0,
            actor_kind: self.by.kind.name().to_owned(),
            actor_name: self.actor.clone(),
            user_id: self.by.user.map(TypedId::to_db),
            token_id: self.by.token.map(TypedId::to_db),
            request_id: self.by.request_id.clone(),
            act: act.name.to_owned(),
            target: act.target,
            target_name: act.target_name,
            outcome: act.outcome.name().to_owned(),
            rule: act.rule.map(str::to_owned),
            arguments: text(act.arguments),
            arguments_digest: key.digest(&text(act.full)),
        };
        let mac = key.mac(self.id, &row);
        let columns = args![
            self.id,
            row.id,
            row.at,
            row.actor_kind,
            row.actor_name,
            row.user_id,
            row.token_id,
            row.request_id,
            row.act,
            row.target,
            row.target_name,
            row.outcome,
            row.rule,
            row.arguments,
            row.arguments_digest,
            mac
        ];
        tx.run(&INSERT, columns).await.map(drop)
    }
}

impl Audit<'_> {
    /// Writes an act that changes nothing else, as a sign-in that was refused.
    pub async fn note(&self, act: Act) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        self.0.record(&mut tx, act).await?;
        tx.commit().await
    }
}

pub(super) fn corrupt() -> StoreError {
    StoreError::Corrupt { what: "audit log" }
}

statements! {
    INSERT = [
        "INSERT INTO audit_log (tenant_id, id, at, actor_kind, actor_name, user_id, token_id, request_id, act, target,
            target_name, outcome, rule, arguments, arguments_digest, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    ];
}

/// The statements of all modules of this one.
pub(crate) fn statements() -> Vec<(&'static str, &'static crate::sql::Sql)> {
    [ALL, checkpoint::ALL, key::ALL, seal::ALL, verify::ALL].concat()
}

#[cfg(test)]
mod tests;
