//! The key of a tenant's rows: a secret like any other, so that rotation, backup and moves take it along.

use std::{collections::HashMap, sync::Mutex};

use domain::id::TenantId;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{chain::RowKey, corrupt};
use crate::{
    Tenant, Tx,
    db::{Engine, args},
    error::Result,
    secret::{LastFour, NewSecret, SecretOwner},
    sql::statements,
};

/// Whose secret it is. There is one for each tenant.
const OWNER: SecretOwner<'static> = SecretOwner { table: "audit_log", row_id: "row_key" };
const NAME: &str = "row_key";

/// Keys that were read already.
#[derive(Default)]
pub(crate) struct Keys(Mutex<HashMap<TenantId, RowKey>>);

impl Keys {
    fn get(&self, tenant: TenantId) -> Option<RowKey> {
        self.0.lock().ok()?.get(&tenant).cloned()
    }

    fn put(&self, tenant: TenantId, key: &RowKey) {
        if let Ok(mut keys) = self.0.lock() {
            keys.insert(tenant, key.clone());
        }
    }
}

/// The tenant's key. The first act makes it, in its own transaction; so it is remembered only by those who find it.
pub(super) async fn of(tenant: &Tenant<'_>, tx: &mut Tx) -> Result<RowKey> {
    if let Some(key) = tenant.store.audit_keys.get(tenant.id) {
        return Ok(key);
    }
    let secrets = tenant.secrets();
    if let Some(text) = secrets.open_in(tx, OWNER, NAME).await? {
        let key = read(&text)?;
        tenant.store.audit_keys.put(tenant.id, &key);
        return Ok(key);
    }
    if tx.engine() == Engine::Postgres {
        // Another act may be first. SQLite has one writer at a time.
        tx.one::<(i64,)>(&LOCK, args![tenant.id]).await?;
        if let Some(text) = secrets.open_in(tx, OWNER, NAME).await? {
            return read(&text);
        }
    }
    let mut bytes = Zeroizing::new(vec![0_u8; 32]);
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let value = SecretString::from(hex::encode(&*bytes));
    let secret =
        NewSecret { owner: OWNER, name: NAME, value: &value, last_four: LastFour::Hide, expires_at: None };
    secrets.put(tx, &secret).await?;
    read(&value)
}

/// The tenant's key, if any act was ever written.
pub(super) async fn find(tenant: &Tenant<'_>) -> Result<Option<RowKey>> {
    let found = tenant.secrets().open_all(OWNER).await?;
    found.iter().find(|(name, _)| name == NAME).map(|(_, text)| read(text)).transpose()
}

fn read(text: &SecretString) -> Result<RowKey> {
    let bytes = hex::decode(text.expose_secret()).map(Zeroizing::new).map_err(|_| corrupt())?;
    if bytes.len() == 32 { Ok(RowKey::new(&bytes)) } else { Err(corrupt()) }
}

statements! {
    LOCK = [{engine
        "SELECT $1"
        "SELECT CAST(1 AS BIGINT) FROM (SELECT pg_advisory_xact_lock(4714, CAST($1 AS INT))) AS held"}];
}
