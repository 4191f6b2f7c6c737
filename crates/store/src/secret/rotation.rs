//! Rotation of data keys and of the root key, beside servers at work.
//!
//! A rotation is made of short transactions. Whichever was the last before an end that nobody planned, every secret opens,
//! and the same call goes on from there. It keeps no note of its own: two versions of the data key mean that a rotation
//! has not ended. Only one at a time should run ([`crate::presence::rotate`]); two would not lose anything.

use std::collections::BTreeMap;

use domain::{Time, id::TenantId};

use super::{
    LIST_DATA_KEYS, LOCK_DATA_KEYS, RootKey,
    keyring::{DataKeyRow, Place, insert_new, unwrap_key, wrap_key},
};
use crate::{
    Store,
    db::args,
    error::{Result, StoreError},
    sql::statements,
};

/// Secrets of one transaction: writers on SQLite wait for it.
const BATCH: usize = 100;

/// How often all tenants are looked at: a second time for secrets that were written while the version was added.
const ROUNDS: usize = 5;

/// A version of the data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKeyInfo {
    /// Its number, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: Time,
    /// The fingerprint of the root key that wraps it.
    pub root_key: Option<String>,
    /// How many secrets are sealed with it.
    pub secrets: u64,
}

/// Where a secret is, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// Whose.
    pub tenant: TenantId,
    /// The table of its owner.
    pub table: String,
    /// The owner's id.
    pub row_id: String,
    /// Its name with the owner.
    pub name: String,
}

/// Which rotation it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A new one.
    Now,
    /// One that had not come to its end.
    Before,
}

/// What a rotation of the data key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The version that new secrets are sealed with.
    pub version: i64,
    /// Was it added now?
    pub begun: Begun,
    /// How many secrets were sealed anew.
    pub resealed: u64,
    /// Versions that are gone.
    pub deleted: Vec<i64>,
    /// Older versions that are still needed.
    pub still_used: Vec<i64>,
    /// Secrets that do not open: damaged, or copied from elsewhere. They stay as they are.
    pub unreadable: Vec<SecretName>,
}

impl Store {
    /// Every version of the data key, oldest first.
    pub async fn data_keys(&self) -> Result<Vec<DataKeyInfo>> {
        let mut secrets: BTreeMap<i64, u64> = BTreeMap::new();
        for tenant in self.tenants().await? {
            let counts: Vec<(i64, i64)> = self.db_of(tenant).all(&COUNT, args![tenant]).await?;
            for (version, count) in counts {
                *secrets.entry(version).or_default() += u64::try_from(count).unwrap_or(0);
            }
        }
        let rows: Vec<DataKeyRow> = self.before_tenant().all(&LIST_DATA_KEYS, args![]).await?;
        let info = |row: DataKeyRow| DataKeyInfo {
            version: row.version,
            created_at: Time(row.created_at),
            root_key: row.root_key_fingerprint,
            secrets: secrets.get(&row.version).copied().unwrap_or(0),
        };
        Ok(rows.into_iter().map(info).collect())
    }

    /// Adds a data key, seals every secret of every tenant with it, and deletes the older ones. A rotation that had not
    /// ended is brought to its end instead.
    pub async fn rotate_data_key(&self) -> Result<Rotated> {
        let (version, begun) = self.add_data_key().await?;
        let mut rotated = Rotated {
            version,
            begun,
            resealed: 0,
            deleted: Vec::new(),
            still_used: Vec::new(),
            unreadable: Vec::new(),
        };
        for _ in 0..ROUNDS {
            rotated.unreadable.clear();
            for tenant in self.tenants().await? {
                self.reseal_tenant(tenant, &mut rotated).await?;
            }
            let (deleted, still_used) = self.delete_unused_data_keys().await?;
            rotated.deleted.extend(deleted);
            rotated.still_used = still_used;
            if rotated.still_used.is_empty() || !rotated.unreadable.is_empty() {
                break;
            }
        }
        Ok(rotated)
    }

    /// Wraps every data key by `new`, in one transaction; answers how many were wrapped by another root key before. The
    /// keys of this store have to open them, or `new`.
    pub async fn rewrap_data_keys(&self, new: &RootKey) -> Result<u64> {
        let mut tx = self.before_tenant().begin().await?;
        tx.run(&LOCK_DATA_KEYS, args![]).await?;
        let rows: Vec<DataKeyRow> = tx.all(&LIST_DATA_KEYS, args![]).await?;
        self.keys.learn(&rows)?;
        let mut rewrapped = 0;
        for row in &rows {
            if unwrap_key(std::slice::from_ref(new), row).is_ok() {
                continue;
            }
            let key = self.keys.key(row.version)?;
            let wrapped = wrap_key(new, row.version, &key)?;
            rewrapped += tx.run(&REWRAP, args![row.version, wrapped, new.fingerprint()]).await?;
        }
        tx.commit().await?;
        Ok(rewrapped)
    }

