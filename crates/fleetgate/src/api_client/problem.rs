//! Failed answers as sentences and exit codes.

use std::error::Error;

use serde_json::Value;
use url::Url;

use crate::{
    cli::{exit::Exit, failure::Failure},
    output::value::{number, text},
};

/// No answer.
pub(super) fn unreachable(base: &Url, error: reqwest::Error) -> Failure {
    let origin = base.origin().ascii_serialization();
    let error = error.without_url();
    let cause = cause(&error);
    let failure = Failure::new(
        Exit::Unreachable,
        "server_unreachable",
        format!("the server at {origin} gives no answer: {cause}"),
    );
    if base.scheme() == "https" && speaks_no_tls(&error) {
        let plain = origin.replacen("https://", "http://", 1);
        return failure.advise(format!("What answers there does not speak https. Perhaps it is {plain}?"));
    }
    failure
        .advise("Is it running, and is this its address? It is started with `fleetgate serve`.")
        .advise("Another address is given with --server or FLEETGATE_URL.")
}

/// Did the other side answer with something that is no TLS? I/O errors keep what they wrap apart from their source.
fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidMessage(_));
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match (wrapped, error.source()) {
        (Some(wrapped), _) => speaks_no_tls(wrapped),
        (None, Some(source)) => speaks_no_tls(source),
        (None, None) => false,
    }
}

/// The innermost cause says most: "connection refused", "certificate expired".
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// An answer that our server would not give.
pub(super) fn no_fleetgate(base: &Url) -> Failure {
    let origin = base.origin().ascii_serialization();
    Failure::new(
        Exit::Unreachable,
        "no_fleetgate",
        format!("no Fleetgate answers at {origin}, but another web server"),
    )
    .advise("Check the address: --server or FLEETGATE_URL.")
}

/// An answer with a status of failure.
pub(super) fn from_answer(base: &Url, status: u16, location: Option<&str>, body: &str) -> Failure {
    if (300..400).contains(&status) {
        let target = location.unwrap_or("another address");
        let mut failure =
            Failure::new(Exit::Unreachable, "redirected", format!("the server sends us on to {target}"))
                .advise("If that is your server, give its address with --server or FLEETGATE_URL.");
        failure.status = Some(status);
        return failure;
    }
    let problem = serde_json::from_str::<Value>(body).ok().filter(is_ours);
    let Some(problem) = problem else { return of_somebody_else(base, status) };
    // The detail is the sentence; the title only says the code in words.
    let sentence = without_position(text(&problem, "detail|title").unwrap_or("the server refused"));
    let code = text(&problem, "code").unwrap_or_default();
    let mut failure = Failure::new(Exit::from_status(status), code, sentence);
    failure.status = Some(status);
    failure.advice = advice(&problem, sentence);
    failure.request_id = text(&problem, "request_id").map(str::to_owned);
    failure.problem_text = Some(body.trim().to_owned());
    failure.problem = Some(Box::new(problem));
    failure
}

/// Others have a `code` in their errors, too; nobody else has our types.
fn is_ours(problem: &Value) -> bool {
    text(problem, "code").is_some()
        && text(problem, "type").is_some_and(|kind| kind.starts_with("urn:fleetgate:problem:"))
}

/// A web server that knows none of our routes is not ours. Other statuses are also those of a proxy in front.
fn of_somebody_else(base: &Url, status: u16) -> Failure {
    let mut failure = match (status, Exit::from_status(status)) {
        (400 | 404 | 405 | 409 | 410 | 415 | 422 | 501, _) => no_fleetgate(base),
        (_, exit) => {
            let origin = base.origin().ascii_serialization();
            // A proxy in front, not the RMM.
            let exit = if exit == Exit::Rmm { Exit::Unreachable } else { exit };
            Failure::new(exit, "no_problem_document", format!("{origin} answered with status {status}"))
                .advise(
                    "This did not come from Fleetgate itself: check the address, and any proxy in front of it.",
                )
        }
    };
    failure.status = Some(status);
    failure
}

