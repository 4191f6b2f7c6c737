use std::time::Duration;

use domain::{Actor, Ctx, Time, id::TenantId};

use super::*;
use crate::{
    Store,
    db::{Text, args},
    on_both_engines,
};

const NOON: Time = Time(1_800_000_000_000);
const LEASE: Duration = Duration::from_secs(60);

fn job(kind: &str) -> NewJob<'_> {
    NewJob {
        tenant: TenantId(1),
        kind,
        dedup_key: None,
        group_key: None,
        payload: "{}".to_owned(),
        priority: 5,
        run_at: NOON,
        max_attempts: 3,
    }
}

fn grouped<'a>(kind: &'a str, group: &str) -> NewJob<'a> {
    NewJob { group_key: Some(group.to_owned()), ..job(kind) }
}

fn keyed<'a>(kind: &'a str, key: &str) -> NewJob<'a> {
    NewJob { dedup_key: Some(key.to_owned()), ..job(kind) }
}

async fn add(store: &Store, new: NewJob<'_>) -> Option<JobId> {
    store.enqueue(&new, NOON).await.unwrap()
}

async fn claim(store: &Store, owner: &str, most: usize, now: Time) -> Vec<Job> {
    let claim = Claim { owner, kinds: &["a", "b", "c"], most, lease: LEASE };
    store.claim(&claim, now).await.unwrap()
}

async fn claim_kinds(store: &Store, owner: &str, now: Time) -> String {
    claim(store, owner, 10, now).await.into_iter().map(|job| job.kind).collect::<Vec<_>>().join(" ")
}

/// State, attempts and error of each job, by id.
async fn rows(store: &Store) -> Vec<(String, i64, Option<String>)> {
    let sql = Text::Composed("SELECT state, attempts, last_error FROM jobs ORDER BY id".to_owned());
    store.db.all(sql, args![]).await.unwrap()
}

