//! The fields of an auth mode, as the provider's descriptor lists them: read from files and standard input, or asked
//! one by one.

use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::{
    output::value::{is_true, list, shown, text},
    prompt::{self, SecretSource},
};

/// `--secret` and `--field`, as typed.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct GivenFields {
    /// A secret of the auth mode: `NAME=@FILE`, `NAME=-` (a line of standard input) or `NAME=prompt`. May be repeated.
    #[arg(long = "secret", value_name = "NAME=@FILE|-")]
    secrets: Vec<String>,
    /// A field that is not secret, as a user name: `NAME=VALUE`; else as `--secret`. May be repeated.
    #[arg(long = "field", value_name = "NAME=VALUE|@FILE|-")]
    fields: Vec<String>,
}

/// Which fields are asked for if they were not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// All of the auth mode, on a terminal.
    Missing,
    /// None: what was not given stays as it is.
    Nothing,
}

/// Where the value of a field comes from.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Source(SecretSource),
    /// For fields that the descriptor calls text.
    Literal(String),
}

#[derive(Debug, PartialEq, Eq)]
struct Given {
    name: String,
    origin: Origin,
}

impl GivenFields {
    /// Was none given?
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.fields.is_empty()
    }

    /// Refuses secrets in plain sight, before anything is asked or sent.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.secrets.iter().try_for_each(|text| given_secret(text).map(|_| ()))
    }

    /// The values of the fields of `mode`.
    pub(super) fn collect(&self, mode: &Value, ask: Ask) -> Result<Map<String, Value>, Failure> {
        let mut given = Vec::new();
        for text in &self.secrets {
            given.push(given_secret(text)?);
        }
        for text in &self.fields {
            given.push(given_field(text, mode)?);
        }
        check_names(&given, mode)?;
        let mut values = Map::new();
        for Given { name, origin } in given {
            let value = match origin {
                Origin::Literal(value) => value,
                Origin::Source(source) => source.read(&label_of(mode, &name))?.expose_secret().to_owned(),
            };
            values.insert(name, Value::String(value));
        }
        if ask == Ask::Missing {
            ask_missing(mode, &mut values)?;
        }
        Ok(values)
    }
}

fn given_secret(text: &str) -> Result<Given, Failure> {
    let Some((name, spec)) = text.split_once('=') else { return Err(prompt::literal_refused("--secret")) };
    let source = SecretSource::parse(spec, "--secret")?;
    Ok(Given { name: name.to_owned(), origin: Origin::Source(source) })
}

/// A value in plain sight is taken only where the descriptor says that it may be shown.
fn given_field(text: &str, mode: &Value) -> Result<Given, Failure> {
    let Some((name, spec)) = text.split_once('=') else { return Err(prompt::literal_refused("--field")) };
    let is_text = field(mode, name).is_some_and(|field| kind(field) == "text");
    let origin = match SecretSource::parse(spec, "--field") {
        Ok(source) => Origin::Source(source),
        Err(_) if is_text && !spec.is_empty() => Origin::Literal(spec.to_owned()),
        Err(refused) => return Err(refused),
    };
    Ok(Given { name: name.to_owned(), origin })
}

/// The field of this name, of either credential.
fn field<'a>(mode: &'a Value, name: &str) -> Option<&'a Value> {
    list(mode, "fields").iter().find(|field| text(field, "name") == Some(name))
}

/// Is it of the second credential, for actions alone?
pub(super) fn is_for_actions(field: &Value) -> bool {
    text(field, "credential") == Some("action")
}

fn kind(field: &Value) -> &str {
    text(field, "kind").unwrap_or("secret")
}

fn label_of(mode: &Value, name: &str) -> String {
    field(mode, name).map_or_else(|| name.to_owned(), |field| shown(field, "label|name"))
}

fn check_names(given: &[Given], mode: &Value) -> Result<(), Failure> {
    let is_code =
        |given: &Given| field(mode, &given.name).is_some_and(|field| kind(field) == "one_time_code");
    if given.iter().any(is_code) {
        return Err(Failure::usage(
            "a one-time code is given with `--code @FILE`, `--code -`, or `--code` to be asked",
        ));
    }
    // The unknown name is not repeated: whoever mistypes may have put the secret first.
    if given.iter().all(|given| field(mode, &given.name).is_some()) {
        return Ok(());
    }
    let names = |of_actions: bool| {
        let fields = list(mode, "fields").iter().filter(|field| is_for_actions(field) == of_actions);
        fields.map(|field| shown(field, "name")).collect::<Vec<_>>().join(", ")
    };
    let failure =
        Failure::usage(format!("a name before `=` is no field of the auth mode `{}`", shown(mode, "id")))
            .advise(format!("Its fields are: {}", names(false)));
    let second = names(true);
    Err(if second.is_empty() {
        failure
    } else {
        failure.advise(format!("For a second credential, for actions: {second}"))
    })
}

