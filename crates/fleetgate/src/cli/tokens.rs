//! `fleetgate tokens …`: access tokens, listed and revoked over REST. They are made by `fleetgate token create`.

use clap::Subcommand;
use serde_json::Value;

use super::{Session, clock, exit::Exit, failure::Failure, resolve};
use crate::{
    api_client::{Paging, Query},
    output::{
        table::{name, whole},
        value::{ago, find, shown, text},
    },
    prompt,
};

/// What can be done with tokens. They are named by name or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List your tokens; with the permission `users:manage` everybody's.
    List,
    /// End a token at once. It cannot be taken back.
    Revoke {
        /// Name or id.
        token: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs one of them.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::List => list_all(session).await,
        Command::Revoke { token, yes } => revoke(&token, yes, session).await,
    }
}

async fn list_all(session: &Session) -> Result<Exit, Failure> {
    let listed = session.client.list(&["tokens"], &Query::new(), &Paging::default()).await?;
    let now = clock::now();
    let columns = [
        name("Name", 0),
        whole("Kind", 1),
        whole("Ends with", 2),
        whole("State", 0),
        whole("Valid until", 0),
        whole("Last used", 1),
        whole("User", 4),
        whole("Id", 3),
    ];
    session.print_list(&listed, &columns, |token| {
        vec![
            shown(token, "name"),
            shown(token, "kind"),
            shown(token, "last_four"),
            state(token, now).to_owned(),
            ago(token, "expires_at", now),
            ago(token, "last_used_at", now),
            shown(token, "user_id"),
            shown(token, "id"),
        ]
    })?;
    Ok(Exit::Ok)
}

fn state(token: &Value, now: domain::Time) -> &'static str {
    let end = text(token, "expires_at").and_then(|end| end.parse::<domain::Time>().ok());
    match (find(token, "revoked_at"), end) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "ended",
        (None, _) => "works",
    }
}

async fn revoke(wanted: &str, yes: bool, session: &Session) -> Result<Exit, Failure> {
    let id = resolve::token(&session.client, wanted).await?;
    prompt::confirm(&format!("Revoke the token `{wanted}`? Whatever uses it stops working."), yes.into())?;
    let answer = session.client.delete(&["tokens", &id]).await?;
    session.print_one(&answer, |_| session.output.line("Revoked: it does not work any more."))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_works_until_it_ends_or_is_revoked() {
        let token = |revoked: Value| json!({ "expires_at": "2026-11-21T00:00:00Z", "revoked_at": revoked });
        let end: domain::Time = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(state(&token(Value::Null), domain::Time(end.0 - 1)), "works");
        assert_eq!(state(&token(Value::Null), end), "ended");
        assert_eq!(state(&token(json!("2026-11-20T00:00:00Z")), domain::Time(end.0 - 1)), "revoked");
    }
}
