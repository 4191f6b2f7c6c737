//! Online, offline, overdue: by looks, and by the clock where nobody looked.

use domain::{
    event::kind,
    status::Status,
    sync::{RunKind, RunState},
};
use serde_json::json;
use simulator::faults::FaultKind;
use store::on_both_engines;

use crate::world::World;

async fn transitions(world: &World, seq: i64, agent: &str) -> Vec<serde_json::Value> {
    let subject = world.asset(agent).await.id.to_string();
    let events = world.events_since(seq).await;
    let of_agent = events.into_iter().filter(|event| event.subject_id == subject);
    of_agent.filter(|event| event.kind == kind::STATUS_CHANGED).filter_map(|event| event.data).collect()
}

on_both_engines! {
    async fn presence_pass_moves_last_seen_and_updates_nothing_else(test) {
        let world = World::synced(test).await;
        let before = world.assets().await;
        let seq = world.last_seq().await;
        world.pass(60);
        let run = world.run(RunKind::Presence).await;
        assert_eq!((run.state, run.counts.updated, run.counts.unchanged), (RunState::Succeeded, 0, 60));
        let after = world.assets().await;
        let moved = after.iter().filter(|(id, asset)| asset.presence.last_seen > before[*id].presence.last_seen);
        assert!(moved.count() > 30);
        for (id, asset) in &after {
            assert_eq!(asset.updated_at, before[id].updated_at);
            assert!(asset.observed_at > before[id].observed_at);
        }
        let kinds = world.kinds_since(seq).await;
        assert!(kinds.iter().all(|kind| kind == kind::STATUS_CHANGED), "{kinds:?}");
    }

    async fn silent_machine_goes_from_online_to_offline_to_overdue_by_looks_and_back(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let seq = world.last_seq().await;
        world.control().silence(&agent).unwrap();
        for (seconds, expected) in [(10, Status::Online), (6 * 60, Status::Offline), (40 * 60, Status::Overdue)] {
            world.pass(seconds);
            world.run(RunKind::Presence).await;
            assert_eq!(world.asset(&agent).await.status, expected);
        }
        world.control().wake(&agent).unwrap();
        world.run(RunKind::Presence).await;
        assert_eq!(world.asset(&agent).await.status, Status::Online);
        let expected = [
            json!({"from": "online", "to": "offline"}),
            json!({"from": "offline", "to": "overdue"}),
            json!({"from": "overdue", "to": "online"}),
        ];
        assert_eq!(transitions(&world, seq, &agent).await, expected);
    }

    async fn offline_turns_overdue_by_the_clock_without_a_look_and_online_stays(test) {
        let world = World::synced(test).await;
        let (silent, healthy) = (world.distinct_agent(1).await, world.distinct_agent(2).await);
        world.control().silence(&silent).unwrap();
        world.pass(6 * 60);
        world.run(RunKind::Presence).await;
        let seq = world.last_seq().await;
        world.wait(10 * 60);
        world.services.scheduler().tick(world.time()).await.unwrap();
        assert_eq!(world.asset(&silent).await.status, Status::Offline);
        world.wait(20 * 60);
        for _ in 0..2 {
            world.services.scheduler().tick(world.time()).await.unwrap();
        }
        assert_eq!(world.asset(&silent).await.status, Status::Overdue);
        assert_eq!(world.asset(&healthy).await.status, Status::Online);
        assert!(world.asset(&healthy).await.status_stale);
        let by_clock = json!({"from": "offline", "to": "overdue", "by": "clock"});
        assert_eq!(transitions(&world, seq, &silent).await, [by_clock]);
    }

    async fn look_corrects_what_the_clock_assumed(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        world.control().silence(&agent).unwrap();
        world.pass(6 * 60);
        world.run(RunKind::Presence).await;
        // Only our clock moves: the server still says offline.
        world.wait(40 * 60);
        world.services.scheduler().tick(world.time()).await.unwrap();
        assert_eq!(world.asset(&agent).await.status, Status::Overdue);
        world.run(RunKind::Presence).await;
        assert_eq!(world.asset(&agent).await.status, Status::Offline);
        let seq = world.last_seq().await;
        world.run(RunKind::Presence).await;
        world.services.scheduler().tick(world.time()).await.unwrap();
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new(), "looks and clock do not quarrel");
    }

    async fn failed_pass_changes_nothing(test) {
        let world = World::synced(test).await;
        world.control().silence(&world.distinct_agent(1).await).unwrap();
        let before = world.assets().await;
        world.pass(10 * 60);
        world.fault("/clients/", FaultKind::Status { status: 500 });
        let run = world.run(RunKind::Presence).await;
        assert_eq!(run.state, RunState::Failed);
        let still = |assets: std::collections::BTreeMap<String, domain::asset::Asset>| -> Vec<_> {
            assets.into_values().map(|a| (a.status, a.presence, a.observed_at, a.updated_at)).collect()
        };
        assert_eq!(still(world.assets().await), still(before));
    }

    async fn status_is_stale_after_two_intervals_without_a_look(test) {
        let world = World::synced(test).await;
        let stale = async || world.assets().await.values().filter(|asset| asset.status_stale).count();
        world.wait(2 * 180 - 1);
        assert_eq!(stale().await, 0);
        world.wait(2);
        assert_eq!(stale().await, 60);
        world.run(RunKind::Presence).await;
        assert_eq!(stale().await, 0);
    }

    async fn machine_that_was_never_seen_is_offline(test) {
        let world = World::synced(test).await;
        let assets = world.assets().await;
        let never: Vec<_> = assets.values().filter(|asset| asset.presence.last_seen.is_none()).collect();
        assert!(!never.is_empty());
        assert!(never.iter().all(|asset| asset.status == Status::Offline));
        world.wait(100 * 86_400);
        world.services.scheduler().tick(world.time()).await.unwrap();
        let id = never[0].source.external_id.clone();
        assert_eq!(world.asset(&id).await.status, Status::Offline);
    }
}
