use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use futures::future::join_all;
use secrecy::ExposeSecret;

use super::*;
use crate::{
    RootKeys, on_both_engines,
    secret::{
        RootKeyFile, SecretOwner,
        tests::{OWNER, execute, install, open, put},
    },
    testing::TestStore,
};

/// More than one batch.
const MANY: usize = BATCH + 20;

async fn fill(store: &Store) {
    install(store).await;
    for n in 0..MANY {
        put(store, 1, OWNER, &format!("name-{n:03}"), &format!("value of {n}")).await;
    }
    for row_id in ["0b", "0c"] {
        put(store, 2, SecretOwner { row_id, ..OWNER }, "password", row_id).await;
    }
}

/// Every value is what was put, for whoever opens the database now.
async fn check_values(store: &Store) {
    let values = open(store, 1, OWNER).await.unwrap();
    assert_eq!(values.len(), MANY);
    for (n, value) in values.into_iter().enumerate() {
        assert_eq!(value, (format!("name-{n:03}"), format!("value of {n}")));
    }
    for row_id in ["0b", "0c"] {
        let opened = open(store, 2, SecretOwner { row_id, ..OWNER }).await.unwrap();
        assert_eq!(opened, [("password".to_owned(), row_id.to_owned())]);
    }
}

/// Versions, and how many secrets each seals.
async fn versions(store: &Store) -> Vec<(i64, u64)> {
    store.data_keys().await.unwrap().into_iter().map(|key| (key.version, key.secrets)).collect()
}

/// As another process does it.
async fn again(test: &TestStore) -> Store {
    Store::open(&test.location, &test.root_key).await.unwrap()
}

