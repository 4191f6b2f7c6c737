//! Data keys, and sealing with them.
//!
//! XChaCha20-Poly1305 with random nonces. Every value is bound to its [`Place`]: the associated data holds each part
//! with its length, so that no two places have the same encoding.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use domain::id::TenantId;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{
    INSERT_DATA_KEY, LIST_DATA_KEYS, LOCK_DATA_KEYS, NAME_ROOT_KEY, NEWEST_VERSION, RootKey, RootKeys,
};
use crate::{
    clock,
    db::{Db, Tx, args},
    error::{Result, StoreError},
};

const NONCE_BYTES: usize = 24;

/// The version of the first data key.
const FIRST_VERSION: i64 = 1;

/// How often keys are read again before it counts: what was read before a rotation may not fit what was read after it.
pub(super) const ATTEMPTS: usize = 4;

/// Where a secret belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) tenant: TenantId,
    pub(super) table: &'a str,
    pub(super) row_id: &'a str,
    pub(super) name: &'a str,
}

/// A data key as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct DataKeyRow {
    pub(super) version: i64,
    pub(super) wrapped: Vec<u8>,
    pub(super) created_at: i64,
    pub(super) root_key_fingerprint: Option<String>,
}

/// An open data key.
pub(super) type DataKey = Arc<Zeroizing<[u8; 32]>>;

/// The data keys that this process has opened, until it ends. Rotations add and delete some meanwhile: who writes asks for
/// the newest inside its transaction, who meets an unknown version reads them again.
pub(crate) struct Keyring {
    root_keys: RootKeys,
    keys: RwLock<BTreeMap<i64, DataKey>>,
}

impl Keyring {
    /// Unwraps the data keys; makes the first on an empty database. [`StoreError::OtherRootKey`] if the root key is not
    /// the one of this database.
    pub(crate) async fn load(db: &Db, root_keys: RootKeys) -> Result<Keyring> {
        let ring = Keyring { root_keys, keys: RwLock::default() };
        if db.all::<DataKeyRow>(&LIST_DATA_KEYS, args![]).await?.is_empty() {
            ring.make_first(db).await?;
        }
        ring.read_again(db).await?;
        ring.name_root_keys(db).await?;
        Ok(ring)
    }

    /// Another node, or a rotation, may be at it: they take turns, and what counts is what is stored.
    async fn make_first(&self, db: &Db) -> Result<()> {
        let mut tx = db.begin().await?;
        tx.run(&LOCK_DATA_KEYS, args![]).await?;
        if tx.all::<DataKeyRow>(&LIST_DATA_KEYS, args![]).await?.is_empty() {
            let roots = self.root_keys.read()?;
            let root = roots.first().ok_or(StoreError::Corrupt { what: "root key" })?;
            insert_new(&mut tx, FIRST_VERSION, root).await?;
        }
        tx.commit().await
    }

    /// Learns the data keys as they are stored now.
    pub(super) async fn read_again(&self, db: &Db) -> Result<()> {
        let mut attempt = 1;
        loop {
            let rows = db.all(&LIST_DATA_KEYS, args![]).await?;
            match self.learn(&rows) {
                Err(StoreError::OtherRootKey { .. }) if attempt < ATTEMPTS => attempt += 1,
                learnt => return learnt,
            }
        }
    }

    /// The newest version as the transaction sees it. It is not deleted before the transaction has ended.
    pub(super) async fn newest(&self, tx: &mut Tx) -> Result<i64> {
        let mut failed = StoreError::Corrupt { what: "data key" };
        for _ in 0..ATTEMPTS {
            let newest: Option<(i64,)> = tx.maybe(&NEWEST_VERSION, args![]).await?;
            // None: it was deleted for a newer one in this moment.
            let Some((version,)) = newest else { continue };
            if self.knows(version) {
                return Ok(version);
            }
            let rows: Vec<DataKeyRow> = tx.all(&LIST_DATA_KEYS, args![]).await?;
            match self.learn(&rows) {
                Ok(()) => return Ok(version),
                Err(error @ StoreError::OtherRootKey { .. }) => failed = error,
                Err(error) => return Err(error),
            }
        }
        Err(failed)
    }

