//! What the authenticator signs: `authenticatorData` (§6.1).

use cbor4ii::core::Value;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use super::{Refusal, RelyingParty, cbor};

/// Bit by bit, as §6.1 has them; two bits are of no use yet and are not looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags(u8);

impl Flags {
    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// UP: somebody touched it.
    const fn present(self) -> bool {
        self.has(0x01)
    }

    /// UV: it checked who.
    const fn verified(self) -> bool {
        self.has(0x04)
    }

    /// BE: the passkey may be copied to other machines.
    pub(super) const fn backup_eligible(self) -> bool {
        self.has(0x08)
    }

    /// BS: it is.
    pub(super) const fn backed_up(self) -> bool {
        self.has(0x10)
    }

    /// AT: a new credential follows.
    const fn has_credential(self) -> bool {
        self.has(0x40)
    }

    /// ED: extensions follow.
    const fn has_extensions(self) -> bool {
        self.has(0x80)
    }
}

/// A credential just made (§6.5.1).
#[derive(Debug)]
pub(super) struct Credential<'a> {
    pub(super) id: &'a [u8],
    /// A COSE key, not looked at yet.
    pub(super) public_key: &'a [u8],
}

/// What was read, to the last byte.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8],
    pub(super) flags: Flags,
    pub(super) sign_count: u32,
    pub(super) credential: Option<Credential<'a>>,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads it whole: what the flags announce is there, and nothing else.
    pub(super) fn read(bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, Refusal> {
        parse(bytes).ok_or(Refusal::Malformed("authenticatorData"))
    }

    /// The numbers are those of §7.1; §7.2 has the same steps from 15 on.
    pub(super) fn check(&self, rp: &RelyingParty) -> Result<(), Refusal> {
        // Step 13.
        let expected = digest(&SHA256, rp.id().as_bytes());
        if !bool::from(expected.as_ref().ct_eq(self.rp_id_hash)) {
            return Err(Refusal::WrongRelyingParty(rp.id().to_owned()));
        }
        // Step 14.
        if !self.flags.present() {
            return Err(Refusal::NotPresent);
        }
        // Step 15: always required here.
        if !self.flags.verified() {
            return Err(Refusal::NotVerified);
        }
        // Level 3: what must not be copied is not copied.
        if self.flags.backed_up() && !self.flags.backup_eligible() {
            return Err(Refusal::Backup);
        }
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Option<AuthenticatorData<'_>> {
    let (rp_id_hash, rest) = bytes.split_at_checked(32)?;
    let (&flags, rest) = rest.split_first()?;
    let flags = Flags(flags);
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut credential = None;
    if flags.has_credential() {
        let (_aaguid, after) = rest.split_at_checked(16)?;
        let (length, after) = after.split_first_chunk::<2>()?;
        let (id, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (_, behind) = cbor::read(after)?;
        let public_key = after.get(..after.len() - behind.len())?;
        credential = Some(Credential { id, public_key });
        rest = behind;
    }
    if flags.has_extensions() {
        let (Value::Map(_), behind) = cbor::read(rest)? else { return None };
        rest = behind;
    }
    let is_whole = rest.is_empty();
    is_whole.then_some(AuthenticatorData {
        rp_id_hash,
        flags,
        sign_count: u32::from_be_bytes(*count),
        credential,
    })
}
