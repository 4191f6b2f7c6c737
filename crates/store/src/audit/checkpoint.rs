//! Checkpoints: the head of a tenant's chain, signed, to be kept where the server cannot rewrite it.
//!
//! A chain alone proves nothing against somebody who writes all of it anew. A checkpoint outside does: what was sealed up
//! to it must still be there, and the same.

use std::fmt;

use domain::{Time, id::TenantId};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::Audit;
use crate::{
    RootKey,
    db::args,
    error::{Result, StoreError},
    secret::RootKeyError,
    sql::statements,
};

/// The key that signs checkpoints: 32 bytes in base64, in a file beside the root key.
pub struct CheckpointKey(Ed25519KeyPair);

impl CheckpointKey {
    /// From 32 bytes that are kept as a root key is.
    pub fn from_seed(seed: &RootKey) -> std::result::Result<CheckpointKey, RootKeyError> {
        Ed25519KeyPair::from_seed_unchecked(seed.bytes())
            .map(CheckpointKey)
            .map_err(|_| RootKeyError::Malformed)
    }

    /// The public part, in hexadecimal: whoever checks the log needs it.
    pub fn public(&self) -> String {
        hex::encode(self.0.public_key())
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey({})", self.public())
    }
}

/// A signed head of a chain. Its JSON form is one line of the checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose chain.
    pub tenant: TenantId,
    /// Rows up to this place.
    pub seq: i64,
    /// The hash of the row at this place, in hexadecimal.
    pub hash: String,
    /// When it was signed, in milliseconds.
    pub at: i64,
    /// The public part of the key that signed it, in hexadecimal.
    pub public_key: String,
    /// Ed25519 over tenant, place, hash and time, in hexadecimal.
    pub signature: String,
}

impl Checkpoint {
    fn sign(tenant: TenantId, (seq, hash): (i64, String), at: Time, key: &CheckpointKey) -> Checkpoint {
        let mut checkpoint =
            Checkpoint { tenant, seq, hash, at: at.0, public_key: key.public(), signature: String::new() };
        checkpoint.signature = hex::encode(key.0.sign(checkpoint.signed().as_bytes()));
        checkpoint
    }

    fn signed(&self) -> String {
        format!("fleetgate audit checkpoint 1\n{}\n{}\n{}\n{}", self.tenant, self.seq, self.hash, self.at)
    }

    /// Did one of these keys (public parts, in hexadecimal) sign it?
    pub fn is_signed_by(&self, trusted: &[String]) -> bool {
        let Ok(signature) = hex::decode(&self.signature) else { return false };
        trusted.contains(&self.public_key)
            && hex::decode(&self.public_key).is_ok_and(|key| {
                UnparsedPublicKey::new(&ED25519, key).verify(self.signed().as_bytes(), &signature).is_ok()
            })
    }
}

impl Audit<'_> {
    /// When the last checkpoint was made.
    pub async fn last_checkpoint_at(&self) -> Result<Option<Time>> {
        let last: Option<(i64,)> = self.0.db().maybe(&LAST, args![self.0.id]).await?;
        Ok(last.map(|(at,)| Time(at)))
    }

    /// Signs the head as it is; none if nothing was sealed since the last one. It is written down here when `keep` has
    /// put it where it belongs: one that could not be kept is signed again.
    pub async fn checkpoint(
        &self,
        key: &CheckpointKey,
        keep: impl FnOnce(&Checkpoint) -> std::io::Result<()>,
    ) -> Result<Option<Checkpoint>> {
        let tenant = self.0.id;
        let head: Option<(i64, String)> = self.0.db().maybe(&super::seal::HEAD, args![tenant]).await?;
        let Some(head) = head else { return Ok(None) };
        if self.0.db().maybe::<(i64,)>(&HAS, args![tenant, head.0]).await?.is_some() {
            return Ok(None);
        }
        let made = Checkpoint::sign(tenant, head, self.0.now, key);
        keep(&made).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let columns = args![
            tenant,
            made.seq,
            made.hash.as_str(),
            made.at,
            made.public_key.as_str(),
            made.signature.as_str()
        ];
        self.0.db().write(&INSERT, columns).await?;
        Ok(Some(made))
    }
}

statements! {
    LAST = ["SELECT at FROM audit_checkpoints WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1"];
    HAS = ["SELECT CAST(1 AS BIGINT) FROM audit_checkpoints WHERE tenant_id = $1 AND seq = $2"];
    INSERT = [
        "INSERT INTO audit_checkpoints (tenant_id, seq, hash, at, public_key, signature)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, seq) DO NOTHING"
    ];
}
