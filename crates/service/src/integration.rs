//! Integrations: connect, test, edit, disconnect, reconnect.
//!
//! Secrets are write-only and belong to the scheme, host and port they were given for: when one of these changes, the
//! secrets must come again in the same request, also for a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Ctx,
    auth::Permission,
    budget::{Account, View as BudgetView},
    id::{IntegrationId, TypedId},
    integration::{ConnectionState, Integration, IntegrationSettings},
};
use provider::{
    AuthMode, Budget, CheckReport, Connection, Descriptor, FieldKind, Problem, Provider, ReadUrl, Secrets,
};
use secrecy::{ExposeSecret, SecretString};
use store::{
    integration::{SecretChanges, TABLE},
    secret::{LastFour, SecretInfo, SecretOwner},
};
use url::Url;

use crate::{
    budget,
    core::{Core, Opened},
    error::{Result, ServiceError, named},
    schedule,
};

mod settings;

/// Longest value of a field, in characters.
const MAX_FIELD_CHARS: usize = 4_096;

/// What a form sends: what is none or missing stays as it is (or has its default at first).
#[derive(Default)]
pub struct Draft {
    /// The provider's id; only at first.
    pub provider: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// The address as it was pasted.
    pub url: Option<String>,
    /// How it authenticates.
    pub auth_mode: Option<String>,
    /// Secrets by name.
    pub fields: BTreeMap<String, SecretString>,
    /// A one-time code, used once and never kept.
    pub code: Option<SecretString>,
    /// Settings, merged field by field.
    pub settings: Option<serde_json::Value>,
}

/// An integration as people see it.
#[derive(Clone, Debug)]
pub struct IntegrationView {
    /// The integration.
    pub integration: Integration,
    /// Which secrets are set; never a value.
    pub secrets: Vec<SecretInfo>,
    /// The sentence of the last failure.
    pub problem: Option<Problem>,
    /// The report of the last test.
    pub last_check: Option<CheckReport>,
    /// What should be known.
    pub warnings: Vec<Problem>,
    /// Settings that this RMM has beside those that every integration has.
    pub own_settings: &'static [&'static str],
    /// Requests that the RMM takes; none if it does not limit them.
    pub rate_budget: Option<RateBudget>,
}

/// The limit on requests of an account, as people see it.
#[derive(Clone, Debug)]
pub struct RateBudget {
    /// Counters and our share.
    pub view: BudgetView,
    /// Why the RMM shuts us out.
    pub problem: Option<Problem>,
}

/// The use cases of integrations.
#[derive(Clone)]
pub struct Integrations {
    core: Core,
}

/// A draft laid over what is saved, checked.
struct Merged {
    integration: Integration,
    provider: &'static dyn Provider,
    read_url: ReadUrl,
    changes: SecretChanges,
    /// All secrets as they would be after saving.
    secrets: Secrets,
    /// The stored token still belongs to these credentials.
    token_stays: bool,
    /// Address, way to authenticate or the field that names the account changed.
    may_be_another_account: bool,
    code: Option<SecretString>,
}

impl Integrations {
    pub(crate) fn new(core: Core) -> Self {
        Integrations { core }
    }

