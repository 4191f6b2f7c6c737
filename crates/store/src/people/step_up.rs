//! Proof, a moment old, that the person of a session is still there: asked for before what is dangerous.
//!
//! It holds for one session and one client, or for the settings of the tenant, and goes with the session.

use std::time::Duration;

use domain::{
    Time,
    id::{ClientId, SessionId, TypedId},
};

use super::Sessions;
use crate::{
    audit::Act,
    db::args,
    error::{Result, StoreError},
    sql::statements,
};

/// How long a proof holds.
pub const STEP_UP_LIFETIME: Duration = Duration::from_secs(5 * 60);

impl Sessions<'_> {
    /// Notes that the person of the session has just proved who they are, for this client or, without one, for settings.
    /// Answers until when that holds. [`StoreError::NotFound`] if the session has ended.
    pub async fn step_up(&self, session: SessionId, client: Option<ClientId>) -> Result<Time> {
        let (tenant, now) = (self.tenant.id, self.tenant.now);
        let until = now + STEP_UP_LIFETIME;
        let mut tx = self.tenant.db().begin().await?;
        tx.run(&FORGET_OVER, args![tenant, session.to_db(), now]).await?;
        match tx.run(&NOTE, args![tenant, session.to_db(), place(client), until]).await? {
            0 => Err(StoreError::NotFound),
            _ => {
                let act = Act::new("session.step_up").with("session_id", session.to_string());
                let act = act.with("client_id", client.map(|client| client.to_string()));
                let user = self.tenant.by.user;
                self.tenant.record(&mut tx, user.into_iter().fold(act, Act::to)).await?;
                tx.commit().await.map(|()| until)
            }
        }
    }

    /// Does such a proof hold now?
    pub async fn is_stepped_up(&self, session: SessionId, client: Option<ClientId>) -> Result<bool> {
        let args = args![self.tenant.id, session.to_db(), place(client), self.tenant.now];
        let found: Option<(i64,)> = self.tenant.db().maybe(&HOLDS, args).await?;
        Ok(found.is_some())
    }
}

fn place(client: Option<ClientId>) -> String {
    client.map(|client| client.to_db()).unwrap_or_default()
}

statements! {
    NOTE = [
        "INSERT INTO step_ups (tenant_id, session_id, client_id, until)
         SELECT tenant_id, id, CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM sessions WHERE tenant_id = $1 AND id = $2
         ON CONFLICT (tenant_id, session_id, client_id) DO UPDATE SET until = excluded.until"
    ];
    HOLDS = [
        "SELECT until FROM step_ups
         WHERE tenant_id = $1 AND session_id = $2 AND client_id = $3 AND until > $4"
    ];
    FORGET_OVER = ["DELETE FROM step_ups WHERE tenant_id = $1 AND session_id = $2 AND until <= $3"];
}
