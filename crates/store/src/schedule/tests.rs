use std::time::Duration;

use domain::{Actor, Ctx, Time, id::TenantId};

use super::*;
use crate::{
    db::{Text, args},
    on_both_engines,
    people::InstallationKind,
};

const NOON: Time = Time(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn ctx(tenant: i64) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: String::new(), now: NOON }
}

async fn install(store: &Store) {
    store.installation(InstallationKind::Serve).await.unwrap();
    let second = Text::Composed("INSERT INTO tenants (id, name, created_at) VALUES (2, 'two', 0)".to_owned());
    store.db.write(second, args![]).await.unwrap();
}

fn sync_job() -> NewJob<'static> {
    NewJob {
        tenant: TenantId(1),
        kind: "sync",
        dedup_key: Some("sync 0a".to_owned()),
        group_key: None,
        payload: "{}".to_owned(),
        priority: 5,
        run_at: NOON,
        max_attempts: 3,
    }
}

on_both_engines! {
    async fn what_is_due_is_listed_across_tenants_the_oldest_first(test) {
        let store = test.store;
        install(&store).await;
        store.tenant(&ctx(1)).schedules().set("0a", "sync", NOON + HOUR).await.unwrap();
        store.tenant(&ctx(1)).schedules().set("0a", "sync", NOON).await.unwrap();
        store.tenant(&ctx(1)).schedules().set("0a", "presence", NOON + HOUR).await.unwrap();
        store.tenant(&ctx(2)).schedules().set("0a", "sync", NOON - HOUR).await.unwrap();
        let due = store.due_schedules(NOON, 10).await.unwrap();
        let told: Vec<(i64, &str, Time)> = due.iter().map(|due| (due.tenant.0, due.kind.as_str(), due.next_at)).collect();
        assert_eq!(told, vec![(2, "sync", NOON - HOUR), (1, "sync", NOON)]);
        assert_eq!(store.due_schedules(NOON, 1).await.unwrap().len(), 1);

        let mut tx = store.db.begin().await.unwrap();
        store.tenant(&ctx(1)).schedules().remove_all(&mut tx, "0a").await.unwrap();
        tx.commit().await.unwrap();
        assert!(store.tenant(&ctx(1)).schedules().list("0a").await.unwrap().is_empty());
        let left = store.tenant(&ctx(2)).schedules().list("0a").await.unwrap();
        assert_eq!(left, vec![("sync".to_owned(), NOON - HOUR)], "the other tenant's stays");
    }

    async fn of_two_nodes_one_fires(test) {
        let store = test.store;
        install(&store).await;
        store.tenant(&ctx(1)).schedules().set("0a", "sync", NOON).await.unwrap();
        let due = store.due_schedules(NOON, 10).await.unwrap().remove(0);
        let job = sync_job();
        let (one, two) = tokio::join!(
            store.fire(&due, NOON + HOUR, &job, NOON),
            store.fire(&due, NOON + HOUR, &job, NOON),
        );
        let ends = [one.unwrap(), two.unwrap()];
        assert!(ends.contains(&Fired::Lost), "{ends:?}");
        assert_eq!(ends.iter().filter(|end| matches!(end, Fired::Queued(_))).count(), 1);
        assert_eq!(store.queue_figures().await.unwrap().ready, 1);
        let next = store.due_schedules(NOON + HOUR, 10).await.unwrap().remove(0);
        assert_eq!(next.next_at, NOON + HOUR);
        assert_eq!(store.fire(&next, NOON + 2 * HOUR, &job, NOON).await.unwrap(), Fired::Waiting);
        assert!(!store.advance_schedule(&next, NOON).await.unwrap());
        let last = store.due_schedules(NOON + 2 * HOUR, 10).await.unwrap().remove(0);
        assert!(store.advance_schedule(&last, NOON + 3 * HOUR).await.unwrap());
    }
}
