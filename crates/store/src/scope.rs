//! Which clients' rows there are for whoever asks.
//!
//! The tenant's handle holds the limit of the actor, so that no use case can forget it. A row of a client outside is not
//! found, and neither is what belongs to no client. What spans clients (integrations, runs, devices in a sync) is there
//! for who may see all of them, and for nobody else.

use domain::{
    id::{ClientId, TypedId},
    scope::ClientScope,
};

use crate::{
    Tenant,
    db::TenantDb,
    error::{Result, StoreError},
    event::to_json,
};

/// No client has this id.
pub(crate) const NOBODY: &str = "-";

impl<'s> Tenant<'s> {
    /// The database, for what spans clients: [`StoreError::BeyondClients`] for whoever may see only some of them.
    pub(crate) fn whole(&self) -> Result<TenantDb<'s>> {
        if self.clients.is_all() { Ok(self.db()) } else { Err(StoreError::BeyondClients) }
    }

    /// The database, for one thing that spans clients: to whoever may see only some of them it is not there.
    pub(crate) fn whole_or_nothing(&self) -> Result<TenantDb<'s>> {
        if self.clients.is_all() { Ok(self.db()) } else { Err(StoreError::NotFound) }
    }

    /// [`StoreError::NotFound`] for a client outside.
    pub(crate) fn sees(&self, client: ClientId) -> Result<()> {
        if self.clients.has(client) { Ok(()) } else { Err(StoreError::NotFound) }
    }

    /// The same by the stored form of an id, of a client or of none.
    pub(crate) fn sees_owner(&self, client: Option<&str>) -> Result<()> {
        if is_inside(&self.clients, client) { Ok(()) } else { Err(StoreError::NotFound) }
    }

    /// The clients for `{within …}` of a statement: none without a limit.
    pub(crate) fn within(&self) -> Result<Option<String>> {
        as_json(&self.clients)
    }
}

/// Is what belongs to this client, or to none, inside? What cannot be read is outside.
pub(crate) fn is_inside(clients: &ClientScope, client: Option<&str>) -> bool {
    clients.has_owner(client.and_then(|id| ClientId::from_db(id).ok()))
}

/// A list as JSON of stored ids.
pub(crate) fn as_json(clients: &ClientScope) -> Result<Option<String>> {
    match clients {
        ClientScope::All => Ok(None),
        ClientScope::Only(list) => to_json(&list.iter().map(TypedId::to_db).collect::<Vec<_>>()).map(Some),
    }
}
