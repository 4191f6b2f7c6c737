//! Online, offline, overdue: a status never claims more than the last look.
//!
//! A *look* is a successful answer of the RMM about a device. The rule uses the time of the look, not the present:
//! a healthy device must not turn offline because we did not look. Only what was silent already at the last
//! look moves on by the clock, from offline to overdue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Whether a machine reports to its RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It reported lately.
    Online,
    /// It did not.
    Offline,
    /// It has been silent for long.
    Overdue,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 3] = [Status::Online, Status::Offline, Status::Overdue];

    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Online => "online",
            Status::Offline => "offline",
            Status::Overdue => "overdue",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// After how much silence a device counts as offline and as overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Silence until *offline*, in minutes.
    pub offline_minutes: u32,
    /// Silence until *overdue*, in minutes. May be shorter than `offline_minutes`; then offline is skipped.
    pub overdue_minutes: u32,
}

/// What the RMM's own default is, used (and marked as assumed) until the device's own are known.
pub const ASSUMED: Thresholds = Thresholds { offline_minutes: 4, overdue_minutes: 30 };

/// By which rule the status of a device follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRule {
    /// After how much silence.
    pub thresholds: Thresholds,
    /// Does the vendor's own word tell overdue from offline? If not, the threshold does.
    pub vendor_tells_overdue: bool,
}

impl StatusRule {
    /// For a vendor who says online, offline and overdue by thresholds of each device, none of which is known yet.
    pub const PER_DEVICE: StatusRule = StatusRule { thresholds: ASSUMED, vendor_tells_overdue: true };

    /// For a vendor who only says online and offline.
    pub fn overdue_after(hours: u32) -> StatusRule {
        let minutes = hours.saturating_mul(60);
        let thresholds = Thresholds { offline_minutes: 0, overdue_minutes: minutes };
        StatusRule { thresholds, vendor_tells_overdue: false }
    }

    /// The same rule with the device's own thresholds, where devices have their own and they are known.
    #[must_use]
    pub fn with(self, own: Option<Thresholds>) -> StatusRule {
        match own {
            Some(own) if self.vendor_tells_overdue => StatusRule { thresholds: own, ..self },
            _ => self,
        }
    }

    /// The thresholds, where an integration's settings give them to all its devices.
    pub fn of_settings(self) -> Option<Thresholds> {
        (!self.vendor_tells_overdue).then_some(self.thresholds)
    }
}

/// The result of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The status at the time of the look.
    pub status: Status,
    /// When silence made or would make it offline; none if it was never seen.
    pub offline_at: Option<Time>,
    /// When silence made or would make it overdue; none if it was never seen.
    pub overdue_at: Option<Time>,
}

/// The status of a device at the look of `observed_at`.
///
/// The vendor's own status wins; without one the vendor's rule is computed: offline when older than the first
/// threshold, overdue when older than the second as well, never seen is offline.
pub fn at_look(vendor: Option<Status>, last_seen: Option<Time>, rule: StatusRule, observed_at: Time) -> Look {
    let thresholds = rule.thresholds;
    let minutes = |n: u32| Duration::from_secs(u64::from(n) * 60);
    let offline_at = last_seen.map(|t| t + minutes(thresholds.offline_minutes));
    let overdue_at = last_seen.map(|t| t + minutes(thresholds.overdue_minutes));
    let computed = match (offline_at, overdue_at) {
        (Some(offline), Some(overdue)) if offline < observed_at && overdue < observed_at => Status::Overdue,
        (Some(offline), _) if offline >= observed_at => Status::Online,
        _ => Status::Offline,
    };
    let is_overdue = overdue_at.is_some_and(|at| at < observed_at);
    let status = match vendor {
        Some(Status::Offline) if !rule.vendor_tells_overdue && is_overdue => Status::Overdue,
        Some(word) => word,
        None => computed,
    };
    // The RMM says offline where our thresholds say overdue: ours are wrong, so the clock must not contradict it.
    let contradicted = rule.vendor_tells_overdue
        && status == Status::Offline
        && overdue_at.is_some_and(|at| at <= observed_at);
    Look { status, offline_at, overdue_at: if contradicted { None } else { overdue_at } }
}

/// The status as it may be shown at `now`: offline at the last look becomes overdue by the clock.
pub fn shown(at_look: Status, overdue_at: Option<Time>, now: Time) -> Status {
    match (at_look, overdue_at) {
        (Status::Offline, Some(at)) if at <= now => Status::Overdue,
        (status, _) => status,
    }
}

/// Is the last look older than two intervals (or was there none)? Then the status is shown as stale.
pub fn is_stale(observed_at: Option<Time>, interval: Duration, now: Time) -> bool {
    observed_at.is_none_or(|at| now.since(at) > interval * 2)
}

