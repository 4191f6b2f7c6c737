//! People and what lets them in: the installation, its tenants, users, roles, second factors, sessions, tokens, and the
//! brake on guessing.
//!
//! Passwords, session and token texts are never stored: only their hashes are. The look-ups that come before the
//! tenant is known are in [`crate::gateway`].

pub mod password;
pub mod throttle;

mod challenge;
mod factor;
mod installation;
mod limit;
mod opaque;
mod passkey;
mod role;
mod session;
mod step_up;
mod tenant;
pub(crate) mod token;
pub(crate) mod user;

pub use challenge::{CHALLENGE_LIFETIME, CHALLENGE_TRIES};
pub use factor::{Factors, RECOVERY_CODES};
pub use installation::{FIRST_TENANT, InstallationKind, InstallationState, Setup, SetupState};
pub use passkey::{ChallengeFor, MAX_PASSKEYS, NewPasskey, Passkey, PasskeyChallenge, Passkeys};
pub use role::{RoleChange, Roles, SecondFactorRule};
pub use session::{NewSession, SessionInfo, Sessions};
pub use step_up::STEP_UP_LIFETIME;
pub use tenant::TenantInfo;
pub use token::{NewToken, TokenInfo, Tokens};
pub use user::{Limit, NewUser, User, UserChange, Users};

pub(crate) use opaque::digest;
pub(crate) use session::{IDLE_TIMEOUT, TOUCH_AFTER};

/// The statements of all modules of this one.
pub(crate) fn statements() -> Vec<(&'static str, &'static crate::sql::Sql)> {
    [
        challenge::ALL,
        factor::ALL,
        installation::ALL,
        limit::ALL,
        passkey::ALL,
        role::ALL,
        session::ALL,
        step_up::ALL,
        tenant::ALL,
        throttle::ALL,
        token::ALL,
        user::ALL,
    ]
    .concat()
}

/// The form by which e-mail addresses are compared.
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

#[cfg(test)]
mod tests;
