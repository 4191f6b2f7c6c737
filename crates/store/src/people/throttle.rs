//! The brake on guessing passwords and codes: a try is counted before it is made, per account and per address.
//!
//! After a round of tries there is a wait, which grows from round to round up to [`LONGEST_WAIT`]: strangers who guess
//! cannot lock the owner out for good. Tries during a wait do not count. An hour of quiet, or a success, forgets it.

use std::time::Duration;

use domain::{
    Time,
    id::{TypedId, UserId},
};

use super::digest;
use crate::{Store, Tx, db::args, error::Result, sql::statements};

/// The tries of a round count together if they are this close.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Tries on one account before a wait.
pub const TRIES_PER_ACCOUNT: u32 = 10;

/// Tries from one address before a wait: many people may share one.
pub const TRIES_PER_ADDRESS: u32 = 50;

/// The wait after the first round; it doubles with each.
pub const FIRST_WAIT: Duration = Duration::from_secs(60);

/// The wait never grows beyond this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Quiet for this long, all is forgotten.
pub const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// What is known about one account or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Tries that did not succeed; whole rounds stay counted after their window.
    pub failures: u32,
    /// When the current round began.
    pub window_started_at: Time,
    /// No try before this.
    pub blocked_until: Time,
}

/// May a try be made?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes: it is counted already. Say so if it succeeds.
    Admitted,
    /// Not before this time.
    Wait {
        /// When.
        until: Time,
    },
}

/// Counts a try at `now`, or refuses it: the end of the wait.
pub fn count_try(known: Option<Tries>, limit: u32, now: Time) -> std::result::Result<Tries, Time> {
    let Some(known) =
        known.filter(|tries| now < tries.blocked_until.max(tries.window_started_at) + FORGET_AFTER)
    else {
        return Ok(block_if_full(
            Tries { failures: 1, window_started_at: now, blocked_until: now },
            limit,
            now,
        ));
    };
    if now < known.blocked_until {
        return Err(known.blocked_until);
    }
    let tries = if now < known.window_started_at + WINDOW {
        Tries { failures: known.failures.saturating_add(1), ..known }
    } else {
        Tries {
            failures: (known.failures / limit * limit).saturating_add(1),
            window_started_at: now,
            ..known
        }
    };
    Ok(block_if_full(tries, limit, now))
}

/// Ends a round: after its last try comes the wait, then a new window.
fn block_if_full(tries: Tries, limit: u32, now: Time) -> Tries {
    if !tries.failures.is_multiple_of(limit) {
        return tries;
    }
    let rounds_before = tries.failures / limit - 1;
    let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(rounds_before.min(16))).min(LONGEST_WAIT);
    Tries { blocked_until: now + wait, window_started_at: now + wait, ..tries }
}

impl Store {
    /// Counts a try to sign in as `email` from `address`, or refuses it.
    pub async fn admit_sign_in(&self, email: &str, address: Option<&str>, now: Time) -> Result<Admission> {
        self.admit(account_key(email), address, now).await
    }

    /// Counts a try at the second factor of `user`, or refuses it. Apart from passwords, because a right password must not
    /// forget wrong codes.
    pub async fn admit_second_factor(
        &self,
        user: UserId,
        address: Option<&str>,
        now: Time,
    ) -> Result<Admission> {
        self.admit(factor_key(user), address, now).await
    }

    async fn admit(&self, account: String, address: Option<&str>, now: Time) -> Result<Admission> {
        let mut tx = self.before_tenant().begin().await?;
        // Always in this order, so that two tries at once cannot wait for each other.
        let mut keys = vec![(account, TRIES_PER_ACCOUNT)];
        keys.extend(address.map(|address| (address_key(address), TRIES_PER_ADDRESS)));
        let mut counted = Vec::new();
        for (key, limit) in keys {
            match count_try(lock(&mut tx, &key, now).await?, limit, now) {
                Ok(tries) => counted.push((key, tries)),
                Err(until) => return Ok(Admission::Wait { until }),
            }
        }
        for (key, tries) in counted {
            let args = args![key, tries.failures, tries.window_started_at, tries.blocked_until];
            tx.run(&SET, args).await?;
        }
        tx.commit().await?;
        Ok(Admission::Admitted)
    }

    /// The try that was counted last has succeeded: the account is free again, the address has one failure less.
    pub async fn sign_in_succeeded(&self, email: &str, address: Option<&str>) -> Result<()> {
        self.succeeded(account_key(email), address).await
    }

