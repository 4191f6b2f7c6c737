//! How many requests an RMM takes, and who uses them, in a line.

use domain::Time;
use serde_json::Value;

use crate::output::{
    text::plain,
    time::took,
    value::{find, number, shown, text},
};

/// `18 of 600 used by us, 240 by others, our share 300, in 60 s`; nothing where the RMM limits nothing.
pub(super) fn line(integration: &Value) -> String {
    let Some(budget) = find(integration, "rate_budget").filter(|budget| budget.is_object()) else {
        return String::new();
    };
    let window_s = shown(budget, "window_s");
    let lane = |lane: &Value| {
        let others = match number(lane, "others") {
            Some(others) => format!("{others} by others"),
            None => "others not known".to_owned(),
        };
        let (ours, limit, share) = (shown(lane, "ours"), shown(lane, "limit"), shown(lane, "share"));
        format!("{ours} of {limit} used by us, {others}, our share {share}")
    };
    let part = |name: &str| find(budget, name).filter(|part| part.is_object()).map(lane);
    match (part("reads"), part("writes")) {
        (Some(reads), Some(writes)) => format!("reads: {reads}; writes: {writes}; in {window_s} s"),
        (Some(all), None) => format!("{all}, in {window_s} s"),
        (None, _) => String::new(),
    }
}

/// How long the RMM still shuts us out, and why; nothing if it does not.
pub(super) fn pause(integration: &Value, now: Time) -> String {
    let until = text(integration, "rate_budget.paused_until").and_then(|until| until.parse::<Time>().ok());
    let Some(left) = until.map(|until| until.since(now)).filter(|left| !left.is_zero()) else {
        return String::new();
    };
    let (message, fix) =
        (shown(integration, "rate_budget.problem.message"), shown(integration, "rate_budget.problem.fix"));
    plain(format!("for {} more: {message} {fix}", took(left)).trim_end())
}

/// What an RMM takes by its documents.
pub(super) fn limit(descriptor: &Value) -> String {
    let Some(limit) = find(descriptor, "rate_limit").filter(|limit| limit.is_object()) else {
        return String::new();
    };
    let (reads, window_s) = (shown(limit, "reads"), shown(limit, "window_s"));
    match number(limit, "writes") {
        Some(writes) => {
            format!("{reads} reads and {writes} writes in {window_s} s, from all who use the account")
        }
        None => format!("{reads} in {window_s} s, from all who use the account"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(budget: Value, expected: &str) {
        assert_eq!(line(&json!({ "rate_budget": budget })), expected);
    }

    #[test]
    fn the_budget_is_told_in_a_line() {
        let reads = json!({ "limit": 600, "ours": 18, "others": 240, "share": 300 });
        let writes = json!({ "limit": 100, "ours": 0, "others": null, "share": 50 });
        check(
            json!({ "window_s": 60, "reads": reads, "writes": null }),
            "18 of 600 used by us, 240 by others, our share 300, in 60 s",
        );
        check(
            json!({ "window_s": 60, "reads": reads, "writes": writes }),
            "reads: 18 of 600 used by us, 240 by others, our share 300; \
             writes: 0 of 100 used by us, others not known, our share 50; in 60 s",
        );
        check(json!(null), "");
    }

    #[test]
    fn a_pause_has_its_end_and_its_reason() {
        let now = Time(1_800_000_000_000);
        let paused = json!({ "rate_budget": {
            "paused_until": "2027-01-15T08:05:00Z",
            "problem": { "message": "It shuts us out.", "fix": "Wait." },
        } });
        let text = pause(&paused, now);
        assert_eq!(text, "for 5 min 0 s more: It shuts us out. Wait.");
        assert_eq!(pause(&paused, now + Duration::from_secs(300)), "");
        assert_eq!(pause(&json!({ "rate_budget": { "paused_until": null } }), now), "");
        assert_eq!(pause(&json!({ "rate_budget": null }), now), "");
        let limit_of = |said: Value| limit(&json!({ "rate_limit": said }));
        assert_eq!(
            limit_of(json!({ "reads": 600, "writes": 100, "window_s": 60 })),
            "600 reads and 100 writes in 60 s, from all who use the account"
        );
        assert_eq!(limit_of(json!(null)), "");
    }
}
