//! Two servers that share what an RMM takes.

use futures::future::join_all;
use provider::RateCount;
use store::on_both_engines;
use tokio::time::timeout;

use super::*;
use crate::{
    Services,
    fake::{Pair, background, ctx, draft},
};

/// Long enough for whoever need not wait, far too short for whoever has to.
const MOMENT: Duration = Duration::from_secs(3);

async fn budget(node: &Services, ctx: &Ctx, id: IntegrationId) -> Arc<dyn Budget> {
    node.core.open(ctx, id).await.unwrap().connection.budget
}

async fn taken(budget: &Arc<dyn Budget>) -> bool {
    timeout(MOMENT, budget.take(RequestKind::Read)).await.is_ok_and(|taken| taken.is_ok())
}

async fn refusal(budget: &Arc<dyn Budget>) -> Problem {
    let error = timeout(MOMENT, budget.take(RequestKind::Read)).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    error.problem
}

fn status(used: u32) -> RateStatus {
    let reads = RateCount { used, limit: 100 };
    RateStatus { window: Duration::from_secs(60), reads, writes: None, slow_from_percent: Some(90) }
}

on_both_engines! {
    async fn two_servers_take_their_share_and_leave_a_part_to_people(test) {
        let pair = Pair::new(test, Some(crate::fake::LIMIT)).await;
        let mut work = Vec::new();
        for node in &pair.nodes {
            work.push(budget(node, &background(), pair.id).await);
        }
        let tries = (0..80).map(|n| taken(&work[n % 2]));
        let count = join_all(tries).await.into_iter().filter(|taken| *taken).count();
        assert!((40..=45).contains(&count), "{count} of 45");
        let person = budget(&pair.nodes[1], &ctx(), pair.id).await;
        let mut people = 0;
        while people < 50 && taken(&person).await {
            people += 1;
        }
        assert!(people >= 5 && people + count <= 50, "{people} beside {count}");
        let problem = refusal(&person).await;
        assert_eq!(problem.code, "rate_share_spent");
        assert!(problem.wait_s.is_some_and(|wait| (50..=66).contains(&wait)), "{problem:?}");
        assert!(problem.message.contains("of 50 in 60 seconds"), "{problem:?}");
        let view = pair.nodes[0].integrations.get(&ctx(), pair.id).await.unwrap().rate_budget.unwrap().view;
        assert_eq!((view.reads.limit, view.reads.share, view.reads.others, view.writes), (100, 50, None, None));
        assert!((45..=50).contains(&view.reads.ours), "{view:?}");
    }

    async fn whoever_is_cut_off_takes_nothing_twice(test) {
        let pair = Pair::new(test, Some(crate::fake::LIMIT)).await;
        let person = budget(&pair.nodes[0], &ctx(), pair.id).await;
        let mut given = 0;
        for n in 0..200_u64 {
            let cut = timeout(Duration::from_micros(n * 20), person.take(RequestKind::Read)).await;
            given += u32::from(cut.is_ok_and(|taken| taken.is_ok()));
        }
        assert!(given > 0 && given <= 50, "{given}");
    }

    async fn what_the_rmm_says_of_others_is_kept_for_all(test) {
        let pair = Pair::new(test, Some(crate::fake::LIMIT)).await;
        let one = budget(&pair.nodes[0], &ctx(), pair.id).await;
        let other = budget(&pair.nodes[1], &ctx(), pair.id).await;
        assert!(one.wants_status().await);
        assert!(!other.wants_status().await && !one.wants_status().await, "one asks for all");
        assert!(taken(&one).await);
        one.observed(status(96)).await;
        let problem = refusal(&other).await;
        assert_eq!(problem.code, "rate_used_by_others");
        assert!(problem.message.contains("95 of the 100"), "{problem:?}");
        let listed = pair.nodes[1].integrations.list(&ctx()).await.unwrap();
        let view = &listed[0].rate_budget.as_ref().unwrap().view;
        assert_eq!((view.reads.ours, view.reads.others), (1, Some(95)));
        one.observed(status(1)).await;
        assert!(taken(&one).await);
    }

    async fn pause_holds_for_all_servers_with_the_sentence_of_the_rmm(test) {
        let pair = Pair::new(test, Some(crate::fake::LIMIT)).await;
        let one = budget(&pair.nodes[0], &background(), pair.id).await;
        assert!(taken(&one).await);
        let problem = Problem::new("shut_out", "The RMM shuts us out.", "Wait five minutes.");
        one.pause(Duration::from_secs(300), &problem).await;
        for node in &pair.nodes {
            for ctx in [ctx(), background()] {
                let told = refusal(&budget(node, &ctx, pair.id).await).await;
                assert_eq!((told.code.as_str(), told.fix.as_str()), ("shut_out", "Wait five minutes."));
                assert!(told.wait_s.is_some_and(|wait| (290..=300).contains(&wait)), "{told:?}");
            }
        }
        let seen = pair.nodes[1].integrations.get(&ctx(), pair.id).await.unwrap().rate_budget.unwrap();
        assert_eq!(seen.problem.unwrap().code, "shut_out");
        assert!(seen.view.paused_until.is_some_and(|until| until > crate::now()));
    }

    async fn rmm_without_a_limit_costs_no_statement(test) {
        let pair = Pair::new(test, None).await;
        let work = budget(&pair.nodes[0], &background(), pair.id).await;
        let before = pair.test.store.statements_run();
        for _ in 0..1_000 {
            assert!(!work.wants_status().await);
            work.take(RequestKind::Write).await.unwrap();
        }
        assert_eq!(pair.test.store.statements_run(), before);
        let view = pair.nodes[0].integrations.get(&ctx(), pair.id).await.unwrap();
        assert!(view.rate_budget.is_none());
    }

    async fn list_costs_the_same_for_one_and_for_many(test) {
        let pair = Pair::new(test, Some(crate::fake::LIMIT)).await;
        let integrations = &pair.nodes[0].integrations;
        let cost = async || {
            let before = pair.test.store.statements_run();
            let count = integrations.list(&ctx()).await.unwrap().len();
            (count, pair.test.store.statements_run() - before)
        };
        let (_, of_one) = cost().await;
        for key in ["key-2", "key-3", "key-4"] {
            integrations.create(&ctx(), draft(key)).await.unwrap();
        }
        assert_eq!(cost().await, (4, of_one));
    }

    async fn draft_has_an_account_of_its_own_and_a_test_that_of_its_integration(test) {
        let pair = Pair::new(test, Some(crate::fake::LIMIT)).await;
        let integrations = &pair.nodes[0].integrations;
        integrations.test_draft(&ctx(), draft("key-9")).await.unwrap();
        let ours = async || integrations.get(&ctx(), pair.id).await.unwrap().rate_budget.unwrap().view.reads.ours;
        assert_eq!(ours().await, 0);
        assert!(integrations.test(&ctx(), pair.id, crate::integration::Draft::default()).await.unwrap().ok);
        assert_eq!(ours().await, 1);
    }
}

