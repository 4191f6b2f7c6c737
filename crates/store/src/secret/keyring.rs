//! Data keys, and sealing with them.
//!
//! XChaCha20-Poly1305 with random nonces. Every value is bound to its [`Place`]: the associated data holds each part
//! with its length, so that no two places have the same encoding.

use std::collections::BTreeMap;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use domain::id::TenantId;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{INSERT_DATA_KEY, LIST_DATA_KEYS, RootKey};
use crate::{
    clock,
    db::{Db, args},
    error::{Result, StoreError},
};

const NONCE_BYTES: usize = 24;

/// The version of the first data key.
const FIRST_VERSION: i64 = 1;

/// Where a secret belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) tenant: TenantId,
    pub(super) table: &'a str,
    pub(super) row_id: &'a str,
    pub(super) name: &'a str,
}

/// All data keys. New values are sealed with the newest.
pub(crate) struct Keyring {
    keys: BTreeMap<i64, Zeroizing<[u8; 32]>>,
    current: i64,
}

impl Keyring {
    /// Unwraps the data keys; makes the first on an empty database. [`StoreError::Corrupt`] if the root key is not
    /// the one of this database.
    pub(crate) async fn load(db: &Db, root_key: &RootKey) -> Result<Keyring> {
        let mut rows: Vec<(i64, Vec<u8>)> = db.all(&LIST_DATA_KEYS, args![]).await?;
        if rows.is_empty() {
            let wrapped = wrap_new_key(root_key, FIRST_VERSION)?;
            db.write(&INSERT_DATA_KEY, args![FIRST_VERSION, wrapped, clock::now()]).await?;
            // Another node may have been first: what counts is what is stored.
            rows = db.all(&LIST_DATA_KEYS, args![]).await?;
        }
        let mut keys = BTreeMap::new();
        for (version, wrapped) in rows {
            keys.insert(version, unwrap_key(root_key, version, &wrapped)?);
        }
        let current = keys.keys().next_back().copied().ok_or(StoreError::Corrupt { what: "data key" })?;
        Ok(Keyring { keys, current })
    }

    /// Seals a value for its place; answers the key's version and nonce with ciphertext.
    pub(super) fn seal(&self, place: &Place<'_>, value: &SecretString) -> Result<(i64, Vec<u8>)> {
        let bound = associated_data(place, self.current);
        let sealed = seal_bytes(self.key(self.current)?, &bound, value.expose_secret().as_bytes())?;
        Ok((self.current, sealed))
    }

    /// Opens what was sealed for this very place.
    pub(super) fn open(&self, version: i64, place: &Place<'_>, sealed: &[u8]) -> Result<SecretString> {
        let corrupt = || StoreError::Corrupt { what: "secret" };
        let key = self.key(version)?;
        let plain = open_bytes(key, &associated_data(place, version), sealed).ok_or_else(corrupt)?;
        let text = std::str::from_utf8(&plain).map_err(|_| corrupt())?;
        Ok(SecretString::from(text))
    }

    fn key(&self, version: i64) -> Result<&[u8; 32]> {
        self.keys.get(&version).map(|key| &**key).ok_or(StoreError::Corrupt { what: "secret" })
    }
}

fn wrap_new_key(root_key: &RootKey, version: i64) -> Result<Vec<u8>> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).expect("the operating system gives random bytes");
    seal_bytes(root_key.bytes(), &data_key_label(version), key.as_slice())
}

fn unwrap_key(root_key: &RootKey, version: i64, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let corrupt = || StoreError::Corrupt { what: "data key" };
    let plain = open_bytes(root_key.bytes(), &data_key_label(version), wrapped).ok_or_else(corrupt)?;
    let mut key = Zeroizing::new([0_u8; 32]);
    if plain.len() != key.len() {
        return Err(corrupt());
    }
    key.copy_from_slice(&plain);
    Ok(key)
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
