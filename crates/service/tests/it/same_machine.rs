//! The same machine in two RMMs: questions, merges and splits, what an asset with two sources shows. Two integrations to one
//! simulated server, under its two names, know the same machines.

use std::time::Duration;

use domain::{
    Ctx,
    asset::{Asset, AssetFilter, AssetSort, Direction},
    device::DeviceDetail,
    event::kind,
    id::{AssetId, DeviceId, IntegrationId},
    scope::ClientScope,
    source::Field,
    status::Status,
    sync::{RunKind, RunState},
};
use service::{
    ServiceError,
    asset::{Answer, AssetPatch, AuditKind, MergeChoice, Proposal},
    integration::Draft,
    organization::{MappingChange, MappingTarget, OrganizationFilter},
};
use store::{detail::DetailWrite, on_both_engines, testing};

use crate::world::{ALL, HOUR, World, key_draft};

/// Tables that a merge touches, with the columns that tell of time alone.
const TABLES: [(&str, &[&str]); 7] = [
    ("assets", &["row_id", "updated_at"]),
    ("rmm_devices", &[]),
    ("tenant_external_entity_mappings", &[]),
    ("device_presence", &[]),
    ("device_macs", &[]),
    ("asset_counts", &[]),
    ("asset_merges", &[]),
];

struct Twins {
    world: World,
    second: IntegrationId,
    /// The database as somebody with full access sees it.
    whole: store::Store,
}

impl Twins {
    /// Both integrations have all organizations mapped to the same clients, and all devices with their details.
    async fn synced(test: testing::TestStore) -> Twins {
        let twins = Box::pin(Twins::connected(test)).await;
        twins.world.run_of(twins.second, RunKind::Devices, false).await;
        twins.details().await;
        twins
    }

    async fn connected(test: testing::TestStore) -> Twins {
        let world = Box::pin(World::synced(test)).await;
        let ctx = world.ctx();
        let mut draft = key_draft(&world.server, &world.server.accounts().api_key);
        draft.url = Some(world.server.url().replace("127.0.0.1", "localhost"));
        draft.name = Some("Second RMM".to_owned());
        let second = world.services.integrations.create(&ctx, draft).await.unwrap().integration.id;
        world.run_of(second, RunKind::Organizations, false).await;
        let first = world.organizations().await;
        let filter = OrganizationFilter { integration_id: Some(second), ..OrganizationFilter::default() };
        for view in world.services.organizations.list(&ctx, filter, false, ALL).await.unwrap().items {
            let client = first[&view.organization.external_id].client_id.unwrap();
            let change = MappingChange { target: Some(MappingTarget::Client(client)), auto_sync: None };
            world.services.organizations.change(&ctx, view.organization.id, change).await.unwrap();
        }
        let whole = world.test.without_isolation().await;
        Twins { world, second, whole }
    }

    async fn details(&self) {
        for integration in [self.world.id, self.second] {
            self.world.run_of(integration, RunKind::Details, false).await;
        }
    }

    async fn pass(&self, kind: RunKind) {
        for integration in [self.world.id, self.second] {
            self.world.run_of(integration, kind, false).await;
        }
    }

    /// A network adapter of a maker, seen by both; those of the simulated machines are virtual and tell nothing.
    async fn give_mac(&self, assets: &[AssetId], mac: &str) {
        let ctx = self.world.ctx();
        let tenant = self.world.test.store.tenant(&ctx);
        for id in assets {
            for device in tenant.details().of_asset(*id).await.unwrap() {
                let integration = self.get(*id).await.source.integration_id;
                let detail =
                    DeviceDetail { macs: vec![mac.to_owned()], ..device.detail.clone().unwrap_or_default() };
                tenant.details().write_one(integration, DetailWrite { device, detail }).await.unwrap();
            }
        }
    }

    /// The agent as both integrations know it, as two assets.
    async fn pair(&self, agent: &str) -> (Asset, Asset) {
        (self.of(self.world.id, agent).await, self.of(self.second, agent).await)
    }

    async fn of(&self, integration: IntegrationId, agent: &str) -> Asset {
        let filter = AssetFilter { integration_id: Some(integration), ..AssetFilter::default() };
        let listed = self.world.find(filter).await;
        let is_it = |source: &domain::asset::AssetSource| {
            source.integration_id == integration && source.external_id == agent
        };
        let found = listed
            .iter()
            .find(|asset| is_it(&asset.source) || asset.sources.iter().any(|look| is_it(&look.source)));
        self.get(found.unwrap().id).await
    }

