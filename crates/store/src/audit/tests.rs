use domain::{
    Actor, ActorKind, Ctx, Time,
    audit::{AuditEntry, AuditFilter, Outcome},
    auth::{Permissions, Role},
    id::{TenantId, TypedId, UserId},
    page::PageRequest,
    scope::ClientScope,
};
use futures::future::join_all;
use secrecy::SecretString;
use serde_json::json;

use super::{
    Act, chain,
    checkpoint::{Checkpoint, CheckpointKey},
    verify::{Bad, Fault, Report},
};
use crate::{
    Engine, RootKey, Store, StoreError,
    db::{Text, args},
    new_id, on_both_engines,
    people::{InstallationKind, NewUser},
    testing::{TestStore, second_tenant},
};

const NOON: Time = Time(1_800_000_000_000);

fn ctx(tenant: i64, now: Time) -> Ctx {
    let user = Some(UserId::from_uuid(uuid::Uuid::from_u128(7)));
    let name = "ada@example.com".to_owned();
    let actor = Actor {
        kind: ActorKind::Person,
        user,
        token: None,
        name,
        permissions: Permissions::all(),
        clients: ClientScope::All,
    };
    Ctx { tenant: TenantId(tenant), actor, request_id: "req-1".to_owned(), now }
}

async fn install(store: &Store) {
    store.installation(InstallationKind::Serve).await.unwrap();
}

async fn note(store: &Store, n: i64) {
    let act = Act::new("thing.change").to(format!("thing_{n}")).with("n", n);
    store.tenant(&ctx(1, Time(NOON.0 + n))).audit().note(act).await.unwrap();
}

/// Notes and seals `n` acts.
async fn sealed(store: &Store, n: i64) {
    for n in 1..=n {
        note(store, n).await;
    }
    assert_eq!(store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap(), usize::try_from(n).unwrap());
}

async fn verify(store: &Store, checkpoints: &[Checkpoint]) -> Report {
    store.tenant(&ctx(1, NOON)).audit().verify(checkpoints).await.unwrap()
}

async fn all(store: &Store, filter: &AuditFilter) -> Vec<AuditEntry> {
    let page = PageRequest { limit: 200, cursor: None };
    store.tenant(&ctx(1, NOON)).audit().list(filter, &page).await.unwrap().items
}

async fn signed(store: &Store, key: &CheckpointKey) -> Checkpoint {
    let tenant = ctx(1, NOON);
    store.tenant(&tenant).audit().checkpoint(key, |_| Ok(())).await.unwrap().unwrap()
}

fn checkpoint_key() -> CheckpointKey {
    CheckpointKey::from_seed(&RootKey::generate()).unwrap()
}

/// Changes rows as somebody with full access to the database.
async fn tamper(test: &TestStore, statements: &[String]) {
    let open = test.without_isolation().await;
    for statement in statements {
        open.db.write(Text::Composed(statement.clone()), args![]).await.unwrap();
    }
}

fn bad(seq: i64, fault: Fault) -> Option<(i64, Fault)> {
    Some((seq, fault))
}

fn found(report: &Report) -> Option<(i64, Fault)> {
    report.bad.as_ref().map(|bad| (bad.seq.unwrap_or(0), bad.fault))
}

