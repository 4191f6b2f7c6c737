//! Mapping organizations to clients: one by one, many at once, as CSV, and back.

use domain::{
    id::OrganizationId,
    organization::{MappingState, Organization},
    sync::RunKind,
};
use service::{
    ServiceError,
    organization::{AcceptRequest, MappingChange, MappingTarget, OrganizationFilter},
};
use store::{
    on_both_engines,
    organization::{ClientChoice, MappingWish},
};

use crate::world::{ALL, World};

async fn change(world: &World, id: u32, target: MappingTarget) -> Organization {
    let organization = world.organization(id).await;
    let change = MappingChange { target: Some(target), auto_sync: None };
    world.services.organizations.change(&world.ctx(), organization.id, change).await.unwrap().organization
}

async fn mappings(world: &World) -> Vec<(MappingState, Option<String>, bool)> {
    let all = world.organizations().await;
    all.into_values().map(|o| (o.state, o.client_name, o.auto_sync)).collect()
}

on_both_engines! {
    async fn clients_with_like_names_are_suggested_with_the_reason(test) {
        let world = World::fetched(test).await;
        world.control().rename_client(1, "Contoso Dental Ltd.").unwrap();
        world.run(RunKind::Organizations).await;
        let client = world.services.clients.create(&world.ctx(), "Contoso Dental").await.unwrap().client;
        let list = async |suggestions| {
            let filter = OrganizationFilter { text: Some("contoso".to_owned()), ..OrganizationFilter::default() };
            let page = world.services.organizations.list(&world.ctx(), filter, suggestions, ALL).await.unwrap();
            page.items
        };
        let found = list(true).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].suggestions[0].client_id, found[0].suggestions[0].score), (client.id, 95));
        assert!(list(false).await[0].suggestions.is_empty());
        let request = AcceptRequest { integration_id: Some(world.id), min_score: 90, auto_sync: true, create_missing: false };
        let accepted = world.services.organizations.accept_suggestions(&world.ctx(), request).await.unwrap();
        assert_eq!((accepted.mapped, accepted.created, accepted.skipped), (1, 0, 3));
        let mapped = world.organization(1).await;
        assert_eq!((mapped.client_id, mapped.auto_sync), (Some(client.id), true));
        assert!(list(true).await[0].suggestions.is_empty(), "mapped organizations need none");
    }

    async fn equally_good_suggestions_are_left_to_a_person(test) {
        let world = World::fetched(test).await;
        world.control().rename_client(1, "Contoso").unwrap();
        world.run(RunKind::Organizations).await;
        for name in ["Contoso Ltd", "Contoso Inc"] {
            world.services.clients.create(&world.ctx(), name).await.unwrap();
        }
        let request = AcceptRequest { integration_id: None, min_score: 90, auto_sync: true, create_missing: true };
        let accepted = world.services.organizations.accept_suggestions(&world.ctx(), request).await.unwrap();
        assert_eq!((accepted.mapped, accepted.created, accepted.skipped), (0, 3, 1));
        assert_eq!(world.organization(1).await.state, MappingState::Unmapped);
    }

    async fn client_is_made_from_an_organization_once(test) {
        let world = World::fetched(test).await;
        let mapped = change(&world, 1, MappingTarget::NewClient { name: None }).await;
        assert_eq!(mapped.client_name.as_deref(), Some(mapped.name.as_str()));
        assert!(mapped.auto_sync && mapped.can_undo);
        let other = world.organization(2).await;
        let target = Some(MappingTarget::NewClient { name: Some(mapped.name.to_uppercase()) });
        let taken = MappingChange { target, auto_sync: None };
        let error = world.services.organizations.change(&world.ctx(), other.id, taken).await.unwrap_err();
        assert!(matches!(error, ServiceError::Conflict { code: "name_taken", .. }));
        assert_eq!(world.organization(2).await, other);
    }

    async fn archived_client_is_no_target_and_auto_sync_needs_one(test) {
        let world = World::fetched(test).await;
        let client = world.services.clients.create(&world.ctx(), "Old Friends").await.unwrap().client.id;
        world.services.clients.archive(&world.ctx(), client).await.unwrap();
        let organization = world.organization(1).await;
        for (target, auto_sync, expected) in
            [(Some(MappingTarget::Client(client)), None, "client_archived"), (None, Some(true), "not_mapped")]
        {
            let change = MappingChange { target, auto_sync };
            let error = world.services.organizations.change(&world.ctx(), organization.id, change).await.unwrap_err();
            assert!(matches!(error, ServiceError::Conflict { code, .. } if code == expected), "{error:?}");
        }
        assert_eq!(world.organization(1).await, organization);
    }

    async fn excluding_stops_the_sync_and_keeps_the_assets_and_undo_restores(test) {
        let world = World::synced(test).await;
        let before = world.organization(2).await;
        let excluded = change(&world, 2, MappingTarget::Excluded).await;
        assert_eq!((excluded.state, excluded.client_id, excluded.auto_sync), (MappingState::Excluded, None, false));
        let agent = world.distinct_agent(2).await;
        world.control().describe(&agent, Some("changed")).unwrap();
        world.control().reset_counts();
        world.run(RunKind::Devices).await;
        assert_eq!(world.control().counts().of("GET /agents/"), 3);
        assert_eq!(world.assets().await.len(), 60);
        assert_ne!(world.asset(&agent).await.facts.description.as_deref(), Some("changed"));
        let undone = world.services.organizations.undo(&world.ctx(), before.id).await.unwrap().organization;
        assert_eq!((undone.state, undone.client_id, undone.auto_sync), (before.state, before.client_id, true));
        world.run(RunKind::Devices).await;
        assert_eq!(world.asset(&agent).await.facts.description.as_deref(), Some("changed"));
        let error = world.services.organizations.undo(&world.ctx(), before.id).await.unwrap_err();
        assert!(matches!(error, ServiceError::Conflict { code: "nothing_to_undo", .. }));
    }

    async fn undo_of_a_remapping_brings_the_assets_back(test) {
        let world = World::synced(test).await;
        let (one, two) = (world.organization(1).await, world.organization(2).await);
        change(&world, 1, MappingTarget::Client(two.client_id.unwrap())).await;
        world.services.organizations.undo(&world.ctx(), one.id).await.unwrap();
        let assets = world.assets().await;
        for agent in world.control().agent_ids(1) {
            assert_eq!(Some(assets[&agent].client_id), one.client_id);
        }
        world.assert_counters_fit().await;
    }

    async fn undo_after_merges_leads_to_the_client_that_lives(test) {
        let world = World::synced(test).await;
        let [one, two, three] = [world.organization(1).await, world.organization(2).await, world.organization(3).await];
        change(&world, 1, MappingTarget::NewClient { name: Some("Interim".to_owned()) }).await;
        let clients = &world.services.clients;
        clients.merge(&world.ctx(), one.client_id.unwrap(), two.client_id.unwrap()).await.unwrap();
        clients.merge(&world.ctx(), two.client_id.unwrap(), three.client_id.unwrap()).await.unwrap();
        let undone = world.services.organizations.undo(&world.ctx(), one.id).await.unwrap().organization;
        assert_eq!((undone.client_id, undone.auto_sync, undone.can_undo), (three.client_id, true, false));
        let assets = world.assets().await;
        for agent in world.control().agent_ids(1) {
            assert_eq!(Some(assets[&agent].client_id), three.client_id);
        }
        world.assert_counters_fit().await;
    }

    async fn undo_to_an_archived_client_is_refused_with_what_to_do(test) {
        let world = World::synced(test).await;
        let before = world.organization(1).await;
        let client = before.client_id.unwrap();
        let interim = change(&world, 1, MappingTarget::NewClient { name: Some("Interim".to_owned()) }).await;
        world.services.clients.archive(&world.ctx(), client).await.unwrap();
        let error = world.services.organizations.undo(&world.ctx(), before.id).await.unwrap_err();
        let ServiceError::Conflict { code: "client_archived", message } = error else { panic!("{error:?}") };
        assert!(message.contains(before.client_name.as_deref().unwrap()) && message.contains("restore"), "{message}");
        assert_eq!(world.organization(1).await, interim);
        world.services.clients.restore(&world.ctx(), client).await.unwrap();
        let undone = world.services.organizations.undo(&world.ctx(), before.id).await.unwrap().organization;
        assert_eq!(undone.client_id, before.client_id);
    }

    async fn many_mappings_are_written_all_or_none(test) {
        let world = World::fetched(test).await;
        let before = mappings(&world).await;
        let (ctx, id) = (world.ctx(), world.organization(1).await.id);
        let wish = |id, client| MappingWish { id, state: MappingState::Mapped, client: Some(client), auto_sync: true };
        let named = |name: &str| ClientChoice::Named(name.to_owned());
        let taken = world.services.clients.create(&ctx, "Taken").await.unwrap().client.name;
        let tenant = world.test.store.tenant(&ctx);
        let nobodys: OrganizationId = store::new_id(ctx.now);
        for last in [wish(nobodys, named("Else")), wish(id, ClientChoice::New(taken))] {
            let written = tenant.organizations().map_all(vec![wish(id, named("Fresh")), last]).await;
            assert!(written.is_err());
            assert_eq!(mappings(&world).await, before);
            let clients = world.services.clients.list(&ctx, None, false, ALL).await.unwrap().items;
            assert_eq!(clients.len(), 1, "no client is left behind");
        }
    }

    async fn lines_that_name_one_new_client_share_it(test) {
        let world = World::fetched(test).await;
        let organizations = &world.services.organizations;
        let names = ["New Friends", " new friends", "NEW FRIENDS ", "Others"];
        let mut lines = vec!["organization_id,organization,external_id,devices,state,client,auto_sync".to_owned()];
        for (organization, name) in world.organizations().await.into_values().zip(names) {
            lines.push(format!("{},,,,mapped,{name},on", organization.id));
        }
        let taken = organizations.import_csv(&world.ctx(), &lines.join("\n"), false).await.unwrap();
        assert_eq!((taken.changed, taken.errors.len()), (4, 0));
        let mut clients: Vec<_> = world.organizations().await.into_values().map(|o| (o.client_name, o.auto_sync)).collect();
        clients.sort();
        let expected = ["New Friends", "New Friends", "New Friends", "Others"].map(|name| (Some(name.to_owned()), true));
        assert_eq!(clients, expected);
    }

    async fn exported_mappings_are_imported_unchanged_and_with_changes(test) {
        let world = World::mapped(test).await;
        change(&world, 1, MappingTarget::NewClient { name: Some("=1+1, \"quoted\"".to_owned()) }).await;
        change(&world, 2, MappingTarget::Excluded).await;
        let before = mappings(&world).await;
        let organizations = &world.services.organizations;
        let exported = organizations.export_csv(&world.ctx(), None).await.unwrap();
        let again = organizations.import_csv(&world.ctx(), &exported, false).await.unwrap();
        assert_eq!((again.changed, again.unchanged, again.errors.len()), (0, 4, 0));
        assert_eq!(mappings(&world).await, before);
        for id in 1..=4 {
            change(&world, id, MappingTarget::Unmapped).await;
        }
        let dry = organizations.import_csv(&world.ctx(), &exported, true).await.unwrap();
        assert_eq!((dry.changed, dry.unchanged), (4, 0));
        assert!(mappings(&world).await.iter().all(|(state, ..)| *state == MappingState::Unmapped));
        let taken = organizations.import_csv(&world.ctx(), &exported, false).await.unwrap();
        assert_eq!((taken.changed, taken.errors.len()), (4, 0));
        assert_eq!(mappings(&world).await, before);
        let changed = exported.replace("excluded", "mapped").replace(",false", ",yes");
        let lines: Vec<String> = changed
            .lines()
            .map(|line| line.replace(",mapped,,yes", ",mapped,Brand New Client,yes"))
            .collect();
        let taken = organizations.import_csv(&world.ctx(), &lines.join("\r\n"), false).await.unwrap();
        assert_eq!((taken.changed, taken.unchanged, taken.errors.len()), (1, 3, 0));
        let new = world.organization(2).await;
        assert_eq!((new.client_name.as_deref(), new.auto_sync), (Some("Brand New Client"), true));
    }

    async fn import_with_one_bad_line_changes_nothing_and_names_the_line(test) {
        let world = World::mapped(test).await;
        let before = mappings(&world).await;
        let organizations = &world.services.organizations;
        let exported = organizations.export_csv(&world.ctx(), None).await.unwrap();
        let changed = exported.replace("mapped", "excluded");
        let last = changed.lines().last().unwrap();
        for (broken, message) in [
            (last.replace("excluded", "ignored"), "`state`"),
            (last.replace("org_", "org_0"), "`organization_id`"),
            (last.replace("org_", "ast_"), "`organization_id`"),
            (last.replace("true", "perhaps"), "`auto_sync`"),
        ] {
            let text = changed.replace(last, &broken);
            let imported = organizations.import_csv(&world.ctx(), &text, false).await.unwrap();
            assert_eq!(imported.errors.len(), 1);
            assert_eq!(imported.errors[0].line, 5);
            assert!(imported.errors[0].message.contains(message), "{:?}", imported.errors);
            assert_eq!(mappings(&world).await, before);
        }
    }

    async fn import_without_the_columns_it_needs_says_which(test) {
        let world = World::fetched(test).await;
        let organizations = &world.services.organizations;
        for (text, says) in [
            ("", "the file is empty"),
            ("name,client\nA,B\n", "`organization_id` is missing"),
            ("organization_id;state;client\na;b;c\n", "`auto_sync` is missing"),
        ] {
            let refused = organizations.import_csv(&world.ctx(), text, false).await.unwrap_err();
            let ServiceError::Invalid { code, message, .. } = refused else { panic!("{refused:?}") };
            assert_eq!(code, "invalid_csv");
            assert!(message.contains(says), "{message}");
        }
    }

    async fn import_takes_semicolons_and_tells_what_it_would_change(test) {
        let world = World::fetched(test).await;
        let organizations = &world.services.organizations;
        let there = world.services.clients.create(&world.ctx(), "Acme").await.unwrap().client;
        let (first, second) = (world.organization(1).await, world.organization(2).await);
        let text = format!(
            "\u{feff}organization_id;state;client;auto_sync\r\n{};mapped;{};true\r\n{};mapped;Acmee;false\r\n",
            first.id, there.name, second.id
        );
        let dry = organizations.import_csv(&world.ctx(), &text, true).await.unwrap();
        assert_eq!((dry.changed, dry.errors.len()), (2, 0));
        assert_eq!(dry.new_clients, ["Acmee"]);
        let told: Vec<_> = dry.changes.iter().map(|c| (c.line, c.from.as_str(), c.to.as_str())).collect();
        let (on, off) = ("mapped to Acme, Auto-sync on", "mapped to Acmee, Auto-sync off");
        assert_eq!(told, [(2, "unmapped", on), (3, "unmapped", off)]);
        assert_eq!(world.organization(1).await.state, MappingState::Unmapped);
    }

    async fn cells_that_a_spreadsheet_would_run_are_disarmed(test) {
        let world = World::fetched(test).await;
        for (id, name) in [(1, "=HYPERLINK(\"http://x\")"), (2, "+1"), (3, "-1"), (4, "@cmd")] {
            world.control().rename_client(id, name).unwrap();
        }
        world.run(RunKind::Organizations).await;
        world.map_all().await;
        let exported = world.services.organizations.export_csv(&world.ctx(), None).await.unwrap();
        for cell in exported.lines().flat_map(|line| line.split(',')) {
            let bare = cell.trim_start_matches('"');
            assert!(!bare.starts_with(['=', '+', '-', '@']), "{cell}");
        }
        let again = world.services.organizations.import_csv(&world.ctx(), &exported, false).await.unwrap();
        assert_eq!((again.changed, again.unchanged, again.errors.len()), (0, 4, 0));
    }
}
