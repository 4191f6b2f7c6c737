//! The routes by noun: each handler reads the request, calls one service method and presents the answer. Wire types
//! stand next to their handlers; nothing here decides.

pub(crate) mod account;
pub(crate) mod asset;
pub(crate) mod asset_merge;
pub(crate) mod asset_view;
pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod export;
pub(crate) mod factor;
pub(crate) mod integration;
pub(crate) mod integration_view;
pub(crate) mod organization;
pub(crate) mod passkey;
pub(crate) mod proposal;
pub(crate) mod provider;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod site;
pub(crate) mod sync_run;
pub(crate) mod token;
pub(crate) mod user;
