//! Which clients a person may see.

use std::sync::Arc;

use crate::id::ClientId;

/// The clients of its tenant that an actor may see.
///
/// What is of no client is outside a list: who may see nobody's is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientScope {
    /// All there are, those to come, and what is of none.
    All,
    /// These alone.
    Only(ClientList),
}

/// Some clients, each once, sorted. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClientList(Arc<[ClientId]>);

impl ClientList {
    /// One by one, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is it among them?
    pub fn has(&self, client: ClientId) -> bool {
        self.0.binary_search(&client).is_ok()
    }
}

impl FromIterator<ClientId> for ClientList {
    fn from_iter<I: IntoIterator<Item = ClientId>>(clients: I) -> Self {
        let mut clients: Vec<ClientId> = clients.into_iter().collect();
        clients.sort_unstable();
        clients.dedup();
        ClientList(clients.into())
    }
}

impl ClientScope {
    /// These alone, in whatever order.
    pub fn only(clients: impl IntoIterator<Item = ClientId>) -> ClientScope {
        ClientScope::Only(clients.into_iter().collect())
    }

    /// Is there no limit?
    pub fn is_all(&self) -> bool {
        matches!(self, ClientScope::All)
    }

    /// Is this client inside?
    pub fn has(&self, client: ClientId) -> bool {
        match self {
            ClientScope::All => true,
            ClientScope::Only(list) => list.has(client),
        }
    }

    /// Is what belongs to `client`, or to none, inside?
    pub fn has_owner(&self, client: Option<ClientId>) -> bool {
        client.map_or(self.is_all(), |client| self.has(client))
    }

    /// Is all of `other` inside?
    pub fn covers(&self, other: &ClientScope) -> bool {
        match (self, other) {
            (ClientScope::All, _) => true,
            (ClientScope::Only(_), ClientScope::All) => false,
            (ClientScope::Only(own), ClientScope::Only(other)) => other.iter().all(|client| own.has(client)),
        }
    }

    /// The same as somebody who sees `viewer` may read it: without clients that are outside for them.
    #[must_use]
    pub fn as_seen_by(&self, viewer: &ClientScope) -> ClientScope {
        match self {
            ClientScope::All => ClientScope::All,
            ClientScope::Only(list) => ClientScope::only(list.iter().filter(|client| viewer.has(*client))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TypedId;

    fn client(n: u128) -> ClientId {
        ClientId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn only(ids: &[u128]) -> ClientScope {
        ClientScope::only(ids.iter().map(|id| client(*id)))
    }

    #[test]
    fn a_list_holds_its_clients_alone() {
        let list = only(&[3, 1, 3]);
        assert!(list.has(client(1)) && list.has(client(3)) && !list.has(client(2)));
        assert!(!list.has_owner(None) && ClientScope::All.has_owner(None));
        let ClientScope::Only(found) = list else { panic!("it is a list") };
        assert_eq!(found.iter().collect::<Vec<_>>(), [client(1), client(3)]);
        assert!(!only(&[]).has(client(1)));
    }

    #[test]
    fn no_list_covers_what_has_no_limit() {
        assert!(ClientScope::All.covers(&ClientScope::All) && ClientScope::All.covers(&only(&[1])));
        assert!(!only(&[1]).covers(&ClientScope::All) && !only(&[]).covers(&ClientScope::All));
        assert!(only(&[1, 2]).covers(&only(&[2])) && only(&[1]).covers(&only(&[])));
        assert!(!only(&[1]).covers(&only(&[1, 2])));
    }

    #[test]
    fn a_list_is_read_without_what_the_reader_may_not_see() {
        assert_eq!(only(&[1, 2]).as_seen_by(&only(&[2, 3])), only(&[2]));
        assert_eq!(only(&[1, 2]).as_seen_by(&ClientScope::All), only(&[1, 2]));
        assert_eq!(ClientScope::All.as_seen_by(&only(&[2])), ClientScope::All);
    }
}
