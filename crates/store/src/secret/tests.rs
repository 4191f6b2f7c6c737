use domain::{Actor, Ctx, Time, id::TenantId};
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    Location, RootKey, Store, StoreError,
    db::{Text, Value},
    on_both_engines,
    people::InstallationKind,
};

const NOON: Time = Time(1_800_000_000_000);
const CANARY: &str = "canary-7f3c9a51-value";
pub(super) const OWNER: SecretOwner<'static> = SecretOwner { table: "integrations", row_id: "0a" };
const OTHER_ROW: SecretOwner<'static> = SecretOwner { table: "integrations", row_id: "0b" };
const OTHER_TABLE: SecretOwner<'static> = SecretOwner { table: "webhooks", row_id: "0a" };

pub(super) fn ctx(tenant: i64) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: String::new(), now: NOON }
}

pub(super) async fn execute(store: &Store, sql: &str) -> u64 {
    store.before_tenant().write(Text::Composed(sql.to_owned()), Vec::<Value>::new()).await.unwrap()
}

pub(super) async fn install(store: &Store) {
    store.installation(InstallationKind::Serve).await.unwrap();
    execute(store, "INSERT INTO tenants (id, name, created_at) VALUES (2, 'two', 0)").await;
}

pub(super) async fn put(store: &Store, tenant: i64, owner: SecretOwner<'_>, name: &str, value: &str) {
    let value = SecretString::from(value);
    let secret = NewSecret { owner, name, value: &value, last_four: LastFour::Show, expires_at: None };
    store.tenant(&ctx(tenant)).secrets().put_one(&secret).await.unwrap();
}

pub(super) async fn open(
    store: &Store,
    tenant: i64,
    owner: SecretOwner<'_>,
) -> crate::Result<Vec<(String, String)>> {
    let opened = store.tenant(&ctx(tenant)).secrets().open_all(owner).await?;
    Ok(opened.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect())
}

