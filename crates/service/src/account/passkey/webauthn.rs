//! What a relying party checks of a passkey, by W3C Web Authentication. Pure: no clock, no database, no randomness.
//!
//! The steps are those of Level 2, §7.1 (registration) and §7.2 (authentication), by their numbers; what Level 3 adds is marked
//! so. Stricter than asked for: the user has to be verified, frames of other sites are refused, CBOR has one form
//! ([`cbor`]), keys are of three kinds ([`cose`]), nothing may follow what is read.
//!
//! Not done on purpose: attestation statements are read and not evaluated, so that nothing is known about the make of an
//! authenticator; extensions are not asked for, and what authenticators say of them is ignored; token binding is unused.

mod authenticator_data;
mod cbor;
mod client_data;
mod cose;
mod relying_party;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cbor4ii::core::Value;
use ring::digest::{SHA256, digest};

use authenticator_data::AuthenticatorData;
use client_data::Ceremony;
pub(crate) use cose::Algorithm;
use cose::PublicKey;
pub use relying_party::{NoPasskeys, RelyingParty};

/// Bounds of what is read, in bytes before base64url is taken off. The longest of real ones is some 6 KB (a TPM's attestation).
const MAX_CLIENT_DATA_BYTES: usize = 8 * 1024;
const MAX_ATTESTATION_BYTES: usize = 64 * 1024;
const MAX_AUTHENTICATOR_DATA_BYTES: usize = 4 * 1024;
const MAX_SIGNATURE_BYTES: usize = 1024;

/// The longest id that an authenticator may give, by Level 3.
const MAX_CREDENTIAL_ID_BYTES: usize = 1_023;

/// How browsers reach authenticators; what is not known is not kept.
const TRANSPORTS: [&str; 7] = ["ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"];

/// `RegistrationResponseJSON` of the specification, as far as it is used; all but the transports in base64url.
#[derive(Clone, Debug)]
pub struct RegistrationResponse {
    /// The credential's id.
    pub id: String,
    /// `response.clientDataJSON`.
    pub client_data_json: String,
    /// `response.attestationObject`.
    pub attestation_object: String,
    /// `response.transports`.
    pub transports: Vec<String>,
}

/// `AuthenticationResponseJSON` of the specification, as far as it is used; all in base64url.
#[derive(Clone, Debug)]
pub struct AssertionResponse {
    /// The credential's id.
    pub id: String,
    /// `response.clientDataJSON`.
    pub client_data_json: String,
    /// `response.authenticatorData`.
    pub authenticator_data: String,
    /// `response.signature`.
    pub signature: String,
    /// `response.userHandle`, which only some authenticators give.
    pub user_handle: Option<String>,
}

/// A passkey that was made as asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// In base64url.
    pub(crate) credential_id: String,
    /// The COSE key in base64url.
    pub(crate) public_key: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) sign_count: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
    /// Sorted, each once.
    pub(crate) transports: Vec<String>,
}

/// What is known of a passkey that is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// In base64url.
    pub(crate) credential_id: &'a str,
    /// The COSE key in base64url.
    pub(crate) public_key: &'a str,
    pub(crate) sign_count: u32,
    pub(crate) backup_eligible: bool,
    /// What the authenticator was told about whose it is.
    pub(crate) user_handle: &'a [u8],
}

/// A use of a passkey that was good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) sign_count: u32,
    pub(crate) backed_up: bool,
}

