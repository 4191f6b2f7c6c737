//! Databases for tests, of this crate and of those above: each test gets one of its own.
//!
//! PostgreSQL tests need the environment variable `FLEETGATE_TEST_POSTGRES`, the address of a superuser on a server of
//! which nothing else is asked; `cargo xtask test` starts such a server and sets it. A template is migrated once, as the
//! role that owns the tables, and cloned. Stores are opened as the role that serves, so that row-level security holds
//! in every test.

use std::path::Path;

use domain::id::TenantId;
use sqlx::{Connection, Executor, PgConnection};

use crate::{Engine, Location, RootKey, Store, db::Text};

/// A store for one test, and what must live as long as it.
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// Where it is, to open it again.
    pub location: Location,
    /// Its root key.
    pub root_key: RootKey,
    /// Its other roles; none on SQLite.
    pub roles: Option<Box<Roles>>,
}

impl TestStore {
    /// The same database as somebody with full access to it sees it.
    pub async fn without_isolation(&self) -> Store {
        match &self.roles {
            Some(roles) => Store::open(&roles.superuser, &self.root_key).await.expect("a superuser opens it"),
            None => self.store.clone(),
        }
    }
}

/// One PostgreSQL database by the roles that may use it.
#[derive(Clone, Debug)]
pub struct Roles {
    /// A superuser, for which neither row-level security nor foreign keys need to hold.
    pub superuser: Location,
    /// The role that owns the tables.
    pub owner: Location,
    /// The role that serves.
    pub app: Location,
}

/// Opens a new SQLite store in `folder`.
pub async fn sqlite(folder: &Path) -> TestStore {
    open(Location::File(folder.join("fleetgate.db")), None).await
}

/// Clones a new PostgreSQL database and opens it as the role that serves.
pub async fn postgres() -> TestStore {
    let roles = new_database(Some(TEMPLATE)).await;
    open(roles.app.clone(), Some(Box::new(roles))).await
}

/// Makes a PostgreSQL database without any tables.
pub async fn empty_postgres() -> Roles {
    new_database(None).await
}

async fn open(location: Location, roles: Option<Box<Roles>>) -> TestStore {
    let root_key = RootKey::generate();
    let store = Store::open(&location, &root_key).await.expect("a fresh database opens");
    TestStore { store, location, root_key, roles }
}

/// Adds another tenant to a store: there is no other way yet.
pub async fn second_tenant(store: &Store) -> TenantId {
    let added =
        Text::Composed("INSERT INTO tenants (id, name, created_at) VALUES (2, 'Second', 0)".to_owned());
    store.before_tenant().write(added, Vec::new()).await.expect("a tenant can be added");
    TenantId(2)
}

/// Changes rows behind the product's back, as somebody with the database alone would.
pub async fn tamper(store: &Store, statement: &str) {
    let changed = store.db.write(Text::Composed(statement.to_owned()), Vec::new()).await;
    assert!(changed.expect("the statement runs") > 0, "nothing was changed by {statement}");
}

/// All rows of a table as text, sorted, without these columns.
/// `store` is one without isolation, see [`TestStore::without_isolation`].
pub async fn rows(store: &Store, table: &str, without: &[&str]) -> Vec<String> {
    let list = match store.engine() {
        Engine::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
        Engine::Postgres => {
            format!(
                "SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = '{table}'"
            )
        }
    };
    let columns: Vec<(String,)> = store.db.all(Text::Composed(list), Vec::new()).await.expect("columns");
    let shown: Vec<String> = columns
        .into_iter()
        .map(|(name,)| name)
        .filter(|name| !without.contains(&name.as_str()))
        .map(|name| format!("'{name}=' || COALESCE(CAST({name} AS TEXT), 'null')"))
        .collect();
    let text = format!("SELECT {} FROM {table} ORDER BY 1", shown.join(" || ' ' || "));
    let rows: Vec<(String,)> = store.db.all(Text::Composed(text), Vec::new()).await.expect("rows");
    let mut rows: Vec<String> = rows.into_iter().map(|(row,)| row).collect();
    rows.sort();
    rows
}

