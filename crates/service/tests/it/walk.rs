//! The walk over the devices of a whole account: what it writes, and what it keeps when it is cut off.

use domain::{
    event::kind,
    sync::{RunItem, RunKind, RunState, SyncRun},
};
use provider::{ErrorKind, OrganizationRecord, RejectedRow};
use service::{
    job::Outcome,
    organization::{MappingChange, MappingTarget},
};
use store::on_both_engines;
use tokio_util::sync::CancellationToken;

use crate::{
    fake::{FakeRmm, ROWS, mapped, organization, synced},
    world::{LEASE, World, lane},
};

/// A run and the statements that it took.
async fn counted(world: &World) -> (SyncRun, u64) {
    let before = world.services.statements_run();
    let run = world.run(RunKind::Devices).await;
    (run, world.services.statements_run() - before)
}

async fn get(world: &World, run: &SyncRun) -> SyncRun {
    world.services.sync.get(&world.ctx(), run.id).await.unwrap()
}

/// Begins a run of devices and drops it where its walk waits before page `page`: its worker is dead.
async fn crash_before(world: &World, fake: &FakeRmm, page: usize, preview: bool) -> SyncRun {
    let gate = fake.wait_before(page);
    let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, preview).await.unwrap();
    let job = world.claim(lane(RunKind::Devices)).await.unwrap();
    // The page before is written while the next is read.
    let written = (page * ROWS / 1_000 * 1_000) as u64;
    let reached = async {
        gate.reached.notified().await;
        world.until(&run, |run| run.done >= written).await
    };
    let run = tokio::select! {
        outcome = world.attempt(&job, CancellationToken::new()) => panic!("the run ended: {outcome:?}"),
        run = reached => run,
    };
    fake.script().gate = None;
    world.wait(LEASE.as_secs() + 1);
    run
}

/// A run of devices during which something is done where its walk waits before page `page`.
async fn run_amid(world: &World, fake: &FakeRmm, page: usize, deed: impl AsyncFnOnce()) -> SyncRun {
    world.wait(1);
    let gate = fake.wait_before(page);
    let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
    let meanwhile = async {
        gate.reached.notified().await;
        deed().await;
        fake.script().gate = None;
        gate.open.notify_one();
    };
    tokio::join!(world.work(lane(RunKind::Devices)), meanwhile);
    get(world, &run).await
}

fn failed(id: Option<&str>) -> RejectedRow {
    RejectedRow { external_id: id.map(str::to_owned), name: None, reason: "no name".to_owned() }
}

