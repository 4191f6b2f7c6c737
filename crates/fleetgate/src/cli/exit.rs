//! Exit codes: the one list that the program, `fleetgate help exit-codes` and `docs/cli.md` follow.

use std::process::ExitCode;

use serde_json::json;

use super::failure::Failure;
use crate::output::Output;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// None of the others.
    Failure,
    /// The command line or the configuration is wrong.
    Usage,
    /// Not signed in, or a permission is missing.
    SignIn,
    /// The named thing does not exist.
    NotFound,
    /// Understood and refused.
    Refused,
    /// The RMM's problem.
    Rmm,
    /// The server gives no answer now.
    Unreachable,
    /// Part of it.
    Partial,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// Every way to end.
    pub(crate) const ALL: [Exit; 10] = [
        Exit::Ok,
        Exit::Failure,
        Exit::Usage,
        Exit::SignIn,
        Exit::NotFound,
        Exit::Refused,
        Exit::Rmm,
        Exit::Unreachable,
        Exit::Partial,
        Exit::Interrupted,
    ];

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::SignIn => 3,
            Exit::NotFound => 4,
            Exit::Refused => 5,
            Exit::Rmm => 6,
            Exit::Unreachable => 7,
            Exit::Partial => 8,
            Exit::Interrupted => 130,
        }
    }

    /// For people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done",
            Exit::Failure => "failed, for a reason that is none of the following",
            Exit::Usage => "the command line or the configuration is wrong",
            Exit::SignIn => "not signed in, or a permission is missing",
            Exit::NotFound => "the named thing does not exist",
            Exit::Refused => "refused: the input cannot be used, or the state of things forbids it",
            Exit::Rmm => "the RMM's problem: it did not answer, or refused",
            Exit::Unreachable => "the Fleetgate server cannot be reached or is busy; try again later",
            Exit::Partial => "done in part; the output says what is missing",
            Exit::Interrupted => "stopped with Ctrl-C",
        }
    }

    /// What an HTTP status of the REST interface means.
    pub(crate) const fn from_status(status: u16) -> Exit {
        match status {
            200..=299 => Exit::Ok,
            401 | 403 => Exit::SignIn,
            404 | 410 => Exit::NotFound,
            400 | 409 | 412 | 413 | 415 | 422 => Exit::Refused,
            502 => Exit::Rmm,
            429 | 503 | 504 => Exit::Unreachable,
            _ => Exit::Failure,
        }
    }

    /// The list, for the help.
    pub(crate) fn list() -> String {
        let lines: Vec<String> =
            Exit::ALL.iter().map(|exit| format!("{:>4}  {}", exit.code(), exit.meaning())).collect();
        lines.join("\n")
    }

    /// `fleetgate exit-codes`.
    pub(crate) fn print(output: &Output) -> Result<(), Failure> {
        if !output.is_json() {
            return output.line(&Exit::list());
        }
        let items = Exit::ALL.map(|exit| json!({ "code": exit.code(), "meaning": exit.meaning() }));
        output.json(&json!({ "items": items }).to_string())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statuses: &[u16], expected: Exit) {
        for status in statuses {
            assert_eq!(Exit::from_status(*status), expected, "{status}");
        }
    }

    #[test]
    fn statuses_become_exit_codes() {
        check(&[200, 201, 202, 204], Exit::Ok);
        check(&[401, 403], Exit::SignIn);
        check(&[404], Exit::NotFound);
        check(&[400, 409, 422], Exit::Refused);
        check(&[502], Exit::Rmm);
        check(&[429, 503], Exit::Unreachable);
        check(&[302, 418, 500], Exit::Failure);
    }

    #[test]
    fn the_documentation_has_every_code() {
        let document = include_str!("../../../../docs/cli.md");
        for exit in Exit::ALL {
            let line = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(document.contains(&line), "docs/cli.md lacks {line}");
        }
    }
}
