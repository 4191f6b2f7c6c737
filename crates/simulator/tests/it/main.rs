//! Tests of the simulators through HTTP, as their users see them.

#![expect(clippy::unwrap_used, reason = "helpers of tests; the lint's exception covers test functions alone")]

mod client;
mod control;
mod datto;
mod faults;
mod fleet;
mod login;
mod replay;
mod shape;
mod webhooks;
