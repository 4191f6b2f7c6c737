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
    let cause = cause(&error.without_url());
    Failure::new(
        Exit::Unreachable,
        "server_unreachable",
        format!("the server at {origin} gives no answer: {cause}"),
    )
    .advise("Is it running, and is this its address? It is started with `fleetgate serve`.")
    .advise("Another address is given with --server or FLEETGATE_URL.")
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
        format!("what answers at {origin} is not a Fleetgate server"),
    )
    .advise("Check the address: --server or FLEETGATE_URL.")
}

/// An answer with a status of failure.
pub(super) fn from_answer(base: &Url, status: u16, location: Option<&str>, body: &str) -> Failure {
    if (300..400).contains(&status) {
        let target = location.unwrap_or("another address");
        return Failure::new(Exit::Unreachable, "redirected", format!("the server sends us on to {target}"))
            .advise("If that is your server, give its address with --server or FLEETGATE_URL.");
    }
    let problem = serde_json::from_str::<Value>(body).ok().filter(|value| text(value, "code").is_some());
    let Some(problem) = problem else {
        let exit = match Exit::from_status(status) {
            // A proxy in front, not the RMM.
            Exit::Rmm => Exit::Unreachable,
            exit => exit,
        };
        let origin = base.origin().ascii_serialization();
        return Failure::new(exit, "no_problem_document", format!("{origin} answered with status {status}"))
            .advise(
                "This did not come from Fleetgate itself: check the address, and any proxy in front of it.",
            );
    };
    // The detail is the sentence; the title only says the code in words.
    let sentence = text(&problem, "detail|title").unwrap_or("the server refused");
    let code = text(&problem, "code").unwrap_or_default();
    let mut failure = Failure::new(Exit::from_status(status), code, sentence);
    failure.advice = advice(&problem, sentence);
    failure.request_id = text(&problem, "request_id").map(str::to_owned);
    failure.problem_text = Some(body.trim().to_owned());
    failure.problem = Some(Box::new(problem));
    failure
}

fn advice(problem: &Value, sentence: &str) -> Vec<String> {
    let fix = text(problem, "fix").filter(|fix| *fix != sentence);
    let mut advice: Vec<String> = fix.map(str::to_owned).into_iter().collect();
    advice.extend(text(problem, "field").map(|field| format!("It is about `{field}`.")));
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
        let body = r#"{"title":"Key wrong","detail":"the key was refused","fix":"Make a new key.","status":502,
            "code":"key_wrong","request_id":"req_1","field":"api_key","retry_after_s":7}"#;
        let failure = from_answer(&base(), 502, None, body);
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Rmm, "key_wrong"));
        assert_eq!(failure.title, "the key was refused");
        assert_eq!(failure.advice, ["Make a new key.", "It is about `api_key`.", "Try again in 7 seconds."]);
        assert_eq!(failure.request_id.as_deref(), Some("req_1"));
        assert_eq!(failure.problem_text.as_deref(), Some(body));
    }

    #[test]
    fn a_proxys_page_is_not_taken_for_the_rmm() {
        assert_eq!(from_answer(&base(), 502, None, "<html>Bad gateway").exit, Exit::Unreachable);
        assert_eq!(from_answer(&base(), 404, None, "{\"x\":1}").exit, Exit::NotFound);
    }

    #[test]
    fn redirects_are_told_and_not_followed() {
        let failure = from_answer(&base(), 308, Some("https://other"), "");
        assert!(failure.title.contains("https://other"), "{failure}");
        assert_eq!(failure.exit, Exit::Unreachable);
    }
}
