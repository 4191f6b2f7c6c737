//! Times for people: how long ago; and times people type.

use std::time::Duration;

use domain::Time;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// "3 min ago", "in 2 h"; the date for what is far away.
pub(crate) fn relative(at: Time, now: Time) -> String {
    if at > now {
        let ahead = at.since(now).as_secs();
        return match span(ahead) {
            Some(_) if ahead < MINUTE => "just now".to_owned(),
            Some(span) => format!("in {span}"),
            None => date(at),
        };
    }
    let ago = now.since(at).as_secs();
    match span(ago) {
        Some(_) if ago < 10 => "just now".to_owned(),
        Some(span) => format!("{span} ago"),
        None => date(at),
    }
}

/// None for more than two months: a date says more then.
fn span(seconds: u64) -> Option<String> {
    match seconds {
        s if s < MINUTE => Some(format!("{s} s")),
        s if s < HOUR => Some(format!("{} min", s / MINUTE)),
        s if s < 2 * DAY => Some(format!("{} h", s / HOUR)),
        s if s < 60 * DAY => Some(format!("{} days", s / DAY)),
        _ => None,
    }
}

fn date(at: Time) -> String {
    at.to_string().chars().take(10).collect()
}

/// How long something took: "12 s", "3 min 20 s".
pub(crate) fn took(duration: Duration) -> String {
    match duration.as_secs() {
        s if s < MINUTE => format!("{s} s"),
        s if s < HOUR => format!("{} min {} s", s / MINUTE, s % MINUTE),
        s => format!("{} h {} min", s / HOUR, s % HOUR / MINUTE),
    }
}

/// Reads RFC 3339, a date, or a time ago: `2026-11-21T22:05:00Z`, `2026-11-21`, `30d`, `12h`, `15m`.
pub(crate) fn parse(text: &str, now: Time) -> Result<Time, String> {
    if let Some(ago) = ago(text) {
        return Ok(now - ago);
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    full.parse().map_err(|_| {
        format!(
            "`{text}` is not a time; write `30d`, `12h` or `15m` for so long ago, `2026-11-21` or \
                 `2026-11-21T22:05:00Z`"
        )
    })
}

fn ago(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        _ => return None,
    };
    let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    #[track_caller]
    fn check(seconds_ago: i64, expected: &str) {
        assert_eq!(relative(Time(NOW.0 - seconds_ago * 1_000), NOW), expected);
    }

    #[test]
    fn the_past_is_so_long_ago() {
        check(0, "just now");
        check(9, "just now");
        check(45, "45 s ago");
        check(60, "1 min ago");
        check(3 * 60 + 59, "3 min ago");
        check(3_600, "1 h ago");
        check(47 * 3_600, "47 h ago");
        check(48 * 3_600, "2 days ago");
        check(59 * 86_400, "59 days ago");
        check(60 * 86_400, "2026-11-16");
    }

    #[test]
    fn the_future_is_ahead_and_a_clock_that_lags_is_forgiven() {
        check(-30, "just now");
        check(-120, "in 2 min");
        check(-90 * 86_400, "2027-04-15");
    }

    #[test]
    fn typed_times_are_read() {
        assert_eq!(parse("30d", NOW), Ok(NOW - Duration::from_secs(30 * 86_400)));
        assert_eq!(
            parse("2026-11-21", NOW).map(|t| t.to_string()),
            Ok("2026-11-21T00:00:00.000Z".to_owned())
        );
        assert!(parse("2026-11-21T22:05:00Z", NOW).is_ok());
        for wrong in ["", "d", "30", "yesterday", "ä", "99999999999999999999d"] {
            assert!(parse(wrong, NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(took(Duration::from_secs(200)), "3 min 20 s");
    }
}
