//! What the browser says about a ceremony: `clientDataJSON` (§5.8.1).

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::{Refusal, RelyingParty};

/// Which ceremony it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ceremony {
    /// Making a passkey.
    Create,
    /// Using one.
    Get,
}

impl Ceremony {
    const fn kind(self) -> &'static str {
        match self {
            Ceremony::Create => "webauthn.create",
            Ceremony::Get => "webauthn.get",
        }
    }
}

/// What counts of it; browsers may say more. A name that stands twice is refused by serde.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: Option<bool>,
    #[serde(rename = "topOrigin", default)]
    top_origin: Option<String>,
}

/// The numbers are those of §7.1; §7.2 has the same steps from 9 on.
pub(super) fn check(
    bytes: &[u8],
    ceremony: Ceremony,
    challenge_hash: &[u8; 32],
    rp: &RelyingParty,
) -> Result<(), Refusal> {
    // Steps 5 and 6: UTF-8, then JSON, and nothing behind it.
    let malformed = Refusal::Malformed("clientDataJSON");
    let text = std::str::from_utf8(bytes).map_err(|_| malformed.clone())?;
    let data: ClientData = serde_json::from_str(text).map_err(|_| malformed)?;
    // Step 7.
    if data.kind != ceremony.kind() {
        return Err(Refusal::WrongType);
    }
    // Step 8: by the hash, which is all that was kept; in constant time.
    let hash = digest(&SHA256, data.challenge.as_bytes());
    if !bool::from(hash.as_ref().ct_eq(challenge_hash)) {
        return Err(Refusal::WrongChallenge);
    }
    // Step 9, to the letter: browsers write origins in one form.
    if data.origin != rp.origin() {
        return Err(Refusal::WrongOrigin(rp.origin().to_owned()));
    }
    // Level 3: we are never shown in another site's frame.
    if data.cross_origin == Some(true) || data.top_origin.is_some() {
        return Err(Refusal::CrossOrigin);
    }
    // Step 10: token binding was given up by browsers and is not looked at.
    Ok(())
}
