//! What a person changes in an asset wins over the RMM until it is given back.

use domain::{asset::AssetType, event::kind, sync::RunKind};
use service::{ServiceError, asset::AssetPatch};
use store::on_both_engines;

use crate::world::World;

on_both_engines! {
    async fn name_and_type_of_a_person_win_over_later_syncs_and_can_be_given_back(test) {
        let world = World::synced(test).await;
        let agent = world.distinct_agent(1).await;
        let before = world.asset(&agent).await;
        let other = AssetType::Hypervisor;
        let patch = AssetPatch {
            name: Some(Some("Reception Desk".to_owned())),
            asset_type: Some(Some(other)),
            note: Some(Some("  under the stairs ".to_owned())),
            ..AssetPatch::default()
        };
        let assets = &world.services.assets;
        let changed = assets.update(&world.ctx(), before.id, patch).await.unwrap();
        assert_eq!((changed.name.as_str(), changed.asset_type), ("Reception Desk", other));
        assert_eq!(changed.note.as_deref(), Some("under the stairs"));
        world.control().rename(&agent, "WS-RENAMED").unwrap();
        world.control().describe(&agent, None).unwrap();
        world.run(RunKind::Devices).await;
        world.run(RunKind::Details).await;
        let after = world.asset(&agent).await;
        assert_eq!((after.name.as_str(), after.asset_type), ("Reception Desk", other));
        assert_eq!(after.facts.name, "WS-RENAMED");
        assert_eq!(after.locked, ["asset_type", "name"]);
        for text in ["reception", "ws-renamed", "desk ws-ren", "Reception Desk"] {
            assert_eq!(world.search(text).await.len(), 1, "{text}");
        }
        assert!(world.search(&before.facts.name).await.iter().all(|asset| asset.id != before.id));
        let back = AssetPatch { name: Some(None), asset_type: Some(None), ..AssetPatch::default() };
        let back = assets.update(&world.ctx(), before.id, back).await.unwrap();
        assert_eq!((back.name.as_str(), back.asset_type), ("WS-RENAMED", before.asset_type));
        assert_eq!(back.note.as_deref(), Some("under the stairs"));
        assert!(back.locked.is_empty() && world.search("reception").await.is_empty());
        world.control().rename(&agent, "WS-THIRD").unwrap();
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.name, "WS-THIRD");
    }

    async fn change_of_a_person_is_in_the_history_with_the_name(test) {
        let world = World::synced(test).await;
        let asset = world.asset(&world.distinct_agent(1).await).await;
        let patch = AssetPatch { note: Some(Some("look".to_owned())), ..AssetPatch::default() };
        world.services.assets.update(&world.ctx(), asset.id, patch).await.unwrap();
        let page = domain::page::PageRequest { limit: 1, cursor: None };
        let history = world.services.assets.history(&world.ctx(), asset.id, page).await.unwrap();
        assert_eq!(history.items[0].kind, kind::ASSET_UPDATED);
        assert_eq!(history.items[0].data.as_ref().unwrap()["by"], "anna@example.com");
        let fields = &history.items[0].data.as_ref().unwrap()["fields"];
        assert_eq!(*fields, serde_json::json!({ "note": [null, "look"] }));
        let next = domain::page::PageRequest { limit: 10, cursor: history.next_cursor };
        let older = world.services.assets.history(&world.ctx(), asset.id, next).await.unwrap();
        assert_eq!(older.items.last().unwrap().kind, kind::ASSET_CREATED);
    }

    async fn unusable_name_is_refused(test) {
        let world = World::synced(test).await;
        let asset = world.asset(&world.distinct_agent(1).await).await;
        for name in ["  ", "two\nlines"] {
            let patch = AssetPatch { name: Some(Some(name.to_owned())), ..AssetPatch::default() };
            let error = world.services.assets.update(&world.ctx(), asset.id, patch).await.unwrap_err();
            assert!(matches!(error, ServiceError::Invalid { code: "name_unusable", .. }));
        }
    }
}
