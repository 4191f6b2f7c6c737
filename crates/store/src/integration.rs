//! Integrations: rows of `rmm_integrations`. Their secrets are in [`crate::secret`], written in the same transaction.

use std::time::Duration;

use domain::{
    ActorKind, Time,
    event::kind,
    id::{IntegrationId, TenantId, TypedId},
    integration::{ConnectionState, Integration, IntegrationSettings},
};
use secrecy::SecretString;
use sqlx::FromRow;

use crate::{
    Store, Tenant,
    audit::Act,
    db::{Tx, args},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent},
    secret::{LastFour, NewSecret, SecretOwner},
    sql::statements,
};

/// Name of the table, as secrets are bound to it.
pub const TABLE: &str = "rmm_integrations";

/// The end of a token is moved when it moves by more than this.
const TOKEN_NEWS_AFTER: Duration = Duration::from_secs(5 * 60);

statements! {
    INSERT = [
        "INSERT INTO rmm_integrations (tenant_id, id, provider, name, instance_url, auth_mode, is_active, state, \
         settings, version, created_at, updated_at, connected_at) \
         VALUES ($1, $2, $3, $4, $5, $6, TRUE, $7, $8, 1, $9, $9, $9)"
    ];
    GET = [
        "SELECT id, provider, name, instance_url, auth_mode, is_active, state, problem, settings, last_check, \
         last_check_at, account, token_expires_at, last_organization_sync_at, last_device_sync_at, last_presence_at, \
         last_detail_at, version, created_at, updated_at, connected_at, disconnected_at \
         FROM rmm_integrations WHERE tenant_id = $1 AND id = $2"
    ];
    LIST = [
        "SELECT id, provider, name, instance_url, auth_mode, is_active, state, problem, settings, last_check, \
         last_check_at, account, token_expires_at, last_organization_sync_at, last_device_sync_at, last_presence_at, \
         last_detail_at, version, created_at, updated_at, connected_at, disconnected_at \
         FROM rmm_integrations WHERE tenant_id = $1 ORDER BY created_at, id"
    ];
    UPDATE = [
        "UPDATE rmm_integrations SET name = $4, instance_url = $5, auth_mode = $6, settings = $7, is_active = $8, \
         state = $9, updated_at = $10, connected_at = $11, disconnected_at = $12, problem = $13, \
         last_check = CASE WHEN $14 THEN NULL ELSE last_check END, version = version + 1 WHERE tenant_id = $1 AND id = $2 AND version = $3"
    ];
    SET_STATE = [
        "UPDATE rmm_integrations SET state = $3, problem = $4, account = COALESCE($5, account) \
         WHERE tenant_id = $1 AND id = $2 AND is_active AND (state <> $3 OR COALESCE(problem, '') <> COALESCE($4, '') \
         OR COALESCE($5, account, '') <> COALESCE(account, ''))"
    ];
    SET_TOKEN_EXPIRY = ["UPDATE rmm_integrations SET token_expires_at = $3 WHERE tenant_id = $1 AND id = $2"];
    // By the database's clock: nodes whose clocks differ still agree.
    CLAIM_SIGN_IN = [
        "UPDATE rmm_integrations SET sign_in_by = $3, sign_in_until = $4 + "
        {engine "CAST(unixepoch('subsec') * 1000 AS INTEGER)" "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"}
        " WHERE tenant_id = $1 AND id = $2 AND is_active AND (sign_in_until IS NULL OR sign_in_until <= "
        {engine "CAST(unixepoch('subsec') * 1000 AS INTEGER)" "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"}
        ")"
    ];
    RELEASE_SIGN_IN = [
        "UPDATE rmm_integrations SET sign_in_by = NULL, sign_in_until = NULL WHERE tenant_id = $1 AND id = $2 AND sign_in_by = $3"
    ];
    // A token that was kept after the use began is another one. Seldom: not for less than a few minutes.
    EXTEND_TOKEN = [
        "UPDATE rmm_integrations SET token_expires_at = $4 WHERE tenant_id = $1 AND id = $2 \
         AND token_expires_at < $5 AND EXISTS (SELECT 1 FROM secrets s WHERE s.tenant_id = rmm_integrations.tenant_id \
         AND s.owner_table = 'rmm_integrations' AND s.owner_id = rmm_integrations.id AND s.name = $3 AND s.set_at <= $6)"
    ];
    SET_CHECK = [
        "UPDATE rmm_integrations SET last_check = $3, last_check_at = $4 WHERE tenant_id = $1 AND id = $2"
    ];
    TOUCH_ORGANIZATIONS = [
        "UPDATE rmm_integrations SET last_organization_sync_at = $3 WHERE tenant_id = $1 AND id = $2"
    ];
    TOUCH_DEVICES = [
        "UPDATE rmm_integrations SET last_device_sync_at = $3, last_presence_at = $3 WHERE tenant_id = $1 AND id = $2"
    ];
    TOUCH_PRESENCE = ["UPDATE rmm_integrations SET last_presence_at = $3 WHERE tenant_id = $1 AND id = $2"];
    TOUCH_DETAILS = ["UPDATE rmm_integrations SET last_detail_at = $3 WHERE tenant_id = $1 AND id = $2"];
    ACTIVE = ["SELECT id, created_at FROM rmm_integrations WHERE tenant_id = $1 AND is_active ORDER BY id"];
}

