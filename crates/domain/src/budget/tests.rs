//! Nodes that share an account, against an RMM that counts what arrives.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const TERMS: Terms =
    Terms { window_s: 60, reads: 600, writes: Some(100), slow_from_percent: 90, share_percent: 50 };
const START: i64 = 1_800_000_000_000;
const STEP_MS: i64 = 100;

fn at(ms: i64) -> Time {
    Time(START + ms)
}

fn reads(people: u32, background: u32) -> Ask {
    Ask { lane: Lane::Reads, people, background }
}

/// Numbers that look random and are the same every time.
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// What arrived at the RMM, by time.
#[derive(Default)]
struct Server {
    ours: Vec<i64>,
    others: Vec<i64>,
}

impl Server {
    fn in_window(times: &[i64], end: i64) -> u32 {
        let count = times.iter().filter(|time| **time > end - 60_000 && **time <= end).count();
        u32::try_from(count).unwrap()
    }

    fn most_in_a_window(times: &[i64]) -> u32 {
        let (mut times, mut held, mut most) = (times.to_vec(), VecDeque::new(), 0);
        times.sort_unstable();
        for time in times {
            held.push_back(time);
            while held.front().is_some_and(|first| *first <= time - 60_000) {
                held.pop_front();
            }
            most = most.max(held.len());
        }
        u32::try_from(most).unwrap()
    }
}

#[derive(Default)]
struct Node {
    /// Lease, people, background, until.
    slices: Vec<(Grant, i64)>,
    people: u32,
    background: u32,
}

impl Node {
    fn step(
        &mut self,
        account: &mut Account,
        server: &mut Server,
        lots: &mut Lots,
        now: i64,
        lookahead: u32,
    ) {
        for (grant, _) in self.slices.extract_if(.., |(_, until)| *until <= now) {
            // What it was granted less what is left of it was used: told as the service tells it.
            let used = grant.lease >> 32;
            account.settle(grant.lease & 0xffff_ffff, u32::try_from(used).unwrap());
        }
        for _ in 0..4 {
            while self.use_one(server, lots, now) {}
            if self.people + self.background == 0 {
                return;
            }
            let background = if self.background > 0 { self.background.clamp(lookahead, 30) } else { 0 };
            match account.lease(&TERMS, at(now), &reads(self.people, background)) {
                Answer::Granted(grant) => self.slices.push((grant, now + as_ms(LEASE))),
                Answer::Full { .. } | Answer::Paused { .. } => return,
            }
        }
    }

    fn use_one(&mut self, server: &mut Server, lots: &mut Lots, now: i64) -> bool {
        for (grant, _) in &mut self.slices {
            let slot = if self.people > 0 && grant.people > 0 {
                &mut grant.people
            } else if (self.people > 0 || self.background > 0) && grant.background > 0 {
                &mut grant.background
            } else {
                continue;
            };
            *slot -= 1;
            grant.lease += 1 << 32;
            if self.people > 0 {
                self.people -= 1;
            } else {
                self.background -= 1;
            }
            let travel = lots.below(u64::try_from(as_ms(TRAVEL)).unwrap());
            server.ours.push(now + i64::try_from(travel).unwrap());
            return true;
        }
        false
    }
}

/// How nodes want and what others do.
#[derive(Clone, Copy, Debug)]
struct Load {
    nodes: usize,
    /// Requests of each node that come up in a step, at most.
    background: u64,
    people: u64,
    /// Requests of others in a second, at most ten.
    others: i64,
    lookahead: u32,
    seed: u64,
}

