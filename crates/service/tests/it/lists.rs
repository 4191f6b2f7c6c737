//! Lists of assets: whatever leads the query, a filter finds exactly its assets, in order, each once.

use std::collections::BTreeSet;

use domain::{
    asset::{Asset, AssetFilter, AssetSort, AssetType, Direction},
    client::name_key,
    id::AssetId,
    page::{PageRequest, Total},
    status::Status,
    sync::RunKind,
};
use futures::TryStreamExt;
use simulator::fleet::FleetSpec;
use store::on_both_engines;

use crate::world::World;

/// What a list shall find, said a second time.
type Rule = Box<dyn Fn(&Asset) -> bool>;

/// Walks a list in small pages; each must say the same total.
async fn walk(world: &World, filter: &AssetFilter, sort: AssetSort, direction: Direction) -> Vec<Asset> {
    walk_by(7, world, filter, sort, direction).await
}

async fn walk_by(
    limit: u32,
    world: &World,
    filter: &AssetFilter,
    sort: AssetSort,
    direction: Direction,
) -> Vec<Asset> {
    let mut found = Vec::new();
    let mut page = PageRequest { limit, cursor: None };
    loop {
        let part = world.services.assets.list(&world.ctx(), filter, sort, direction, &page).await.unwrap();
        let total = match part.total {
            Total::Exact(total) => total,
            Total::AtLeast(total) => {
                assert!(world.services.engine_name() == "sqlite" && total == 1_000, "{filter:?} {sort:?}");
                u64::MAX
            }
        };
        found.extend(part.items);
        assert!(found.len() as u64 <= total, "{filter:?} {sort:?}");
        match part.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => {
                assert!(
                    found.len() as u64 == total || total == u64::MAX && found.len() > 1_000,
                    "{filter:?} {sort:?}"
                );
                return found;
            }
        }
    }
}

fn key(sort: AssetSort, asset: &Asset) -> (String, String) {
    let name = name_key(&asset.name);
    let number = |n: i64| format!("{n:020}");
    match sort {
        AssetSort::Name => (name, String::new()),
        AssetSort::Client => (name_key(&asset.client_name), name),
        AssetSort::Type => (asset.asset_type.name().to_owned(), name),
        AssetSort::Os => (asset.facts.os.clone().unwrap_or_default(), name),
        AssetSort::LastSeen => (number(asset.presence.last_seen.map_or(0, |t| t.0)), String::new()),
        AssetSort::Created => (number(asset.created_at.0), String::new()),
    }
}

/// Every kind of filter with the rule it stands for.
fn cases(all: &[Asset]) -> Vec<(AssetFilter, Rule)> {
    let none = AssetFilter::default;
    let some = all.iter().find(|a| a.status == Status::Offline && a.site_id.is_some()).unwrap().clone();
    let seen = all.iter().filter_map(|a| a.presence.last_seen).max().unwrap();
    let serial = some.facts.serial.clone().unwrap();
    let part = serial[2..].to_lowercase();
    let (client, site) = (some.client_id, some.site_id);
    let client_text = part[..4].to_owned();
    let has = |asset: &Asset, word: &str| {
        let texts = [Some(&asset.name), asset.facts.serial.as_ref(), asset.facts.make_model.as_ref()];
        texts.into_iter().flatten().any(|text| text.to_lowercase().contains(word))
    };
    let windows =
        |a: &Asset| a.facts.os.as_deref().is_some_and(|os| os.to_lowercase().starts_with("windows 1"));
    vec![
        (none(), Box::new(|_: &Asset| true)),
        (AssetFilter { client_id: Some(client), ..none() }, Box::new(move |a| a.client_id == client)),
        (AssetFilter { site_id: site, ..none() }, Box::new(move |a| a.site_id == site)),
        (
            AssetFilter { client_id: Some(client), status: Some(Status::Online), ..none() },
            Box::new(move |a| a.client_id == client && a.status == Status::Online),
        ),
        (
            AssetFilter { asset_type: Some(AssetType::Server), ..none() },
            Box::new(|a| a.asset_type == AssetType::Server),
        ),
        (
            AssetFilter { status: Some(Status::Overdue), asset_type: Some(AssetType::Workstation), ..none() },
            Box::new(|a| a.status == Status::Overdue && a.asset_type == AssetType::Workstation),
        ),
        (AssetFilter { os: Some("WINDOWS 1".to_owned()), ..none() }, Box::new(windows)),
        (
            AssetFilter { os: Some("windows 1".to_owned()), status: Some(Status::Online), ..none() },
            Box::new(move |a| windows(a) && a.status == Status::Online),
        ),
        (AssetFilter { os: Some("no such system".to_owned()), ..none() }, Box::new(|_| false)),
        (
            AssetFilter { needs_reboot: Some(true), ..none() },
            Box::new(|a| a.facts.needs_reboot == Some(true)),
        ),
        (
            AssetFilter { seen_before: Some(seen), ..none() },
            Box::new(move |a| a.presence.last_seen.is_none_or(|t| t < seen)),
        ),
        (
            AssetFilter { seen_after: Some(seen), client_id: Some(client), ..none() },
            Box::new(move |a| a.client_id == client && a.presence.last_seen.is_some_and(|t| t >= seen)),
        ),
        (AssetFilter { text: Some(part.clone()), ..none() }, Box::new(move |a| has(a, &part))),
        (
            AssetFilter { text: Some(client_text.clone()), client_id: Some(client), ..none() },
            Box::new(move |a| a.client_id == client && has(a, &client_text)),
        ),
        (AssetFilter { missing: Some(true), ..none() }, Box::new(|a| a.source.missing_since.is_some())),
        (AssetFilter { missing: Some(false), ..none() }, Box::new(|a| a.source.missing_since.is_none())),
    ]
}

