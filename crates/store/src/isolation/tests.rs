//! On PostgreSQL, as the role that serves. Catalog: every table is known to be protected or not. Rows: statements that
//! forget the tenant, on connections that were another tenant's a moment ago.

use std::collections::BTreeSet;

use domain::{Actor, Ctx, Time, id::TenantId};
use futures::future::join_all;
use sqlx::{Connection, Executor, PgConnection};

use super::*;
use crate::{
    Location, Result, StoreError,
    client::Clients,
    db::{Text, Tx},
    people::InstallationKind,
    testing::{self, TestStore},
};

/// More than the pool has connections.
const MANY: usize = 40;

fn text(sql: impl Into<String>) -> Text<'static> {
    Text::Composed(sql.into())
}

fn ctx(tenant: i64) -> Ctx {
    Ctx {
        tenant: TenantId(tenant),
        actor: Actor::system(),
        request_id: String::new(),
        now: Time(1_800_000_000_000),
    }
}

/// Tenants 1 and 2, each with a client of its name.
async fn two_tenants() -> TestStore {
    let test = testing::postgres().await;
    test.store.installation(InstallationKind::Serve).await.unwrap();
    testing::second_tenant(&test.store).await;
    for (tenant, name) in [(1, "One"), (2, "Two")] {
        Clients(&test.store.tenant(&ctx(tenant))).create(name).await.unwrap();
    }
    test
}

async fn sign_in(location: &Location) -> PgConnection {
    let Location::Server(url) = location else { panic!("a server") };
    PgConnection::connect(url).await.unwrap()
}

/// PostgreSQL's code for a statement that fails.
async fn refused(connection: &mut PgConnection, sql: &'static str) -> String {
    let error = connection.execute(sql).await.expect_err(sql);
    error.as_database_error().unwrap().code().unwrap().into_owned()
}

/// In each of `tx`, all at once: what the setting is.
async fn settings(tx: Vec<Tx>) -> BTreeSet<Option<String>> {
    let read = |mut tx: Tx| async move {
        tx.one::<(Option<String>,)>(text("SELECT current_setting('fleetgate.tenant', true)"), args![])
            .await
            .unwrap()
            .0
    };
    join_all(tx.into_iter().map(read)).await.into_iter().collect()
}

mod postgres {
    use super::*;

    /// What partitioning and distribution by tenant ask of a table: every unique key holds the tenant, and so does every
    /// reference to another table of tenants.
    #[tokio::test]
    async fn every_key_of_a_tenants_table_holds_the_tenant() {
        let test = testing::postgres().await;
        let db = test.store.before_tenant();
        let lacking: Vec<(String, String)> = db
            .all(
                text(
                    "SELECT CAST(t.relname AS TEXT), CAST(i.relname AS TEXT) FROM pg_index x \
                     JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
                     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'tenant_id' \
                     WHERE t.relnamespace = 'public'::regnamespace AND t.relrowsecurity AND x.indisunique \
                     AND NOT a.attnum = ANY (x.indkey) ORDER BY 1, 2",
                ),
                args![],
            )
            .await
            .unwrap();
        assert_eq!(lacking, [], "unique keys without the tenant");
        let loose: Vec<(String, String)> = db
            .all(
                text(
                    "SELECT CAST(t.relname AS TEXT), CAST(c.conname AS TEXT) FROM pg_constraint c \
                     JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid \
                     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'tenant_id' \
                     WHERE c.contype = 'f' AND t.relrowsecurity AND f.relrowsecurity \
                     AND NOT a.attnum = ANY (c.conkey) ORDER BY 1, 2",
                ),
                args![],
            )
            .await
            .unwrap();
        assert_eq!(loose, [], "references without the tenant");
    }

    #[tokio::test]
    async fn every_table_is_protected_or_known_not_to_be() {
        let test = testing::postgres().await;
        let db = test.store.before_tenant();
        let tables: Vec<(String, bool, bool, bool)> = db
            .all(
                text(
                    "SELECT CAST(c.relname AS TEXT), EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid \
                     AND a.attname = 'tenant_id' AND NOT a.attisdropped), c.relrowsecurity, c.relforcerowsecurity \
                     FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind NOT IN ('i', 'I', 'S', 't')",
                ),
                args![],
            )
            .await
            .unwrap();
        let policies: Vec<(String, String, String, String, String, String)> = db
            .all(
                text(
                    "SELECT CAST(tablename AS TEXT), CAST(policyname AS TEXT), permissive, cmd || ' ' || array_to_string(roles, ','), \
                     COALESCE(qual, ''), COALESCE(with_check, '') FROM pg_policies WHERE schemaname = 'public'",
                ),
                args![],
            )
            .await
            .unwrap();
        let rule =
            "(tenant_id = (NULLIF(current_setting('fleetgate.tenant'::text, true), ''::text))::bigint)";
        for policy in &policies {
            let (table, name, permissive, scope, using, check) = policy;
            assert_eq!(
                (name.as_str(), permissive.as_str(), scope.as_str()),
                ("tenant_rows", "PERMISSIVE", "ALL public"),
                "{table}"
            );
            assert_eq!((using.as_str(), check.as_str()), (rule, rule), "{table}");
        }
        let with_policy: BTreeSet<&str> = policies.iter().map(|policy| policy.0.as_str()).collect();
        assert_eq!(
            with_policy.len(),
            policies.len(),
            "one policy a table: a second one would let more through"
        );
        let (mut before_the_tenant, mut of_the_installation) = (BTreeSet::new(), BTreeSet::new());
        for (table, has_tenant, enabled, forced) in &tables {
            let is_protected = *enabled && *forced && with_policy.contains(table.as_str());
            match (has_tenant, is_protected) {
                (true, true) => {}
                (true, false) => drop(before_the_tenant.insert(table.as_str())),
                (false, _) => drop(of_the_installation.insert(table.as_str())),
            }
        }
        assert_eq!(
            before_the_tenant,
            BTreeSet::from(BEFORE_THE_TENANT),
            "call `fleetgate_protect` in the migration"
        );
        assert_eq!(of_the_installation, BTreeSet::from(OF_THE_INSTALLATION));
        assert!(with_policy.len() >= 17, "{with_policy:?}");
    }

