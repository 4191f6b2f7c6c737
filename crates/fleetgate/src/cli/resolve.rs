//! Names where ids are expected. A name that fits several is an error that lists them: never a guess.

use domain::client::name_key;
use serde_json::Value;

use super::{exit::Exit, failure::Failure};
use crate::{
    api_client::{ApiClient, Paging, Query},
    output::{
        text::plain,
        value::{find, shown, text},
    },
};

/// Something that a name may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) name: String,
    /// What tells it from others of the same name.
    pub(super) hint: String,
}

/// Is this an id with this prefix?
pub(super) fn is_id(text: &str, prefix: &str) -> bool {
    let hex = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    hex.is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The one candidate of this name, whatever the case.
fn pick(what: &str, wanted: &str, candidates: Vec<Candidate>) -> Result<Candidate, Failure> {
    let key = name_key(wanted);
    let (mut fitting, others): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(|candidate| name_key(&candidate.name) == key);
    match (fitting.pop(), fitting.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            let failure = Failure::new(
                Exit::Refused,
                "ambiguous_name",
                format!(
                    "there are {} with the name `{wanted}` ({what}); name one by its id",
                    fitting.len() + 1
                ),
            );
            Err(fitting
                .iter()
                .chain([&last])
                .fold(failure, |failure, candidate| failure.advise(line(candidate))))
        }
        (None, _) => {
            let failure = Failure::not_found(format!("there is no {what} `{wanted}`"));
            Err(match others.len() {
                0 => failure,
                _ => failure.advise(format!(
                    "Near: {}",
                    others.iter().take(8).map(line).collect::<Vec<_>>().join("; ")
                )),
            })
        }
    }
}

fn line(candidate: &Candidate) -> String {
    let hint = if candidate.hint.is_empty() { String::new() } else { format!(", {}", candidate.hint) };
    plain(&format!("{} ({}{hint})", candidate.name, candidate.id))
}

fn candidates(items: &[Value], hint: &str) -> Vec<Candidate> {
    let candidate = |item: &Value| Candidate {
        id: shown(item, "id"),
        name: shown(item, "name"),
        hint: shown(item, hint),
    };
    items.iter().map(candidate).collect()
}

/// An integration by id or name.
pub(super) async fn integration(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "int") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["integrations"], &Query::new(), &Paging::default()).await?;
    Ok(pick("integration", wanted, candidates(&listed.items, "provider"))?.id)
}

/// A client by id or name.
pub(super) async fn client(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "cli") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["clients"], &vec![("text", wanted.to_owned())], &Paging::ALL).await?;
    Ok(pick("client", wanted, candidates(&listed.items, "archived_at"))?.id)
}

/// A client by id or name; if none has it, an archived or merged one. What is put aside does not hide what is not.
pub(super) async fn any_client(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    match self::client(client, wanted).await {
        Err(none) if none.exit == Exit::NotFound => match archived_client(client, wanted).await {
            Err(archived) if archived.exit == Exit::NotFound => Err(none),
            found => found,
        },
        found => found,
    }
}

/// An archived client by id or name.
pub(super) async fn archived_client(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "cli") {
        return Ok(wanted.to_owned());
    }
    let query = vec![("text", wanted.to_owned()), ("archived", "true".to_owned())];
    let listed = client.list(&["clients"], &query, &Paging::ALL).await?;
    Ok(pick("archived client", wanted, candidates(&listed.items, "archived_at"))?.id)
}

/// A token that still works by id or name.
pub(super) async fn token(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "tok") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["tokens"], &Query::new(), &Paging::default()).await?;
    let works = |token: &Value| find(token, "revoked_at").is_none();
    let working: Vec<Value> = listed.items.into_iter().filter(works).collect();
    Ok(pick("token", wanted, candidates(&working, "last_four"))?.id)
}

/// A user by id, e-mail address or name.
pub(super) async fn user(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "usr") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["users"], &Query::new(), &Paging::default()).await?;
    let address = wanted.trim().to_lowercase();
    let has_address = |user: &&Value| shown(user, "email").to_lowercase() == address;
    if let Some(user) = listed.items.iter().find(has_address) {
        return Ok(shown(user, "id"));
    }
    Ok(pick("user", wanted, candidates(&listed.items, "email"))?.id)
}

/// A role, built in or own, by id or name.
pub(super) async fn role(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "rol") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["roles"], &Query::new(), &Paging::default()).await?;
    Ok(pick("role", wanted, candidates(&listed.items, ""))?.id)
}