/// "`sync_interval_s` must be …".
fn begins_with_name(sentence: &str) -> bool {
    let name = sentence.strip_prefix('`').and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains(' '))
}

/// Where in the body something stands is of no use to somebody who did not write the body.
fn without_position(sentence: &str) -> &str {
    let at = sentence.rfind(" at line ").filter(|at| {
        let words: Vec<&str> = sentence.get(*at..).unwrap_or_default().split_whitespace().collect();
        matches!(words[..], ["at", "line", line, "column", column]
            if line.parse::<u32>().is_ok() && column.parse::<u32>().is_ok())
    });
    at.and_then(|at| sentence.get(..at)).unwrap_or(sentence)
}

fn advice(problem: &Value, sentence: &str) -> Vec<String> {
    let fix = text(problem, "fix").filter(|fix| *fix != sentence);
    let mut advice: Vec<String> = fix.map(str::to_owned).into_iter().collect();
    // A sentence that begins with a name says itself what it is about, and more exactly.
    let field = text(problem, "field").filter(|_| !begins_with_name(sentence));
    advice.extend(field.map(|field| format!("It is about `{field}`.")));
    advice.extend(number(problem, "retry_after_s").map(|wait| format!("Try again in {wait} seconds.")));
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://fleet.example.com").unwrap()
    }

    #[test]
    fn a_problem_document_is_told_in_its_own_words() {
        let body = r#"{"type":"urn:fleetgate:problem:key_wrong","title":"Key wrong","detail":"the key was refused","fix":"Make a new key.","status":502,
            "code":"key_wrong","request_id":"req_1","field":"api_key","retry_after_s":7}"#;
        let failure = from_answer(&base(), 502, None, body);
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Rmm, "key_wrong"));
        assert_eq!(failure.detail, "the key was refused");
        assert_eq!(failure.advice, ["Make a new key.", "It is about `api_key`.", "Try again in 7 seconds."]);
        assert_eq!(failure.request_id.as_deref(), Some("req_1"));
        assert_eq!(failure.problem_text.as_deref(), Some(body));
    }

    #[test]
    fn a_proxys_page_is_not_taken_for_the_rmm() {
        assert_eq!(from_answer(&base(), 502, None, "<html>Bad gateway").exit, Exit::Unreachable);
    }

    #[test]
    fn another_web_server_is_no_fleetgate_and_nothing_is_missing_there() {
        for (status, body) in [(404, "{\"code\":\"not_found\"}"), (404, "<html>"), (405, "")] {
            let failure = from_answer(&base(), status, None, body);
            assert_eq!(failure.exit, Exit::Unreachable, "{status} {body}");
            assert_eq!((failure.code.as_str(), failure.status), ("no_fleetgate", Some(status)));
        }
        assert_eq!(from_answer(&base(), 401, None, "<html>").exit, Exit::SignIn);
    }

    #[test]
    fn what_the_sentence_names_is_not_replaced_by_the_field_around_it() {
        let body = |detail: &str| {
            format!(
                r#"{{"type":"urn:fleetgate:problem:x","code":"x","detail":"{detail}","field":"settings"}}"#
            )
        };
        let named =
            from_answer(&base(), 422, None, &body("`sync_interval_s` must be between 300 and 604800"));
        assert!(named.advice.is_empty(), "{named:?}");
        let unnamed = from_answer(&base(), 400, None, &body("invalid type: `1.5` at line 1 column 153"));
        assert_eq!(
            (unnamed.detail.as_str(), &unnamed.advice[..]),
            ("invalid type: `1.5`", &["It is about `settings`.".to_owned()][..])
        );
    }

    #[test]
    fn redirects_are_told_and_not_followed() {
        let failure = from_answer(&base(), 308, Some("https://other"), "");
        assert!(failure.detail.contains("https://other"), "{failure}");
        assert_eq!(failure.exit, Exit::Unreachable);
    }
}