on_both_engines! {
    async fn jobs_run_by_priority_then_time_when_they_are_due(test) {
        let store = test.store;
        add(&store, NewJob { run_at: NOON + LEASE, ..job("c") }).await;
        add(&store, NewJob { priority: 9, ..job("b") }).await;
        add(&store, job("a")).await;
        add(&store, job("unknown")).await;
        assert_eq!(claim_kinds(&store, "w", NOON).await, "a b");
        assert_eq!(claim_kinds(&store, "w", NOON).await, "");
        assert_eq!(claim_kinds(&store, "w", NOON + LEASE - Duration::from_millis(1)).await, "");
        let figures = store.queue_figures().await.unwrap();
        assert_eq!((figures.ready, figures.leased, figures.next_due), (2, 2, Some(NOON)));
    }

    async fn done_jobs_go(test) {
        let store = test.store;
        let id = add(&store, job("a")).await.unwrap();
        let claimed = claim(&store, "w", 1, NOON).await;
        let expected = Job { id, tenant: TenantId(1), kind: "a".to_owned(), payload: "{}".to_owned(), attempt: 1, max_attempts: 3 };
        assert_eq!(claimed, vec![expected]);
        assert!(!store.done("other", id).await.unwrap());
        assert!(store.done("w", id).await.unwrap());
        assert!(!store.done("w", id).await.unwrap());
        assert_eq!(store.queue_figures().await.unwrap(), QueueFigures::default());
    }

    async fn a_job_waits_once_per_key_and_may_be_queued_again_while_it_runs(test) {
        let store = test.store;
        let first = add(&store, keyed("a", "sync 1")).await.unwrap();
        assert_eq!(add(&store, keyed("a", "sync 1")).await, None);
        assert!(add(&store, NewJob { priority: 9, ..keyed("a", "sync 2") }).await.is_some());
        assert_eq!(claim(&store, "w", 1, NOON).await[0].id, first);
        let second = add(&store, keyed("a", "sync 1")).await;
        assert!(second.is_some(), "what changed meanwhile needs another look");
        assert_eq!(add(&store, keyed("a", "sync 1")).await, None);
        // The first goes back beside the second: neither is lost, and the key stays with one.
        assert!(store.retry("w", first, NOON, "x").await.unwrap());
        assert_eq!(claim_kinds(&store, "w", NOON).await, "a a a");
    }

    async fn jobs_of_one_key_come_back_whichever_way(test) {
        let store = test.store;
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(add(&store, keyed("a", "k")).await.unwrap());
            assert_eq!(claim(&store, "w", 1, NOON).await.len(), 1);
        }
        add(&store, keyed("a", "k")).await.unwrap();
        assert!(store.give_back("w", running[0]).await.unwrap());
        assert!(store.retry("w", running[1], NOON, "x").await.unwrap());
        assert_eq!(claim(&store, "v", 10, NOON + LEASE).await.len(), 4, "the third by the end of its lease");
    }

    async fn of_a_group_one_job_runs_at_a_time(test) {
        let store = test.store;
        for (priority, kind, group) in [(2, "a", "g"), (3, "b", "g"), (4, "c", "h")] {
            add(&store, NewJob { priority, ..grouped(kind, group) }).await;
        }
        assert_eq!(claim_kinds(&store, "w", NOON).await, "a c");
        assert_eq!(claim_kinds(&store, "w", NOON).await, "");
        let first = NewJob { priority: 1, ..grouped("c", "g") };
        add(&store, first).await;
        let running: Vec<(String,)> =
            store.db.all(Text::Composed("SELECT id FROM jobs WHERE kind = 'a'".to_owned()), args![]).await.unwrap();
        store.done("w", JobId::from_db(&running[0].0).unwrap()).await.unwrap();
        assert_eq!(claim_kinds(&store, "w", NOON).await, "c", "the most urgent of the group");
    }

    async fn a_kind_without_room_does_not_hold_up_its_group(test) {
        let store = test.store;
        add(&store, NewJob { priority: 1, ..grouped("a", "g") }).await;
        add(&store, grouped("b", "g")).await;
        let claim = Claim { owner: "w", kinds: &["b"], most: 10, lease: LEASE };
        assert_eq!(store.claim(&claim, NOON).await.unwrap()[0].kind, "b");
    }

    async fn a_lease_that_ended_can_be_taken_and_the_old_worker_has_no_say(test) {
        let store = test.store;
        let id = add(&store, grouped("a", "g")).await.unwrap();
        claim(&store, "one", 1, NOON).await;
        assert!(store.extend("one", id, LEASE, NOON + LEASE / 2).await.unwrap());
        assert!(claim(&store, "two", 1, NOON + LEASE).await.is_empty(), "it was extended");
        let late = NOON + LEASE + LEASE / 2;
        let taken = claim(&store, "two", 1, late).await;
        assert_eq!((taken[0].id, taken[0].attempt), (id, 2));
        assert!(!store.extend("one", id, LEASE, late).await.unwrap());
        assert!(!store.done("one", id).await.unwrap());
        assert!(!store.retry("one", id, late, "x").await.unwrap());
        assert!(!store.give_back("one", id).await.unwrap());
        assert!(!store.bury("one", id, "x").await.unwrap());
        assert!(store.done("two", id).await.unwrap());
    }

    async fn a_job_that_failed_too_often_is_kept_as_dead(test) {
        let store = test.store;
        let id = add(&store, job("a")).await.unwrap();
        let long_error = "ü".repeat(600);
        for attempt in 1..=3 {
            assert_eq!(claim(&store, "w", 1, NOON).await[0].attempt, attempt);
            assert!(store.retry("w", id, NOON, &long_error).await.unwrap());
        }
        assert!(claim(&store, "w", 1, NOON + 100 * LEASE).await.is_empty());
        assert_eq!(rows(&store).await, vec![("dead".to_owned(), 3, Some("ü".repeat(500)))]);
        assert_eq!(store.queue_figures().await.unwrap().dead, 1);
    }

    async fn a_job_that_kills_its_worker_is_kept_as_dead(test) {
        let store = test.store;
        add(&store, job("a")).await.unwrap();
        let mut now = NOON;
        for _ in 0..3 {
            assert_eq!(claim(&store, "w", 1, now).await.len(), 1);
            now = now + LEASE;
        }
        assert!(claim(&store, "w", 1, now).await.is_empty());
        assert_eq!(rows(&store).await[0].0, "dead");
    }

    async fn buried_jobs_are_kept_and_do_not_run(test) {
        let store = test.store;
        let id = add(&store, job("a")).await.unwrap();
        claim(&store, "w", 1, NOON).await;
        assert!(store.bury("w", id, "no such integration").await.unwrap());
        assert_eq!(rows(&store).await, vec![("dead".to_owned(), 1, Some("no such integration".to_owned()))]);
        assert!(claim(&store, "w", 1, NOON + 100 * LEASE).await.is_empty());
    }

    async fn giving_back_does_not_count_the_attempt(test) {
        let store = test.store;
        let id = add(&store, job("a")).await.unwrap();
        for _ in 0..5 {
            assert_eq!(claim(&store, "w", 1, NOON).await[0].attempt, 1);
            assert!(store.give_back("w", id).await.unwrap());
        }
    }

    async fn many_workers_share_the_jobs_without_a_job_taken_twice(test) {
        let store = test.store;
        for n in 0..40 {
            add(&store, grouped("a", &format!("g{}", n % 8))).await;
        }
        let worker = async |owner: String| {
            let mut taken = Vec::new();
            let mut idle = 0;
            while idle < 30 {
                let jobs = claim(&store, &owner, 2, NOON).await;
                idle = if jobs.is_empty() { idle + 1 } else { 0 };
                for job in jobs {
                    tokio::task::yield_now().await;
                    assert!(store.done(&owner, job.id).await.unwrap());
                    taken.push(job.id);
                }
            }
            taken
        };
        let (a, b, c, d) = tokio::join!(
            worker("a".to_owned()), worker("b".to_owned()), worker("c".to_owned()), worker("d".to_owned())
        );
        let all: std::collections::BTreeSet<JobId> = [&a, &b, &c, &d].into_iter().flatten().copied().collect();
        assert_eq!((all.len(), a.len() + b.len() + c.len() + d.len()), (40, 40));
    }

    async fn a_job_is_queued_with_its_transaction_or_not_at_all(test) {
        let store = test.store;
        let mut tx = store.db.begin().await.unwrap();
        enqueue(&mut tx, &job("a"), NOON).await.unwrap().unwrap();
        drop(tx);
        assert!(claim(&store, "w", 1, NOON).await.is_empty());
    }

    async fn queueing_wakes_a_waiting_worker(test) {
        let store = test.store;
        let long = Duration::from_secs(3_600);
        let wait = tokio::time::timeout(Duration::from_secs(30), Queue::wait(&store, long));
        let (woken, _) = tokio::join!(wait, add(&store, job("a")));
        assert!(woken.is_ok());
    }
}