    #[tokio::test]
    async fn a_statement_that_forgets_the_tenant_finds_its_own_rows_alone() {
        let store = two_tenants().await.store;
        let names = async |tenant: i64| {
            let db = store.db_of(TenantId(tenant));
            let rows: Vec<(String, i64)> =
                db.all(text("SELECT name, tenant_id FROM clients"), args![]).await.unwrap();
            rows
        };
        // By turns and all at once, so that each connection serves both.
        let found = join_all((0..MANY).map(|n| names(if n % 2 == 0 { 1 } else { 2 }))).await;
        for (n, rows) in found.into_iter().enumerate() {
            let own = if n % 2 == 0 { ("One".to_owned(), 1) } else { ("Two".to_owned(), 2) };
            assert_eq!(rows, vec![own]);
        }
        let changed =
            store.db_of(TenantId(1)).write(text("UPDATE clients SET name = 'Mine'"), args![]).await.unwrap();
        assert_eq!((changed, names(2).await), (1, vec![("Two".to_owned(), 2)]));
        let deleted = store.db_of(TenantId(1)).write(text("DELETE FROM events"), args![]).await.unwrap();
        assert_eq!(deleted, 1);
        assert_eq!(store.tenant(&ctx(2)).events().since(0, 10).await.unwrap().events.len(), 1);
    }

