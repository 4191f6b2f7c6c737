//! Misbehaviour on demand: what a [`Fault`] matches, how often it strikes, and what it does to an answer.
//!
//! Faults know no vendor. Where a misbehaviour looks different at each vendor (its error page, its dashboard),
//! the vendor hands in its [`Pages`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{Answer, Delivery};

/// One misbehaviour and when it strikes. Written as JSON to the control URL, so the names are a wire format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it strikes: `*` for everything, a route template (`/agents/<agent_id>/cmd/`), a path with or without
    /// query (`/agents/?client=3`), or any of these with a `*` at its end as a prefix of the path (`/beta/*`).
    pub route: String,
    /// Only requests of that method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Lets so many matching requests pass first.
    #[serde(default)]
    pub after: u32,
    /// Strikes so many times, then never again; `None` for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl Fault {
    /// A fault that always strikes on a route.
    pub fn new(route: impl Into<String>, kind: FaultKind) -> Self {
        Self { route: route.into(), method: None, after: 0, times: None, kind }
    }

    /// Only for requests of that method.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Lets so many matching requests pass first.
    pub fn after(mut self, after: u32) -> Self {
        self.after = after;
        self
    }

    /// Strikes so many times only.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, request: Target<'_>) -> bool {
        if self.method.as_deref().is_some_and(|method| !method.eq_ignore_ascii_case(request.method)) {
            return false;
        }
        if let Some(prefix) = self.route.strip_suffix('*') {
            return request.path_and_query.starts_with(prefix);
        }
        let path = request.path_and_query.split('?').next().unwrap_or("");
        [request.template, request.path_and_query, path].contains(&self.route.as_str())
    }
}

/// What a fault does. `{"kind": "hang", "millis": 5000}` on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// That status with the vendor's HTML page; the request is not handled.
    Status {
        /// HTTP status.
        status: u16,
    },
    /// 200 with the dashboard's `index.html`, as when the address points at the wrong host.
    Dashboard,
    /// 301 to somewhere else.
    Redirect {
        /// The `Location`.
        to: String,
    },
    /// Waits, then handles the request as usual.
    Hang {
        /// How long.
        millis: u64,
    },
    /// Sends the body one kibibyte at a time with a pause before each.
    SlowBody {
        /// The pause.
        millis: u64,
    },
    /// Closes the connection without an answer, *after* the request was handled: the outcome is unknown.
    CloseBeforeAnswer,
    /// Closes the connection without an answer; the request is not handled.
    CloseUnhandled,
    /// Announces the whole length, sends half of the body and closes the connection.
    CutBody,
    /// Sends half of the body with a length that fits: complete HTTP, broken JSON.
    TruncatedJson,
    /// Puts numbers where the body has strings, everywhere.
    WrongTypes,
    /// Puts numbers and nulls into one row (the middle one) of a list; the other rows stay fine.
    BadRow,
    /// 200 with a list without rows.
    EmptyList,
    /// 200 with JSON that goes on for so many bytes (default 1 GiB).
    Endless {
        /// How many bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// 429 with `Retry-After`.
    Throttled {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// The right body under another content type.
    ContentType {
        /// The value sent.
        value: String,
    },
    /// 400 with the vendor's page for a `Host` it does not know.
    WrongHost,
    /// The vendor's refusal of a login that looks right (single sign-on only, login blocked).
    BadCredentials,
    /// Exactly this answer.
    Canned {
        /// HTTP status.
        status: u16,
        /// Its content type.
        content_type: String,
        /// Its body.
        body: String,
    },
}

/// How a vendor looks when it misbehaves.
pub(crate) trait Pages {
    /// HTML for a status.
    fn html(&self, status: u16) -> Answer;
    /// The dashboard's start page.
    fn dashboard(&self) -> Answer;
    /// Refuses a request for its rate.
    fn throttled(&self, retry_after_s: u64) -> Answer;
    /// Refuses a login.
    fn bad_credentials(&self) -> Answer;
    /// A list without rows.
    fn empty_list(&self) -> Answer {
        Answer::with_body(200, "application/json", "[]")
    }
}

/// What of a request decides whether a fault strikes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a str,
    pub(crate) template: &'a str,
    pub(crate) path_and_query: &'a str,
}

/// What is left to do after a fault had its say before the request was handled.
#[derive(Debug)]
pub(crate) enum Before {
    /// Wait, then handle.
    Handle { wait: Duration },
    /// Answer this instead.
    Answer(Box<Answer>),
    /// Close the connection.
    Close,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(Fault, u32)>>);