/// The root key of a test in a file, as an installation has it.
fn key_file(folder: &Path, key: &RootKey) -> RootKeyFile {
    let file = RootKeyFile::new(&folder.join("root.key"));
    fs::write(file.path(), key.to_base64().expose_secret()).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn keys_in(file: &RootKeyFile) -> RootKeys {
    let file = file.clone();
    RootKeys::read_by(move || file.read())
}

on_both_engines! {
    async fn every_secret_is_sealed_anew_and_the_old_key_is_gone(test) {
        fill(&test.store).await;
        let all = MANY as u64 + 2;
        assert_eq!(versions(&test.store).await, [(1, all)]);
        let rotated = test.store.rotate_data_key().await.unwrap();
        let expected = Rotated {
            version: 2, begun: Begun::Now, resealed: all, deleted: vec![1], still_used: vec![], unreadable: vec![],
        };
        assert_eq!(rotated, expected);
        assert_eq!(versions(&test.store).await, [(2, all)]);
        check_values(&test.store).await;
        check_values(&again(&test).await).await;
        assert_eq!(test.store.rotate_data_key().await.unwrap().version, 3);
        check_values(&test.store).await;
    }

    /// Each step stands for itself, so an end after any of them is the same as not taking the next.
    async fn a_rotation_that_ended_anywhere_is_finished_by_the_next(test) {
        fill(&test.store).await;
        for steps in 0..=4 {
            let store = again(&test).await;
            let before = versions(&store).await.last().unwrap().0;
            if steps >= 1 {
                store.add_data_key().await.unwrap();
            }
            if steps >= 2 {
                let some = store.stale_secrets(TenantId(1), None, 7).await.unwrap();
                assert_eq!(store.reseal(TenantId(1), &some, &mut Vec::new()).await.unwrap(), 7);
            }
            if steps >= 3 {
                for tenant in [1, 2] {
                    let rest = store.stale_secrets(TenantId(tenant), None, 1_000).await.unwrap();
                    store.reseal(TenantId(tenant), &rest, &mut Vec::new()).await.unwrap();
                }
            }
            if steps >= 4 {
                assert_eq!(store.delete_unused_data_keys().await.unwrap(), (vec![before], vec![]));
            }
            store.close().await;
            let store = again(&test).await;
            check_values(&store).await;
            let is_whole = steps == 0 || steps == 4;
            assert_eq!(versions(&store).await.len(), if is_whole { 1 } else { 2 }, "after {steps} steps");
            let rotated = store.rotate_data_key().await.unwrap();
            assert_eq!(rotated.begun, if is_whole { Begun::Now } else { Begun::Before }, "after {steps} steps");
            assert_eq!(versions(&store).await, [(rotated.version, MANY as u64 + 2)]);
            check_values(&store).await;
            check_values(&test.store).await;
            store.close().await;
        }
    }

    async fn a_key_that_seals_a_secret_of_any_tenant_is_not_deleted(test) {
        install(&test.store).await;
        put(&test.store, 2, OWNER, "password", "of the second tenant").await;
        test.store.add_data_key().await.unwrap();
        assert_eq!(test.store.delete_unused_data_keys().await.unwrap(), (vec![], vec![1]));
        execute(&test.store, "INSERT INTO tenants (id, name, created_at) VALUES (3, 'three', 0)").await;
        put(&test.store, 3, OWNER, "password", "of the third").await;
        assert_eq!(versions(&test.store).await, [(1, 1), (2, 1)], "who writes takes the newest");
    }

    async fn a_secret_that_was_set_meanwhile_stays_as_it_was_set(test) {
        install(&test.store).await;
        put(&test.store, 1, OWNER, "api_key", "the first value").await;
        put(&test.store, 1, OWNER, "other", "another value").await;
        test.store.add_data_key().await.unwrap();
        let read = test.store.stale_secrets(TenantId(1), None, 10).await.unwrap();
        put(&test.store, 1, OWNER, "api_key", "the second value").await;
        assert_eq!(test.store.reseal(TenantId(1), &read, &mut Vec::new()).await.unwrap(), 1);
        assert_eq!(test.store.reseal(TenantId(1), &read, &mut Vec::new()).await.unwrap(), 0, "twice is once");
        let values: Vec<String> = open(&test.store, 1, OWNER).await.unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["the second value", "another value"]);
    }

    /// Another task of the same process may learn of the rotation between reading a row and opening it.
    async fn what_was_read_before_a_rotation_opens_after_it(test) {
        install(&test.store).await;
        put(&test.store, 1, OWNER, "api_key", "the value").await;
        test.store.add_data_key().await.unwrap();
        let read = test.store.stale_secrets(TenantId(1), None, 10).await.unwrap();
        assert_eq!(test.store.rotate_data_key().await.unwrap().deleted, [1]);
        let SealedRow { owner_table, owner_id, name, key_version, sealed } = &read[0];
        let place = Place { tenant: TenantId(1), table: owner_table, row_id: owner_id, name };
        let value = test.store.keys.open(*key_version, &place, sealed).unwrap();
        assert_eq!((*key_version, value.expose_secret()), (1, "the value"));
    }

    async fn writers_and_readers_beside_rotations_lose_nothing(test) {
        install(&test.store).await;
        let server = again(&test).await;
        let rounds = 12;
        let owners: Vec<String> = (0..4).map(|n| format!("{n}")).collect();
        let writers = owners.iter().map(|row_id| {
            let server = &server;
            async move {
                let owner = SecretOwner { row_id, ..OWNER };
                for round in 0..rounds {
                    let value = format!("{row_id} in round {round}");
                    put(server, 1, owner, "api_key", &value).await;
                    assert_eq!(open(server, 1, owner).await.unwrap(), [("api_key".to_owned(), value)]);
                }
            }
        });
        let rotations = async {
            for _ in 0..6 {
                let rotated = test.store.rotate_data_key().await.unwrap();
                assert_eq!(rotated.unreadable, []);
            }
        };
        tokio::join!(join_all(writers), rotations);
        let last = test.store.rotate_data_key().await.unwrap();
        assert_eq!(versions(&server).await, [(last.version, 4)]);
        for store in [&server, &test.store, &again(&test).await] {
            for row_id in &owners {
                let opened = open(store, 1, SecretOwner { row_id, ..OWNER }).await.unwrap();
                assert_eq!(opened[0].1, format!("{row_id} in round {}", rounds - 1));
            }
        }
    }

    async fn a_damaged_secret_is_named_and_keeps_its_key(test) {
        let intruder = test.without_isolation().await;
        install(&test.store).await;
        put(&test.store, 1, OWNER, "api_key", "whole").await;
        put(&test.store, 2, OWNER, "password", "to be damaged").await;
        execute(&intruder, "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE tenant_id = 1)
            WHERE tenant_id = 2").await;
        for begun in [Begun::Now, Begun::Before] {
            let rotated = test.store.rotate_data_key().await.unwrap();
            let name = SecretName {
                tenant: TenantId(2), table: OWNER.table.to_owned(), row_id: OWNER.row_id.to_owned(), name: "password".to_owned(),
            };
            assert_eq!((rotated.begun, rotated.still_used, rotated.unreadable), (begun, vec![1], vec![name]));
            assert_eq!(versions(&test.store).await, [(1, 1), (2, 1)]);
        }
        put(&test.store, 2, OWNER, "password", "set again").await;
        assert_eq!(test.store.rotate_data_key().await.unwrap().deleted, [1]);
        assert_eq!(open(&test.store, 2, OWNER).await.unwrap()[0].1, "set again");
    }

    /// As a server that started before both rotations, and that restarts at any moment of them.
    async fn a_rotation_of_the_root_key_may_end_after_any_step(test) {
        let folder = tempfile::tempdir().unwrap();
        fill(&test.store).await;
        let file = key_file(folder.path(), &test.root_key);
        let server = Store::open_with(&test.location, keys_in(&file)).await.unwrap();
        for steps in 0..=4 {
            let before = RootKey::read(file.path()).unwrap();
            let operator = Store::open_with(&test.location, keys_in(&file)).await.unwrap();
            if steps >= 1 {
                file.keep().unwrap();
            }
            if steps >= 2 {
                file.write_next().unwrap();
            }
            if steps >= 3 {
                let next = file.write_next().unwrap();
                assert_eq!(operator.rewrap_data_keys(&next).await.unwrap(), 1);
                assert_eq!(operator.rewrap_data_keys(&next).await.unwrap(), 0, "twice is once");
            }
            if steps >= 4 {
                file.adopt_next().unwrap();
            }
            operator.close().await;
            check_values(&server).await;
            let started = Store::open_with(&test.location, keys_in(&file)).await.unwrap();
            check_values(&started).await;
            // A data key that is made now is wrapped by the root key of the others, in whichever file that lies.
            assert_eq!(started.rotate_data_key().await.unwrap().deleted.len(), 1);
            check_values(&server).await;
            put(&server, 1, OWNER, "name-000", "value of 0").await;

            let kept = file.keep().unwrap();
            let next = file.write_next().unwrap();
            started.rewrap_data_keys(&next).await.unwrap();
            file.adopt_next().unwrap();
            started.close().await;
            check_values(&server).await;
            let in_use = RootKey::read(file.path()).unwrap();
            assert_ne!(in_use.fingerprint(), before.fingerprint());
            assert!(kept.exists() && file.kept_path(&before.fingerprint()).exists(), "old keys are kept");
            check_values(&Store::open(&test.location, &in_use).await.unwrap()).await;
            let refused = Store::open(&test.location, &before).await.map(drop).unwrap_err();
            assert!(refused.to_string().contains(&in_use.fingerprint()), "{refused}");
        }
    }

    /// Else a version could be wrapped by the old root key after all others were wrapped by the new one.
    async fn a_data_key_that_is_made_beside_a_new_root_key_is_wrapped_by_it(test) {
        let folder = tempfile::tempdir().unwrap();
        install(&test.store).await;
        let file = key_file(folder.path(), &test.root_key);
        for _ in 0..6 {
            let one = Store::open_with(&test.location, keys_in(&file)).await.unwrap();
            let other = Store::open_with(&test.location, keys_in(&file)).await.unwrap();
            let next = file.write_next().unwrap();
            let (added, rewrapped) = tokio::join!(one.add_data_key(), other.rewrap_data_keys(&next));
            assert_eq!(added.unwrap().1, Begun::Now);
            assert!(rewrapped.unwrap() >= 1);
            file.adopt_next().unwrap();
            let alone = Store::open(&test.location, &next).await.unwrap();
            assert_eq!(versions(&alone).await.len(), 2);
            alone.rotate_data_key().await.unwrap();
            for store in [one, other, alone] {
                store.close().await;
            }
        }
    }

    /// A first start beside a rotation: whoever comes second finds what the first one made.
    async fn a_first_start_beside_a_new_root_key_makes_no_key_of_the_old_one(test) {
        let next = RootKey::generate();
        for _ in 0..6 {
            execute(&test.store, "DELETE FROM data_keys").await;
            let both = || RootKeys::from(test.root_key.clone()).and(next.clone());
            let (first, rotating) = tokio::join!(
                Store::open_with(&test.location, both()),
                async {
                    let store = Store::open_with(&test.location, both()).await.unwrap();
                    store.rewrap_data_keys(&next).await.unwrap();
                    store
                },
            );
            let alone = Store::open(&test.location, &next).await.unwrap();
            assert_eq!(versions(&alone).await.len(), 1);
            for store in [first.unwrap(), rotating, alone] {
                store.close().await;
            }
        }
    }
}

mod postgres {
    use super::*;
    use crate::db::{Text, args};

    /// SQLite has one writer at a time, so there the question does not arise.
    #[tokio::test]
    async fn a_data_key_that_a_writer_has_chosen_is_not_deleted_under_its_hands() {
        let test = crate::testing::postgres().await;
        install(&test.store).await;
        let mut writer = test.store.db_of(TenantId(1)).begin().await.unwrap();
        assert_eq!(test.store.keys.newest(&mut writer).await.unwrap(), 1);
        assert_eq!(test.store.add_data_key().await.unwrap(), (2, Begun::Now));
        let mut rotation = test.store.before_tenant().begin().await.unwrap();
        rotation.run(Text::Composed("SET LOCAL lock_timeout = '50ms'".to_owned()), args![]).await.unwrap();
        let waited = rotation.run(&DELETE_OLDER, args![1]).await.unwrap_err();
        assert!(matches!(waited, StoreError::Unavailable(_)), "{waited}");
        drop(rotation);
        writer.commit().await.unwrap();
        assert_eq!(test.store.delete_unused_data_keys().await.unwrap(), (vec![1], vec![]));
    }
}
