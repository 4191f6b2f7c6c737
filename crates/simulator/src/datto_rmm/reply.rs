//! The forms of Datto's answers: JSON, an empty body, `errorMessage`, OAuth's words, and HTML from what stands in front.

use http::header;
use serde::Serialize;
use serde_json::json;

use crate::answer::Answer;
use crate::faults::Pages;

/// An answer, or another answer that ends the call early.
pub(crate) type Reply = Result<Answer, Answer>;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=UTF-8";

/// 200 with that value.
pub(crate) fn ok(value: &impl Serialize) -> Answer {
    with_status(200, value)
}

/// A value under any status.
pub(crate) fn with_status(status: u16, value: &impl Serialize) -> Answer {
    Answer::with_body(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

/// 200 with JSON that is rendered already.
pub(crate) fn rendered(body: Vec<u8>) -> Answer {
    Answer::with_body(200, JSON, body)
}

/// What a successful write answers: nothing, under 200.
pub(crate) fn done() -> Answer {
    Answer::empty(200)
}

/// A refusal in Datto's own form.
pub(crate) fn error(status: u16, message: &str) -> Answer {
    with_status(status, &json!({ "errorMessage": message }))
}

/// 404 for something that the path names.
pub(crate) fn not_found(what: &str) -> Answer {
    error(404, &format!("{what} not found"))
}

/// 404 as the framework says it for a path without a route.
pub(crate) fn no_route(path: &str) -> Answer {
    let path = path.trim_start_matches('/');
    error(404, &format!("No static resource {path}."))
}

/// 403 for a right that the key's owner lacks.
pub(crate) fn forbidden() -> Answer {
    error(403, "Access is denied")
}

/// 401 of the API.
pub(crate) fn unauthorized(message: &str) -> Answer {
    with_status(401, &json!({ "error": "invalid_token", "error_description": message }))
        .header(header::WWW_AUTHENTICATE, "Bearer realm=\"oauth2-resource\", error=\"invalid_token\"")
}

/// A refusal of the token endpoint.
pub(crate) fn oauth(status: u16, error: &str, description: &str) -> Answer {
    with_status(status, &json!({ "error": error, "error_description": description }))
}

/// 429, with or without the seconds to wait.
pub(crate) fn too_many(retry_after_s: Option<u64>) -> Answer {
    let answer = error(429, "Too many requests: the rate limit of the account is exceeded");
    match retry_after_s {
        Some(seconds) => answer.header(header::RETRY_AFTER, seconds.to_string()),
        None => answer,
    }
}

/// 403 of the firewall for an address that went on after 429.
pub(crate) fn blocked() -> Answer {
    html(403, "Request blocked", "The request could not be satisfied. Your address has been blocked.")
}

fn html(status: u16, title: &str, text: &str) -> Answer {
    let page = format!(
        "<!DOCTYPE HTML>\n<html><head><title>{title}</title></head>\n<body><h1>{status} {title}</h1>\n\
         <hr noshade size=\"1px\">{text}\n</body></html>\n"
    );
    Answer::with_body(status, HTML, page)
}

/// How Datto looks when it misbehaves on a route whose list has that name.
pub(crate) struct DattoPages {
    pub(crate) list: &'static str,
}

impl Pages for DattoPages {
    fn html(&self, status: u16) -> Answer {
        match status {
            400 | 404 | 409 | 500 => error(status, "An unexpected error occurred"),
            504 => html(504, "Gateway Time-out", ""),
            _ => html(status, "Error", "The request could not be satisfied."),
        }
    }

    fn dashboard(&self) -> Answer {
        html(200, "Datto RMM", "<div id=\"root\">Log in</div>")
    }

    fn throttled(&self, retry_after_s: u64) -> Answer {
        too_many(Some(retry_after_s))
    }

    fn bad_credentials(&self) -> Answer {
        oauth(400, "invalid_grant", "Bad credentials")
    }

    fn empty_list(&self) -> Answer {
        let details = json!({ "count": 0, "totalCount": 0, "prevPageUrl": null, "nextPageUrl": null });
        ok(&json!({ "pageDetails": details, self.list: [] }))
    }
}
