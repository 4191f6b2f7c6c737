//! Adding, editing and reconnecting: what is typed, asked and sent.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{descriptors, offering, print, print_report, settings::SettingsArgs};
use crate::{
    api_client::Answer,
    cli::{
        Session,
        credentials::{self, Ask, GivenFields},
        exit::Exit,
        failure::Failure,
        resolve,
    },
    output::{
        report::{Subject, next_step},
        text::shell_word,
        value::{find, list, shown, text},
    },
    prompt,
};

/// What both adding and editing know.
#[derive(Args, Debug)]
pub(crate) struct Account {
    /// Address of the RMM, as in its documents.
    #[arg(long)]
    url: Option<String>,
    /// How to authenticate; `fleetgate integration providers NAME` lists the modes.
    #[arg(long, value_name = "MODE")]
    auth_mode: Option<String>,
    /// Fields and secrets.
    #[command(flatten)]
    fields: GivenFields,
    /// With a one-time code: asked for, or from `@FILE` or `-` (standard input).
    #[arg(long, value_name = "@FILE|-", num_args = 0..=1, default_missing_value = "prompt")]
    code: Option<String>,
}

/// `integration add`.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Kind of RMM; `fleetgate integration providers` lists them.
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Name for it.
    #[arg(long)]
    name: Option<String>,
    /// The account.
    #[command(flatten)]
    account: Account,
    /// The settings.
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only test it, save nothing.
    #[arg(long)]
    dry_run: bool,
}

/// `integration edit`.
#[derive(Args, Debug)]
pub(crate) struct EditArgs {
    /// Name or id.
    integration: String,
    /// New name.
    #[arg(long)]
    name: Option<String>,
    /// The account.
    #[command(flatten)]
    account: Account,
    /// Ask for all secrets again.
    #[arg(long)]
    ask: bool,
    /// The settings.
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `integration reconnect`.
#[derive(Args, Debug)]
pub(crate) struct ReconnectArgs {
    /// Name or id.
    integration: String,
    /// The account.
    #[command(flatten)]
    account: Account,
}

pub(super) async fn add(args: &AddArgs, session: &Session) -> Result<Exit, Failure> {
    args.account.fields.check()?;
    let (_, descriptors) = descriptors(session).await?;
    let descriptor = choose_provider(&descriptors, args.provider.as_deref())?;
    let mode = choose_mode(descriptor, args.account.auth_mode.as_deref())?;
    let url = match &args.account.url {
        Some(url) => url.clone(),
        None => {
            session.output.note(&format!("Example: {}", shown(descriptor, "url_example")));
            prompt::ask_line(&shown(descriptor, "url_label"), None)?
        }
    };
    let fields = args.account.fields.collect(mode, Ask::Missing)?;
    let code = credentials::code_for(mode, args.account.code.as_deref())?;
    let subject = Subject::Draft {
        provider: shown(descriptor, "id"),
        url: url.clone(),
        auth_mode: shown(mode, "id"),
        name: args.name.clone(),
        plain_http: args.settings.allow_plain_http(),
    };
    let body = without_nulls(json!({
        "provider": shown(descriptor, "id"),
        "name": args.name,
        "url": url,
        "auth_mode": shown(mode, "id"),
        "fields": fields,
        "code": code,
        "settings": args.settings.given(None)?,
    }));
    if args.dry_run {
        let answer = session.client.post(&["integrations", "test"], &body).await;
        return print_report(&answer.map_err(|failure| offering(failure, &subject))?, &subject, session);
    }
    let answer = session.client.post(&["integrations"], &body).await;
    let answer = answer.map_err(|failure| offering(failure, &subject))?;
    finish(&answer, connected_or(&answer, "Connected"), session)?;
    let name = shell_word(&shown(&answer.value, "name|id"));
    let test = match is_connected(&answer) {
        true => String::new(),
        false => format!("fleetgate integration test {name}, then "),
    };
    session
        .output
        .note(&format!("Next: {test}fleetgate sync clients {name}, then fleetgate organizations list"));
    Ok(Exit::Ok)
}

pub(super) async fn edit(args: &EditArgs, session: &Session) -> Result<Exit, Failure> {
    args.account.fields.check()?;
    let current = super::get(&args.integration, session).await?.value;
    let id = shown(&current, "id");
    let ask = if args.ask { Ask::Missing } else { Ask::Nothing };
    let mut body = json!({
        "version": find(&current, "version"),
        "name": args.name,
        "url": args.account.url,
        "auth_mode": args.account.auth_mode,
        "settings": args.settings.given(find(&current, "settings"))?,
        "code": credentials::code(args.account.code.as_deref())?,
    });
    if args.ask || !args.account.fields.is_empty() {
        body["fields"] = Value::Object(fields_for(&current, &args.account, ask, session).await?);
    }
    let mut body = without_nulls(body);
    if body.as_object().is_some_and(|fields| fields.keys().all(|name| name == "version")) {
        return Err(Failure::usage("nothing to change was given")
            .advise("`fleetgate integration edit --help` lists what can be."));
    }
    let subject = Subject::Saved(args.integration.clone());
    let mut answer = session.client.patch(&["integrations", &id], &body).await;
    let needs_secrets = matches!(&answer, Err(failure) if failure.code == "secret_required");
    if needs_secrets && prompt::is_interactive() {
        session.output.note("Another address gets the secrets only if you give them again.");
        body["fields"] = Value::Object(fields_for(&current, &args.account, Ask::Missing, session).await?);
        answer = session.client.patch(&["integrations", &id], &body).await;
    }
    finish(&answer.map_err(|failure| offering(failure, &subject))?, "Changed", session)?;
    Ok(Exit::Ok)
}

pub(super) async fn reconnect(args: &ReconnectArgs, session: &Session) -> Result<Exit, Failure> {
    args.account.fields.check()?;
    let current = super::get(&args.integration, session).await?.value;
    let id = shown(&current, "id");
    let fields = fields_for(&current, &args.account, Ask::Missing, session).await?;
    let body = without_nulls(json!({
        "fields": fields,
        "code": credentials::code(args.account.code.as_deref())?,
        "url": args.account.url,
        "auth_mode": args.account.auth_mode,
    }));
    let subject = Subject::Saved(args.integration.clone());
    let answer = session.client.post(&["integrations", &id, "reconnect"], &body).await;
    let answer = answer.map_err(|failure| offering(failure, &subject))?;
    finish(&answer, connected_or(&answer, "Connected again"), session)?;
    if !is_connected(&answer) && next_step(&answer.value).is_none() {
        let name = shell_word(&shown(&answer.value, "name|id"));
        session.output.note(&format!("Next: fleetgate integration test {name}"));
    }
    Ok(Exit::Ok)
}

async fn fields_for(
    current: &Value,
    account: &Account,
    ask: Ask,
    session: &Session,
) -> Result<Map<String, Value>, Failure> {
    let (_, descriptors) = descriptors(session).await?;
    let descriptor = resolve::provider(&descriptors, &shown(current, "provider"))?;
    let mode = account.auth_mode.clone().unwrap_or_else(|| shown(current, "auth_mode"));
    let mode = choose_mode(descriptor, Some(&mode))?;
    account.fields.collect(mode, ask)
}

/// A key is only saved: whether it works is known after a test or a sync.
fn is_connected(answer: &Answer) -> bool {
    text(&answer.value, "state") == Some("connected")
}

/// Says no more than the state does.
fn connected_or(answer: &Answer, connected: &'static str) -> &'static str {
    match text(&answer.value, "state") {
        Some("connected") => connected,
        Some("new") => "Saved, not tried yet",
        _ => "Saved",
    }
}

fn finish(answer: &Answer, what: &str, session: &Session) -> Result<(), Failure> {
    session.print_one(answer, |value| print(value, session))?;
    session.output.note(&format!("{what}."));
    Ok(())
}

fn choose_provider<'a>(descriptors: &'a [Value], wanted: Option<&str>) -> Result<&'a Value, Failure> {
    match (wanted, descriptors) {
        (Some(wanted), _) => resolve::provider(descriptors, wanted),
        (None, [only]) => Ok(only),
        (None, _) => {
            let ids: Vec<String> = descriptors.iter().map(|descriptor| shown(descriptor, "id")).collect();
            let typed = prompt::ask_line(&format!("Kind of RMM (--provider: {})", ids.join(", ")), None)?;
            resolve::provider(descriptors, &typed)
        }
    }
}

