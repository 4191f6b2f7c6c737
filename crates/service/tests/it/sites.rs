//! Sites as people name, merge and remove them, and what later syncs do.

use std::collections::BTreeMap;

use domain::{
    event::kind,
    id::{ClientId, SiteId},
    site::SiteInfo,
    sync::{RunKind, RunState},
};
use service::{
    Result, ServiceError,
    organization::{MappingChange, MappingTarget},
};
use simulator::{
    faults::FaultKind,
    fleet::FleetSpec,
    tacticalrmm::{Config, Server},
};
use store::on_both_engines;

use crate::world::{ALL, World, key_draft, lane};

/// The client of the first organization.
async fn client(world: &World) -> ClientId {
    world.organization(1).await.client_id.unwrap()
}

async fn sites(world: &World, client: ClientId) -> Vec<SiteInfo> {
    world.services.sites.list(&world.ctx(), client, None, ALL).await.unwrap().items
}

async fn named(world: &World, client: ClientId, name: &str) -> SiteInfo {
    let all = sites(world, client).await;
    all.iter().find(|info| info.site.name == name).unwrap_or_else(|| panic!("no `{name}`: {all:?}")).clone()
}

async fn names(world: &World, client: ClientId) -> Vec<String> {
    sites(world, client).await.into_iter().map(|info| info.site.name).collect()
}

/// An agent of the first client, and the RMM's number and name of its site.
async fn agent(world: &World) -> (String, u32, String) {
    let agent = world.distinct_agent(1).await;
    let name = world.asset(&agent).await.facts.site.unwrap();
    let site = world.control().sites(1).into_iter().find(|(_, other)| *other == name).unwrap();
    (agent, site.0, name)
}

/// A second agent at the site of the first, seen by the next sync.
async fn newcomer(world: &World, agent: &str) -> Option<SiteId> {
    let new = world.control().reinstall(agent).unwrap();
    let run = world.run(RunKind::Devices).await;
    assert_eq!((run.state, run.counts.created), (RunState::Succeeded, 1));
    world.asset(&new).await.site_id
}

/// A sync that finds nothing new.
async fn changes_nothing(world: &World) {
    let (register, seq) = (world.register().await, world.last_seq().await);
    let run = world.run(RunKind::Devices).await;
    assert_eq!((run.state, run.counts.updated), (RunState::Succeeded, 0));
    assert_eq!(world.register().await, register);
    assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
}

async fn map(world: &World, external_id: u32, client: ClientId) {
    let change = MappingChange { target: Some(MappingTarget::Client(client)), auto_sync: Some(true) };
    let id = world.organization(external_id).await.id;
    world.services.organizations.change(&world.ctx(), id, change).await.unwrap();
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, expected: &str) -> String {
    match result {
        Err(ServiceError::Conflict { code, message } | ServiceError::Invalid { code, message, .. }) => {
            assert_eq!(code, expected, "{message}");
            message
        }
        other => panic!("{other:?}"),
    }
}