    async fn get(&self, id: AssetId) -> Asset {
        self.world.services.assets.get(&self.world.ctx(), id).await.unwrap()
    }

    async fn merge(&self, one: &Asset, other: &Asset) -> Asset {
        let assets = &self.world.services.assets;
        assets.merge(&self.world.ctx(), one.id, other.id, MergeChoice::default()).await.unwrap()
    }

    async fn split(&self, asset: AssetId, device: DeviceId) -> service::Result<service::asset::Split> {
        self.world.services.assets.split(&self.world.ctx(), asset, device).await
    }

    async fn open(&self) -> Vec<Proposal> {
        self.world.services.assets.proposals(&self.world.ctx(), true, ALL).await.unwrap().items
    }

    async fn question(&self, one: &Asset, other: &Asset) -> Option<Proposal> {
        let of = |id: AssetId| [one.id, other.id].contains(&id);
        self.open().await.into_iter().find(|asked| of(asked.asset_id) && of(asked.other_asset_id))
    }

    async fn rows(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut all = Vec::new();
        for (table, without) in TABLES {
            all.push((table, testing::rows(&self.whole, table, without).await));
        }
        all
    }

    async fn total(&self, filter: AssetFilter) -> domain::page::Total {
        let assets = &self.world.services.assets;
        let page = assets
            .list(&self.world.ctx(), &filter, AssetSort::Name, Direction::Ascending, &ALL)
            .await
            .unwrap();
        assert_eq!(page.total, domain::page::Total::Exact(page.items.len() as u64), "{filter:?}");
        page.total
    }

    async fn history(&self, id: AssetId) -> Vec<String> {
        let page = self.world.services.assets.history(&self.world.ctx(), id, ALL).await.unwrap();
        page.items.into_iter().map(|event| event.kind).collect()
    }

    fn limited(&self, client: domain::id::ClientId) -> Ctx {
        let mut ctx = self.world.ctx();
        ctx.actor.clients = ClientScope::only([client]);
        ctx
    }

    /// What each asset shows follows from its devices: bringing it there again changes nothing.
    async fn assert_settled(&self) {
        self.world.services.scheduler().tick(self.world.time()).await.unwrap();
        let before = self.rows().await;
        // All with several sources, and some of the others.
        let mut others = 0;
        for asset in self.world.find(AssetFilter::default()).await {
            others += usize::from(asset.sources.is_empty());
            if asset.sources.is_empty() && others > 20 {
                continue;
            }
            let tenant_ctx = self.world.ctx();
            let tenant = self.world.test.store.tenant(&tenant_ctx);
            let asset = tenant.assets().get(asset.id).await.unwrap();
            let leading = asset.source.device_id;
            tenant
                .assets()
                .lead(asset.id, leading, &asset.field_sources, &serde_json::json!({}))
                .await
                .unwrap();
        }
        assert_eq!(self.rows().await, before);
    }
}

fn code<T: std::fmt::Debug>(answer: service::Result<T>) -> &'static str {
    match answer.unwrap_err() {
        ServiceError::Conflict { code, .. } | ServiceError::Invalid { code, .. } => code,
        ServiceError::NotFound { .. } => "not_found",
        other => panic!("{other:?}"),
    }
}

