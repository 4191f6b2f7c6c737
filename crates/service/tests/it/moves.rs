//! Agents that move, are installed anew, or look alike; clients that merge and organizations mapped elsewhere.

use domain::{
    asset::Asset,
    event::kind,
    id::AssetId,
    sync::{RunKind, RunState},
};
use service::{
    ServiceError,
    asset::{Answer, Proposal},
    organization::{MappingChange, MappingTarget},
};
use store::on_both_engines;

use crate::world::{ALL, World};

async fn proposals(world: &World, asset: AssetId, open_only: bool) -> Vec<Proposal> {
    let page = world.services.assets.proposals(&world.ctx(), open_only, ALL).await.unwrap();
    page.items.into_iter().filter(|proposal| proposal.asset_id == asset).collect()
}

async fn move_and_sync(world: &World, agent: &str, to: u32) -> (Asset, Asset) {
    let before = world.asset(agent).await;
    world.control().move_agent(agent, to).unwrap();
    let run = world.run(RunKind::Devices).await;
    assert_eq!((run.state, run.counts.moved, run.counts.created), (RunState::Succeeded, 1, 0));
    (before, world.asset(agent).await)
}

on_both_engines! {
    async fn moved_agent_keeps_its_asset_and_the_client_follows(test) {
        let world = World::synced(test).await;
        // Up and down the order in which organizations are read.
        for (from, to) in [(1, 3), (4, 2)] {
            let agent = world.distinct_agent(from).await;
            let seq = world.last_seq().await;
            let (before, after) = move_and_sync(&world, &agent, to).await;
            let target = world.organization(to).await;
            assert_eq!(after.id, before.id);
            assert_eq!(Some(after.client_id), target.client_id);
            assert_eq!(after.source.organization_id, target.id);
            assert_eq!(after.source.organization_external_id, to.to_string());
            let kinds = world.kinds_since(seq).await;
            assert_eq!(kinds.iter().filter(|kind| *kind == kind::ASSET_MOVED).count(), 1, "{kinds:?}");
            assert!(!kinds.iter().any(|kind| kind == kind::ASSET_CREATED || kind == kind::ASSET_MISSING));
            world.assert_counters_fit().await;
        }
        assert_eq!(world.assets().await.len(), 60);
    }

    async fn sync_after_a_move_writes_nothing(test) {
        let world = World::synced(test).await;
        for (from, to) in [(1, 3), (4, 2)] {
            let agent = world.distinct_agent(from).await;
            move_and_sync(&world, &agent, to).await;
            let (register, seq) = (world.register().await, world.last_seq().await);
            world.run(RunKind::Devices).await;
            assert_eq!(world.register().await, register, "{from} to {to}");
            assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
        }
    }

    async fn counters_are_right_after_a_merge(test) {
        let world = World::synced(test).await;
        let (one, two) = (world.organization(1).await, world.organization(2).await);
        let (from, into) = (one.client_id.unwrap(), two.client_id.unwrap());
        let clients = &world.services.clients;
        let merged = clients.merge(&world.ctx(), from, into).await.unwrap();
        let agents = world.control().agent_ids(1).len() + world.control().agent_ids(2).len();
        assert_eq!((merged.asset_count, merged.organization_count), (agents as u64, 2));
        world.assert_counters_fit().await;
        assert_eq!(clients.get(&world.ctx(), from).await.unwrap().client.merged_into, Some(into));
        let error = clients.restore(&world.ctx(), from).await.unwrap_err();
        assert!(matches!(error, ServiceError::Conflict { code: "client_merged", .. }));
        let (register, seq) = (world.register().await, world.last_seq().await);
        world.run(RunKind::Devices).await;
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn remapped_organization_takes_its_assets_along(test) {
        let world = World::synced(test).await;
        let (one, two) = (world.organization(1).await, world.organization(2).await);
        let seq = world.last_seq().await;
        let target = Some(MappingTarget::Client(two.client_id.unwrap()));
        let change = MappingChange { target, auto_sync: None };
        let view = world.services.organizations.change(&world.ctx(), one.id, change).await.unwrap();
        assert_eq!(view.organization.client_id, two.client_id);
        assert!(view.organization.auto_sync);
        let moved = world.control().agent_ids(1);
        let assets = world.assets().await;
        for agent in &moved {
            assert_eq!(Some(assets[agent].client_id), two.client_id);
            assert!(assets[agent].site_name.is_some());
        }
        let kinds = world.kinds_since(seq).await;
        assert_eq!(kinds.iter().filter(|kind| *kind == kind::ASSET_MOVED).count(), moved.len());
        world.assert_counters_fit().await;
        let (register, seq) = (world.register().await, world.last_seq().await);
        world.run(RunKind::Devices).await;
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn reinstalled_agent_becomes_a_second_asset_with_a_question(test) {
        let world = World::synced(test).await;
        let old = world.distinct_agent(1).await;
        let seq = world.last_seq().await;
        let new = world.control().reinstall(&old).unwrap();
        world.run(RunKind::Devices).await;
        let new_asset = world.asset(&new).await.id;
        assert!(proposals(&world, new_asset, true).await.is_empty(), "both report: it may be two");
        world.pass(700);
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.created), (RunState::Succeeded, 0));
        let (first, second) = (world.asset(&old).await, world.asset(&new).await);
        assert_ne!(first.id, second.id);
        assert_eq!(first.name, second.name);
        let asked = proposals(&world, second.id, true).await;
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].other_asset_id, asked[0].state.as_str()), (first.id, "open"));
        assert!(world.kinds_since(seq).await.contains(&kind::PROPOSAL_CHANGED.to_owned()));
        world.services.assets.answer_proposal(&world.ctx(), asked[0].id, Answer::KeepBoth).await.unwrap();
        assert!(proposals(&world, second.id, true).await.is_empty());
        assert_eq!(proposals(&world, second.id, false).await[0].state, "keep_both");
        world.run(RunKind::Devices).await;
        assert!(proposals(&world, second.id, true).await.is_empty(), "it is not asked again");
    }

    async fn agent_reinstalled_twice_gets_a_question_for_each_older_one(test) {
        let world = World::synced(test).await;
        let first = world.distinct_agent(1).await;
        let second = world.control().reinstall(&first).unwrap();
        world.pass(700);
        world.run(RunKind::Devices).await;
        let third = world.control().reinstall(&second).unwrap();
        world.pass(700);
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.created), (RunState::Succeeded, 1), "{:?}", run.problem);
        let third = world.asset(&third).await;
        assert_eq!(proposals(&world, third.id, true).await.len(), 2);
    }

    async fn two_agents_with_one_host_name_stay_two(test) {
        let world = World::synced(test).await;
        let (one, two) = (world.distinct_agent(1).await, world.distinct_agent(3).await);
        for agent in [&one, &two] {
            world.control().rename(agent, "TWIN").unwrap();
        }
        world.run(RunKind::Devices).await;
        let (first, second) = (world.asset(&one).await, world.asset(&two).await);
        assert_eq!((first.name.as_str(), second.name.as_str()), ("TWIN", "TWIN"));
        assert_ne!(first.id, second.id);
        assert!(proposals(&world, first.id, true).await.is_empty());
        assert_eq!(world.search("twin").await.len(), 2);
    }
}
