//! The report of a connection test as a readable list, and offers as the exact next command.

use serde_json::Value;

use super::{
    Look,
    text::{plain, shell_word},
    value::{find, is_true, list, number, shown, text},
};

/// What an offer is about: it becomes a command for exactly this.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// An integration that exists, by its name.
    Saved(String),
    /// One that is being added.
    Draft {
        /// Its provider.
        provider: String,
        /// Its address.
        url: String,
        /// Its auth mode.
        auth_mode: String,
        /// Its name, if one was given.
        name: Option<String>,
        /// Plain http was allowed.
        plain_http: bool,
    },
}

/// The report, line by line.
pub(crate) fn check_report(report: &Value, look: Look, subject: &Subject) -> String {
    let mut lines = vec![headline(report)];
    lines.extend(
        list(report, "notes").iter().filter_map(Value::as_str).map(|note| format!("  {}", plain(note))),
    );
    lines.extend(about(report));
    for line in list(report, "lines") {
        lines.extend(check_line(line, look));
    }
    if let Some(problem) = find(report, "problem") {
        lines.push(plain(&shown(problem, "message|title")));
        lines.extend(text(problem, "endpoint").map(|route| format!("  Route: {}", plain(route))));
        lines.extend(text(problem, "fix|detail").map(|fix| format!("  What to do: {}", plain(fix))));
    }
    let of_problem = find(report, "problem.offer").into_iter();
    let mut commands: Vec<String> = list(report, "offers")
        .iter()
        .chain(of_problem)
        .filter_map(|offer| offer_command(offer, subject))
        .collect();
    commands.dedup();
    lines.extend(commands.into_iter().map(|command| format!("  Next: {command}")));
    lines.join("\n")
}

fn headline(report: &Value) -> String {
    let verdict = if is_true(report, "ok") { "works" } else { "does not work" };
    match text(report, "url") {
        Some(url) => format!("The connection to {} {verdict}.", plain(url)),
        None => format!("The connection {verdict}."),
    }
}

fn about(report: &Value) -> Option<String> {
    let mut facts = Vec::new();
    for (path, label) in [("account", "account"), ("version", "version")] {
        facts.extend(text(report, path).map(|value| format!("{label} {}", plain(value))));
    }
    facts.extend(number(report, "latency_ms").map(|ms| format!("answers in {ms} ms")));
    let skew = find(report, "clock_skew_s").and_then(Value::as_i64).filter(|skew| skew.abs() >= 30);
    facts.extend(
        skew.map(|skew| {
            format!("its clock is {} s {}", skew.abs(), if skew > 0 { "ahead" } else { "behind" })
        }),
    );
    (!facts.is_empty()).then(|| format!("  ({})", facts.join(", ")))
}

fn check_line(line: &Value, look: Look) -> Vec<String> {
    let mark = mark(text(line, "state").unwrap_or_default(), look);
    let mut lines =
        vec![format!("  {mark} {}: {}", plain(&shown(line, "label|id")), plain(&shown(line, "message")))];
    lines.extend(text(line, "endpoint").map(|route| format!("      Route: {}", plain(route))));
    lines.extend(text(line, "right").map(|right| format!("      missing right: {}", plain(right))));
    lines.extend(text(line, "fix").map(|fix| format!("      What to do: {}", plain(fix))));
    lines
}

fn mark(state: &str, look: Look) -> String {
    let (sign, ascii, colour) = match state {
        "ok" => ("✓", "ok", 32),
        "warning" => ("!", "!", 33),
        "missing" => ("–", "-", 33),
        "failed" => ("✗", "x", 31),
        _ => ("·", ".", 90),
    };
    let sign = if look.unicode { sign.to_owned() } else { format!("{ascii:2}") };
    if look.colour { format!("\u{1b}[{colour}m{sign}\u{1b}[0m") } else { sign }
}

/// The command that takes the offer; none for a kind this version does not know.
pub(crate) fn offer_command(offer: &Value, subject: &Subject) -> Option<String> {
    match text(offer, "kind")? {
        "use_url" => Some(with_url(subject, text(offer, "url")?)),
        "ask_code" => Some(match subject {
            Subject::Saved(name) => format!("fleetgate integration sign-in {} --code", shell_word(name)),
            Subject::Draft { url, .. } => format!("{} --code", with_url(subject, url)),
        }),
        "allow_plain_http" => Some(match subject {
            Subject::Saved(name) => {
                format!("fleetgate integration edit {} --allow-plain-http", shell_word(name))
            }
            Subject::Draft { url, plain_http: true, .. } => with_url(subject, url),
            Subject::Draft { url, plain_http: false, .. } => {
                format!("{} --allow-plain-http", with_url(subject, url))
            }
        }),
        _ => None,
    }
}

