//! Something answered: one sentence for each answer that is not the wanted one.

use provider::{ErrorKind, Offer, Problem, ProviderError};

use super::{Credential, capital, failure};

/// What is known about the right address when a dashboard answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// The API answered there, without credentials.
    Found(String),
    /// Asked, but there is no API.
    Tried(String),
    /// Not asked, or nothing to guess.
    Unknown,
}

/// HTML with status 200: Tactical's dashboard does that on any path.
pub(crate) fn dashboard_host(guess: &Guess) -> ProviderError {
    let message = "This address answers with web pages: it is the dashboard, not the API.";
    let problem = match guess {
        Guess::Found(url) => Problem::new(
            "dashboard_host",
            format!("{message} The API answers at `{url}`."),
            format!("Use `{url}`. The credentials are sent there only after you agreed."),
        )
        .offering(Offer::UseUrl { url: url.clone() }),
        Guess::Tried(url) => Problem::new(
            "dashboard_host",
            format!("{message} No API answered at `{url}` either."),
            "Enter the address of the API. It stands on the Tactical server in the file `local_settings.py`, at \
             `ALLOWED_HOSTS`, and usually begins with `api.`.",
        ),
        Guess::Unknown => Problem::new(
            "dashboard_host",
            message,
            "Enter the address of the API. It usually is the dashboard's with `api.` in place of `rmm.`. Test \
             Connection looks for it.",
        ),
    };
    failure(ErrorKind::NotAnApi, problem)
}

/// An answer with success and neither JSON nor HTML, or JSON that is not Tactical's.
pub(crate) fn not_tactical() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "not_tactical",
            "Something answers at this address, but not as Tactical RMM does.",
            "Enter the address of Tactical's API, like `https://api.example.com`. Opened in a browser it shows \
             `{\"status\":\"ok\"}`.",
        ),
    )
}

/// A redirect; never followed, because credentials belong to one host.
pub(crate) fn redirected(to_host: Option<&str>) -> ProviderError {
    let message = match to_host {
        Some(host) => {
            format!("The server sends callers on to `{host}`. Fleetgate does not follow with credentials.")
        }
        None => "The server sends callers on to another address. Fleetgate does not follow with credentials."
            .into(),
    };
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "redirected",
            message,
            "Enter the address that finally answers as the API. A redirect often comes from `http://` instead of \
             `https://`, or from a login page in front of Tactical.",
        ),
    )
}

/// 400 with HTML: the `Host` header is not one of Tactical's names.
pub(crate) fn wrong_host() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "wrong_host",
            "Tactical refuses this host name: it answers only to the names it was installed with.",
            "Enter the name of the API as Tactical knows it, usually `api.` and your domain. An IP address or another \
             name for the same machine does not work.",
        ),
    )
}

/// 404 with HTML on a path that every Tactical has.
pub(crate) fn unknown_path() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "unknown_path",
            "The server does not know this part of Tactical's API.",
            "Check that the address is the one of Tactical's API. If it is, Tactical may be too old: update it.",
        ),
    )
}

/// 500.
pub(crate) fn server_error(status: u16) -> ProviderError {
    failure(
        ErrorKind::Unavailable,
        Problem::new(
            "server_error",
            format!("Tactical failed while it answered (status {status}). Nothing was saved."),
            "Fleetgate tries again by itself. If it goes on, look into Tactical's log on its server: \
             `/rmm/api/tacticalrmm/tacticalrmm/private/log/django_debug.log`.",
        ),
    )
}

/// 502, 503, 504: the web server in front answers, Tactical behind it does not.
pub(crate) fn gateway_error(status: u16) -> ProviderError {
    failure(
        ErrorKind::Unavailable,
        Problem::new(
            "gateway_error",
            format!("The web server answers, but Tactical behind it does not (status {status})."),
            "It may be restarting: try again in a minute. If it goes on, check the service `rmm` on the Tactical \
             server.",
        ),
    )
}

/// 401 by something that is not Tactical.
pub(crate) fn login_in_front() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "login_in_front",
            "Something in front of Tactical wants a login of its own.",
            "Let the machine that runs Fleetgate pass that login, in the settings of the proxy in front of Tactical.",
        ),
    )
}

/// 403 by something that is not Tactical.
pub(crate) fn blocked_in_front() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "blocked_in_front",
            "A firewall or proxy in front of Tactical refused the request.",
            "Allow the machine that runs Fleetgate there: it is often a list of addresses, or a filter against bots.",
        ),
    )
}

/// 401 with Tactical's own words, each with its own cause.
pub(crate) fn unauthorized(who: Credential, detail: &str) -> ProviderError {
    let what = capital(who.noun());
    let (code, message, fix) = match detail {
        "Invalid token." if who.is_token() => return token_lapsed(),
        "Invalid token." => (
            "key_wrong",
            format!("{what} is wrong: Tactical does not know it."),
            "Copy it again in Tactical under Settings, Global Settings, API Keys. Take the whole key, 32 characters.",
        ),
        "The token has expired." => (
            "key_expired",
            format!("{what} has expired."),
            "In Tactical, under Settings, Global Settings, API Keys, give it a later end or none, or make a new one.",
        ),
        "User inactive or deleted." => (
            "user_inactive",
            format!("{} is switched off in Tactical.", capital(who.account())),
            "In Tactical, under Settings, User Administration, make the user active again, or make a key for another.",
        ),
        "Authentication credentials were not provided." => (
            "credentials_missing",
            format!("Tactical did not see {}.", who.noun()),
            "Usually a proxy in front of Tactical removes the header `X-API-KEY` or `Authorization`. Let it pass.",
        ),
        other if other.starts_with("Invalid token header") => return token_lapsed(),
        _ => (
            "credentials_refused",
            format!("Tactical refused {}.", who.noun()),
            "Make a new API key in Tactical under Settings, Global Settings, API Keys, and enter it here.",
        ),
    };
    failure(ErrorKind::Unauthorized, Problem::new(code, message, fix))
}

