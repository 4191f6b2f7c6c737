//! The database as one tenant sees it.
//!
//! On PostgreSQL every statement runs in a transaction that begins by saying whose it is, in the same exchange with the
//! server; row-level security then hides all other rows. The setting ends with the transaction, so a pooled connection
//! never keeps a tenant. A read is not committed: its transaction is rolled back while the connection goes back to the
//! pool, and nobody waits for that. On SQLite all of it is the plain database.

use domain::id::TenantId;

use super::{Db, Engine, Length, Pools, Read, Reading, Row, Text, Tx, TxInner, Value, begin_postgres};
use crate::error::{Result, StoreError};

/// Connections that see the rows of one tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TenantDb<'s> {
    db: &'s Db,
    tenant: TenantId,
}

impl<'s> TenantDb<'s> {
    pub(crate) fn new(db: &'s Db, tenant: TenantId) -> TenantDb<'s> {
        TenantDb { db, tenant }
    }

    /// Starts a transaction of this tenant that may write. On SQLite it takes its turn on the one write connection.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        match &self.db.pools {
            Pools::Sqlite { .. } => self.db.begin().await,
            Pools::Postgres(pool) => {
                let inner = TxInner::Postgres(begin_postgres(pool, self.words("BEGIN")).await?);
                Ok(self.db.transaction(inner))
            }
        }
    }

    /// For several reads: on PostgreSQL they share the transaction, and its cost.
    pub(crate) async fn read(&self) -> Result<Reads<'s>> {
        match &self.db.pools {
            Pools::Sqlite { .. } => Ok(Reads::Plain(self.db)),
            Pools::Postgres(pool) => {
                let inner = TxInner::Postgres(begin_postgres(pool, self.words("BEGIN READ ONLY")).await?);
                Ok(Reads::Tx(self.db.transaction(inner)))
            }
        }
    }

    /// Several short reads of one state of the database.
    pub(crate) async fn reading<T: Send + 'static>(&self, work: impl Read<T>) -> Result<T> {
        self.reading_for(Length::Short, work).await
    }

    /// Several reads of one state of the database.
    pub(crate) async fn reading_for<T: Send + 'static>(
        &self,
        length: Length,
        work: impl Read<T>,
    ) -> Result<T> {
        match self.read().await? {
            Reads::Plain(db) => db.reading_for(length, work).await,
            Reads::Tx(tx) => work(&mut Reading::of_transaction(tx)).await,
        }
    }

    fn words(&self, begin: &str) -> String {
        format!("{begin}; SET LOCAL fleetgate.tenant = '{}'", self.tenant.0)
    }

    /// All rows of a read.
    pub(crate) async fn all<T: Row>(&self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<Vec<T>> {
        self.read().await?.all(text, args).await
    }

    /// The first row of a read, if there is one.
    pub(crate) async fn maybe<T: Row>(
        &self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Option<T>> {
        self.read().await?.maybe(text, args).await
    }

    /// The one row of a read; [`StoreError::NotFound`] if there is none.
    pub(crate) async fn one<T: Row>(&self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<T> {
        self.read().await?.one(text, args).await
    }

    /// One write that stands for itself, as [`Db::write`].
    pub(crate) async fn write(&self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<u64> {
        if self.db.engine() == Engine::Sqlite {
            return self.db.write(text, args).await;
        }
        let mut tx = self.begin().await?;
        let rows = tx.run(text, args).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

/// Several reads of one tenant.
pub(crate) enum Reads<'s> {
    /// SQLite: each for itself.
    Plain(&'s Db),
    /// PostgreSQL: in one transaction that cannot write.
    Tx(Tx),
}

impl Reads<'_> {
    /// All rows of a read.
    pub(crate) async fn all<T: Row>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Vec<T>> {
        match self {
            Reads::Plain(db) => db.all(text, args).await,
            Reads::Tx(tx) => tx.all(text, args).await,
        }
    }

    /// The first row of a read, if there is one.
    pub(crate) async fn maybe<T: Row>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Option<T>> {
        match self {
            Reads::Plain(db) => db.maybe(text, args).await,
            Reads::Tx(tx) => tx.maybe(text, args).await,
        }
    }

    /// The one row of a read; [`StoreError::NotFound`] if there is none.
    pub(crate) async fn one<T: Row>(&mut self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<T> {
        self.maybe(text, args).await?.ok_or(StoreError::NotFound)
    }
}
