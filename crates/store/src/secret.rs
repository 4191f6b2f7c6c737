//! Secrets at rest: sealed per value, bound to their place, never read back by a person.
//!
//! A secret belongs to a row of another table ([`SecretOwner`]) and has a name there. It is sealed with a data key,
//! which the [`RootKey`] wraps; tenant, owner, name and key version are bound to it, so that a value copied to another
//! place does not open. [`Secrets::describe`] tells what is set without the value; only services that open a
//! connection call [`Secrets::open_all`].

mod key_file;
mod keyring;
mod root_key;
mod rotation;

use domain::Time;
use secrecy::{ExposeSecret, SecretString};

pub use key_file::RootKeyFile;
pub(crate) use keyring::Keyring;
pub use root_key::{RootKey, RootKeyError, RootKeys};
pub use rotation::{Begun, DataKeyInfo, Rotated, SecretName};

use crate::{
    StoreError, Tenant, Tx,
    db::args,
    error::Result,
    sql::{Sql, statements},
};
use keyring::{ATTEMPTS, Place};

/// Shortest value whose last four characters are kept for people to recognise it by.
const SHOW_LAST_FOUR_FROM_CHARS: usize = 12;

/// The row a secret belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretOwner<'a> {
    /// Its table.
    pub table: &'static str,
    /// Its id, in the database form.
    pub row_id: &'a str,
}

/// May the end of a value be kept in the clear?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastFour {
    /// Yes, if the value is long enough.
    Show,
    /// No: people choose such values, and the end of a password says too much.
    Hide,
}

/// A secret to keep.
#[derive(Clone, Copy, Debug)]
pub struct NewSecret<'a> {
    /// Whose.
    pub owner: SecretOwner<'a>,
    /// Its name with the owner.
    pub name: &'a str,
    /// The value.
    pub value: &'a SecretString,
    /// May its end be kept in the clear?
    pub last_four: LastFour,
    /// When it stops working at the other side, if that is known.
    pub expires_at: Option<Time>,
}

/// What people may know of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name with the owner.
    pub name: String,
    /// The end of the value, if it may be shown.
    pub last_four: Option<String>,
    /// When it was set.
    pub set_at: Time,
    /// By whom.
    pub set_by: String,
    /// When it stops working at the other side, if that is known.
    pub expires_at: Option<Time>,
}

/// A secret with its value.
pub struct OpenSecret {
    /// Its name with the owner.
    pub name: String,
    /// The value.
    pub value: SecretString,
    /// When it was set.
    pub set_at: Time,
    /// When it stops working at the other side, if that is known.
    pub expires_at: Option<Time>,
}

/// The secrets of one tenant.
#[derive(Clone)]
pub struct Secrets<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The tenant's secrets.
    pub fn secrets(&self) -> Secrets<'s> {
        Secrets { tenant: self.clone() }
    }
}