    #[tokio::test]
    async fn without_a_tenant_there_are_no_rows_and_none_can_be_written() {
        let store = two_tenants().await.store;
        let db = store.before_tenant();
        for _ in 0..MANY {
            // Whatever tenant the connection served before.
            store.tenant(&ctx(2)).clients().all_live().await.unwrap();
            let (n,): (i64,) = db.one(text("SELECT COUNT(*) FROM clients"), args![]).await.unwrap();
            assert_eq!(n, 0);
        }
        let insert = text(
            "INSERT INTO clients (tenant_id, id, name, name_key, created_at, updated_at) VALUES (1, 'x', 'x', 'x', 0, 0)",
        );
        assert!(matches!(db.write(insert, args![]).await, Err(StoreError::Unavailable(_))));
        assert_eq!(db.write(text("UPDATE clients SET name = 'x'"), args![]).await.unwrap(), 0);
        assert_eq!(db.write(text("DELETE FROM clients"), args![]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_row_of_another_tenant_can_be_neither_added_nor_given_away() {
        let store = two_tenants().await.store;
        let db = store.db_of(TenantId(1));
        let add = |tenant: i64| {
            db.write(
                text("INSERT INTO clients (tenant_id, id, name, name_key, created_at, updated_at) VALUES ($1, 'x', 'x', 'x', 0, 0)"),
                args![tenant],
            )
        };
        assert!(matches!(add(2).await, Err(StoreError::Unavailable(_))));
        assert_eq!(add(1).await.unwrap(), 1);
        let given = db.write(text("UPDATE clients SET tenant_id = 2 WHERE id = 'x'"), args![]).await;
        assert!(matches!(given, Err(StoreError::Unavailable(_))), "{given:?}");
        // A read cannot write, whatever its text.
        let mut reads = db.read().await.unwrap();
        let written: Result<Vec<(String,)>> =
            reads.all(text("DELETE FROM clients RETURNING id"), args![]).await;
        assert!(matches!(written, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_connection_never_keeps_a_tenant() {
        let store = two_tenants().await.store;
        let db = store.db_of(TenantId(1));
        for _ in 0..MANY {
            // Committed, dropped, failed in the middle, and left while the transaction was being begun.
            let mut tx = db.begin().await.unwrap();
            tx.run(text("UPDATE clients SET name = 'Again'"), args![]).await.unwrap();
            tx.commit().await.unwrap();
            drop(db.begin().await.unwrap());
            db.all::<(i64,)>(text("SELECT CAST(1 / 0 AS BIGINT)"), args![]).await.unwrap_err();
            let mut begun = Box::pin(db.begin());
            assert!(futures::poll!(begun.as_mut()).is_pending());
            drop(begun);
        }
        let ten = join_all((0..10).map(|_| store.before_tenant().begin())).await;
        let set = settings(ten.into_iter().map(|tx| tx.unwrap()).collect()).await;
        assert!(set.is_subset(&BTreeSet::from([None, Some(String::new())])), "{set:?}");
        let own = settings(vec![db.begin().await.unwrap()]).await;
        assert_eq!(own, BTreeSet::from([Some("1".to_owned())]));
    }

    #[tokio::test]
    async fn the_role_that_serves_cannot_change_tables_or_lift_the_policy() {
        let test = two_tenants().await;
        let mut app = sign_in(&test.location).await;
        for sql in [
            "ALTER TABLE clients DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE clients NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE clients ADD COLUMN more TEXT",
            "DROP POLICY tenant_rows ON clients",
            "ALTER POLICY tenant_rows ON clients USING (true)",
            "CREATE POLICY all_rows ON clients USING (true)",
            "DROP TABLE clients",
            "TRUNCATE clients CASCADE",
            "CREATE TABLE own (id BIGINT)",
            "CREATE VIEW own AS SELECT * FROM clients",
            "SELECT fleetgate_protect('jobs')",
            "SELECT fleetgate_grant('public')",
            "UPDATE _sqlx_migrations SET success = FALSE",
            "ALTER ROLE CURRENT_USER BYPASSRLS",
            "SET ROLE fleetgate_test_owner",
            "SET session_replication_role = replica",
        ] {
            assert_eq!(refused(&mut app, sql).await, "42501", "{sql}");
        }
        // Without the policy's leave this is an error, and no way around it.
        app.execute("SET row_security = off").await.unwrap();
        assert_eq!(refused(&mut app, "SELECT * FROM clients").await, "42501");
    }

    #[tokio::test]
    async fn the_owner_is_held_by_the_policy_too() {
        let test = two_tenants().await;
        let mut owner = sign_in(&test.roles.unwrap().owner).await;
        let count = async |owner: &mut PgConnection| {
            sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM clients").fetch_one(owner).await.unwrap()
        };
        assert_eq!(count(&mut owner).await, 0);
        // As the migration says that later ones change rows.
        let mut tx = owner.begin().await.unwrap();
        tx.execute("ALTER TABLE clients NO FORCE ROW LEVEL SECURITY").await.unwrap();
        let changed = tx.execute("UPDATE clients SET updated_at = 1").await.unwrap().rows_affected();
        tx.execute("ALTER TABLE clients FORCE ROW LEVEL SECURITY").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((changed, count(&mut owner).await), (2, 0));
        // A table of a later migration.
        owner.execute("CREATE TABLE later (tenant_id BIGINT NOT NULL, id BIGINT)").await.unwrap();
        let told = test.store.isolation().await.unwrap().unwrap();
        assert_eq!((told.holds(), told.unprotected), (false, vec!["later".to_owned()]));
        owner.execute("SELECT fleetgate_protect('later')").await.unwrap();
        assert!(test.store.isolation().await.unwrap().unwrap().holds());
        let own = test.store.db_of(TenantId(1));
        assert_eq!(
            own.write(text("INSERT INTO later VALUES (1, 1)"), args![]).await.unwrap(),
            1,
            "granted by default"
        );
        assert_eq!(test.store.db_of(TenantId(2)).write(text("DELETE FROM later"), args![]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn each_role_is_told_for_what_it_is() {
        let test = testing::postgres().await;
        let roles = test.roles.unwrap();
        let of = async |location: &Location| {
            let told =
                Store::open(location, &test.root_key).await.unwrap().isolation().await.unwrap().unwrap();
            (told.holds(), told.bypasses, told.owns_tables, told.unprotected.len())
        };
        assert_eq!(of(&roles.app).await, (true, false, false, 0));
        assert_eq!(of(&roles.owner).await, (true, false, true, 0));
        assert_eq!(of(&roles.superuser).await, (false, true, true, 0));
    }

    #[tokio::test]
    async fn an_empty_database_is_made_by_its_owner_alone() {
        let roles = testing::empty_postgres().await;
        let key = crate::RootKey::generate();
        let refused = Store::open(&roles.app, &key).await.err().unwrap();
        assert!(matches!(refused, StoreError::MayNotMigrate), "{refused:?}");
        // Two servers that start at once, and one later.
        let both = join_all((0..2).map(|_| Store::migrate(&roles.owner, &roles.app))).await;
        assert!(both.iter().all(Result::is_ok), "{both:?}");
        Store::migrate(&roles.owner, &roles.app).await.unwrap();
        let store = Store::open(&roles.app, &key).await.unwrap();
        store.installation(InstallationKind::Serve).await.unwrap();
        let nobody = Location::Server("postgres://nobody_at_all@127.0.0.1/x".to_owned());
        let refused = Store::migrate(&roles.owner, &nobody).await.unwrap_err();
        assert!(matches!(refused, StoreError::NoSuchRole), "{refused:?}");
    }
}

#[tokio::test]
async fn sqlite_has_no_roles_to_tell_of() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(testing::sqlite(folder.path()).await.store.isolation().await.unwrap(), None);
}
