//! The detail pass.

use std::collections::BTreeMap;

use domain::{
    device::DeviceDetail,
    event::kind,
    sync::{RunKind, RunState},
};
use service::organization::{MappingChange, MappingTarget, OrganizationFilter};
use store::on_both_engines;

use crate::world::{ALL, HOUR, World, key_draft};

const AGENT: &str = "GET /agents/<agent_id>/";

async fn details(world: &World) -> BTreeMap<String, Option<DeviceDetail>> {
    world.assets().await.into_iter().map(|(id, asset)| (id, asset.detail)).collect()
}

on_both_engines! {
    async fn thresholds_memory_volumes_and_hardware_addresses_arrive(test) {
        let world = World::synced(test).await;
        let seq = world.last_seq().await;
        let run = world.run(RunKind::Details).await;
        assert_eq!((run.state, run.counts.read, run.done, run.total), (RunState::Succeeded, 60, 60, Some(60)));
        let assets = world.assets().await;
        assert!(assets.values().all(|asset| !asset.thresholds_assumed && asset.detail_at.is_some()));
        let detail = |asset: &domain::asset::Asset| asset.detail.clone().unwrap();
        assert!(assets.values().filter(|asset| detail(asset).ram_bytes.is_some()).count() > 40);
        assert!(assets.values().filter(|asset| !detail(asset).volumes.is_empty()).count() > 40);
        let with_mac = assets.values().find(|asset| !detail(asset).macs.is_empty()).unwrap();
        let found = world.search(&detail(with_mac).macs[0]).await;
        assert!(found.iter().any(|asset| asset.id == with_mac.id));
        let kinds = world.kinds_since(seq).await;
        assert!(!kinds.iter().any(|kind| kind == kind::ASSET_UPDATED), "{kinds:?}");
    }

    async fn list_pass_asks_for_details_of_what_is_new_and_of_nothing_else(test) {
        let world = World::synced(test).await;
        world.work(crate::world::lane(RunKind::Details)).await;
        world.control().reset_counts();
        world.run(RunKind::Devices).await;
        world.work(crate::world::lane(RunKind::Details)).await;
        assert_eq!(world.control().counts().of(AGENT), 0);
        let new = world.control().reinstall(&world.distinct_agent(1).await).unwrap();
        world.run(RunKind::Devices).await;
        world.work(crate::world::lane(RunKind::Details)).await;
        assert_eq!(world.control().counts().of(AGENT), 1);
        assert!(world.asset(&new).await.detail.is_some());
    }

    async fn changed_device_is_looked_at_again_at_most_daily(test) {
        let world = World::synced(test).await;
        world.run(RunKind::Details).await;
        let agent = world.distinct_agent(1).await;
        world.control().describe(&agent, Some("changed")).unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.run(RunKind::Details).await.counts.read, 0);
        world.wait(25 * HOUR);
        let run = world.run(RunKind::Details).await;
        assert_eq!((run.counts.read, run.counts.unchanged), (1, 1));
        world.wait(25 * HOUR);
        assert_eq!(world.run(RunKind::Details).await.counts.read, 0);
    }

    async fn move_does_not_forget_a_look_that_is_due(test) {
        let world = World::synced(test).await;
        world.run(RunKind::Details).await;
        let agent = world.distinct_agent(1).await;
        world.control().describe(&agent, Some("changed")).unwrap();
        world.run(RunKind::Devices).await;
        world.control().vanish(&agent).unwrap();
        world.run(RunKind::Devices).await;
        world.control().restore(&agent).unwrap();
        world.run(RunKind::Devices).await;
        world.wait(25 * HOUR);
        assert_eq!(world.run(RunKind::Details).await.counts.read, 1);
    }

    async fn device_the_server_does_not_know_is_a_failed_item_and_no_failed_run(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        world.control().vanish(&agent).unwrap();
        let run = world.run(RunKind::Details).await;
        assert_eq!((run.state, run.counts.failed, run.counts.updated), (RunState::Partial, 1, 59));
        let items = world.items(&run).await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].external_id.as_deref(), Some(agent.as_str()));
        assert_eq!(world.run(RunKind::Details).await.counts.read, 0, "it is not asked at once again");
    }

    async fn beta_on_or_off_gives_the_same_register(test) {
        let world = World::synced(test).await;
        world.control().reset_counts();
        let run = world.run(RunKind::Details).await;
        let one_by_one = details(&world).await;
        assert_eq!((run.counts.calls, world.control().counts().total()), (61, 61));
        // A second integration to the same server under its other name, into the same clients.
        let ctx = world.ctx();
        let mut second = key_draft(&world.server, &world.server.accounts().api_key);
        second.url = Some(world.server.url().replace("127.0.0.1", "localhost"));
        let second = world.services.integrations.create(&ctx, second).await.unwrap().integration.id;
        world.run_of(second, RunKind::Organizations, false).await;
        let first = world.organizations().await;
        let filter = OrganizationFilter { integration_id: Some(second), ..OrganizationFilter::default() };
        for view in world.services.organizations.list(&ctx, filter, false, ALL).await.unwrap().items {
            let client = first[&view.organization.external_id].client_id.unwrap();
            let change = MappingChange { target: Some(MappingTarget::Client(client)), auto_sync: None };
            world.services.organizations.change(&ctx, view.organization.id, change).await.unwrap();
        }
        world.run_of(second, RunKind::Devices, false).await;
        world.control().set_beta(true);
        world.control().reset_counts();
        let run = world.run_of(second, RunKind::Details, false).await;
        assert_eq!((run.state, run.counts.updated), (RunState::Succeeded, 60));
        assert_eq!((run.counts.calls, world.control().counts().total()), (1, 1), "one page of a hundred");
        let filter = domain::asset::AssetFilter { integration_id: Some(second), ..Default::default() };
        let mut bulk = BTreeMap::new();
        for listed in world.find(filter).await {
            let asset = world.services.assets.get(&ctx, listed.id).await.unwrap();
            bulk.insert(asset.source.external_id, asset.detail);
        }
        assert_eq!(bulk, one_by_one);
    }
}