on_both_engines! {
    async fn what_two_rmms_know_is_asked_about_once_with_its_evidence(test) {
        let twins = Twins::connected(test).await;
        twins.world.run_of(twins.second, RunKind::Devices, false).await;
        let agent = twins.world.distinct_agent_of_list(twins.world.id).await;
        let (one, other) = twins.pair(&agent).await;
        let asked = twins.question(&one, &other).await.unwrap();
        assert_eq!((asked.score, asked.reason.as_str()), (90, "same serial number, same name"));
        twins.give_mac(&[one.id, other.id], "3c:52:82:aa:bb:cc").await;
        twins.pass(RunKind::Presence).await;
        let asked = twins.question(&one, &other).await.unwrap();
        assert_eq!(asked.score, 100, "{asked:?}");
        assert_eq!(asked.evidence.len(), 3, "{asked:?}");
        for asked in twins.open().await {
            let (a, b) = (twins.get(asked.asset_id).await, twins.get(asked.other_asset_id).await);
            let is_one = a.source.integration_id == b.source.integration_id;
            assert_eq!(is_one, asked.reason.contains("the older one"), "{asked:?}");
        }
        let before = twins.open().await;
        let seq = twins.world.last_seq().await;
        twins.pass(RunKind::Devices).await;
        assert_eq!(twins.open().await, before);
        assert_eq!(twins.world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn a_merge_and_its_split_leave_every_row_as_it_was(test) {
        let twins = Twins::synced(test).await;
        let agent = twins.world.distinct_agent_of_list(twins.world.id).await;
        let (one, other) = twins.pair(&agent).await;
        let patch = AssetPatch {
            name: Some(Some("Front Desk".to_owned())),
            note: Some(Some("mine".to_owned())),
            ..AssetPatch::default()
        };
        twins.world.services.assets.update(&twins.world.ctx(), other.id, patch).await.unwrap();
        let before = twins.rows().await;
        let kept = twins.merge(&one, &other).await;
        assert_eq!((kept.id, kept.sources.len()), (one.id, 2));
        assert_ne!(twins.rows().await, before);
        let split = twins.split(one.id, other.source.device_id).await.unwrap();
        assert_eq!((split.kept.id, split.restored.id), (one.id, other.id));
        assert_eq!((split.restored.name.as_str(), split.restored.note.as_deref()), ("Front Desk", Some("mine")));
        assert_eq!(twins.rows().await, before);
        assert_eq!(twins.world.search("front desk").await.len(), 1);
        assert!(twins.question(&one, &other).await.is_none(), "it was answered by splitting");
        twins.pass(RunKind::Devices).await;
        assert!(twins.question(&one, &other).await.is_none());
        twins.assert_settled().await;
    }

    async fn one_asset_stands_for_both_in_lists_counts_search_and_history(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        let all = twins.total(AssetFilter::default()).await;
        let of_client = AssetFilter { client_id: Some(one.client_id), ..AssetFilter::default() };
        let (clients, events) = (twins.total(of_client.clone()).await, twins.history(other.id).await);
        twins.merge(&one, &other).await;
        let fewer = |total| match total {
            domain::page::Total::Exact(n) => domain::page::Total::Exact(n - 1),
            domain::page::Total::AtLeast(n) => domain::page::Total::AtLeast(n),
        };
        assert_eq!(twins.total(AssetFilter::default()).await, fewer(all));
        assert_eq!(twins.total(of_client).await, fewer(clients));
        for id in [world.id, twins.second] {
            let filter = AssetFilter { integration_id: Some(id), ..AssetFilter::default() };
            assert_eq!(twins.total(filter).await, domain::page::Total::Exact(60));
        }
        let provider = AssetFilter { provider: Some("tacticalrmm".to_owned()), ..AssetFilter::default() };
        assert_eq!(twins.total(provider).await, fewer(all));
        let found = world.search(one.facts.serial.as_deref().unwrap()).await;
        assert_eq!(found.iter().map(|asset| asset.id).collect::<Vec<_>>(), [one.id]);
        // The other id leads here, and its history is part of this one.
        assert_eq!(twins.get(other.id).await.id, one.id);
        let told = twins.history(one.id).await;
        assert!(told.contains(&kind::ASSET_MERGED.to_owned()), "{told:?}");
        assert!(told.len() > events.len(), "{told:?}");
        assert_eq!(twins.history(other.id).await, told);
        let merged = world.services.assets.merged(&world.ctx(), one.id).await.unwrap();
        assert_eq!(merged.iter().map(|merged| merged.id).collect::<Vec<_>>(), [other.id]);
        let exported: Vec<Asset> = {
            use futures::TryStreamExt;
            let pages = world.services.assets.export(world.ctx(), AssetFilter::default(), AssetSort::LastSeen, Direction::Descending);
            pages.try_collect::<Vec<_>>().await.unwrap().into_iter().flatten().collect()
        };
        assert_eq!(exported.iter().filter(|asset| asset.id == one.id).count(), 1);
        assert!(exported.iter().all(|asset| asset.id != other.id));
    }

    async fn syncs_of_both_rmms_go_on_and_write_nothing_where_nothing_changed(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        twins.merge(&one, &other).await;
        let (rows, seq) = (twins.rows().await, world.last_seq().await);
        twins.pass(RunKind::Devices).await;
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
        assert_eq!(twins.rows().await, rows);
        // What the second one sees changes what is shown only where the first has nothing to say.
        world.control().describe(&agent, Some("by the window")).unwrap();
        world.run_of(twins.second, RunKind::Devices, false).await;
        let after = twins.get(one.id).await;
        assert_eq!(after.facts.description, one.facts.description, "the leading one has not looked");
        assert_eq!(world.search("by the window").await.len(), 1, "search looks through all");
        assert_eq!(world.kinds_since(seq).await, [kind::ASSET_UPDATED]);
        world.run(RunKind::Devices).await;
        assert_eq!(twins.get(one.id).await.facts.description.as_deref(), Some("by the window"));
        // Split off, the second one takes along what happened to it.
        let split = twins.split(one.id, other.source.device_id).await.unwrap();
        let told = twins.history(split.restored.id).await;
        assert_eq!(told.iter().filter(|kind| *kind == kind::ASSET_UPDATED).count(), 1, "{told:?}");
        twins.assert_settled().await;
    }

    async fn the_most_alive_source_says_the_status_also_by_the_clock(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        twins.merge(&one, &other).await;
        assert_eq!(twins.get(one.id).await.status, Status::Online);
        world.control().silence(&agent).unwrap();
        world.pass(600);
        world.run(RunKind::Presence).await;
        let asset = twins.get(one.id).await;
        assert_eq!(asset.status, Status::Online, "the second one still saw it online");
        let own: Vec<Status> = asset.sources.iter().map(|look| look.status).collect();
        assert_eq!(own, [Status::Offline, Status::Online]);
        assert_eq!(asset.sources.iter().position(|look| look.is_voice), Some(1));
        let seq = world.last_seq().await;
        world.run_of(twins.second, RunKind::Presence, false).await;
        assert_eq!(twins.get(one.id).await.status, Status::Offline);
        assert!(world.kinds_since(seq).await.contains(&kind::STATUS_CHANGED.to_owned()));
        let online = AssetFilter { status: Some(Status::Online), ..AssetFilter::default() };
        assert!(world.find(online).await.iter().all(|asset| asset.id != one.id));
        world.wait(HOUR);
        let scheduler = world.services.scheduler();
        scheduler.tick(world.time()).await.unwrap();
        assert_eq!(twins.get(one.id).await.status, Status::Overdue);
        world.control().wake(&agent).unwrap();
        world.run_of(twins.second, RunKind::Presence, false).await;
        let asset = twins.get(one.id).await;
        assert_eq!(asset.status, Status::Online);
        assert_eq!(asset.presence, asset.sources[1].presence);
        twins.assert_settled().await;
    }

    async fn it_is_missing_only_when_no_rmm_lists_it_any_more(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        twins.merge(&one, &other).await;
        world.control().vanish(&agent).unwrap();
        let seq = world.last_seq().await;
        for _ in 0..3 {
            world.run(RunKind::Devices).await;
            world.wait(13 * HOUR);
        }
        let asset = twins.get(one.id).await;
        assert!(asset.source.missing_since.is_some() && asset.missing_since.is_none());
        assert!(world.kinds_since(seq).await.contains(&kind::SOURCE_MISSING.to_owned()));
        let missing = AssetFilter { missing: Some(true), ..AssetFilter::default() };
        assert!(world.find(missing.clone()).await.is_empty());
        for _ in 0..3 {
            world.run_of(twins.second, RunKind::Devices, false).await;
            world.wait(13 * HOUR);
        }
        assert!(twins.get(one.id).await.missing_since.is_some());
        assert!(world.kinds_since(seq).await.contains(&kind::ASSET_MISSING.to_owned()));
        assert_eq!(world.find(missing.clone()).await.iter().map(|asset| asset.id).collect::<Vec<_>>(), [one.id]);
        world.control().restore(&agent).unwrap();
        world.run_of(twins.second, RunKind::Devices, false).await;
        assert!(twins.get(one.id).await.missing_since.is_none());
        assert!(world.find(missing).await.is_empty());
        twins.assert_settled().await;
    }

    async fn answers_are_remembered_for_the_pair(test) {
        let twins = Twins::connected(test).await;
        let world = &twins.world;
        world.run_of(twins.second, RunKind::Devices, false).await;
        let agents = world.control().agents(None);
        let mut asked = twins.open().await;
        asked.retain(|asked| asked.score == 90);
        assert!(agents.len() > 2 && asked.len() > 2);
        let (soft, hard) = (asked[0].clone(), asked[1].clone());
        let assets = &world.services.assets;
        assets.answer_proposal(&world.ctx(), soft.id, Answer::KeepBoth).await.unwrap();
        assets.answer_proposal(&world.ctx(), hard.id, Answer::Never).await.unwrap();
        twins.pass(RunKind::Devices).await;
        let is_open = |open: &[Proposal], id| open.iter().any(|asked| asked.id == id);
        let open = twins.open().await;
        assert!(!is_open(&open, soft.id) && !is_open(&open, hard.id));
        // Hardware addresses come in: the evidence is stronger.
        for (n, asked) in [&soft, &hard].into_iter().enumerate() {
            twins.give_mac(&[asked.asset_id, asked.other_asset_id], &format!("3c:52:82:aa:bb:0{n}")).await;
        }
        twins.pass(RunKind::Presence).await;
        let open = twins.open().await;
        assert!(is_open(&open, soft.id) && !is_open(&open, hard.id), "{open:?}");
        // A merge closes the question, whatever it was.
        let kept = assets.merge_proposal(&world.ctx(), soft.id, MergeChoice::default()).await.unwrap();
        assert_eq!(kept.sources.len(), 2);
        assert_eq!(code(assets.merge_proposal(&world.ctx(), soft.id, MergeChoice::default()).await), "already_merged");
        assert_eq!(code(assets.answer_proposal(&world.ctx(), soft.id, Answer::Never).await), "already_merged");
    }

    async fn what_is_exactly_the_same_is_merged_only_if_both_say_so(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        twins.give_mac(&[one.id, other.id], "3c:52:82:aa:bb:cc").await;
        for (n, id) in [world.id, twins.second].into_iter().enumerate() {
            let settings = serde_json::json!({
                "allow_plain_http": true, "schedules_enabled": false, "merge_exact": true,
            });
            let draft = Draft { settings: Some(settings), ..Draft::default() };
            world.services.integrations.update(&world.ctx(), id, draft, None).await.unwrap();
            // The facts change, so the machine is looked at again.
            world.control().describe(&agent, Some(&format!("round {n}"))).unwrap();
            twins.pass(RunKind::Devices).await;
            let kept = twins.get(other.id).await;
            assert_eq!(kept.id == one.id, n == 1, "after round {n}");
        }
        let history = world.services.assets.history(&world.ctx(), one.id, ALL).await.unwrap().items;
        let merged = history.iter().find(|event| event.kind == kind::ASSET_MERGED).unwrap();
        assert_eq!(merged.data.as_ref().unwrap()["by"], "system");
        // Two that were split stay two.
        twins.split(one.id, other.source.device_id).await.unwrap();
        world.control().describe(&agent, Some("again")).unwrap();
        twins.pass(RunKind::Devices).await;
        assert_eq!(twins.get(other.id).await.id, other.id);
    }

    async fn assets_of_two_clients_need_one_to_be_named(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let assets = &world.services.assets;
        let one = twins.of(world.id, &world.control().agent_ids(1)[0]).await;
        let other = twins.of(twins.second, &world.control().agent_ids(2)[0]).await;
        let before = twins.rows().await;
        assert_ne!(one.client_id, other.client_id);
        let ctx = world.ctx();
        let refused = assets.merge(&ctx, one.id, other.id, MergeChoice::default()).await;
        assert_eq!(code(refused), "two_clients");
        let named = MergeChoice { client: Some(other.client_id), ..MergeChoice::default() };
        for client in [one.client_id, other.client_id] {
            let refused = assets.merge(&twins.limited(client), one.id, other.id, named.clone()).await;
            assert_eq!(code(refused), "not_found");
        }
        assert_eq!(twins.rows().await, before);
        let kept = assets.merge(&ctx, one.id, other.id, named).await.unwrap();
        assert_eq!((kept.id, kept.client_id), (one.id, other.client_id));
        assert_eq!(kept.source.device_id, other.source.device_id, "its side leads");
        twins.pass(RunKind::Devices).await;
        assert_eq!(twins.get(one.id).await.client_id, other.client_id);
        // The split would take the rest to a client that this person does not see.
        let of_other = twins.limited(other.client_id);
        assert_eq!(code(assets.split(&of_other, one.id, other.source.device_id).await), "not_found");
        let split = twins.split(one.id, other.source.device_id).await.unwrap();
        assert_eq!((split.kept.client_id, split.restored.client_id), (one.client_id, other.client_id));
        assert_eq!(twins.rows().await, before);
    }

    async fn a_chain_of_merges_comes_apart_in_any_order(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let ids = world.control().agent_ids(1);
        let a = twins.of(world.id, &ids[0]).await;
        let b = twins.of(world.id, &ids[1]).await;
        let c = twins.of(world.id, &ids[2]).await;
        let before = twins.rows().await;
        let into = |keep: &Asset| MergeChoice { keep: Some(keep.id), ..MergeChoice::default() };
        let merge_all = || async {
            world.services.assets.merge(&world.ctx(), a.id, b.id, into(&b)).await.unwrap();
            world.wait(1);
            world.services.assets.merge(&world.ctx(), b.id, c.id, into(&c)).await.unwrap()
        };
        assert_eq!(merge_all().await.sources.len(), 3);
        assert_eq!((twins.get(a.id).await.id, twins.get(b.id).await.id), (c.id, c.id));
        assert_eq!(code(twins.split(c.id, c.source.device_id).await), "own_device");
        // The last one first: the middle one comes back with what was merged into it.
        let split = twins.split(c.id, b.source.device_id).await.unwrap();
        assert_eq!((split.restored.id, split.restored.sources.len()), (b.id, 2));
        assert_eq!(twins.get(a.id).await.id, b.id);
        twins.split(b.id, a.source.device_id).await.unwrap();
        assert_eq!(twins.rows().await, before);
        // The first one first.
        merge_all().await;
        let split = twins.split(c.id, a.source.device_id).await.unwrap();
        assert_eq!((split.restored.id, split.kept.sources.len()), (a.id, 2));
        let split = twins.split(a.id, a.source.device_id).await;
        assert_eq!(code(split), "own_device");
        twins.split(c.id, b.source.device_id).await.unwrap();
        assert_eq!(twins.rows().await, before);
    }

    async fn who_leads_and_who_speaks_can_be_chosen(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        let assets = &world.services.assets;
        let device = other.source.device_id;
        let patch = |device| AssetPatch { leading_device: Some(device), ..AssetPatch::default() };
        assert_eq!(code(assets.update(&world.ctx(), one.id, patch(device)).await), "one_source");
        twins.merge(&one, &other).await;
        let stranger = twins.of(world.id, &world.control().agent_ids(2)[0]).await.source.device_id;
        assert_eq!(code(assets.update(&world.ctx(), one.id, patch(stranger)).await), "not_its_device");
        world.control().rename(&agent, "ONLY-SECOND").unwrap();
        world.run_of(twins.second, RunKind::Devices, false).await;
        assert_eq!(twins.get(one.id).await.name, one.name);
        let choose = AssetPatch { field_sources: [(Field::Name, Some(device))].into(), ..AssetPatch::default() };
        let chosen = assets.update(&world.ctx(), one.id, choose).await.unwrap();
        assert_eq!((chosen.name.as_str(), chosen.speakers[&Field::Name]), ("ONLY-SECOND", device));
        assert_eq!(chosen.source.device_id, one.source.device_id);
        let back = AssetPatch { field_sources: [(Field::Name, None)].into(), ..patch(device) };
        let led = assets.update(&world.ctx(), one.id, back).await.unwrap();
        assert_eq!((led.name.as_str(), led.source.device_id), ("ONLY-SECOND", device));
        assert!(led.field_sources.is_empty());
        // The one that led goes: the other leads again.
        let split = twins.split(one.id, device).await.unwrap();
        assert_eq!((split.kept.name.as_str(), split.restored.name.as_str()), (one.name.as_str(), "ONLY-SECOND"));
        twins.assert_settled().await;
    }

    async fn what_the_list_lacks_comes_from_the_detail_and_stays(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let ctx = world.ctx();
        let asset = twins.of(world.id, &agent).await;
        let tenant = world.test.store.tenant(&ctx);
        let device = tenant.details().of_asset(asset.id).await.unwrap().pop().unwrap();
        let detail = DeviceDetail {
            lan_ips: vec!["10.99.0.7".to_owned()],
            more: [("displays".to_owned(), vec!["27 inch".to_owned()])].into(),
            ..device.detail.clone().unwrap()
        };
        let write = DetailWrite { device, detail };
        tenant.details().write_one(world.id, write).await.unwrap();
        let has = |asset: &Asset| asset.facts.lan_ips.contains(&"10.99.0.7".to_owned());
        let shown = twins.get(asset.id).await;
        assert!(has(&shown) && shown.detail.unwrap().more.contains_key("displays"));
        let listed = world.search("10.99.0.7").await;
        assert!(listed.len() == 1 && has(&listed[0]), "lists show it too");
        world.control().describe(&agent, Some("looked at again")).unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.search("10.99.0.7").await.len(), 1, "a later look does not take it away");
        assert!(has(&twins.get(asset.id).await));
    }

    async fn a_look_that_a_person_asks_for_is_stored_or_says_why_not(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let asset = world.asset(&agent).await;
        assert!(asset.detail.is_none());
        let assets = &world.services.assets;
        let kinds = [AuditKind::Software, AuditKind::Hardware, AuditKind::Hardware];
        let found = assets.audit(&world.ctx(), asset.id, &kinds).await.unwrap();
        assert_eq!(found.results.len(), 2);
        assert!(found.results[0].problem.is_none() && found.asset.detail.is_some());
        assert!(found.results[1].problem.as_deref().unwrap().contains("tells what is installed"));
        assert!(found.software.is_none());
        let mut limited = world.ctx();
        limited.actor.clients = ClientScope::only([asset.client_id]);
        let found = assets.audit(&limited, asset.id, &[AuditKind::Network]).await.unwrap();
        assert!(found.results[0].problem.is_none(), "{:?}", found.results);
        world.fault("/agents/*", simulator::tacticalrmm::FaultKind::Status { status: 500 });
        let found = assets.audit(&world.ctx(), asset.id, &[AuditKind::Network]).await.unwrap();
        assert!(found.results[0].problem.is_some() && found.asset.detail.is_some());
        assert_eq!(code(assets.audit(&world.ctx(), asset.id, &[]).await), "kinds_empty");
    }

    /// A merge that is broken off leaves all or nothing.
    async fn a_merge_that_is_broken_off_leaves_all_or_nothing(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let agent = world.distinct_agent_of_list(world.id).await;
        let (one, other) = twins.pair(&agent).await;
        let before = twins.rows().await;
        let (mut whole, mut none) = (0, 0);
        for polls in [0, 1, 2, 3, 5, 8, 20, 50, 100, 200, 400, usize::MAX] {
            {
                let mut merge = std::pin::pin!(twins.merge(&one, &other));
                for _ in 0..polls {
                    if futures::poll!(&mut merge).is_ready() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_micros(50)).await;
                }
            }
            if twins.get(other.id).await.id == one.id {
                whole += 1;
                assert_eq!(twins.get(one.id).await.sources.len(), 2);
                twins.split(one.id, other.source.device_id).await.unwrap();
            } else {
                none += 1;
            }
            assert_eq!(twins.rows().await, before, "after {polls} polls");
        }
        assert!(whole > 0 && none > 0, "{whole} whole, {none} none");
    }

    async fn merges_and_splits_amid_syncs_lose_nothing(test) {
        let twins = Twins::synced(test).await;
        let world = &twins.world;
        let ids: Vec<String> = world.control().agent_ids(1).into_iter().take(6).collect();
        let mut pairs = Vec::new();
        for id in &ids {
            pairs.push(twins.pair(id).await);
        }
        for round in 0..3 {
            for id in world.control().agent_ids(1) {
                world.control().describe(&id, Some(&format!("round {round}"))).unwrap();
            }
            let syncs = async {
                world.run(RunKind::Devices).await;
                world.run_of(twins.second, RunKind::Devices, false).await;
            };
            let merges = async {
                for (one, other) in &pairs {
                    let choice = MergeChoice::default();
                    world.services.assets.merge(&world.ctx(), one.id, other.id, choice).await.unwrap();
                    tokio::task::yield_now().await;
                }
                if round < 2 {
                    for (one, other) in &pairs {
                        twins.split(one.id, other.source.device_id).await.unwrap();
                    }
                }
            };
            tokio::join!(syncs, merges);
            twins.assert_settled().await;
        }
        for (one, _) in &pairs {
            let asset = twins.get(one.id).await;
            assert_eq!(asset.sources.len(), 2);
            assert_eq!(asset.facts.description.as_deref(), Some("round 2"));
        }
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.updated), (RunState::Succeeded, 0));
    }
}
