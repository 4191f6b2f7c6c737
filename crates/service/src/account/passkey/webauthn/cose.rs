//! Public keys as authenticators write them: COSE keys (RFC 9052, RFC 9053, RFC 8230), of three kinds.
//!
//! Each has exactly the parameters of its kind, in the order of CTAP2 (§6.5.1.1 of Web Authentication), and the algorithm that
//! goes with it. Signatures are verified by `ring`.

use cbor4ii::core::Value;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{Refusal, cbor};

/// The longest COSE key: RS256 with 4096 bits, and some bytes around.
const MAX_KEY_BYTES: usize = 600;

/// What may be the modulus of a key for RS256, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// The exponent of every RSA key that authenticators make: 65537.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A kind of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// All, the preferred one first.
    pub(crate) const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

    /// The number by which COSE knows it.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Algorithm::Es256 => -7,
            Algorithm::EdDsa => -8,
            Algorithm::Rs256 => -257,
        }
    }
}

/// A key that can verify.
#[derive(Debug)]
pub(super) enum PublicKey {
    /// An uncompressed point.
    Es256([u8; 65]),
    EdDsa([u8; 32]),
    Rs256(Vec<u8>),
}

impl PublicKey {
    /// Reads a COSE key.
    pub(super) fn read(bytes: &[u8]) -> Result<PublicKey, Refusal> {
        if bytes.len() > MAX_KEY_BYTES {
            return Err(Refusal::UnsupportedKey);
        }
        let Some((Value::Map(entries), [])) = cbor::read(bytes) else {
            return Err(Refusal::Malformed("publicKey"));
        };
        parse(&entries).ok_or(Refusal::UnsupportedKey)
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            PublicKey::Es256(_) => Algorithm::Es256,
            PublicKey::EdDsa(_) => Algorithm::EdDsa,
            PublicKey::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Is it this key's signature of `message`? A point that is not on the curve shows here: it verifies nothing.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verified = match self {
            PublicKey::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            PublicKey::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            PublicKey::Rs256(modulus) => {
                RsaPublicKeyComponents { n: modulus.as_slice(), e: &RSA_EXPONENT[..] }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
        };
        verified.map_err(|_| Refusal::WrongSignature)
    }
}

/// `1` is the kind of key, `3` the algorithm, what is below 0 belongs to the kind. In a pattern, order and number are given too.
fn parse(entries: &[(Value, Value)]) -> Option<PublicKey> {
    let mut numbered = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Value::Integer(key) = key else { return None };
        numbered.push((*key, value));
    }
    use Value::{Bytes, Integer};
    match numbered.as_slice() {
        [(1, Integer(2)), (3, Integer(-7)), (-1, Integer(1)), (-2, Bytes(x)), (-3, Bytes(y))]
            if x.len() == 32 && y.len() == 32 =>
        {
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            point.try_into().ok().map(PublicKey::Es256)
        }
        [(1, Integer(1)), (3, Integer(-8)), (-1, Integer(6)), (-2, Bytes(x))] => {
            x.as_slice().try_into().ok().map(PublicKey::EdDsa)
        }
        [(1, Integer(3)), (3, Integer(-257)), (-1, Bytes(n)), (-2, Bytes(e))]
            if *e == RSA_EXPONENT && RSA_BITS.contains(&bits(n)) =>
        {
            Some(PublicKey::Rs256(n.clone()))
        }
        _ => None,
    }
}

/// The length of a number without leading zero bytes; 0 with one, because there is one form for each number.
fn bits(number: &[u8]) -> usize {
    match number.first() {
        Some(&first) if first > 0 => number.len() * 8 - first.leading_zeros() as usize,
        _ => 0,
    }
}