    /// Learns what is stored. A version never changes its key, so the root key is needed for new ones only: a server goes
    /// on with what it has opened, whatever wraps it now. Nothing is forgotten: another task may be about to open what it
    /// read before a version was deleted.
    pub(super) fn learn(&self, rows: &[DataKeyRow]) -> Result<()> {
        if rows.is_empty() {
            return Err(StoreError::Corrupt { what: "data key" });
        }
        let unknown: Vec<&DataKeyRow> = rows.iter().filter(|row| !self.knows(row.version)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let roots = self.root_keys.read()?;
        for row in unknown {
            let (key, _) = unwrap_key(&roots, row)?;
            self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(row.version, key);
        }
        Ok(())
    }

    /// Rows of earlier versions do not say which root key wraps them.
    async fn name_root_keys(&self, db: &Db) -> Result<()> {
        let rows: Vec<DataKeyRow> = db.all(&LIST_DATA_KEYS, args![]).await?;
        for row in rows.into_iter().filter(|row| row.root_key_fingerprint.is_none()) {
            let roots = self.root_keys.read()?;
            // One that does not open any more was wrapped anew in this moment, and named.
            let Ok((_, root)) = unwrap_key(&roots, &row) else { continue };
            db.write(&NAME_ROOT_KEY, args![row.version, row.wrapped, root.fingerprint()]).await?;
        }
        Ok(())
    }

    /// The root keys as they are now.
    pub(super) fn root_keys(&self) -> Result<Vec<RootKey>> {
        Ok(self.root_keys.read()?)
    }

    pub(super) fn knows(&self, version: i64) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).contains_key(&version)
    }

    /// Seals a value for its place with this version; answers nonce and ciphertext.
    pub(super) fn seal(&self, version: i64, place: &Place<'_>, value: &SecretString) -> Result<Vec<u8>> {
        let bound = associated_data(place, version);
        seal_bytes(&*self.key(version)?, &bound, value.expose_secret().as_bytes())
    }

    /// Opens what was sealed for this very place.
    pub(super) fn open(&self, version: i64, place: &Place<'_>, sealed: &[u8]) -> Result<SecretString> {
        let corrupt = || StoreError::Corrupt { what: "secret" };
        let key = self.key(version)?;
        let plain = open_bytes(&key, &associated_data(place, version), sealed).ok_or_else(corrupt)?;
        let text = std::str::from_utf8(&plain).map_err(|_| corrupt())?;
        Ok(SecretString::from(text))
    }

    pub(super) fn key(&self, version: i64) -> Result<DataKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&version).cloned().ok_or(StoreError::Corrupt { what: "secret" })
    }
}

/// Makes a data key and stores it, wrapped by `root`.
pub(super) async fn insert_new(tx: &mut Tx, version: i64, root: &RootKey) -> Result<()> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).expect("the operating system gives random bytes");
    let wrapped = wrap_key(root, version, &key)?;
    tx.run(&INSERT_DATA_KEY, args![version, wrapped, clock::now(), root.fingerprint()]).await?;
    Ok(())
}

pub(super) fn wrap_key(root: &RootKey, version: i64, key: &[u8; 32]) -> Result<Vec<u8>> {
    seal_bytes(root.bytes(), &data_key_label(version), key)
}

/// Opens a stored data key with one of `roots`; answers that one as well.
pub(super) fn unwrap_key<'r>(roots: &'r [RootKey], row: &DataKeyRow) -> Result<(DataKey, &'r RootKey)> {
    let corrupt = || StoreError::Corrupt { what: "data key" };
    let label = data_key_label(row.version);
    let opened = roots.iter().find_map(|root| Some((open_bytes(root.bytes(), &label, &row.wrapped)?, root)));
    let Some((plain, root)) = opened else {
        let found: Vec<String> = roots.iter().map(RootKey::fingerprint).collect();
        return Err(match &row.root_key_fingerprint {
            Some(needed) if found.contains(needed) => corrupt(),
            needed => StoreError::OtherRootKey { needed: needed.clone(), found },
        });
    };
    let mut key = Zeroizing::new([0_u8; 32]);
    if plain.len() != key.len() {
        return Err(corrupt());
    }
    key.copy_from_slice(&plain);
    Ok((Arc::new(key), root))
}

fn data_key_label(version: i64) -> Vec<u8> {
    format!("fleetgate data key v{version}").into_bytes()
}

fn associated_data(place: &Place<'_>, version: i64) -> Vec<u8> {
    let tenant = place.tenant.0.to_be_bytes();
    let version = version.to_be_bytes();
    let parts: [&[u8]; 6] = [
        b"fleetgate secret",
        &tenant,
        place.table.as_bytes(),
        place.row_id.as_bytes(),
        place.name.as_bytes(),
        &version,
    ];
    let mut bound = Vec::with_capacity(160);
    for part in parts {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

fn seal_bytes(key: &[u8; 32], bound: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0_u8; NONCE_BYTES];
    getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
    let ciphertext = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: bound })
        .map_err(|_| StoreError::Corrupt { what: "secret" })?;
    let mut sealed = Vec::with_capacity(NONCE_BYTES + ciphertext.len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

fn open_bytes(key: &[u8; 32], bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let plain = XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: bound })
        .ok()?;
    Some(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_places_share_an_encoding() {
        let place = |table, row_id, name| Place { tenant: TenantId(1), table, row_id, name };
        let one = associated_data(&place("ab", "c", "d"), 1);
        for other in [place("a", "bc", "d"), place("ab", "", "cd"), place("abc", "", "d")] {
            assert_ne!(one, associated_data(&other, 1));
        }
        assert_ne!(one, associated_data(&place("ab", "c", "d"), 2));
    }
}