#[derive(FromRow)]
struct IntegrationRow {
    id: String,
    provider: String,
    name: String,
    instance_url: String,
    auth_mode: String,
    is_active: bool,
    state: String,
    problem: Option<String>,
    settings: String,
    last_check: Option<String>,
    last_check_at: Option<i64>,
    account: Option<String>,
    token_expires_at: Option<i64>,
    last_organization_sync_at: Option<i64>,
    last_device_sync_at: Option<i64>,
    last_presence_at: Option<i64>,
    last_detail_at: Option<i64>,
    version: i64,
    created_at: i64,
    updated_at: i64,
    connected_at: Option<i64>,
    disconnected_at: Option<i64>,
}

impl IntegrationRow {
    fn into_integration(self) -> Result<Integration> {
        let corrupt = || StoreError::Corrupt { what: "integration" };
        Ok(Integration {
            id: IntegrationId::from_db(&self.id).map_err(|_| corrupt())?,
            provider: self.provider,
            name: self.name,
            instance_url: self.instance_url,
            auth_mode: self.auth_mode,
            is_active: self.is_active,
            state: ConnectionState::from_name(&self.state).ok_or_else(corrupt)?,
            problem: self.problem,
            settings: serde_json::from_str::<IntegrationSettings>(&self.settings).map_err(|_| corrupt())?,
            last_check: self.last_check,
            last_check_at: self.last_check_at.map(Time),
            account: self.account,
            token_expires_at: self.token_expires_at.map(Time),
            last_organization_sync_at: self.last_organization_sync_at.map(Time),
            last_device_sync_at: self.last_device_sync_at.map(Time),
            last_presence_at: self.last_presence_at.map(Time),
            last_detail_at: self.last_detail_at.map(Time),
            version: self.version,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            connected_at: self.connected_at.map(Time),
            disconnected_at: self.disconnected_at.map(Time),
        })
    }
}

/// What happens to the secrets of an integration with a save.
#[derive(Default)]
pub struct SecretChanges {
    /// Drop all that are set before writing the new ones: another host, another auth mode, disconnect.
    pub clear: bool,
    /// Drop these.
    pub remove: Vec<String>,
    /// Write these: name, value, whether the last four characters may be shown, when it ends.
    pub set: Vec<(String, SecretString, LastFour, Option<Time>)>,
}

/// Which "last … sync" time moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Organizations.
    Organizations,
    /// Devices: also a presence look.
    Devices,
    /// Presence.
    Presence,
    /// Details.
    Details,
}

/// Integrations of one tenant. They serve many clients: whoever may see only some finds none.
pub struct Integrations<'a>(pub(crate) &'a Tenant<'a>);