/// Why a passkey is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not of the form of the specification.
    #[error("`{0}` has not the form that browsers and authenticators give it")]
    Malformed(&'static str),
    /// Made for the other ceremony.
    #[error(
        "it was made for another purpose; make a passkey with `navigator.credentials.create`, use one with `.get`"
    )]
    WrongType,
    /// Not the challenge that was given out, or too late, or not the first answer.
    #[error("it answers no challenge that is open; each can be answered once, within five minutes")]
    WrongChallenge,
    /// The page is not ours.
    #[error("it was made on another page than one of `{0}`; open the server by that address")]
    WrongOrigin(String),
    /// The page stood in a frame of another site.
    #[error("it was made in a frame of another site; open the server in a window of its own")]
    CrossOrigin,
    /// Bound to another name.
    #[error("it is bound to another server than `{0}`")]
    WrongRelyingParty(String),
    /// Nobody touched the authenticator.
    #[error("the authenticator did not notice anybody; touch it")]
    NotPresent,
    /// The authenticator did not ask who is there.
    #[error("the authenticator did not check who you are; use one with a PIN, a fingerprint or a face")]
    NotVerified,
    /// Copied, but must not be; or it may be copied and might not before.
    #[error("what the authenticator says about copies of the passkey cannot be")]
    Backup,
    /// A kind of key that was not asked for.
    #[error("its kind of key is none of ES256, EdDSA and RS256 (2048 to 4096 bits)")]
    UnsupportedKey,
    /// None of the user's passkeys for this server.
    #[error("it is none of your passkeys for this server")]
    Unknown,
    /// Somebody else's.
    #[error("it is somebody else's")]
    WrongUser,
    /// The signature is not of this key, or of something else.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The count of signatures did not grow.
    #[error(
        "its count of signatures did not grow, so a copy of it may be in use; remove it and tell who manages users"
    )]
    Cloned,
}

/// Checks a new passkey: §7.1. Whether the id is new (step 22) is the store's to know.
pub(crate) fn register(
    rp: &RelyingParty,
    challenge_hash: &[u8; 32],
    response: &RegistrationResponse,
) -> Result<Registered, Refusal> {
    // Steps 1 to 4 are the browser's and the route's.
    let client_data = decode("clientDataJSON", &response.client_data_json, MAX_CLIENT_DATA_BYTES)?;
    // Steps 5 to 10, and the origin of frames (Level 3).
    client_data::check(&client_data, Ceremony::Create, challenge_hash, rp)?;
    // Step 11, the hash of the client data, is for attestation statements, which are not evaluated.
    let object = decode("attestationObject", &response.attestation_object, MAX_ATTESTATION_BYTES)?;
    // Step 12.
    let authenticator_data = attested(&object)?;
    let data = AuthenticatorData::read(&authenticator_data)?;
    // Steps 13 to 15, and what is said about backups (Level 3).
    data.check(rp)?;
    let credential = data.credential.as_ref().ok_or(Refusal::Malformed("attestationObject"))?;
    // Step 16: the key is of a kind that was asked for.
    let key = PublicKey::read(credential.public_key)?;
    // Step 17: no extensions were asked for; what is said of them is ignored.
    // Steps 18 to 21 and 24: attestation "none" was asked for. Whatever statement came is not evaluated and proves nothing.
    // Level 3: no id is longer than this. What the browser calls the credential is what the authenticator called it.
    if credential.id.is_empty() || credential.id.len() > MAX_CREDENTIAL_ID_BYTES {
        return Err(Refusal::Malformed("attestationObject"));
    }
    if decode("id", &response.id, MAX_CREDENTIAL_ID_BYTES)? != credential.id {
        return Err(Refusal::Malformed("id"));
    }
    // Step 23.
    Ok(Registered {
        credential_id: URL_SAFE_NO_PAD.encode(credential.id),
        public_key: URL_SAFE_NO_PAD.encode(credential.public_key),
        algorithm: key.algorithm(),
        sign_count: data.sign_count,
        backup_eligible: data.flags.backup_eligible(),
        backed_up: data.flags.backed_up(),
        transports: known_transports(&response.transports),
    })
}

