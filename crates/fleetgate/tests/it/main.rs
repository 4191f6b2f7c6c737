//! Fleetgate as its users meet it: the real program as a child process, through HTTP and the command line, beside a
//! simulated RMM. A file per area; tests with `postgres` in their path need `FLEETGATE_TEST_POSTGRES`.

#![expect(clippy::unwrap_used, reason = "helpers of tests; the lint's exception covers test functions alone")]

mod api;
mod audit;
mod backup;
mod canary;
mod cli;
mod coverage;
mod demo;
mod edge;
mod factors;
mod home;
mod isolation;
mod keys;
mod kill;
mod openapi;
mod operations;
mod passkeys;
mod people;
mod raw;
mod rmm;
mod schema;
mod setup;
mod stream;
mod sync;