/// What to do about an integration that waits for a code, as the exact command.
pub(crate) fn next_step(integration: &Value) -> Option<String> {
    if text(integration, "state") != Some("needs_code") {
        return None;
    }
    let name = text(integration, "name").or_else(|| text(integration, "id"))?;
    Some(format!("Next: fleetgate integration sign-in {} --code", shell_word(name)))
}

fn with_url(subject: &Subject, url: &str) -> String {
    let url = shell_word(url);
    match subject {
        Subject::Saved(name) => format!("fleetgate integration edit {} --url {url}", shell_word(name)),
        Subject::Draft { provider, auth_mode, name, plain_http, .. } => {
            let plain_http = if *plain_http { " --allow-plain-http" } else { "" };
            let name = name.as_ref().map(|name| format!(" --name {}", shell_word(name))).unwrap_or_default();
            format!(
                "fleetgate integration add --provider {} --auth-mode {}{name} --url {url}{plain_http}",
                shell_word(provider),
                shell_word(auth_mode)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        json!({
            "ok": false, "url": "https://rmm.example.com", "notes": ["left out the path `/login`"],
            "version": "1.2\u{1b}[2J", "latency_ms": 12, "clock_skew_s": 90,
            "lines": [
                { "id": "clients", "label": "Clients", "state": "ok", "message": "12 clients" },
                { "id": "scripts", "label": "Scripts", "state": "missing", "message": "no right",
                  "right": "can_list_scripts", "fix": "Tick it." },
                { "id": "alerts", "label": "Alerts", "state": "failed", "message": "cut", "endpoint": "PATCH /alerts/" },
                { "id": "actions", "label": "Actions", "state": "skipped", "message": "not tried" },
            ],
            "problem": { "code": "dashboard_host", "message": "This is the dashboard.", "fix": "Use the API's host.",
                         "endpoint": "GET /" },
            "offers": [{ "kind": "use_url", "url": "https://api.example.com" }, { "kind": "new_in_2030" }],
        })
    }

    #[test]
    fn a_pipe_gets_ascii_with_fixes_and_the_next_command() {
        let text = check_report(&report(), Look::PLAIN, &Subject::Saved("My RMM".to_owned()));
        let expected = "The connection to https://rmm.example.com does not work.\n  left out the path `/login`\n  \
            (version 1.2, answers in 12 ms, its clock is 90 s ahead)\n  ok Clients: 12 clients\n  -  Scripts: no right\n      \
            missing right: can_list_scripts\n      What to do: Tick it.\n  x  Alerts: cut\n      Route: PATCH /alerts/\n  .  Actions: not tried\n\
            This is the dashboard.\n  Route: GET /\n  \
            What to do: Use the API's host.\n  Next: fleetgate integration edit 'My RMM' --url https://api.example.com";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_terminal_gets_signs() {
        let look = Look { terminal: true, colour: false, unicode: true, width: Some(80) };
        let text = check_report(&report(), look, &Subject::Saved("x".to_owned()));
        assert!(text.contains("✓ Clients") && text.contains("– Scripts"), "{text}");
    }

    #[test]
    fn only_an_integration_that_wants_a_code_has_a_next_step() {
        let integration = |state: &str| json!({ "name": "My RMM", "state": state });
        let step = next_step(&integration("needs_code"));
        assert_eq!(step.as_deref(), Some("Next: fleetgate integration sign-in 'My RMM' --code"));
        assert_eq!(next_step(&integration("failing")), None);
    }

    #[test]
    fn an_offered_address_cannot_smuggle_a_command() {
        let subject = Subject::Draft {
            provider: "p".to_owned(),
            url: "https://a".to_owned(),
            auth_mode: "key".to_owned(),
            name: None,
            plain_http: true,
        };
        let offer = json!({ "kind": "use_url", "url": "https://a/$(reboot)" });
        let command = offer_command(&offer, &subject).unwrap();
        assert_eq!(
            command,
            "fleetgate integration add --provider p --auth-mode key --url 'https://a/$(reboot)' --allow-plain-http"
        );
    }
}
