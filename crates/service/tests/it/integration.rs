//! Integrations: field by field, secrets that are never shown, disconnecting and coming back.

use domain::{
    id::TypedId,
    integration::ConnectionState,
    sync::{RunKind, RunState},
};
use serde_json::json;
use service::{
    ServiceError,
    integration::{Draft, IntegrationView},
};
use simulator::faults::FaultKind;
use store::on_both_engines;

use crate::world::{World, key_draft, lane, secret};

async fn update(world: &World, draft: Draft) -> Result<IntegrationView, ServiceError> {
    world.services.integrations.update(&world.ctx(), world.id, draft, None).await
}

async fn view(world: &World) -> IntegrationView {
    world.services.integrations.get(&world.ctx(), world.id).await.unwrap()
}

fn settings(value: serde_json::Value) -> Draft {
    Draft { settings: Some(value), ..Draft::default() }
}

fn field(name: &str, value: &str) -> Draft {
    Draft { fields: [(name.to_owned(), secret(value))].into(), ..Draft::default() }
}

fn code_of(error: &ServiceError) -> (&'static str, String) {
    match error {
        ServiceError::Invalid { code, message, .. } | ServiceError::Conflict { code, message } => {
            (code, message.clone())
        }
        other => panic!("{other:?}"),
    }
}

