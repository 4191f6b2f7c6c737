//! Who may do what, and whose data is whose.

use domain::{
    Ctx,
    asset::{AssetFilter, AssetSort, Direction},
    auth::{Permission, Permissions, Role},
    id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, ProposalId, SiteId, SyncRunId},
    sync::RunKind,
};
use futures::TryStreamExt;
use service::{
    Result, ServiceError, Services,
    asset::{Answer, AssetPatch, AuditKind, MergeChoice},
    integration::Draft,
    organization::{AcceptRequest, MappingChange, MappingTarget, OrganizationFilter},
    sync::RunFilter,
};
use store::{on_both_engines, testing::second_tenant};

use crate::world::{ALL, World, key_draft};

/// One of each kind of thing.
pub(crate) struct Ids {
    pub(crate) integration: IntegrationId,
    pub(crate) organization: OrganizationId,
    pub(crate) client: ClientId,
    pub(crate) other_client: ClientId,
    pub(crate) site: SiteId,
    pub(crate) other_site: SiteId,
    pub(crate) asset: AssetId,
    pub(crate) other_asset: AssetId,
    pub(crate) device: DeviceId,
    pub(crate) proposal: ProposalId,
    pub(crate) run: SyncRunId,
}

pub(crate) async fn ids(world: &World) -> Ids {
    let agent = world.distinct_agent(1).await;
    world.control().reinstall(&agent).unwrap();
    // The old one falls silent.
    world.pass(700);
    let run = world.run(RunKind::Devices).await;
    let organizations = world.organizations().await;
    let proposals = world.services.assets.proposals(&world.ctx(), true, ALL).await.unwrap();
    let assets = world.assets().await;
    let site_of = |client: u32| assets[&world.control().agent_ids(client)[0]].site_id.unwrap();
    Ids {
        integration: world.id,
        organization: organizations["1"].id,
        client: organizations["1"].client_id.unwrap(),
        other_client: organizations["2"].client_id.unwrap(),
        site: site_of(1),
        other_site: site_of(2),
        asset: world.asset(&agent).await.id,
        other_asset: assets[&world.control().agent_ids(2)[0]].id,
        device: world.asset(&agent).await.source.device_id,
        proposal: proposals.items[0].id,
        run: run.id,
    }
}

fn choice() -> MergeChoice {
    MergeChoice::default()
}

/// Calls every method that reads everything of a tenant; answers each one's permission and outcome.
pub(crate) async fn lists(services: &Services, ctx: &Ctx) -> Vec<(&'static str, Permission, Result<usize>)> {
    use Permission::{AssetsRead, IntegrationsRead};
    let Services { assets, clients, events, integrations, organizations, sync, .. } = services;
    let (sort, direction) = (AssetSort::Name, Direction::Ascending);
    let export = assets.export(ctx.clone(), AssetFilter::default(), sort, direction);
    let exported = export.try_fold(0, |sum, page| async move { Ok(sum + page.len()) }).await;
    let filter = OrganizationFilter::default();
    let csv = organizations.export_csv(ctx, None).await.map(|text| text.lines().count().saturating_sub(1));
    vec![
        (
            "assets",
            AssetsRead,
            assets
                .list(ctx, &AssetFilter::default(), sort, direction, &ALL)
                .await
                .map(|page| page.items.len()),
        ),
        ("export", AssetsRead, exported),
        ("proposals", AssetsRead, assets.proposals(ctx, false, ALL).await.map(|page| page.items.len())),
        ("clients", AssetsRead, clients.list(ctx, None, false, ALL).await.map(|page| page.items.len())),
        ("events", AssetsRead, events.since(ctx, 0, 1_000).await.map(|read| read.events.len())),
        ("last event", AssetsRead, events.last_seq(ctx).await.map(|seq| usize::try_from(seq).unwrap())),
        ("integrations", IntegrationsRead, integrations.list(ctx).await.map(|views| views.len())),
        (
            "organizations",
            IntegrationsRead,
            organizations.list(ctx, filter, true, ALL).await.map(|page| page.items.len()),
        ),
        ("csv", IntegrationsRead, csv),
        (
            "runs",
            IntegrationsRead,
            sync.list(ctx, RunFilter::default(), ALL).await.map(|page| page.items.len()),
        ),
    ]
}

