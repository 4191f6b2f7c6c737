//! Clients (customers of the tenant) and their sites.

use serde::Serialize;

use crate::{
    id::{ClientId, SiteId},
    time::Time,
};

/// Longest name of a client or site, in characters.
pub const MAX_NAME_CHARS: usize = 200;

/// A customer of the tenant. Serialized for REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Its name, unique among the tenant's clients that are not archived, whatever the case.
    pub name: String,
    /// When it was put aside; its assets stay visible.
    pub archived_at: Option<Time>,
    /// Where it went when it was merged.
    pub merged_into: Option<ClientId>,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// A place of a client. Serialized for REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Whose place.
    pub client_id: ClientId,
    /// Its name, unique within the client, whatever the case.
    pub name: String,
}

/// A name that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Nothing but blanks.
    #[error("the name is empty; type at least one visible character")]
    Empty,
    /// Longer than [`MAX_NAME_CHARS`].
    #[error("the name is longer than 200 characters; shorten it")]
    TooLong,
    /// Control characters would break lists and logs.
    #[error("the name holds a line break or another control character; remove it")]
    Control,
}

/// Trims a name and refuses what no list could show.
pub fn check_name(name: &str) -> Result<String, NameProblem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(NameProblem::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(NameProblem::Control);
    }
    Ok(name.to_owned())
}

/// The form by which names are compared and sorted: lower case, blanks collapsed.
pub fn name_key(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
