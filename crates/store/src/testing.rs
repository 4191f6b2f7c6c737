//! Databases for tests, of this crate and of those above: each test gets one of its own.
//!
//! PostgreSQL tests need the environment variable `FLEETGATE_TEST_POSTGRES`, the address of a server on which databases
//! may be created; `cargo xtask test` starts such a server and sets it. A template is migrated once and cloned.

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
}

/// Opens a new SQLite store in `folder`.
pub async fn sqlite(folder: &Path) -> TestStore {
    open(Location::File(folder.join("fleetgate.db"))).await
}

/// Clones a new PostgreSQL database and opens it.
pub async fn postgres() -> TestStore {
    open(empty_postgres().await).await
}

/// Clones a new PostgreSQL database that has its tables and not one row.
pub async fn empty_postgres() -> Location {
    let server = std::env::var("FLEETGATE_TEST_POSTGRES")
        .expect("PostgreSQL tests need FLEETGATE_TEST_POSTGRES; run them with `cargo xtask test`");
    Location::Server(clone_template(&server).await)
}

async fn open(location: Location) -> TestStore {
    let root_key = RootKey::generate();
    let store = Store::open(&location, &root_key).await.expect("a fresh database opens");
    TestStore { store, location, root_key }
}

/// Adds another tenant to a store: there is no other way yet.
pub async fn second_tenant(store: &Store) -> TenantId {
    let added =
        Text::Composed("INSERT INTO tenants (id, name, created_at) VALUES (2, 'Second', 0)".to_owned());
    store.db.write(added, Vec::new()).await.expect("a tenant can be added");
    TenantId(2)
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

async fn clone_template(server: &str) -> String {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).expect("random bytes");
    let name = format!("test_{}", hex::encode(random));
    let mut admin = PgConnection::connect(server).await.expect("the test server answers");
    admin.execute(TEMPLATE_LOCK).await.expect("the lock is given");
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = 'fleetgate_template')")
            .fetch_one(&mut admin)
            .await
            .expect("databases can be listed");
    if !known {
        admin.execute("CREATE DATABASE fleetgate_template").await.expect("a database can be made");
        Store::migrate(&Location::Server(with_database(server, "fleetgate_template")))
            .await
            .expect("migrations apply");
    }
    let create = format!("CREATE DATABASE {name} TEMPLATE fleetgate_template");
    admin.execute(sqlx::AssertSqlSafe(create)).await.expect("the template can be copied");
    admin.close().await.expect("the connection closes");
    with_database(server, &name)
}

fn with_database(server: &str, name: &str) -> String {
    let (before, _) = server.rsplit_once('/').expect("the address names a database");
    format!("{before}/{name}")
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
