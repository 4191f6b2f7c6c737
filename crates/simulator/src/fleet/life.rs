//! What happens in a living fleet: one [`Fleet::live`] per period, deterministic from the seed.

use super::{Fleet, Presence};
use crate::rng::Rng;

const LIFE_STREAM: u64 = 21;

impl Fleet {
    /// One round: about 1 % go silent and as many return, a few move to another client, are reinstalled, vanish
    /// or come back, users log in and out, machines restart.
    pub(crate) fn live(&mut self, now: i64) {
        self.round += 1;
        let mut rng = Rng::at(self.seed, LIFE_STREAM, self.round);
        let ids: Vec<String> = self.machines.values().map(|machine| machine.id.to_string()).collect();
        if ids.is_empty() {
            return;
        }
        let some = |permille: usize| (ids.len() * permille).div_ceil(1000);
        for _ in 0..some(10) {
            self.silence(&one(&ids, &mut rng), now);
        }
        for _ in 0..some(100) {
            let id = one(&ids, &mut rng);
            if self.find(&id).is_some_and(|machine| matches!(machine.presence, Presence::Silent { .. })) {
                self.wake(&id);
            }
        }
        for _ in 0..some(20) {
            let logged_in = rng.chance(600);
            let restarted = rng.chance(200).then(|| now / 1_000_000 - rng.between(10, 100));
            self.edit(&one(&ids, &mut rng), |machine| {
                machine.user_is_logged_in = logged_in && machine.user.is_some();
                if let (Some(at), true) = (restarted, machine.boot_time.is_some()) {
                    machine.boot_time = Some(at as f64);
                    machine.needs_reboot = false;
                }
            });
        }
        self.shuffle_a_few(&ids, now, &mut rng);
    }

    fn shuffle_a_few(&mut self, ids: &[String], now: i64, rng: &mut Rng) {
        let clients: Vec<u32> = self.clients.keys().copied().collect();
        for _ in 0..ids.len().div_ceil(1000) {
            self.move_machine(&one(ids, rng), *rng.pick(&clients));
            self.reinstall(&one(ids, rng), now);
            if rng.chance(500) {
                self.vanish(&one(ids, rng));
            }
            let gone: Option<Box<str>> = self.vanished.keys().min().cloned();
            if let (Some(id), true) = (gone, rng.chance(300)) {
                self.restore(&id);
            }
        }
    }
}

fn one(ids: &[String], rng: &mut Rng) -> String {
    rng.pick(ids).clone()
}
