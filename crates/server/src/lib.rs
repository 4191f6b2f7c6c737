//! REST, OpenAPI, sessions, events and metrics: HTTP in, service calls out.
//!
//! Handlers translate and do not decide. This is the only place of status codes and wire types. A request passes, from
//! the outside in: where it comes from (`edge`), its name, time limit and log line (`observe`), the table of rules (`access`), its credential
//! (`session`), and one handler under `api`. What fails comes out as a problem document (`error`).

mod access;
mod api;
mod app;
mod body;
mod clock;
mod csv;
mod ctx;
mod edge;
mod error;
mod events;
mod file;
mod health;
pub mod metrics;
mod observe;
mod openapi;
mod page;
mod router;
mod serve;
mod session;
mod spawn;
pub mod tls;
mod wire;
mod wording;

#[cfg(test)]
mod tests;

pub use app::{App, ServerOptions};
pub use edge::{NetworkError, TrustedProxies};
pub use router::router;
pub use serve::serve;