fn run(load: Load, seconds: i64) -> Server {
    let (mut account, mut server, mut lots) = (Account::default(), Server::default(), Lots(load.seed));
    let mut nodes: Vec<Node> = (0..load.nodes).map(|_| Node::default()).collect();
    for step in 0..seconds * 1_000 / STEP_MS {
        let now = step * STEP_MS;
        if step % 10 < load.others {
            server.others.push(now);
        }
        for node in &mut nodes {
            node.background += u32::try_from(lots.below(load.background + 1)).unwrap();
            node.people += u32::try_from(lots.below(load.people + 1)).unwrap();
            if account.ask_counters(&TERMS, at(now)).is_ok() {
                let used = Server::in_window(&server.ours, now) + Server::in_window(&server.others, now);
                let said = counters(used);
                let unused: u32 = node.slices.iter().map(|(grant, _)| grant.people + grant.background).sum();
                account.observe(&TERMS, at(now), &said, (unused, 0));
            }
            node.step(&mut account, &mut server, &mut lots, now, load.lookahead);
        }
        // As from the column, each time.
        account = serde_json::from_str(&serde_json::to_string(&account).unwrap()).unwrap();
    }
    server
}

fn counters(used: u32) -> Counters {
    Counters {
        window_s: 60,
        reads: Count { used, limit: 600 },
        writes: Some(Count { used: 0, limit: 100 }),
        slow_from_percent: Some(90),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_rolling_window_holds_more_than_our_share(
        nodes in 1usize..5, background in 0u64..6, people in 0u64..3, others in 0i64..10, lookahead in 1u32..20,
        seed in any::<u64>(),
    ) {
        let server = run(Load { nodes, background, people, others, lookahead, seed }, 240);
        let most = Server::most_in_a_window(&server.ours);
        prop_assert!(most <= 300, "{most} of ours in one window");
    }
}

#[test]
fn nine_tenths_of_the_share_are_used_where_there_is_enough_to_do() {
    for nodes in [1, 2, 4] {
        let load = Load { nodes, background: 9, people: 4, others: 0, lookahead: 5, seed: 7 };
        let server = run(load, 650);
        let sent = server.ours.len();
        assert!(sent * 10 >= 300 * 10 * 9, "{nodes} nodes sent {sent} of 3000 in ten minutes");
    }
}

#[test]
fn what_others_leave_is_not_exceeded() {
    // 300 of others in each window: 540 less these leave 240, less than our 300.
    for (nodes, seed) in [(1, 3), (2, 4), (4, 5)] {
        let load = Load { nodes, background: 9, people: 2, others: 5, lookahead: 5, seed };
        let server = run(load, 600);
        let settled = |times: &[i64]| times.iter().copied().filter(|time| *time > 70_000).collect::<Vec<_>>();
        let ours = Server::most_in_a_window(&settled(&server.ours));
        let all = [settled(&server.ours), settled(&server.others)].concat();
        let most = Server::most_in_a_window(&all);
        assert!(most <= 540, "{nodes} nodes: {most} in one window, {ours} of them ours");
        assert!(ours >= 190, "{nodes} nodes: {ours} of ours: there was room for more");
    }
}

#[test]
fn nothing_but_a_try_is_sent_while_others_leave_no_room() {
    let mut account = Account::default();
    account.observe(&TERMS, at(0), &counters(560), (0, 0));
    let Answer::Full { people, spent, .. } = account.lease(&TERMS, at(1_000), &reads(1, 3)) else { panic!() };
    assert_eq!(spent, Spent::Others { others: 560, limit: 600 });
    assert_eq!(people, Duration::from_secs(9));
    let Answer::Granted(one) = account.lease(&TERMS, at(10_000), &reads(0, 3)) else { panic!() };
    assert_eq!((one.people, one.background), (0, 1));
    assert!(matches!(account.lease(&TERMS, at(11_000), &reads(3, 3)), Answer::Full { .. }));
    assert_eq!(account.ask_counters(&TERMS, at(11_000)), Ok(()), "asked sooner while it is short");
    assert_eq!(account.ask_counters(&TERMS, at(11_100)), Err(Duration::from_millis(9_900)), "by one alone");
    account.observe(&TERMS, at(11_200), &counters(100), (0, 0));
    let Answer::Granted(many) = account.lease(&TERMS, at(11_300), &reads(3, 3)) else { panic!() };
    assert_eq!((many.people, many.background), (3, 3));
}

#[test]
fn people_have_a_tenth_for_themselves() {
    let mut account = Account::default();
    let Answer::Granted(all) = account.lease(&TERMS, at(0), &reads(0, 1_000)) else { panic!() };
    assert_eq!(all.background, 270);
    let Answer::Full { people, background, .. } = account.lease(&TERMS, at(1), &reads(0, 1)) else {
        panic!()
    };
    assert_eq!((people, background), (Duration::ZERO, Duration::from_millis(64_999)));
    let Answer::Granted(rest) = account.lease(&TERMS, at(2), &reads(100, 5)) else { panic!() };
    assert_eq!((rest.people, rest.background), (30, 0));
    let Answer::Full { spent, people, .. } = account.lease(&TERMS, at(3), &reads(1, 0)) else { panic!() };
    assert_eq!(spent, Spent::Share { ours: 300, share: 300 });
    assert_eq!(people, Duration::from_millis(64_997));
    for ms in [64_999, 65_001] {
        assert!(
            matches!(account.lease(&TERMS, at(ms), &reads(1, 0)), Answer::Full { .. }),
            "one lump by then"
        );
    }
    assert!(matches!(account.lease(&TERMS, at(65_002), &reads(1, 0)), Answer::Granted(_)));
}

#[test]
fn a_share_of_one_still_works() {
    let terms = Terms { reads: 10, writes: None, share_percent: 5, ..TERMS };
    let mut account = Account::default();
    assert!(matches!(
        account.lease(&terms, at(0), &reads(0, 5)),
        Answer::Granted(Grant { background: 1, .. })
    ));
    assert!(matches!(account.lease(&terms, at(1), &reads(1, 0)), Answer::Full { .. }));
}

#[test]
fn slice_of_a_dead_node_is_lost_until_it_is_out_of_all_windows() {
    let mut account = Account::default();
    let Answer::Granted(lost) = account.lease(&TERMS, at(0), &reads(300, 0)) else { panic!() };
    assert_eq!(lost.people, 300);
    assert!(matches!(account.lease(&TERMS, at(64_999), &reads(1, 0)), Answer::Full { .. }));
    let Answer::Granted(back) = account.lease(&TERMS, at(65_000), &reads(300, 0)) else { panic!() };
    assert_eq!(back.people, 300);
}

#[test]
fn what_was_not_used_comes_back_and_telling_twice_gives_nothing_twice() {
    let mut account = Account::default();
    let Answer::Granted(grant) = account.lease(&TERMS, at(0), &reads(300, 0)) else { panic!() };
    account.settle(grant.lease, 100);
    account.settle(grant.lease, 100);
    account.settle(grant.lease, 250);
    let Answer::Granted(again) = account.lease(&TERMS, at(2_000), &reads(300, 0)) else { panic!() };
    assert_eq!(again.people, 200);
    account.lease(&TERMS, at(20_000), &reads(1, 0));
    account.settle(again.lease, 0);
    account.settle(0, 0);
    assert!(matches!(account.lease(&TERMS, at(20_001), &reads(1, 0)), Answer::Full { .. }), "too late");
}

#[test]
fn reads_and_writes_are_apart_where_the_rmm_counts_them_apart() {
    let writes = |people| Ask { lane: Lane::Writes, people, background: 0 };
    let mut account = Account::default();
    let Answer::Granted(write) = account.lease(&TERMS, at(0), &writes(500)) else { panic!() };
    let Answer::Granted(read) = account.lease(&TERMS, at(0), &reads(500, 0)) else { panic!() };
    assert_eq!((write.people, read.people), (50, 300));
    let view = account.view(&TERMS, at(1));
    assert_eq!(view.reads, LaneView { limit: 600, ours: 300, others: None, share: 300 });
    assert_eq!(view.writes, Some(LaneView { limit: 100, ours: 50, others: None, share: 50 }));
    // An older account: all in one.
    let together = Counters { writes: None, ..counters(370) };
    account.observe(&TERMS, at(2), &together, (0, 0));
    assert!(matches!(account.lease(&TERMS, at(3), &writes(1)), Answer::Full { .. }));
    let view = account.view(&TERMS, at(3));
    assert_eq!(view.reads, LaneView { limit: 600, ours: 350, others: Some(20), share: 300 });
    assert_eq!((view.writes, view.observed_at), (None, Some(at(2))));
}

#[test]
fn pause_stops_all_until_it_ends_and_a_shorter_one_does_not_end_it() {
    let mut account = Account::default();
    account.pause(&TERMS, at(0), Duration::from_secs(300), "long");
    account.pause(&TERMS, at(1_000), Duration::from_secs(60), "short");
    let told = account.lease(&TERMS, at(200_000), &reads(1, 0));
    assert_eq!(told, Answer::Paused { wait: Duration::from_secs(100), problem: "long".to_owned() });
    assert_eq!(account.ask_counters(&TERMS, at(200_000)), Err(Duration::from_secs(100)));
    assert_eq!(account.view(&TERMS, at(200_000)).paused_until, Some(at(300_000)));
    assert_eq!(account.refused_ago(at(200_000)), Some(Duration::from_secs(199)));
    assert!(matches!(account.lease(&TERMS, at(300_000), &reads(1, 0)), Answer::Granted(_)));
    assert_eq!(account.view(&TERMS, at(300_001)).problem, None);
}

#[test]
fn clock_that_was_set_back_stops_nobody_for_longer() {
    let mut account = Account::default();
    account.lease(&TERMS, at(0), &reads(300, 0));
    account.pause(&TERMS, at(0), Duration::from_secs(60), "wait");
    let hour_ago = -3_600_000;
    let told = account.lease(&TERMS, at(hour_ago), &reads(1, 0));
    assert!(matches!(told, Answer::Paused { wait, .. } if wait == Duration::from_secs(60)), "{told:?}");
    assert!(matches!(account.lease(&TERMS, at(hour_ago + 64_999), &reads(1, 0)), Answer::Full { .. }));
    assert!(matches!(account.lease(&TERMS, at(hour_ago + 65_000), &reads(1, 0)), Answer::Granted(_)));
}

#[test]
fn counters_are_asked_for_every_half_minute_by_one() {
    let mut account = Account::default();
    assert_eq!(account.ask_counters(&TERMS, at(0)), Ok(()));
    assert_eq!(account.ask_counters(&TERMS, at(1)), Err(Duration::from_millis(9_999)));
    assert_eq!(account.ask_counters(&TERMS, at(10_000)), Ok(()), "whoever was told to did not");
    account.observe(&TERMS, at(10_500), &counters(1), (0, 0));
    assert_eq!(account.ask_counters(&TERMS, at(10_501)), Err(Duration::from_millis(29_999)));
    assert_eq!(account.ask_counters(&TERMS, at(40_500)), Ok(()));
}

#[test]
fn nonsense_of_the_rmm_harms_nothing() {
    let mut account = Account::default();
    let said = Counters {
        window_s: 0,
        reads: Count { used: u32::MAX, limit: 0 },
        writes: Some(Count { used: 0, limit: u32::MAX }),
        slow_from_percent: Some(0),
    };
    account.observe(&TERMS, at(0), &said, (u32::MAX, u32::MAX));
    let view = account.view(&TERMS, at(0));
    assert_eq!((view.window_s, view.reads.limit, view.reads.share), (1, 600, 300));
    // The others are believed, for a while.
    assert!(matches!(account.lease(&TERMS, at(1), &reads(1, 0)), Answer::Full { .. }));
    assert!(
        matches!(account.lease(&TERMS, at(300_001), &reads(300, 0)), Answer::Granted(g) if g.people == 300)
    );
}

#[test]
fn the_column_stays_small() {
    let mut account = Account::default();
    for ms in (0..120_000).step_by(50) {
        account.lease(&TERMS, at(ms), &reads(1, 0));
    }
    let text = serde_json::to_string(&account).unwrap();
    assert!(text.len() < 12_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
}