impl Integrations<'_> {
    /// One integration.
    pub async fn get(&self, id: IntegrationId) -> Result<Integration> {
        self.0
            .whole_or_nothing()?
            .one::<IntegrationRow>(&GET, args![self.0.id, id.to_db()])
            .await?
            .into_integration()
    }

    /// All, oldest first; none for whoever may see only some clients.
    pub async fn list(&self) -> Result<Vec<Integration>> {
        if !self.0.clients.is_all() {
            return Ok(Vec::new());
        }
        let rows: Vec<IntegrationRow> = self.0.whole()?.all(&LIST, args![self.0.id]).await?;
        rows.into_iter().map(IntegrationRow::into_integration).collect()
    }

    /// Creates one with its secrets. Times and version of the record are set here.
    pub async fn create(&self, new: &Integration, secrets: &SecretChanges) -> Result<()> {
        let now = self.0.now;
        let settings = event::to_json(&new.settings)?;
        let mut tx = self.0.whole()?.begin().await?;
        let columns = args![
            self.0.id,
            new.id.to_db(),
            new.provider.as_str(),
            new.name.as_str(),
            new.instance_url.as_str(),
            new.auth_mode.as_str(),
            new.state.name(),
            settings,
            now
        ];
        tx.run(&INSERT, columns).await?;
        let act = act("integration.connect", new, secrets)?;
        let act = with_fields(act, &IntegrationSettings::default(), &new.settings);
        self.finish(tx, new.id, secrets, act).await
    }

    /// Saves name, address, auth mode, settings, activity and state, with its secrets, if nobody changed it since
    /// `version`; [`StoreError::Stale`] otherwise.
    pub async fn update(&self, changed: &Integration, version: i64, secrets: &SecretChanges) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        let before = tx.one::<IntegrationRow>(&GET, args![self.0.id, changed.id.to_db()]).await?;
        let columns = args![
            self.0.id,
            changed.id.to_db(),
            version,
            changed.name.as_str(),
            changed.instance_url.as_str(),
            changed.auth_mode.as_str(),
            event::to_json(&changed.settings)?,
            changed.is_active,
            changed.state.name(),
            self.0.now,
            changed.connected_at,
            changed.disconnected_at,
            changed.problem.clone(),
            // A report of other credentials or of another address says nothing about these.
            secrets.clear || !secrets.set.is_empty() || !secrets.remove.is_empty()
        ];
        if tx.run(&UPDATE, columns).await? == 0 {
            return Err(StoreError::Stale);
        }
        if !changed.is_active {
            self.0.schedules().remove_all(&mut tx, &changed.id.to_db()).await?;
        }
        let name = if changed.is_active { "integration.update" } else { "integration.disconnect" };
        let act = act(name, changed, secrets)?;
        let act = with_fields(act, &before.into_integration()?.settings, &changed.settings);
        self.finish(tx, changed.id, secrets, act).await
    }

    async fn finish(&self, mut tx: Tx, id: IntegrationId, secrets: &SecretChanges, act: Act) -> Result<()> {
        self.change_secrets(&mut tx, id, secrets).await?;
        self.0.record(&mut tx, act).await?;
        let source = EventSource { integration: Some(id), run: None };
        let changed = NewEvent::new(kind::INTEGRATION_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, source, &[changed]).await?;
        tx.commit().await
    }

    async fn change_secrets(&self, tx: &mut Tx, id: IntegrationId, changes: &SecretChanges) -> Result<()> {
        let row_id = id.to_db();
        let owner = SecretOwner { table: TABLE, row_id: &row_id };
        let secrets = self.0.secrets();
        if changes.clear {
            secrets.delete_all(tx, owner).await?;
            tx.run(&SET_TOKEN_EXPIRY, args![self.0.id, row_id.as_str(), None::<i64>]).await?;
        }
        for name in &changes.remove {
            secrets.delete(tx, owner, name).await?;
        }
        for (name, value, last_four, expires_at) in &changes.set {
            let secret = NewSecret { owner, name, value, last_four: *last_four, expires_at: *expires_at };
            secrets.put(tx, &secret).await?;
        }
        Ok(())
    }

    /// Keeps a fresh vendor token of a sign-in with what was saved at `version`; [`StoreError::Stale`] if that changed
    /// since: the token may be of other credentials, or the integration was disconnected.
    pub async fn put_token(
        &self,
        id: IntegrationId,
        version: i64,
        name: &str,
        token: &SecretString,
        expires_at: Option<Time>,
    ) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        let row: IntegrationRow = tx.one(&GET, args![self.0.id, id.to_db()]).await?;
        if !row.is_active || row.version != version {
            return Err(StoreError::Stale);
        }
        let set = vec![(name.to_owned(), token.clone(), LastFour::Hide, expires_at)];
        self.change_secrets(&mut tx, id, &SecretChanges { set, ..SecretChanges::default() }).await?;
        tx.run(&SET_TOKEN_EXPIRY, args![self.0.id, id.to_db(), expires_at]).await?;
        // A sync that gets itself a new token does what it was set up for.
        if self.0.by.kind != ActorKind::System {
            let act = Act::new("integration.sign_in").to(id).named(&row.name).with_secret(name, token);
            self.0.record(&mut tx, act).await?;
        }
        tx.commit().await
    }

    /// Takes the right to sign in at the RMM for so long, as `by`; `false` while somebody else has it.
    pub async fn claim_sign_in(&self, id: IntegrationId, by: &str, length: Duration) -> Result<bool> {
        let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let columns = args![self.0.id, id.to_db(), by, length_ms];
        Ok(self.0.whole()?.write(&CLAIM_SIGN_IN, columns).await? > 0)
    }

    /// Gives that right back, if `by` still has it.
    pub async fn release_sign_in(&self, id: IntegrationId, by: &str) -> Result<()> {
        self.0.whole()?.write(&RELEASE_SIGN_IN, args![self.0.id, id.to_db(), by]).await.map(drop)
    }

    /// A vendor token that was used at `used_at` lives until `until` at least. Written if that is news, and only
    /// forwards.
    pub async fn extend_token(
        &self,
        id: IntegrationId,
        name: &str,
        used_at: Time,
        until: Time,
    ) -> Result<()> {
        let columns = args![self.0.id, id.to_db(), name, until, until - TOKEN_NEWS_AFTER, used_at];
        self.0.whole()?.write(&EXTEND_TOKEN, columns).await.map(drop)
    }

    /// Notes where the connection stands; writes and tells only if it changed. Never touches a disconnected one.
    pub async fn set_state(
        &self,
        id: IntegrationId,
        state: ConnectionState,
        problem: Option<String>,
        account: Option<String>,
    ) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        let columns = args![self.0.id, id.to_db(), state.name(), problem, account];
        if tx.run(&SET_STATE, columns).await? > 0 {
            let source = EventSource { integration: Some(id), run: None };
            let changed = NewEvent::new(kind::INTEGRATION_CHANGED, id);
            event::insert(&mut tx, self.0.id, self.0.now, source, &[changed]).await?;
        }
        tx.commit().await
    }

    /// Keeps the report of a test.
    pub async fn set_check(&self, id: IntegrationId, report: &str) -> Result<()> {
        self.0.whole()?.write(&SET_CHECK, args![self.0.id, id.to_db(), report, self.0.now]).await.map(drop)
    }

    /// Moves a "last … sync" time.
    pub async fn touch(&self, id: IntegrationId, touched: Touched, at: Time) -> Result<()> {
        let sql = match touched {
            Touched::Organizations => &TOUCH_ORGANIZATIONS,
            Touched::Devices => &TOUCH_DEVICES,
            Touched::Presence => &TOUCH_PRESENCE,
            Touched::Details => &TOUCH_DETAILS,
        };
        self.0.whole()?.write(sql, args![self.0.id, id.to_db(), at]).await.map(drop)
    }
}

