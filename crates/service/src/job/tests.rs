use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::{Time, id::TenantId};
use store::job::NewJob;
use tokio::sync::{Notify, mpsc};

use super::*;

/// No test waits so long unless something is wrong.
const FOREVER: Duration = Duration::from_secs(60);

fn job(kind: &str, number: u32) -> Job {
    let id: JobId = format!("job_{number:032x}").parse().unwrap();
    Job {
        id,
        tenant: TenantId(1),
        kind: kind.to_owned(),
        payload: "{}".to_owned(),
        attempt: 1,
        max_attempts: 3,
    }
}

/// A queue in memory that tells what it was asked.
struct FakeQueue {
    ready: Mutex<VecDeque<Job>>,
    extends: AtomicBool,
    told: mpsc::UnboundedSender<String>,
    wake: Notify,
}

impl FakeQueue {
    fn new(jobs: Vec<Job>) -> (Arc<FakeQueue>, Told) {
        let (told, hears) = mpsc::unbounded_channel();
        let queue = FakeQueue {
            ready: Mutex::new(jobs.into()),
            extends: AtomicBool::new(true),
            told,
            wake: Notify::new(),
        };
        (Arc::new(queue), Told(hears))
    }

    fn tell(&self, what: String) -> store::Result<bool> {
        self.told.send(what).unwrap();
        Ok(true)
    }
}

#[async_trait]
impl Queue for FakeQueue {
    async fn claim(&self, claim: &Claim<'_>, _now: Time) -> store::Result<Vec<Job>> {
        let mut ready = self.ready.lock().unwrap();
        let next = ready.iter().position(|job| claim.kinds.contains(&job.kind.as_str()));
        Ok(next.and_then(|place| ready.remove(place)).into_iter().collect())
    }

    async fn extend(&self, _owner: &str, _job: JobId, _lease: Duration, _now: Time) -> store::Result<bool> {
        self.tell("extended".to_owned())?;
        Ok(self.extends.load(Ordering::SeqCst))
    }

    async fn done(&self, _owner: &str, _job: JobId) -> store::Result<bool> {
        self.tell("done".to_owned())
    }

    async fn retry(&self, _owner: &str, _job: JobId, _run_at: Time, error: &str) -> store::Result<bool> {
        self.tell(format!("retry: {error}"))
    }

    async fn bury(&self, _owner: &str, _job: JobId, error: &str) -> store::Result<bool> {
        self.tell(format!("buried: {error}"))
    }

    async fn give_back(&self, _owner: &str, _job: JobId) -> store::Result<bool> {
        self.tell("given back".to_owned())
    }

    async fn wait(&self, _most: Duration) {
        self.wake.notified().await;
    }
}

/// What the queue and the handlers told.
struct Told(mpsc::UnboundedReceiver<String>);

impl Told {
    async fn next(&mut self) -> String {
        tokio::time::timeout(FOREVER, self.0.recv()).await.expect("something happens").unwrap()
    }
}

/// A handler made of a function.
struct Make<F>(&'static str, F);

#[async_trait]
impl<F, W> Handler for Make<F>
where
    F: Fn(Job) -> W + Send + Sync,
    W: Future<Output = Outcome> + Send,
{
    fn kind(&self) -> &'static str {
        self.0
    }

    async fn run(&self, job: &Job, _control: &JobControl) -> Outcome {
        (self.1)(job.clone()).await
    }
}

/// Works until it is asked to stop, asking whether it is still its job.
struct Patient;

#[async_trait]
impl Handler for Patient {
    fn kind(&self) -> &'static str {
        "a"
    }

    async fn run(&self, _job: &Job, control: &JobControl) -> Outcome {
        assert!(control.still_mine().await && !control.is_stopping());
        control.stopping().await;
        assert!(control.is_stopping());
        Outcome::GiveBack
    }
}

fn options() -> Options {
    Options { lease: FOREVER, ..Options::default() }
}

