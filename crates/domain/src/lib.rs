//! Ids, records and pure rules of Fleetgate.
//!
//! Nothing here does I/O, awaits or reads a clock: the time comes with [`Ctx`] or as an argument, and every
//! function answers the same for the same input. The dependency list of this crate enforces it.

pub mod asset;
pub mod audit;
pub mod auth;
pub mod budget;
pub mod client;
pub mod ctx;
pub mod device;
pub mod event;
pub mod id;
pub mod integration;
pub mod mapping;
pub mod matching;
pub mod organization;
pub mod page;
pub mod scope;
pub mod site;
pub mod source;
pub mod status;
pub mod sync;
pub mod time;

pub use ctx::{Actor, ActorKind, Ctx};
pub use time::Time;
