//! Runs: once at a time, cancelled, previewed, and resumed after a crash.

use std::time::Duration;

use domain::sync::{RunKind, RunState};
use service::{ServiceError, job::Outcome};
use simulator::{faults::FaultKind, fleet::FleetSpec};
use store::on_both_engines;
use tokio_util::sync::CancellationToken;

use crate::world::{HOUR, LEASE, World, lane};

const LISTS: &str = "GET /agents/";

/// Starts a device run and drops it once `done` devices are written and the server was asked for every list: a request
/// that is still on its way would be counted later.
async fn crash_after(world: &World, done: u64) -> domain::sync::SyncRun {
    let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
    let job = world.claim(lane(RunKind::Devices)).await.unwrap();
    let lists = world.control().client_ids().len() as u64;
    let written_and_asked = async {
        let run = world.until(&run, |run| run.done >= done).await;
        while world.control().counts().of(LISTS) < lists {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        run
    };
    let run = tokio::select! {
        outcome = world.attempt(&job, CancellationToken::new()) => panic!("the run ended: {outcome:?}"),
        run = written_and_asked => run,
    };
    // The lease of the dead worker ends.
    world.wait(LEASE.as_secs() + 1);
    run
}

on_both_engines! {
    async fn run_that_crashed_goes_on_where_it_was_without_duplicates(test) {
        let world = World::mapped(test).await;
        world.fault("/agents/?client=3", FaultKind::Hang { millis: 600_000 });
        let first_two = world.control().agent_ids(1).len() + world.control().agent_ids(2).len();
        let crashed = crash_after(&world, first_two as u64).await;
        assert_eq!(world.assets().await.len(), first_two);
        world.control().clear_faults();
        world.control().reset_counts();
        world.work(lane(RunKind::Devices)).await;
        let run = world.services.sync.get(&world.ctx(), crashed.id).await.unwrap();
        assert_eq!((run.state, run.counts.created, run.counts.read), (RunState::Succeeded, 60, 60));
        assert_eq!(run.done, 60);
        assert_eq!(world.control().counts().of(LISTS), 2, "what was done is not fetched again");
        assert_eq!(world.assets().await.len(), 60);
        world.assert_counters_fit().await;
        let seq = world.last_seq().await;
        world.run(RunKind::Devices).await;
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn crash_within_two_thousand_agents_makes_no_duplicates(test) {
        let world = World::of(test, FleetSpec { seed: 3, agents: 2_000, clients: 2 }).await;
        world.run(RunKind::Organizations).await;
        world.map_all().await;
        world.fault("/agents/?client=2", FaultKind::Hang { millis: 600_000 });
        // The first client has more than one page.
        let crashed = crash_after(&world, 1_000).await;
        world.control().clear_faults();
        world.work(lane(RunKind::Devices)).await;
        let run = world.services.sync.get(&world.ctx(), crashed.id).await.unwrap();
        assert_eq!((run.state, run.counts.created, run.done), (RunState::Succeeded, 2_000, 2_000));
        assert_eq!(world.assets().await.len(), 2_000);
        world.assert_counters_fit().await;
    }

    async fn run_asked_to_stop_gives_its_job_back_and_goes_on_later(test) {
        let world = World::mapped(test).await;
        world.fault("/agents/?client=2", FaultKind::Hang { millis: 300 });
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        let stop = CancellationToken::new();
        let stopping = async {
            world.until(&run, |run| run.done > 0).await;
            stop.cancel();
        };
        let (outcome, ()) = tokio::join!(world.attempt(&job, stop.clone()), stopping);
        assert_eq!(outcome, Outcome::GiveBack);
        world.settle(&job, outcome).await;
        let given_back = world.services.sync.get(&world.ctx(), run.id).await.unwrap();
        let cursor: serde_json::Value = serde_json::from_str(&given_back.cursor_state.unwrap()).unwrap();
        let done = cursor["done"].as_object().unwrap().len();
        assert!((1..4).contains(&done), "{cursor}");
        world.control().clear_faults();
        world.control().reset_counts();
        world.work(lane(RunKind::Devices)).await;
        let run = world.services.sync.get(&world.ctx(), run.id).await.unwrap();
        assert_eq!((run.state, run.counts.created), (RunState::Succeeded, 60));
        assert_eq!(world.control().counts().of(LISTS), 4 - done as u64);
    }

    async fn crash_of_a_detail_pass_loses_nothing(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(4).await;
        world.fault(&format!("/agents/{agent}/"), FaultKind::Hang { millis: 600_000 });
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Details, false).await.unwrap();
        let job = world.claim(lane(RunKind::Details)).await.unwrap();
        let asked = async {
            while world.control().counts().of("GET /agents/<agent_id>/") < 10 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::select! {
            outcome = world.attempt(&job, CancellationToken::new()) => panic!("the run ended: {outcome:?}"),
            () = asked => {}
        }
        world.wait(LEASE.as_secs() + 1);
        world.control().clear_faults();
        world.work(lane(RunKind::Details)).await;
        let run = world.services.sync.get(&world.ctx(), run.id).await.unwrap();
        assert_eq!((run.state, run.counts.updated), (RunState::Succeeded, 60));
        assert!(world.assets().await.values().all(|asset| asset.detail.is_some()));
    }

    async fn queued_run_is_cancelled_at_once_and_does_nothing(test) {
        let world = World::mapped(test).await;
        world.control().reset_counts();
        let sync = &world.services.sync;
        let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        assert_eq!(sync.cancel(&world.ctx(), run.id).await.unwrap().state, RunState::Cancelled);
        world.work(lane(RunKind::Devices)).await;
        assert_eq!(world.control().counts().total(), 0);
        assert_eq!(world.run(RunKind::Devices).await.state, RunState::Succeeded, "the kind is free");
    }

    async fn running_run_stops_at_the_next_page_and_keeps_what_was_done(test) {
        let world = World::mapped(test).await;
        world.fault("/agents/?client=2", FaultKind::Hang { millis: 300 });
        let sync = &world.services.sync;
        let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let cancelling = async {
            world.until(&run, |run| run.done > 0).await;
            sync.cancel(&world.ctx(), run.id).await.unwrap()
        };
        let (_, asked) = tokio::join!(world.work(lane(RunKind::Devices)), cancelling);
        assert!(asked.cancel_requested);
        let run = sync.get(&world.ctx(), run.id).await.unwrap();
        assert_eq!(run.state, RunState::Cancelled);
        let kept = world.assets().await.len();
        assert!(kept > 0 && kept < 60, "{kept}");
        assert_eq!(run.counts.created, kept as u64);
        world.assert_counters_fit().await;
    }

    async fn cancelled_run_that_waits_to_try_again_asks_the_server_nothing_more(test) {
        let world = World::mapped(test).await;
        world.fault("/clients/", FaultKind::Status { status: 500 });
        let sync = &world.services.sync;
        let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        let outcome = world.attempt(&job, CancellationToken::new()).await;
        assert!(matches!(outcome, Outcome::Retry { .. }));
        world.settle(&job, outcome).await;
        sync.cancel(&world.ctx(), run.id).await.unwrap();
        world.control().reset_counts();
        world.work(lane(RunKind::Devices)).await;
        assert_eq!(sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Cancelled);
        assert_eq!(world.control().counts().total(), 0);
    }

    async fn run_cancelled_between_two_attempts_ends_at_once_and_its_job_goes(test) {
        let world = World::mapped(test).await;
        world.fault("/agents/?client=3", FaultKind::Status { status: 500 });
        let sync = &world.services.sync;
        let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        let outcome = world.attempt(&job, CancellationToken::new()).await;
        assert!(matches!(outcome, Outcome::Retry { .. }));
        world.queue().retry("test", job.id, world.time() + Duration::from_secs(600), "later").await.unwrap();
        let cancelled = sync.cancel(&world.ctx(), run.id).await.unwrap();
        assert_eq!((cancelled.state, cancelled.ended_at), (RunState::Cancelled, Some(world.time())));
        assert_eq!(cancelled.counts.created, world.assets().await.len() as u64, "what was done is kept and counted");
        assert_eq!(world.test.store.queue_figures().await.unwrap().ready, 0);
        world.control().clear_faults();
        let next = world.run(RunKind::Devices).await;
        assert_ne!(next.id, run.id, "the kind is free");
        assert_eq!(next.state, RunState::Succeeded);
    }

    async fn run_that_a_worker_holds_is_asked_to_stop_and_keeps_its_job(test) {
        let world = World::mapped(test).await;
        let sync = &world.services.sync;
        let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        world.test.store.tenant(&world.ctx()).sync_runs().start(run.id).await.unwrap();
        let asked = sync.cancel(&world.ctx(), run.id).await.unwrap();
        assert_eq!((asked.state, asked.cancel_requested), (RunState::Running, true));
        let outcome = world.attempt(&job, CancellationToken::new()).await;
        assert_eq!(outcome, Outcome::Done);
        world.settle(&job, outcome).await;
        assert_eq!(sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Cancelled);
    }

    async fn second_request_of_a_kind_answers_the_run_that_waits(test) {
        let world = World::mapped(test).await;
        let sync = &world.services.sync;
        let ask = async |kind| sync.request(&world.ctx(), world.id, kind, false).await.unwrap().id;
        let (one, two) = (ask(RunKind::Devices).await, ask(RunKind::Devices).await);
        assert_eq!(one, two);
        let (three, four) = tokio::join!(ask(RunKind::Presence), ask(RunKind::Presence));
        assert_eq!(three, four);
        assert_ne!(one, three);
        world.work(lane(RunKind::Devices)).await;
        assert_ne!(ask(RunKind::Devices).await, one);
    }

    async fn list_passes_of_one_integration_run_one_after_another(test) {
        let world = World::mapped(test).await;
        for kind in [RunKind::Devices, RunKind::Presence] {
            world.services.sync.request(&world.ctx(), world.id, kind, false).await.unwrap();
        }
        let first = world.claim(lane(RunKind::Devices)).await.unwrap();
        assert!(world.claim(lane(RunKind::Presence)).await.is_none());
        let outcome = world.attempt(&first, CancellationToken::new()).await;
        world.settle(&first, outcome).await;
        assert!(world.claim(lane(RunKind::Presence)).await.is_some());
    }

    async fn preview_changes_nothing_and_lists_what_would_happen(test) {
        let world = World::synced(test).await;
        let gone = world.distinct_agent(1).await;
        world.control().vanish(&gone).unwrap();
        for _ in 0..2 {
            world.run(RunKind::Devices).await;
        }
        world.wait(30 * HOUR);
        let (changed, moved) = (world.distinct_agent(2).await, world.distinct_agent(3).await);
        let old = world.distinct_agent(4).await;
        world.control().describe(&changed, Some("changed")).unwrap();
        world.control().move_agent(&moved, 1).unwrap();
        let new = world.control().reinstall(&old).unwrap();
        let (register, seq) = (world.register().await, world.last_seq().await);
        let run = world.run_of(world.id, RunKind::Devices, true).await;
        assert_eq!(run.state, RunState::Succeeded);
        let items = world.items(&run).await;
        for (action, agent) in [("created", &new), ("updated", &changed), ("moved", &moved), ("missing", &gone)] {
            let of_action: Vec<_> = items.iter().filter(|item| item.action == action).collect();
            assert_eq!(of_action.len(), 1, "{action}: {items:?}");
            assert_eq!(of_action[0].external_id.as_ref(), Some(agent), "{action}");
        }
        let counts = &run.counts;
        // The moved one has another site, which is a fact.
        assert_eq!((counts.created, counts.updated, counts.moved, counts.missing), (1, 2, 1, 1));
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
        let real = world.run(RunKind::Devices).await;
        let counts = &real.counts;
        assert_eq!((counts.created, counts.updated, counts.moved, counts.missing), (1, 2, 1, 1));
    }

    async fn only_devices_have_a_preview(test) {
        let world = World::mapped(test).await;
        let asked = world.services.sync.request(&world.ctx(), world.id, RunKind::Details, true).await;
        assert!(matches!(asked, Err(ServiceError::Invalid { code: "no_preview", .. })));
    }
}
