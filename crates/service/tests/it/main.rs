//! Tests of the use cases against simulated servers, on both engines: a file per area.

#![expect(clippy::unwrap_used, reason = "helpers of tests; the lint's exception covers test functions alone")]

mod absence;
mod copy;
mod details;
mod devices;
mod fake;
mod faults;
mod integration;
mod knox;
mod limits;
mod lists;
mod mapping;
mod moves;
mod organizations;
mod people;
mod remap;
mod rights;
mod runs;
mod same_machine;
mod schedules;
mod sites;
mod status;
mod walk;
mod walk_end;
mod world;