/// Checks the use of a passkey: §7.2. That it is one of the user's and for this server (steps 5 to 7) was found by its id.
pub(crate) fn authenticate(
    rp: &RelyingParty,
    challenge_hash: &[u8; 32],
    known: &Known<'_>,
    response: &AssertionResponse,
) -> Result<Used, Refusal> {
    // Steps 1 to 4 are the browser's and the route's. Step 5: one of those that were named.
    if response.id != known.credential_id {
        return Err(Refusal::Unknown);
    }
    // Step 6: if the authenticator says whose it is, it is this user's.
    if let Some(handle) = &response.user_handle
        && decode("userHandle", handle, 64)? != known.user_handle
    {
        return Err(Refusal::WrongUser);
    }
    // Step 7.
    let key_bytes = decode("publicKey", known.public_key, MAX_AUTHENTICATOR_DATA_BYTES)?;
    let key = PublicKey::read(&key_bytes)?;
    // Step 8.
    let client_data = decode("clientDataJSON", &response.client_data_json, MAX_CLIENT_DATA_BYTES)?;
    let authenticator_data =
        decode("authenticatorData", &response.authenticator_data, MAX_AUTHENTICATOR_DATA_BYTES)?;
    let signature = decode("signature", &response.signature, MAX_SIGNATURE_BYTES)?;
    // Steps 9 to 14, and the origin of frames (Level 3).
    client_data::check(&client_data, Ceremony::Get, challenge_hash, rp)?;
    let data = AuthenticatorData::read(&authenticator_data)?;
    // Steps 15 to 17, and what is said about backups (Level 3). Step 18: extensions were not asked for and are ignored.
    data.check(rp)?;
    if data.credential.is_some() {
        return Err(Refusal::Malformed("authenticatorData"));
    }
    // Level 3: whether it may be copied was fixed when it was made.
    if data.flags.backup_eligible() != known.backup_eligible {
        return Err(Refusal::Backup);
    }
    // Steps 19 and 20.
    let hash = digest(&SHA256, &client_data);
    let signed = [authenticator_data.as_slice(), hash.as_ref()].concat();
    key.verify(&signed, &signature)?;
    // Step 21.
    if !count_grew(known.sign_count, data.sign_count) {
        return Err(Refusal::Cloned);
    }
    // Step 22.
    Ok(Used { sign_count: data.sign_count, backed_up: data.flags.backed_up() })
}

/// §7.2 step 21: where either side counts, the count has to grow. Authenticators that do not count show 0 for ever.
fn count_grew(before: u32, now: u32) -> bool {
    now > before || (now == 0 && before == 0)
}

/// The authenticator data of an attestation object: a map of exactly three entries (§6.5.4).
fn attested(object: &[u8]) -> Result<Vec<u8>, Refusal> {
    let malformed = || Refusal::Malformed("attestationObject");
    let Some((Value::Map(mut entries), [])) = cbor::read(object) else { return Err(malformed()) };
    if entries.len() != 3 {
        return Err(malformed());
    }
    let mut take = |name: &str| {
        let at = entries.iter().position(|(key, _)| *key == Value::Text(name.to_owned()))?;
        Some(entries.swap_remove(at).1)
    };
    match (take("fmt"), take("attStmt"), take("authData")) {
        (Some(Value::Text(format)), Some(Value::Map(statement)), Some(Value::Bytes(data)))
            // §8.7: "none" says nothing.
            if format != "none" || statement.is_empty() =>
        {
            Ok(data)
        }
        _ => Err(malformed()),
    }
}

fn known_transports(said: &[String]) -> Vec<String> {
    TRANSPORTS
        .iter()
        .filter(|known| said.iter().any(|one| one == *known))
        .map(|one| (*one).to_owned())
        .collect()
}

/// Base64url without padding, as the specification writes bytes in JSON.
fn decode(what: &'static str, text: &str, max_bytes: usize) -> Result<Vec<u8>, Refusal> {
    if text.len() > max_bytes.div_ceil(3) * 4 {
        return Err(Refusal::Malformed(what));
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed(what))?;
    if bytes.len() > max_bytes { Err(Refusal::Malformed(what)) } else { Ok(bytes) }
}

#[cfg(test)]
pub(crate) mod authenticator;
#[cfg(test)]
mod tests;
