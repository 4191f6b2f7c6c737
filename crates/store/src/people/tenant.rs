//! The tenants of the installation. The first is made with it, more at the console.

use domain::{ActorKind, Time, client::name_key, id::TenantId, scope::ClientScope};

use crate::{
    Store, Tenant,
    audit::{Act, By},
    db::args,
    error::{Result, StoreError},
    sql::statements,
};

/// An MSP in this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantInfo {
    /// Its number.
    pub id: TenantId,
    /// What operators call it.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
}

impl Store {
    /// All tenants, in the order in which they were made.
    pub async fn list_tenants(&self) -> Result<Vec<TenantInfo>> {
        let rows: Vec<TenantRow> = self.before_tenant().all(&LIST, args![]).await?;
        Ok(rows.into_iter().map(TenantInfo::from).collect())
    }

    /// Makes a tenant, with nobody in it yet. [`StoreError::Conflict`] `tenant_name` if there is one of this name.
    pub async fn create_tenant(&self, name: &str, now: Time) -> Result<TenantInfo> {
        let mut tx = self.before_tenant().begin().await?;
        tx.one::<(i64,)>(&LOCK, args![]).await?;
        let rows: Vec<TenantRow> = tx.all(&LIST, args![]).await?;
        let key = name_key(name);
        if rows.iter().any(|row| name_key(&row.name) == key) {
            return Err(StoreError::Conflict { what: "tenant_name" });
        }
        let id = TenantId(rows.iter().map(|row| row.id).max().unwrap_or(0) + 1);
        tx.run(&INSERT, args![id, name, now]).await?;
        tx.enter(id).await?;
        let by = By { kind: ActorKind::Operator, ..By::system() };
        let actor = ActorKind::Operator.name().to_owned();
        let tenant = Tenant { store: self, id, now, actor, by, clients: ClientScope::All };
        tenant.record(&mut tx, Act::new("tenant.create").to(id).named(name)).await?;
        tx.commit().await?;
        Ok(TenantInfo { id, name: name.to_owned(), created_at: now })
    }
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    id: i64,
    name: String,
    created_at: i64,
}

impl From<TenantRow> for TenantInfo {
    fn from(row: TenantRow) -> Self {
        TenantInfo { id: TenantId(row.id), name: row.name, created_at: Time(row.created_at) }
    }
}

statements! {
    LIST = ["SELECT id, name, created_at FROM tenants ORDER BY id"];
    // Two that are made at once must not get one number.
    LOCK = ["SELECT id FROM installation WHERE id = 1" {engine "" " FOR UPDATE"}];
    INSERT = ["INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)"];
}