/// The token of a sign-in is not accepted any more. Expired and wrong look alike.
pub(crate) fn token_lapsed() -> ProviderError {
    failure(
        ErrorKind::Unauthorized,
        Problem::new(
            "token_lapsed",
            "The sign-in at Tactical has ended.",
            "Sign in again. A sign-in ends after five hours without use. An API key does not end that way.",
        ),
    )
}

/// 403 with Tactical's own words. `right` by Tactical's name.
pub(crate) fn right_missing(who: Credential, right: Option<&'static str>) -> ProviderError {
    let account = capital(who.account());
    let problem = match right {
        Some(right) => Problem::new(
            "right_missing",
            format!("{account} has no role with the right `{right}`."),
            format!(
                "In Tactical, under Settings, Permissions Manager, switch `{right}` on in the role of that user. A \
                 user without any role may do nothing."
            ),
        ),
        None => Problem::new(
            "right_missing",
            format!("{account} may not do this."),
            "In Tactical, under Settings, Permissions Manager, extend the role of that user.",
        ),
    };
    failure(ErrorKind::Forbidden, problem)
}

/// 429 outside of the login.
pub(crate) fn rate_limited(wait_s: Option<u64>) -> ProviderError {
    let mut problem = Problem::new(
        "rate_limited",
        "The server asks for fewer requests.",
        "Fleetgate waits and goes on by itself. Tactical itself has no such limit, so look at the proxy in front of it.",
    );
    problem.wait_s = wait_s;
    failure(ErrorKind::RateLimited, problem)
}

/// 404 with Tactical's own words.
pub(crate) fn not_found() -> ProviderError {
    failure(
        ErrorKind::NotFound,
        Problem::new(
            "not_found",
            "Tactical does not have this any more.",
            "It was deleted, or the agent was installed anew and has another id. The next sync shows what is there.",
        ),
    )
}

/// Any other refusal.
pub(crate) fn refused(status: u16) -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "refused",
            format!("Tactical refused the request (status {status})."),
            "This should not happen. Update Tactical and Fleetgate. If it goes on, report it with the route named here.",
        ),
    )
}

/// The JSON ends in the middle.
pub(crate) fn answer_cut() -> Problem {
    Problem::new(
        "answer_cut",
        "The answer ended in the middle. Nothing of it was saved.",
        "Fleetgate tries again by itself. If it goes on, look for a proxy or a time limit that cuts long answers.",
    )
}

/// The JSON is whole, but not what this route answers.
pub(crate) fn answer_shape() -> Problem {
    Problem::new(
        "answer_shape",
        "The answer has another form than Tactical's. Nothing of it was saved.",
        "Check that the address leads to Tactical's API. If it does, its version may be too new: update Fleetgate.",
    )
}

/// Success with HTML or text where JSON belongs, on a route that usually works.
pub(crate) fn answer_not_json() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "answer_not_json",
            "The answer is not JSON. Nothing of it was saved.",
            "Something between Fleetgate and Tactical changed the answer. Look at proxies and maintenance pages there.",
        ),
    )
}

/// Agents of several clients in the answer to a question for one.
pub(crate) fn filter_ignored() -> Problem {
    Problem::new(
        "filter_ignored",
        "Asked for the agents of one client, the server answered with those of several. Nothing was saved.",
        "A proxy in front of Tactical may drop the part of the address after `?`. Let it pass unchanged.",
    )
}

/// The beta API answers HTML 404 before it looks at credentials.
pub(crate) fn beta_off() -> Problem {
    Problem::new(
        "beta_off",
        "The beta API is off. Inventory works without it. Details (memory, volumes, hardware addresses, thresholds) \
         then take one request per agent instead of one per hundred agents, so a first sync takes longer.",
        "To switch it on, add `BETA_API_ENABLED = True` to `/rmm/api/tacticalrmm/tacticalrmm/local_settings.py` on \
         the Tactical server and restart the service there: `sudo systemctl restart rmm`.",
    )
}

/// The reading credential may act.
pub(crate) fn reading_can_act(rights: &str) -> Problem {
    Problem::new(
        "reading_can_act",
        format!("The credential for reading can also act on machines ({rights})."),
        "Nothing in Fleetgate acts on machines yet, so take these rights from the role. For actions, give Fleetgate a \
         second API key in the field `action_tacticalrmm_api_key`. Then a leak or a mistake while reading can change \
         nothing. One key for both works as well.",
    )
}

/// No credential may act.
pub(crate) fn no_actions(rights: &str) -> Problem {
    Problem::new(
        "actions_missing",
        format!(
            "Actions on machines are not possible: the rights {rights} are missing. Reading works without them."
        ),
        "Nothing is to be done now: nothing in Fleetgate acts on machines yet. Once it shall, make a second API key whose \
         user has these rights, and enter it in the field `action_tacticalrmm_api_key`.",
    )
}

/// The key for actions lacks some of them.
pub(crate) fn action_rights_missing(rights: &str) -> Problem {
    Problem::new(
        "action_rights_missing",
        format!(
            "The user behind the API key for actions lacks the rights {rights}. Actions that need them will fail."
        ),
        "In Tactical, under Settings, Permissions Manager, switch on those that Fleetgate shall use.",
    )
}
