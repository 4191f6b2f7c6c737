//! What keeps tenants apart inside PostgreSQL, and whether it does on this database.
//!
//! Every table with a `tenant_id` is under row-level security, but for [`BEFORE_THE_TENANT`]; the policy and the way for
//! later migrations are in `migrations/postgres/0006_row_level_security.sql`. The policy holds for the owner of the tables
//! as well, but not for a superuser or a role with `BYPASSRLS`, and an owner could lift it: hence a role that only serves.

use crate::{Store, db::args, error::Result, sql::statements};

/// Tables with a `tenant_id` that are read before the tenant is known, or for all tenants at once. They hold no tenant's
/// data but the way to it: which account an e-mail address, a challenge, a session or a token means, what work waits, what is due.
pub const BEFORE_THE_TENANT: [&str; 6] =
    ["api_token_hashes", "jobs", "login_challenges", "schedules", "sessions", "user_logins"];

/// Tables of the whole installation, which have no `tenant_id`; the last is that of the migrations.
pub const OF_THE_INSTALLATION: [&str; 5] =
    ["data_keys", "installation", "login_throttle", "tenants", "_sqlx_migrations"];

/// How the role that serves stands to row-level security.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// The role.
    pub role: String,
    /// A superuser, or with `BYPASSRLS`: row-level security does not hold for it.
    pub bypasses: bool,
    /// It owns the tables, or has the rights of their owner: it could lift row-level security.
    pub owns_tables: bool,
    /// Tables with tenants' rows on which row-level security is not enabled and forced.
    pub unprotected: Vec<String>,
    /// May `LIKE` be tried before the policy? Only then word search can use its index.
    pub search_by_index: bool,
}

impl Isolation {
    /// Does the database keep tenants apart, whatever a statement asks for?
    pub fn holds(&self) -> bool {
        !self.bypasses && self.unprotected.is_empty()
    }
}

impl Store {
    /// Looks at the role and the tables; none on SQLite, which has neither.
    pub async fn isolation(&self) -> Result<Option<Isolation>> {
        let db = self.before_tenant();
        let Some(role) = db.maybe::<RoleRow>(&ROLE, args![]).await? else { return Ok(None) };
        let open: Vec<(String, bool)> = db.all(&OPEN_TABLES, args![]).await?;
        let unprotected = open.into_iter().map(|(table, _)| table);
        Ok(Some(Isolation {
            role: role.role,
            bypasses: role.bypasses,
            owns_tables: role.owns_tables,
            unprotected: unprotected.filter(|table| !BEFORE_THE_TENANT.contains(&table.as_str())).collect(),
            search_by_index: role.search_by_index,
        }))
    }
}

#[derive(sqlx::FromRow)]
struct RoleRow {
    role: String,
    bypasses: bool,
    owns_tables: bool,
    search_by_index: bool,
}

statements! {
    ROLE = [{engine
        "SELECT '' AS role, FALSE AS bypasses, FALSE AS owns_tables, FALSE AS search_by_index WHERE FALSE"
        "SELECT CAST(r.rolname AS TEXT) AS role, r.rolsuper OR r.rolbypassrls AS bypasses, \
         EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = CAST(current_schema() AS regnamespace) \
         AND c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE')) AS owns_tables, \
         (SELECT p.proleakproof FROM pg_proc p WHERE p.oid = CAST('pg_catalog.textlike(text,text)' AS regprocedure)) \
         AS search_by_index FROM pg_roles r WHERE r.rolname = current_user"}
    ];
    OPEN_TABLES = [{engine
        "SELECT '', FALSE WHERE FALSE"
        "SELECT CAST(c.relname AS TEXT), c.relrowsecurity FROM pg_class c \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped \
         WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relkind IN ('r', 'p') \
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY c.relname"}
    ];
}

#[cfg(test)]
mod tests;