impl Secrets<'_> {
    /// What is set for `owner`, by name; never the values.
    pub async fn describe(&self, owner: SecretOwner<'_>) -> Result<Vec<SecretInfo>> {
        let rows: Vec<InfoRow> =
            self.tenant.db().all(&DESCRIBE, args![self.tenant.id, owner.table, owner.row_id]).await?;
        Ok(rows.into_iter().map(SecretInfo::from).collect())
    }

    /// The same of all owners in a table, each with its id.
    pub async fn describe_all(&self, table: &str) -> Result<Vec<(String, SecretInfo)>> {
        let rows: Vec<OwnedRow> = self.tenant.db().all(&DESCRIBE_ALL, args![self.tenant.id, table]).await?;
        Ok(rows.into_iter().map(|row| (row.owner_id, SecretInfo::from(row.info))).collect())
    }

    /// The values set for `owner`, by name. [`crate::StoreError::Corrupt`] if one does not open.
    pub async fn open_all(&self, owner: SecretOwner<'_>) -> Result<Vec<(String, SecretString)>> {
        let opened = self.open_dated(owner).await?;
        Ok(opened.into_iter().map(|secret| (secret.name, secret.value)).collect())
    }

    /// The same with the times that belong to the values.
    pub async fn open_dated(&self, owner: SecretOwner<'_>) -> Result<Vec<OpenSecret>> {
        let keys = &self.tenant.store.keys;
        for _ in 0..ATTEMPTS {
            let rows: Vec<SealedRow> =
                self.tenant.db().all(&READ, args![self.tenant.id, owner.table, owner.row_id]).await?;
            if rows.iter().all(|row| keys.knows(row.key_version)) {
                return rows.into_iter().map(|row| self.open_one(owner, row)).collect();
            }
            // A rotation beside us: the rows may be of before it, and the keys of after it.
            keys.read_again(self.tenant.store.before_tenant()).await?;
        }
        Err(StoreError::Corrupt { what: "secret" })
    }

    fn open_one(&self, owner: SecretOwner<'_>, row: SealedRow) -> Result<OpenSecret> {
        let place =
            Place { tenant: self.tenant.id, table: owner.table, row_id: owner.row_id, name: &row.name };
        let value = self.tenant.store.keys.open(row.key_version, &place, &row.sealed)?;
        let (set_at, expires_at) = (Time(row.set_at), row.expires_at.map(Time));
        Ok(OpenSecret { name: row.name, value, set_at, expires_at })
    }

    /// Keeps one secret, in a transaction of its own. It replaces the one of the same name.
    pub async fn put_one(&self, secret: &NewSecret<'_>) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        self.put(&mut tx, secret).await?;
        tx.commit().await
    }

    /// Keeps one secret in the transaction that writes its owner. It replaces the one of the same name.
    pub(crate) async fn put(&self, tx: &mut Tx, secret: &NewSecret<'_>) -> Result<()> {
        let NewSecret { owner, name, value, last_four, expires_at } = *secret;
        let place = Place { tenant: self.tenant.id, table: owner.table, row_id: owner.row_id, name };
        let keys = &self.tenant.store.keys;
        let key_version = keys.newest(tx).await?;
        let sealed = keys.seal(key_version, &place, value)?;
        let last_four = last_four_of(value.expose_secret(), last_four);
        let args = args![
            self.tenant.id,
            owner.table,
            owner.row_id,
            name,
            key_version,
            sealed,
            last_four,
            expires_at,
            self.tenant.now,
            &self.tenant.actor,
        ];
        tx.run(&PUT, args).await?;
        Ok(())
    }

    /// One value in the caller's transaction, if it is set.
    pub(crate) async fn open_in(
        &self,
        tx: &mut Tx,
        owner: SecretOwner<'_>,
        name: &str,
    ) -> Result<Option<SecretString>> {
        let columns = args![self.tenant.id, owner.table, owner.row_id, name];
        let Some((key_version, sealed)) = tx.maybe::<(i64, Vec<u8>)>(&READ_ONE, columns).await? else {
            return Ok(None);
        };
        let place = Place { tenant: self.tenant.id, table: owner.table, row_id: owner.row_id, name };
        self.tenant.store.keys.open(key_version, &place, &sealed).map(Some)
    }

    /// Forgets one secret.
    pub(crate) async fn delete(&self, tx: &mut Tx, owner: SecretOwner<'_>, name: &str) -> Result<()> {
        tx.run(&DELETE, args![self.tenant.id, owner.table, owner.row_id, name]).await?;
        Ok(())
    }

    /// Forgets all secrets of `owner`.
    pub(crate) async fn delete_all(&self, tx: &mut Tx, owner: SecretOwner<'_>) -> Result<()> {
        tx.run(&DELETE_ALL, args![self.tenant.id, owner.table, owner.row_id]).await?;
        Ok(())
    }
}