/// Calls every method that names one thing.
pub(crate) async fn calls(
    services: &Services,
    ctx: &Ctx,
    ids: &Ids,
) -> Vec<(&'static str, Permission, Result<()>)> {
    use Permission::{AssetsRead, AssetsWrite, ClientsManage, IntegrationsRead, SystemSettings};
    let Services { assets, clients, integrations, organizations, sites, sync, .. } = services;
    let excluded = MappingChange { target: Some(MappingTarget::Excluded), auto_sync: None };
    let rename = Draft { name: Some("Other".to_owned()), ..Draft::default() };
    vec![
        ("asset", AssetsRead, assets.get(ctx, ids.asset).await.map(drop)),
        ("history", AssetsRead, assets.history(ctx, ids.asset, ALL).await.map(drop)),
        ("asset update", AssetsWrite, assets.update(ctx, ids.asset, AssetPatch::default()).await.map(drop)),
        ("keep both", AssetsWrite, assets.answer_proposal(ctx, ids.proposal, Answer::KeepBoth).await),
        ("never match", AssetsWrite, assets.answer_proposal(ctx, ids.proposal, Answer::Never).await),
        ("merge proposal", AssetsWrite, assets.merge_proposal(ctx, ids.proposal, choice()).await.map(drop)),
        ("merge", AssetsWrite, assets.merge(ctx, ids.asset, ids.other_asset, choice()).await.map(drop)),
        ("split", AssetsWrite, assets.split(ctx, ids.asset, ids.device).await.map(drop)),
        ("merged", AssetsRead, assets.merged(ctx, ids.asset).await.map(drop)),
        ("audit", AssetsWrite, assets.audit(ctx, ids.asset, &[AuditKind::Software]).await.map(drop)),
        ("client", AssetsRead, clients.get(ctx, ids.client).await.map(drop)),
        ("client rename", ClientsManage, clients.rename(ctx, ids.client, "Other").await.map(drop)),
        ("client archive", ClientsManage, clients.archive(ctx, ids.client).await.map(drop)),
        ("client restore", ClientsManage, clients.restore(ctx, ids.client).await.map(drop)),
        ("client merge", ClientsManage, clients.merge(ctx, ids.client, ids.other_client).await.map(drop)),
        ("sites", AssetsRead, sites.list(ctx, ids.client, None, ALL).await.map(drop)),
        ("site", AssetsRead, sites.get(ctx, ids.site).await.map(drop)),
        ("site create", ClientsManage, sites.create(ctx, ids.client, "New").await.map(drop)),
        ("site rename", ClientsManage, sites.rename(ctx, ids.site, "Other").await.map(drop)),
        ("site merge", ClientsManage, sites.merge(ctx, ids.site, ids.other_site).await.map(drop)),
        ("site remove", ClientsManage, sites.remove(ctx, ids.site).await),
        ("integration", IntegrationsRead, integrations.get(ctx, ids.integration).await.map(drop)),
        (
            "integration update",
            SystemSettings,
            integrations.update(ctx, ids.integration, rename, None).await.map(drop),
        ),
        (
            "integration test",
            SystemSettings,
            integrations.test(ctx, ids.integration, Draft::default()).await.map(drop),
        ),
        ("sign in", SystemSettings, integrations.sign_in(ctx, ids.integration, None).await.map(drop)),
        ("disconnect", SystemSettings, integrations.disconnect(ctx, ids.integration).await.map(drop)),
        (
            "reconnect",
            SystemSettings,
            integrations.reconnect(ctx, ids.integration, Draft::default()).await.map(drop),
        ),
        ("mapping", SystemSettings, organizations.change(ctx, ids.organization, excluded).await.map(drop)),
        ("undo", SystemSettings, organizations.undo(ctx, ids.organization).await.map(drop)),
        ("sync", SystemSettings, sync.request(ctx, ids.integration, RunKind::Devices, false).await.map(drop)),
        ("run", IntegrationsRead, sync.get(ctx, ids.run).await.map(drop)),
        ("items", IntegrationsRead, sync.items(ctx, ids.run, ALL).await.map(drop)),
        ("cancel", SystemSettings, sync.cancel(ctx, ids.run).await.map(drop)),
    ]
}

