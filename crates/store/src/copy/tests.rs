use std::{collections::BTreeSet, path::Path};

use futures::future::{Either, select};
use tokio::sync::oneshot;

use super::{table::TABLES, *};
use crate::{
    RootKey,
    db::{Engine, Text},
    on_both_engines,
    people::InstallationKind,
    testing::{self, TestStore},
};

fn quiet(_: Progress) {}

/// Two tenants with a bit of everything that could get lost on the way: nulls, zero bytes, text that is sorted
/// differently by languages, a client that leads to a later one.
async fn fill(test: &TestStore) {
    test.store.installation(InstallationKind::Serve).await.unwrap();
    testing::second_tenant(&test.store).await;
    let blob = match test.store.engine() {
        Engine::Sqlite => "X'00ff00'",
        Engine::Postgres => "'\\x00ff00'::bytea",
    };
    let mut texts = Vec::new();
    for tenant in [1, 2] {
        texts.push(format!(
            "INSERT INTO users (tenant_id, id, email, name, role, password_hash, created_at, updated_at)
             VALUES ({tenant}, 'u', 'u{tenant}@example.com', 'Ü', 'admin', 'hash', 1, 2)"
        ));
        texts.push(format!(
            "INSERT INTO sessions (token_hash, id, tenant_id, user_id, created_at, last_used_at, expires_at)
             VALUES ('hash{tenant}', 's', {tenant}, 'u', 1, 2, 3)"
        ));
        texts.push(format!(
            "INSERT INTO step_ups (tenant_id, session_id, client_id, until) VALUES ({tenant}, 's', '', 9)"
        ));
        texts.push(format!(
            "INSERT INTO login_challenges (token_hash, tenant_id, user_id, expires_at, tries_left)
             VALUES ('challenge{tenant}', {tenant}, 'u', 9, 5)"
        ));
        texts.push(format!(
            "INSERT INTO user_passkeys (tenant_id, user_id, id, rp_id, credential_hash, credential_id, public_key, algorithm,
                sign_count, backup_eligible, backed_up, transports, name, created_at)
             VALUES ({tenant}, 'u', 'p', 'fleet.example', 'hash', 'id', 'key', -7, 4000000000, TRUE, FALSE, '[]', 'Ü', 1)"
        ));
        for (purpose, session, login) in
            [("step_up", "'s'", "NULL"), ("sign_in", "NULL", "'challenge{tenant}'")]
        {
            let login = login.replace("{tenant}", &tenant.to_string());
            texts.push(format!(
                "INSERT INTO passkey_challenges (tenant_id, purpose, holder, session_id, login_hash, user_id, challenge_hash,
                    expires_at)
                 VALUES ({tenant}, '{purpose}', 'x', {session}, {login}, 'u', 'hash', 9)"
            ));
        }
        texts.push(format!(
            "INSERT INTO user_totp (tenant_id, user_id, created_at, confirmed_at, last_step) VALUES ({tenant}, 'u', 1, 2, 3)"
        ));
        texts.push(format!(
            "INSERT INTO jobs (id, tenant_id, kind, payload, state, priority, run_at, attempts, max_attempts,
                lease_owner, lease_until, created_at)
             VALUES ('job{tenant}', {tenant}, 'x', '{{}}', 'leased', 0, 0, 1, 5, 'w', 9000000000000, 0)"
        ));
        texts.push(format!(
            "INSERT INTO secrets (tenant_id, owner_table, owner_id, name, key_version, sealed, set_at, set_by)
             VALUES ({tenant}, 'x', 'y', 'z', 1, {blob}, 5, 'ann')"
        ));
        for id in ["z", "ä", "B", "a", "_", "Z"] {
            texts.push(format!(
                "INSERT INTO clients (tenant_id, id, name, name_key, created_at, updated_at)
                 VALUES ({tenant}, '{id}', '{id} Ltd', '{id}', -1, 9007199254740993)"
            ));
        }
        texts.push(format!("UPDATE users SET limited = TRUE WHERE tenant_id = {tenant}"));
        texts.push(format!(
            "INSERT INTO user_clients (tenant_id, user_id, client_id) VALUES ({tenant}, 'u', 'ä'), ({tenant}, 'u', 'Z')"
        ));
        texts.push(format!(
            "UPDATE clients SET merged_into = 'z', archived_at = 7 WHERE tenant_id = {tenant} AND id = 'a'"
        ));
        for n in 0..3 {
            texts.push(format!(
                "INSERT INTO events (tenant_id, at, kind, subject_id, data)
                 VALUES ({tenant}, {n}, 'k', 's', '{{\"zero\":\"\\u0000\"}}')"
            ));
        }
    }
    for text in texts {
        test.store.db.write(Text::Composed(text), vec![]).await.unwrap();
    }
}

