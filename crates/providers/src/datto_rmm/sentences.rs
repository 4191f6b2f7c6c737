//! Every sentence a person may read about Datto RMM, with its code and what to do next.
//!
//! Pure: facts in, a sentence out. No sentence holds a secret or a part of a body. A code belongs to one cause, so
//! that a page of the documentation and a search in logs lead to the same place.

mod answers;
mod limits;
mod network;
mod rights;
mod sign_in;
mod url;

use provider::{ErrorKind, Problem, ProviderError};

pub(crate) use self::{
    answers::*,
    limits::*,
    network::{from_http_error, plain_http},
    rights::{Right, right_missing},
    sign_in::*,
    url::*,
};

fn failure(kind: ErrorKind, problem: Problem) -> ProviderError {
    ProviderError::new(kind, problem)
}
