//! An answer before it becomes bytes on a connection, so that faults can still change it.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// Status, headers and body. The body is a list of shared pieces, so that cached answers are not copied.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Vec<Bytes>,
    pub(crate) delivery: Delivery,
}

/// How the body reaches the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// At once.
    Whole,
    /// A kibibyte at a time, with a pause before each.
    Slow { pause: Duration },
    /// Half of the announced bytes, then the connection closes.
    Cut,
    /// The body again and again until that many bytes were sent.
    Repeated { bytes: u64 },
}

impl Answer {
    /// An answer without body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), delivery: Delivery::Whole }
    }

    /// An answer with a body of that content type.
    pub(crate) fn with_body(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut answer = Self::empty(status);
        answer.body.push(body.into());
        answer.header(header::CONTENT_TYPE, content_type)
    }

    /// The answer with one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer with a header set to one value only.
    pub(crate) fn only_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.header(name, value)
    }

    /// Bytes of the body.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The body in one piece.
    pub(crate) fn joined(&self) -> Bytes {
        match self.body.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            pieces => pieces.concat().into(),
        }
    }

    /// The answer as the HTTP library wants it.
    pub(crate) fn into_response(self) -> Response<Body> {
        let size = self.size_bytes();
        let (length, body) = match self.delivery {
            Delivery::Whole => (Some(size), whole(self.body)),
            Delivery::Slow { pause } => (Some(size), slow(self.body, pause)),
            Delivery::Cut => (Some(size), cut(self.body, size / 2)),
            Delivery::Repeated { bytes } => (None, repeated(&self.body, bytes)),
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        if let Some(length) = length.filter(|_| self.status != 204) {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}

fn whole(mut pieces: Vec<Bytes>) -> Body {
    match pieces.len() {
        0 => Body::empty(),
        1 => Body::from(pieces.remove(0)),
        _ => Body::from_stream(futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>))),
    }
}

fn slow(pieces: Vec<Bytes>, pause: Duration) -> Body {
    let body: Bytes = pieces.concat().into();
    let steps = futures::stream::iter((0..body.len()).step_by(1024)).then(move |start| {
        let piece = body.slice(start..(start + 1024).min(body.len()));
        async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(piece)
        }
    });
    Body::from_stream(steps)
}

fn cut(pieces: Vec<Bytes>, keep: u64) -> Body {
    let body: Bytes = pieces.concat().into();
    let half = body.slice(..usize::try_from(keep).unwrap_or(0).min(body.len()));
    // The pause lets the first half leave before the connection is dropped with whatever is still buffered.
    let end = futures::stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(futures::stream::iter([Ok(half)]).chain(end))
}

fn repeated(pieces: &[Bytes], bytes: u64) -> Body {
    let piece = match pieces.iter().find(|piece| !piece.is_empty()) {
        Some(piece) => piece.repeat(65_536usize.div_ceil(piece.len())).into(),
        None => Bytes::from_static(&[b' '; 65_536]),
    };
    let times = usize::try_from(bytes.div_ceil(piece.len() as u64)).unwrap_or(usize::MAX);
    Body::from_stream(futures::stream::iter(std::iter::repeat_n(piece, times)).map(Ok::<_, std::io::Error>))
}
