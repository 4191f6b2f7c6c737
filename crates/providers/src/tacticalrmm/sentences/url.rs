//! What a pasted address may be instead of the API's.

use provider::{Offer, Problem};

use crate::pasted::NoAddress;

const EXAMPLE: &str = "Enter the address of Tactical's API, like `https://api.example.com`.";

/// The sentence for what was pasted.
pub(crate) fn no_address(why: NoAddress) -> Problem {
    match why {
        NoAddress::Empty => url_empty(),
        NoAddress::Unreadable => url_unreadable(),
        NoAddress::Scheme(scheme) => url_scheme(&scheme),
        NoAddress::Userinfo => url_userinfo(),
        NoAddress::Key => url_is_key(),
    }
}

pub(crate) fn url_empty() -> Problem {
    Problem::new("url_empty", "The address is empty.", EXAMPLE)
}

pub(crate) fn url_unreadable() -> Problem {
    Problem::new("url_unreadable", "This is not a web address.", EXAMPLE)
}

pub(crate) fn url_scheme(scheme: &str) -> Problem {
    let message = format!("An address that starts with `{scheme}://` is not one of Tactical's API.");
    Problem::new("url_scheme", message, EXAMPLE)
}

/// The message does not repeat what was pasted: it holds a password.
pub(crate) fn url_userinfo() -> Problem {
    Problem::new(
        "url_userinfo",
        "The address holds a user name or a password, before the `@`. It was not kept.",
        "Enter the address without them, like `https://api.example.com`. Credentials have fields of their own.",
    )
}

/// Thirty-two capitals and digits: the key was pasted into the wrong field. It is not repeated.
pub(crate) fn url_is_key() -> Problem {
    Problem::new(
        "url_is_key",
        "This looks like an API key, not like an address. It was not kept.",
        "Enter the address here, like `https://api.example.com`, and the key in the field `tacticalrmm_api_key`.",
    )
}

/// A warning: the name is usually the dashboard's or MeshCentral's.
pub(crate) fn looks_like_dashboard(label: &str, guess: &str) -> Problem {
    Problem::new(
        "looks_like_dashboard",
        format!("A name that begins with `{label}.` usually is not the API but another part of Tactical."),
        format!("The API probably is at `{guess}`."),
    )
    .offering(Offer::UseUrl { url: guess.to_owned() })
}
