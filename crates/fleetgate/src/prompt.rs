//! Secrets by prompt, standard input or file, never on the command line: there everybody on the machine can read them,
//! and the shell remembers them.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

use crate::{cli::failure::Failure, output::text::plain};

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// `prompt`: asked on the terminal.
    Prompt,
    /// `-`: the next line of standard input.
    Stdin,
    /// `@FILE`: a file with one line.
    File(PathBuf),
}

impl SecretSource {
    /// Reads `prompt`, `-` or `@FILE`. Anything else would be the secret itself, so it is refused and not repeated.
    pub(crate) fn parse(spec: &str, option: &str) -> Result<SecretSource, Failure> {
        match spec {
            "-" => Ok(SecretSource::Stdin),
            "prompt" => Ok(SecretSource::Prompt),
            _ => match spec.strip_prefix('@').filter(|path| !path.is_empty()) {
                Some(path) => Ok(SecretSource::File(PathBuf::from(path))),
                None => Err(literal_refused(option)),
            },
        }
    }

    /// Fetches it. `label` is what the prompt asks for and errors name.
    pub(crate) fn read(&self, label: &str) -> Result<SecretString, Failure> {
        let secret = match self {
            SecretSource::Prompt => ask_secret(label)?,
            SecretSource::Stdin => next_line_of_stdin(label)?,
            SecretSource::File(path) => one_line_of_file(path)?,
        };
        if secret.expose_secret().is_empty() {
            Err(Failure::usage(format!("{label}: it is empty")))
        } else {
            Ok(secret)
        }
    }
}

/// Why a value on the command line is not taken, and what to write instead.
pub(crate) fn literal_refused(option: &str) -> Failure {
    Failure::usage(format!(
        "`{option}` does not take the secret itself: what stands on the command line can be read by everybody on this \
         machine and stays in the shell's history"
    ))
    .advise("Write `@FILE` to read it from a file, `-` to read a line of standard input, or `prompt` to be asked.")
    .advise("If that was a real secret, replace it.")
}

/// Can a person be asked?
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks without showing what is typed.
pub(crate) fn ask_secret(label: &str) -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{}: nobody can be asked, because this is not a terminal",
            plain(label)
        ))
        .advise("Read it from a file with `@FILE`, or from standard input with `-`."));
    }
    let typed = rpassword::prompt_password(format!("{} (not shown): ", plain(label)))
        .map_err(|error| Failure::io("cannot read from the terminal", &error))?;
    Ok(SecretString::from(typed))
}

/// Asks and shows what is typed; `usual` is taken for an empty line.
pub(crate) fn ask_line(label: &str, usual: Option<&str>) -> Result<String, Failure> {
    if !is_interactive() {
        return Err(Failure::usage(format!(
            "{} is missing, and this is not a terminal to ask on",
            plain(label)
        )));
    }
    let usual_shown = usual.filter(|usual| !usual.is_empty());
    let hint = usual_shown.map(|usual| format!(" [{}]", plain(usual))).unwrap_or_default();
    let mut stderr = io::stderr().lock();
    let _shown_or_not = write!(stderr, "{}{hint}: ", plain(label)).and_then(|()| stderr.flush());
    let typed = next_line_of_stdin(label)?.expose_secret().trim().to_owned();
    match usual {
        Some(usual) if typed.is_empty() => Ok(usual.to_owned()),
        _ => Ok(typed),
    }
}

/// What to do without a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes` was given.
    Given,
    /// The person has to be asked.
    Ask,
}

impl From<bool> for Consent {
    fn from(yes: bool) -> Consent {
        if yes { Consent::Given } else { Consent::Ask }
    }
}

/// Asks before something that is hard to take back; without a terminal `--yes` is needed.
pub(crate) fn confirm(question: &str, consent: Consent) -> Result<(), Failure> {
    if consent == Consent::Given {
        return Ok(());
    }
    if !is_interactive() {
        return Err(Failure::usage(format!("{} Add `--yes` to confirm.", plain(question))));
    }
    let answer = ask_line(&format!("{question} Type yes"), Some("no"))?;
    if matches!(answer.to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::usage("nothing was done"))
    }
}

/// A new password: asked twice on a terminal, or from `source` (`-` or `@FILE`).
pub(crate) fn new_password(source: Option<&str>) -> Result<SecretString, Failure> {
    if let Some(spec) = source {
        let source = SecretSource::parse(spec, "--password")?;
        if source != SecretSource::Prompt {
            return source.read("the password");
        }
    }
    let first = SecretSource::Prompt.read("New password")?;
    let second = ask_secret("The same again")?;
    if first.expose_secret() == second.expose_secret() {
        Ok(first)
    } else {
        Err(Failure::usage("the two passwords are not the same; nothing was done"))
    }
}

fn next_line_of_stdin(label: &str) -> Result<SecretString, Failure> {
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    let bytes = read.map_err(|error| Failure::io("cannot read standard input", &error))?;
    if bytes == 0 {
        return Err(Failure::usage(format!("{}: standard input has no line left for it", plain(label))));
    }
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn one_line_of_file(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let mut failure = Failure::io(&format!("cannot read `{}`", path.display()), &error);
        failure.exit = crate::cli::exit::Exit::Usage;
        failure
    })?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.contains('\n') {
        return Err(Failure::usage(format!("`{}` holds more than one line", path.display())));
    }
    Ok(SecretString::from(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn a_literal_secret_is_refused_and_not_repeated() {
        for literal in ["s3cret", "", "@", "prompt me"] {
            let failure = SecretSource::parse(literal, "--secret").unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        }
    }

    #[test]
    fn sources_are_recognised() {
        assert_eq!(SecretSource::parse("-", "x").unwrap(), SecretSource::Stdin);
        assert_eq!(SecretSource::parse("prompt", "x").unwrap(), SecretSource::Prompt);
        assert_eq!(SecretSource::parse("@/a b", "x").unwrap(), SecretSource::File(PathBuf::from("/a b")));
    }

    #[test]
    fn a_file_gives_its_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            SecretSource::File(path.clone()).read("key").map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(read("abc\r\n").unwrap(), "abc");
        assert_eq!(read("two\nlines\n").unwrap_err().exit, Exit::Usage);
        assert_eq!(read("\n").unwrap_err().exit, Exit::Usage);
        assert_eq!(SecretSource::File(folder.path().join("none")).read("key").unwrap_err().exit, Exit::Usage);
    }
}