#[tokio::test]
async fn a_job_of_another_node_wakes_through_the_database() {
    let test = crate::testing::postgres().await;
    let here = test.store;
    let there = Store::open(&test.location, &test.root_key).await.unwrap();
    let listener = here.listen().expect("PostgreSQL can tell");
    // The first wake says that listening has begun.
    let long = Duration::from_secs(30);
    tokio::time::timeout(long, here.wake.notify.notified()).await.unwrap();
    there.enqueue(&job("a"), NOON).await.unwrap();
    tokio::time::timeout(long, here.wake.notify.notified()).await.unwrap();
    here.close().await;
    tokio::time::timeout(long, listener).await.expect("it ends with the store").unwrap();
}

#[tokio::test]
async fn sqlite_has_no_other_nodes_to_listen_to() {
    let folder = tempfile::tempdir().unwrap();
    assert!(crate::testing::sqlite(folder.path()).await.store.listen().is_none());
}

#[tokio::test]
async fn events_of_another_node_wake_readers_through_the_database() {
    let test = crate::testing::postgres().await;
    test.store.installation(crate::people::InstallationKind::Serve).await.unwrap();
    let here = test.store;
    let there = Store::open(&test.location, &test.root_key).await.unwrap();
    let listener = here.listen().expect("PostgreSQL can tell");
    let long = Duration::from_secs(30);
    tokio::time::timeout(long, here.wake.notify.notified()).await.unwrap();
    let ctx = Ctx { tenant: TenantId(1), actor: Actor::system(), request_id: String::new(), now: NOON };
    let told = tokio::time::timeout(long, here.events_committed());
    let tenant = there.tenant(&ctx);
    let clients = tenant.clients();
    let (told, made) = tokio::join!(told, clients.create("Contoso"));
    made.unwrap();
    told.unwrap();
    here.close().await;
    tokio::time::timeout(long, listener).await.expect("it ends with the store").unwrap();
}