/// Is a device that is not online silent for so many days? One that was never seen is silent since it is known.
pub fn is_long_silent(
    status: Status,
    last_seen: Option<Time>,
    known_since: Time,
    days: u32,
    now: Time,
) -> bool {
    let limit = Duration::from_secs(u64::from(days) * 86_400);
    match status {
        Status::Online => false,
        Status::Offline | Status::Overdue => now.since(last_seen.unwrap_or(known_since)) >= limit,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    #[track_caller]
    fn check(silent_minutes: Option<u64>, offline: u32, overdue: u32, expected: Status) {
        let last_seen = silent_minutes.map(|m| NOW - Duration::from_secs(m * 60));
        let thresholds = Thresholds { offline_minutes: offline, overdue_minutes: overdue };
        assert_eq!(
            at_look(None, last_seen, StatusRule { thresholds, vendor_tells_overdue: true }, NOW).status,
            expected
        );
    }

    #[test]
    fn silence_makes_offline_then_overdue() {
        check(Some(0), 4, 30, Status::Online);
        check(Some(4), 4, 30, Status::Online);
        check(Some(5), 4, 30, Status::Offline);
        check(Some(31), 4, 30, Status::Overdue);
        check(None, 4, 30, Status::Offline);
    }

    #[test]
    fn overdue_shorter_than_offline_skips_offline() {
        check(Some(5), 10, 2, Status::Online);
        check(Some(11), 10, 2, Status::Overdue);
    }

    #[test]
    fn vendor_word_wins_over_the_rule() {
        let look = at_look(
            Some(Status::Online),
            Some(NOW - Duration::from_secs(9_000)),
            StatusRule::PER_DEVICE,
            NOW,
        );
        assert_eq!(look.status, Status::Online);
    }

    #[test]
    fn clock_does_not_contradict_the_vendor() {
        let seen = Some(NOW - Duration::from_secs(3_600));
        assert_eq!(at_look(Some(Status::Offline), seen, StatusRule::PER_DEVICE, NOW).overdue_at, None);
        let seen = Some(NOW - Duration::from_secs(600));
        let look = at_look(Some(Status::Offline), seen, StatusRule::PER_DEVICE, NOW);
        assert_eq!(look.overdue_at, Some(NOW + Duration::from_secs(1_200)));
    }

    #[test]
    fn online_at_the_last_look_stays_online() {
        assert_eq!(shown(Status::Online, Some(NOW), NOW + Duration::from_secs(86_400)), Status::Online);
        assert_eq!(shown(Status::Offline, Some(NOW), NOW), Status::Overdue);
        assert_eq!(shown(Status::Offline, None, NOW), Status::Offline);
    }

    #[test]
    fn two_missed_intervals_make_stale() {
        let interval = Duration::from_secs(180);
        assert!(!is_stale(Some(NOW - interval * 2), interval, NOW));
        assert!(is_stale(Some(NOW - interval * 2 - Duration::from_millis(1)), interval, NOW));
        assert!(is_stale(None, interval, NOW));
    }

    #[test]
    fn only_who_is_not_online_is_silent_for_long() {
        let days = |n: u64| NOW - Duration::from_secs(n * 86_400);
        let check = |status, last_seen| is_long_silent(status, last_seen, days(40), 30, NOW);
        assert!(check(Status::Offline, Some(days(30))) && check(Status::Overdue, Some(days(31))));
        assert!(!check(Status::Overdue, Some(days(30) + Duration::from_millis(1))));
        assert!(!check(Status::Online, Some(days(60))));
        assert!(check(Status::Offline, None), "known for 40 days and never seen");
    }

    #[test]
    fn word_of_two_becomes_overdue_after_its_hours() {
        let rule = StatusRule::overdue_after(24);
        let hours = |n: u64| NOW - Duration::from_secs(n * 3_600);
        let look = |word, seen| at_look(Some(word), Some(seen), rule, NOW);
        assert_eq!(look(Status::Online, hours(48)).status, Status::Online);
        let silent = look(Status::Offline, hours(23));
        assert_eq!(
            (silent.status, silent.overdue_at),
            (Status::Offline, Some(hours(23) + Duration::from_secs(86_400)))
        );
        assert_eq!(look(Status::Offline, hours(25)).status, Status::Overdue);
        assert_eq!(at_look(Some(Status::Offline), None, rule, NOW).status, Status::Offline);
    }

    proptest! {
        #[test]
        fn shown_status_only_ever_worsens_with_time(silent in 0u64..100, later in 0u64..100) {
            let look = at_look(None, Some(NOW - Duration::from_secs(silent * 60)), StatusRule::PER_DEVICE, NOW);
            let shown_later = shown(look.status, look.overdue_at, NOW + Duration::from_secs(later * 60));
            prop_assert!(shown_later >= look.status);
        }
    }
}
