//! The end of a walk: what it says of devices that it did not meet. And what a list says of status, detail and company.

use domain::{
    asset::{Asset, AssetFilter},
    event::kind,
    mapping::Reason,
    status::{Status, Thresholds},
    sync::{RunKind, RunState, SyncRun},
};
use provider::RejectedRow;
use serde_json::json;
use service::{
    integration::Draft,
    organization::{MappingChange, MappingTarget, OrganizationFilter},
};
use store::on_both_engines;

use crate::{
    fake::{FakeRmm, company, mapped, synced, world},
    world::{ALL, HOUR, World},
};

const DAY: u64 = 24 * HOUR;

async fn missing(world: &World) -> Vec<Asset> {
    world.find(AssetFilter { missing: Some(true), ..AssetFilter::default() }).await
}

/// Passes with so many hours before each.
async fn passes(world: &World, hours: &[u64]) -> SyncRun {
    let mut last = None;
    for hours in hours {
        world.wait(hours * HOUR);
        last = Some(world.run(RunKind::Devices).await);
    }
    last.unwrap()
}

async fn exclude(world: &World, organization: u32) {
    let id = world.organization(organization).await.id;
    let off = MappingChange { target: Some(MappingTarget::Excluded), auto_sync: None };
    world.services.organizations.change(&world.ctx(), id, off).await.unwrap();
}

async fn set(world: &World, settings: serde_json::Value) {
    let draft = Draft { settings: Some(settings), ..Draft::default() };
    world.services.integrations.update(&world.ctx(), world.id, draft, None).await.unwrap();
}

fn rejected(id: Option<&str>) -> RejectedRow {
    RejectedRow { external_id: id.map(str::to_owned), name: None, reason: "no name".to_owned() }
}

/// `d1` reports no more, the RMM says offline, and so many hours pass.
fn silence(world: &World, fake: &FakeRmm, hours: u64) {
    fake.change("d1", |device| device.is_online = false);
    world.wait(hours * HOUR);
}

async fn status(world: &World) -> Status {
    world.asset("d1").await.status
}

async fn tick(world: &World) {
    world.services.scheduler().tick(world.time()).await.unwrap();
}

async fn due(world: &World) -> u64 {
    world.test.store.tenant(&world.ctx()).details().count_due(world.id).await.unwrap()
}

