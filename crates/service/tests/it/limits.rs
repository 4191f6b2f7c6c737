//! People who may see some clients: what there is for them is what there is for all, without the rest.

use std::collections::BTreeSet;

use domain::{
    Actor, Ctx,
    asset::{Asset, AssetFilter, AssetSort, Direction},
    event::{Event, kind},
    id::{ClientId, OrganizationId, TypedId},
    page::{PageRequest, Total},
    scope::ClientScope,
    status::Status,
    sync::RunKind,
};
use futures::TryStreamExt;
use service::{
    Result, ServiceError,
    asset::AssetPatch,
    organization::{MappingChange, MappingTarget, OrganizationFilter},
};
use simulator::fleet::FleetSpec;
use store::{StoreError, on_both_engines};

use crate::{
    rights::{Ids, calls, ids, lists, makes},
    world::{ALL, World},
};

/// Somebody with every right who may see these clients.
fn limited(world: &World, clients: &[ClientId]) -> Ctx {
    let actor = Actor { clients: ClientScope::only(clients.to_vec()), ..world.ctx().actor };
    Ctx { actor, ..world.ctx() }
}

/// Nothing has this id.
fn unknown<T: TypedId>(world: &World) -> T {
    store::new_id(world.time())
}

/// All clients, the one of the first organization first.
async fn clients(world: &World) -> Vec<ClientId> {
    let mut found = Vec::new();
    for organization in 1..=4 {
        found.push(world.organization(organization).await.client_id.unwrap());
    }
    found
}