on_both_engines! {
    async fn name_by_a_person_stays_whatever_the_rmm_calls_the_site(test) {
        let world = World::synced(test).await;
        let (agent, rmm_site, name) = agent(&world).await;
        let client = client(&world).await;
        let before = named(&world, client, &name).await;
        let count = sites(&world, client).await.len();
        assert_eq!((before.named_at, before.sources.len()), (None, 1));
        let ctx = world.ctx();
        let info = world.services.sites.rename(&ctx, before.site.id, "  Headquarters ").await.unwrap();
        assert_eq!((info.site.name.as_str(), info.named_at), ("Headquarters", Some(ctx.now)));
        assert_eq!((info.asset_count, &info.sources), (before.asset_count, &before.sources));
        assert_eq!(world.asset(&agent).await.site_name.as_deref(), Some("Headquarters"));
        changes_nothing(&world).await;
        world.control().rename_site(rmm_site, "Elsewhere").unwrap();
        world.run(RunKind::Devices).await;
        let asset = world.asset(&agent).await;
        assert_eq!((asset.site_id, asset.facts.site.as_deref()), (Some(before.site.id), Some("Elsewhere")));
        assert_eq!(newcomer(&world, &agent).await, Some(before.site.id));
        let after = named(&world, client, "Headquarters").await;
        assert_eq!((after.site.id, after.sources[0].name.as_str()), (before.site.id, "Elsewhere"));
        assert_eq!(after.sources[0].external_id, Some(rmm_site.to_string()));
        assert_eq!(sites(&world, client).await.len(), count);
        changes_nothing(&world).await;
    }

    async fn rename_at_the_rmm_is_followed_where_no_person_chose_the_name(test) {
        let world = World::synced(test).await;
        let (agent, rmm_site, name) = agent(&world).await;
        let client = client(&world).await;
        let (before, count) = (named(&world, client, &name).await, sites(&world, client).await.len());
        world.control().rename_site(rmm_site, "Elsewhere").unwrap();
        let seq = world.last_seq().await;
        world.run(RunKind::Devices).await;
        assert_eq!(named(&world, client, "Elsewhere").await.site.id, before.site.id);
        assert_eq!(sites(&world, client).await.len(), count);
        let asset = world.asset(&agent).await;
        assert_eq!((asset.site_id, asset.site_name.as_deref()), (Some(before.site.id), Some("Elsewhere")));
        let told = |kinds: Vec<String>| kinds.iter().filter(|kind| *kind == kind::CLIENT_CHANGED).count();
        assert_eq!(told(world.kinds_since(seq).await), 1);
        changes_nothing(&world).await;
        // A name that another site of the client bears is not taken.
        let other = world.services.sites.create(&world.ctx(), client, "Taken").await.unwrap();
        world.control().rename_site(rmm_site, "Taken").unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.site_id, Some(before.site.id));
        assert_eq!(named(&world, client, "Elsewhere").await.site.id, before.site.id);
        world.services.sites.remove(&world.ctx(), other.site.id).await.unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(named(&world, client, "Taken").await.site.id, before.site.id, "now it is free");
    }

    async fn two_sites_that_change_names_at_the_rmm_change_them_here(test) {
        let world = World::synced(test).await;
        let (agent, first, name) = agent(&world).await;
        let client = client(&world).await;
        let second = world.control().add_site(1, "Second");
        let other = world.control().agent_ids(1).into_iter().find(|id| *id != agent).unwrap();
        world.control().move_to_site(&other, second).unwrap();
        world.run(RunKind::Devices).await;
        let ids = (named(&world, client, &name).await.site.id, named(&world, client, "Second").await.site.id);
        world.control().rename_site(first, "Second").unwrap();
        world.control().rename_site(second, &name).unwrap();
        world.run(RunKind::Devices).await;
        let after = (named(&world, client, "Second").await.site.id, named(&world, client, &name).await.site.id);
        assert_eq!(after, ids);
        assert_eq!(world.asset(&agent).await.site_id, Some(ids.0));
        assert_eq!(world.asset(&other).await.site_id, Some(ids.1));
        changes_nothing(&world).await;
    }

    async fn merged_sites_stay_one(test) {
        let world = World::synced(test).await;
        let (agent, _, name) = agent(&world).await;
        let client = client(&world).await;
        let second = world.control().add_site(1, "Second");
        world.control().move_to_site(&agent, second).unwrap();
        world.run(RunKind::Devices).await;
        let (from, into) = (named(&world, client, "Second").await, named(&world, client, &name).await);
        assert_eq!(world.asset(&agent).await.site_id, Some(from.site.id));
        let merged = world.services.sites.merge(&world.ctx(), from.site.id, into.site.id).await.unwrap();
        assert_eq!(merged.asset_count, from.asset_count + into.asset_count);
        assert_eq!((merged.site.id, merged.sources.len()), (into.site.id, 2));
        let gone = world.services.sites.get(&world.ctx(), from.site.id).await;
        assert!(matches!(gone, Err(ServiceError::NotFound { what: "site" })));
        changes_nothing(&world).await;
        assert_eq!(newcomer(&world, &agent).await, Some(into.site.id));
        world.control().rename_site(second, "Third").unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.site_id, Some(into.site.id));
        assert!(!names(&world, client).await.iter().any(|name| name == "Second" || name == "Third"));
        assert_eq!(named(&world, client, &name).await.site.id, into.site.id);
    }

    async fn rename_at_the_rmm_in_the_middle_of_a_sync_loses_no_name(test) {
        let world = World::synced(test).await;
        let (agent, rmm_site, name) = agent(&world).await;
        let client = client(&world).await;
        let site = named(&world, client, &name).await.site.id;
        world.services.sites.rename(&world.ctx(), site, "Headquarters").await.unwrap();
        // The list of organizations has the old name, the list of devices the new one.
        world.wait(1);
        world.fault("/core/customfields/", FaultKind::Hang { millis: 700 });
        world.control().reset_counts();
        let sync = &world.services.sync;
        let run = sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let renaming = async {
            tokio::time::timeout(std::time::Duration::from_secs(20), async {
                while world.control().counts().of("GET /core/customfields/") == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                }
            })
            .await
            .unwrap();
            world.control().rename_site(rmm_site, "Late").unwrap();
        };
        tokio::join!(world.work(lane(RunKind::Devices)), renaming);
        world.control().clear_faults();
        assert_eq!(sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Succeeded);
        assert_ne!(world.asset(&agent).await.site_id, Some(site), "the name came before the list that explains it");
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.site_id, Some(site));
        let all = names(&world, client).await;
        assert!(all.contains(&"Headquarters".to_owned()) && !all.contains(&"Late".to_owned()), "{all:?}");
        changes_nothing(&world).await;
    }

    async fn sites_go_along_to_another_client_and_back(test) {
        let world = World::synced(test).await;
        let (agent, _, name) = agent(&world).await;
        let first = client(&world).await;
        let second = world.organization(2).await.client_id.unwrap();
        let site = named(&world, first, &name).await.site.id;
        world.services.sites.rename(&world.ctx(), site, "Headquarters").await.unwrap();
        map(&world, 1, second).await;
        let there = named(&world, second, "Headquarters").await;
        assert!(there.named_at.is_some() && there.site.id != site);
        assert_eq!(world.asset(&agent).await.site_id, Some(there.site.id));
        assert_eq!(named(&world, first, "Headquarters").await.sources, []);
        changes_nothing(&world).await;
        assert_eq!(newcomer(&world, &agent).await, Some(there.site.id));
        world.services.sites.rename(&world.ctx(), there.site.id, "Annex").await.unwrap();
        let organization = world.organization(1).await.id;
        world.services.organizations.undo(&world.ctx(), organization).await.unwrap();
        assert_eq!(world.asset(&agent).await.site_id, Some(site));
        map(&world, 1, second).await;
        assert_eq!(world.asset(&agent).await.site_id, Some(there.site.id), "it had a site there already");
        changes_nothing(&world).await;
    }

    async fn merged_clients_keep_the_names_of_their_sites(test) {
        let world = World::synced(test).await;
        let (agent, _, name) = agent(&world).await;
        let (from, into) = (client(&world).await, world.organization(2).await.client_id.unwrap());
        // One site is at both clients by name, the agent's has a name of its own.
        let own = named(&world, from, &name).await.site.id;
        world.services.sites.rename(&world.ctx(), own, "Headquarters").await.unwrap();
        let shared = world.services.sites.create(&world.ctx(), from, "Shared").await.unwrap().site.id;
        let kept = world.services.sites.create(&world.ctx(), into, "SHARED").await.unwrap().site.id;
        let moved = world.control().add_site(1, "Shared");
        let other = world.control().agent_ids(1).into_iter().find(|id| *id != agent).unwrap();
        world.control().move_to_site(&other, moved).unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&other).await.site_id, Some(shared));
        // What is left of an earlier mapping does not win over the present one.
        map(&world, 1, into).await;
        map(&world, 1, from).await;
        assert_eq!(world.asset(&other).await.site_id, Some(shared));
        world.services.clients.merge(&world.ctx(), from, into).await.unwrap();
        assert_eq!(sites(&world, from).await, []);
        assert_eq!(world.asset(&other).await.site_id, Some(kept));
        let agents_site = world.asset(&agent).await.site_id.unwrap();
        assert_eq!(named(&world, into, "Headquarters").await.site.id, agents_site);
        changes_nothing(&world).await;
        assert_eq!(newcomer(&world, &agent).await, Some(agents_site));
        assert_eq!(newcomer(&world, &other).await, Some(kept));
        let counted: u64 = sites(&world, into).await.iter().map(|info| info.asset_count).sum();
        assert_eq!(counted, world.services.clients.get(&world.ctx(), into).await.unwrap().asset_count);
    }

    async fn two_integrations_share_a_site_of_one_name(test) {
        let world = World::synced(test).await;
        let (_, rmm_site, name) = agent(&world).await;
        let client = client(&world).await;
        let fleet = FleetSpec { seed: 1, agents: 60, clients: 4 };
        let config = Config { fleet, time_scale: 0.01, detail_bytes: 500, ..Config::default() };
        let second: Server = simulator::tacticalrmm::start(config).await.unwrap();
        let draft = key_draft(&second, &second.accounts().api_key);
        let id = world.services.integrations.create(&world.ctx(), draft).await.unwrap().integration.id;
        world.run_of(id, RunKind::Organizations, false).await;
        let all = service::organization::OrganizationFilter { integration_id: Some(id), ..Default::default() };
        let listed = world.services.organizations.list(&world.ctx(), all, false, ALL).await.unwrap().items;
        let twin = listed.into_iter().find(|view| view.organization.external_id == "1").unwrap();
        let change = MappingChange { target: Some(MappingTarget::Client(client)), auto_sync: Some(true) };
        world.services.organizations.change(&world.ctx(), twin.organization.id, change).await.unwrap();
        let (before, count) = (named(&world, client, &name).await, sites(&world, client).await.len());
        world.run_of(id, RunKind::Devices, false).await;
        let shared = named(&world, client, &name).await;
        assert_eq!((shared.site.id, shared.asset_count), (before.site.id, 2 * before.asset_count));
        assert_eq!((shared.sources.len(), sites(&world, client).await.len()), (2, count));
        world.control().rename_site(rmm_site, "Elsewhere").unwrap();
        world.run(RunKind::Devices).await;
        let shared = named(&world, client, &name).await;
        assert_eq!((shared.site.id, shared.asset_count), (before.site.id, 2 * before.asset_count));
        second.control().rename_site(rmm_site, "Elsewhere").unwrap();
        world.run_of(id, RunKind::Devices, false).await;
        assert_eq!(named(&world, client, "Elsewhere").await.site.id, before.site.id, "both agree");
    }

    async fn removed_site_comes_back_with_its_next_device(test) {
        let world = World::synced(test).await;
        let (agent, _, name) = agent(&world).await;
        let client = client(&world).await;
        let full = named(&world, client, &name).await.site.id;
        let says = refused(world.services.sites.remove(&world.ctx(), full).await, "site_has_assets");
        assert!(says.contains(&name) && says.contains("merge"), "{says}");
        let second = world.control().add_site(1, "Second");
        world.control().move_to_site(&agent, second).unwrap();
        world.run(RunKind::Devices).await;
        let first = world.control().sites(1).into_iter().find(|(_, other)| *other == name).unwrap().0;
        world.control().move_to_site(&agent, first).unwrap();
        world.run(RunKind::Devices).await;
        let empty = named(&world, client, "Second").await;
        assert_eq!(empty.asset_count, 0);
        world.services.sites.remove(&world.ctx(), empty.site.id).await.unwrap();
        changes_nothing(&world).await;
        assert!(!names(&world, client).await.contains(&"Second".to_owned()));
        world.control().move_to_site(&agent, second).unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.site_name.as_deref(), Some("Second"));
    }

    async fn sites_of_an_older_version_are_the_same_sites(test) {
        let world = World::synced(test).await;
        let (agent, rmm_site, name) = agent(&world).await;
        let client = client(&world).await;
        let before = sites(&world, client).await;
        let ids = |sites: &[SiteInfo]| {
            let sources = sites.iter().flat_map(|info| info.sources.clone());
            sources.map(|source| source.external_id).collect::<Vec<_>>()
        };
        assert!(!ids(&before).is_empty() && ids(&before).iter().all(Option::is_some));
        store::testing::migrate_sites_again(&world.test.without_isolation().await).await;
        let migrated = sites(&world, client).await;
        assert!(ids(&migrated).iter().all(Option::is_none));
        changes_nothing(&world).await;
        assert_eq!(sites(&world, client).await, before);
        let site = named(&world, client, &name).await.site.id;
        world.control().rename_site(rmm_site, "Elsewhere").unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.site_id, Some(site));
        assert_eq!(named(&world, client, "Elsewhere").await.site.id, site);
    }

    async fn names_are_one_site_each_and_sites_stay_with_their_client(test) {
        let world = World::synced(test).await;
        let (client, ctx) = (client(&world).await, world.ctx());
        let other = world.organization(2).await.client_id.unwrap();
        let service = &world.services.sites;
        let mut made: BTreeMap<&str, SiteId> = BTreeMap::new();
        for name in ["North", "South"] {
            let info = service.create(&ctx, client, name).await.unwrap();
            assert_eq!((info.site.client_id, info.asset_count, info.sources), (client, 0, Vec::new()));
            made.insert(name, info.site.id);
        }
        service.create(&ctx, other, "North").await.unwrap();
        let says = refused(service.create(&ctx, client, "nORTH ").await, "name_taken");
        assert!(says.contains("nORTH") && says.contains("another name"), "{says}");
        refused(service.rename(&ctx, made["South"], "north").await, "name_taken");
        service.rename(&ctx, made["South"], "SOUTH").await.unwrap();
        refused(service.create(&ctx, client, " ").await, "name_unusable");
        refused(service.merge(&ctx, made["South"], made["South"]).await, "same_site");
        let foreign = named(&world, other, "North").await.site.id;
        refused(service.merge(&ctx, made["South"], foreign).await, "other_client");
        // A device at an RMM's site of the name comes to the site that a person made.
        let agent = world.distinct_agent(1).await;
        world.control().move_to_site(&agent, world.control().add_site(1, "north")).unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.site_id, Some(made["North"]));
        assert!(names(&world, client).await.contains(&"North".to_owned()));
        let shut = world.services.clients.create(&ctx, "Shut").await.unwrap().client.id;
        world.services.clients.archive(&ctx, shut).await.unwrap();
        refused(service.create(&ctx, shut, "Any").await, "client_archived");
        let unknown: ClientId = store::new_id(ctx.now);
        let nobody = service.list(&ctx, unknown, None, ALL).await;
        assert!(matches!(nobody, Err(ServiceError::NotFound { what: "client" })));
    }
}