async fn add_asset(test: &TestStore, id: &str, search: &str) {
    let text = format!(
        "INSERT INTO assets (tenant_id, id, client_id, name, name_key, asset_type, os, status, needs_reboot, search_text,
            rmm_provider, rmm_integration_id, rmm_device_id, rmm_organization_id, primary_device_id, locked,
            created_at, updated_at)
         VALUES (1, '{id}', 'z', 'n', 'n', 'server', '', 'online', TRUE, '{search}', 'p', 'i', '{id}', 'o', '{id}',
            '[]', 1, 1)"
    );
    test.store.db.write(Text::Composed(text), vec![]).await.unwrap();
}

async fn number(test: &TestStore, text: &str) -> i64 {
    number_in(&test.store, text).await
}

async fn number_in(store: &Store, text: &str) -> i64 {
    store.db.one::<(i64,)>(Text::Composed(text.to_owned()), vec![]).await.unwrap().0
}

async fn connect(location: &Location) -> Connection {
    open_source(location).await.unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

on_both_engines! {
    /// If this fails, a table was added: list it in `copy/table.rs`, behind those its foreign keys lead to.
    async fn every_table_is_listed_behind_those_it_leads_to(test) {
        let test = seeing_all(test).await;
        let (tables, leads) = match test.store.engine() {
            Engine::Sqlite => (
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'asset_search%' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
                "SELECT t.name, f.\"table\" FROM sqlite_schema t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'",
            ),
            Engine::Postgres => (
                "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_sqlx%'",
                "SELECT CAST(CAST(conrelid AS regclass) AS TEXT), CAST(CAST(confrelid AS regclass) AS TEXT) FROM pg_constraint WHERE contype = 'f'",
            ),
        };
        let found: Vec<(String,)> = test.store.db.all(Text::Composed(tables.to_owned()), vec![]).await.unwrap();
        let found: BTreeSet<&str> = found.iter().map(|(name,)| name.as_str()).collect();
        let listed: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(listed.len(), TABLES.len(), "a table stands twice");
        assert_eq!(found, listed);
        let leads: Vec<(String, String)> = test.store.db.all(Text::Composed(leads.to_owned()), vec![]).await.unwrap();
        assert!(leads.len() > 20, "foreign keys were found");
        let place = |name: &str| TABLES.iter().position(|table| table.name == name).unwrap();
        for (from, to) in leads {
            assert!(place(&to) <= place(&from), "`{from}` leads to `{to}`, which comes later");
        }
        for shape in catalog::shapes(&mut connect(&test.location).await).await.unwrap() {
            assert!(!shape.key.is_empty(), "`{}` has no primary key to be read by", shape.table.name);
            let has_tenant = shape.columns.iter().any(|column| column.name == "tenant_id");
            assert!(has_tenant || shape.table.scope == table::Scope::Whole, "{}", shape.table.name);
        }
    }

    async fn a_backup_comes_back_on_both_engines_as_it_was(test) {
        let test = seeing_all(test).await;
        fill(&test).await;
        add_asset(&test, "one", "printer at the door").await;
        add_asset(&test, "two", "scanner").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let made = backup(&test.location, &file, &quiet).await.unwrap();
        assert!(made.rows() > 30 && made.size_bytes.unwrap() > 0, "{made:?}");
        assert_eq!(names(folder.path()).len(), 1, "nothing is left beside it");

        let there = Location::File(folder.path().join("new.db"));
        let restored = restore(&file, &there, folder.path(), &quiet).await.unwrap();
        let counts = |report: &Report| -> Vec<(&str, u64)> { report.tables.iter().map(|t| (t.name, t.rows)).collect() };
        assert_eq!(counts(&restored), counts(&made));
        let store = Store::open(&there, &test.root_key).await.unwrap();
        let found = "SELECT COUNT(*) FROM asset_search WHERE asset_search MATCH 'door'";
        assert_eq!(number_in(&store, found).await, 1, "words are found again");
        for table in ["sessions", "step_ups", "login_challenges", "passkey_challenges"] {
            assert_eq!(number_in(&store, &format!("SELECT COUNT(*) FROM {table}")).await, 0, "nobody is signed in");
        }
        assert_eq!(number_in(&store, "SELECT COUNT(*) FROM user_totp").await, 2);
        assert_eq!(number_in(&store, "SELECT CAST(MAX(lease_until) AS BIGINT) FROM jobs").await, 0);
        store.close().await;
        let again = backup(&there, &folder.path().join("again.db"), &quiet).await.unwrap();
        assert_eq!(again.rows(), made.rows() - 10, "all but the sessions, challenges and proofs");
        assert!(names(folder.path()).iter().all(|name| !name.contains(".part")), "no drafts are left");
    }

    async fn another_root_key_does_not_open_what_was_copied(test) {
        let test = seeing_all(test).await;
        fill(&test).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        backup(&test.location, &file, &quiet).await.unwrap();
        let there = Location::File(folder.path().join("new.db"));
        restore(&file, &there, folder.path(), &quiet).await.unwrap();
        let wrong = Store::open(&there, &RootKey::generate()).await.err().unwrap();
        let needed = Some(test.root_key.fingerprint());
        assert!(matches!(&wrong, StoreError::OtherRootKey { needed: told, .. } if *told == needed), "{wrong}");
        let key = test.root_key.to_base64();
        for place in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = fs::read(&place).unwrap();
            let key = secrecy::ExposeSecret::expose_secret(&key).as_bytes();
            assert!(!bytes.windows(key.len()).any(|window| window == key), "{}", place.display());
        }
    }

    async fn a_target_with_rows_is_refused_and_left_alone(test) {
        let test = seeing_all(test).await;
        fill(&test).await;
        let folder = tempfile::tempdir().unwrap();
        let other = testing::sqlite(folder.path()).await;
        fill(&other).await;
        let before = number(&test, "SELECT COUNT(*) FROM clients").await;
        test.store.db.write(Text::Composed("DELETE FROM clients WHERE id = 'B'".to_owned()), vec![]).await.unwrap();
        let refused = copy(&other.location, &test.location, &quiet).await.unwrap_err();
        assert!(matches!(refused, CopyError::NotEmpty { table: "installation" }), "{refused}");
        assert_eq!(number(&test, "SELECT COUNT(*) FROM clients").await, before - 2);
    }

    async fn a_backup_never_overwrites(test) {
        let test = seeing_all(test).await;
        fill(&test).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(backup(&test.location, &file, &quiet).await, Err(CopyError::Exists(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    async fn of_nothing_and_of_the_demo_there_is_no_backup(test) {
        let test = seeing_all(test).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        assert!(matches!(backup(&test.location, &file, &quiet).await, Err(CopyError::Nothing)));
        test.store.installation(InstallationKind::Demo).await.unwrap();
        assert!(matches!(backup(&test.location, &file, &quiet).await, Err(CopyError::Demo)));
        assert!(names(folder.path()).is_empty());
    }

    async fn a_newer_database_is_refused(test) {
        let test = seeing_all(test).await;
        fill(&test).await;
        let newer = match test.store.engine() {
            Engine::Sqlite => "INSERT INTO _sqlx_migrations VALUES (9999, 'x', '', TRUE, X'00', 0)",
            Engine::Postgres => "INSERT INTO _sqlx_migrations VALUES (9999, 'x', now(), TRUE, '\\x00'::bytea, 0)",
        };
        test.store.db.write(Text::Composed(newer.to_owned()), vec![]).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let refused = backup(&test.location, &folder.path().join("backup.db"), &quiet).await.unwrap_err();
        assert!(matches!(refused, CopyError::Newer { found: 9999, .. }), "{refused}");
        let there = Location::File(folder.path().join("new.db"));
        let refused = copy(&test.location, &there, &quiet).await.unwrap_err();
        assert!(matches!(refused, CopyError::Newer { found: 9999, .. }), "{refused}");
        assert!(names(folder.path()).is_empty());
    }

    async fn a_copy_that_is_broken_off_leaves_nothing(test) {
        let test = seeing_all(test).await;
        fill(&test).await;
        for stage in [Stage::Copying, Stage::Finishing] {
            let folder = tempfile::tempdir().unwrap();
            let there = Location::File(folder.path().join("new.db"));
            broken_off_at(stage, &test.location, &there).await;
            assert!(names(folder.path()).is_empty(), "{stage:?}: {:?}", names(folder.path()));
        }
    }
}

/// Starts a copy and drops it as soon as it tells of this stage.
async fn broken_off_at(stage: Stage, from: &Location, to: &Location) {
    let (tell, told) = oneshot::channel();
    let tell = std::cell::Cell::new(Some(tell));
    let watch = |progress: Progress| {
        if progress.stage == stage
            && let Some(tell) = tell.take()
        {
            tell.send(()).unwrap();
        }
    };
    match select(told, Box::pin(copy(from, to, &watch))).await {
        Either::Left((told, _dropped)) => told.unwrap(),
        Either::Right((ended, _)) => panic!("it came to its end: {ended:?}"),
    };
}

#[tokio::test]
async fn rows_are_read_along_their_key_without_sorting() {
    let folder = tempfile::tempdir().unwrap();
    let test = testing::sqlite(folder.path()).await;
    for shape in catalog::shapes(&mut connect(&test.location).await).await.unwrap() {
        let text = format!("EXPLAIN QUERY PLAN {}", shape.select(Engine::Sqlite).replace("$1", "1"));
        let plan: Vec<(i64, i64, i64, String)> =
            test.store.db.all(Text::Composed(text), vec![]).await.unwrap();
        assert!(!plan.is_empty() && plan.iter().all(|step| !step.3.contains("B-TREE")), "{plan:?}");
    }
}

#[tokio::test]
async fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let test = testing::sqlite(folder.path()).await;
    fill(&test).await;
    let whole = folder.path().join("whole.db");
    backup(&test.location, &whole, &quiet).await.unwrap();
    let bytes = fs::read(&whole).unwrap();
    let mut scratched = bytes.clone();
    let middle = bytes.len() / 2;
    scratched[middle..middle + 9_000].fill(0xa5);
    let there = Location::File(folder.path().join("new.db"));
    let bad = folder.path().join("bad.db");
    for (what, bytes) in [
        ("cut off", &bytes[..bytes.len() / 3]),
        ("overwritten", &scratched[..]),
        ("text", &b"this is no database at all, and it is long enough to have had a header"[..]),
    ] {
        fs::write(&bad, bytes).unwrap();
        let refused = restore(&bad, &there, folder.path(), &quiet).await.unwrap_err();
        assert!(matches!(refused, CopyError::Damaged { .. }), "{what}: {refused:?}");
    }
    fs::write(&bad, "").unwrap();
    let refused = restore(&bad, &there, folder.path(), &quiet).await.unwrap_err();
    assert!(matches!(refused, CopyError::Foreign), "empty: {refused:?}");
    let missing = restore(&folder.path().join("no.db"), &there, folder.path(), &quiet).await;
    assert!(matches!(missing, Err(CopyError::Missing(_))));
    let live = restore(&folder.path().join("fleetgate.db"), &there, folder.path(), &quiet).await;
    assert!(matches!(live, Err(CopyError::AtWork(_))), "{live:?}");
    assert!(!folder.path().join("new.db").exists());
    let drafts = names(folder.path()).into_iter().filter(|name| name.contains(".part"));
    assert_eq!(drafts.count(), 0, "{:?}", names(folder.path()));
}

#[tokio::test]
async fn a_log_without_its_database_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let test = testing::sqlite(folder.path()).await;
    fill(&test).await;
    fs::write(folder.path().join("new.db-wal"), "rows of somebody").unwrap();
    let there = Location::File(folder.path().join("new.db"));
    let refused = copy(&test.location, &there, &quiet).await.unwrap_err();
    assert!(matches!(refused, CopyError::StrayLog(_)), "{refused}");
}

/// The database of an earlier version, with a row that the migrations since then change.
async fn older(path: &Path) {
    fs::write(path, "").unwrap();
    let mut made = super::fill(path, 3).await.unwrap();
    for text in [
        "INSERT INTO installation (id, kind, created_at) VALUES (1, 'serve', 0)",
        "INSERT INTO tenants VALUES (1, 'One', 0)",
        "INSERT INTO clients (tenant_id, id, name, name_key, created_at, updated_at) VALUES (1, 'c', 'C', 'c', 0, 0)",
    ] {
        made.insert(text, vec![vec![]], &[]).await.unwrap();
    }
    made.close().await;
}

#[tokio::test]
async fn a_backup_of_an_older_version_is_brought_up_to_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    older(&old).await;
    let before = fs::read(&old).unwrap();
    let there = Location::File(folder.path().join("new.db"));
    let refused = copy(&Location::File(old.clone()), &there, &quiet).await.unwrap_err();
    assert!(matches!(refused, CopyError::Older { found: 3, .. }), "{refused}");
    // An upgrade that went wrong is a time to make one.
    let file = folder.path().join("backup.db");
    assert_eq!(backup(&Location::File(old.clone()), &file, &quiet).await.unwrap().version, 3);
    restore(&file, &there, folder.path(), &quiet).await.unwrap();
    assert_eq!(fs::read(&old).unwrap(), before, "what is read stays as it is");
    let store = Store::open(&there, &RootKey::generate()).await.unwrap();
    assert_eq!(number_in(&store, "SELECT COUNT(listed_at) + 1 FROM rmm_devices").await, 1);
    assert_eq!(number_in(&store, "SELECT COUNT(*) FROM clients").await, 1);
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn there_and_back_again_changes_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let test = testing::sqlite(folder.path()).await;
        fill(&test).await;
        for n in 0..(2 * 100 + 50) {
            add_asset(&test, &format!("asset{n}"), "words").await;
        }
        let roles = testing::empty_postgres().await;
        let server = roles.owner.clone();
        let there = copy(&test.location, &server, &quiet).await.unwrap();
        let file = Location::File(folder.path().join("back.db"));
        let back = copy(&server, &file, &quiet).await.unwrap();
        let refused = copy(&test.location, &server, &quiet).await.unwrap_err();
        assert!(matches!(refused, CopyError::NotEmpty { .. }), "{refused}");
        // Leases were ended on the way there: that is the one difference.
        for (one, other) in there.tables.iter().zip(&back.tables) {
            assert_eq!((one == other, one.rows), (one.name != "jobs", other.rows), "{}", one.name);
        }
        let store = Store::open(&roles.superuser, &test.root_key).await.unwrap();
        let (last, row): (i64, i64) = (
            number_in(&store, "SELECT MAX(seq) FROM events").await,
            number_in(&store, "SELECT MAX(row_id) FROM assets").await,
        );
        let test =
            TestStore { store, location: roles.superuser.clone(), root_key: test.root_key, roles: None };
        add_asset(&test, "new", "words").await;
        assert!(number(&test, "SELECT row_id FROM assets WHERE id = 'new'").await > row, "it counts on");
        let event = "INSERT INTO events (tenant_id, at, kind, subject_id) VALUES (1, 0, 'k', 'new')";
        test.store.db.write(Text::Composed(event.to_owned()), vec![]).await.unwrap();
        assert!(number(&test, "SELECT seq FROM events WHERE subject_id = 'new'").await > last);
        let wrong = Text::Composed("UPDATE clients SET merged_into = 'nobody' WHERE id = 'B'".to_owned());
        assert!(test.store.db.write(wrong, vec![]).await.is_err(), "foreign keys are guarded as before");
        let deferrable = "SELECT COUNT(*) FROM pg_constraint WHERE condeferrable";
        assert_eq!(number(&test, deferrable).await, 0);
    }

    #[tokio::test]
    async fn a_copy_that_is_broken_off_leaves_an_empty_database() {
        let folder = tempfile::tempdir().unwrap();
        let test = testing::sqlite(folder.path()).await;
        fill(&test).await;
        let server = testing::empty_postgres().await.owner;
        for stage in [Stage::Copying, Stage::Checking, Stage::Finishing] {
            broken_off_at(stage, &test.location, &server).await;
        }
        copy(&test.location, &server, &quiet).await.unwrap();
    }

    #[tokio::test]
    async fn a_restored_database_knows_neither_sessions_nor_challenges_nor_proofs() {
        let folder = tempfile::tempdir().unwrap();
        let test = testing::sqlite(folder.path()).await;
        fill(&test).await;
        let file = folder.path().join("backup.db");
        backup(&test.location, &file, &quiet).await.unwrap();
        let server = testing::empty_postgres().await;
        restore(&file, &server.owner, folder.path(), &quiet).await.unwrap();
        let again = backup(&server.superuser, &folder.path().join("again.db"), &quiet).await.unwrap();
        let rows = |name: &str| again.tables.iter().find(|table| table.name == name).unwrap().rows;
        assert_eq!(["sessions", "login_challenges", "step_ups", "passkey_challenges"].map(rows), [0; 4]);
        assert_eq!(["user_totp", "user_passkeys"].map(rows), [2, 2]);
    }

    /// Neither the role that serves nor the one that owns the tables sees a tenant's rows unless the tenant is set.
    #[tokio::test]
    async fn row_level_security_hides_nothing_from_a_copy() {
        let test = testing::postgres().await;
        let roles = test.roles.clone().unwrap();
        fill(&seeing_all(test).await).await;
        let folder = tempfile::tempdir().unwrap();
        let before = backup(&roles.superuser, &folder.path().join("before.db"), &quiet).await.unwrap();
        let after = backup(&roles.app, &folder.path().join("after.db"), &quiet).await.unwrap();
        assert_eq!(after.tables, before.tables);
        let empty = testing::empty_postgres().await;
        let copied = copy(&roles.app, &empty.owner, &quiet).await.unwrap();
        assert_eq!(copied.tables, before.tables);
        let back = copy(&empty.owner, &Location::File(folder.path().join("back.db")), &quiet).await.unwrap();
        assert_eq!(back.rows(), before.rows());
    }
}

/// The same database, as somebody whom row-level security does not bind.
async fn seeing_all(test: TestStore) -> TestStore {
    match &test.roles {
        None => test,
        Some(roles) => {
            let (store, location) = (test.without_isolation().await, roles.superuser.clone());
            TestStore { store, location, root_key: test.root_key, roles: None }
        }
    }
}