/// Brings site mappings to what the migration that made them left: forgets all and runs its last statement again.
pub async fn migrate_sites_again(store: &Store) {
    let migration = match store.engine() {
        Engine::Sqlite => include_str!("../migrations/sqlite/0005_sites.sql"),
        Engine::Postgres => include_str!("../migrations/postgres/0005_sites.sql"),
    };
    let (_, fill) = migration.split_once("INSERT INTO").expect("the migration fills the table");
    let fill = format!("INSERT INTO{}", fill.trim_end().trim_end_matches(';'));
    for text in ["DELETE FROM rmm_site_mappings".to_owned(), fill] {
        store.db.write(Text::Composed(text), Vec::new()).await.expect("the statement runs");
    }
}

/// Serialises the tests of all processes while the template is made or copied.
const TEMPLATE_LOCK: &str = "SELECT pg_advisory_lock(717171)";

const TEMPLATE: &str = "fleetgate_template";
const OWNER: &str = "fleetgate_test_owner";
const APP: &str = "fleetgate_test_app";

async fn new_database(template: Option<&str>) -> Roles {
    let server = std::env::var("FLEETGATE_TEST_POSTGRES")
        .expect("PostgreSQL tests need FLEETGATE_TEST_POSTGRES; run them with `cargo xtask test`");
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).expect("random bytes");
    let name = format!("test_{}", hex::encode(random));
    let mut admin = PgConnection::connect(&server).await.expect("the test server answers");
    admin.execute(TEMPLATE_LOCK).await.expect("the lock is given");
    let is_known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(TEMPLATE)
        .fetch_one(&mut admin)
        .await
        .expect("databases can be listed");
    if !is_known {
        make_template(&mut admin, &server).await;
    }
    let template = template.map(|template| format!("TEMPLATE {template}")).unwrap_or_default();
    execute(&mut admin, format!("CREATE DATABASE {name} OWNER {OWNER} {template}")).await;
    admin.close().await.expect("the connection closes");
    roles(&server, &name)
}

/// The two roles as `docs/operations.md` says, and all tables.
async fn make_template(admin: &mut PgConnection, server: &str) {
    let password = password(server);
    for role in [OWNER, APP] {
        execute(admin, format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'")).await;
    }
    execute(admin, format!("CREATE DATABASE {TEMPLATE} OWNER {OWNER}")).await;
    let roles = roles(server, TEMPLATE);
    Store::migrate(&roles.owner, &roles.app).await.expect("migrations apply");
}

async fn execute(admin: &mut PgConnection, sql: String) {
    admin.execute(sqlx::AssertSqlSafe(sql)).await.expect("the test server does as it is told");
}

fn roles(server: &str, database: &str) -> Roles {
    let (before, _) = server.rsplit_once('/').expect("the address names a database");
    let (_, place) = before.rsplit_once('@').expect("the address names a user");
    let password = password(server);
    let of = |role| Location::Server(format!("postgres://{role}:{password}@{place}/{database}"));
    Roles { superuser: Location::Server(format!("{before}/{database}")), owner: of(OWNER), app: of(APP) }
}

/// The superuser's, for the other roles of this server as well.
fn password(server: &str) -> &str {
    let (before, _) = server.rsplit_once('@').expect("the address names a user");
    before.rsplit_once(':').expect("the address has a password").1
}

/// Runs a test once on each engine: `on_both_engines! { async fn name(store: TestStore) { … } }` makes the tests
/// `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn check($store: $crate::testing::TestStore) $body

            #[tokio::test]
            async fn sqlite() {
                let folder = tempfile::tempdir().unwrap();
                check($crate::testing::sqlite(folder.path()).await).await;
            }

            #[tokio::test]
            async fn postgres() {
                check($crate::testing::postgres().await).await;
            }
        }
    )+};
}
