//! What binds a row and what binds rows to each other.
//!
//! A row's HMAC covers every column that the act wrote, each with its length, so that no two rows have the same encoding.
//! The chain's hash covers the hash before, the place and the HMAC: whoever lacks the key can still follow the chain.

use domain::id::TenantId;
use ring::{digest, hmac};
use zeroize::Zeroizing;

/// What the first row of a chain follows.
pub(super) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The columns that the act writes.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) actor_kind: String,
    pub(super) actor_name: String,
    pub(super) user_id: Option<String>,
    pub(super) token_id: Option<String>,
    pub(super) request_id: String,
    pub(super) act: String,
    pub(super) target: Option<String>,
    pub(super) target_name: Option<String>,
    pub(super) outcome: String,
    pub(super) rule: Option<String>,
    pub(super) arguments: String,
    pub(super) arguments_digest: String,
}

/// The key of a tenant's rows.
#[derive(Clone)]
pub(crate) struct RowKey(hmac::Key);

impl RowKey {
    pub(super) fn new(bytes: &Zeroizing<Vec<u8>>) -> RowKey {
        RowKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The HMAC of a row, in hexadecimal.
    pub(super) fn mac(&self, tenant: TenantId, row: &Row) -> String {
        hex::encode(hmac::sign(&self.0, &encoded(tenant, row)))
    }

    /// Is it the HMAC of this row? In constant time.
    pub(super) fn fits(&self, tenant: TenantId, row: &Row, mac: &str) -> bool {
        hex::decode(mac).is_ok_and(|mac| hmac::verify(&self.0, &encoded(tenant, row), &mac).is_ok())
    }

    /// The keyed digest of arguments, in hexadecimal.
    pub(super) fn digest(&self, arguments: &str) -> String {
        let mut bytes = Zeroizing::new(b"fleetgate audit arguments ".to_vec());
        bytes.extend_from_slice(arguments.as_bytes());
        hex::encode(hmac::sign(&self.0, &bytes))
    }
}

fn encoded(tenant: TenantId, row: &Row) -> Vec<u8> {
    let (tenant, at) = (tenant.0.to_string(), row.at.to_string());
    let parts: [Option<&str>; 16] = [
        Some("fleetgate audit row 1"),
        Some(&tenant),
        Some(&row.id),
        Some(&at),
        Some(&row.actor_kind),
        Some(&row.actor_name),
        row.user_id.as_deref(),
        row.token_id.as_deref(),
        Some(&row.request_id),
        Some(&row.act),
        row.target.as_deref(),
        row.target_name.as_deref(),
        Some(&row.outcome),
        row.rule.as_deref(),
        Some(&row.arguments),
        Some(&row.arguments_digest),
    ];
    let mut bytes = Vec::with_capacity(512);
    for part in parts {
        match part {
            // A text is never so long.
            None => bytes.extend_from_slice(&u64::MAX.to_be_bytes()),
            Some(text) => {
                bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    bytes
}

/// The hash of a row's place in the chain, in hexadecimal.
pub(super) fn link(previous: &str, seq: i64, mac: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in ["fleetgate audit chain 1", previous, &seq.to_string(), mac] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex::encode(context.finish())
}