impl Faults {
    /// Adds a fault behind those that are set; the first that matches and is due strikes.
    pub(crate) fn set(&self, fault: Fault) {
        self.lock().push((fault, 0));
    }

    /// Removes all.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Those that are set.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.lock().iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// The fault that strikes this request. Counts the request for all that match it.
    pub(crate) fn strike(&self, target: Target<'_>) -> Option<FaultKind> {
        let mut due = None;
        for (fault, seen) in self.lock().iter_mut().filter(|(fault, _)| fault.matches(target)) {
            *seen += 1;
            let turn = seen.checked_sub(fault.after + 1);
            if turn.is_some_and(|turn| fault.times.is_none_or(|times| turn < times)) && due.is_none() {
                due = Some(fault.kind.clone());
            }
        }
        due
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Fault, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultKind {
    /// What happens before the request is handled.
    pub(crate) fn before(&self, pages: &dyn Pages) -> Before {
        let answer = match self {
            Self::Status { status } => pages.html(*status),
            Self::Dashboard => pages.dashboard(),
            Self::Redirect { to } => Answer::empty(301).header(header::LOCATION, to),
            Self::Hang { millis } => return Before::Handle { wait: Duration::from_millis(*millis) },
            Self::CloseUnhandled => return Before::Close,
            Self::EmptyList => pages.empty_list(),
            Self::Endless { bytes } => Answer {
                delivery: Delivery::Repeated { bytes: bytes.unwrap_or(1 << 30) },
                ..Answer::with_body(200, "application/json", "[\"0123456789abcdef\",\n")
            },
            Self::Throttled { retry_after_s } => pages.throttled(*retry_after_s),
            Self::WrongHost => pages.html(400),
            Self::BadCredentials => pages.bad_credentials(),
            Self::Canned { status, content_type, body } => {
                Answer::with_body(*status, content_type, body.clone())
            }
            Self::SlowBody { .. }
            | Self::CloseBeforeAnswer
            | Self::CutBody
            | Self::TruncatedJson
            | Self::WrongTypes
            | Self::BadRow
            | Self::ContentType { .. } => return Before::Handle { wait: Duration::ZERO },
        };
        Before::Answer(Box::new(answer))
    }

    /// What happens to the answer; `None` closes the connection instead.
    pub(crate) fn after(&self, mut answer: Answer) -> Option<Answer> {
        match self {
            Self::CloseBeforeAnswer => return None,
            Self::SlowBody { millis } => {
                answer.delivery = Delivery::Slow { pause: Duration::from_millis(*millis) };
            }
            Self::CutBody => answer.delivery = Delivery::Cut,
            Self::TruncatedJson => {
                let body = answer.joined();
                answer.body = vec![body.slice(..body.len() / 2)];
            }
            Self::WrongTypes => answer = rewritten(answer, &spoil),
            Self::BadRow => answer = rewritten(answer, &spoil_middle_row),
            Self::ContentType { value } => answer = answer.only_header(header::CONTENT_TYPE, value),
            Self::Status { .. }
            | Self::Dashboard
            | Self::Redirect { .. }
            | Self::Hang { .. }
            | Self::CloseUnhandled
            | Self::EmptyList
            | Self::Endless { .. }
            | Self::Throttled { .. }
            | Self::WrongHost
            | Self::BadCredentials
            | Self::Canned { .. } => {}
        }
        Some(answer)
    }
}

fn rewritten(mut answer: Answer, change: &dyn Fn(&mut Value)) -> Answer {
    if let Ok(mut body) = serde_json::from_slice(&answer.joined()) {
        change(&mut body);
        answer.body = vec![body.to_string().into()];
    }
    answer
}

/// Strings become numbers, numbers become strings, all the way down.
fn spoil(value: &mut Value) {
    match value {
        Value::String(text) => *value = Value::from(text.len()),
        Value::Number(number) => *value = Value::from(number.to_string()),
        Value::Array(items) => items.iter_mut().for_each(spoil),
        Value::Object(fields) => fields.values_mut().for_each(spoil),
        Value::Null | Value::Bool(_) => {}
    }
}

fn spoil_middle_row(value: &mut Value) {
    let rows = match value {
        Value::Object(page) => match page.contains_key("results") {
            true => page.get_mut("results").and_then(Value::as_array_mut),
            false => page.values_mut().find_map(Value::as_array_mut),
        },
        Value::Array(rows) => Some(rows),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    if let Some(rows) = rows {
        let middle = rows.len() / 2;
        rows.get_mut(middle).into_iter().for_each(spoil);
    }
}
