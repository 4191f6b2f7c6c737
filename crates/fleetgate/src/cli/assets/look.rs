//! `fleetgate assets audit`: what the RMM knows of one machine, read now.

use clap::Args;
use serde_json::{Value, json};

use super::show;
use crate::{
    cli::{Session, exit::Exit, failure::Failure, resolve},
    output::{
        table::{name, whole},
        text::plain,
        value::{find, is_true, list, shown},
    },
};

/// `assets audit`.
#[derive(Args, Debug)]
pub(crate) struct LookArgs {
    /// Name or id.
    asset: String,
    /// Processors, memory, disks, model, serial number.
    #[arg(long)]
    hardware: bool,
    /// Hardware and network addresses.
    #[arg(long)]
    network: bool,
    /// What is installed.
    #[arg(long)]
    software: bool,
}

impl LookArgs {
    /// What is asked for; hardware and network if nothing is said.
    fn kinds(&self) -> Vec<&'static str> {
        let chosen = [("hardware", self.hardware), ("network", self.network), ("software", self.software)];
        let kinds: Vec<&str> = chosen.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        if kinds.is_empty() { vec!["hardware", "network"] } else { kinds }
    }
}

pub(super) async fn run(args: LookArgs, session: &Session) -> Result<Exit, Failure> {
    let id = resolve::asset(&session.client, &args.asset).await?;
    let answer = session.client.post(&["assets", &id, "audit"], &json!({ "kinds": args.kinds() })).await?;
    let results = list(&answer.value, "results");
    let failed = results.iter().filter(|result| !is_true(result, "done")).count();
    session.print_one(&answer, |found| print(found, session))?;
    Ok(if failed == results.len() { Exit::Refused } else { Exit::Ok })
}

fn print(found: &Value, session: &Session) -> Result<(), Failure> {
    let results = list(found, "results");
    for result in results {
        session.output.line(&plain(&told(result)))?;
    }
    if results.iter().any(|result| shown(result, "kind") != "software" && is_true(result, "done")) {
        session.output.line("")?;
        show::print(find(found, "asset").unwrap_or(&Value::Null), session)?;
    }
    let software = list(found, "software");
    if software.is_empty() {
        return Ok(());
    }
    session.output.line("")?;
    let rows: Vec<Vec<String>> = software
        .iter()
        .map(|row| vec![shown(row, "name"), shown(row, "version"), shown(row, "publisher")])
        .collect();
    session.output.table(&[name("Software", 0), whole("Version", 0), name("Publisher", 1)], &rows)
}

/// One line for each kind: who was asked, or why nobody could tell.
fn told(result: &Value) -> String {
    let kind = shown(result, "kind");
    let rmm = shown(result, "source.integration_name");
    match (is_true(result, "done"), rmm.is_empty()) {
        (true, _) => format!("{kind}: read from `{rmm}` just now"),
        (false, true) => format!("{kind}: not read: {}", shown(result, "problem")),
        (false, false) => format!("{kind}: not read from `{rmm}`: {}", shown(result, "problem")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_says_who_told_it_or_why_nobody_did() {
        let source = json!({ "integration_name": "Main" });
        let done = json!({ "kind": "network", "done": true, "source": source });
        assert_eq!(told(&done), "network: read from `Main` just now");
        let refused = json!({ "kind": "software", "done": false, "source": source, "problem": "no" });
        assert_eq!(told(&refused), "software: not read from `Main`: no");
        let nobody = json!({ "kind": "software", "done": false, "source": null, "problem": "none tells" });
        assert_eq!(told(&nobody), "software: not read: none tells");
    }

    #[test]
    fn without_a_choice_hardware_and_network_are_read() {
        let args = |software| LookArgs { asset: String::new(), hardware: false, network: false, software };
        assert_eq!(args(false).kinds(), ["hardware", "network"]);
        assert_eq!(args(true).kinds(), ["software"]);
    }
}