    /// Adds a version, unless there are two already. It is wrapped by the root key of the one before, whatever file that
    /// key lies in: a rotation of the root key may be half done.
    pub(super) async fn add_data_key(&self) -> Result<(i64, Begun)> {
        let mut tx = self.before_tenant().begin().await?;
        tx.run(&LOCK_DATA_KEYS, args![]).await?;
        let rows: Vec<DataKeyRow> = tx.all(&LIST_DATA_KEYS, args![]).await?;
        self.keys.learn(&rows)?;
        let newest = rows.last().ok_or(StoreError::Corrupt { what: "data key" })?;
        if rows.len() > 1 {
            return Ok((newest.version, Begun::Before));
        }
        let roots = self.keys.root_keys()?;
        let (_, root) = unwrap_key(&roots, newest)?;
        let version = newest.version + 1;
        insert_new(&mut tx, version, root).await?;
        tx.commit().await?;
        self.keys.read_again(self.before_tenant()).await?;
        Ok((version, Begun::Now))
    }

    async fn reseal_tenant(&self, tenant: TenantId, rotated: &mut Rotated) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.stale_secrets(tenant, after.as_ref(), BATCH).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            rotated.resealed += self.reseal(tenant, &rows, &mut rotated.unreadable).await?;
            after = Some(last.clone());
        }
    }

    /// Secrets of older versions, in the order of their keys.
    pub(super) async fn stale_secrets(
        &self,
        tenant: TenantId,
        after: Option<&SealedRow>,
        most: usize,
    ) -> Result<Vec<SealedRow>> {
        let (table, row_id, name) =
            after.map_or(("", "", ""), |row| (&row.owner_table, &row.owner_id, &row.name));
        self.db_of(tenant).all(&STALE, args![tenant, table, row_id, name, most]).await
    }

    /// Seals them with the newest version, in one transaction. One that was written since it was read is left alone: its
    /// writer has sealed it anew, or the next round does.
    pub(super) async fn reseal(
        &self,
        tenant: TenantId,
        rows: &[SealedRow],
        unreadable: &mut Vec<SecretName>,
    ) -> Result<u64> {
        if !rows.iter().all(|row| self.keys.knows(row.key_version)) {
            self.keys.read_again(self.before_tenant()).await?;
        }
        let mut tx = self.db_of(tenant).begin().await?;
        let newest = self.keys.newest(&mut tx).await?;
        let mut resealed = 0;
        for row in rows {
            let SealedRow { owner_table, owner_id, name, key_version, sealed } = row;
            let place = Place { tenant, table: owner_table, row_id: owner_id, name };
            let value = match self.keys.open(*key_version, &place, sealed) {
                Ok(value) => value,
                Err(StoreError::Corrupt { .. }) => {
                    unreadable.push(row.name_in(tenant));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let anew = self.keys.seal(newest, &place, &value)?;
            let args =
                args![tenant, owner_table, owner_id, name, *key_version, sealed.as_slice(), newest, anew];
            resealed += tx.run(&RESEAL, args).await?;
        }
        tx.commit().await?;
        Ok(resealed)
    }

    /// Deletes older versions that seal nothing; answers them, and those that stay. The foreign key decides, which sees
    /// the rows of all tenants, and a writer that has read an old version holds it until its secret is there.
    pub(super) async fn delete_unused_data_keys(&self) -> Result<(Vec<i64>, Vec<i64>)> {
        let rows: Vec<DataKeyRow> = self.before_tenant().all(&LIST_DATA_KEYS, args![]).await?;
        let (mut deleted, mut still_used) = (Vec::new(), Vec::new());
        let Some((_, older)) = rows.split_last() else { return Ok((deleted, still_used)) };
        for row in older {
            match self.before_tenant().write(&DELETE_OLDER, args![row.version]).await {
                Ok(_) => deleted.push(row.version),
                // What a broken foreign key is to this crate: a secret refers to it.
                Err(StoreError::NotFound) => still_used.push(row.version),
                Err(error) => return Err(error),
            }
        }
        self.keys.read_again(self.before_tenant()).await?;
        Ok((deleted, still_used))
    }
}

/// A secret as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SealedRow {
    owner_table: String,
    owner_id: String,
    name: String,
    key_version: i64,
    sealed: Vec<u8>,
}

impl SealedRow {
    fn name_in(&self, tenant: TenantId) -> SecretName {
        SecretName {
            tenant,
            table: self.owner_table.clone(),
            row_id: self.owner_id.clone(),
            name: self.name.clone(),
        }
    }
}

statements! {
    COUNT = ["SELECT key_version, COUNT(*) FROM secrets WHERE tenant_id = $1 GROUP BY key_version"];
    STALE = [
        "SELECT owner_table, owner_id, name, key_version, sealed FROM secrets
         WHERE tenant_id = $1 AND (owner_table, owner_id, name) > ($2, $3, $4)
            AND key_version < (SELECT MAX(version) FROM data_keys)
         ORDER BY owner_table, owner_id, name LIMIT $5"
    ];
    RESEAL = [
        "UPDATE secrets SET key_version = $7, sealed = $8
         WHERE tenant_id = $1 AND owner_table = $2 AND owner_id = $3 AND name = $4
            AND key_version = $5 AND sealed = $6"
    ];
    DELETE_OLDER = ["DELETE FROM data_keys WHERE version = $1 AND version < (SELECT MAX(version) FROM data_keys)"];
    REWRAP = ["UPDATE data_keys SET wrapped = $2, root_key_fingerprint = $3 WHERE version = $1"];
}

#[cfg(test)]
mod tests;