fn ask_missing(mode: &Value, values: &mut Map<String, Value>) -> Result<(), Failure> {
    // A second credential is given on purpose; whoever connects for the first time is not asked for it.
    let is_missing = |field: &&Value| {
        kind(field) != "one_time_code"
            && !is_for_actions(field)
            && !values.contains_key(&shown(field, "name"))
    };
    let missing: Vec<&Value> = list(mode, "fields").iter().filter(is_missing).collect();
    let required: Vec<String> =
        missing.iter().filter(|field| is_true(field, "required")).map(|field| shown(field, "name")).collect();
    if !prompt::is_interactive() {
        return match required.is_empty() {
            true => Ok(()),
            false => Err(Failure::usage(format!("missing: {}", required.join(", "))).advise(
                "Give each with `--secret NAME=@FILE` or `--secret NAME=-` (a line of standard input).",
            )),
        };
    }
    for field in missing {
        let name = shown(field, "name");
        let label = shown(field, "label|name");
        let optional = if is_true(field, "required") { "" } else { " (may be left empty)" };
        let typed = match kind(field) {
            "text" => prompt::ask_line(&format!("{label}{optional}"), Some(""))?,
            _ => prompt::ask_secret(&format!("{label}{optional}"))?.expose_secret().to_owned(),
        };
        match (typed.is_empty(), required.contains(&name)) {
            (true, true) => return Err(Failure::usage(format!("{label} is needed; nothing was done"))),
            (true, false) => {}
            (false, _) => drop(values.insert(name, Value::String(typed))),
        }
    }
    Ok(())
}

/// `--code`, or asked for if the auth mode has one.
pub(super) fn code_for(mode: &Value, given: Option<&str>) -> Result<Option<String>, Failure> {
    let field = list(mode, "fields").iter().find(|field| kind(field) == "one_time_code");
    match (given, field) {
        (None, Some(field)) if prompt::is_interactive() => {
            let typed =
                prompt::ask_line(&format!("{} (may be left empty)", shown(field, "label|name")), Some(""))?;
            Ok(Some(typed).filter(|code| !code.is_empty()))
        }
        _ => code(given),
    }
}

/// `--code`: with a source, or alone to be asked.
pub(super) fn code(given: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(spec) = given else { return Ok(None) };
    let source = SecretSource::parse(spec, "--code")?;
    let code = match source {
        SecretSource::Prompt => prompt::ask_line("One-time code", None)?,
        SecretSource::Stdin | SecretSource::File(_) => {
            source.read("the one-time code")?.expose_secret().to_owned()
        }
    };
    Ok(Some(code.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::exit::Exit;

    fn mode() -> Value {
        json!({ "id": "password", "fields": [
            { "name": "user", "label": "User", "kind": "text", "required": true },
            { "name": "password", "label": "Password", "kind": "secret", "required": true },
            { "name": "note", "label": "Note", "kind": "secret", "required": false },
            { "name": "other_user", "label": "User for actions", "kind": "text", "required": false,
              "credential": "action" },
            { "name": "other_password", "label": "Password for actions", "kind": "secret", "required": false,
              "credential": "action" },
        ]})
    }

    #[track_caller]
    fn check_refused(secrets: &[&str], fields: &[&str]) -> Failure {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let given = GivenFields { secrets: own(secrets), fields: own(fields) };
        let failure = given.collect(&mode(), Ask::Nothing).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        failure
    }

    #[test]
    fn secrets_in_plain_sight_are_refused_and_not_repeated() {
        for literal in ["password=hunter2", "hunter2", "password=", "hunter2=@x"] {
            check_refused(&[literal], &[]);
        }
        for literal in ["password=hunter2", "hunter2", "other_password=hunter2", "user="] {
            check_refused(&[], &[literal]);
        }
        let given = GivenFields { secrets: vec!["password=hunter2".to_owned()], fields: Vec::new() };
        assert!(given.check().is_err());
    }

    #[test]
    fn a_field_that_may_be_shown_may_be_typed() {
        let given = GivenFields {
            secrets: Vec::new(),
            fields: vec!["user=api".to_owned(), "other_user=other".to_owned()],
        };
        let values = given.collect(&mode(), Ask::Nothing).unwrap();
        assert_eq!(Value::Object(values), json!({ "user": "api", "other_user": "other" }));
    }

    #[test]
    fn a_literal_code_is_refused() {
        assert!(code(Some("123456")).is_err());
        assert_eq!(code(None).unwrap(), None);
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let failure = check_refused(&["pasword=@file"], &[]);
        let second = "For a second credential, for actions: other_user, other_password";
        assert_eq!(failure.advice, ["Its fields are: user, password, note", second]);
    }
}
