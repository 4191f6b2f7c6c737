//! The TOML file: every key with its line, and what is wrong with all of them at once.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    ConfigError, Raw, Setting, Source,
    keys::{KEYS, Key, Kind, Place},
    nearest::nearest,
    read,
};

/// Reads a file that must be there.
pub(super) fn read(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::one(format!("cannot read the configuration `{}`: {error}", path.display()))
    })?;
    parse(path, &text)
}

/// Reads a file if there is one.
pub(super) fn read_if_present(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        _ => read(path),
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        // The cause only, never the line itself: it may hold a password.
        ConfigError::one(format!("{}, line {line}: no valid TOML: {}", path.display(), error.message()))
    })?;
    let mut reader = Reader { path, text, settings: Vec::new(), problems: Vec::new() };
    reader.table(None, table.get_ref());
    if reader.problems.is_empty() {
        return Ok(reader.settings);
    }
    reader.problems.sort();
    Err(ConfigError(reader.problems.into_iter().map(|(_, problem)| problem).collect()))
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    settings: Vec<Setting>,
    problems: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn table(&mut self, section: Option<&str>, table: &DeTable<'_>) {
        for (name, value) in table {
            let line = line_of(self.text, &name.span());
            let full = match section {
                Some(section) => format!("{section}.{}", name.get_ref()),
                None => name.get_ref().to_string(),
            };
            match (KEYS.iter().find(|key| key.name == full), value.get_ref()) {
                (Some(key), value) => self.value(key, value, line),
                (None, DeValue::Table(inner)) if section.is_none() && is_section(&full) => {
                    self.table(Some(&full), inner);
                }
                (None, value) => self.unknown(&full, value, line),
            }
        }
    }

    fn value(&mut self, key: &'static Key, value: &DeValue<'_>, line: usize) {
        if key.place == Place::EnvironmentOnly {
            let advice = format!("a key does not belong into this file; set the variable `{}`", key.env);
            return self.problem(key.name, line, &advice);
        }
        let Some(raw) = raw(key.kind, value) else {
            let found = word_for(value);
            let expected = key.kind.expected();
            return self.problem(key.name, line, &format!("this is {found}; expected is {expected}"));
        };
        match read::check(key.kind, &raw) {
            Ok(()) => {
                let source = Source::File { path: PathBuf::from(self.path), line };
                self.settings.push(Setting { key, raw, source });
            }
            Err(problem) => self.problem(key.name, line, &problem),
        }
    }

    fn unknown(&mut self, full: &str, value: &DeValue<'_>, line: usize) {
        let sections = sections();
        if is_section(full) {
            let example = KEYS.iter().find(|key| key.section() == Some(full)).map_or("", |key| key.name);
            let last = example.rsplit('.').next().unwrap_or_default();
            let advice = format!("this is a section: write `[{full}]`, and `{last} = …` below it");
            return self.problem(full, line, &advice);
        }
        let advice = match value {
            DeValue::Table(_) if !full.contains('.') => match nearest(full, sections.iter().copied()) {
                Some(section) => format!("there is no such section; did you mean `[{section}]`?"),
                None => format!("there is no such section; sections are {}", list(sections.iter().copied())),
            },
            _ => match meant(full) {
                Some(name) => format!("there is no such key; did you mean `{name}`?"),
                None => format!("there is no such key; keys are {}", list(names())),
            },
        };
        self.problem(full, line, &advice);
    }

    fn problem(&mut self, name: &str, line: usize, problem: &str) {
        // Printed on a terminal: a quoted key of the file may hold anything.
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        self.problems.push((line, format!("{}, line {line}: `{name}`: {problem}", self.path.display())));
    }
}

/// The key meant: near by its full name, or with the same last part in another section.
fn meant(full: &str) -> Option<&'static str> {
    let last = full.rsplit('.').next().unwrap_or(full);
    let same_last = || names().find(|name| name.rsplit('.').next() == Some(last));
    nearest(full, names()).or_else(same_last)
}

fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(|key| key.place != Place::EnvironmentOnly).map(|key| key.name)
}

fn sections() -> BTreeSet<&'static str> {
    KEYS.iter().filter_map(Key::section).collect()
}

fn is_section(name: &str) -> bool {
    sections().contains(name)
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

fn raw(kind: Kind, value: &DeValue<'_>) -> Option<Raw> {
    match kind {
        Kind::Networks | Kind::Proxies | Kind::Hosts => {
            let texts = value.as_array()?.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>().map(Raw::List)
        }
        Kind::Count(..) => {
            let integer = value.as_integer()?;
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Raw::Number)
        }
        Kind::Address
        | Kind::Path
        | Kind::WebAddress
        | Kind::Database
        | Kind::Secret
        | Kind::Levels
        | Kind::Choice(_) => value.as_str().map(|text| Raw::Text(text.to_owned())),
    }
}

fn word_for(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}
