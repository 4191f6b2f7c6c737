//! Keys and tokens: what Datto RMM tells apart, and what it does not.

use provider::{ErrorKind, Problem, ProviderError};

use super::failure;

/// The token request was refused: Datto RMM does not tell why.
pub(crate) fn login_refused() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "login_refused",
            "Datto RMM refused this API key and secret. It does not tell why.",
            "Check, in this order: that the API URL is the one shown beside the key, because another platform does not \
             know it; key and secret, each copied whole; that API access is on under Setup, Global Settings, Access \
             Control; that the user who owns the key is active, and has no newer keys.",
        ),
    )
}

/// The token route does not exist there.
pub(crate) fn sign_in_not_here() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "sign_in_not_here",
            "Nobody signs in at this address: it does not know Datto RMM's sign-in.",
            "Enter the API URL that Datto RMM shows beside the key. The wrong platform may answer like this.",
        ),
    )
}

/// HTML instead of a token: seen on a day when Datto RMM was updated.
pub(crate) fn sign_in_page() -> ProviderError {
    failure(
        ErrorKind::Unavailable,
        Problem::new(
            "sign_in_page",
            "Datto RMM answered the sign-in with a page instead of a token.",
            "It does that while it is being updated: try again in some minutes, and look at Datto's status page. If it \
             goes on, a proxy between Fleetgate and Datto RMM answers in its place.",
        ),
    )
}

/// 429 from the token route.
pub(crate) fn login_throttled(wait_s: u64) -> ProviderError {
    let mut problem = Problem::new(
        "login_throttled",
        format!("Datto RMM takes no more sign-ins for now. Wait {wait_s} seconds."),
        "Fleetgate tries again by itself. If it happens often, another program signs in with the same key all the time.",
    );
    problem.wait_s = Some(wait_s);
    failure(ErrorKind::RateLimited, problem)
}

/// 401 with a token. Ended, revoked and of another platform look alike.
pub(crate) fn token_lapsed() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "token_lapsed",
            "The access to Datto RMM has ended: it does not take the token any more.",
            "Fleetgate signs in again by itself with the API key. If that is refused too, the key was replaced or its user \
             was switched off: run Test Connection.",
        ),
    )
}

/// Nobody signed in yet.
pub(crate) fn not_signed_in() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "not_signed_in",
            "There is no token of Datto RMM for this integration yet.",
            "Run Test Connection: it signs in with the API key and secret.",
        ),
    )
}

/// 401 with a key in the header.
pub(crate) fn key_refused() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "key_refused",
            "Datto RMM refused the API key in the header `x-au-api-key`.",
            "Datto RMM usually gives a key together with a secret: then choose `API key and secret`. If you were given a \
             single key, check that it was copied whole, and the API root.",
        ),
    )
}

/// Key or secret is not set.
pub(crate) fn login_incomplete() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "login_incomplete",
            "API key or API secret is missing.",
            "Enter both, in the fields `datto_rmm_api_key` and `datto_rmm_api_secret`. If you only have the key, generate \
             new ones in Datto RMM under Setup, Users: the secret is shown once.",
        ),
    )
}

/// No key is set.
pub(crate) fn key_not_set() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "key_not_set",
            "No API key is set.",
            "Enter it in the field `datto_rmm_api_key`. Keys are made in Datto RMM under Setup, Users.",
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
            "Copy it again in Datto RMM under Setup, Users.",
        ),
    )
}

/// The API root is not a path.
pub(crate) fn root_unusable() -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "root_unusable",
            "The API root is not a path. Nothing was sent.",
            "Enter a path like `/api/v2` in the field `datto_rmm_api_root`, without host, `?` and `..`, or leave it empty.",
        ),
    )
}

/// A sign-in was asked for in a mode that has none.
pub(crate) fn no_sign_in() -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "no_sign_in",
            "This integration sends an API key in a header, which needs no sign-in.",
            "Run Test Connection instead. To sign in with key and secret, change the way of authentication first.",
        ),
    )
}
