//! Texts that let their holder in: random, and stored as a hash only.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A new one: `prefix` and 256 random bits as 43 characters.
pub(super) fn generate(prefix: &str) -> SecretString {
    let mut random = Zeroizing::new([0_u8; 32]);
    getrandom::fill(random.as_mut_slice()).expect("the operating system gives random bytes");
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
    let mut whole = String::with_capacity(prefix.len() + text.len());
    whole.push_str(prefix);
    whole.push_str(&text);
    SecretString::from(whole)
}

/// What is stored of it. A plain hash is enough: 256 random bits cannot be guessed.
pub(crate) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