on_both_engines! {
    async fn saving_one_thing_never_erases_another(test) {
        let world = World::synced(test).await;
        let before = view(&world).await;
        let named = update(&world, Draft { name: Some("Main RMM".to_owned()), ..Draft::default() }).await.unwrap();
        assert_eq!(named.integration.name, "Main RMM");
        assert_eq!(named.secrets, before.secrets);
        assert_eq!(named.integration.settings, before.integration.settings);
        let set = update(&world, settings(json!({ "sync_interval_s": 600, "quiet_hours": [1, 2] }))).await.unwrap();
        let now = &set.integration.settings;
        assert!(now.allow_plain_http && !now.schedules_enabled);
        assert_eq!((now.sync_interval_s, now.quiet_hours.as_slice()), (600, &[1, 2][..]));
        let second = update(&world, field("action_tacticalrmm_api_key", &world.server.accounts().integration_key)).await.unwrap();
        let names: Vec<&str> = second.secrets.iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(names, ["action_tacticalrmm_api_key", "tacticalrmm_api_key"]);
        assert_eq!((second.integration.name.as_str(), &second.integration.settings), ("Main RMM", now));
        assert_eq!(second.integration.state, ConnectionState::Connected);
        let same_url = Draft { url: Some(world.server.url().to_owned()), ..Draft::default() };
        assert_eq!(update(&world, same_url).await.unwrap().secrets, second.secrets);
        let emptied = update(&world, field("action_tacticalrmm_api_key", " ")).await.unwrap();
        assert_eq!(emptied.secrets, before.secrets);
        assert_eq!(world.run(RunKind::Devices).await.state, RunState::Succeeded);
    }

    async fn credentials_are_asked_again_for_another_scheme_host_or_port(test) {
        let world = World::synced(test).await;
        let port: u16 = world.server.url().rsplit(':').next().unwrap().parse().unwrap();
        let elsewhere = [
            format!("https://127.0.0.1:{port}"),
            format!("http://localhost:{port}"),
            format!("http://127.0.0.1:{}", port.wrapping_add(1).max(1)),
        ];
        for url in elsewhere {
            let draft = || Draft { url: Some(url.clone()), ..Draft::default() };
            let saved = update(&world, draft()).await.unwrap_err();
            let tested = world.services.integrations.test(&world.ctx(), world.id, draft()).await.unwrap_err();
            for error in [saved, tested] {
                let (code, message) = code_of(&error);
                assert_eq!(code, "secret_required", "{url}");
                assert!(message.contains("API key"), "{message}");
            }
        }
        let before = view(&world).await;
        let moved = Draft { url: Some(format!("http://localhost:{port}")), ..field("tacticalrmm_api_key", &world.server.accounts().readonly_key) };
        let after = update(&world, moved).await.unwrap();
        assert_ne!(after.integration.instance_url, before.integration.instance_url);
        assert_eq!(after.secrets.len(), 1);
        assert_eq!(after.integration.state, ConnectionState::New, "what was said of the old key says nothing now");
    }

    async fn unknown_fields_and_unusable_values_are_named(test) {
        let world = World::connected(test).await;
        let before = view(&world).await.integration;
        for (draft, code, word) in [
            (field("tacticalrmm_apikey", "x"), "field_unknown", "tacticalrmm_api_key"),
            (field("tacticalrmm_username", "x"), "field_unknown", "tacticalrmm_username"),
            (field("tacticalrmm_api_key", "two\nlines"), "field_unusable", "API key"),
            (field("tacticalrmm_api_key", ""), "field_missing", "API key"),
            (settings(json!({ "sync_intervall_s": 600 })), "setting_unusable", "sync_intervall_s"),
            (settings(json!({ "presence_interval_s": 1 })), "setting_unusable", "presence_interval_s"),
            (settings(json!({ "quiet_hours": [24] })), "setting_unusable", "quiet_hours"),
            (settings(json!({ "missing_brake_percent": 0 })), "setting_unusable", "missing_brake_percent"),
            (settings(json!(["no", "object"])), "setting_unusable", "object"),
            (Draft { auth_mode: Some("oauth".to_owned()), ..Draft::default() }, "auth_mode_unknown", "knox"),
            (Draft { provider: Some("other".to_owned()), ..Draft::default() }, "provider_fixed", "provider"),
            (Draft { url: Some("ftp://x".to_owned()), ..Draft::default() }, "url_unusable", "ftp"),
            (Draft { name: Some(" ".to_owned()), ..Draft::default() }, "name_unusable", "empty"),
        ] {
            let error = update(&world, draft).await.unwrap_err();
            let (found, message) = code_of(&error);
            assert_eq!(found, code, "{message}");
            assert!(message.contains(word), "{message}");
        }
        assert_eq!(view(&world).await.integration, before);
    }

    async fn address_that_is_connected_already_is_not_added_again(test) {
        let world = World::connected(test).await;
        let again = key_draft(&world.server, &world.server.accounts().readonly_key);
        let error = world.services.integrations.create(&world.ctx(), again).await.unwrap_err();
        assert_eq!(code_of(&error).0, "already_connected");
        assert_eq!(world.services.integrations.list(&world.ctx()).await.unwrap().len(), 1);
    }

    async fn second_editor_of_the_same_version_is_told(test) {
        let world = World::connected(test).await;
        let version = view(&world).await.integration.version;
        let rename = |name: &str| Draft { name: Some(name.to_owned()), ..Draft::default() };
        let save = async |name| {
            world.services.integrations.update(&world.ctx(), world.id, rename(name), Some(version)).await
        };
        save("First").await.unwrap();
        assert_eq!(code_of(&save("Second").await.unwrap_err()).0, "stale");
        assert_eq!(view(&world).await.integration.name, "First");
    }

    async fn test_of_a_draft_saves_nothing_and_of_what_is_saved_is_kept(test) {
        let world = World::connected(test).await;
        let integrations = &world.services.integrations;
        let readonly = world.server.accounts().readonly_key.clone();
        let draft = integrations.test_draft(&world.ctx(), key_draft(&world.server, &readonly)).await.unwrap();
        assert!(draft.ok, "{draft:?}");
        assert_eq!(integrations.list(&world.ctx()).await.unwrap().len(), 1);
        let changed = integrations.test(&world.ctx(), world.id, field("tacticalrmm_api_key", "WRONG")).await.unwrap();
        assert!(!changed.ok && view(&world).await.last_check.is_none());
        assert!(integrations.test(&world.ctx(), world.id, Draft::default()).await.unwrap().ok);
        let kept = view(&world).await;
        assert!(kept.last_check.unwrap().ok);
        assert_eq!(kept.integration.state, ConnectionState::Connected);
    }

    async fn disconnecting_forgets_secrets_and_schedules_and_keeps_everything_else(test) {
        let world = World::synced(test).await;
        let enabled = update(&world, settings(json!({ "schedules_enabled": true }))).await.unwrap();
        assert!(enabled.integration.settings.schedules_enabled);
        let (assets, organizations) = (world.assets().await, world.organizations().await);
        let ctx = world.ctx();
        let queued = world.services.sync.request(&ctx, world.id, RunKind::Devices, false).await.unwrap();
        let gone = world.services.integrations.disconnect(&ctx, world.id).await.unwrap();
        assert_eq!((gone.integration.state, gone.secrets.len()), (ConnectionState::Disconnected, 0));
        let tenant = world.test.store.tenant(&ctx);
        assert!(tenant.schedules().list(&world.id.to_db()).await.unwrap().is_empty());
        assert_eq!(world.services.sync.get(&ctx, queued.id).await.unwrap().state, RunState::Cancelled);
        assert_eq!(world.assets().await.len(), assets.len());
        assert!(world.assets().await.values().all(|asset| asset.status_stale));
        assert_eq!(world.organizations().await, organizations);
        world.control().reset_counts();
        world.wait(100_000);
        world.services.scheduler().tick(world.time()).await.unwrap();
        world.work(lane(RunKind::Devices)).await;
        assert_eq!(world.control().counts().total(), 0);
        let refused = [
            world.services.sync.request(&ctx, world.id, RunKind::Devices, false).await.map(drop),
            world.services.integrations.test(&ctx, world.id, Draft::default()).await.map(drop),
            update(&world, Draft { name: Some("x".to_owned()), ..Draft::default() }).await.map(drop),
        ];
        for error in refused {
            assert_eq!(code_of(&error.unwrap_err()).0, "disconnected");
        }
        assert_eq!(world.services.integrations.disconnect(&ctx, world.id).await.unwrap().integration, gone.integration);
    }

    async fn reconnecting_goes_on_with_the_same_mappings_and_assets(test) {
        let world = World::synced(test).await;
        let (assets, organizations) = (world.assets().await, world.organizations().await);
        let integrations = &world.services.integrations;
        let again = || key_draft(&world.server, &world.server.accounts().api_key);
        let connected = Draft { provider: None, ..again() };
        let early = integrations.reconnect(&world.ctx(), world.id, connected).await.unwrap_err();
        assert_eq!(code_of(&early).0, "connected");
        integrations.disconnect(&world.ctx(), world.id).await.unwrap();
        let without = integrations.reconnect(&world.ctx(), world.id, Draft::default()).await.unwrap_err();
        assert_eq!(code_of(&without).0, "field_missing");
        let back = integrations.reconnect(&world.ctx(), world.id, again()).await.unwrap();
        assert!(back.integration.is_active && back.secrets.len() == 1);
        assert_eq!(world.organizations().await, organizations);
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.created, run.counts.unchanged), (RunState::Succeeded, 0, 60));
        let ids = |assets: std::collections::BTreeMap<String, domain::asset::Asset>| -> Vec<_> {
            assets.into_iter().map(|(agent, asset)| (agent, asset.id)).collect()
        };
        assert_eq!(ids(world.assets().await), ids(assets));
    }

    async fn running_run_ends_as_cancelled_when_its_integration_is_disconnected(test) {
        let world = World::mapped(test).await;
        world.fault("/agents/?client=2", FaultKind::Hang { millis: 100 });
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let disconnecting = async {
            world.until(&run, |run| run.done > 0).await;
            world.services.integrations.disconnect(&world.ctx(), world.id).await.unwrap();
        };
        tokio::join!(world.work(lane(RunKind::Devices)), disconnecting);
        assert_eq!(world.services.sync.get(&world.ctx(), run.id).await.unwrap().state, RunState::Cancelled);
        assert_eq!(view(&world).await.integration.state, ConnectionState::Disconnected);
    }

    async fn no_view_report_run_or_error_ever_holds_a_secret(test) {
        const CANARY: &str = "CANARYKEY0000111122223333SECRET99";
        let world = World::mapped(test).await;
        let mut seen = String::new();
        let echo = FaultKind::Canned { status: 500, content_type: "application/json".to_owned(), body: format!("{{\"detail\":\"{CANARY}\"}}") };
        for fault in [None, Some(echo)] {
            if let Some(fault) = fault {
                world.fault("*", fault);
            }
            let changed = update(&world, field("tacticalrmm_api_key", CANARY)).await.unwrap();
            seen.push_str(&format!("{changed:?}"));
            let report = world.services.integrations.test(&world.ctx(), world.id, Draft::default()).await.unwrap();
            seen.push_str(&format!("{report:?}{}", serde_json::to_string(&report).unwrap()));
            let run = world.run(RunKind::Devices).await;
            seen.push_str(&format!("{run:?}{:?}", world.items(&run).await));
        }
        let error = update(&world, field("tacticalrmm_api_key", &format!("{CANARY}\n{CANARY}"))).await.unwrap_err();
        seen.push_str(&format!("{error:?}{error}"));
        let error = update(&world, field(&format!("x{}", 1), CANARY)).await.unwrap_err();
        seen.push_str(&format!("{error:?}{error}"));
        seen.push_str(&format!("{:?}{:?}", view(&world).await, world.services.integrations.list(&world.ctx()).await.unwrap()));
        seen.push_str(&format!("{:?}", world.events_since(0).await));
        assert!(!seen.contains(CANARY));
        assert_eq!(view(&world).await.secrets[0].last_four.as_deref(), Some("ET99"));
    }
}
