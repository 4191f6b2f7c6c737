//! Signing in with user name and password: what Tactical tells apart, and what it does not.

use provider::{ErrorKind, Offer, Problem, ProviderError};

use super::failure;

/// 400 "Bad credentials" from the first step: five causes, one answer.
pub(crate) fn login_refused() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "login_refused",
            "Tactical refused this user name and password. It does not tell why.",
            "Check, in this order: the user name and its capital letters; the password; whether the user signs in \
             through SSO; whether *Block dashboard login* is on for the user; whether local sign-in is switched off. \
             In the last three cases use an API key instead.",
        ),
    )
}

/// The account has a second factor and there is no code.
pub(crate) fn totp_needed() -> ProviderError {
    failure(
        ErrorKind::CodeNeeded,
        Problem::new(
            "totp_needed",
            "Tactical wants the code of your authenticator app.",
            "Enter the current six digits. The code is used once and not kept. An API key needs no code.",
        )
        .offering(Offer::AskCode),
    )
}

/// The password was right, the typed code was not.
pub(crate) fn totp_wrong() -> ProviderError {
    failure(
        ErrorKind::CodeNeeded,
        Problem::new(
            "totp_wrong",
            "Tactical refused the code. User name and password are right.",
            "Wait for the next code and enter it. If it is refused again, check that the app's entry belongs to this \
             user, and that the clock of your phone is right.",
        )
        .offering(Offer::AskCode),
    )
}

/// Not six digits: not sent, because each try counts against Tactical's limit.
pub(crate) fn totp_malformed() -> ProviderError {
    failure(
        ErrorKind::CodeNeeded,
        Problem::new(
            "totp_malformed",
            "The code is not six digits, so it was not sent.",
            "Enter the six digits that the authenticator app shows now.",
        )
        .offering(Offer::AskCode),
    )
}

/// The stored secret for codes gives codes that Tactical refuses.
pub(crate) fn totp_secret_wrong() -> ProviderError {
    failure(
        ErrorKind::CodeNeeded,
        Problem::new(
            "totp_secret_wrong",
            "Tactical refused the code made from the stored TOTP secret.",
            "Check that the secret belongs to this user and was not replaced in Tactical, and that the clock of the \
             machine that runs Fleetgate is right. To go on now, enter a code by hand.",
        )
        .offering(Offer::AskCode),
    )
}

/// The stored secret is not one.
pub(crate) fn totp_secret_unusable() -> ProviderError {
    failure(
        ErrorKind::CodeNeeded,
        Problem::new(
            "totp_secret_unusable",
            "The stored TOTP secret cannot be used: Tactical's are 32 letters and digits from A to Z and 2 to 7.",
            "Enter the secret that Tactical showed when the second factor was set up, not a six-digit code. Or leave \
             it empty and enter a code at each sign-in.",
        )
        .offering(Offer::AskCode),
    )
}

/// 429 from one of the two login routes.
pub(crate) fn login_throttled(wait_s: Option<u64>) -> ProviderError {
    let wait = wait_s.map_or_else(|| "a minute".to_owned(), |seconds| format!("{seconds} seconds"));
    let mut problem = Problem::new(
        "login_throttled",
        format!("Tactical takes no more sign-ins from this address for now. Wait {wait}."),
        format!("Try again in {wait}. Tactical allows ten a minute and 300 a day, right or wrong."),
    );
    problem.wait_s = wait_s;
    failure(ErrorKind::RateLimited, problem)
}

/// User name or password is not set.
pub(crate) fn login_incomplete() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "login_incomplete",
            "User name or password is missing.",
            "Enter both, in the fields `tacticalrmm_username` and `tacticalrmm_password`.",
        ),
    )
}

/// No API key is set.
pub(crate) fn key_not_set() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "key_not_set",
            "No API key is set.",
            "Make one in Tactical under Settings, Global Settings, API Keys, and enter it here.",
        ),
    )
}

/// The key holds characters that no header can carry.
pub(crate) fn key_unusable() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "key_unusable",
            "The API key has characters that no key has, such as a line break. It was not sent.",
            "Copy it again in Tactical under Settings, Global Settings, API Keys: 32 capital letters and digits.",
        ),
    )
}

/// Nobody signed in yet.
pub(crate) fn not_signed_in() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "not_signed_in",
            "Nobody is signed in at Tactical for this integration.",
            "Sign in with user name, password and, if the account has one, the code of the authenticator app.",
        ),
    )
}

/// A sign-in was asked for in a mode that has none, or in a mode that does not exist.
pub(crate) fn no_sign_in() -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "no_sign_in",
            "This integration uses an API key, which needs no sign-in.",
            "Run Test Connection instead. To sign in with a user name, change the way of authentication first.",
        ),
    )
}