fn last_four_of(value: &str, last_four: LastFour) -> Option<String> {
    let chars = value.chars().count();
    match last_four {
        LastFour::Show if chars >= SHOW_LAST_FOUR_FROM_CHARS => Some(value.chars().skip(chars - 4).collect()),
        LastFour::Show | LastFour::Hide => None,
    }
}

#[derive(sqlx::FromRow)]
struct InfoRow {
    name: String,
    last_four: Option<String>,
    set_at: i64,
    set_by: String,
    expires_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    name: String,
    key_version: i64,
    sealed: Vec<u8>,
    set_at: i64,
    expires_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct OwnedRow {
    owner_id: String,
    #[sqlx(flatten)]
    info: InfoRow,
}

impl From<InfoRow> for SecretInfo {
    fn from(row: InfoRow) -> Self {
        SecretInfo {
            name: row.name,
            last_four: row.last_four,
            set_at: Time(row.set_at),
            set_by: row.set_by,
            expires_at: row.expires_at.map(Time),
        }
    }
}

statements! {
    DESCRIBE = [
        "SELECT name, last_four, set_at, set_by, expires_at FROM secrets
         WHERE tenant_id = $1 AND owner_table = $2 AND owner_id = $3 ORDER BY name"
    ];
    DESCRIBE_ALL = [
        "SELECT owner_id, name, last_four, set_at, set_by, expires_at FROM secrets
         WHERE tenant_id = $1 AND owner_table = $2 ORDER BY owner_id, name"
    ];
    READ = [
        "SELECT name, key_version, sealed, set_at, expires_at FROM secrets
         WHERE tenant_id = $1 AND owner_table = $2 AND owner_id = $3 ORDER BY name"
    ];
    PUT = [
        "INSERT INTO secrets (tenant_id, owner_table, owner_id, name, key_version, sealed, last_four, expires_at,
            set_at, set_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (tenant_id, owner_table, owner_id, name) DO UPDATE SET
            key_version = excluded.key_version, sealed = excluded.sealed, last_four = excluded.last_four,
            expires_at = excluded.expires_at, set_at = excluded.set_at, set_by = excluded.set_by"
    ];
    READ_ONE = [
        "SELECT key_version, sealed FROM secrets
         WHERE tenant_id = $1 AND owner_table = $2 AND owner_id = $3 AND name = $4"
    ];
    DELETE = ["DELETE FROM secrets WHERE tenant_id = $1 AND owner_table = $2 AND owner_id = $3 AND name = $4"];
    DELETE_ALL = ["DELETE FROM secrets WHERE tenant_id = $1 AND owner_table = $2 AND owner_id = $3"];
    LIST_DATA_KEYS = [
        "SELECT version, wrapped, created_at, root_key_fingerprint FROM data_keys ORDER BY version"
    ];
    // Held until the end of the transaction, so that a rotation does not delete it meanwhile.
    NEWEST_VERSION = [
        "SELECT version FROM data_keys ORDER BY version DESC LIMIT 1" {engine "" " FOR KEY SHARE"}
    ];
    // Whoever adds or wraps data keys takes turns until the end of the transaction. On SQLite all writers do.
    LOCK_DATA_KEYS = [{engine "SELECT TRUE" "SELECT pg_advisory_xact_lock(471104712)"}];
    INSERT_DATA_KEY = [
        "INSERT INTO data_keys (version, wrapped, created_at, root_key_fingerprint) VALUES ($1, $2, $3, $4)"
    ];
    NAME_ROOT_KEY = [
        "UPDATE data_keys SET root_key_fingerprint = $3
         WHERE version = $1 AND wrapped = $2 AND root_key_fingerprint IS NULL"
    ];
}

/// Every statement of this module and those below, with its name.
pub(crate) fn statements() -> Vec<(&'static str, &'static Sql)> {
    [ALL, rotation::ALL].concat()
}

#[cfg(test)]
mod tests;