on_both_engines! {
    async fn secrets_read_back_at_their_place_only(test) {
        let store = test.store;
        install(&store).await;
        put(&store, 1, OWNER, "api_key", "old value").await;
        put(&store, 1, OWNER, "api_key", CANARY).await;
        put(&store, 1, OWNER, "webhook", "w").await;
        let both = vec![("api_key".to_owned(), CANARY.to_owned()), ("webhook".to_owned(), "w".to_owned())];
        assert_eq!(open(&store, 1, OWNER).await.unwrap(), both);
        for (tenant, owner) in [(2, OWNER), (1, OTHER_ROW), (1, OTHER_TABLE)] {
            assert_eq!(open(&store, tenant, owner).await.unwrap(), vec![]);
        }
        let secrets = store.tenant(&ctx(1)).secrets();
        let mut tx = store.tenant(&ctx(1)).db().begin().await.unwrap();
        secrets.delete(&mut tx, OWNER, "webhook").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(open(&store, 1, OWNER).await.unwrap().len(), 1);
        let mut tx = store.tenant(&ctx(1)).db().begin().await.unwrap();
        secrets.delete_all(&mut tx, OWNER).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(open(&store, 1, OWNER).await.unwrap(), vec![]);
    }

    async fn people_learn_what_is_set_and_not_the_value(test) {
        let store = test.store;
        install(&store).await;
        let secrets = store.tenant(&ctx(1)).secrets();
        let cases = [
            ("a_long", "twelve chars", LastFour::Show, Some("hars")),
            ("b_short", "eleven char", LastFour::Show, None),
            ("c_hidden", "twelve chars", LastFour::Hide, None),
            ("d_wide", "äöüäöüäöüäöü", LastFour::Show, Some("üäöü")),
        ];
        for (name, value, last_four, _) in cases {
            let value = SecretString::from(value);
            let expires_at = Some(NOON);
            secrets.put_one(&NewSecret { owner: OWNER, name, value: &value, last_four, expires_at }).await.unwrap();
        }
        let expected: Vec<SecretInfo> = cases
            .into_iter()
            .map(|(name, _, _, last_four)| SecretInfo {
                name: name.to_owned(),
                last_four: last_four.map(str::to_owned),
                set_at: NOON,
                set_by: "system".to_owned(),
                expires_at: Some(NOON),
            })
            .collect();
        assert_eq!(secrets.describe(OWNER).await.unwrap(), expected);
        assert_eq!(store.tenant(&ctx(2)).secrets().describe(OWNER).await.unwrap(), vec![]);
    }

    async fn a_value_copied_elsewhere_does_not_open(test) {
        let store = test.store.clone();
        let intruder = test.without_isolation().await;
        install(&store).await;
        for (tenant, owner) in [(1, OWNER), (2, OWNER), (1, OTHER_ROW), (1, OTHER_TABLE)] {
            put(&store, tenant, owner, "api_key", "the right value").await;
        }
        put(&store, 1, SecretOwner { row_id: "0c", ..OWNER }, "other_name", CANARY).await;
        for (tenant, owner) in [(2, OWNER), (1, OTHER_ROW), (1, OTHER_TABLE)] {
            let copied = execute(&intruder, &format!(
                "UPDATE secrets SET sealed = (SELECT sealed FROM secrets
                    WHERE tenant_id = 1 AND owner_table = 'integrations' AND owner_id = '0a')
                 WHERE tenant_id = {tenant} AND owner_table = '{}' AND owner_id = '{}'", owner.table, owner.row_id
            )).await;
            assert_eq!(copied, 1);
            let refused = open(&store, tenant, owner).await.unwrap_err();
            assert!(matches!(refused, StoreError::Corrupt { what: "secret" }), "{refused}");
        }
        execute(&intruder, "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'other_name')
            WHERE tenant_id = 1 AND owner_table = 'integrations' AND owner_id = '0a'").await;
        assert!(open(&store, 1, OWNER).await.is_err(), "another name");
        execute(&store, "INSERT INTO data_keys (version, wrapped, created_at) SELECT 2, wrapped, 0 FROM data_keys").await;
        execute(&intruder, "UPDATE secrets SET key_version = 2 WHERE name = 'other_name'").await;
        assert!(open(&store, 1, SecretOwner { row_id: "0c", ..OWNER }).await.is_err(), "another key version");
    }

    async fn damaged_values_do_not_open(test) {
        let store = test.store.clone();
        let intruder = test.without_isolation().await;
        install(&store).await;
        for damaged in ["X''", "X'00'", "X'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627'"] {
            put(&store, 1, OWNER, "api_key", CANARY).await;
            let bytes = match store.engine() {
                crate::Engine::Sqlite => damaged.to_owned(),
                crate::Engine::Postgres => format!("'\\x{}'::bytea", damaged.trim_start_matches("X'").trim_end_matches('\'')),
            };
            execute(&intruder, &format!("UPDATE secrets SET sealed = {bytes}")).await;
            assert!(matches!(open(&store, 1, OWNER).await, Err(StoreError::Corrupt { what: "secret" })));
        }
    }

    async fn another_root_key_is_refused_and_the_own_one_opens_again(test) {
        install(&test.store).await;
        put(&test.store, 1, OWNER, "api_key", CANARY).await;
        test.store.close().await;
        let other = RootKey::generate();
        let refused = Store::open(&test.location, &other).await.map(drop).unwrap_err();
        let told = refused.to_string();
        assert!(matches!(refused, StoreError::OtherRootKey { .. }), "{told}");
        assert!(told.contains(&other.fingerprint()) && told.contains(&test.root_key.fingerprint()), "{told}");
        let text = test.root_key.to_base64();
        let same = RootKey::from_base64(text.expose_secret()).unwrap();
        let again = Store::open(&test.location, &same).await.unwrap();
        assert_eq!(open(&again, 1, OWNER).await.unwrap()[0].1, CANARY);
    }

    /// Rows of an earlier version do not say which root key they need.
    async fn a_data_key_of_unknown_root_is_named_when_it_opens(test) {
        execute(&test.store, "UPDATE data_keys SET root_key_fingerprint = NULL").await;
        let other = RootKey::generate();
        let refused = Store::open(&test.location, &other).await.map(drop).unwrap_err();
        assert!(matches!(&refused, StoreError::OtherRootKey { needed: None, .. }), "{refused}");
        assert_eq!(test.store.data_keys().await.unwrap()[0].root_key, None);
        Store::open(&test.location, &test.root_key).await.unwrap();
        let named = test.store.data_keys().await.unwrap().remove(0).root_key;
        assert_eq!(named, Some(test.root_key.fingerprint()));
    }

    async fn a_damaged_data_key_is_no_wrong_root_key(test) {
        let bytes = match test.store.engine() {
            crate::Engine::Sqlite => "X'00ff'",
            crate::Engine::Postgres => "'\\x00ff'::bytea",
        };
        execute(&test.store, &format!("UPDATE data_keys SET wrapped = {bytes}")).await;
        let refused = Store::open(&test.location, &test.root_key).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { what: "data key" }), "{refused}");
    }

    async fn two_nodes_that_start_at_once_agree_on_the_data_key(test) {
        execute(&test.store, "DELETE FROM data_keys").await;
        let (one, two) = tokio::join!(
            Keyring::load(&test.store.db, test.root_key.clone().into()),
            Keyring::load(&test.store.db, test.root_key.clone().into()),
        );
        let place = Place { tenant: TenantId(1), table: "t", row_id: "r", name: "n" };
        let sealed = one.unwrap().seal(1, &place, &CANARY.into()).unwrap();
        assert_eq!(two.unwrap().open(1, &place, &sealed).unwrap().expose_secret(), CANARY);
    }
}

#[tokio::test]
async fn neither_values_nor_keys_are_in_the_database_files() {
    let folder = tempfile::tempdir().unwrap();
    let test = crate::testing::sqlite(folder.path()).await;
    install(&test.store).await;
    put(&test.store, 1, OWNER, "api_key", CANARY).await;
    let setup = test.store.create_setup_token().await.unwrap().unwrap();
    let Location::File(path) = &test.location else { panic!("SQLite is a file") };
    let search_all = || {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.extend(std::fs::read(path.with_extension("db-wal")).unwrap_or_default());
        assert!(contains(&bytes, b"api_key"), "the search finds what is there");
        assert!(!contains(&bytes, CANARY.as_bytes()));
        assert!(!contains(&bytes, &CANARY.as_bytes()[2..14]));
        assert!(!contains(&bytes, setup.expose_secret().as_bytes()));
        assert!(!contains(&bytes, test.root_key.bytes()));
    };
    search_all();
    test.store.close().await;
    search_all();
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