/// Calls every method that makes something.
pub(crate) async fn makes(world: &World, ctx: &Ctx) -> Vec<(&'static str, Permission, Result<()>)> {
    use Permission::{ClientsManage, SystemSettings};
    let Services { clients, integrations, organizations, .. } = &world.services;
    let draft = || key_draft(&world.server, "KEY");
    let request = AcceptRequest { integration_id: None, min_score: 1, auto_sync: true, create_missing: true };
    vec![
        ("client create", ClientsManage, clients.create(ctx, "New").await.map(drop)),
        ("integration create", SystemSettings, integrations.create(ctx, draft()).await.map(drop)),
        ("test draft", SystemSettings, integrations.test_draft(ctx, draft()).await.map(drop)),
        ("accept", SystemSettings, organizations.accept_suggestions(ctx, request).await.map(drop)),
        ("import", SystemSettings, organizations.import_csv(ctx, "", false).await.map(drop)),
    ]
}

/// Whoever lacks a permission is refused with its name, and nobody else.
async fn check_rights(world: &World, ids: &Ids, ctx: &Ctx) {
    let lists = lists(&world.services, ctx)
        .await
        .into_iter()
        .map(|(name, needs, result)| (name, needs, result.map(drop)));
    let all = lists.chain(calls(&world.services, ctx, ids).await).chain(makes(world, ctx).await);
    for (name, needs, result) in all {
        if ctx.actor.permissions.has(needs) {
            assert!(!matches!(result, Err(ServiceError::Forbidden(_))), "{name}: {result:?}");
        } else {
            let Err(ServiceError::Forbidden(lacking)) = result else { panic!("{name}: {result:?}") };
            assert_eq!(lacking.name(), needs.name(), "{name}");
        }
    }
}

on_both_engines! {
    async fn without_the_permission_every_method_is_refused_with_its_name(test) {
        let world = World::synced(test).await;
        let ids = ids(&world).await;
        let before = (world.register().await, world.organizations().await);
        for permissions in [Permissions::default(), Role::ReadOnly.permissions(), Role::Approver.permissions()] {
            check_rights(&world, &ids, &world.ctx_with(permissions)).await;
        }
        assert_eq!((world.register().await, world.organizations().await), before);
        check_rights(&world, &ids, &world.ctx_with(Role::Technician.permissions())).await;
    }

    async fn another_tenant_finds_nothing_of_ours(test) {
        let world = World::synced(test).await;
        let ids = ids(&world).await;
        let before = (world.register().await, world.organizations().await, world.last_seq().await);
        let ctx = Ctx { tenant: second_tenant(&world.test.store).await, ..world.ctx() };
        for (name, _, result) in lists(&world.services, &ctx).await {
            assert_eq!(result.unwrap(), 0, "{name}");
        }
        for (name, _, result) in calls(&world.services, &ctx, &ids).await {
            assert!(matches!(result, Err(ServiceError::NotFound { .. })), "{name}: {result:?}");
        }
        assert_eq!((world.register().await, world.organizations().await, world.last_seq().await), before);
        assert_eq!(world.services.integrations.get(&world.ctx(), world.id).await.unwrap().secrets.len(), 1);
    }

    async fn mapping_and_merging_never_reach_into_another_tenant(test) {
        let world = World::synced(test).await;
        let ours = ids(&world).await;
        let ctx = Ctx { tenant: second_tenant(&world.test.store).await, ..world.ctx() };
        let theirs = world.services.clients.create(&ctx, "Their Client").await.unwrap().client.id;
        for (from, into) in [(theirs, ours.client), (ours.client, theirs)] {
            for ctx in [&ctx, &world.ctx()] {
                let merged = world.services.clients.merge(ctx, from, into).await;
                assert!(matches!(merged, Err(ServiceError::NotFound { .. })), "{merged:?}");
            }
        }
        let change = MappingChange { target: Some(MappingTarget::Client(theirs)), auto_sync: None };
        let mapped = world.services.organizations.change(&world.ctx(), ours.organization, change).await;
        assert!(matches!(mapped, Err(ServiceError::NotFound { .. })));
        let filter = AssetFilter { client_id: Some(ours.client), ..AssetFilter::default() };
        let page = world.services.assets.list(&ctx, &filter, AssetSort::Client, Direction::Ascending, &ALL).await;
        assert!(page.unwrap().items.is_empty());
        let text = AssetFilter { text: Some("dell".to_owned()), ..AssetFilter::default() };
        let page = world.services.assets.list(&ctx, &text, AssetSort::LastSeen, Direction::Ascending, &ALL).await;
        assert!(page.unwrap().items.is_empty());
    }
}