/// What is saved, for the audit log; of secrets only their names.
fn act(name: &'static str, saved: &Integration, secrets: &SecretChanges) -> Result<Act> {
    let settings =
        serde_json::to_value(&saved.settings).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    let mut act = Act::new(name)
        .to(saved.id)
        .named(&saved.name)
        .with("provider", saved.provider.as_str())
        .with("instance_url", saved.instance_url.as_str())
        .with("auth_mode", saved.auth_mode.as_str())
        .with("settings", settings);
    for (name, value, ..) in &secrets.set {
        act = act.with_secret(name, value);
    }
    if secrets.clear {
        act = act.with("secrets", "removed");
    } else if !secrets.remove.is_empty() {
        act = act.with("secrets_removed", secrets.remove.to_vec());
    }
    Ok(act)
}

/// Whose values are shown from now on, and whose no more: custom fields hold keys and passwords.
fn with_fields(act: Act, before: &IntegrationSettings, after: &IntegrationSettings) -> Act {
    let is_shown = |settings: &IntegrationSettings, key: &String| {
        settings.custom_fields.get(key).is_some_and(|field| field.shown)
    };
    let only_in = |one: &IntegrationSettings, other: &IntegrationSettings| -> Vec<String> {
        one.custom_fields.keys().filter(|key| is_shown(one, key) && !is_shown(other, key)).cloned().collect()
    };
    let (shown, hidden) = (only_in(after, before), only_in(before, after));
    let act = if shown.is_empty() { act } else { act.with("fields_shown", shown) };
    if hidden.is_empty() { act } else { act.with("fields_hidden", hidden) }
}

impl Store {
    /// The active integrations of all tenants: for the scheduler at start.
    pub async fn active_integrations(&self) -> Result<Vec<(TenantId, IntegrationId)>> {
        let mut found = Vec::new();
        for tenant in self.tenants().await? {
            let rows: Vec<(String, i64)> = self.db_of(tenant).all(&ACTIVE, args![tenant]).await?;
            for (id, _) in rows {
                let id =
                    IntegrationId::from_db(&id).map_err(|_| StoreError::Corrupt { what: "integration" })?;
                found.push((tenant, id));
            }
        }
        Ok(found)
    }
}
