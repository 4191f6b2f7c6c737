//! The sealer: gives committed rows their place in the chain.

use serde::Serialize;

use super::{Audit, chain};
use crate::{
    db::{Engine, args},
    error::Result,
    event::to_json,
    sql::statements,
};

/// Most rows that one call seals.
pub const MOST_AT_ONCE: usize = 1_000;

#[derive(Serialize)]
struct Sealed<'a> {
    id: &'a str,
    seq: i64,
    previous: String,
    hash: String,
}

impl Audit<'_> {
    /// Seals rows that wait, the oldest first; answers how many. One sealer at a time for each tenant: where another node
    /// is at it, this one leaves it alone. Where nothing waits it only reads.
    pub async fn seal(&self) -> Result<usize> {
        let tenant = self.0.id;
        let db = self.0.db();
        if db.maybe::<(i64,)>(&ANY_WAITS, args![tenant]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = db.begin().await?;
        if tx.engine() == Engine::Postgres && tx.maybe::<(i64,)>(&TRY_LOCK, args![tenant]).await?.is_none() {
            return Ok(0);
        }
        let head: Option<(i64, String)> = tx.maybe(&HEAD, args![tenant]).await?;
        let (mut seq, mut previous) = head.unwrap_or((0, chain::START.to_owned()));
        let waiting: Vec<(String, String)> = tx.all(&WAITING, args![tenant, MOST_AT_ONCE]).await?;
        let mut sealed = Vec::with_capacity(waiting.len());
        for (id, mac) in &waiting {
            seq += 1;
            let hash = chain::link(&previous, seq, mac);
            sealed.push(Sealed { id, seq, previous: std::mem::replace(&mut previous, hash.clone()), hash });
        }
        tx.run(&SEAL, args![to_json(&sealed)?, tenant]).await?;
        tx.commit().await?;
        Ok(waiting.len())
    }
}

statements! {
    ANY_WAITS = ["SELECT CAST(1 AS BIGINT) FROM audit_log WHERE tenant_id = $1 AND seq IS NULL LIMIT 1"];
    // The lock goes with the transaction, also with that of a node that dies.
    TRY_LOCK = [{engine
        "SELECT $1"
        "SELECT CAST(1 AS BIGINT) WHERE pg_try_advisory_xact_lock(4713, CAST($1 AS INT))"}];
    HEAD = [
        "SELECT seq, hash FROM audit_log WHERE tenant_id = $1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1"
    ];
    WAITING = ["SELECT id, mac FROM audit_log WHERE tenant_id = $1 AND seq IS NULL ORDER BY id LIMIT $2"];
    SEAL = [
        "UPDATE audit_log AS t SET seq = r.seq, previous = r.previous, hash = r.hash FROM ",
        {rows "$1" id text, seq bigint, previous text, hash text},
        " AS r WHERE t.tenant_id = $2 + r._z AND t.id = r.id AND t.seq IS NULL"
    ];
}