fn start(
    queue: &Arc<FakeQueue>,
    handlers: Vec<Arc<dyn Handler>>,
    options: Options,
) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let queue: Arc<dyn Queue> = Arc::clone(queue) as Arc<dyn Queue>;
    (stop.clone(), Runner::on(queue, handlers, options).start(stop))
}

async fn end(stop: CancellationToken, runner: JoinHandle<()>) {
    stop.cancel();
    tokio::time::timeout(FOREVER, runner).await.expect("the runner ends").unwrap();
}

/// Runs one job that ends so; answers what the queue was told.
async fn settled(outcome: Outcome) -> String {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1)]);
    let handler = Make("a", move |_| std::future::ready(outcome.clone()));
    let (stop, runner) = start(&queue, vec![Arc::new(handler)], options());
    let answer = told.next().await;
    end(stop, runner).await;
    answer
}

#[tokio::test]
async fn how_a_job_ended_reaches_the_queue() {
    assert_eq!(settled(Outcome::Done).await, "done");
    assert_eq!(settled(Outcome::GiveBack).await, "given back");
    assert_eq!(settled(Outcome::Dead { error: "gone".to_owned() }).await, "buried: gone");
    assert_eq!(settled(Outcome::retry(&job("a", 1), "busy")).await, "retry: busy");
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_runner_goes_on() {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1), job("b", 2)]);
    let panics = Make("a", |_| async { panic!("a test panics") });
    let works = Make("b", |_| std::future::ready(Outcome::Done));
    let one_at_a_time = Options { workers: 1, ..options() };
    let (stop, runner) = start(&queue, vec![Arc::new(panics), Arc::new(works)], one_at_a_time);
    assert!(told.next().await.starts_with("retry: the handler panicked"));
    assert_eq!(told.next().await, "done");
    end(stop, runner).await;
}

#[tokio::test]
async fn the_lease_is_extended_while_the_job_works() {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1)]);
    let finish = Arc::new(Notify::new());
    let handler = {
        let finish = Arc::clone(&finish);
        Make("a", move |_| {
            let finish = Arc::clone(&finish);
            async move {
                finish.notified().await;
                Outcome::Done
            }
        })
    };
    let short = Options { lease: Duration::from_millis(60), ..options() };
    let (stop, runner) = start(&queue, vec![Arc::new(handler)], short);
    for _ in 0..3 {
        assert_eq!(told.next().await, "extended");
    }
    finish.notify_one();
    while told.next().await != "done" {}
    end(stop, runner).await;
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<String>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _told = self.0.send("cut off".to_owned());
    }
}

/// Never ends and never looks whether it should.
fn stubborn(queue: &Arc<FakeQueue>) -> Arc<dyn Handler> {
    let told = queue.told.clone();
    Arc::new(Make("a", move |_| {
        let guard = Dropped(told.clone());
        async move {
            let _guard = guard;
            let _told = _guard.0.send("began".to_owned());
            std::future::pending().await
        }
    }))
}

#[tokio::test]
async fn work_whose_lease_was_lost_is_cut_off_and_not_settled() {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1)]);
    queue.extends.store(false, Ordering::SeqCst);
    let short = Options { lease: Duration::from_millis(60), ..options() };
    let (stop, runner) = start(&queue, vec![stubborn(&queue)], short);
    for expected in ["began", "extended", "cut off"] {
        assert_eq!(told.next().await, expected);
    }
    end(stop, runner).await;
    assert!(told.0.try_recv().is_err());
}

#[tokio::test]
async fn a_job_that_is_asked_to_stop_goes_back() {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1)]);
    let (stop, runner) = start(&queue, vec![Arc::new(Patient)], options());
    assert_eq!(told.next().await, "extended", "the job has begun");
    end(stop, runner).await;
    assert_eq!(told.next().await, "given back");
}

#[tokio::test]
async fn a_job_that_does_not_stop_is_cut_off_and_goes_back() {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1)]);
    let impatient = Options { grace: Duration::from_millis(20), ..options() };
    let (stop, runner) = start(&queue, vec![stubborn(&queue)], impatient);
    assert_eq!(told.next().await, "began");
    end(stop, runner).await;
    for expected in ["cut off", "given back"] {
        assert_eq!(told.next().await, expected);
    }
}