on_both_engines! {
    async fn devices_of_many_organizations_are_written_page_by_page(test) {
        let (world, fake) = Box::pin(mapped(test, 7, 2_300)).await;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.read, run.counts.created), (RunState::Succeeded, 2_300, 2_300));
        assert_eq!((run.done, run.total), (2_300, Some(2_300)));
        assert_eq!(run.counts.calls, 1 + 1 + 2_300_u64.div_ceil(250) + 1, "organizations, dictionary, pages");
        let (organizations, assets) = (world.organizations().await, world.assets().await);
        for device in &fake.script().devices {
            let (asset, organization) = (&assets[&device.id], &organizations[&device.organization]);
            assert_eq!(Some(asset.client_id), organization.client_id);
            assert_eq!(asset.source.organization_id, organization.id);
            assert_eq!(asset.source.organization_external_id, device.organization);
            assert_eq!(asset.site_name, Some(format!("Site of {}", device.organization)));
        }
        assert!(organizations.values().all(|o| o.observed_at.is_some() && o.observed_at <= run.started_at));
        world.assert_counters_fit().await;
    }

    async fn a_page_costs_the_same_however_many_organizations_it_is_of(test) {
        let (world, fake) = Box::pin(mapped(test, 250, 1_000)).await;
        let (run, many) = counted(&world).await;
        assert_eq!((run.state, run.counts.created), (RunState::Succeeded, 1_000));
        // The same again with all devices of one organization, and twice as many.
        let at = world.time();
        fake.script().devices.clear();
        let more = |from: usize, count: usize, id: &str| {
            let mut script = fake.script();
            for n in from..from + count {
                script.devices.push(crate::fake::FakeDevice {
                    id: format!("{id}{n}"),
                    organization: (if id == "e" { 0 } else { n % 250 }).to_string(),
                    description: None,
                    is_online: true,
                    last_seen: Some(at),
                    detail_as_of: None,
                });
            }
        };
        more(0, 1_000, "e");
        let (run, one) = counted(&world).await;
        assert_eq!(run.counts.created, 1_000);
        fake.script().devices.clear();
        more(0, 2_000, "f");
        let (run, two_pages) = counted(&world).await;
        assert_eq!(run.counts.created, 2_000);
        let page = two_pages - many;
        assert!(page <= 35, "{page} statements for a page of new devices of 250 organizations");
        // The absence of those that are gone costs the same in both; the first run maps 250 new sites.
        assert!(many <= one + 4, "{many} statements for 250 organizations, {one} for one");
    }

    async fn moved_changed_and_new_devices_of_a_page_cost_no_more(test) {
        let (world, fake) = Box::pin(synced(test, 250, 1_000)).await;
        for n in 0..1_000 {
            fake.change(&format!("d{n}"), |device| {
                if n % 2 == 0 {
                    device.organization = ((n + 1) % 250).to_string();
                }
                device.description = Some("changed".to_owned());
                device.is_online = n % 3 == 0;
                device.detail_as_of = Some(world.time());
            });
        }
        fake.remove("d7");
        let new = crate::fake::FakeDevice {
            id: "new".to_owned(),
            organization: "3".to_owned(),
            description: None,
            is_online: true,
            last_seen: None,
            detail_as_of: None,
        };
        fake.script().devices.push(new);
        let (run, statements) = counted(&world).await;
        assert_eq!((run.counts.moved, run.counts.updated, run.counts.created), (500, 999, 1));
        // All of the run: its job, organizations, the page, the end with absences, the look for machines that may be the same,
        // and what follows a run.
        assert!(statements <= 95, "{statements} statements");
        world.assert_counters_fit().await;
    }

    async fn unchanged_walk_writes_nothing(test) {
        let (world, _) = Box::pin(synced(test, 40, 1_500)).await;
        world.run(RunKind::Devices).await;
        let (register, seq) = (world.register().await, world.last_seq().await);
        let looked = world.organization(3).await.observed_at;
        let (run, statements) = counted(&world).await;
        assert_eq!((run.counts.unchanged, run.counts.updated), (1_500, 0));
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
        assert!(world.organization(3).await.observed_at > looked);
        assert!(statements <= 60, "{statements} statements for two pages in which nothing changed");
    }

    async fn presence_passes_walk_as_well(test) {
        let (world, fake) = Box::pin(synced(test, 3, 30)).await;
        let walks = fake.script().walks;
        world.wait(60);
        fake.change("d4", |device| device.last_seen = Some(world.time()));
        let run = world.run(RunKind::Presence).await;
        assert_eq!((run.state, run.counts.unchanged), (RunState::Succeeded, 30));
        assert_eq!(fake.script().walks, walks + 1);
        assert_eq!(world.asset("d4").await.presence.last_seen, Some(world.time() - std::time::Duration::from_secs(1)));
    }

    async fn devices_of_organizations_that_are_not_synced_are_left_out(test) {
        let (world, fake) = Box::pin(mapped(test, 4, 400)).await;
        let off = MappingChange { target: Some(MappingTarget::Excluded), auto_sync: None };
        world.services.organizations.change(&world.ctx(), world.organization(2).await.id, off).await.unwrap();
        // One that came after the organizations were read.
        fake.change("d4", |device| device.organization = "unheard of".to_owned());
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.read, run.counts.created, run.done), (RunState::Succeeded, 299, 299, 299));
        assert_eq!(world.assets().await.len(), 299);
        assert_eq!(world.organization(2).await.observed_at, None);
        let none = MappingChange { target: None, auto_sync: Some(false) };
        for id in [0, 1, 3] {
            let id = world.organization(id).await.id;
            world.services.organizations.change(&world.ctx(), id, none.clone()).await.unwrap();
        }
        let walks = fake.script().walks;
        assert_eq!(world.run(RunKind::Devices).await.state, RunState::Succeeded);
        assert_eq!(fake.script().walks, walks, "nothing is walked for nothing");
    }

    async fn device_that_is_listed_twice_is_taken_once(test) {
        let (world, fake) = Box::pin(mapped(test, 3, 1_200)).await;
        let again: Vec<_> = {
            let script = fake.script();
            let mut twice = vec![script.devices[5].clone(), script.devices[6].clone(), script.devices[1_100].clone()];
            // It moved while the list was read.
            twice[1].organization = "1".to_owned();
            twice
        };
        fake.script().devices.extend(again);
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.created, run.counts.moved), (RunState::Succeeded, 1_200, 0));
        assert_eq!(world.assets().await.len(), 1_200);
        assert_eq!(world.asset("d6").await.source.organization_external_id, "0");
        world.assert_counters_fit().await;
    }

    async fn rows_that_cannot_be_read_are_named_up_to_a_limit(test) {
        let (world, fake) = Box::pin(mapped(test, 2, 20)).await;
        fake.script().rejected = (0..1_500).map(|n| failed(Some(&format!("x{n}")))).collect();
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.failed, run.counts.created), (RunState::Partial, 1_500, 20));
        assert_eq!((run.counts.read, run.done), (1_520, 1_520));
        let items = world.items(&run).await;
        assert_eq!(items.len(), 1_000);
        assert!(items.iter().all(|item: &RunItem| item.action == "failed" && item.message == "no name"));
    }

    async fn what_was_read_before_a_failure_is_kept_and_notes_no_look(test) {
        let (world, fake) = Box::pin(mapped(test, 5, 2_000)).await;
        for (kind, expected) in [(Some(ErrorKind::RateLimited), "fake_refused"), (None, "list_cut_off")] {
            fake.script().cut = Some((5, kind));
            let run = world.run(RunKind::Devices).await;
            assert_eq!(run.state, RunState::Failed);
            assert!(run.problem.unwrap().contains(expected));
            assert_eq!(world.assets().await.len(), 5 * ROWS, "the last of them is no full page");
            assert!(world.organizations().await.values().all(|o| o.observed_at.is_none()));
            assert!(world.assets().await.values().all(|asset| asset.status_stale));
        }
        fake.script().cut = None;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.created, run.counts.unchanged), (RunState::Succeeded, 750, 1_250));
        world.assert_counters_fit().await;
    }

    async fn failed_walk_that_is_tried_again_counts_each_device_once(test) {
        let (world, fake) = Box::pin(mapped(test, 5, 2_000)).await;
        fake.script().cut = Some((5, Some(ErrorKind::RateLimited)));
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        let outcome = world.attempt(&job, CancellationToken::new()).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        world.settle(&job, outcome).await;
        assert_eq!(get(&world, &run).await.counts.created, 1_250);
        fake.script().cut = None;
        world.work(lane(RunKind::Devices)).await;
        let run = get(&world, &run).await;
        assert_eq!((run.state, run.counts.read, run.counts.created), (RunState::Succeeded, 2_000, 2_000));
        assert_eq!((run.counts.unchanged, run.done), (0, 2_000));
    }

    async fn walk_that_crashed_begins_again_and_counts_each_device_once(test) {
        let (world, fake) = Box::pin(mapped(test, 6, 3_100)).await;
        fake.script().rejected = vec![failed(Some("x"))];
        let crashed = crash_before(&world, fake, 10, false).await;
        assert_eq!((crashed.done, crashed.counts.created), (2_000, 2_000));
        fake.change("d1", |device| device.description = Some("changed meanwhile".to_owned()));
        world.work(lane(RunKind::Devices)).await;
        let run = get(&world, &crashed).await;
        assert_eq!((run.state, run.counts.read, run.counts.failed), (RunState::Partial, 3_101, 1));
        assert_eq!((run.counts.created, run.counts.updated, run.done), (3_100, 1, 3_101));
        assert_eq!(run.counts.unchanged, 0);
        assert_eq!(world.assets().await.len(), 3_100);
        assert_eq!(world.items(&run).await.len(), 1);
        let looked = world.organization(3).await.observed_at.unwrap();
        assert!(looked > run.started_at.unwrap(), "the walk that ended began after the crash");
        world.assert_counters_fit().await;
        let seq = world.last_seq().await;
        world.run(RunKind::Devices).await;
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn preview_that_crashed_tells_each_device_once(test) {
        let (world, fake) = Box::pin(mapped(test, 6, 1_600)).await;
        let crashed = crash_before(&world, fake, 5, true).await;
        assert_eq!(crashed.counts.created, 1_000);
        world.work(lane(RunKind::Devices)).await;
        let run = get(&world, &crashed).await;
        assert_eq!((run.state, run.counts.created, run.counts.read), (RunState::Succeeded, 1_600, 1_600));
        assert_eq!(world.items(&run).await.len(), 1_600);
        assert_eq!(world.assets().await.len(), 0);
        assert_eq!(world.organization(3).await.observed_at, None);
    }

    async fn walk_asked_to_stop_gives_its_job_back(test) {
        let (world, fake) = Box::pin(mapped(test, 6, 2_600)).await;
        let gate = fake.wait_before(6);
        let run = world.services.sync.request(&world.ctx(), world.id, RunKind::Devices, false).await.unwrap();
        let job = world.claim(lane(RunKind::Devices)).await.unwrap();
        let stop = CancellationToken::new();
        let stopping = async {
            gate.reached.notified().await;
            world.until(&run, |run| run.done >= 1_000).await;
            stop.cancel();
            gate.open.notify_one();
        };
        let (outcome, ()) = tokio::join!(world.attempt(&job, stop.clone()), stopping);
        assert_eq!(outcome, Outcome::GiveBack);
        world.settle(&job, outcome).await;
        fake.script().gate = None;
        world.work(lane(RunKind::Devices)).await;
        let run = get(&world, &run).await;
        assert_eq!((run.state, run.counts.created, run.counts.read), (RunState::Succeeded, 2_600, 2_600));
    }

    async fn cancelled_walk_keeps_what_it_wrote(test) {
        let (world, fake) = Box::pin(mapped(test, 6, 2_600)).await;
        let run = run_amid(&world, fake, 7, async || {
            let filter = service::sync::RunFilter::default();
            let open = world.services.sync.list(&world.ctx(), filter, crate::world::ALL).await.unwrap().items;
            let open = open.into_iter().find(|run| !run.state.is_over()).unwrap();
            world.until(&open, |run| run.done >= 1_000).await;
            world.services.sync.cancel(&world.ctx(), open.id).await.unwrap();
        })
        .await;
        assert_eq!((run.state, run.counts.created), (RunState::Cancelled, 1_000));
        assert_eq!(world.assets().await.len(), 1_000);
        assert_eq!(world.organization(3).await.observed_at, None);
    }

    async fn organization_mapped_elsewhere_during_a_walk_goes_on_at_its_new_client(test) {
        let (world, fake) = Box::pin(mapped(test, 4, 2_600)).await;
        let (from, to) = (world.organization(1).await, world.organization(2).await);
        let run = run_amid(&world, fake, 9, async || {
            let target = MappingChange { target: to.client_id.map(MappingTarget::Client), auto_sync: None };
            world.services.organizations.change(&world.ctx(), from.id, target).await.unwrap();
        })
        .await;
        assert_eq!((run.state, run.counts.created, run.counts.skipped), (RunState::Succeeded, 2_600, 0));
        let assets = world.assets().await;
        let theirs = fake.script().devices.iter().filter(|d| d.organization == "1").map(|d| d.id.clone()).collect::<Vec<_>>();
        assert!(theirs.iter().all(|id| Some(assets[id].client_id) == to.client_id && assets[id].site_name.is_some()));
        world.assert_counters_fit().await;
        let (register, seq) = (world.register().await, world.last_seq().await);
        world.run(RunKind::Devices).await;
        assert_eq!(world.register().await, register);
        assert_eq!(world.kinds_since(seq).await, Vec::<String>::new());
    }

    async fn organization_taken_out_during_a_walk_is_skipped_and_counts_no_absence(test) {
        let (world, fake) = Box::pin(synced(test, 4, 2_600)).await;
        let looked = world.organization(1).await.observed_at;
        // d2597 is one of the organization, and comes with the last page.
        fake.remove("d2597");
        let off = MappingChange { target: None, auto_sync: Some(false) };
        let on = MappingChange { target: None, auto_sync: Some(true) };
        let id = world.organization(1).await.id;
        let run = run_amid(&world, fake, 9, async || {
            world.services.organizations.change(&world.ctx(), id, off).await.unwrap();
        })
        .await;
        assert_eq!((run.state, run.counts.skipped, run.counts.absent), (RunState::Succeeded, 1, 0));
        let items = world.items(&run).await;
        assert_eq!(items.len(), 1, "{items:?}");
        assert_eq!((items[0].action.as_str(), items[0].external_id.as_deref()), ("skipped", Some("1")));
        assert_eq!(world.organization(1).await.observed_at, looked, "it was not looked at to its end");
        assert!(world.organization(2).await.observed_at > looked);
        world.services.organizations.change(&world.ctx(), id, on).await.unwrap();
        assert_eq!(world.run(RunKind::Devices).await.counts.absent, 1);
    }

    async fn device_that_moves_between_organizations_keeps_its_asset(test) {
        let (world, fake) = Box::pin(synced(test, 3, 30)).await;
        let before = world.asset("d4").await;
        fake.script().organizations.push(OrganizationRecord { name: "Latecomer".to_owned(), ..organization("late") });
        world.run(RunKind::Organizations).await;
        world.map_all().await;
        fake.change("d4", |device| device.organization = "late".to_owned());
        let seq = world.last_seq().await;
        let run = world.run(RunKind::Devices).await;
        assert_eq!((run.state, run.counts.moved, run.counts.absent), (RunState::Succeeded, 1, 0));
        let after = world.asset("d4").await;
        assert_eq!(after.id, before.id);
        assert_eq!(Some(after.client_id), world.organizations().await["late"].client_id);
        let kinds = world.kinds_since(seq).await;
        assert_eq!(kinds.iter().filter(|kind| *kind == kind::ASSET_MOVED).count(), 1, "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| *kind == kind::CLIENT_CHANGED).count(), 1, "a site: {kinds:?}");
        world.assert_counters_fit().await;
    }
}
