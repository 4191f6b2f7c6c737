//! A server that misbehaves: nothing is saved of what was not understood, nothing is lost, and the place is named.

use domain::{
    asset::AssetFilter,
    sync::{RunKind, RunState, SyncRun},
};
use simulator::faults::FaultKind;
use store::{on_both_engines, testing::TestStore};

use crate::world::{HOUR, World};

const LIST: &str = "/agents/?client=2";

/// An agent changes in each of two organizations, one of which cannot be read, for days; then all is right again.
async fn fault_costs_nothing(test: TestStore, fault: FaultKind, is_of_one_answer: bool) {
    let world = World::synced(test).await;
    let (ours, other) = (world.distinct_agent(2).await, world.distinct_agent(1).await);
    let before = world.asset(&ours).await;
    world.fault(LIST, fault);
    for agent in [&ours, &other] {
        world.control().describe(agent, Some("changed meanwhile")).unwrap();
    }
    for _ in 0..4 {
        world.wait(12 * HOUR);
        let run = world.run(RunKind::Devices).await;
        if is_of_one_answer {
            assert_eq!((run.state, run.counts.incomplete, run.counts.missing), (RunState::Partial, 1, 0));
            assert_item_names_the_organization(&world, &run).await;
        } else {
            assert_eq!(run.state, RunState::Failed);
            let problem: serde_json::Value = serde_json::from_str(&run.problem.unwrap()).unwrap();
            assert_eq!(problem["endpoint"], "GET /agents/");
        }
    }
    assert_eq!(world.assets().await.len(), 60);
    let now = world.asset(&ours).await;
    assert_eq!((now.facts, now.updated_at), (before.facts, before.updated_at));
    let others = world.asset(&other).await;
    assert_eq!(others.facts.description.as_deref(), Some("changed meanwhile"));
    world.control().clear_faults();
    let run = world.run(RunKind::Devices).await;
    assert_eq!((run.state, run.counts.created, run.counts.missing), (RunState::Succeeded, 0, 0));
    assert_eq!(world.asset(&ours).await.facts.description.as_deref(), Some("changed meanwhile"));
    assert_eq!(world.find(AssetFilter { missing: Some(true), ..AssetFilter::default() }).await.len(), 0);
    let view = world.services.integrations.get(&world.ctx(), world.id).await.unwrap();
    assert!(view.problem.is_none());
}

async fn assert_item_names_the_organization(world: &World, run: &SyncRun) {
    let items = world.items(run).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0].external_id.as_deref(), Some("2"));
    assert!(
        items[0].message.contains("GET /agents/") || items[0].message.contains("the RMM counts"),
        "{items:?}"
    );
}

on_both_engines! {
    async fn empty_list_where_the_server_counts_agents_loses_nothing(test) {
        Box::pin(fault_costs_nothing(test, FaultKind::EmptyList, true)).await;
    }

    async fn cut_body_saves_nothing_of_that_organization(test) {
        Box::pin(fault_costs_nothing(test, FaultKind::CutBody, true)).await;
    }

    async fn truncated_json_saves_nothing_of_that_organization(test) {
        Box::pin(fault_costs_nothing(test, FaultKind::TruncatedJson, true)).await;
    }

    async fn wrong_types_save_nothing_of_that_organization(test) {
        Box::pin(fault_costs_nothing(test, FaultKind::WrongTypes, true)).await;
    }

    async fn dashboard_instead_of_a_list_fails_the_run(test) {
        Box::pin(fault_costs_nothing(test, FaultKind::Dashboard, false)).await;
    }

    async fn error_page_instead_of_a_list_fails_the_run(test) {
        Box::pin(fault_costs_nothing(test, FaultKind::Status { status: 500 }, false)).await;
    }

    async fn run_that_could_read_no_list_at_all_has_failed(test) {
        let world = World::synced(test).await;
        world.fault("/agents/?client*", FaultKind::WrongTypes);
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.read, run.counts.incomplete), (RunState::Failed, 0, 4));
        assert!(run.problem.as_deref().is_some_and(|problem| problem.contains("nothing_read")));
        assert_eq!(world.items(&run).await.len(), 4, "each list is named");
    }

    async fn body_without_end_saves_nothing_of_that_organization(test) {
        let world = World::synced(test).await;
        world.fault(LIST, FaultKind::Endless { bytes: None });
        let register = world.register().await;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.incomplete), (RunState::Partial, 1));
        assert_item_names_the_organization(&world, &run).await;
        assert_eq!(world.register().await, register);
    }

    async fn unreadable_row_is_named_and_its_neighbours_are_kept(test) {
        let world = World::synced(test).await;
        let agents = world.control().agent_ids(2);
        for agent in &agents {
            world.control().describe(agent, Some("changed meanwhile")).unwrap();
        }
        world.fault(LIST, FaultKind::BadRow);
        for _ in 0..4 {
            world.wait(12 * HOUR);
            let run = world.run(RunKind::Devices).await;
            assert_eq!((run.state, run.counts.failed, run.counts.missing), (RunState::Partial, 1, 0));
            assert_eq!(world.items(&run).await.len(), 1);
        }
        let assets = world.assets().await;
        let changed = agents.iter().filter(|id| assets[*id].facts.description.as_deref() == Some("changed meanwhile"));
        assert_eq!(changed.count(), agents.len() - 1);
        world.control().clear_faults();
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.updated, run.counts.created), (RunState::Succeeded, 1, 0));
    }

    async fn absence_is_not_settled_by_a_run_that_could_not_read_the_list(test) {
        let world = World::synced(test).await;
        world.control().vanish(&world.distinct_agent(2).await).unwrap();
        for _ in 0..3 {
            world.wait(HOUR);
            world.run(RunKind::Devices).await;
        }
        world.wait(30 * HOUR);
        world.fault(LIST, FaultKind::TruncatedJson);
        assert_eq!(world.run(RunKind::Devices).await.counts.missing, 0);
        world.control().clear_faults();
        assert_eq!(world.run(RunKind::Devices).await.counts.missing, 1);
    }

    async fn organizations_that_cannot_be_read_change_nothing(test) {
        let world = World::synced(test).await;
        let (register, seq) = (world.register().await, world.last_seq().await);
        world.control().clear_faults();
        for fault in [FaultKind::TruncatedJson, FaultKind::WrongTypes, FaultKind::CutBody] {
            world.fault("/clients/", fault);
            let run = world.run(RunKind::Organizations).await;
            assert_eq!(run.state, RunState::Failed);
            assert!(run.problem.unwrap().contains("GET /clients/"));
            world.control().clear_faults();
        }
        assert!(world.organizations().await.values().all(|o| o.vanished_at.is_none()));
        assert_eq!(world.register().await, register);
        let kinds = world.kinds_since(seq).await;
        assert!(kinds.iter().all(|kind| kind == domain::event::kind::INTEGRATION_CHANGED), "{kinds:?}");
    }
}
