//! Agents that are not listed any more.

use domain::{
    asset::AssetFilter,
    event::kind,
    sync::{RunKind, RunState, SyncRun},
};
use serde_json::json;
use service::{
    integration::Draft,
    organization::{MappingChange, MappingTarget},
};
use simulator::faults::FaultKind;
use store::on_both_engines;

use crate::world::{HOUR, World};

async fn missing(world: &World) -> usize {
    world.find(AssetFilter { missing: Some(true), ..AssetFilter::default() }).await.len()
}

/// Passes with so many hours before each.
async fn passes(world: &World, hours: &[u64]) -> SyncRun {
    let mut last = None;
    for hours in hours {
        world.wait(hours * HOUR);
        last = Some(world.run(RunKind::Devices).await);
    }
    last.unwrap()
}

/// The account sees these clients only: the others are gone for us.
fn see(world: &World, clients: &[u32]) {
    let key = &world.server.accounts().api_key;
    world.control().set_permission(key, "is_superuser", false).unwrap();
    for right in ["can_list_clients", "can_list_agents", "can_list_sites", "can_view_customfields"] {
        world.control().set_permission(key, right, true).unwrap();
    }
    world.control().set_scope(key, clients.to_vec()).unwrap();
}

async fn set_brake(world: &World, percent: u8) {
    let change = Draft { settings: Some(json!({ "missing_brake_percent": percent })), ..Draft::default() };
    world.services.integrations.update(&world.ctx(), world.id, change, None).await.unwrap();
}

