//! A failed command: what happened, what to do, and how the program ends.

use std::fmt;

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
    /// What happened: one sentence.
    pub(crate) title: String,
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
    pub(crate) fn new(exit: Exit, code: &str, title: impl Into<String>) -> Failure {
        Failure {
            exit,
            code: code.to_owned(),
            title: title.into(),
            advice: Vec::new(),
            request_id: None,
            problem: None,
            problem_text: None,
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(title: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, "usage", title)
    }

    /// A named thing does not exist.
    pub(crate) fn not_found(title: impl Into<String>) -> Failure {
        Failure::new(Exit::NotFound, "not_found", title)
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
        output.error_line(&format!("{} {}", output.error_word(), plain(&self.title)));
        for line in &self.advice {
            output.error_line(&format!("  {}", plain(line)));
        }
        let request =
            self.request_id.as_ref().map(|id| format!(", request {}", plain(id))).unwrap_or_default();
        output.error_line(&format!("  ({}{request})", plain(&self.code)));
    }

    fn as_json(&self) -> String {
        match &self.problem_text {
            Some(text) => text.clone(),
            None => json!({
                "type": "about:blank",
                "title": self.title,
                "detail": self.advice.join(" "),
                "code": self.code,
                "request_id": self.request_id,
            })
            .to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
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

    #[test]
    fn failures_survive_anyhow() {
        let failure = Failure::usage("no").advise("do");
        let back: Failure = anyhow::Error::new(failure).into();
        assert_eq!((back.exit, back.advice), (Exit::Usage, vec!["do".to_owned()]));
        let other: Failure = anyhow::anyhow!("inner").context("outer").into();
        assert_eq!((other.exit, other.title.as_str()), (Exit::Failure, "outer: inner"));
    }

    #[test]
    fn local_failures_are_problem_documents_too() {
        let text = Failure::usage("no \u{1b}[31m").advise("do").as_json();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["code"], "usage");
        assert_eq!(value["detail"], "do");
    }
}
