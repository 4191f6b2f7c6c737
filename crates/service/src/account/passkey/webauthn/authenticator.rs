//! An authenticator and a browser in software, for tests: makes what real ones make, and every part of it can be made wrong.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cbor4ii::core::{Value, enc::Encode as _, utils::BufWriter};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;

use super::{AssertionResponse, RegistrationResponse};

/// UP, UV.
pub(crate) const PRESENT: u8 = 0x01;
pub(crate) const VERIFIED: u8 = 0x04;
pub(crate) const BACKUP_ELIGIBLE: u8 = 0x08;
pub(crate) const BACKED_UP: u8 = 0x10;
const CREDENTIAL: u8 = 0x40;

enum Key {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

pub(crate) struct Authenticator {
    key: Key,
    pub(crate) id: Vec<u8>,
    pub(crate) rp_id: String,
    pub(crate) origin: String,
    pub(crate) flags: u8,
    pub(crate) count: u32,
    pub(crate) user_handle: Option<Vec<u8>>,
}

/// What is put together before it is sent.
#[derive(Clone)]
pub(crate) struct Making {
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) object: Vec<u8>,
    pub(crate) transports: Vec<String>,
}

impl Making {
    pub(crate) fn response(&self) -> RegistrationResponse {
        RegistrationResponse {
            id: URL_SAFE_NO_PAD.encode(&self.id),
            client_data_json: URL_SAFE_NO_PAD.encode(&self.client_data),
            attestation_object: URL_SAFE_NO_PAD.encode(&self.object),
            transports: self.transports.clone(),
        }
    }
}

/// What is put together before it is sent.
#[derive(Clone)]
pub(crate) struct Using {
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) user_handle: Option<Vec<u8>>,
}

impl Using {
    pub(crate) fn response(&self) -> AssertionResponse {
        AssertionResponse {
            id: URL_SAFE_NO_PAD.encode(&self.id),
            client_data_json: URL_SAFE_NO_PAD.encode(&self.client_data),
            authenticator_data: URL_SAFE_NO_PAD.encode(&self.data),
            signature: URL_SAFE_NO_PAD.encode(&self.signature),
            user_handle: self.user_handle.as_ref().map(|handle| URL_SAFE_NO_PAD.encode(handle)),
        }
    }
}

impl Authenticator {
    pub(crate) fn es256(rp_id: &str, origin: &str) -> Authenticator {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
        Authenticator::new(Key::Es256(Box::new(pair.unwrap())), rp_id, origin)
    }

    pub(crate) fn ed_dsa(rp_id: &str, origin: &str) -> Authenticator {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Authenticator::new(Key::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()), rp_id, origin)
    }

    fn new(key: Key, rp_id: &str, origin: &str) -> Authenticator {
        let public = match &key {
            Key::Es256(pair) => pair.public_key().as_ref(),
            Key::EdDsa(pair) => pair.public_key().as_ref(),
        };
        let id = digest(&SHA256, public).as_ref().to_vec();
        let (rp_id, origin) = (rp_id.to_owned(), origin.to_owned());
        Authenticator { id, key, rp_id, origin, flags: PRESENT | VERIFIED, count: 0, user_handle: None }
    }

    /// The entries of the COSE key, in their order.
    pub(crate) fn cose(&self) -> Vec<(Value, Value)> {
        match &self.key {
            Key::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let parts = [(1, int(2)), (3, int(-7)), (-1, int(1)), (-2, bytes(x)), (-3, bytes(y))];
                parts.map(|(key, value)| (int(key), value)).to_vec()
            }
            Key::EdDsa(pair) => {
                let x = pair.public_key().as_ref();
                let parts = [(1, int(1)), (3, int(-8)), (-1, int(6)), (-2, bytes(x))];
                parts.map(|(key, value)| (int(key), value)).to_vec()
            }
        }
    }

    pub(crate) fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        let data =
            json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        data.to_string().into_bytes()
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let hash = digest(&SHA256, self.rp_id.as_bytes());
        [hash.as_ref(), &[flags], &self.count.to_be_bytes()].concat()
    }

    /// Authenticator data with a new credential.
    pub(crate) fn attested_data(&self, cose: &[u8]) -> Vec<u8> {
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        [self.head(self.flags | CREDENTIAL).as_slice(), &[7; 16], &length, &self.id, cose].concat()
    }

    pub(crate) fn making(&self, challenge: &str) -> Making {
        Making {
            id: self.id.clone(),
            client_data: self.client_data("webauthn.create", challenge),
            object: object("none", Vec::new(), &self.attested_data(&encoded(&Value::Map(self.cose())))),
            transports: vec!["internal".to_owned(), "hybrid".to_owned(), "of the future".to_owned()],
        }
    }

    pub(crate) fn create(&self, challenge: &str) -> RegistrationResponse {
        self.making(challenge).response()
    }

    /// Signs what stands in `client_data`.
    pub(crate) fn using_with(&self, client_data: Vec<u8>, data: Vec<u8>) -> Using {
        let signed = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        let signature = match &self.key {
            Key::Es256(pair) => pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec(),
            Key::EdDsa(pair) => pair.sign(&signed).as_ref().to_vec(),
        };
        Using { id: self.id.clone(), client_data, data, signature, user_handle: self.user_handle.clone() }
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        self.head(self.flags)
    }

    pub(crate) fn using(&self, challenge: &str) -> Using {
        self.using_with(self.client_data("webauthn.get", challenge), self.data())
    }

    pub(crate) fn get(&self, challenge: &str) -> AssertionResponse {
        self.using(challenge).response()
    }
}

/// An attestation object.
pub(crate) fn object(format: &str, statement: Vec<(Value, Value)>, data: &[u8]) -> Vec<u8> {
    encoded(&Value::Map(vec![
        (text("fmt"), text(format)),
        (text("attStmt"), Value::Map(statement)),
        (text("authData"), bytes(data)),
    ]))
}

pub(crate) fn encoded(value: &Value) -> Vec<u8> {
    let mut to = BufWriter::new(Vec::new());
    value.encode(&mut to).unwrap();
    to.into_inner()
}

pub(crate) fn int(value: i128) -> Value {
    Value::Integer(value)
}

pub(crate) fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.to_vec())
}

pub(crate) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
