//! Mappings that change while a run is at work.

use std::sync::Arc;

use domain::{
    id::OrganizationId,
    organization::{MappingState, Organization},
    status::StatusRule,
    sync::{RunKind, RunState, SyncRun},
};
use service::organization::{MappingChange, MappingTarget};
use simulator::faults::FaultKind;
use store::{
    device::{Applied, PageScope, PageWrites, Place},
    on_both_engines,
    sync_run::Progress,
};

use crate::world::{HOUR, World, lane};

async fn change(world: &World, id: OrganizationId, change: &MappingChange) -> Organization {
    let changed = world.services.organizations.change(&world.ctx(), id, change.clone()).await;
    changed.unwrap().organization
}

/// A sync of devices in which the second organization is changed while its list is on its way.
async fn run_with(world: &World, wanted: &MappingChange) -> SyncRun {
    world.wait(1);
    world.fault("/agents/?client=2", FaultKind::Hang { millis: 1_500 });
    let id = world.organization(2).await.id;
    let sync = &world.services.sync;
    let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
    let changing = async {
        world.until(&run, |run| run.done > 0).await;
        change(world, id, wanted).await
    };
    tokio::join!(world.work(lane(RunKind::Devices)), changing);
    world.control().clear_faults();
    sync.get(&world.ctx(), run.id).await.unwrap()
}

fn ways_out() -> [MappingChange; 3] {
    let to = |target| MappingChange { target: Some(target), auto_sync: None };
    [
        to(MappingTarget::Unmapped),
        to(MappingTarget::Excluded),
        MappingChange { target: None, auto_sync: Some(false) },
    ]
}

on_both_engines! {
    async fn pages_of_a_run_go_to_the_client_that_the_organization_has_at_that_moment(test) {
        let world = World::mapped(test).await;
        let target = world.organization(3).await.client_id;
        let to = MappingChange { target: target.map(MappingTarget::Client), auto_sync: None };
        let run = run_with(&world, &to).await;
        assert_eq!((run.state, run.counts.created, run.counts.skipped), (RunState::Succeeded, 60, 0));
        let assets = world.assets().await;
        for agent in world.control().agent_ids(2) {
            assert_eq!(Some(assets[&agent].client_id), target);
            assert!(assets[&agent].site_name.is_some());
        }
        world.assert_counters_fit().await;
        let (register, seq) = (world.register().await, world.last_seq().await);
        world.run(RunKind::Devices).await;
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn organization_taken_out_during_a_run_is_skipped_and_that_is_no_error(test) {
        let world = World::mapped(test).await;
        let before = world.organization(2).await;
        let agents = world.control().agent_ids(2);
        for way_out in ways_out() {
            let run = run_with(&world, &way_out).await;
            assert_eq!((run.state, run.counts.skipped, run.counts.incomplete), (RunState::Succeeded, 1, 0));
            let items = world.items(&run).await;
            assert_eq!(items.len(), 1, "{items:?}");
            assert_eq!((items[0].action.as_str(), items[0].name.as_ref()), ("skipped", Some(&before.name)));
            assert_eq!(run.done, run.total.unwrap());
            let assets = world.assets().await;
            assert!(assets.len() < 60 && agents.iter().all(|agent| !assets.contains_key(agent)));
            let back = before.client_id.map(MappingTarget::Client);
            change(&world, before.id, &MappingChange { target: back, auto_sync: Some(true) }).await;
        }
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.counts.created, run.counts.skipped), (agents.len() as u64, 0));
        world.assert_counters_fit().await;
    }

    async fn organization_skipped_in_a_run_counts_no_absence(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(2).await;
        world.control().vanish(&agent).unwrap();
        for _ in 0..2 {
            world.run(RunKind::Devices).await;
        }
        world.wait(30 * HOUR);
        let off = MappingChange { target: None, auto_sync: Some(false) };
        let run = run_with(&world, &off).await;
        assert_eq!((run.state, run.counts.skipped, run.counts.missing), (RunState::Succeeded, 1, 0));
        let on = MappingChange { target: None, auto_sync: Some(true) };
        change(&world, world.organization(2).await.id, &on).await;
        assert_eq!(world.run(RunKind::Devices).await.counts.missing, 1, "that was the third");
    }

    async fn page_compared_under_another_mapping_is_not_written(test) {
        let world = World::mapped(test).await;
        let (one, two) = (world.organization(1).await, world.organization(2).await);
        let ctx = world.ctx();
        let run = world.services.sync.request(&ctx, world.id, RunKind::Devices, false).await.unwrap();
        let tenant = world.test.store.tenant(&ctx);
        tenant.sync_runs().start(run.id).await.unwrap();
        let progress = Progress {
            stage: "devices".to_owned(),
            done: 7,
            total: None,
            cursor_state: None,
            counts: run.counts.clone(),
            organization_done: true,
        };
        let scope = |client_id| PageScope {
            integration_id: world.id,
            provider: "tacticalrmm".to_owned(),
            places: vec![Arc::new(Place {
                organization_id: one.id,
                external_id: one.external_id.clone(),
                sites: one.sites.clone(),
                client_id,
            })],
            status_rule: StatusRule::PER_DEVICE,
            run_id: run.id,
            observed_at: ctx.now,
        };
        let [old, new] = [one.client_id.unwrap(), two.client_id.unwrap()].map(scope);
        let to = MappingChange { target: two.client_id.map(MappingTarget::Client), auto_sync: None };
        change(&world, one.id, &to).await;
        let apply = async |scope| tenant.devices().apply(scope, &PageWrites::default(), &progress).await.unwrap();
        assert_eq!(apply(&old).await, Applied::Remapped);
        assert_eq!(tenant.sync_runs().get(run.id).await.unwrap().done, 0);
        assert_eq!(world.organization(1).await.observed_at, None);
        assert_eq!(apply(&new).await, Applied::Written);
        assert_eq!(tenant.sync_runs().get(run.id).await.unwrap().done, 7);
        for way_out in ways_out() {
            let out = change(&world, one.id, &way_out).await;
            assert!(out.state != MappingState::Mapped || !out.auto_sync);
            assert_eq!(apply(&new).await, Applied::Remapped);
            let back = MappingChange { target: to.target.clone(), auto_sync: Some(true) };
            change(&world, one.id, &back).await;
        }
    }
}
