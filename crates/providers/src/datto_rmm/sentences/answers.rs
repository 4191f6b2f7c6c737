//! Something answered: one sentence for each answer that is not the wanted one.

use provider::{ErrorKind, Problem, ProviderError};

use super::failure;

const RIGHT_URL: &str =
    "Enter the API URL that Datto RMM shows beside the key, like `https://pinotage-api.centrastage.net`.";

/// The open status route did not answer as Datto RMM's does.
pub(crate) fn not_datto() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "not_datto",
            "Something answers at this address, but not as Datto RMM's API does.",
            RIGHT_URL,
        ),
    )
}

/// A redirect; never followed, because credentials belong to one host.
pub(crate) fn redirected(to_host: Option<&str>) -> ProviderError {
    let where_to = to_host.map_or_else(|| "another address".to_owned(), |host| format!("`{host}`"));
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "redirected",
            format!("The server sends callers on to {where_to}. Fleetgate does not follow with credentials."),
            "Enter the API URL that Datto RMM shows beside the key. The console's address redirects to its sign-in.",
        ),
    )
}

/// 404 with the text of a server that has no such route.
pub(crate) fn unknown_route() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "unknown_route",
            "The server does not know this part of Datto RMM's API.",
            "Check the API URL. If it is right, your platform may not have this part yet, or no more: update Fleetgate.",
        ),
    )
}

/// 404 for a thing.
pub(crate) fn not_found() -> ProviderError {
    failure(
        ErrorKind::NotFound,
        Problem::new(
            "not_found",
            "Datto RMM does not have this any more.",
            "It was deleted there, or the key may not see it now. The next sync shows what is there.",
        ),
    )
}

/// 400.
pub(crate) fn bad_request() -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "bad_request",
            "Datto RMM does not take the request: a device of this class may not have what was asked for.",
            "This should not happen. Update Fleetgate. If it goes on, report it with the route named here.",
        ),
    )
}

/// 409.
pub(crate) fn conflict() -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "conflict",
            "Somebody else is changing the same thing in Datto RMM right now.",
            "Try again in a minute.",
        ),
    )
}

/// 500.
pub(crate) fn server_error(status: u16) -> ProviderError {
    failure(
        ErrorKind::Unavailable,
        Problem::new(
            "server_error",
            format!("Datto RMM failed while it answered (status {status}). Nothing was saved."),
            "Fleetgate tries again by itself. If it goes on, look at Datto's status page, and ask Datto's support with \
             the route named here.",
        ),
    )
}

/// 502, 503, 504.
pub(crate) fn gateway_error(status: u16) -> ProviderError {
    failure(
        ErrorKind::Unavailable,
        Problem::new(
            "gateway_error",
            format!("Datto RMM's gateway answers, but the API behind it does not (status {status})."),
            "It may be overloaded or in maintenance: Fleetgate tries again by itself. If it goes on, look at Datto's status \
             page.",
        ),
    )
}

/// Any other refusal.
pub(crate) fn refused(status: u16) -> ProviderError {
    failure(
        ErrorKind::Rejected,
        Problem::new(
            "refused",
            format!("Datto RMM refused the request (status {status})."),
            "This should not happen. Update Fleetgate. If it goes on, report it with the route named here.",
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
        "The answer has another form than Datto RMM's. Nothing of it was saved.",
        "Check the API URL. If it is right, Datto RMM has changed: update Fleetgate.",
    )
}

/// Success with HTML or text where JSON belongs.
pub(crate) fn answer_not_json() -> ProviderError {
    failure(
        ErrorKind::NotAnApi,
        Problem::new(
            "answer_not_json",
            "The answer is a page or a text, not data. Nothing of it was saved.",
            "Datto RMM may be in maintenance: look at its status page. If it goes on, something between Fleetgate and Datto \
             RMM changed the answer, such as a proxy.",
        ),
    )
}

/// A list whose pages go on without an end.
pub(crate) fn list_endless() -> Problem {
    Problem::new(
        "list_endless",
        "The list goes on for many more pages than Datto RMM says it has. It was not taken for whole.",
        "Fleetgate tries again with the next sync. If it goes on, report it with the route named here.",
    )
}

/// The same page over and over.
pub(crate) fn pages_repeat() -> Problem {
    Problem::new(
        "pages_repeat",
        "Datto RMM answers one page of the list again and again. The list was not taken for whole.",
        "A proxy may drop the part of the address after `?`. Let it pass unchanged.",
    )
}

/// Devices of another site in the answer to a question for one.
pub(crate) fn filter_ignored() -> Problem {
    Problem::new(
        "filter_ignored",
        "Asked for the devices of one site, the server answered with those of another. Nothing was saved.",
        "Fleetgate tries again with the next sync. If it goes on, something between Fleetgate and Datto RMM mixes up answers.",
    )
}

/// The activity log answers 200 and says that it failed.
pub(crate) fn activity_log_failed() -> Problem {
    Problem::new(
        "activity_log_failed",
        "Datto RMM could not read its activity log.",
        "Nothing is to be done here: only the activity log is missing. Try again later.",
    )
}
