//! The accounts of requests that RMMs take: rows of `rmm_rate_budgets`, each changed under its lock by one node at a time.
//! How an account works is in [`domain::budget`].

use domain::{
    Time,
    budget::Account,
    id::{IntegrationId, TypedId},
};
use sqlx::FromRow;

use crate::{
    Tenant,
    db::{Tx, args},
    error::{Result, StoreError},
    event::to_json,
    sql::statements,
};

/// The accounts of one tenant.
pub struct Budgets<'a>(pub(crate) &'a Tenant<'a>);

/// Whose clock an account goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The database's: nodes whose clocks differ still agree.
    OfDatabase,
    /// This one: for tests.
    At(Time),
}

impl Budgets<'_> {
    /// Changes the account of an integration in one short transaction, with nobody else at it. `change` gets the time.
    pub async fn change<T>(
        &self,
        integration: IntegrationId,
        moment: Moment,
        change: impl FnOnce(&mut Account, Time) -> T,
    ) -> Result<T> {
        let id = integration.to_db();
        let mut tx = self.0.whole()?.begin().await?;
        let kept = self.locked(&mut tx, &id).await?;
        let mut account = read(&kept)?;
        // Not before the lock is ours: whoever waited for it would else go by an old time.
        let now = match moment {
            Moment::At(now) => now,
            Moment::OfDatabase => Time(tx.one::<NowRow>(&NOW, args![]).await?.now_ms),
        };
        let answer = change(&mut account, now);
        let changed = to_json(&account)?;
        if changed != kept {
            tx.run(&SAVE, args![self.0.id, id, changed]).await?;
        }
        tx.commit().await?;
        Ok(answer)
    }

    /// All accounts of the tenant that were ever used.
    pub async fn list(&self) -> Result<Vec<(IntegrationId, Account)>> {
        let rows: Vec<BudgetRow> = self.0.whole()?.all(&LIST, args![self.0.id]).await?;
        rows.into_iter().map(BudgetRow::into_account).collect()
    }

    /// The account of one integration; none if it was never used.
    pub async fn find(&self, integration: IntegrationId) -> Result<Option<Account>> {
        let row: Option<BudgetRow> =
            self.0.whole()?.maybe(&FIND, args![self.0.id, integration.to_db()]).await?;
        Ok(row.map(BudgetRow::into_account).transpose()?.map(|(_, account)| account))
    }

    async fn locked(&self, tx: &mut Tx, id: &str) -> Result<String> {
        if let Some(row) = tx.maybe::<BudgetRow>(&LOCK, args![self.0.id, id]).await? {
            return Ok(row.account);
        }
        tx.run(&OPEN, args![self.0.id, id]).await?;
        Ok(tx.one::<BudgetRow>(&LOCK, args![self.0.id, id]).await?.account)
    }
}

#[derive(FromRow)]
struct BudgetRow {
    integration_id: String,
    account: String,
}

#[derive(FromRow)]
struct NowRow {
    now_ms: i64,
}

impl BudgetRow {
    fn into_account(self) -> Result<(IntegrationId, Account)> {
        let id = IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?;
        Ok((id, read(&self.account)?))
    }
}

fn read(json: &str) -> Result<Account> {
    serde_json::from_str(json).map_err(|_| corrupt())
}

fn corrupt() -> StoreError {
    StoreError::Corrupt { what: "account of requests" }
}

statements! {
    LIST = ["SELECT integration_id, account FROM rmm_rate_budgets WHERE tenant_id = $1"];
    FIND = ["SELECT integration_id, account FROM rmm_rate_budgets WHERE tenant_id = $1 AND integration_id = $2"];
    LOCK = [
        "SELECT integration_id, account FROM rmm_rate_budgets WHERE tenant_id = $1 AND integration_id = $2"
        {engine "" " FOR UPDATE"}
    ];
    OPEN = [
        "INSERT INTO rmm_rate_budgets (tenant_id, integration_id, account) VALUES ($1, $2, '{}') ON CONFLICT DO NOTHING"
    ];
    NOW = [{engine
        "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now_ms"
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms"}
    ];
    SAVE = ["UPDATE rmm_rate_budgets SET account = $3 WHERE tenant_id = $1 AND integration_id = $2"];
}

#[cfg(test)]
mod tests;
