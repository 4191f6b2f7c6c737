//! Who works on a PostgreSQL database: servers share it, `migrate`, `restore` and `db copy` want it for themselves.
//!
//! A lock of the database's own, held by a connection of its own, so that it ends with the process. On SQLite the lock
//! on the data folder does the same, and this module has nothing to do.

use std::{str::FromStr, time::Duration};

use sqlx::{Connection, PgConnection, Postgres, postgres::PgConnectOptions};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tracing::warn;

use crate::{Location, StoreError, db::Db, error::Result, spawn, sql::statements};

/// How long a server waits at its start for somebody who works alone: migrations are short.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a command waits: a process that just ended may hold its lock for another moment.
const GRACE: Duration = Duration::from_secs(1);

/// Between two tries for the lock.
const RETRY: Duration = Duration::from_millis(250);

/// Between two looks whether the connection that holds the lock is alive.
const LOOK: Duration = Duration::from_secs(20);

/// The database is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// A server is at work, or another command that wants it alone.
    #[error("a Fleetgate server, or another command that needs the database for itself, is at work on it")]
    InUse,
    /// Somebody still works alone.
    #[error("`migrate`, `restore` or `db copy` is at work on this database")]
    Closed,
    /// Somebody rotates keys.
    #[error("another `keys rotate` is at work on this database")]
    Rotating,
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A server's presence, until it is dropped. A connection that dies is replaced.
#[derive(Debug)]
pub struct Presence(JoinHandle<()>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The database, or the right to rotate keys, for ourselves until it is dropped.
#[derive(Debug)]
pub struct Alone {
    _connection: PgConnection,
}

/// Announces a server. None on SQLite.
pub async fn share(location: &Location) -> std::result::Result<Option<Presence>, PresenceError> {
    let Location::Server(url) = location else { return Ok(None) };
    match lock_within(PATIENCE, url, SHARE.postgres).await? {
        Some(connection) => Ok(Some(Presence(spawn::start(keep(connection, url.clone()))))),
        None => Err(PresenceError::Closed),
    }
}

/// Takes the database for ourselves, if nobody works on it. None on SQLite.
pub async fn alone(location: &Location) -> std::result::Result<Option<Alone>, PresenceError> {
    let Location::Server(url) = location else { return Ok(None) };
    match lock_within(GRACE, url, ALONE.postgres).await? {
        Some(connection) => Ok(Some(Alone { _connection: connection })),
        None => Err(PresenceError::InUse),
    }
}

/// Takes the right to rotate keys, if nobody does it. None on SQLite. Servers and other commands go on beside it.
pub async fn rotate(location: &Location) -> std::result::Result<Option<Alone>, PresenceError> {
    let Location::Server(url) = location else { return Ok(None) };
    match lock_within(GRACE, url, ROTATE.postgres).await? {
        Some(connection) => Ok(Some(Alone { _connection: connection })),
        None => Err(PresenceError::Rotating),
    }
}

async fn lock_within(patience: Duration, url: &str, text: &'static str) -> Result<Option<PgConnection>> {
    let deadline = Instant::now() + patience;
    // Tries the address first as the pool would, for the sake of the sentences.
    Db::open(&Location::Server(url.to_owned())).await?.close().await;
    let mut connection = connect(url).await?;
    while !lock(&mut connection, text).await? {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(RETRY).await;
    }
    Ok(Some(connection))
}

/// Keeps the lock: where the connection died, as after a restart of PostgreSQL, a new one takes it again.
async fn keep(mut connection: PgConnection, url: String) {
    loop {
        sleep(LOOK).await;
        if connection.ping().await.is_ok() {
            continue;
        }
        match again(&url).await {
            Ok(Some(new)) => connection = new,
            Ok(None) => warn!(
                "another command has the database for itself; this server goes on trying to announce itself"
            ),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the database cannot be told that this server is at work; it is tried again"
            ),
        }
    }
}

async fn again(url: &str) -> Result<Option<PgConnection>> {
    let mut connection = connect(url).await?;
    Ok(lock(&mut connection, SHARE.postgres).await?.then_some(connection))
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::BadAddress)?;
    let mut connection = PgConnection::connect_with(&options.application_name("fleetgate presence")).await?;
    sqlx::query::<Postgres>(NOTICE_DEATH.postgres).execute(&mut connection).await?;
    Ok(connection)
}

async fn lock(connection: &mut PgConnection, text: &'static str) -> Result<bool> {
    Ok(sqlx::query_scalar::<Postgres, bool>(text).fetch_one(connection).await?)
}

statements! {
    // A machine that lost its power says no goodbye: PostgreSQL asks within a minute, instead of after two hours.
    NOTICE_DEATH = [{engine "SELECT 1"
        "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
            set_config('tcp_keepalives_count', '3', false)"
    }];
    SHARE = [{engine "SELECT TRUE" "SELECT pg_try_advisory_lock_shared(471104711)"}];
    ALONE = [{engine "SELECT TRUE" "SELECT pg_try_advisory_lock(471104711)"}];
    // Not the lock of `secret`, which single transactions take.
    ROTATE = [{engine "SELECT TRUE" "SELECT pg_try_advisory_lock(471104713)"}];
}

#[cfg(test)]
mod tests {
    mod postgres {
        use super::super::{PresenceError, alone, share};
        use crate::testing;

        #[tokio::test]
        async fn servers_share_and_commands_want_it_alone() {
            let test = testing::postgres().await;
            let one = share(&test.location).await.unwrap().unwrap();
            let other = share(&test.location).await.unwrap().unwrap();
            assert!(matches!(alone(&test.location).await, Err(PresenceError::InUse)));
            drop(one);
            assert!(matches!(alone(&test.location).await, Err(PresenceError::InUse)));
            drop(other);
            let held = until_alone(&test.location).await;
            assert!(matches!(alone(&test.location).await, Err(PresenceError::InUse)));
            drop(held);
            until_alone(&test.location).await;
        }

        /// Tried for longer than a command does: the machine may be busy.
        async fn until_alone(location: &crate::Location) -> super::super::Alone {
            for _ in 0..20 {
                if let Ok(Some(held)) = alone(location).await {
                    return held;
                }
            }
            panic!("the lock is not given back")
        }
    }
}
