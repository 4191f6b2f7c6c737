//! The tables that a copy takes along. A test compares the list with the catalogs of both engines: a new table fails it
//! until it stands here.

/// Whose rows a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The installation's, or a look-up that leads to a tenant: readable without one, and copied whole.
    Whole,
    /// Tenants': read and written tenant by tenant, as row-level security demands.
    Tenant,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) scope: Scope,
}

const fn whole(name: &'static str) -> Table {
    Table { name, scope: Scope::Whole }
}

const fn tenant(name: &'static str) -> Table {
    Table { name, scope: Scope::Tenant }
}

/// Every table, behind all tables that its foreign keys lead to. `asset_search` of SQLite is not copied but built anew.
pub(super) const TABLES: &[Table] = &[
    whole("installation"),
    whole("tenants"),
    whole("data_keys"),
    whole("login_throttle"),
    tenant("roles"),
    tenant("second_factor_roles"),
    tenant("users"),
    tenant("user_totp"),
    tenant("user_recovery_codes"),
    tenant("user_passkeys"),
    tenant("api_tokens"),
    tenant("secrets"),
    tenant("clients"),
    tenant("user_clients"),
    tenant("client_sites"),
    tenant("rmm_integrations"),
    tenant("rmm_rate_budgets"),
    tenant("rmm_organization_mappings"),
    tenant("rmm_site_mappings"),
    tenant("assets"),
    tenant("rmm_devices"),
    tenant("tenant_external_entity_mappings"),
    tenant("device_macs"),
    tenant("asset_merges"),
    tenant("device_presence"),
    tenant("device_payloads"),
    tenant("asset_counts"),
    tenant("asset_other_counts"),
    tenant("asset_proposals"),
    tenant("events"),
    tenant("sync_runs"),
    tenant("sync_run_items"),
    tenant("audit_log"),
    tenant("audit_checkpoints"),
    whole("user_logins"),
    whole("login_challenges"),
    whole("sessions"),
    tenant("step_ups"),
    tenant("passkey_challenges"),
    whole("api_token_hashes"),
    whole("jobs"),
    whole("schedules"),
];
