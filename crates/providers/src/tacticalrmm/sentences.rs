//! Every sentence a person may read about Tactical RMM, with its code and what to do next.
//!
//! Pure: facts in, a sentence out. No sentence holds a secret or a part of a body. A code belongs to one cause, so
//! that a page of the documentation and a search in logs lead to the same place.

mod answers;
mod network;
mod sign_in;
mod url;

use provider::{ErrorKind, Problem, ProviderError};

pub(crate) use self::{
    answers::*,
    network::{from_http_error, plain_http},
    sign_in::*,
    url::*,
};

/// Which of the two possible credentials was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// None was sent.
    Nobody,
    /// The API key for reading.
    ReadKey,
    /// The API key for actions.
    ActionKey,
    /// The token of a sign-in.
    Token,
}

impl Credential {
    /// How a sentence begins that is about it.
    fn noun(self) -> &'static str {
        match self {
            Credential::Nobody => "the request without credentials",
            Credential::ReadKey => "the API key",
            Credential::ActionKey => "the API key for actions",
            Credential::Token => "the sign-in",
        }
    }

    /// Who is behind it.
    fn account(self) -> &'static str {
        match self {
            Credential::Nobody => "nobody",
            Credential::ReadKey => "the user behind the API key",
            Credential::ActionKey => "the user behind the API key for actions",
            Credential::Token => "the user who signed in",
        }
    }

    /// Is it a token that may have ended, rather than a key?
    fn is_token(self) -> bool {
        match self {
            Credential::Token => true,
            Credential::Nobody | Credential::ReadKey | Credential::ActionKey => false,
        }
    }
}

/// A sentence starts with a capital letter.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn failure(kind: ErrorKind, problem: Problem) -> ProviderError {
    ProviderError::new(kind, problem)
}
