//! A failed command: what happened, what to do, and how the program ends.

use std::fmt;

use clap::error::ErrorKind;
use serde_json::{Value, json};

use super::exit::Exit;
use crate::{
    config::ConfigError,
    output::{
        Output,
        text::{json_safe, plain},
    },
};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// Stable, for scripts.
    pub(crate) code: String,
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// What happened: one sentence.
    pub(crate) detail: String,
    /// What to do, line by line.
    pub(crate) advice: Vec<String>,
    /// The server's number of the request, for its log.
    pub(crate) request_id: Option<String>,
    /// The server's answer, if it was a problem document.
    pub(crate) problem: Option<Box<Value>>,
    /// How the answer was written, so that `--json` repeats exactly that.
    pub(crate) problem_text: Option<String>,
}

impl Failure {
    /// A failure found on this side.
    pub(crate) fn new(exit: Exit, code: &str, detail: impl Into<String>) -> Failure {
        Failure {
            exit,
            code: code.to_owned(),
            status: None,
            detail: detail.into(),
            advice: Vec::new(),
            request_id: None,
            problem: None,
            problem_text: None,
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(detail: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, "usage", detail)
    }

    /// What was typed cannot be read.
    pub(crate) fn typed_wrong(error: &clap::Error) -> Failure {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Failure::usage("a command is missing").advise("`--help` lists the commands.");
        }
        let text = error.render().to_string();
        let mut paragraphs =
            text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
        let first = paragraphs.next().unwrap_or_default();
        let mut failure = Failure::usage(first.strip_prefix("error: ").unwrap_or(&first));
        failure.advice.extend(paragraphs.filter(|part| !part.is_empty()));
        failure
    }

    /// A named thing does not exist.
    pub(crate) fn not_found(detail: impl Into<String>) -> Failure {
        Failure::new(Exit::NotFound, "not_found", detail)
    }

    /// Reading or writing on this machine failed.
    pub(crate) fn io(what: &str, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Failure, "io", format!("{what}: {error}"))
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Failure {
        self.advice.push(advice.into());
        self
    }

    /// Tells it on standard error, as text or, for scripts, as a problem document.
    pub(crate) fn report(&self, output: &Output) {
        if output.is_json() {
            output.error_line(&json_safe(&self.as_json()));
            return;
        }
        output.error_line(&format!("{} {}", output.error_word(), plain(&self.detail)));
        for line in &self.advice {
            output.error_line(&format!("  {}", plain(line)));
        }
        let request =
            self.request_id.as_ref().map(|id| format!(", request {}", plain(id))).unwrap_or_default();
        output.error_line(&format!("  ({}{request})", plain(&self.code)));
    }

    /// The server's document as it came; our own in the same form, without what there is none of.
    fn as_json(&self) -> String {
        if let Some(text) = &self.problem_text {
            return text.clone();
        }
        let mut problem = json!({
            "type": format!("urn:fleetgate:problem:{}", self.code),
            "title": in_words(&self.code),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some(status) = self.status {
            problem["status"] = status.into();
        }
        if !self.advice.is_empty() {
            problem["fix"] = self.advice.join("\n").into();
        }
        if let Some(id) = &self.request_id {
            problem["request_id"] = id.as_str().into();
        }
        problem.to_string()
    }
}

/// `secret_required` becomes `Secret required`, as the server does it.
fn in_words(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let text = error.to_string();
        let mut lines = text.lines();
        let mut failure = Failure::new(Exit::Usage, "configuration", lines.next().unwrap_or_default());
        failure.advice.extend(lines.map(str::to_owned));
        failure
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Failure>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        match error.downcast::<ConfigError>() {
            Ok(config) => config.into(),
            Err(error) => Failure::new(Exit::Failure, "failed", format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[test]
    fn failures_survive_anyhow() {
        let failure = Failure::usage("no").advise("do");
        let back: Failure = anyhow::Error::new(failure).into();
        assert_eq!((back.exit, back.advice), (Exit::Usage, vec!["do".to_owned()]));
        let other: Failure = anyhow::anyhow!("inner").context("outer").into();
        assert_eq!((other.exit, other.detail.as_str()), (Exit::Failure, "outer: inner"));
    }

    #[test]
    fn local_failures_are_problem_documents_too() {
        let text = Failure::new(Exit::Usage, "no_token", "none").advise("do").advise("more").as_json();
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "type": "urn:fleetgate:problem:no_token", "title": "No token", "detail": "none",
            "code": "no_token", "fix": "do\nmore",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_was_typed_wrong_is_one_sentence_and_advice() {
        let error = Cli::read_from(["fleetgate", "assets", "list", "--statsu", "x"]).unwrap_err();
        let failure = Failure::typed_wrong(&error);
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "usage"));
        assert_eq!(failure.detail, "unexpected argument '--statsu' found");
        assert!(failure.advice.iter().any(|line| line.contains("--status")), "{failure:?}");
    }
}
