//! Limits of people to some clients: rows of `user_clients`, and a flag with the user. A limited user without rows sees nothing.
//!
//! Whoever has a limit gives, and touches, none that is wider than their own.

use domain::{
    id::{ClientId, TypedId, UserId},
    scope::ClientScope,
};

use crate::{
    Tenant, Tx,
    db::args,
    error::{Result, StoreError},
    scope,
    sql::statements,
};

/// Refuses to touch a user who sees more than whoever asks.
pub(super) fn within(clients: &ClientScope, tenant: &Tenant<'_>) -> Result<()> {
    if tenant.clients.covers(clients) { Ok(()) } else { Err(StoreError::BeyondClients) }
}

/// Limits a user to these clients, or lifts the limit, in the caller's transaction; answers what stands now.
pub(super) async fn give(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    user: UserId,
    clients: &ClientScope,
) -> Result<ClientScope> {
    // An id outside is answered like one that there is not.
    let given = scope::as_json(clients)?;
    if let (ClientScope::Only(list), Some(ids)) = (clients, &given) {
        let (known,): (i64,) = tx.one(&KNOWN, args![tenant.id, ids, tenant.within()?]).await?;
        if usize::try_from(known).ok() != Some(list.len()) {
            return Err(StoreError::Conflict { what: "client" });
        }
    }
    within(clients, tenant)?;
    tx.run(&CLEAR, args![tenant.id, user.to_db()]).await?;
    tx.run(&SET_LIMITED, args![tenant.id, user.to_db(), given.is_some()]).await?;
    if let Some(ids) = given {
        tx.run(&ADD, args![tenant.id, user.to_db(), ids]).await?;
    }
    Ok(clients.clone())
}

/// The limit in the column of a user: none there means none. What cannot be read is an error, and lets nobody in.
pub(super) fn read(column: Option<&str>) -> Result<ClientScope> {
    let Some(text) = column else { return Ok(ClientScope::All) };
    let corrupt = || StoreError::Corrupt { what: "limit of a user" };
    let ids: Vec<String> = serde_json::from_str(text).map_err(|_| corrupt())?;
    let clients = ids.iter().map(|id| ClientId::from_db(id)).collect::<std::result::Result<Vec<_>, _>>();
    Ok(ClientScope::only(clients.map_err(|_| corrupt())?))
}

statements! {
    KNOWN = [
        "SELECT COUNT(*) FROM clients WHERE tenant_id = $1 AND id IN ", {list "$2"}, " AND ",
        {within "$3" "clients.id"}
    ];
    CLEAR = ["DELETE FROM user_clients WHERE tenant_id = $1 AND user_id = $2"];
    SET_LIMITED = ["UPDATE users SET limited = $3 WHERE tenant_id = $1 AND id = $2"];
    ADD = [
        "INSERT INTO user_clients (tenant_id, user_id, client_id)
         SELECT c.tenant_id, CAST($2 AS TEXT), c.id FROM clients AS c WHERE c.tenant_id = $1 AND c.id IN ", {list "$3"}
    ];
}