on_both_engines! {
    async fn device_that_three_complete_walks_lack_for_a_day_is_missing(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        let looked = world.asset("d7").await.observed_at;
        fake.remove("d7");
        let run = passes(&world, &[1, 1]).await;
        assert_eq!((run.state, run.counts.absent, run.counts.missing), (RunState::Succeeded, 1, 0));
        let unlisted = world.asset("d7").await;
        assert_eq!((unlisted.observed_at, unlisted.status_stale), (looked, true), "the last look that had it");
        assert_eq!(passes(&world, &[1]).await.counts.missing, 0, "not a day yet");
        let run = passes(&world, &[30]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, 1));
        let gone = missing(&world).await;
        assert_eq!((gone.len(), gone[0].source.missing_note.as_deref()), (1, None));
        assert_eq!(fake.script().locates, 0, "a complete walk leaves nothing to ask");
        assert_eq!(world.assets().await.len(), 40, "assets stay");
    }

    async fn device_met_where_nothing_is_synced_is_missing_and_the_note_says_where_it_is(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        exclude(&world, 3).await;
        fake.change("d7", |device| device.organization = "3".to_owned());
        fake.change("d11", |device| device.organization = "unheard of".to_owned());
        passes(&world, &[1, 1]).await;
        let run = passes(&world, &[30]).await;
        assert_eq!((run.state, run.counts.missing), (RunState::Succeeded, 2));
        let note = async |id: &str| world.asset(id).await.source.missing_note.unwrap();
        assert_eq!(note("d7").await, "is in `Organization 3` now, which is not synced");
        assert_eq!(note("d11").await, "is in `unheard of` now, which is not synced");
        assert_eq!(fake.script().locates, 0);
        fake.change("d7", |device| device.organization = "4".to_owned());
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.counts.returned, run.counts.moved), (1, 1));
    }

    async fn incomplete_walk_counts_no_absence_and_says_so(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.remove("d7");
        passes(&world, &[1, 1]).await;
        world.wait(30 * HOUR);
        let looked = world.organization(2).await.observed_at;
        fake.script().is_incomplete = true;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.incomplete, run.counts.missing), (RunState::Partial, 1, 0));
        let items = world.items(&run).await;
        assert_eq!(items.len(), 1);
        assert!(items[0].message.contains("held 39, the RMM counts 40"), "{items:?}");
        assert!(world.organization(2).await.observed_at > looked, "what it met, it looked at");
        assert!(world.asset("d7").await.status_stale, "what it did not meet, it did not");
        fake.script().is_incomplete = false;
        assert_eq!(world.run(RunKind::Devices).await.counts.missing, 1, "that was the third");
    }

    async fn presence_passes_count_no_absence(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.remove("d7");
        for _ in 0..4 {
            world.wait(12 * HOUR);
            let run = world.run(RunKind::Presence).await;
            assert_eq!((run.state, run.counts.absent, run.counts.missing), (RunState::Succeeded, 1, 0));
        }
        assert_eq!(passes(&world, &[1]).await.counts.missing, 0);
        assert_eq!(missing(&world).await.len(), 0);
    }

    async fn rejected_row_is_not_absent_and_one_without_id_may_be_any(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.remove("d7");
        fake.script().rejected = vec![rejected(Some("d7"))];
        let run = passes(&world, &[12, 12, 12, 12]).await;
        assert_eq!((run.counts.absent, run.counts.missing, run.counts.failed), (0, 0, 1));
        assert!(!world.asset("d7").await.status_stale);
        fake.script().rejected = vec![rejected(None)];
        let run = passes(&world, &[12, 12, 12, 12]).await;
        assert_eq!((run.counts.absent, run.counts.missing, run.counts.failed), (0, 0, 1));
        assert!(world.asset("d7").await.status_stale, "nobody can tell whether it was looked at");
        fake.script().rejected = Vec::new();
        let run = passes(&world, &[12, 12, 12]).await;
        assert_eq!((run.counts.absent, run.counts.missing), (1, 1));
    }

    async fn brake_stops_a_walk_that_would_mark_too_many(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.script().devices.truncate(20);
        passes(&world, &[1, 1]).await;
        let run = passes(&world, &[30]).await;
        assert_eq!((run.state, run.counts.absent, run.counts.missing), (RunState::Partial, 20, 0));
        assert!(world.items(&run).await[0].message.contains("missing_brake_percent"));
        assert_eq!(missing(&world).await.len(), 0);
    }

    async fn absence_is_counted_once_in_a_run_that_begins_again_after_its_end(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.remove("d7");
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        for _ in 0..3 {
            let job = world.claim(store::sync_run::LIST_JOB).await.unwrap();
            let stop = tokio_util::sync::CancellationToken::new();
            let tenant = world.ctx();
            let counted = async {
                loop {
                    let run = world.test.store.tenant(&tenant).sync_runs().get(run.id).await.unwrap();
                    if run.cursor_state.is_some_and(|state| state.contains("true")) {
                        return;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                biased;
                () = counted => {}
                _ = world.attempt(&job, stop) => {}
            }
            world.wait(30 * HOUR);
        }
        world.work(store::sync_run::LIST_JOB).await;
        assert_eq!(missing(&world).await.len(), 0);
        let run = passes(&world, &[1]).await;
        assert_eq!((run.counts.absent, run.counts.missing), (1, 0), "the second");
        assert_eq!(passes(&world, &[30]).await.counts.missing, 1, "the third");
    }

    async fn devices_of_an_organization_that_is_gone_are_absent(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.script().organizations.retain(|organization| organization.external_id != "3");
        // One is still listed there: the list of organizations is not all there is.
        fake.script().devices.retain(|device| device.organization != "3" || device.id == "d3");
        set(&world, json!({ "missing_brake_percent": 100 })).await;
        let lists = fake.script().organization_lists;
        let run = passes(&world, &[1]).await;
        assert_eq!((run.state, run.counts.absent), (RunState::Succeeded, 7));
        assert_eq!(fake.script().organization_lists, lists + 2, "it is asked again before that counts");
        passes(&world, &[1]).await;
        let run = passes(&world, &[30]).await;
        assert_eq!(run.counts.missing, 7);
        let gone = missing(&world).await;
        let note = "its organization `Organization 3` is not at the RMM any more";
        assert!(gone.iter().all(|asset| asset.source.missing_note.as_deref() == Some(note)));
        assert!(gone.iter().all(|asset| asset.source.external_id != "d3"));
    }

    async fn preview_of_a_walk_tells_and_writes_nothing(test) {
        let (world, fake) = Box::pin(synced(test, 5, 40)).await;
        fake.remove("d7");
        passes(&world, &[1, 1]).await;
        world.wait(30 * HOUR);
        fake.change("d8", |device| device.description = Some("new".to_owned()));
        fake.change("d9", |device| device.organization = "0".to_owned());
        let (register, seq) = (world.register().await, world.last_seq().await);
        let looked = world.organization(2).await.observed_at;
        let run = world.run_of(world.id, RunKind::Devices, true).await;
        assert_eq!((run.counts.updated, run.counts.moved, run.counts.absent, run.counts.missing), (2, 1, 1, 1));
        let mut told: Vec<_> =
            world.items(&run).await.into_iter().map(|item| (item.action, item.external_id.unwrap())).collect();
        told.sort();
        let expected = [("absent", "d7"), ("missing", "d7"), ("moved", "d9"), ("updated", "d8")];
        assert_eq!(told, expected.map(|(action, id)| (action.to_owned(), id.to_owned())));
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
        assert_eq!(world.organization(2).await.observed_at, looked);
    }

    async fn offline_becomes_overdue_by_the_clock_after_the_hours_of_the_settings(test) {
        let (world, fake) = Box::pin(synced(test, 2, 4)).await;
        let asset = world.asset("d1").await;
        let of_settings = Thresholds { offline_minutes: 0, overdue_minutes: 24 * 60 };
        assert_eq!((asset.status, asset.thresholds, asset.thresholds_assumed), (Status::Online, of_settings, false));
        silence(&world, fake, 20);
        world.run(RunKind::Presence).await;
        assert_eq!(status(&world).await, Status::Offline);
        world.wait(3 * HOUR);
        tick(&world).await;
        assert_eq!(status(&world).await, Status::Offline);
        let seq = world.last_seq().await;
        world.wait(HOUR + 1);
        tick(&world).await;
        assert_eq!(status(&world).await, Status::Overdue);
        let moved = world.events_since(seq).await;
        assert_eq!(moved[0].data, Some(json!({ "from": "offline", "to": "overdue", "by": "clock" })));
        let seq = world.last_seq().await;
        world.run(RunKind::Devices).await;
        tick(&world).await;
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new(), "looks and clock do not quarrel");
        let others = world.assets().await.into_values().filter(|asset| asset.source.external_id != "d1");
        assert!(others.into_iter().all(|asset| asset.status == Status::Online));
    }

    async fn changed_hours_count_from_the_next_look_on(test) {
        let (world, fake) = Box::pin(synced(test, 2, 4)).await;
        silence(&world, fake, 30);
        world.run(RunKind::Devices).await;
        assert_eq!(status(&world).await, Status::Overdue);
        set(&world, json!({ "overdue_after_hours": 48 })).await;
        assert_eq!(world.asset("d1").await.thresholds.overdue_minutes, 24 * 60, "the ones it was looked at by");
        world.run(RunKind::Presence).await;
        assert_eq!(status(&world).await, Status::Offline);
        assert_eq!(world.asset("d1").await.thresholds.overdue_minutes, 48 * 60);
        assert_eq!(world.asset("d2").await.thresholds.overdue_minutes, 48 * 60);
        let listed = world.find(AssetFilter::default()).await;
        assert!(listed.iter().all(|a| a.thresholds.overdue_minutes == 48 * 60 && !a.thresholds_assumed));
        world.wait(10 * HOUR);
        tick(&world).await;
        assert_eq!(status(&world).await, Status::Offline);
        set(&world, json!({ "overdue_after_hours": 41 })).await;
        world.run(RunKind::Presence).await;
        assert_eq!(status(&world).await, Status::Offline);
        world.wait(HOUR);
        tick(&world).await;
        assert_eq!(status(&world).await, Status::Overdue);
        let (register, seq) = (world.register().await, world.last_seq().await);
        world.run(RunKind::Presence).await;
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn device_that_is_silent_for_a_month_is_stale(test) {
        let (world, fake) = Box::pin(synced(test, 2, 4)).await;
        silence(&world, fake, 29 * 24);
        fake.change("d2", |device| {
            device.is_online = false;
            device.last_seen = None;
        });
        world.run(RunKind::Devices).await;
        let stale = async |id: &str| world.asset(id).await.stale;
        assert!(!stale("d1").await && !stale("d2").await);
        world.wait(DAY);
        assert!(stale("d1").await);
        assert!(stale("d2").await, "known for a month, and never seen");
        assert!(!stale("d3").await, "online at the last look");
        set(&world, json!({ "stale_after_days": 90 })).await;
        assert!(!stale("d1").await);
        let listed = world.find(AssetFilter::default()).await;
        assert!(listed.iter().all(|asset| !asset.stale));
    }

    async fn detail_is_due_when_its_date_moves_and_only_then(test) {
        let (world, fake) = Box::pin(mapped(test, 2, 6)).await;
        let date = world.time();
        for n in 0..5 {
            fake.change(&format!("d{n}"), |device| device.detail_as_of = Some(date));
        }
        world.run(RunKind::Devices).await;
        assert_eq!(due(&world).await, 6, "never looked at");
        world.run(RunKind::Details).await;
        assert_eq!(due(&world).await, 0);
        world.wait(2 * DAY);
        // Facts of one with a date and of the one without.
        for id in ["d1", "d5"] {
            fake.change(id, |device| device.description = Some("changed".to_owned()));
        }
        world.run(RunKind::Devices).await;
        assert_eq!(due(&world).await, 1, "the one without a date");
        world.run(RunKind::Details).await;
        let (before, seq) = (world.asset("d2").await, world.last_seq().await);
        fake.change("d2", |device| device.detail_as_of = Some(world.time()));
        let run = world.run(RunKind::Presence).await;
        assert_eq!((run.counts.updated, run.counts.unchanged), (0, 6));
        assert_eq!(due(&world).await, 1);
        assert_eq!(world.asset("d2").await.updated_at, before.updated_at, "nothing else moved");
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
        world.run(RunKind::Details).await;
        assert_eq!(due(&world).await, 0);
        world.run(RunKind::Devices).await;
        assert_eq!(due(&world).await, 0);
        fake.change("d3", |device| {
            device.detail_as_of = Some(world.time());
            device.description = Some("and changed".to_owned());
        });
        world.run(RunKind::Devices).await;
        assert_eq!(due(&world).await, 1, "with other facts as well");
    }

    async fn company_of_an_organization_is_kept_and_suggests_a_client(test) {
        let (world, fake) = Box::pin(world(test)).await;
        fake.fill(3, 0, world.time());
        fake.script().organizations[1].company = Some(company("Contoso Dental"));
        fake.script().organizations[2].company = Some(company("Nobody at all"));
        world.services.clients.create(&world.ctx(), "Contoso Dental").await.unwrap();
        world.run(RunKind::Organizations).await;
        let filter = OrganizationFilter { integration_id: Some(world.id), ..OrganizationFilter::default() };
        let listed = world.services.organizations.list(&world.ctx(), filter, true, ALL).await.unwrap().items;
        let told: Vec<_> = listed
            .iter()
            .map(|view| {
                let company = view.organization.company.as_ref().map(|company| company.name.as_str());
                (company, view.suggestions.first().map(|best| (best.score, best.reason)))
            })
            .collect();
        let best = Some((100, Reason::CompanySameName));
        assert_eq!(told, [(None, None), (Some("Contoso Dental"), best), (Some("Nobody at all"), None)]);
        let seq = world.last_seq().await;
        assert_eq!(world.run(RunKind::Organizations).await.counts.updated, 0);
        fake.script().organizations[1].company = Some(company("Fabrikam"));
        fake.script().organizations[2].company = None;
        assert_eq!(world.run(RunKind::Organizations).await.counts.updated, 2);
        assert_eq!(world.organization(1).await.company, Some(company("Fabrikam")));
        assert_eq!(world.organization(2).await.company, None);
        let changed = world.kinds_since(seq).await;
        assert_eq!(changed.iter().filter(|kind| *kind == kind::ORGANIZATION_CHANGED).count(), 2);
    }
}