#[tokio::test]
async fn a_dropped_runner_takes_its_jobs_along() {
    let (queue, mut told) = FakeQueue::new(vec![job("a", 1)]);
    let (_stop, runner) = start(&queue, vec![stubborn(&queue)], options());
    assert_eq!(told.next().await, "began");
    runner.abort();
    assert_eq!(told.next().await, "cut off");
}

#[tokio::test]
async fn long_jobs_leave_room_for_others() {
    let (queue, mut told) = FakeQueue::new(vec![job("slow", 1), job("slow", 2), job("quick", 3)]);
    let finish = Arc::new(Notify::new());
    let slow = {
        let (told, finish) = (queue.told.clone(), Arc::clone(&finish));
        Make("slow", move |job: Job| {
            let (told, finish) = (told.clone(), Arc::clone(&finish));
            async move {
                told.send(format!("began {}", job.id)).unwrap();
                finish.notified().await;
                Outcome::Dead { error: format!("ended {}", job.id) }
            }
        })
    };
    let quick = Make("quick", |_| std::future::ready(Outcome::Done));
    let limited = Options { workers: 2, limits: BTreeMap::from([("slow", 1)]), ..options() };
    let (stop, runner) = start(&queue, vec![Arc::new(slow), Arc::new(quick)], limited);
    let mut first = [told.next().await, told.next().await];
    first.sort();
    assert_eq!(
        first,
        [format!("began {}", job("slow", 1).id), "done".to_owned()],
        "the second slow one waits"
    );
    finish.notify_one();
    assert_eq!(told.next().await, format!("buried: ended {}", job("slow", 1).id));
    assert_eq!(told.next().await, format!("began {}", job("slow", 2).id));
    finish.notify_one();
    assert_eq!(told.next().await, format!("buried: ended {}", job("slow", 2).id));
    end(stop, runner).await;
}

#[tokio::test]
async fn jobs_of_the_store_run_once_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::testing::sqlite(folder.path()).await.store;
    let (told, hears) = mpsc::unbounded_channel();
    let handler = Make("a", move |job: Job| {
        told.send(job.payload).unwrap();
        std::future::ready(Outcome::Done)
    });
    let stop = CancellationToken::new();
    let runner = Runner::new(store.clone(), vec![Arc::new(handler)], Options::default()).start(stop.clone());
    for number in 0..20 {
        let new = NewJob {
            tenant: TenantId(1),
            kind: "a",
            dedup_key: None,
            group_key: Some(format!("group {}", number % 3)),
            payload: number.to_string(),
            priority: 5,
            run_at: Time(0),
            max_attempts: 3,
        };
        store.enqueue(&new, Time(number)).await.unwrap();
    }
    let mut told = Told(hears);
    let mut ran = Vec::new();
    for _ in 0..20 {
        ran.push(told.next().await.parse::<i64>().unwrap());
    }
    end(stop, runner).await;
    ran.sort_unstable();
    assert_eq!(ran, (0..20).collect::<Vec<_>>());
    assert_eq!(store.queue_figures().await.unwrap(), store::job::QueueFigures::default());
}

#[test]
fn the_wait_between_attempts_doubles_up_to_ten_minutes() {
    let seconds = |attempt, random| backoff(attempt, random).as_secs_f64();
    assert_eq!(
        [1, 2, 3, 9, 10, 1_000].map(|attempt| seconds(attempt, 1.0)),
        [2.0, 4.0, 8.0, 512.0, 600.0, 600.0]
    );
    assert_eq!([0.0, 0.5, 2.0, -1.0].map(|random| seconds(3, random)), [0.0, 4.0, 8.0, 0.0]);
    assert_eq!(seconds(0, 1.0), 2.0);
    for _ in 0..100 {
        assert!((0.0..=1.0).contains(&random()));
    }
}