/// An own role by id or name: one that can be changed.
pub(super) async fn own_role(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    let id = role(client, wanted).await?;
    if is_id(&id, "rol") {
        return Ok(id);
    }
    let failure = Failure::new(
        Exit::Refused,
        "built_in_role",
        format!("`{id}` is built in: it is the same for everybody and cannot be changed"),
    );
    Err(failure.advise("Make one of your own: fleetgate roles create NAME --permissions A,B"))
}

/// A site of a client by id or name.
pub(super) async fn site(
    client: &ApiClient,
    client_id: Option<&str>,
    wanted: &str,
) -> Result<String, Failure> {
    if is_id(wanted, "sit") {
        return Ok(wanted.to_owned());
    }
    let Some(client_id) = client_id else {
        return Err(Failure::usage("a site is named together with its client: add `--client NAME`"));
    };
    let answer = client.get(&["clients", client_id], &Query::new()).await?;
    let sites = crate::output::value::list(&answer.value, "sites");
    Ok(pick("site", wanted, candidates(sites, ""))?.id)
}

/// An organization by id, or by name within an integration.
pub(super) async fn organization(
    client: &ApiClient,
    within: Option<&str>,
    wanted: &str,
) -> Result<String, Failure> {
    if is_id(wanted, "org") {
        return Ok(wanted.to_owned());
    }
    let mut query: Query = vec![("text", wanted.to_owned())];
    if let Some(name) = within {
        query.push(("integration_id", integration(client, name).await?));
    }
    let listed = client.list(&["organizations"], &query, &Paging::ALL).await?;
    Ok(pick("organization", wanted, candidates(&listed.items, "integration_id"))?.id)
}

/// An asset by id or name.
pub(super) async fn asset(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "ast") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["assets"], &vec![("text", wanted.to_owned())], &Paging::ALL).await?;
    Ok(pick("asset", wanted, candidates(&listed.items, "client.name"))?.id)
}

/// An open proposal by id, or by the name of one of its machines.
pub(super) async fn proposal(client: &ApiClient, wanted: &str) -> Result<String, Failure> {
    if is_id(wanted, "pro") {
        return Ok(wanted.to_owned());
    }
    let listed = client.list(&["proposals"], &vec![("state", "open".to_owned())], &Paging::ALL).await?;
    let key = name_key(wanted);
    let named = |item: &Value| {
        let names = ["asset_name", "other_asset_name"].map(|path| shown(item, path));
        let name = names.iter().find(|name| name_key(name) == key).unwrap_or(&names[0]);
        Candidate { id: shown(item, "id"), name: name.clone(), hint: shown(item, "reason") }
    };
    Ok(pick("open proposal", wanted, listed.items.iter().map(named).collect())?.id)
}

/// The provider descriptor of this id.
pub(super) fn provider<'a>(providers: &'a [Value], wanted: &str) -> Result<&'a Value, Failure> {
    let found = providers.iter().find(|provider| text(provider, "id") == Some(wanted));
    found.ok_or_else(|| {
        let known: Vec<String> = providers.iter().map(|provider| shown(provider, "id")).collect();
        Failure::not_found(format!("there is no provider `{wanted}`"))
            .advise(format!("Providers are: {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, id: &str) -> Candidate {
        Candidate { id: id.to_owned(), name: name.to_owned(), hint: "Contoso".to_owned() }
    }

    #[test]
    fn a_name_counts_whatever_its_case_and_blanks() {
        let found =
            pick("client", "contoso  DENTAL", vec![named("Contoso Dental", "a"), named("Contoso", "b")]);
        assert_eq!(found.unwrap().id, "a");
    }

    #[test]
    fn an_ambiguous_name_lists_the_candidates() {
        let failure = pick("asset", "pc-1", vec![named("PC-1", "a"), named("pc-1", "b")]).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.advice, ["PC-1 (a, Contoso)", "pc-1 (b, Contoso)"]);
    }

    #[test]
    fn an_unknown_name_lists_what_is_near() {
        let failure = pick("client", "Contos", vec![named("Contoso", "a")]).unwrap_err();
        assert_eq!((failure.exit, failure.advice.len()), (Exit::NotFound, 1));
        assert!(pick("client", "x", Vec::new()).unwrap_err().advice.is_empty());
    }

    #[test]
    fn ids_are_recognised() {
        assert!(is_id("int_0192aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "int"));
        assert!(!is_id("int_0192", "int"));
        assert!(!is_id("cli_0192aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "int"));
    }
}
