//! Passwords: Argon2id, and nothing else. Each call takes about 100 ms of one core: run it off the runtime.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc::PasswordHash,
};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Result, StoreError};

/// Memory for one hash.
const MEMORY_KIB: u32 = 32 * 1024;

/// Passes over it.
const PASSES: u32 = 3;

/// A hash of no password, for equal work where there is no account.
const NOBODY: &str =
    "$argon2id$v=19$m=32768,t=3,p=1$bm9ib2R5IG5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The hash to store, as PHC text with its own salt and parameters.
pub fn hash(password: &SecretString) -> String {
    let hash: PasswordHash = hasher()
        .hash_password(password.expose_secret().as_bytes())
        .expect("constant parameters and a bounded password can be hashed");
    hash.to_string()
}

/// Is it the password of this hash? [`StoreError::Corrupt`] if the hash cannot be read.
pub fn verify(password: &SecretString, hash: &str) -> Result<bool> {
    let hash = PasswordHash::new(hash).map_err(|_| StoreError::Corrupt { what: "password hash" })?;
    Ok(hasher().verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
}

/// Does the work of [`verify`] where there is nobody to compare with.
pub fn verify_nobody(password: &SecretString) {
    let nobody = PasswordHash::new(NOBODY).expect("the constant is a hash");
    let _never = hasher().verify_password(password.expose_secret().as_bytes(), &nobody);
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_fits_its_hash() {
        let stored = hash(&"correct horse battery".into());
        assert!(verify(&"correct horse battery".into(), &stored).unwrap());
        assert!(!verify(&"correct horse batterx".into(), &stored).unwrap());
        assert!(verify(&"x".into(), "not a hash").is_err());
    }

    #[test]
    fn nobody_costs_what_somebody_costs() {
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(NOBODY), parameters(&hash(&"correct horse battery".into())));
        verify_nobody(&"correct horse battery".into());
    }
}
