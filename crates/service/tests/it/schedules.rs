//! What recurs.

use domain::{
    Time,
    id::TypedId,
    page::PageRequest,
    sync::{RunKind, RunState, SyncRun},
};
use serde_json::json;
use service::{integration::Draft, sync::RunFilter};
use store::on_both_engines;

use crate::world::{ALL, World, lane};

async fn with_schedules(test: store::testing::TestStore, more: serde_json::Value) -> World {
    let world = World::mapped(test).await;
    let mut settings = json!({ "schedules_enabled": true });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let draft = Draft { settings: Some(settings), ..Draft::default() };
    world.services.integrations.update(&world.ctx(), world.id, draft, None).await.unwrap();
    world
}

async fn tick(world: &World) {
    world.services.scheduler().tick(world.time()).await.unwrap();
}

/// Runs that the schedule asked for.
async fn fired(world: &World) -> Vec<SyncRun> {
    let page = world.services.sync.list(&world.ctx(), RunFilter::default(), ALL).await.unwrap();
    page.items
        .into_iter()
        .filter(|run| run.requested_by == "system" && run.kind != RunKind::Details)
        .collect()
}

fn count(runs: &[SyncRun], kind: RunKind) -> usize {
    runs.iter().filter(|run| run.kind == kind).count()
}

async fn due(world: &World) -> Vec<(String, Time)> {
    world.test.store.tenant(&world.ctx()).schedules().list(&world.id.to_db()).await.unwrap()
}

on_both_engines! {
    async fn due_presence_and_device_syncs_are_asked_for_and_come_again(test) {
        let world = with_schedules(test, json!({})).await;
        tick(&world).await;
        assert!(fired(&world).await.is_empty(), "nothing is due yet");
        world.wait(200);
        tick(&world).await;
        let runs = fired(&world).await;
        assert_eq!((count(&runs, RunKind::Presence), count(&runs, RunKind::Devices)), (1, 0));
        world.work(lane(RunKind::Presence)).await;
        world.wait(3_700);
        tick(&world).await;
        world.work(lane(RunKind::Devices)).await;
        let runs = fired(&world).await;
        assert_eq!((count(&runs, RunKind::Presence), count(&runs, RunKind::Devices)), (2, 1));
        assert!(runs.iter().all(|run| run.state == RunState::Succeeded), "{runs:?}");
        assert!(due(&world).await.iter().all(|(_, at)| *at > world.time()));
    }

    async fn two_schedulers_at_once_fire_once(test) {
        let world = with_schedules(test, json!({})).await;
        world.wait(4_000);
        let (one, two) = (world.services.scheduler(), world.services.scheduler());
        let (first, second) = tokio::join!(one.tick(world.time()), two.tick(world.time()));
        first.unwrap();
        second.unwrap();
        world.work(lane(RunKind::Devices)).await;
        tick(&world).await;
        let runs = fired(&world).await;
        assert_eq!((count(&runs, RunKind::Presence), count(&runs, RunKind::Devices)), (1, 1));
    }

    async fn full_syncs_and_details_keep_out_of_quiet_hours_and_presence_does_not(test) {
        let all_day: Vec<u8> = (0..24).collect();
        let world = with_schedules(test, json!({ "quiet_hours": all_day })).await;
        for _ in 0..3 {
            world.wait(4_000);
            tick(&world).await;
            world.work(lane(RunKind::Presence)).await;
        }
        let runs = fired(&world).await;
        assert_eq!((count(&runs, RunKind::Presence), count(&runs, RunKind::Devices)), (3, 0));
        assert_eq!(world.assets().await.len(), 60);
        let filter = RunFilter { kind: Some(RunKind::Details), ..RunFilter::default() };
        let details = world.services.sync.list(&world.ctx(), filter, PageRequest::default()).await.unwrap();
        assert!(details.items.is_empty());
        assert_eq!(world.run(RunKind::Devices).await.state, RunState::Succeeded, "a person may");
        let details = world.services.sync.list(&world.ctx(), filter, PageRequest::default()).await.unwrap();
        assert_eq!(details.items.len(), 1);
    }

    async fn schedules_that_are_off_fire_nothing(test) {
        let world = with_schedules(test, json!({})).await;
        let off = Draft { settings: Some(json!({ "schedules_enabled": false })), ..Draft::default() };
        world.services.integrations.update(&world.ctx(), world.id, off, None).await.unwrap();
        world.wait(10_000);
        tick(&world).await;
        assert!(fired(&world).await.is_empty());
    }

    async fn disconnected_integration_fires_nothing_and_a_reconnected_one_does(test) {
        let world = with_schedules(test, json!({})).await;
        world.services.integrations.disconnect(&world.ctx(), world.id).await.unwrap();
        world.wait(10_000);
        tick(&world).await;
        assert!(fired(&world).await.is_empty() && due(&world).await.is_empty());
        let fields = [("tacticalrmm_api_key".to_owned(), crate::world::secret(&world.server.accounts().api_key))].into();
        let again = Draft { fields, ..Draft::default() };
        world.services.integrations.reconnect(&world.ctx(), world.id, again).await.unwrap();
        world.wait(10_000);
        tick(&world).await;
        assert_eq!(fired(&world).await.len(), 2);
    }

    async fn run_whose_job_died_is_ended_and_frees_its_kind(test) {
        let world = World::mapped(test).await;
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        assert!(world.queue().bury("test", job.id, "the worker died again").await.unwrap());
        tick(&world).await;
        assert_eq!(world.services.sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Queued);
        world.wait(61);
        tick(&world).await;
        let ended = world.services.sync.get(&world.ctx(), run.id).await.unwrap();
        assert_eq!(ended.state, RunState::Failed);
        assert!(ended.problem.unwrap().contains("worker_lost"));
        let next = world.run(RunKind::Devices).await;
        assert_ne!(next.id, run.id);
        assert_eq!(next.state, RunState::Succeeded);
    }

    async fn run_whose_job_waits_or_works_is_no_orphan(test) {
        let world = World::mapped(test).await;
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        world.wait(10_000);
        tick(&world).await;
        assert_eq!(world.services.sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Queued);
        world.claim(lane(RunKind::Devices)).await.unwrap();
        tick(&world).await;
        assert_eq!(world.services.sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Queued);
    }
}
