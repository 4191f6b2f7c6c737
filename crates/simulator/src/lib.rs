//! RMM servers true to recorded traffic, with fleets of any size and faults on demand.
//!
//! One module per vendor speaks that vendor's HTTP; what they share knows no vendor: [`fleet`] (machines, their
//! names and their life), [`faults`] (misbehaviour on demand) and the clock. The crate depends on nothing of
//! ours, binds to loopback only, and is never on a production path: demo, tests and benchmarks use it.
//!
//! A simulator promises what recordings show. A test per vendor replays the recorded requests and compares the
//! answers, so that it cannot drift from the real server. It deliberately does not guess beyond them: what nobody
//! recorded answers as plainly as the vendor's framework would.

pub mod datto_rmm;
pub mod faults;
pub mod fleet;
pub mod tacticalrmm;

mod answer;
mod clock;
mod delivery;
mod listen;
mod rng;
mod spawn;