on_both_engines! {
    async fn an_act_and_its_row_are_one(test) {
        install(&test.store).await;
        let store = &test.store;
        let tenant = ctx(1, NOON);
        let client = store.tenant(&tenant).clients().create("Northwind").await.unwrap();
        let refused = store.tenant(&tenant).clients().create("northwind").await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })));
        let entries = all(store, &AuditFilter::default()).await;
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(
            (entry.act.as_str(), entry.target.clone(), entry.target_name.as_deref(), entry.outcome),
            ("client.create", Some(client.id.to_string()), Some("Northwind"), Outcome::Done)
        );
        assert_eq!((entry.at, entry.seq, entry.actor_kind), (NOON, None, ActorKind::Person));
        assert_eq!((entry.actor_name.as_str(), entry.request_id.as_str()), ("ada@example.com", "req-1"));
        assert_eq!(entry.user, tenant.actor.user);
        let mut tx = store.tenant(&tenant).db().begin().await.unwrap();
        store.tenant(&tenant).record(&mut tx, Act::new("thing.change")).await.unwrap();
        drop(tx);
        assert_eq!(all(store, &AuditFilter::default()).await.len(), 1, "rolled back with its transaction");
    }

    async fn secrets_are_named_and_not_kept(test) {
        install(&test.store).await;
        let store = &test.store;
        let audit = ctx(1, NOON);
        let act = |secret: &str| {
            Act::new("thing.change")
                .with_secret("api_key", &SecretString::from(secret))
                .with("long", "x".repeat(5_000))
                .with("many", vec![1; 500])
        };
        for secret in ["canary-1", "canary-1", "canary-2"] {
            store.tenant(&audit).audit().note(act(secret)).await.unwrap();
        }
        let entries = all(store, &AuditFilter::default()).await;
        let text = entries[0].arguments.to_string();
        assert!(text.contains("\"api_key\":\"(secret)\"") && !text.contains("canary"), "{text}");
        assert!(text.len() < 2_000, "{}", text.len());
        let mut digests: Vec<&str> = entries.iter().map(|entry| entry.arguments_digest.as_str()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 2, "the same arguments have the same digest");
    }

    async fn the_chain_is_whole_and_its_tail_is_told_apart(test) {
        install(&test.store).await;
        let store = &test.store;
        assert_eq!(verify(store, &[]).await, Report::default());
        sealed(store, 1_000).await;
        assert_eq!(store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap(), 0);
        for n in 2_001..=2_003 {
            note(store, n).await;
        }
        let report = verify(store, &[]).await;
        assert_eq!((report.sealed, report.unsealed, report.bad), (1_000, 3, None));
    }

    async fn every_column_is_bound(test) {
        install(&test.store).await;
        let store = &test.store;
        sealed(store, 3).await;
        for column in ["actor_kind", "actor_name", "user_id", "token_id", "request_id", "act", "target",
            "target_name", "outcome", "rule", "arguments", "arguments_digest", "mac"]
        {
            let keep = format!("UPDATE audit_log SET {column} = 'x' WHERE seq = 2");
            let before: (Option<String>, i64) = {
                let text = Text::Composed(format!("SELECT {column}, seq FROM audit_log WHERE tenant_id = $1 AND seq = 2"));
                store.tenant(&ctx(1, NOON)).db().one(text, args![TenantId(1)]).await.unwrap()
            };
            tamper(&test, &[keep]).await;
            assert_eq!(found(&verify(store, &[]).await), bad(2, Fault::Changed), "{column}");
            let back = match before.0 {
                Some(text) => format!("UPDATE audit_log SET {column} = '{text}' WHERE seq = 2"),
                None => format!("UPDATE audit_log SET {column} = NULL WHERE seq = 2"),
            };
            tamper(&test, &[back]).await;
            assert_eq!(found(&verify(store, &[]).await), None, "{column}");
        }
        tamper(&test, &["UPDATE audit_log SET at = at + 1 WHERE seq = 3".to_owned()]).await;
        assert_eq!(found(&verify(store, &[]).await), bad(3, Fault::Changed));
    }

    async fn a_row_taken_away_is_missed(test) {
        install(&test.store).await;
        sealed(&test.store, 5).await;
        tamper(&test, &["DELETE FROM audit_log WHERE seq = 3".to_owned()]).await;
        assert_eq!(found(&verify(&test.store, &[]).await), bad(3, Fault::Missing));
    }

    async fn a_row_put_in_is_found(test) {
        install(&test.store).await;
        sealed(&test.store, 5).await;
        let id = new_id::<domain::id::AuditId>(NOON).to_db();
        let copied = "at, actor_kind, actor_name, user_id, token_id, request_id, act, target, target_name, outcome, \
            rule, arguments, arguments_digest, mac";
        tamper(&test, &[format!(
            "INSERT INTO audit_log (tenant_id, id, {copied}) SELECT tenant_id, '{id}', {copied} FROM audit_log WHERE seq = 2"
        )]).await;
        let report = verify(&test.store, &[]).await;
        let fault = report.bad.map(|Bad { seq, fault, .. }| (seq, fault));
        assert_eq!(fault, Some((None, Fault::Changed)), "found before it is sealed");
        test.store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap();
        assert_eq!(found(&verify(&test.store, &[]).await), bad(6, Fault::Changed), "and after");
    }

    async fn rows_that_change_places_are_found(test) {
        install(&test.store).await;
        sealed(&test.store, 5).await;
        tamper(&test, &[
            "UPDATE audit_log SET seq = 99 WHERE seq = 2".to_owned(),
            "UPDATE audit_log SET seq = 2 WHERE seq = 4".to_owned(),
            "UPDATE audit_log SET seq = 4 WHERE seq = 99".to_owned(),
        ]).await;
        assert_eq!(found(&verify(&test.store, &[]).await), bad(2, Fault::Moved));
    }

    async fn a_cut_tail_shows_against_a_checkpoint(test) {
        install(&test.store).await;
        sealed(&test.store, 5).await;
        let checkpoint = signed(&test.store, &checkpoint_key()).await;
        assert_eq!(found(&verify(&test.store, std::slice::from_ref(&checkpoint)).await), None);
        tamper(&test, &["DELETE FROM audit_log WHERE seq > 3".to_owned()]).await;
        assert_eq!(found(&verify(&test.store, &[]).await), None, "the chain alone cannot show it");
        assert_eq!(found(&verify(&test.store, std::slice::from_ref(&checkpoint)).await), bad(4, Fault::Cut));
        for n in 10..=14 {
            note(&test.store, n).await;
        }
        test.store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap();
        assert_eq!(found(&verify(&test.store, &[checkpoint]).await), bad(5, Fault::Rewritten), "nor that it grew again");
    }

    async fn a_chain_written_anew_with_the_key_shows_against_a_checkpoint(test) {
        install(&test.store).await;
        let store = &test.store;
        sealed(store, 5).await;
        let checkpoint = signed(store, &checkpoint_key()).await;
        // Whoever has database and root key: other content, sealed again from the start.
        let key = crate::audit::key::find(&store.tenant(&ctx(1, NOON))).await.unwrap().unwrap();
        let open = test.without_isolation().await;
        let rows: Vec<chain::Row> = open.db.all(
            Text::Composed("SELECT id, at, actor_kind, actor_name, user_id, token_id, request_id, act, target, \
                target_name, outcome, rule, arguments, arguments_digest FROM audit_log WHERE seq = 3".to_owned()),
            args![],
        ).await.unwrap();
        let forged = chain::Row { actor_name: "eve".to_owned(), ..rows[0].clone() };
        let mac = key.mac(TenantId(1), &forged);
        tamper(&test, &[
            format!("UPDATE audit_log SET actor_name = 'eve', mac = '{mac}' WHERE seq = 3"),
            "UPDATE audit_log SET seq = NULL, previous = NULL, hash = NULL".to_owned(),
        ]).await;
        store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap();
        let report = verify(store, &[]).await;
        assert_eq!((report.sealed, report.bad), (5, None), "the chain alone cannot show it");
        assert_eq!(found(&verify(store, &[checkpoint]).await), bad(5, Fault::Rewritten));
    }

    async fn a_lost_key_shows(test) {
        install(&test.store).await;
        sealed(&test.store, 2).await;
        tamper(&test, &["DELETE FROM secrets WHERE owner_table = 'audit_log'".to_owned()]).await;
        assert_eq!(found(&verify(&test.store, &[]).await), bad(1, Fault::Changed));
    }

    async fn many_writers_and_sealers_break_nothing(test) {
        install(&test.store).await;
        let store = &test.store;
        let writer = async |writer: i64| {
            for n in 0..8 {
                let tenant = ctx(1, Time(NOON.0 + n));
                let tenant = store.tenant(&tenant);
                let mut tx = tenant.db().begin().await.unwrap();
                let act = Act::new("thing.change").with("n", json!([writer, n]));
                tenant.record(&mut tx, act).await.unwrap();
                // Each third is taken back.
                if (writer + n) % 3 != 0 {
                    tx.commit().await.unwrap();
                }
            }
        };
        let sealer = async || {
            for _ in 0..40 {
                store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(join_all((0..32).map(writer)), sealer(), sealer());
        while store.tenant(&ctx(1, NOON)).audit().seal().await.unwrap() > 0 {}
        let report = verify(store, &[]).await;
        let kept = (0..32).flat_map(|w| (0..8).map(move |n| w + n)).filter(|sum| sum % 3 != 0).count();
        assert_eq!((report.sealed, report.unsealed, report.bad), (kept as i64, 0, None));
    }

    async fn a_checkpoint_is_kept_before_it_counts(test) {
        install(&test.store).await;
        let store = &test.store;
        let key = checkpoint_key();
        let tenant = ctx(1, NOON);
        assert_eq!(store.tenant(&tenant).audit().checkpoint(&key, |_| Ok(())).await.unwrap(), None, "nothing to sign");
        sealed(store, 2).await;
        let disk_full = |_: &Checkpoint| Err(std::io::ErrorKind::StorageFull.into());
        assert!(store.tenant(&tenant).audit().checkpoint(&key, disk_full).await.is_err());
        assert_eq!(store.tenant(&tenant).audit().last_checkpoint_at().await.unwrap(), None);
        let made = signed(store, &key).await;
        assert_eq!((made.seq, store.tenant(&tenant).audit().last_checkpoint_at().await.unwrap()), (2, Some(NOON)));
        assert_eq!(store.tenant(&tenant).audit().checkpoint(&key, |_| Ok(())).await.unwrap(), None, "nothing new");
        assert!(made.is_signed_by(&[key.public()]));
        assert!(!made.is_signed_by(&[checkpoint_key().public()]), "another key");
        for changed in [
            Checkpoint { seq: 3, ..made.clone() },
            Checkpoint { hash: chain::START.to_owned(), ..made.clone() },
            Checkpoint { at: 1, ..made.clone() },
            Checkpoint { tenant: TenantId(2), ..made.clone() },
            Checkpoint { signature: String::new(), ..made.clone() },
        ] {
            assert!(!changed.is_signed_by(&[key.public()]), "{changed:?}");
        }
    }

    async fn the_log_is_found_by_what_people_look_for(test) {
        install(&test.store).await;
        let store = &test.store;
        for n in 1..=5 {
            note(store, n).await;
        }
        let late = ctx(1, Time(NOON.0 + 60_000));
        store.tenant(&late).audit().note(Act::new("session.create").refused("password")).await.unwrap();
        let count = async |filter: AuditFilter| all(store, &filter).await.len();
        let filter = AuditFilter::default;
        assert_eq!(count(AuditFilter { act: Some("thing.".to_owned()), ..filter() }).await, 5);
        assert_eq!(count(AuditFilter { act: Some("thing_".to_owned()), ..filter() }).await, 0, "no wildcard");
        assert_eq!(count(AuditFilter { target: Some("thing_3".to_owned()), ..filter() }).await, 1);
        assert_eq!(count(AuditFilter { outcome: Some(Outcome::Refused), ..filter() }).await, 1);
        assert_eq!(count(AuditFilter { user: late.actor.user, ..filter() }).await, 6);
        assert_eq!(count(AuditFilter { from: Some(Time(NOON.0 + 3)), ..filter() }).await, 4);
        assert_eq!(count(AuditFilter { until: Some(Time(NOON.0 + 3)), ..filter() }).await, 2);
        let mut page = PageRequest { limit: 4, cursor: None };
        let first = store.tenant(&late).audit().list(&filter(), &page).await.unwrap();
        assert_eq!((first.items.len(), first.items[0].rule.as_deref()), (4, Some("password")));
        page.cursor = first.next_cursor;
        let second = store.tenant(&late).audit().list(&filter(), &page).await.unwrap();
        assert_eq!((second.items.len(), second.next_cursor), (2, None));
    }

    async fn each_tenant_has_a_log_of_its_own(test) {
        install(&test.store).await;
        let store = &test.store;
        second_tenant(store).await;
        sealed(store, 2).await;
        let other = ctx(2, NOON);
        store.tenant(&other).audit().note(Act::new("thing.change")).await.unwrap();
        store.tenant(&other).audit().seal().await.unwrap();
        let page = PageRequest { limit: 50, cursor: None };
        let theirs = store.tenant(&other).audit().list(&AuditFilter::default(), &page).await.unwrap();
        assert_eq!((theirs.items.len(), theirs.items[0].seq), (1, Some(1)));
        let moved = "UPDATE audit_log SET tenant_id = 2, seq = 2 WHERE tenant_id = 1 AND seq = 2";
        tamper(&test, &[moved.to_owned()]).await;
        let report = store.tenant(&other).audit().verify(&[]).await.unwrap();
        assert_eq!(found(&report), bad(2, Fault::Changed), "a row of another tenant does not fit");
    }

    async fn people_leave_their_traces(test) {
        install(&test.store).await;
        let store = &test.store;
        let tenant = ctx(1, NOON);
        let new = NewUser { email: "bob@example.com", name: "Bob", role: Role::Admin.into(), password_hash: "secret-hash" };
        let bob = store.tenant(&tenant).users().create(&new).await.unwrap();
        let session = store.tenant(&tenant).sessions().create(bob.id, Some("Firefox")).await.unwrap();
        use secrecy::ExposeSecret;
        store.delete_session(session.secret.expose_secret(), NOON).await.unwrap();
        store.tenant(&tenant).users().set_password(bob.id, "other-hash").await.unwrap();
        let entries = all(store, &AuditFilter::default()).await;
        let mut acts: Vec<&str> = entries.iter().map(|entry| entry.act.as_str()).collect();
        acts.sort_unstable();
        assert_eq!(acts, ["session.create", "session.end", "user.create", "user.set_password"]);
        assert!(entries.iter().all(|entry| entry.target == Some(bob.id.to_string())));
        let all_text = format!("{entries:?}");
        assert!(!all_text.contains("secret-hash") && !all_text.contains(session.secret.expose_secret()));
    }
}

#[tokio::test]
async fn the_serving_role_cannot_change_what_was_done() {
    let test = crate::testing::postgres().await;
    install(&test.store).await;
    assert_eq!(test.store.engine(), Engine::Postgres);
    sealed(&test.store, 2).await;
    let tenant = ctx(1, NOON);
    for statement in [
        "UPDATE audit_log SET act = 'x' WHERE tenant_id = 1",
        "DELETE FROM audit_log WHERE tenant_id = 1",
        "DELETE FROM audit_checkpoints WHERE tenant_id = 1",
        "TRUNCATE audit_log",
    ] {
        let refused = store_write(&test.store, &tenant, statement).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(verify(&test.store, &[]).await.sealed, 2);
}

async fn store_write(store: &Store, tenant: &Ctx, statement: &str) -> crate::Result<u64> {
    store.tenant(tenant).db().write(Text::Composed(statement.to_owned()), args![]).await
}