#[tokio::test]
async fn account_of_a_draft_is_in_memory_and_as_strict() {
    let descriptor = provider::Provider::descriptor(crate::fake::Fake::new(Some(crate::fake::LIMIT)));
    let budget = of_draft(&ctx(), descriptor, &IntegrationSettings::default());
    let mut given = 0;
    while taken(&budget).await {
        given += 1;
    }
    assert_eq!(given, 50);
    let generous = IntegrationSettings { rate_share_percent: 90, ..IntegrationSettings::default() };
    let budget = of_draft(&ctx(), descriptor, &generous);
    for _ in 0..90 {
        budget.take(RequestKind::Read).await.unwrap();
    }
    assert!(budget.take(RequestKind::Read).await.is_err());
}

fn granted(lease: u64, people: u32, background: u32) -> domain::budget::Answer {
    domain::budget::Answer::Granted(domain::budget::Grant { lease, people, background })
}

#[test]
fn people_who_wait_go_first() {
    let mut hand = Hand::default();
    hand.learn(Lane::Reads, Instant::now(), granted(9, 0, 4));
    assert_eq!(hand.take(Lane::Reads, Urgency::Background, 3), Spot::Taken);
    assert_eq!(hand.take(Lane::Reads, Urgency::Background, 3), Spot::ForPeople);
    assert_eq!(hand.take(Lane::Reads, Urgency::Person, 3), Spot::Taken);
    assert_eq!(hand.take(Lane::Writes, Urgency::Person, 0), Spot::None);
    assert_eq!(hand.unused(Lane::Reads), 2);
    let mut hand = Hand::default();
    hand.learn(Lane::Reads, Instant::now(), granted(1, 2, 0));
    assert_eq!(hand.take(Lane::Reads, Urgency::Background, 0), Spot::None, "what is kept free is for people");
    assert_eq!(hand.take(Lane::Reads, Urgency::Person, 1), Spot::Taken);
}

