//! Sync Devices: one asset for each agent, and nothing written where nothing changed.

use domain::{
    event::kind,
    sync::{RunKind, RunState},
};
use service::organization::MappingChange;
use store::on_both_engines;

use crate::world::World;

on_both_engines! {
    async fn one_asset_for_each_agent_tagged_with_its_source(test) {
        let world = World::mapped(test).await;
        let seq = world.last_seq().await;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.read, run.counts.created), (RunState::Succeeded, 60, 60));
        let assets = world.assets().await;
        let agents = world.control().agents(None);
        assert_eq!(assets.len(), agents.len());
        let organizations = world.organizations().await;
        for agent in agents {
            let asset = &assets[&agent.agent_id];
            let organization = &organizations[&agent.client.to_string()];
            assert_eq!(asset.name, agent.hostname);
            assert_eq!(asset.source.rmm_provider, "tacticalrmm");
            assert_eq!(asset.source.integration_id, world.id);
            assert_eq!(asset.source.organization_id, organization.id);
            assert_eq!(asset.source.organization_external_id, organization.external_id);
            assert_eq!(Some(asset.client_id), organization.client_id);
            assert!(asset.site_name.is_some());
            assert!(asset.thresholds_assumed && !asset.status_stale);
        }
        let created = world.kinds_since(seq).await;
        assert_eq!(created.iter().filter(|kind| *kind == kind::ASSET_CREATED).count(), 60);
        world.assert_counters_fit().await;
    }

    async fn only_mapped_organizations_with_auto_sync_are_read(test) {
        let world = World::mapped(test).await;
        let off = MappingChange { target: None, auto_sync: Some(false) };
        let skipped = world.organization(2).await;
        world.services.organizations.change(&world.ctx(), skipped.id, off).await.unwrap();
        world.control().reset_counts();
        let run = world.run(RunKind::Devices).await;
        let read = 60 - world.control().agent_ids(2).len();
        assert_eq!(run.counts.created, read as u64);
        assert!(world.assets().await.values().all(|asset| asset.source.organization_id != skipped.id));
        assert_eq!(world.control().counts().of("GET /agents/"), 3);
    }

    async fn list_pass_costs_at_most_four_calls_and_one_for_each_organization(test) {
        let world = World::mapped(test).await;
        // The two questions that hurt a server: the one crashes it, the other takes half a minute.
        world.fault("/agents/?agent_id*", simulator::faults::FaultKind::Status { status: 500 });
        world.fault("/agents/?search*", simulator::faults::FaultKind::Status { status: 500 });
        for _ in 0..2 {
            world.control().reset_counts();
            let run = world.run(RunKind::Devices).await;
            let counts = world.control().counts();
            assert_eq!(run.state, RunState::Succeeded);
            assert!(counts.total() <= 4 + 4, "{counts:?}");
            assert_eq!(counts.total(), run.counts.calls);
            assert_eq!(counts.of("GET /agents/"), 4);
        }
    }

    async fn second_unchanged_sync_writes_nothing(test) {
        let world = World::synced(test).await;
        let (register, seq) = (world.register().await, world.last_seq().await);
        for kind in [RunKind::Devices, RunKind::Presence, RunKind::Organizations, RunKind::Devices] {
            let run = world.run(kind).await;
            assert_eq!(run.state, RunState::Succeeded);
            assert_eq!((run.counts.created, run.counts.updated, run.counts.moved), (0, 0, 0));
            assert_eq!(run.counts.unchanged, run.counts.read);
        }
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn changed_description_updates_that_asset_alone(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let before = world.assets().await;
        let seq = world.last_seq().await;
        world.control().describe(&agent, Some("the one by the window")).unwrap();
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.counts.updated, run.counts.unchanged), (1, 59));
        let after = world.assets().await;
        assert_eq!(after[&agent].facts.description.as_deref(), Some("the one by the window"));
        assert_eq!(after[&agent].id, before[&agent].id);
        assert!(after[&agent].facts_at > before[&agent].facts_at);
        for (id, asset) in &after {
            assert_eq!(asset.updated_at > before[id].updated_at, *id == agent);
        }
        assert_eq!(world.kinds_since(seq).await, [kind::ASSET_UPDATED]);
        assert_eq!(world.search("by the window").await.len(), 1);
    }

    async fn list_of_two_thousand_is_taken_in_pages(test) {
        let fleet = simulator::fleet::FleetSpec { seed: 2, agents: 2_000, clients: 2 };
        let world = World::of(test, fleet).await;
        world.run(RunKind::Organizations).await;
        world.map_all().await;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.created, run.done), (RunState::Succeeded, 2_000, 2_000));
        assert_eq!(world.assets().await.len(), 2_000);
        let again = world.run(RunKind::Devices).await;
        assert_eq!((again.counts.unchanged, again.counts.updated), (2_000, 0));
    }
}
