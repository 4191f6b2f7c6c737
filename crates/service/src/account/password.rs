//! What a password must be, and hashing it without starving the rest.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use store::people::password;
use tokio::sync::Semaphore;

use crate::{
    error::{Result, ServiceError},
    spawn,
};

const MIN_CHARS: usize = 12;
const MAX_CHARS: usize = 256;

/// Hashes at the same time: a flood of sign-ins leaves cores for the rest.
const AT_ONCE: usize = 2;

/// Refuses passwords that are short, endless, or the e-mail address.
pub(super) fn check(password: &SecretString, email: &str) -> Result<()> {
    let text = password.expose_secret();
    let chars = text.chars().count();
    let problem = if chars < MIN_CHARS {
        "the password is shorter than 12 characters; a few words in a row are easy to keep"
    } else if chars > MAX_CHARS {
        "the password is longer than 256 characters; shorten it"
    } else if text.trim().to_lowercase() == email.trim().to_lowercase() {
        "the password is the e-mail address; choose another"
    } else {
        return Ok(());
    };
    Err(ServiceError::invalid("password", "weak_password", problem))
}

/// Hashes and verifies passwords, two at once.
#[derive(Clone)]
pub(super) struct Hasher {
    slots: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Hasher { slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Hasher {
    /// The hash to store.
    pub(super) async fn hash(&self, password: SecretString) -> String {
        self.work(move || password::hash(&password)).await
    }

    /// Is it the password of this hash? Without a hash the answer is no, after the same work.
    pub(super) async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        // No stored password is longer: such a text never fits, whoever it is for.
        if password.expose_secret().chars().count() > MAX_CHARS {
            return Ok(false);
        }
        let verified = self.work(move || match hash {
            Some(hash) => password::verify(&password, &hash),
            None => {
                password::verify_nobody(&password);
                Ok(false)
            }
        });
        Ok(verified.await?)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        // The slot goes along: it stays taken while the thread works, even if the request is gone.
        spawn::blocking(move || {
            let _slot = slot;
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_password(password: &str, expected: &str) {
        let told = match check(&password.into(), "Ada.Lovelace@example.com") {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn passwords_are_long_and_not_the_address() {
        check_password("correct horse", "fine");
        check_password("elevenchars", "shorter than 12");
        check_password(&"x".repeat(257), "longer than 256");
        check_password(" ada.lovelace@example.com", "e-mail address");
        check_password("äöüäöüäöüäöü", "fine");
    }
}