    /// The same for a second factor.
    pub async fn second_factor_succeeded(&self, user: UserId, address: Option<&str>) -> Result<()> {
        self.succeeded(factor_key(user), address).await
    }

    async fn succeeded(&self, account: String, address: Option<&str>) -> Result<()> {
        let mut tx = self.before_tenant().begin().await?;
        tx.run(&FORGET, args![account]).await?;
        if let Some(address) = address {
            tx.run(&LESSEN, args![address_key(address)]).await?;
        }
        tx.commit().await
    }

    pub(crate) async fn forget_old_tries(&self, now: Time) -> Result<u64> {
        self.before_tenant().write(&FORGET_OLD, args![now - FORGET_AFTER]).await
    }
}

/// Reads what is known under `key` and keeps others from changing it until the commit.
async fn lock(tx: &mut Tx, key: &str, now: Time) -> Result<Option<Tries>> {
    tx.run(&ENSURE, args![key, now]).await?;
    let (failures, window_started_at, blocked_until): (i64, i64, i64) = tx.one(&LOCK, args![key]).await?;
    let failures = u32::try_from(failures).unwrap_or(u32::MAX);
    let tries =
        Tries { failures, window_started_at: Time(window_started_at), blocked_until: Time(blocked_until) };
    Ok(Some(tries).filter(|tries| tries.failures > 0))
}

fn account_key(email: &str) -> String {
    digest(&format!("account {}", super::email_key(email)))
}

fn factor_key(user: UserId) -> String {
    digest(&format!("second factor {}", user.to_db()))
}

fn address_key(address: &str) -> String {
    digest(&format!("address {address}"))
}

statements! {
    ENSURE = [
        "INSERT INTO login_throttle (key_hash, failures, window_started_at, blocked_until) VALUES ($1, 0, $2, $2)
         ON CONFLICT (key_hash) DO NOTHING"
    ];
    LOCK = [
        "SELECT failures, window_started_at, blocked_until FROM login_throttle WHERE key_hash = $1"
        {engine "" " FOR UPDATE"}
    ];
    SET = [
        "UPDATE login_throttle SET failures = $2, window_started_at = $3, blocked_until = $4 WHERE key_hash = $1"
    ];
    FORGET = ["DELETE FROM login_throttle WHERE key_hash = $1"];
    LESSEN = ["UPDATE login_throttle SET failures = failures - 1 WHERE key_hash = $1 AND failures > 0"];
    FORGET_OLD = ["DELETE FROM login_throttle WHERE window_started_at < $1 AND blocked_until < $1"];
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time(1_800_000_000_000);

    fn after_s(seconds: u64) -> Time {
        NOON + Duration::from_secs(seconds)
    }

    /// Makes tries at these seconds; answers for each `.` or the seconds to wait.
    fn check(tries_at_s: &[u64], expected: &str) {
        let mut known = None;
        let mut told = Vec::new();
        for second in tries_at_s {
            let now = after_s(*second);
            match count_try(known, 3, now) {
                Ok(tries) => {
                    known = Some(tries);
                    told.push(".".to_owned());
                }
                Err(until) => told.push(until.since(now).as_secs().to_string()),
            }
        }
        assert_eq!(told.join(" "), expected);
    }

    #[test]
    fn a_round_of_tries_ends_in_a_wait() {
        check(&[0, 1, 2, 3, 32], ". . . 59 30");
    }

    #[test]
    fn slow_tries_are_never_braked() {
        check(&[0, 1, 60, 61, 120, 121, 180], ". . . . . . .");
    }

    #[test]
    fn the_wait_grows_and_tries_during_it_do_not_count() {
        check(&[0, 0, 0, 1, 1, 1, 1, 60, 60, 60, 61], ". . . 59 59 59 59 . . . 119");
    }

    #[test]
    fn the_wait_ends_however_long_strangers_guess() {
        let mut known = None;
        let mut now = NOON;
        for _ in 0..10_000 {
            match count_try(known, TRIES_PER_ACCOUNT, now) {
                Ok(tries) => known = Some(tries),
                Err(until) => {
                    assert!(until.since(now) <= LONGEST_WAIT);
                    now = until;
                }
            }
        }
    }

    #[test]
    fn an_hour_of_quiet_forgets() {
        check(&[0, 0, 0, 60, 60, 60, 60 + 120 + 3_600, 3_780, 3_780, 3_781], ". . . . . . . . . 59");
    }
}
