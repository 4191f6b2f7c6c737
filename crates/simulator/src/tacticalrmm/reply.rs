//! The forms of Tactical's answers: JSON, a bare JSON string, the framework's `detail`, and its HTML pages.

use bytes::Bytes;
use http::header;
use serde::Serialize;
use serde_json::json;

use crate::answer::Answer;
use crate::faults::Pages;

/// An answer, or another answer that ends the call early.
pub(crate) type Reply = Result<Answer, Answer>;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// 200 with that value.
pub(crate) fn ok(value: &impl Serialize) -> Answer {
    with_status(200, value)
}

/// A value under any status.
pub(crate) fn with_status(status: u16, value: &impl Serialize) -> Answer {
    Answer::with_body(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

/// 200 with JSON that is rendered already.
pub(crate) fn rendered(pieces: Vec<Bytes>) -> Answer {
    let mut answer = Answer::empty(200).header(header::CONTENT_TYPE, JSON);
    answer.body = pieces;
    answer
}

/// 200 with a bare JSON string.
pub(crate) fn text(text: &str) -> Answer {
    ok(&text)
}

/// 400 with a bare JSON string: Tactical's own refusals.
pub(crate) fn refusal(text: &str) -> Answer {
    with_status(400, &text)
}

/// The framework's refusals.
pub(crate) fn detail(status: u16, message: &str) -> Answer {
    with_status(status, &json!({ "detail": message }))
}

/// 400 by field.
pub(crate) fn invalid(field: &str, message: &str) -> Answer {
    with_status(400, &json!({ field: [message] }))
}

/// 401, which always carries `WWW-Authenticate`.
pub(crate) fn unauthorized(message: &str) -> Answer {
    detail(401, message).header(header::WWW_AUTHENTICATE, "Token")
}

/// 403.
pub(crate) fn forbidden() -> Answer {
    detail(403, "You do not have permission to perform this action.")
}

/// 404 for a missing row of a model.
pub(crate) fn no_row(model: &str) -> Answer {
    detail(404, &format!("No {model} matches the given query."))
}

/// 405.
pub(crate) fn method_not_allowed(method: &str) -> Answer {
    detail(405, &format!("Method \"{method}\" not allowed."))
}

/// 500: an exception nobody caught, such as a missing key in a body.
pub(crate) fn crash() -> Answer {
    page("Server Error (500)", 500)
}

/// 404 for a path that is no route.
pub(crate) fn no_route() -> Answer {
    let body = "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n  \
                <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n</body>\n</html>\n";
    Answer::with_body(404, HTML, body)
}

/// 400 for a `Host` that is not the server's.
pub(crate) fn wrong_host() -> Answer {
    page("Bad Request (400)", 400)
}

/// 301 to the same path with a slash at its end, with an empty body.
pub(crate) fn add_slash(location: String) -> Answer {
    Answer::with_body(301, HTML, "").header(header::LOCATION, location)
}

/// 429 of the framework's throttle.
pub(crate) fn throttled(seconds: u64) -> Answer {
    let unit = if seconds == 1 { "second" } else { "seconds" };
    detail(429, &format!("Request was throttled. Expected available in {seconds} {unit}."))
        .header(header::RETRY_AFTER, seconds.to_string())
}

fn page(title: &str, status: u16) -> Answer {
    let body = format!(
        "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>{title}</title>\n</head>\n<body>\n  \
         <h1>{title}</h1><p></p>\n</body>\n</html>\n"
    );
    Answer::with_body(status, HTML, body)
}

/// How Tactical looks when it misbehaves.
pub(crate) struct TacticalPages;

impl Pages for TacticalPages {
    fn html(&self, status: u16) -> Answer {
        match status {
            400 => wrong_host(),
            404 => no_route(),
            500 => crash(),
            // What nginx in front answers when the application does not.
            502 => page("502 Bad Gateway", 502),
            504 => page("504 Gateway Time-out", 504),
            other => page(&format!("Error ({other})"), other),
        }
    }

    fn dashboard(&self) -> Answer {
        let body = "<!DOCTYPE html><html><head><title>Tactical RMM</title><meta charset=utf-8>\
                    <script type=module crossorigin src=/assets/index.js></script></head>\
                    <body><div id=q-app></div></body></html>";
        Answer::with_body(200, "text/html", body)
    }

    fn throttled(&self, retry_after_s: u64) -> Answer {
        throttled(retry_after_s)
    }

    fn bad_credentials(&self) -> Answer {
        refusal("Bad credentials")
    }
}
