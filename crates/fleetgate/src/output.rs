//! What the command line prints: tables and sentences for people, the server's JSON for scripts.
//!
//! Answers go to standard output; notes, progress and errors to standard error, so that a pipe carries data alone.
//! Names and other text from RMMs never reach a terminal unfiltered, see [`text`].

pub(crate) mod report;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod value;

use std::io::{self, ErrorKind, IsTerminal, Write};

use self::{table::Column, text::json_safe};
use crate::cli::failure::Failure;

/// How and what to print.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    form: Form,
    quiet: bool,
    /// Standard output.
    pub(crate) look: Look,
    /// Standard error.
    error_look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// What a stream can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// A person looks at it.
    pub(crate) terminal: bool,
    /// Colours may be used.
    pub(crate) colour: bool,
    /// Signs beyond ASCII may be used.
    pub(crate) unicode: bool,
    /// Columns; none where lines need not fit.
    pub(crate) width: Option<u16>,
}

impl Look {
    /// A file or a pipe.
    pub(crate) const PLAIN: Look = Look { terminal: false, colour: false, unicode: false, width: None };
}

impl Output {
    /// For the streams of this process.
    pub(crate) fn new(json: bool, quiet: bool) -> Output {
        let form = if json { Form::Json } else { Form::Text };
        let look = look(io::stdout().is_terminal());
        let error_look = look_without_width(io::stderr().is_terminal());
        Output { form, quiet, look, error_look }
    }

    /// For scripts?
    pub(crate) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// May progress be drawn? Only for a person, and not over JSON.
    pub(crate) fn shows_progress(&self) -> bool {
        self.error_look.terminal && !self.quiet
    }

    /// Prints one text with a line end.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        write_all(text)
    }

    /// Prints JSON exactly as the server wrote it, but for characters that could steer a terminal: they are written
    /// as `\u…`, which means the same.
    pub(crate) fn json(&self, text: &str) -> Result<(), Failure> {
        write_all(json_safe(text).trim_end())
    }

    /// Prints a table; a sentence where it would be empty is up to the caller.
    pub(crate) fn table(&self, columns: &[Column], rows: &[Vec<String>]) -> Result<(), Failure> {
        let rendered = table::render(self.look, columns, rows);
        write_all(&rendered.text)?;
        if !rendered.left_out.is_empty() {
            let columns = if rendered.left_out.len() == 1 { "column" } else { "columns" };
            let (count, names) = (rendered.left_out.len(), rendered.left_out.join(", "));
            let text = format!("{count} {columns} left out ({names}); widen the terminal or use --json");
            self.note(&self.dimmed(text));
        }
        Ok(())
    }

    /// Prints names and values, leaving out what is empty.
    pub(crate) fn facts(&self, facts: &[(&str, String)]) -> Result<(), Failure> {
        write_all(&table::render_facts(facts))
    }

    /// Tells something beside the answer, unless asked to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && self.form == Form::Text {
            self.error_line(text);
        }
    }

    fn dimmed(&self, text: String) -> String {
        if self.error_look.colour { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text }
    }

    /// Writes a line to standard error. If nobody can read it, there is nothing left to do.
    pub(crate) fn error_line(&self, text: &str) {
        let _nobody_reads = writeln!(io::stderr().lock(), "{text}");
    }

    /// The word that begins an error.
    pub(crate) fn error_word(&self) -> &'static str {
        if self.error_look.colour { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" }
    }
}

/// A reader that went away (`| head`) is no failure.
fn write_all(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write the answer", &error))
        }
        _ => Ok(()),
    }
}

fn look(terminal: bool) -> Look {
    let width = terminal.then(width::of_terminal);
    Look { width, ..look_without_width(terminal) }
}

fn look_without_width(terminal: bool) -> Look {
    if !terminal {
        return Look::PLAIN;
    }
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    Look { terminal, colour: !is_set("NO_COLOR") && !dumb, unicode: speaks_utf8(), width: None }
}

/// The first of these variables that is set decides; Windows terminals always do.
fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    let says_utf8 = locale.is_some_and(|value| {
        let value = value.to_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    });
    cfg!(windows) || says_utf8
}

mod width {
    //! The width of the terminal.

    use std::process::{Command, Stdio};

    const USUAL: u16 = 100;
    const LEAST: u16 = 40;

    /// `COLUMNS`, else what `stty` says, else a usual width.
    pub(super) fn of_terminal() -> u16 {
        let named = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        named.or_else(of_stty).filter(|width| *width > 0).unwrap_or(USUAL).max(LEAST)
    }

    fn of_stty() -> Option<u16> {
        let terminal = std::fs::File::open("/dev/tty").ok()?;
        let output = Command::new("stty").arg("size").stdin(terminal).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
    }
}