/// The named auth mode, else the first, which the provider recommends.
fn choose_mode<'a>(descriptor: &'a Value, wanted: Option<&str>) -> Result<&'a Value, Failure> {
    let modes = list(descriptor, "auth_modes");
    let found = match wanted {
        Some(wanted) => modes.iter().find(|mode| text(mode, "id") == Some(wanted)),
        None => modes.first(),
    };
    found.ok_or_else(|| {
        let known: Vec<String> = modes.iter().map(|mode| shown(mode, "id")).collect();
        Failure::usage(format!("`{}` has no such auth mode", shown(descriptor, "id")))
            .advise(format!("Its auth modes are: {}", known.join(", ")))
    })
}

/// What was not given is not sent: the server then leaves it as it is.
fn without_nulls(body: Value) -> Value {
    match body {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Value {
        json!({ "id": "p", "auth_modes": [{ "id": "key" }, { "id": "password", "needs_sign_in": true }] })
    }

    #[test]
    fn the_recommended_auth_mode_is_taken_unless_one_is_named() {
        let descriptor = descriptor();
        assert_eq!(shown(choose_mode(&descriptor, None).unwrap(), "id"), "key");
        let named = choose_mode(&descriptor, Some("password")).unwrap();
        assert_eq!(shown(named, "needs_sign_in"), "yes");
        let failure = choose_mode(&descriptor, Some("x")).unwrap_err();
        assert_eq!(failure.advice, ["Its auth modes are: key, password"]);
    }

    #[test]
    fn only_what_was_never_tried_is_said_not_to_be() {
        let said = |state: &str| {
            let answer = Answer { text: String::new(), value: json!({ "state": state }) };
            connected_or(&answer, "Connected")
        };
        assert_eq!(said("connected"), "Connected");
        assert_eq!(said("new"), "Saved, not tried yet");
        assert_eq!((said("failing"), said("needs_code")), ("Saved", "Saved"));
    }

    #[test]
    fn what_was_not_given_is_not_sent() {
        assert_eq!(without_nulls(json!({ "a": null, "b": 1 })), json!({ "b": 1 }));
    }
}