on_both_engines! {
    async fn every_filter_finds_its_assets_in_every_order(test) {
        let world = World::synced(test).await;
        world.run(RunKind::Presence).await;
        let all: Vec<Asset> = world.assets().await.into_values().collect();
        for (filter, rule) in cases(&all) {
            let expected: BTreeSet<AssetId> = all.iter().filter(|a| rule(a)).map(|a| a.id).collect();
            for (sort, direction) in AssetSort::ALL
                .into_iter()
                .flat_map(|sort| [(sort, Direction::Ascending), (sort, Direction::Descending)])
            {
                let found = walk(&world, &filter, sort, direction).await;
                let ids: BTreeSet<AssetId> = found.iter().map(|a| a.id).collect();
                assert_eq!(ids.len(), found.len(), "each once: {filter:?} {sort:?}");
                assert_eq!(ids, expected, "{filter:?} {sort:?}");
                let mut keys: Vec<_> = found.iter().map(|a| key(sort, a)).collect();
                if direction == Direction::Descending {
                    keys.reverse();
                }
                assert!(keys.is_sorted(), "{filter:?} {sort:?} {direction:?}: {keys:?}");
                // An export counts nothing beforehand, so other things lead it.
                let exported = world.services.assets.export(world.ctx(), filter.clone(), sort, direction);
                let exported: Vec<Vec<Asset>> = exported.try_collect().await.unwrap();
                let exported: Vec<AssetId> = exported.into_iter().flatten().map(|a| a.id).collect();
                let listed: Vec<AssetId> = found.iter().map(|a| a.id).collect();
                assert_eq!(exported, listed, "{filter:?} {sort:?} {direction:?}");
            }
        }
    }
}

/// More hits of a word than are sorted without a second thought: most pages come from a look along the order, and where that
/// finds too little, from all hits.
#[tokio::test]
async fn a_word_that_nearly_all_hold_finds_them_in_every_order() {
    let folder = tempfile::tempdir().unwrap();
    let test = store::testing::sqlite(folder.path()).await;
    let world = World::of(test, FleetSpec { seed: 3, agents: 4_300, clients: 4 }).await;
    world.run(RunKind::Organizations).await;
    world.map_all().await;
    world.run(RunKind::Devices).await;
    let all: Vec<Asset> = world.assets().await.into_values().collect();
    let word = "10.";
    let has = |a: &Asset| a.facts.lan_ips.iter().any(|ip| ip.contains(word));
    assert!(all.iter().filter(|a| has(a)).count() > 4_001, "the word must be in very many");
    let none = || AssetFilter { text: Some(word.to_owned()), ..AssetFilter::default() };
    let overdue: Rule = Box::new(|a| a.status == Status::Overdue);
    let cases: [(AssetFilter, Rule); 3] = [
        (none(), Box::new(|_| true)),
        (AssetFilter { status: Some(Status::Overdue), ..none() }, overdue),
        (
            AssetFilter { needs_reboot: Some(true), ..none() },
            Box::new(|a| a.facts.needs_reboot == Some(true)),
        ),
    ];
    for (filter, rule) in cases {
        let expected: BTreeSet<AssetId> = all.iter().filter(|a| has(a) && rule(a)).map(|a| a.id).collect();
        assert!(!expected.is_empty(), "{filter:?}");
        for sort in AssetSort::ALL {
            let found = walk_by(200, &world, &filter, sort, Direction::Ascending).await;
            let ids: BTreeSet<AssetId> = found.iter().map(|a| a.id).collect();
            assert_eq!((ids.len(), &ids), (found.len(), &expected), "{filter:?} {sort:?}");
            assert!(found.iter().map(|a| key(sort, a)).is_sorted(), "{filter:?} {sort:?}");
        }
    }
}