on_both_engines! {
    async fn vanished_agent_is_missing_after_three_complete_passes_and_a_day(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let before = world.asset(&agent).await;
        world.control().vanish(&agent).unwrap();
        let seq = world.last_seq().await;
        for hours in [1, 30] {
            let run = passes(&world, &[hours]).await;
            assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, 0));
        }
        assert_eq!(missing(&world).await, 0, "a day, but two passes");
        let run = passes(&world, &[1]).await;
        assert_eq!(run.counts.missing, 1);
        let after = world.asset(&agent).await;
        assert_eq!((after.id, after.client_id, after.status), (before.id, before.client_id, before.status));
        assert!(after.source.missing_since.is_some() && after.status_stale);
        assert_eq!(after.source.missing_note, None);
        assert_eq!(world.kinds_since(seq).await, [kind::ORGANIZATION_CHANGED, kind::ASSET_MISSING]);
        let again = passes(&world, &[1]).await;
        assert_eq!(again.counts.missing, 0);
        assert_eq!(missing(&world).await, 1);
        world.assert_counters_fit().await;
    }

    async fn look_that_lacks_a_device_is_no_look_at_it(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let looked = world.asset(&agent).await.observed_at;
        world.control().vanish(&agent).unwrap();
        for minutes in [2, 2, 2, 2] {
            world.wait(minutes * 60);
            let run = world.run(RunKind::Presence).await;
            assert_eq!((run.counts.read, run.counts.absent), (59, 1));
        }
        let assets = world.assets().await;
        let own = &assets[&agent];
        assert_eq!(own.observed_at, looked);
        assert!(own.status_stale, "older than two intervals");
        let others = || assets.values().filter(|asset| asset.id != own.id);
        assert!(others().all(|asset| asset.observed_at > looked && !asset.status_stale));
        world.control().restore(&agent).unwrap();
        world.run(RunKind::Presence).await;
        let back = world.asset(&agent).await;
        assert!(back.observed_at > looked && !back.status_stale);
    }

    async fn preview_names_what_is_not_listed_before_it_is_missing(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        world.control().vanish(&agent).unwrap();
        let run = world.run_of(world.id, RunKind::Devices, true).await;
        assert_eq!((run.counts.absent, run.counts.missing), (1, 0));
        let items = world.items(&run).await;
        let absent: Vec<_> = items.iter().filter(|item| item.action == "absent").collect();
        assert_eq!(absent.len(), 1);
        assert_eq!(absent[0].external_id.as_deref(), Some(agent.as_str()));
    }

    async fn three_passes_within_a_day_make_nothing_missing(test) {
        let world = World::synced(test).await;
        world.control().vanish(&world.distinct_agent(1).await).unwrap();
        passes(&world, &[1, 1, 1, 1, 1]).await;
        assert_eq!(missing(&world).await, 0);
        let run = passes(&world, &[24]).await;
        assert_eq!(run.counts.missing, 1);
    }

    async fn presence_passes_count_no_absence(test) {
        let world = World::synced(test).await;
        world.control().vanish(&world.distinct_agent(1).await).unwrap();
        for _ in 0..4 {
            world.wait(12 * HOUR);
            world.run(RunKind::Presence).await;
        }
        passes(&world, &[1, 1]).await;
        assert_eq!(missing(&world).await, 0);
    }

    async fn missing_agent_comes_back_as_the_same_asset(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let before = world.asset(&agent).await;
        world.control().vanish(&agent).unwrap();
        passes(&world, &[1, 30, 1]).await;
        let seq = world.last_seq().await;
        world.control().restore(&agent).unwrap();
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.counts.returned, run.counts.created), (1, 0));
        let back = world.asset(&agent).await;
        assert_eq!((back.id, back.source.missing_since, back.source.missing_note), (before.id, None, None));
        assert!(!back.status_stale);
        assert!(world.kinds_since(seq).await.contains(&kind::ASSET_RETURNED.to_owned()));
        world.control().vanish(&agent).unwrap();
        passes(&world, &[1, 30]).await;
        assert_eq!(missing(&world).await, 0, "counting starts anew");
    }

    async fn agent_absent_once_and_back_counts_from_the_start_again(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        world.control().vanish(&agent).unwrap();
        passes(&world, &[1, 1]).await;
        world.control().restore(&agent).unwrap();
        passes(&world, &[1]).await;
        world.control().vanish(&agent).unwrap();
        passes(&world, &[30, 30]).await;
        assert_eq!(missing(&world).await, 0);
    }

    async fn agent_moved_to_an_organization_that_is_not_synced_is_missing_with_a_note(test) {
        let world = World::synced(test).await;
        let target = world.organization(4).await;
        let exclude = MappingChange { target: Some(MappingTarget::Excluded), auto_sync: None };
        world.services.organizations.change(&world.ctx(), target.id, exclude).await.unwrap();
        let agent = world.distinct_agent(1).await;
        let before = world.asset(&agent).await;
        world.control().move_agent(&agent, 4).unwrap();
        world.control().reset_counts();
        passes(&world, &[1, 30, 1]).await;
        assert!(world.control().counts().total() <= 3 * (4 + 3));
        let after = world.asset(&agent).await;
        assert_eq!((after.id, after.client_id), (before.id, before.client_id));
        let note = after.source.missing_note.unwrap();
        assert!(note.contains(&target.name), "{note}");
        assert_eq!(missing(&world).await, 1, "devices of the excluded organization are not missing");
    }

    async fn brake_stops_a_run_that_would_mark_too_many(test) {
        let world = World::synced(test).await;
        let agents: Vec<String> = world.control().agent_ids(1);
        assert!(agents.len() > 12, "more than a fifth of sixty");
        for agent in agents.iter().take(13) {
            world.control().vanish(agent).unwrap();
        }
        let run = passes(&world, &[1, 30, 1]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Partial, 0));
        let items = world.items(&run).await;
        assert_eq!(items.len(), 1);
        assert!(items[0].message.contains("13 of 60 devices") && items[0].message.contains("missing_brake_percent"));
        assert_eq!(missing(&world).await, 0);
        set_brake(&world, 30).await;
        let run = passes(&world, &[1]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, 13));
    }

    async fn devices_of_a_vanished_organization_are_missing_after_three_passes_and_a_day(test) {
        let world = World::synced(test).await;
        set_brake(&world, 100).await;
        let gone = world.organization(2).await;
        let agents = world.control().agent_ids(2);
        let before = world.assets().await;
        see(&world, &[1, 3, 4]);
        for hours in [1, 30] {
            let run = passes(&world, &[hours]).await;
            assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, 0));
        }
        assert_eq!(missing(&world).await, 0, "a day, but two passes");
        let run = passes(&world, &[1]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, agents.len() as u64));
        let after = world.assets().await;
        assert_eq!(after.len(), 60);
        for agent in &agents {
            assert_eq!((after[agent].id, after[agent].client_id), (before[agent].id, before[agent].client_id));
            let note = after[agent].source.missing_note.as_deref().unwrap();
            assert_eq!(note, format!("its organization `{}` is not at the RMM any more", gone.name));
        }
        assert_eq!(passes(&world, &[1]).await.counts.missing, 0);
        see(&world, &[]);
        let run = passes(&world, &[1]).await;
        assert_eq!((run.counts.returned, run.counts.created), (agents.len() as u64, 0));
        let back = world.assets().await;
        assert!(agents.iter().all(|agent| back[agent].id == before[agent].id));
        assert_eq!(missing(&world).await, 0);
        world.assert_counters_fit().await;
    }

    async fn brake_stops_a_vanished_organization_too(test) {
        let world = World::synced(test).await;
        set_brake(&world, 5).await;
        let devices = world.control().agent_ids(2).len();
        assert!(devices > 3);
        see(&world, &[1, 3, 4]);
        let run = passes(&world, &[1, 30, 1]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Partial, 0));
        let items = world.items(&run).await;
        assert!(items[0].message.starts_with(&format!("{devices} of 60 devices")), "{items:?}");
        assert_eq!(missing(&world).await, 0);
    }

    async fn device_of_a_vanished_organization_that_turned_up_elsewhere_moves(test) {
        let world = World::synced(test).await;
        set_brake(&world, 100).await;
        let agent = world.distinct_agent(2).await;
        let before = world.asset(&agent).await;
        see(&world, &[1, 3, 4]);
        passes(&world, &[1, 30]).await;
        world.control().move_agent(&agent, 3).unwrap();
        let run = passes(&world, &[1]).await;
        assert_eq!((run.counts.moved, run.counts.missing), (1, world.control().agent_ids(2).len() as u64));
        let after = world.asset(&agent).await;
        assert_eq!((after.id, after.source.missing_since), (before.id, None));
        assert_eq!(Some(after.client_id), world.organization(3).await.client_id);
    }

    async fn devices_of_a_vanished_organization_that_is_not_synced_are_left_alone(test) {
        let world = World::synced(test).await;
        set_brake(&world, 100).await;
        let off = MappingChange { target: None, auto_sync: Some(false) };
        let organization = world.organization(2).await.id;
        world.services.organizations.change(&world.ctx(), organization, off).await.unwrap();
        see(&world, &[1, 3, 4]);
        passes(&world, &[1, 30, 1]).await;
        assert!(world.organization(2).await.vanished_at.is_some());
        assert_eq!(missing(&world).await, 0);
    }

    async fn empty_list_of_organizations_marks_nothing_and_says_so(test) {
        let world = World::synced(test).await;
        set_brake(&world, 100).await;
        see(&world, &[1, 3, 4]);
        passes(&world, &[1, 30]).await;
        let register = world.register().await;
        world.fault("/clients/", FaultKind::EmptyList);
        for _ in 0..4 {
            let run = passes(&world, &[12]).await;
            assert_eq!((run.state, run.counts.missing), (RunState::Failed, 0));
            assert!(run.problem.unwrap().contains("no_organizations"));
        }
        assert_eq!(world.run(RunKind::Organizations).await.state, RunState::Failed);
        let vanished = world.organizations().await.into_values().filter(|o| o.vanished_at.is_some()).count();
        assert_eq!(vanished, 1, "the one that vanished before");
        assert_eq!(missing(&world).await, 0);
        assert_eq!(world.register().await, register);
        world.control().clear_faults();
        let run = passes(&world, &[1]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, world.control().agent_ids(2).len() as u64));
    }
}
