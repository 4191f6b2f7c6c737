//! The report while it is made: lines in a fixed order, each said once.

use std::time::{Duration, Instant};

use provider::{CheckLine, CheckReport, Connection, ErrorKind, LineState, Problem, ProviderError};

use crate::datto_rmm::{api::Answer, sentences::Right, url};

/// After this long no further question is asked.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// The last answer has to be there by then: callers wait for a minute.
const END: Duration = Duration::from_secs(55);

/// Clocks this far apart are worth a word: the end of a token and times of alerts depend on them.
const SKEW_LIMIT_S: u64 = 60;

/// A line of the report: its id and its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) &'static str, pub(super) &'static str);

pub(super) const HOST: Line = Line("host", "API host");
pub(super) const ACCOUNT: Line = Line("account", "Account");
pub(super) const RATE: Line = Line("request_rate", "Limit on requests");
pub(super) const SITES: Line = Line("sites", "Sites");
pub(super) const DEVICES: Line = Line("devices", "Devices");
pub(super) const AUDIT: Line = Line("audit", "Audit of a device");
pub(super) const SOFTWARE: Line = Line("software", "Software");
pub(super) const ALERTS: Line = Line("alerts", "Alerts");
pub(super) const COMPONENTS: Line = Line("components", "Jobs and components");
pub(super) const ACTIVITY_LOG: Line = Line("activity_log", "Activity log");

const ALL: [Line; 10] =
    [HOST, ACCOUNT, RATE, SITES, DEVICES, AUDIT, SOFTWARE, ALERTS, COMPONENTS, ACTIVITY_LOG];

/// What a missing right means for Fleetgate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing works without it.
    Required,
    /// The rest works without it; the sentence says what is missing then.
    Optional(&'static str),
}

/// A report in the making.
pub(super) struct Run {
    pub(super) report: CheckReport,
    started: Instant,
    latencies: Vec<Duration>,
    ended_early: bool,
}

impl Run {
    pub(super) fn new(connection: &Connection) -> Run {
        let report = CheckReport { url: url::text(&connection.base_url), ..CheckReport::default() };
        Run { report, started: Instant::now(), latencies: Vec::new(), ended_early: false }
    }

    /// Is there time for another question?
    pub(super) fn has_time(&mut self) -> bool {
        self.ended_early = self.started.elapsed() > TIME_LIMIT;
        !self.ended_early
    }

    /// When the report has to be done.
    pub(super) fn until(&self) -> Instant {
        self.started + END
    }

    /// Takes from an answer what every answer tells.
    pub(super) fn note(&mut self, answer: &Answer) {
        self.latencies.push(answer.elapsed);
        if self.report.clock_skew_s.is_none() {
            self.report.clock_skew_s = answer.clock_skew_s;
        }
    }

    /// A line that speaks for itself.
    pub(super) fn say(&mut self, line: Line, state: LineState, message: impl Into<String>) {
        self.report.lines.push(CheckLine {
            id: line.0.to_owned(),
            label: line.1.to_owned(),
            state,
            message: message.into(),
            fix: None,
            right: None,
            endpoint: None,
            credential: "read".to_owned(),
        });
    }

    /// A line whose sentence, fix and route are a problem's.
    pub(super) fn tell(&mut self, line: Line, state: LineState, problem: &Problem, right: Option<Right>) {
        self.say(line, state, problem.message.clone());
        if let Some(told) = self.report.lines.last_mut() {
            told.fix = Some(problem.fix.clone());
            told.right = right.map(|right| right.name().to_owned());
            told.endpoint.clone_from(&problem.endpoint);
        }
    }

    /// A line about a route that was asked: works, misses a right, or fails.
    pub(super) fn outcome(
        &mut self,
        line: Line,
        outcome: Result<String, ProviderError>,
        right: Option<Right>,
        need: Need,
    ) {
        let error = match outcome {
            Ok(message) => return self.say(line, LineState::Ok, message),
            Err(error) => error,
        };
        let mut problem = error.problem;
        let lacks_right = error.kind == ErrorKind::Forbidden;
        let state = match need {
            Need::Optional(without) if lacks_right => {
                problem.message = format!("{} {without}", problem.message);
                LineState::Missing
            }
            Need::Required | Need::Optional(_) => LineState::Failed,
        };
        self.tell(line, state, &problem, right.filter(|_| lacks_right));
        if need == Need::Required {
            self.blame(problem);
        }
    }

    /// Ends the test at this line.
    pub(super) fn stop(&mut self, line: Line, error: ProviderError) {
        self.tell(line, LineState::Failed, &error.problem, None);
        self.blame(error.problem);
    }

    /// The first thing that went wrong is the one to mend.
    fn blame(&mut self, problem: Problem) {
        if self.report.problem.is_none() {
            self.report.offers.extend(problem.offer.clone());
            self.report.problem = Some(problem);
        }
    }

    /// What was not reached gets its reason; the numbers are summed up.
    pub(super) fn finish(mut self) -> CheckReport {
        self.warn_about_clocks();
        let reason = if self.ended_early {
            "Not tried: the server answers so slowly that the test was ended."
        } else {
            "Not tried, because something before it failed."
        };
        for line in ALL {
            if !self.report.lines.iter().any(|told| told.id == line.0) {
                self.say(line, LineState::Skipped, reason);
            }
        }
        let place = |told: &CheckLine| ALL.iter().position(|line| line.0 == told.id);
        self.report.lines.sort_by_key(place);
        self.latencies.sort_unstable();
        let median = self.latencies.get(self.latencies.len() / 2);
        self.report.latency_ms = median.map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        self.report.ok = [HOST, ACCOUNT, SITES, DEVICES].iter().all(|line| self.works(*line));
        self.report
    }

    fn works(&self, line: Line) -> bool {
        let told = self.report.lines.iter().find(|told| told.id == line.0);
        told.is_some_and(|told| matches!(told.state, LineState::Ok | LineState::Warning))
    }

    fn warn_about_clocks(&mut self) {
        let Some(skew) = self.report.clock_skew_s.filter(|skew| skew.unsigned_abs() > SKEW_LIMIT_S) else {
            return;
        };
        let Some(host) = self.report.lines.iter_mut().find(|told| told.id == HOST.0) else { return };
        let direction = if skew > 0 { "ahead of" } else { "behind" };
        host.state = LineState::Warning;
        host.message =
            format!("The API answers. Its clock is {} seconds {direction} Fleetgate's.", skew.unsigned_abs());
        host.fix = Some("Let the machine that runs Fleetgate set its clock by the network (NTP).".to_owned());
    }
}
