//! What a pasted address may be instead of the API's.

use provider::Problem;

use crate::pasted::NoAddress;

const EXAMPLE: &str = "Enter the API URL that Datto RMM shows beside the key, like `https://pinotage-api.centrastage.net`, \
                       or the name of your platform: pinotage, merlot, concord, vidal, zinfandel or syrah.";

/// The sentence for what was pasted.
pub(crate) fn no_address(why: NoAddress) -> Problem {
    match why {
        NoAddress::Empty => Problem::new("url_empty", "The address is empty.", EXAMPLE),
        NoAddress::Unreadable => url_unreadable(),
        NoAddress::Scheme(scheme) => {
            let message = format!("An address that starts with `{scheme}://` is not one of Datto RMM's API.");
            Problem::new("url_scheme", message, EXAMPLE)
        }
        NoAddress::Userinfo => Problem::new(
            "url_userinfo",
            "The address holds a user name or a password, before the `@`. It was not kept.",
            "Enter the address without them, like `https://pinotage-api.centrastage.net`. Credentials have fields of \
             their own.",
        ),
        NoAddress::Key => Problem::new(
            "url_is_key",
            "This looks like an API key, not like an address. It was not kept.",
            "Enter the API URL here, like `https://pinotage-api.centrastage.net`, and the key in the field \
             `datto_rmm_api_key`.",
        ),
    }
}

pub(crate) fn url_unreadable() -> Problem {
    Problem::new("url_unreadable", "This is not a web address, and not the name of a platform.", EXAMPLE)
}

/// One word, but none of the six names.
pub(crate) fn url_platform_unknown() -> Problem {
    Problem::new(
        "url_platform_unknown",
        "Datto RMM has no platform of this name that Fleetgate knows.",
        "The platforms are pinotage, merlot, concord, vidal, zinfandel and syrah. For another one enter the whole API URL \
         that Datto RMM shows beside the key.",
    )
}

/// The console, but which platform's?
pub(crate) fn url_console() -> Problem {
    Problem::new(
        "url_console",
        "This address of the console does not say which platform your account is on.",
        "Sign in to Datto RMM: the address in the browser then begins with the platform, like \
         `https://pinotage.rmm.datto.com`. Enter that one, or the API URL shown beside the key.",
    )
}

/// A host that credentials are not sent to.
pub(crate) fn url_not_datto() -> Problem {
    Problem::new(
        "url_not_datto",
        "This is not an address of Datto RMM. Its API lives at hosts that end in `.centrastage.net`.",
        "Enter the API URL that Datto RMM shows beside the key. If a proxy of your own stands in front of it, whoever runs \
         Fleetgate has to add that host to `outbound.rmm_hosts` in the configuration.",
    )
}
