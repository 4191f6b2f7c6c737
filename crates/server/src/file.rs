//! Files of any length: streamed page by page, never held whole.
//!
//! A failure before the first page is a problem document like any other; one in the middle breaks the connection off,
//! so that half a file is never taken for a whole one.

use std::{error::Error, io};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

use crate::{
    app::AppState,
    ctx::RequestMeta,
    error::{ApiError, ApiResult},
    observe,
};

/// What a file has around its rows.
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) begin: String,
    pub(crate) end: &'static str,
}

/// Writes one page of rows; `first` says that none came before.
pub(crate) type WritePage<T> = fn(rows: Vec<T>, first: bool) -> Result<String, serde_json::Error>;

/// Answers with the file, if not too many are being written.
pub(crate) async fn answer<T: Send + 'static>(
    app: &AppState,
    meta: RequestMeta,
    pages: impl Stream<Item = service::Result<Vec<T>>> + Send + 'static,
    file: File,
    write: WritePage<T>,
) -> ApiResult<Response> {
    let permit = app.exports.clone().try_acquire_owned().map_err(|_| {
        ApiError::busy("too_many_exports", "too many exports run at once; try again in a moment")
    })?;
    let mut pages = Box::pin(pages);
    let first = pages.next().await.transpose()?.unwrap_or_default();
    let pages = stream::once(async { Ok(first) }).chain(pages);
    let mut response =
        Body::from_stream(chunks(pages, file.begin, file.end, write, meta.id, permit)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The file piece by piece; after an error nothing more comes.
fn chunks<T: Send + 'static>(
    pages: impl Stream<Item = service::Result<Vec<T>>> + Send + 'static,
    begin: String,
    end: &'static str,
    write: WritePage<T>,
    request_id: String,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut first = true;
    let rows = pages.map(move |page| {
        // The permit lives as long as the file is being written.
        let _ = &permit;
        let text = page.map_err(io::Error::other).and_then(|rows| {
            let nothing_before = first;
            first = first && rows.is_empty();
            write(rows, nothing_before).map_err(io::Error::other)
        });
        text.map(Bytes::from).inspect_err(|failure| {
            let cause = failure as &dyn Error;
            error!(request_id, error = cause, "export broke off: {}", observe::chain(cause));
        })
    });
    let begin = stream::once(async { Ok(Bytes::from(begin)) });
    let end = stream::once(async move { Ok(Bytes::from_static(end.as_bytes())) });
    until_error(begin.chain(rows).chain(end))
}

/// The items up to and with the first error.
fn until_error<T>(items: impl Stream<Item = io::Result<T>>) -> impl Stream<Item = io::Result<T>> {
    items.scan(false, |broken, item| {
        let before = std::mem::replace(broken, *broken || item.is_err());
        std::future::ready((!before).then_some(item))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use service::ServiceError;
    use tokio::sync::Semaphore;

    use super::*;

    /// The pieces of a JSON array of these pages.
    pub(crate) async fn pieces<T: Send + 'static>(
        pages: Vec<service::Result<Vec<T>>>,
        write: WritePage<T>,
    ) -> Vec<Result<String, ()>> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let pieces = chunks(stream::iter(pages), "[".to_owned(), "\n]\n", write, "req_1".to_owned(), permit);
        pieces
            .map(|piece| piece.map(|b| String::from_utf8(b.to_vec()).unwrap()).map_err(|_| ()))
            .collect()
            .await
    }

    #[tokio::test]
    async fn an_error_in_the_middle_ends_the_file_without_its_end() {
        let pages = vec![Ok(vec![1]), Err(ServiceError::NotFound { what: "asset" }), Ok(vec![2])];
        let pieces = pieces(pages, |rows, _| serde_json::to_string(&rows)).await;
        assert_eq!(pieces.len(), 3);
        assert!(pieces.last().is_some_and(Result::is_err));
    }
}
