//! Sync Clients.

use domain::{
    event::kind,
    organization::MappingState,
    sync::{RunKind, RunState},
};
use store::on_both_engines;

use crate::world::World;

on_both_engines! {
    async fn sync_clients_makes_one_unmapped_row_for_each_client_with_its_sites(test) {
        let world = World::connected(test).await;
        let run = world.run(RunKind::Organizations).await;
        assert_eq!((run.state, run.counts.read, run.counts.created, run.counts.calls), (RunState::Succeeded, 4, 4, 1));
        let organizations = world.organizations().await;
        let clients = world.control().clients();
        assert_eq!(organizations.len(), clients.len());
        for client in clients {
            let organization = &organizations[&client.id.to_string()];
            assert_eq!(organization.name, client.name);
            assert_eq!(organization.device_count, Some(client.agents as u64));
            assert!(!organization.sites.is_empty());
            assert_eq!((organization.state, organization.auto_sync), (MappingState::Unmapped, false));
        }
        assert!(world.assets().await.is_empty());
        let again = world.run(RunKind::Organizations).await;
        assert_eq!((again.counts.created, again.counts.updated, again.counts.unchanged), (0, 0, 4));
    }

    async fn vanished_client_is_marked_never_removed_and_comes_back(test) {
        let world = World::synced(test).await;
        let before = world.organization(2).await;
        let assets = world.assets().await.len();
        let scope = vec![1, 3, 4];
        let key = world.server.accounts().api_key.clone();
        world.control().set_permission(&key, "is_superuser", false).unwrap();
        for right in ["can_list_clients", "can_list_agents", "can_list_sites", "can_view_customfields"] {
            world.control().set_permission(&key, right, true).unwrap();
        }
        world.control().set_scope(&key, scope).unwrap();
        let run = world.run(RunKind::Organizations).await;
        assert_eq!(run.counts.missing, 1);
        let gone = world.organization(2).await;
        assert!(gone.vanished_at.is_some());
        assert_eq!((gone.id, gone.state, gone.client_id), (before.id, before.state, before.client_id));
        let devices = world.run(RunKind::Devices).await;
        assert_eq!(devices.state, RunState::Succeeded);
        assert_eq!(world.assets().await.len(), assets);
        world.control().set_scope(&key, Vec::new()).unwrap();
        let run = world.run(RunKind::Organizations).await;
        assert_eq!((run.counts.created, run.counts.updated), (0, 1));
        let back = world.organization(2).await;
        assert_eq!((back.id, back.vanished_at, back.client_id), (before.id, None, before.client_id));
    }

    async fn renamed_and_new_clients_follow(test) {
        let world = World::synced(test).await;
        let before = world.organization(3).await;
        let seq = world.last_seq().await;
        world.control().rename_client(3, "Wholly New Name").unwrap();
        let added = world.control().add_client("Late Comer");
        let run = world.run(RunKind::Organizations).await;
        assert_eq!((run.counts.created, run.counts.updated), (1, 1));
        let renamed = world.organization(3).await;
        assert_eq!((renamed.id, renamed.name.as_str()), (before.id, "Wholly New Name"));
        assert_eq!(renamed.client_name, before.client_name, "the client keeps its own name");
        assert_eq!(world.organization(added).await.state, MappingState::Unmapped);
        assert_eq!(world.kinds_since(seq).await, [kind::ORGANIZATION_CHANGED; 2]);
    }
}
