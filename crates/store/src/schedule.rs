//! When what recurs is due next. Firing is a compare-and-set, so that of two nodes only one fires.

use domain::{
    Time,
    id::{JobId, TenantId},
};

use crate::{
    Store, Tenant, Tx,
    db::args,
    error::Result,
    job::{self, NewJob},
    sql::statements,
};

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub tenant: TenantId,
    /// The integration, in the database form.
    pub owner_id: String,
    /// What recurs.
    pub kind: String,
    /// When it was due.
    pub next_at: Time,
}

/// What [`Store::fire`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The job is queued.
    Queued(JobId),
    /// An earlier job of the same key still waits; the schedule moved on.
    Waiting,
    /// Someone else fired or changed the schedule first: nothing was done.
    Lost,
}

/// The schedules of one tenant.
#[derive(Clone)]
pub struct Schedules<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The tenant's schedules.
    pub fn schedules(&self) -> Schedules<'s> {
        Schedules { tenant: self.clone() }
    }
}

impl Schedules<'_> {
    /// Sets when `kind` of `owner_id` is due next.
    pub async fn set(&self, owner_id: &str, kind: &str, next_at: Time) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        self.set_in(&mut tx, owner_id, kind, next_at).await?;
        tx.commit().await
    }

    /// The same in the transaction that writes the owner.
    pub(crate) async fn set_in(&self, tx: &mut Tx, owner_id: &str, kind: &str, next_at: Time) -> Result<()> {
        tx.run(&SET, args![self.tenant.id, owner_id, kind, next_at]).await?;
        Ok(())
    }

    /// What is set for `owner_id`: kind and next time.
    pub async fn list(&self, owner_id: &str) -> Result<Vec<(String, Time)>> {
        let rows: Vec<(String, i64)> = self.tenant.db().all(&LIST, args![self.tenant.id, owner_id]).await?;
        Ok(rows.into_iter().map(|(kind, next_at)| (kind, Time(next_at))).collect())
    }

    /// Forgets all schedules of `owner_id`.
    pub(crate) async fn remove_all(&self, tx: &mut Tx, owner_id: &str) -> Result<()> {
        tx.run(&REMOVE_ALL, args![self.tenant.id, owner_id]).await?;
        Ok(())
    }
}

impl Store {
    /// What is due in all tenants, the longest due first.
    pub async fn due_schedules(&self, now: Time, limit: usize) -> Result<Vec<Due>> {
        let rows: Vec<(i64, String, String, i64)> = self.before_tenant().all(&DUE, args![now, limit]).await?;
        let due = |(tenant, owner_id, kind, next_at)| Due {
            tenant: TenantId(tenant),
            owner_id,
            kind,
            next_at: Time(next_at),
        };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Moves a schedule on; `false` if someone else did, or changed it, since `due` was read.
    pub async fn advance_schedule(&self, due: &Due, next_at: Time) -> Result<bool> {
        let mut tx = self.before_tenant().begin().await?;
        let advanced = advance(&mut tx, due, next_at).await?;
        tx.commit().await?;
        Ok(advanced)
    }

    /// Moves a schedule on and queues its job in one transaction, so that no turn is lost or taken twice.
    pub async fn fire(&self, due: &Due, next_at: Time, new_job: &NewJob<'_>, now: Time) -> Result<Fired> {
        let mut tx = self.before_tenant().begin().await?;
        if !advance(&mut tx, due, next_at).await? {
            return Ok(Fired::Lost);
        }
        let queued = job::enqueue(&mut tx, new_job, now).await?;
        tx.commit().await?;
        self.wake();
        Ok(queued.map_or(Fired::Waiting, Fired::Queued))
    }
}

async fn advance(tx: &mut Tx, due: &Due, next_at: Time) -> Result<bool> {
    let args = args![due.tenant, due.owner_id.as_str(), due.kind.as_str(), due.next_at, next_at];
    Ok(tx.run(&ADVANCE, args).await? == 1)
}

statements! {
    SET = [
        "INSERT INTO schedules (tenant_id, owner_id, kind, next_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id, owner_id, kind) DO UPDATE SET next_at = excluded.next_at"
    ];
    LIST = ["SELECT kind, next_at FROM schedules WHERE tenant_id = $1 AND owner_id = $2 ORDER BY kind"];
    REMOVE_ALL = ["DELETE FROM schedules WHERE tenant_id = $1 AND owner_id = $2"];
    DUE = [
        "SELECT tenant_id, owner_id, kind, next_at FROM schedules WHERE next_at <= $1
         ORDER BY next_at, tenant_id, owner_id, kind LIMIT $2"
    ];
    ADVANCE = [
        "UPDATE schedules SET next_at = $5
         WHERE tenant_id = $1 AND owner_id = $2 AND kind = $3 AND next_at = $4"
    ];
}

#[cfg(test)]
mod tests;
