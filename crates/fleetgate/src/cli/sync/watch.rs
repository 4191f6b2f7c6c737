//! Waiting for a run: a bar on a terminal, a line per stage elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{
    api_client::{Answer, Query},
    cli::{Session, exit::Exit, failure::Failure},
    output::{
        text::plain,
        value::{number, shown, text},
    },
};

/// Between two looks: short at first, for short runs.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Looks that may fail in a row before we give up: a server that restarts takes the run up again.
const PATIENCE: u32 = 20;

/// Looks at the run until it is over; the last look. Ctrl-C ends the waiting, not the run.
pub(super) async fn until_over(run: &str, first: Answer, session: &Session) -> Result<Answer, Failure> {
    let display = Display::new(session);
    let waiting = wait(run, first, session, &display);
    let outcome = tokio::select! {
        outcome = waiting => outcome,
        _ = tokio::signal::ctrl_c() => Err(interrupted(run)),
    };
    display.finish();
    outcome
}

fn interrupted(run: &str) -> Failure {
    Failure::new(Exit::Interrupted, "interrupted", "no longer waiting; the sync itself goes on").advise(
        format!("`fleetgate sync show {run}` tells how it goes, `fleetgate sync cancel {run}` stops it."),
    )
}

async fn wait(run: &str, first: Answer, session: &Session, display: &Display<'_>) -> Result<Answer, Failure> {
    let mut last = first;
    let mut pause = FIRST_PAUSE;
    let mut failures = 0;
    loop {
        display.show(&last.value);
        if is_over(&last.value) {
            return Ok(last);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        match session.client.get(&["sync-runs", run], &Query::new()).await {
            Ok(answer) => {
                last = answer;
                failures = 0;
            }
            Err(failure) if failure.exit == Exit::Unreachable && failures < PATIENCE => failures += 1,
            Err(failure) => return Err(failure),
        }
    }
}

fn is_over(run: &Value) -> bool {
    let state = text(run, "state").and_then(domain::sync::RunState::from_name);
    // A state that this version does not know is shown rather than waited for.
    state.is_none_or(|state| state.is_over())
}

/// `reading devices 120 of 3400`.
pub(super) fn progress_line(run: &Value) -> String {
    let stage = plain(&shown(run, "progress.stage|state"));
    match (number(run, "progress.done"), number(run, "progress.total")) {
        (Some(done), Some(total)) => format!("{stage}: {done} of {total}"),
        (Some(done), None) if done > 0 => format!("{stage}: {done}"),
        _ => stage,
    }
}

enum Display<'a> {
    Bar(ProgressBar),
    Lines { session: &'a Session, told: std::cell::RefCell<String> },
}

impl<'a> Display<'a> {
    fn new(session: &'a Session) -> Self {
        if !session.output.shows_progress() {
            return Display::Lines { session, told: std::cell::RefCell::default() };
        }
        let bar = ProgressBar::no_length();
        bar.set_style(style(None));
        bar.enable_steady_tick(Duration::from_millis(120));
        Display::Bar(bar)
    }

    fn show(&self, run: &Value) {
        match self {
            Display::Bar(bar) => {
                let total = number(run, "progress.total");
                if bar.length() != total
                    && let Some(total) = total
                {
                    bar.set_length(total);
                    bar.set_style(style(Some(total)));
                }
                bar.set_position(number(run, "progress.done").unwrap_or(0));
                bar.set_message(plain(&shown(run, "progress.stage|state")));
            }
            Display::Lines { session, told } => {
                // One line per stage: a log is no place for every count.
                let stage = plain(&shown(run, "progress.stage|state"));
                if *told.borrow() != stage {
                    session.output.note(&progress_line(run));
                    told.replace(stage);
                }
            }
        }
    }

    fn finish(&self) {
        if let Display::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{spinner} {msg} [{bar:30}] {pos} of {len}, {elapsed}",
        None => "{spinner} {msg} {pos}, {elapsed}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_told_as_far_as_it_is_known() {
        assert_eq!(
            progress_line(&json!({ "progress": { "stage": "devices", "done": 3, "total": 9 } })),
            "devices: 3 of 9"
        );
        assert_eq!(
            progress_line(&json!({ "progress": { "stage": "devices", "done": 3, "total": null } })),
            "devices: 3"
        );
        assert_eq!(progress_line(&json!({ "state": "queued", "progress": { "done": 0 } })), "queued");
    }

    #[test]
    fn unknown_states_are_not_waited_for() {
        assert!(!is_over(&json!({ "state": "running" })));
        assert!(is_over(&json!({ "state": "partial" })));
        assert!(is_over(&json!({ "state": "new_in_2030" })));
    }
}