    /// The kinds of RMM there are, with their forms.
    pub fn providers(&self) -> Vec<&'static Descriptor> {
        self.core.providers.iter().map(|provider| provider.descriptor()).collect()
    }

    /// All integrations of the tenant.
    pub async fn list(&self, ctx: &Ctx) -> Result<Vec<IntegrationView>> {
        ctx.require(Permission::IntegrationsRead)?;
        let integrations = self.core.store.tenant(ctx).integrations().list().await?;
        let limits = |i: &Integration| self.core.provider(&i.provider).is_ok_and(is_limited);
        let accounts = if integrations.iter().any(limits) {
            self.core.store.tenant(ctx).budgets().list().await?.into_iter().collect()
        } else {
            BTreeMap::new()
        };
        let mut secrets: BTreeMap<String, Vec<SecretInfo>> = BTreeMap::new();
        for (owner, secret) in self.core.store.tenant(ctx).secrets().describe_all(TABLE).await? {
            secrets.entry(owner).or_default().push(secret);
        }
        let view = |integration: Integration| {
            let secrets = secrets.remove(&integration.id.to_db()).unwrap_or_default();
            let account = accounts.get(&integration.id);
            self.view(ctx, integration, secrets, account)
        };
        integrations.into_iter().map(view).collect()
    }

    /// One integration.
    pub async fn get(&self, ctx: &Ctx, id: IntegrationId) -> Result<IntegrationView> {
        ctx.require(Permission::IntegrationsRead)?;
        let tenant = self.core.store.tenant(ctx);
        let integration = tenant.integrations().get(id).await.map_err(named("integration"))?;
        let account = if self.core.provider(&integration.provider).is_ok_and(is_limited) {
            tenant.budgets().find(id).await?
        } else {
            None
        };
        let row_id = integration.id.to_db();
        let owner = SecretOwner { table: TABLE, row_id: &row_id };
        let secrets = tenant.secrets().describe(owner).await?;
        self.view(ctx, integration, secrets, account.as_ref())
    }

    /// Connects one. It is saved even if a sign-in fails: the state says what is missing, and nothing typed is lost.
    pub async fn create(&self, ctx: &Ctx, draft: Draft) -> Result<IntegrationView> {
        ctx.require(Permission::SystemSettings)?;
        ctx.require_all_clients()?;
        let merged = self.merge_new(ctx, draft)?;
        self.check_required(&merged)?;
        Box::pin(self.refuse_second(ctx, &merged)).await?;
        let tenant = self.core.store.tenant(ctx);
        tenant.integrations().create(&merged.integration, &merged.changes).await?;
        let id = merged.integration.id;
        schedule::start(&self.core.store, ctx, &merged.integration).await?;
        self.sign_in_after_saving(ctx, id, merged.code.as_ref()).await?;
        self.get(ctx, id).await
    }

    /// Changes what the draft names and nothing else.
    pub async fn update(
        &self,
        ctx: &Ctx,
        id: IntegrationId,
        draft: Draft,
        version: Option<i64>,
    ) -> Result<IntegrationView> {
        ctx.require(Permission::SystemSettings)?;
        let saved = self.core.store.tenant(ctx).integrations().get(id).await.map_err(named("integration"))?;
        if !saved.is_active {
            return Err(ServiceError::conflict(
                "disconnected",
                format!("`{}` is disconnected; reconnect it with its credentials instead", saved.name),
            ));
        }
        let version = version.unwrap_or(saved.version);
        let merged = self.merge_saved(ctx, saved, draft).await?;
        self.check_required(&merged)?;
        if merged.may_be_another_account {
            Box::pin(self.refuse_second(ctx, &merged)).await?;
        }
        self.core
            .store
            .tenant(ctx)
            .integrations()
            .update(&merged.integration, version, &merged.changes)
            .await?;
        schedule::start(&self.core.store, ctx, &merged.integration).await?;
        if !merged.token_stays || merged.code.is_some() {
            self.sign_in_after_saving(ctx, id, merged.code.as_ref()).await?;
        }
        self.get(ctx, id).await
    }

    /// Tests what a form holds before anything is saved.
    pub async fn test_draft(&self, ctx: &Ctx, draft: Draft) -> Result<CheckReport> {
        ctx.require(Permission::SystemSettings)?;
        ctx.require_all_clients()?;
        let merged = self.merge_new(ctx, draft)?;
        self.check_required(&merged)?;
        let budget = budget::of_draft(ctx, merged.provider.descriptor(), &merged.integration.settings);
        let connection = self.connection_of(&merged, None, budget);
        Ok(with_notes(merged.provider.check(&connection, merged.code.as_ref()).await, &merged.read_url))
    }

    /// Tests a saved integration, or changes to it before they are saved. The report is kept if it is of what is saved.
    pub async fn test(&self, ctx: &Ctx, id: IntegrationId, draft: Draft) -> Result<CheckReport> {
        ctx.require(Permission::SystemSettings)?;
        let opened = self.core.open_for_change(ctx, id).await?;
        let is_draft = draft.url.is_some()
            || draft.auth_mode.is_some()
            || !draft.fields.is_empty()
            || draft.settings.is_some();
        let merged = self.merge_saved(ctx, opened.integration, draft).await?;
        self.check_required(&merged)?;
        self.core.check_address(merged.provider, &merged.read_url.url)?;
        let token = if merged.token_stays { opened.connection.token } else { None };
        let budget = if merged.may_be_another_account {
            budget::of_draft(ctx, merged.provider.descriptor(), &merged.integration.settings)
        } else {
            opened.connection.budget
        };
        let connection = self.connection_of(&merged, token, budget);
        let report =
            with_notes(merged.provider.check(&connection, merged.code.as_ref()).await, &merged.read_url);
        if !is_draft {
            self.keep_report(ctx, &merged.integration, merged.provider, &report).await?;
        }
        Ok(report)
    }

    /// Signs in for a token, with the code a person just typed.
    pub async fn sign_in(
        &self,
        ctx: &Ctx,
        id: IntegrationId,
        code: Option<SecretString>,
    ) -> Result<IntegrationView> {
        ctx.require(Permission::SystemSettings)?;
        let opened = self.core.open(ctx, id).await?;
        if !opened.needs_sign_in() {
            return Err(ServiceError::conflict(
                "no_sign_in_needed",
                "this integration uses a key and needs no sign-in; test the connection instead",
            ));
        }
        Box::pin(self.core.sign_in(ctx, opened, code.as_ref())).await?;
        self.get(ctx, id).await
    }

    /// Clears secrets and tokens, stops schedules at once, and keeps mappings, assets and history.
    pub async fn disconnect(&self, ctx: &Ctx, id: IntegrationId) -> Result<IntegrationView> {
        ctx.require(Permission::SystemSettings)?;
        let tenant = self.core.store.tenant(ctx);
        let mut integration = tenant.integrations().get(id).await.map_err(named("integration"))?;
        if !integration.is_active {
            return self.get(ctx, id).await;
        }
        // A token goes to no address that may not have it.
        let opened = self.core.open(ctx, id).await.ok();
        let version = integration.version;
        integration.is_active = false;
        integration.state = ConnectionState::Disconnected;
        integration.problem = None;
        integration.disconnected_at = Some(ctx.now);
        let changes = SecretChanges { clear: true, ..SecretChanges::default() };
        tenant.integrations().update(&integration, version, &changes).await?;
        for run in self.open_runs(ctx, id).await? {
            tenant.sync_runs().cancel(run).await?;
        }
        // Our side is closed whatever the RMM answers now.
        if let Some(Opened { provider, connection, .. }) = opened.filter(|o| o.connection.token.is_some())
            && let Err(error) = provider.sign_out(&connection).await
        {
            tracing::warn!(integration.id = %id, error = &error as &dyn std::error::Error, "the token of `{id}` was not ended at the RMM");
        }
        self.get(ctx, id).await
    }

    /// Connects again with new credentials; mappings and assets are as they were.
    pub async fn reconnect(&self, ctx: &Ctx, id: IntegrationId, draft: Draft) -> Result<IntegrationView> {
        ctx.require(Permission::SystemSettings)?;
        let tenant = self.core.store.tenant(ctx);
        let saved = tenant.integrations().get(id).await.map_err(named("integration"))?;
        if saved.is_active {
            return Err(ServiceError::conflict(
                "connected",
                format!("`{}` is connected already; edit it instead", saved.name),
            ));
        }
        let version = saved.version;
        let mut merged = self.merge_saved(ctx, saved, draft).await?;
        self.check_required(&merged)?;
        Box::pin(self.refuse_second(ctx, &merged)).await?;
        merged.integration.is_active = true;
        merged.integration.state = ConnectionState::New;
        merged.integration.connected_at = Some(ctx.now);
        merged.integration.disconnected_at = None;
        tenant.integrations().update(&merged.integration, version, &merged.changes).await?;
        schedule::start(&self.core.store, ctx, &merged.integration).await?;
        self.sign_in_after_saving(ctx, id, merged.code.as_ref()).await?;
        self.get(ctx, id).await
    }

    async fn open_runs(&self, ctx: &Ctx, id: IntegrationId) -> Result<Vec<domain::id::SyncRunId>> {
        use domain::{page::PageRequest, sync::RunState};
        let mut found = Vec::new();
        for state in [RunState::Queued, RunState::Running] {
            let filter =
                store::sync_run::RunFilter { integration_id: Some(id), kind: None, state: Some(state) };
            let runs = self.core.store.tenant(ctx).sync_runs().list(&filter, &PageRequest::default()).await?;
            found.extend(runs.items.into_iter().map(|run| run.id));
        }
        Ok(found)
    }

    /// A failed sign-in does not undo the save: its sentence is kept with the integration.
    async fn sign_in_after_saving(
        &self,
        ctx: &Ctx,
        id: IntegrationId,
        code: Option<&SecretString>,
    ) -> Result<()> {
        let opened = self.core.open(ctx, id).await?;
        if !opened.needs_sign_in() {
            return Ok(());
        }
        match Box::pin(self.core.sign_in(ctx, opened, code)).await {
            Ok(_) | Err(ServiceError::Provider(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn keep_report(
        &self,
        ctx: &Ctx,
        tested: &Integration,
        provider: &'static dyn Provider,
        report: &CheckReport,
    ) -> Result<()> {
        let id = tested.id;
        let integrations = self.core.store.tenant(ctx);
        let integrations = integrations.integrations();
        let text = serde_json::to_string(report).map_err(|error| ServiceError::Internal(Box::new(error)))?;
        integrations.set_check(id, &text).await?;
        if let (Some(signed_in), Some(name)) = (&report.signed_in, provider.descriptor().token_secret) {
            let put =
                integrations.put_token(id, tested.version, name, &signed_in.token, signed_in.expires_at);
            put.await?;
        }
        let asks_code = report.problem.as_ref().is_some_and(|p| p.offer == Some(provider::Offer::AskCode));
        let state = match (report.ok, asks_code) {
            (true, _) => ConnectionState::Connected,
            (false, true) => ConnectionState::NeedsCode,
            (false, false) => ConnectionState::Failing,
        };
        let problem = report.problem.as_ref().and_then(|p| serde_json::to_string(p).ok());
        integrations.set_state(id, state, problem, report.account.clone()).await?;
        Ok(())
    }

    fn view(
        &self,
        ctx: &Ctx,
        integration: Integration,
        secrets: Vec<SecretInfo>,
        account: Option<&Account>,
    ) -> Result<IntegrationView> {
        let descriptor = self.core.provider(&integration.provider)?.descriptor();
        let warnings = warnings(descriptor, &integration, &secrets);
        let budget = budget::view(account, descriptor, &integration.settings, ctx.now);
        Ok(IntegrationView {
            own_settings: descriptor.settings,
            rate_budget: budget.map(|view| RateBudget {
                problem: view.problem.as_deref().and_then(|text| serde_json::from_str(text).ok()),
                view,
            }),
            problem: integration.problem.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            last_check: integration.last_check.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            secrets: secrets
                .into_iter()
                .filter(|s| Some(s.name.as_str()) != descriptor.token_secret)
                .collect(),
            integration,
            warnings,
        })
    }

    fn connection_of(
        &self,
        merged: &Merged,
        token: Option<SecretString>,
        budget: Arc<dyn Budget>,
    ) -> Connection {
        Connection {
            integration: None,
            base_url: merged.read_url.url.clone(),
            auth_mode: merged.integration.auth_mode.clone(),
            secrets: merged.secrets.clone(),
            token,
            settings: merged.integration.settings.clone(),
            budget,
            http: self.core.http.clone(),
        }
    }

    fn merge_new(&self, ctx: &Ctx, draft: Draft) -> Result<Merged> {
        let provider_id = draft.provider.clone().ok_or_else(|| {
            ServiceError::invalid(
                "provider",
                "provider_missing",
                "name the provider, see the list of providers",
            )
        })?;
        let provider = self.core.provider(&provider_id)?;
        let first = provider.descriptor().auth_modes.first();
        let blank = Integration {
            id: store::new_id(ctx.now),
            provider: provider_id,
            name: String::new(),
            instance_url: String::new(),
            auth_mode: first.map(|mode| mode.id.to_owned()).unwrap_or_default(),
            is_active: true,
            state: ConnectionState::New,
            problem: None,
            settings: IntegrationSettings::default(),
            last_check: None,
            last_check_at: None,
            account: None,
            token_expires_at: None,
            last_organization_sync_at: None,
            last_device_sync_at: None,
            last_presence_at: None,
            last_detail_at: None,
            version: 0,
            created_at: ctx.now,
            updated_at: ctx.now,
            connected_at: None,
            disconnected_at: None,
        };
        lay_over(provider, &self.core.rmm_hosts, blank, Vec::new(), draft)
    }

    async fn merge_saved(&self, ctx: &Ctx, saved: Integration, draft: Draft) -> Result<Merged> {
        if draft.provider.as_deref().is_some_and(|provider| provider != saved.provider) {
            return Err(ServiceError::invalid(
                "provider",
                "provider_fixed",
                "the provider of an integration cannot change; create a new integration",
            ));
        }
        let provider = self.core.provider(&saved.provider)?;
        let row_id = saved.id.to_db();
        let owner = SecretOwner { table: TABLE, row_id: &row_id };
        let secrets = self.core.store.tenant(ctx).secrets().open_all(owner).await?;
        lay_over(provider, &self.core.rmm_hosts, saved, secrets, draft)
    }

    /// The same account of the same RMM twice would put every machine into the register twice. Where many accounts share
    /// an address, the secret that names the account tells them apart.
    async fn refuse_second(&self, ctx: &Ctx, new: &Merged) -> Result<()> {
        let tenant = self.core.store.tenant(ctx);
        let account_field = new.provider.descriptor().account_field;
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
        let wanted = Some(new.read_url.url.origin());
        for known in tenant.integrations().list().await? {
            let is_another = known.id != new.integration.id && known.provider == new.integration.provider;
            if !is_another || origin(&known.instance_url) != wanted {
                continue;
            }
            if let Some(field) = account_field {
                let row_id = known.id.to_db();
                let theirs = tenant.secrets().open_all(SecretOwner { table: TABLE, row_id: &row_id }).await?;
                let theirs = theirs.iter().find(|(name, _)| name == field).map(|(_, value)| value);
                if !is_same_secret(new.secrets.get(field), theirs) {
                    continue;
                }
            }
            let (what, next) = match (account_field, known.is_active) {
                (None, true) => ("address", "edit it"),
                (None, false) => ("address", "reconnect it"),
                (Some(_), _) => ("account", "edit it"),
            };
            return Err(ServiceError::conflict(
                "already_connected",
                format!("`{}` has this {what} already; {next} instead of adding it again", known.name),
            ));
        }
        Ok(())
    }

    /// Every required field of the auth mode must be there, from the draft or from what is saved.
    fn check_required(&self, merged: &Merged) -> Result<()> {
        let mode = auth_mode(merged.provider.descriptor(), &merged.integration.auth_mode)?;
        let missing = mode.fields.iter().find(|f| f.required && merged.secrets.get(f.name).is_none());
        let Some(field) = missing else { return Ok(()) };
        if merged.changes.clear {
            let labels: Vec<String> =
                mode.fields.iter().filter(|f| f.required).map(|f| format!("\"{}\"", f.label)).collect();
            return Err(ServiceError::conflict(
                "secret_required",
                format!(
                    "credentials belong to the address they were given for; type {} again together with the new address or sign-in mode",
                    labels.join(" and ")
                ),
            ));
        }
        let message = format!("\"{}\" is missing; {}", field.label, field.help);
        Err(ServiceError::invalid(field.name, "field_missing", message))
    }
}

fn is_limited(provider: &dyn Provider) -> bool {
    provider.descriptor().rate_limit.is_some()
}

fn with_notes(mut report: CheckReport, read: &ReadUrl) -> CheckReport {
    for note in &read.notes {
        if !report.notes.contains(note) {
            report.notes.push(note.clone());
        }
    }
    report
}

fn auth_mode(descriptor: &'static Descriptor, id: &str) -> Result<&'static AuthMode> {
    descriptor.auth_mode(id).ok_or_else(|| {
        let known: Vec<&str> = descriptor.auth_modes.iter().map(|mode| mode.id).collect();
        ServiceError::invalid(
            "auth_mode",
            "auth_mode_unknown",
            format!("`{id}` is no way to sign in here; choose one of: {}", known.join(", ")),
        )
    })
}

fn lay_over(
    provider: &'static dyn Provider,
    hosts: &[String],
    mut integration: Integration,
    saved: Vec<(String, SecretString)>,
    draft: Draft,
) -> Result<Merged> {
    let descriptor = provider.descriptor();
    let old_url = Url::parse(&integration.instance_url).ok();
    let read_url = read_url(provider, hosts, old_url.as_ref(), draft.url.as_deref())?;
    let origin_changed = old_url.as_ref().is_some_and(|old| old.origin() != read_url.url.origin());
    read_url.url.as_str().clone_into(&mut integration.instance_url);
    let old_mode = integration.auth_mode.clone();
    if let Some(mode) = draft.auth_mode {
        integration.auth_mode = auth_mode(descriptor, &mode)?.id.to_owned();
    }
    let mode = auth_mode(descriptor, &integration.auth_mode)?;
    let mode_changed = old_url.is_some() && old_mode != integration.auth_mode;
    integration.settings = settings::merge(descriptor, &integration.settings, draft.settings.as_ref())?;
    integration.name = name_of(descriptor, &integration, draft.name.as_deref(), &read_url.url)?;
    let clear = origin_changed || mode_changed;
    let (set, removed, code) = read_fields(mode, draft.fields, draft.code)?;
    let mut secrets: Secrets = if clear {
        Secrets::default()
    } else {
        let is_kept =
            |name: &String| !removed.contains(name) && Some(name.as_str()) != descriptor.token_secret;
        saved.into_iter().filter(|(name, _)| is_kept(name)).collect()
    };
    for (name, value) in &set {
        secrets.set(name.clone(), value.clone());
    }
    let mut remove: Vec<String> = removed.into_iter().collect();
    let reads_otherwise =
        clear || set.iter().any(|(name, _)| mode.fields.iter().any(|field| field.name == name));
    if reads_otherwise && !clear {
        remove.extend(descriptor.token_secret.map(str::to_owned));
    }
    let set_names: Vec<String> = set.iter().map(|(name, _)| name.clone()).collect();
    let set = set.into_iter().map(|(name, value)| {
        let last_four = last_four_of(&name);
        (name, value, last_four, None)
    });
    let changes = SecretChanges { clear, remove, set: set.collect() };
    if reads_otherwise {
        // What was said of other credentials says nothing of these.
        integration.state = ConnectionState::New;
        integration.problem = None;
    }
    let names_account = |field: &&str| set_names.iter().any(|name| name == field);
    let may_be_another_account = clear || descriptor.account_field.as_ref().is_some_and(names_account);
    let token_stays = !reads_otherwise;
    Ok(Merged {
        integration,
        provider,
        read_url,
        changes,
        secrets,
        token_stays,
        may_be_another_account,
        code,
    })
}

/// Compared as hashes, in the same time whatever they hold. What is not there is the same as nothing.
fn is_same_secret(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    let hash = |secret: &SecretString| blake3::hash(secret.expose_secret().as_bytes());
    match (one, other) {
        (Some(one), Some(other)) => hash(one) == hash(other),
        (None, _) | (_, None) => false,
    }
}

/// People choose passwords, and the end of one says too much; keys are drawn by lot.
fn last_four_of(name: &str) -> LastFour {
    if name.ends_with("password") || name.ends_with("totp_secret") { LastFour::Hide } else { LastFour::Show }
}

fn read_url(
    provider: &'static dyn Provider,
    hosts: &[String],
    old: Option<&Url>,
    pasted: Option<&str>,
) -> Result<ReadUrl> {
    match (pasted, old) {
        (Some(pasted), _) => provider.read_url(pasted, hosts).map_err(|problem| {
            let message = format!("{} {}", problem.message, problem.fix);
            ServiceError::invalid("url", "url_unusable", message)
        }),
        (None, Some(old)) => Ok(ReadUrl { url: old.clone(), notes: Vec::new(), warning: None }),
        (None, None) => {
            let descriptor = provider.descriptor();
            let message =
                format!("\"{}\" is missing; it looks like {}", descriptor.url_label, descriptor.url_example);
            Err(ServiceError::invalid("url", "url_missing", message))
        }
    }
}

fn name_of(
    descriptor: &Descriptor,
    integration: &Integration,
    name: Option<&str>,
    url: &Url,
) -> Result<String> {
    match name {
        Some(name) => crate::client::checked(name),
        None if integration.name.is_empty() => {
            Ok(format!("{} at {}", descriptor.name, url.host_str().unwrap_or("unknown host")))
        }
        None => Ok(integration.name.clone()),
    }
}

type ReadFields = (Vec<(String, SecretString)>, BTreeSet<String>, Option<SecretString>);

/// Sorts a form's fields: those to keep, those to remove (sent empty), and the one-time code.
fn read_fields(
    mode: &'static AuthMode,
    fields: BTreeMap<String, SecretString>,
    code: Option<SecretString>,
) -> Result<ReadFields> {
    let (mut set, mut removed, mut code) = (Vec::new(), BTreeSet::new(), code);
    for (name, value) in fields {
        let fields = || mode.fields.iter().chain(mode.action_fields);
        let known = fields().find(|field| field.name == name).ok_or_else(|| {
            let names: Vec<&str> = fields().map(|field| field.name).collect();
            let message = format!("there is no field `{name}` here; the fields are: {}", names.join(", "));
            ServiceError::invalid(&name, "field_unknown", message)
        })?;
        let text = value.expose_secret().trim();
        if text.chars().count() > MAX_FIELD_CHARS || text.chars().any(char::is_control) {
            let message =
                format!("\"{}\" is too long or holds a line break; paste only the value", known.label);
            return Err(ServiceError::invalid(&name, "field_unusable", message));
        }
        if known.kind == FieldKind::OneTimeCode {
            code = Some(SecretString::from(text.to_owned())).filter(|_| !text.is_empty());
        } else if text.is_empty() {
            removed.insert(name);
        } else {
            let value = SecretString::from(text.to_owned());
            set.push((name, value));
        }
    }
    Ok((set, removed, code))
}

/// What should be known of an integration as it is set up.
fn warnings(descriptor: &Descriptor, integration: &Integration, secrets: &[SecretInfo]) -> Vec<Problem> {
    let mut found = Vec::new();
    let action_fields =
        descriptor.auth_mode(&integration.auth_mode).map_or(&[][..], |mode| mode.action_fields);
    let is_for_actions = |secret: &SecretInfo| action_fields.iter().any(|field| field.name == secret.name);
    if integration.is_active && !action_fields.is_empty() && !secrets.iter().any(is_for_actions) {
        found.push(Problem::new(
            "one_credential",
            "One credential serves for reading and for acting.",
            "Give the first one reading rights only, and add a second one for actions once you turn actions on.",
        ));
    }
    if integration.settings.allow_plain_http && integration.instance_url.starts_with("http://") {
        found.push(Problem::new(
            "plain_http_allowed",
            "Credentials travel without encryption.",
            "Put TLS in front of the RMM and change the address to https.",
        ));
    }
    found
}