#[test]
fn that_there_is_nothing_is_believed_for_some_seconds() {
    let mut hand = Hand::default();
    let spent = Spent::Share { ours: 50, share: 50 };
    let (people, background) = (Duration::from_millis(30), Duration::from_secs(60));
    hand.learn(Lane::Reads, Instant::now(), domain::budget::Answer::Full { people, background, spent });
    let (until, _) = hand.known_full(Lane::Reads, Urgency::Background).unwrap();
    assert!(until > Instant::now() + Duration::from_secs(50));
    assert!(hand.known_full(Lane::Writes, Urgency::Background).is_none());
    std::thread::sleep(Duration::from_millis(40));
    assert!(hand.known_full(Lane::Reads, Urgency::Person).is_none(), "asked again then");
    hand.look_again();
    assert!(hand.known_full(Lane::Reads, Urgency::Background).is_none());
}

#[test]
fn slice_that_ended_is_not_used_and_told_until_it_was_heard() {
    let mut hand = Hand::default();
    let soon_over = Instant::now() - domain::budget::LEASE + Duration::from_millis(40);
    hand.learn(Lane::Reads, soon_over, granted(9, 1, 3));
    assert_eq!(hand.take(Lane::Reads, Urgency::Person, 1), Spot::Taken);
    let over = Instant::now() - domain::budget::LEASE;
    hand.learn(Lane::Reads, over, granted(10, 0, 5));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(hand.take(Lane::Reads, Urgency::Person, 1), Spot::None);
    assert_eq!(hand.settled(), vec![(9, 1), (10, 0)]);
    assert_eq!(hand.settled(), vec![(9, 1), (10, 0)]);
    hand.forget_settled(&[(9, 1)]);
    assert_eq!(hand.settled(), vec![(10, 0)]);
}

#[tokio::test]
async fn work_that_has_to_wait_waits_and_can_be_cut_off() {
    let desk = Arc::new(Desk::new(Ledger::Memory(Mutex::default())));
    let terms = Terms { window_s: 60, reads: 100, writes: None, slow_from_percent: 90, share_percent: 50 };
    let at = |urgency| Place { desk: Arc::clone(&desk), terms, urgency, provider: "fake" };
    let work = at(Urgency::Background);
    for _ in 0..45 {
        work.take(RequestKind::Read).await.unwrap();
    }
    assert!(timeout(Duration::from_millis(100), work.take(RequestKind::Read)).await.is_err(), "it waits");
    let nobody_waits = async {
        while desk.waiting.now(Lane::Reads, Urgency::Background) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(MOMENT, nobody_waits).await.expect("nobody waits any more");
    at(Urgency::Person).take(RequestKind::Read).await.unwrap();
}

/// A window of a second, so that the wait is short: the share is there again when the window and the margin have passed.
#[tokio::test]
async fn work_that_waited_goes_on_by_itself() {
    let desk = Arc::new(Desk::new(Ledger::Memory(Mutex::default())));
    let terms = Terms { window_s: 1, reads: 8, writes: None, slow_from_percent: 90, share_percent: 50 };
    let work = Place { desk, terms, urgency: Urgency::Background, provider: "fake" };
    let begun = Instant::now();
    for _ in 0..4 {
        work.take(RequestKind::Read).await.unwrap();
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(5_900) && took < Duration::from_secs(60), "{took:?}");
}
