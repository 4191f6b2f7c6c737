//! Backups of a register that is at work, and what comes of them.

use domain::{
    Ctx,
    asset::{AssetFilter, AssetSort, Direction},
    event::kind,
    sync::RunKind,
};
use service::{Services, integration::Draft};
use store::{Location, Store, copy, on_both_engines};

use crate::world::{ALL, World, http};

fn quiet(_: copy::Progress) {}

/// What a copied store says, through the services alone.
struct Copied {
    services: Services,
    ctx: Ctx,
}

impl Copied {
    async fn open(world: &World, location: &Location) -> Copied {
        let store = Store::open(location, &world.test.root_key).await.unwrap();
        Copied { services: Services::new(store, providers::all(), http()), ctx: world.ctx() }
    }

    /// The register as text, its counters, and its events.
    async fn register(&self) -> (Vec<String>, u64, usize) {
        let assets = &self.services.assets;
        let by_name = AssetSort::Name;
        let all = AssetFilter::default();
        let page = assets.list(&self.ctx, &all, by_name, Direction::Ascending, &ALL).await.unwrap();
        let assets: Vec<String> =
            page.items.iter().map(|asset| format!("{} {:?}", asset.id, asset.status)).collect();
        let clients = self.services.clients.list(&self.ctx, None, false, ALL).await.unwrap().items;
        let counted = clients.iter().map(|view| view.asset_count).sum();
        let events = self.services.events.since(&self.ctx, 0, 100_000).await.unwrap().events;
        let created = events.iter().filter(|event| event.kind == kind::ASSET_CREATED).count();
        (assets, counted, created)
    }
}

on_both_engines! {
    async fn a_backup_amid_a_sync_is_of_one_moment(test) {
        let world = World::mapped(test).await;
        let folder = tempfile::tempdir().unwrap();
        let backups = async {
            let mut made = Vec::new();
            for n in 0..6 {
                let file = folder.path().join(format!("{n}.db"));
                copy::backup(&world.test.location, &file, &quiet).await.unwrap();
                made.push(file);
            }
            made
        };
        let (_run, made) = futures::join!(world.run(RunKind::Devices), backups);
        for file in made {
            let there = Location::File(file.with_extension("restored"));
            copy::restore(&file, &there, folder.path(), &quiet).await.unwrap();
            let (assets, counted, created) = Copied::open(&world, &there).await.register().await;
            assert_eq!((counted, created), (assets.len() as u64, assets.len()), "{}", file.display());
        }
    }

    async fn what_is_restored_goes_on_where_the_backup_was(test) {
        let world = World::synced(test).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        copy::backup(&world.test.location, &file, &quiet).await.unwrap();
        let there = Location::File(folder.path().join("restored.db"));
        copy::restore(&file, &there, folder.path(), &quiet).await.unwrap();
        let restored = Copied::open(&world, &there).await;
        let original = Copied::open(&world, &world.test.location).await;
        let (expected, found) = (original.register().await, restored.register().await);
        assert!(!expected.0.is_empty());
        assert_eq!(found, expected);
        let name = world.find(AssetFilter::default()).await.first().unwrap().name.clone();
        let text = AssetFilter { text: Some(name), ..AssetFilter::default() };
        let list = |services: &Services| {
            let (assets, ctx, text) = (services.assets.clone(), world.ctx(), text.clone());
            async move {
                assets.list(&ctx, &text, AssetSort::Name, Direction::Ascending, &ALL).await.unwrap().items.len()
            }
        };
        assert!(list(&restored.services).await > 0);
        assert_eq!(list(&restored.services).await, list(&original.services).await);
        let report = restored.services.integrations.test(&world.ctx(), world.id, Draft::default()).await.unwrap();
        assert!(report.ok, "its credential opens and works: {report:?}");
    }
}

mod postgres {
    use store::testing;

    use super::*;

    #[tokio::test]
    async fn a_register_moves_to_postgresql_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let world = World::synced(testing::sqlite(folder.path()).await).await;
        let expected = Copied::open(&world, &world.test.location).await.register().await;
        let server = testing::empty_postgres().await.superuser;
        copy::copy(&world.test.location, &server, &quiet).await.unwrap();
        assert_eq!(Copied::open(&world, &server).await.register().await, expected);
        let back = Location::File(folder.path().join("back.db"));
        copy::copy(&server, &back, &quiet).await.unwrap();
        assert_eq!(Copied::open(&world, &back).await.register().await, expected);
    }
}