/// Walks a list in small pages; each must say the same total, which is that of the whole.
async fn walk(
    world: &World,
    ctx: &Ctx,
    filter: &AssetFilter,
    sort: AssetSort,
    down: bool,
    limit: u32,
) -> Vec<Asset> {
    let direction = if down { Direction::Descending } else { Direction::Ascending };
    let mut found = Vec::new();
    let mut totals = BTreeSet::new();
    let mut page = PageRequest { limit, cursor: None };
    loop {
        let part = world.services.assets.list(ctx, filter, sort, direction, &page).await.unwrap();
        totals.insert(match part.total {
            Total::Exact(total) => total,
            Total::AtLeast(least) => u64::MAX - least,
        });
        found.extend(part.items);
        match part.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    let (total, counted) = (totals.pop_first().unwrap(), found.len() as u64);
    assert!(
        totals.is_empty() && (total == counted || total == u64::MAX - 1_000 && counted > 1_000),
        "{filter:?} {sort:?}: {total} {counted}"
    );
    found
}

/// The same as whoever may not see all clients reads it.
fn as_read(mut asset: Asset) -> Asset {
    asset.source.missing_note = None;
    asset
}

async fn check_lists(world: &World, scope: &[ClientId], filters: &[AssetFilter], limit: u32) {
    let ctx = limited(world, scope);
    for filter in filters {
        for (sort, down) in AssetSort::ALL.into_iter().flat_map(|sort| [(sort, false), (sort, true)]) {
            let all = walk(world, &world.ctx(), filter, sort, down, 200).await;
            let expected: Vec<Asset> =
                all.into_iter().filter(|asset| scope.contains(&asset.client_id)).map(as_read).collect();
            let found = walk(world, &ctx, filter, sort, down, limit).await;
            assert!(found == expected, "{filter:?} {sort:?} {down}: {} {}", found.len(), expected.len());
            let direction = if down { Direction::Descending } else { Direction::Ascending };
            let exported = world.services.assets.export(ctx.clone(), filter.clone(), sort, direction);
            let exported: Vec<Vec<Asset>> = exported.try_collect().await.unwrap();
            assert!(exported.concat() == expected, "export: {filter:?} {sort:?} {down}");
        }
    }
}

/// Filters of every lead, with what is inside and what is not.
async fn filters(world: &World, clients: &[ClientId]) -> Vec<AssetFilter> {
    let none = AssetFilter::default;
    let assets = world.assets().await;
    let of =
        |client: ClientId| assets.values().find(|a| a.client_id == client && a.site_id.is_some()).unwrap();
    let (one, two) = (of(clients[0]), of(clients[1]));
    let serial = two.facts.serial.clone().unwrap();
    vec![
        none(),
        AssetFilter { client_id: Some(clients[0]), ..none() },
        AssetFilter { client_id: Some(clients[1]), provider: Some("tacticalrmm".to_owned()), ..none() },
        AssetFilter { provider: Some("tacticalrmm".to_owned()), ..none() },
        AssetFilter { client_id: Some(unknown(world)), ..none() },
        AssetFilter { site_id: one.site_id, ..none() },
        AssetFilter { site_id: two.site_id, status: Some(Status::Online), ..none() },
        AssetFilter { integration_id: Some(world.id), ..none() },
        AssetFilter { status: Some(Status::Online), ..none() },
        AssetFilter { asset_type: Some(one.asset_type), ..none() },
        AssetFilter { os: Some("windows".to_owned()), ..none() },
        AssetFilter { text: Some(serial), ..none() },
        AssetFilter { text: Some("10.".to_owned()), ..none() },
        AssetFilter { text: Some("a".to_owned()), ..none() },
        AssetFilter { seen_after: one.presence.last_seen, ..none() },
        AssetFilter { needs_reboot: Some(true), ..none() },
        AssetFilter { missing: Some(true), ..none() },
        AssetFilter { missing: Some(false), ..none() },
    ]
}

/// What of an event says whose it is: the client of its subject at this moment.
async fn owners(world: &World, event: &Event) -> Option<Vec<ClientId>> {
    let (tenant, ctx) = (&world.services, world.ctx());
    let subject = event.subject_id.as_str();
    match &subject[..4] {
        "ast_" => Some(vec![tenant.assets.get(&ctx, subject.parse().unwrap()).await.unwrap().client_id]),
        "cli_" => Some(vec![subject.parse().unwrap()]),
        "org_" => {
            let organizations = world.organizations().await;
            let id: OrganizationId = subject.parse().unwrap();
            organizations.values().find(|o| o.id == id).unwrap().client_id.map(|client| vec![client])
        }
        "pro_" => {
            let proposals = tenant.assets.proposals(&ctx, false, ALL).await.unwrap().items;
            let found = proposals.iter().find(|proposal| proposal.id.to_string() == subject).unwrap();
            let mut owners = Vec::new();
            for asset in [found.asset_id, found.other_asset_id] {
                owners.push(tenant.assets.get(&ctx, asset).await.unwrap().client_id);
            }
            Some(owners)
        }
        _ => None,
    }
}

async fn check_events(world: &World, scope: &[ClientId]) {
    let ctx = limited(world, scope);
    let all = world.services.events.since(&world.ctx(), 0, 100_000).await.unwrap();
    let mut expected = Vec::new();
    for event in &all.events {
        let owners = owners(world, event).await;
        if owners.is_some_and(|owners| owners.iter().all(|client| scope.contains(client))) {
            expected.push((event.seq, event.kind.clone(), event.subject_id.clone()));
        }
    }
    // In small steps: what is outside is read past.
    let (mut found, mut seq) = (Vec::new(), 0);
    loop {
        let read = world.services.events.since(&ctx, seq, 7).await.unwrap();
        if read.until == seq {
            break;
        }
        seq = read.until;
        found.extend(read.events);
    }
    assert_eq!(seq, all.until);
    let told: Vec<_> = found.iter().map(|e| (e.seq, e.kind.clone(), e.subject_id.clone())).collect();
    assert_eq!(told, expected);
    let text = serde_json::to_string(&found).unwrap();
    for client in clients(world).await.iter().filter(|client| !scope.contains(client)) {
        assert!(!text.contains(&client.to_string()), "an event names a client outside");
    }
    for organization in world.organizations().await.values() {
        let is_inside = organization.client_id.is_some_and(|client| scope.contains(&client));
        assert!(
            is_inside || !text.contains(&organization.id.to_string()),
            "an event names an organization outside"
        );
    }
}

async fn check_rest(world: &World, scope: &[ClientId]) {
    let (services, all, ctx) = (&world.services, world.ctx(), limited(world, scope));
    for archived in [false, true] {
        let mut expected = services.clients.list(&all, None, archived, ALL).await.unwrap().items;
        expected.retain(|view| scope.contains(&view.client.id));
        let found = services.clients.list(&ctx, None, archived, ALL).await.unwrap();
        assert_eq!(found.total, Total::Exact(expected.len() as u64));
        for (found, expected) in found.items.iter().zip(&expected) {
            assert_eq!(found.client.id, expected.client.id);
            assert_eq!(
                (found.asset_count, found.organization_count),
                (expected.asset_count, expected.organization_count)
            );
        }
    }
    let no_filter = OrganizationFilter::default;
    let mut expected = services.organizations.list(&all, no_filter(), false, ALL).await.unwrap().items;
    expected.retain(|view| view.organization.client_id.is_some_and(|client| scope.contains(&client)));
    let found = services.organizations.list(&ctx, no_filter(), true, ALL).await.unwrap();
    assert_eq!(found.total, Total::Exact(expected.len() as u64));
    let ids = |views: &[service::organization::OrganizationView]| {
        views.iter().map(|view| view.organization.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&found.items), ids(&expected));
    let csv = services.organizations.export_csv(&ctx, None).await.unwrap();
    assert_eq!(csv.lines().count(), expected.len() + 1);
    let mut expected = services.assets.proposals(&all, false, ALL).await.unwrap().items;
    let assets = world.assets().await;
    let owner = |id| assets.values().find(|asset| asset.id == id).unwrap().client_id;
    expected.retain(|p| scope.contains(&owner(p.asset_id)) && scope.contains(&owner(p.other_asset_id)));
    let found = services.assets.proposals(&ctx, false, ALL).await.unwrap();
    assert_eq!((found.total, found.items), (Total::Exact(expected.len() as u64), expected));
    assert!(services.integrations.list(&ctx).await.unwrap().is_empty());
    let runs = services.sync.list(&ctx, service::sync::RunFilter::default(), ALL).await.unwrap();
    assert_eq!((runs.items.len(), runs.total), (0, Total::Exact(0)));
    for asset in assets.values() {
        let found = services.assets.get(&ctx, asset.id).await;
        let history = services.assets.history(&ctx, asset.id, ALL).await;
        if scope.contains(&asset.client_id) {
            assert_eq!(found.unwrap(), as_read(asset.clone()));
            let whole = services.assets.history(&all, asset.id, ALL).await.unwrap();
            let history = history.unwrap();
            assert_eq!((history.items.len(), history.total), (whole.items.len(), whole.total));
        } else {
            not_found("asset", found, "asset");
            not_found("history", history, "asset");
        }
    }
}

#[track_caller]
fn not_found<T: std::fmt::Debug>(name: &str, answer: Result<T>, what: &str) {
    assert!(
        matches!(&answer, Err(ServiceError::NotFound { what: found }) if *found == what),
        "{name}: {answer:?}"
    );
}

/// A fleet in which things happened: moved, reinstalled, missing, renamed, merged; an organization without a client.
async fn eventful(test: store::testing::TestStore) -> World {
    let world = World::synced(test).await;
    let moved = world.distinct_agent(1).await;
    world.control().move_agent(&moved, 2).unwrap();
    world.control().reinstall(&world.distinct_agent(3).await).unwrap();
    let gone = world.distinct_agent(2).await;
    world.control().vanish(&gone).unwrap();
    world.run(RunKind::Devices).await;
    for _ in 0..3 {
        world.pass(9 * 3_600);
        world.run(RunKind::Devices).await;
    }
    assert!(world.asset(&gone).await.source.missing_since.is_some());
    let own = world.asset(&moved).await.id;
    let patch = AssetPatch { note: Some(Some("look".to_owned())), ..AssetPatch::default() };
    world.services.assets.update(&world.ctx(), own, patch).await.unwrap();
    let of_none = world.control().add_client("Of Nobody");
    world.run(RunKind::Organizations).await;
    assert_eq!(world.organization(of_none).await.client_id, None);
    world
}

on_both_engines! {
    async fn a_limited_person_reads_what_all_read_without_the_rest(test) {
        let world = eventful(test).await;
        let clients = clients(&world).await;
        let filters = filters(&world, &clients).await;
        for scope in [vec![], vec![clients[0]], vec![clients[1], clients[0]], clients[1..].to_vec()] {
            check_lists(&world, &scope, &filters, 7).await;
            check_events(&world, &scope).await;
            check_rest(&world, &scope).await;
        }
        check_events(&world, &clients).await;
        check_rest(&world, &clients).await;
    }

    async fn what_is_outside_is_not_there_and_nothing_is_done_to_it(test) {
        let world = World::synced(test).await;
        let ours = ids(&world).await;
        let clients = clients(&world).await;
        let nothing = Ids {
            integration: unknown(&world),
            organization: unknown(&world),
            client: unknown(&world),
            other_client: clients[2],
            site: unknown(&world),
            other_site: unknown(&world),
            asset: unknown(&world),
            other_asset: unknown(&world),
            device: unknown(&world),
            proposal: unknown(&world),
            run: unknown(&world),
        };
        let before = (world.register().await, world.organizations().await, world.last_seq().await);
        for scope in [vec![], vec![clients[2]], vec![clients[2], clients[3]]] {
            let ctx = limited(&world, &scope);
            let real = calls(&world.services, &ctx, &ours).await;
            let missing = calls(&world.services, &ctx, &nothing).await;
            for ((name, _, real), (_, _, missing)) in real.into_iter().zip(missing) {
                assert!(matches!(real, Err(ServiceError::NotFound { .. })), "{name}: {real:?}");
                assert_eq!(real.unwrap_err().to_string(), missing.unwrap_err().to_string(), "{name}");
            }
        }
        for (name, _, result) in lists(&world.services, &limited(&world, &[])).await {
            if name != "last event" {
                assert_eq!(result.unwrap(), 0, "{name}");
            }
        }
        assert_eq!((world.register().await, world.organizations().await, world.last_seq().await), before);
        assert_eq!(world.services.integrations.get(&world.ctx(), world.id).await.unwrap().secrets.len(), 1);
    }

    async fn what_is_inside_is_worked_with_as_ever(test) {
        let world = World::synced(test).await;
        let ours = ids(&world).await;
        let ctx = limited(&world, &[ours.client]);
        // The other client, its site and its machine are outside.
        let spans = [
            "integration", "integration update", "integration test", "sign in", "disconnect", "reconnect", "sync", "run",
            "items", "cancel", "client merge", "site merge", "merge",
        ];
        let names = ["client rename", "client restore"];
        for (name, _, result) in calls(&world.services, &ctx, &ours).await {
            match result {
                Err(ServiceError::NotFound { .. }) => assert!(spans.contains(&name), "{name}"),
                Err(ServiceError::Limited) => assert!(names.contains(&name) || name == "mapping", "{name}"),
                Err(ServiceError::Invalid { .. } | ServiceError::Conflict { .. }) | Ok(()) => {
                    assert!(!spans.contains(&name), "{name}: {result:?}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        for (name, _, result) in makes(&world, &ctx).await {
            // Nothing is unmapped for them, and an empty file cannot be read.
            if !["accept", "import"].contains(&name) {
                assert!(matches!(result, Err(ServiceError::Limited)), "{name}: {result:?}");
            }
        }
    }

    async fn mappings_lead_from_a_client_inside_to_another_and_nowhere_else(test) {
        let world = World::synced(test).await;
        let clients = clients(&world).await;
        let (ctx, id) = (limited(&world, &clients[..2]), world.organization(1).await.id);
        let organizations = &world.services.organizations;
        let to = |target| MappingChange { target: Some(target), auto_sync: None };
        for target in [MappingTarget::Excluded, MappingTarget::Unmapped, MappingTarget::NewClient { name: None }] {
            let answer = organizations.change(&ctx, id, to(target)).await;
            assert!(matches!(answer, Err(ServiceError::Limited)), "{answer:?}");
        }
        not_found("target", organizations.change(&ctx, id, to(MappingTarget::Client(clients[2]))).await, "client");
        organizations.change(&ctx, id, to(MappingTarget::Client(clients[1]))).await.unwrap();
        assert_eq!(world.organization(1).await.client_id, Some(clients[1]));
        organizations.undo(&ctx, id).await.unwrap();
        // What it was before leads outside: there is nothing to go back to.
        let two = world.organization(2).await.id;
        organizations.change(&world.ctx(), two, to(MappingTarget::Client(clients[3]))).await.unwrap();
        organizations.change(&world.ctx(), two, to(MappingTarget::Client(clients[1]))).await.unwrap();
        let seen = organizations.list(&ctx, OrganizationFilter::default(), false, ALL).await.unwrap().items;
        assert!(!seen.iter().find(|view| view.organization.id == two).unwrap().organization.can_undo);
        let undone = organizations.undo(&ctx, two).await;
        assert!(matches!(undone, Err(ServiceError::Conflict { code: "nothing_to_undo", .. })), "{undone:?}");
    }

    async fn an_import_takes_clients_inside_alone(test) {
        let world = World::synced(test).await;
        let clients = clients(&world).await;
        let ctx = limited(&world, &clients[..2]);
        let [one, three] = [world.organization(1).await, world.organization(3).await];
        let names: Vec<String> = {
            let mut names = Vec::new();
            for client in &clients {
                names.push(world.services.clients.get(&world.ctx(), *client).await.unwrap().client.name);
            }
            names
        };
        let organizations = &world.services.organizations;
        let line = |id: OrganizationId, client: &str| {
            format!("organization_id,state,client,auto_sync\n{id},mapped,\"{client}\",true\n")
        };
        let mut told = Vec::new();
        for client in [names[3].as_str(), "No Such Client"] {
            for dry_run in [true, false] {
                let answer = organizations.import_csv(&ctx, &line(one.id, client), dry_run).await;
                told.push(format!("{answer:?}").replace(client, "?"));
            }
        }
        assert_eq!(told[..2], told[2..], "a client outside is like one that there is not");
        let foreign = organizations.import_csv(&ctx, &line(three.id, &names[0]), false).await.unwrap();
        let absent = unknown::<OrganizationId>(&world);
        let absent_too = organizations.import_csv(&ctx, &line(absent, &names[0]), false).await.unwrap();
        assert_eq!(foreign.errors[0].message.replace(&three.id.to_string(), "?"), absent_too.errors[0].message.replace(&absent.to_string(), "?"));
        assert_eq!(organizations.import_csv(&ctx, &line(one.id, &names[1]), false).await.unwrap().changed, 1);
        assert_eq!(world.organization(1).await.client_id, Some(clients[1]));
        assert_eq!(world.organization(3).await.client_id, Some(clients[2]));
    }

    async fn a_merge_needs_both_clients_and_widens_no_limit(test) {
        let world = World::synced(test).await;
        let all = clients(&world).await;
        let ctx = limited(&world, &all[..2]);
        let merge = async |ctx: &Ctx, from, into| world.services.clients.merge(ctx, from, into).await;
        not_found("into", merge(&ctx, all[0], all[2]).await, "client");
        not_found("from", merge(&ctx, all[2], all[0]).await, "client");
        merge(&ctx, all[0], all[1]).await.unwrap();
        let one = limited(&world, &all[..1]);
        let seen = world.services.clients.get(&one, all[0]).await.unwrap();
        assert_eq!((seen.asset_count, seen.client.merged_into), (0, None));
        assert!(walk(&world, &one, &AssetFilter::default(), AssetSort::Name, false, 50).await.is_empty());
        assert_eq!(world.services.clients.get(&ctx, all[0]).await.unwrap().client.merged_into, Some(all[1]));
    }

    async fn a_machine_that_goes_to_another_client_goes_out_of_sight(test) {
        let world = World::synced(test).await;
        let all = clients(&world).await;
        let agent = world.distinct_agent(1).await;
        let id = world.asset(&agent).await.id;
        let [from, to] = [limited(&world, &all[..1]), limited(&world, &all[2..3])];
        world.services.assets.get(&from, id).await.unwrap();
        not_found("before", world.services.assets.get(&to, id).await, "asset");
        world.control().move_agent(&agent, 3).unwrap();
        world.run(RunKind::Devices).await;
        not_found("after", world.services.assets.get(&from, id).await, "asset");
        let patch = AssetPatch { note: Some(Some("mine".to_owned())), ..AssetPatch::default() };
        not_found("change", world.services.assets.update(&from, id, patch).await, "asset");
        let history = world.services.assets.history(&to, id, ALL).await.unwrap().items;
        let moved = history.iter().find(|event| event.kind == kind::ASSET_MOVED).unwrap();
        assert_eq!(moved.data.as_ref().unwrap(), &serde_json::json!({ "to_client": all[2] }));
    }

    /// Below the use cases: a handle of somebody limited finds nothing of others, and does none of the work of a sync.
    async fn the_store_itself_holds_to_the_limit(test) {
        let world = World::synced(test).await;
        let ours = ids(&world).await;
        let all = clients(&world).await;
        let ctx = limited(&world, &all[2..3]);
        let tenant = world.test.store.tenant(&ctx);
        fn gone<T: std::fmt::Debug>(answer: store::Result<T>) {
            assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
        }
        fn beyond<T: std::fmt::Debug>(answer: store::Result<T>) {
            assert!(matches!(answer, Err(StoreError::BeyondClients)), "{answer:?}");
        }
        let asset = world.services.assets.get(&world.ctx(), ours.asset).await.unwrap();
        gone(tenant.assets().get(ours.asset).await);
        gone(tenant.proposals().get(ours.proposal).await);
        gone(tenant.proposals().answer(ours.proposal, store::proposal::Answer::Never).await);
        beyond(tenant.proposals().due(world.id, 1).await);
        beyond(tenant.proposals().candidates(&[]).await);
        beyond(tenant.proposals().refresh(&store::proposal::Looked::default(), ctx.now).await);
        let (filter, sort) = (AssetFilter::default(), AssetSort::Name);
        let theirs = tenant.assets().list(&filter, sort, Direction::Ascending, &ALL).await.unwrap().items[0].id;
        for (keep, other) in [(ours.asset, theirs), (theirs, ours.asset)] {
            let request = store::merge::MergeRequest {
                keep,
                other,
                client: None,
                field_sources: Default::default(),
                reason: None,
            };
            gone(tenant.merges().merge(&request).await);
        }
        gone(tenant.merges().split(ours.asset, asset.source.device_id).await);
        gone(tenant.assets().lead(ours.asset, asset.source.device_id, &Default::default(), &Default::default()).await);
        gone(tenant.events().of_asset(ours.asset, &[], i64::MAX, 10).await);
        gone(tenant.events().count_of_asset(ours.asset, &[]).await);
        gone(tenant.clients().get(ours.client).await);
        gone(tenant.clients().numbers(ours.client).await);
        gone(tenant.clients().rename(ours.client, "Mine").await);
        gone(tenant.clients().archive(ours.client).await);
        gone(tenant.clients().restore(ours.client).await);
        gone(tenant.clients().merge(ours.client, all[2]).await);
        gone(tenant.clients().merge(all[2], ours.client).await);
        assert_eq!(tenant.clients().all_live().await.unwrap().len(), 1);
        gone(tenant.sites().of_client(ours.client).await);
        gone(tenant.sites().list(ours.client, "", &ALL).await);
        gone(tenant.sites().get(ours.site).await);
        gone(tenant.sites().create(ours.client, "Mine").await);
        gone(tenant.sites().rename(ours.site, "Mine").await);
        gone(tenant.sites().merge(ours.site, ours.other_site).await);
        gone(tenant.sites().remove(ours.site).await);
        gone(tenant.organizations().get(ours.organization).await);
        gone(tenant.organizations().undo(ours.organization).await);
        gone(tenant.integrations().get(ours.integration).await);
        gone(tenant.sync_runs().get(ours.run).await);
        gone(tenant.sync_runs().items(ours.run, &ALL).await);
        gone(tenant.sync_runs().cancel(ours.run).await);
        beyond(tenant.clients().create("Mine").await);
        beyond(tenant.organizations().of_integration(ours.integration).await);
        beyond(tenant.organizations().take_over(ours.integration, &[]).await);
        beyond(tenant.organizations().mappings(&[ours.organization]).await);
        beyond(tenant.sync_runs().request(ours.integration, RunKind::Devices, false, 0).await);
        beyond(tenant.sync_runs().start(ours.run).await);
        beyond(tenant.absences().not_listed(ours.organization, &[]).await);
        beyond(tenant.absences().candidates(ours.integration, 1, world.time()).await);
        beyond(tenant.absences().sweep_overdue().await);
        beyond(tenant.devices().known(ours.integration, &[]).await);
        beyond(tenant.devices().facts(&[asset.source.device_id]).await);
        beyond(tenant.devices().payload(asset.source.device_id).await);
        beyond(tenant.devices().count_present(ours.integration).await);
        beyond(tenant.details().due(ours.integration, 10).await);
        beyond(tenant.details().due_among(ours.integration, &[]).await);
        beyond(tenant.details().count_due(ours.integration).await);
    }
}

/// More assets than are sorted without a second thought: pages are met along the order.
#[tokio::test]
async fn clients_with_many_assets_are_listed_in_every_order() {
    let folder = tempfile::tempdir().unwrap();
    let test = store::testing::sqlite(folder.path()).await;
    let world = World::of(test, FleetSpec { seed: 3, agents: 5_200, clients: 4 }).await;
    world.run(RunKind::Organizations).await;
    world.map_all().await;
    world.run(RunKind::Devices).await;
    let mut counted = world.services.clients.list(&world.ctx(), None, false, ALL).await.unwrap().items;
    counted.sort_by_key(|view| view.asset_count);
    let scope: Vec<ClientId> = counted[1..].iter().map(|view| view.client.id).collect();
    assert!(
        counted[0].asset_count > 0 && counted[1..].iter().map(|view| view.asset_count).sum::<u64>() > 4_000
    );
    let none = AssetFilter::default;
    let filters = [
        none(),
        AssetFilter { status: Some(Status::Overdue), ..none() },
        AssetFilter { text: Some("10.".to_owned()), ..none() },
        AssetFilter { text: Some("s-".to_owned()), ..none() },
        AssetFilter { needs_reboot: Some(true), ..none() },
    ];
    check_lists(&world, &scope, &filters, 200).await;
}
