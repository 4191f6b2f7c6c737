//! Query parameters and lists.

use std::str::FromStr;

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, RawPathParams},
};
use domain::{
    id::{SessionId, UserId},
    page::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest, Total},
};
use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    wording::{self, Place},
};

/// Query parameters, read whole: one that is not known is refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse(parts.uri.query().unwrap_or_default()).map(Query)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    // PostgreSQL keeps and compares no text with a zero in it.
    if let Some((name, _)) = form_urlencoded::parse(query.as_bytes()).find(|(_, value)| value.contains('\0'))
    {
        return Err(ApiError::parameter(&name, format!("`{name}` holds a zero character; leave it out")));
    }
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        wording::refusal(Place::Query, &path, &error.into_inner().to_string(), "")
    })
}

/// The id in a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err: std::fmt::Display>> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parameter(parts, "id").await.map(Path)
    }
}

/// The ids in a path to a sign-in of a user.
pub(crate) struct SessionPath(pub(crate) UserId, pub(crate) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(SessionPath(parameter(parts, "id").await?, parameter(parts, "session_id").await?))
    }
}

async fn parameter<T: FromStr<Err: std::fmt::Display>>(
    parts: &mut Parts,
    wanted: &'static str,
) -> Result<T, ApiError> {
    let wrong = |detail: String| ApiError::parameter(wanted, detail);
    let params: RawPathParams =
        parts.extract().await.map_err(|_| wrong("the path cannot be read".to_owned()))?;
    let text = params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value).unwrap_or_default();
    text.parse().map_err(|error: T::Err| wrong(error.to_string()))
}

/// A text to look for; blanks look for nothing.
pub(crate) fn words(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// Which page is asked for.
pub(crate) fn page_request(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::parameter("limit", format!("`limit` must be between 1 and {MAX_LIMIT}")));
    }
    Ok(PageRequest { limit, cursor })
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Hand it back as `cursor` for the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
    /// How many there are; null when there are more than were counted.
    pub(crate) total: Option<u64>,
    /// How many there are at the least.
    pub(crate) total_at_least: u64,
}

impl<T> List<T> {
    /// A list that needs no paging.
    pub(crate) fn whole(items: Vec<T>) -> List<T> {
        let total = items.len() as u64;
        List { items, next_cursor: None, total: Some(total), total_at_least: total }
    }

    /// A page of service values as views.
    pub(crate) fn of<U: Into<T>>(page: Page<U>) -> List<T> {
        let (total, total_at_least) = match page.total {
            Total::Exact(n) => (Some(n), n),
            Total::AtLeast(n) => (None, n),
        };
        let items = page.items.into_iter().map(Into::into).collect();
        List { items, next_cursor: page.next_cursor, total, total_at_least }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::wire;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        limit: Option<u32>,
        status: Option<wire::Status>,
        client_id: Option<wire::ClientId>,
        needs_reboot: Option<bool>,
        seen_after: Option<wire::Time>,
        text: Option<String>,
    }

    #[track_caller]
    fn refused(query: &str, code: &str, field: &str, says: &str) {
        let error = parse::<Filter>(query).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.more.field.as_deref()),
            (code, Some(field)),
            "{}",
            error.detail
        );
        assert!(error.detail.contains(says), "{}", error.detail);
    }

    #[test]
    fn unknown_parameters_are_named_with_the_accepted_ones() {
        refused(
            "statsu=online",
            "unknown_field",
            "statsu",
            "there is no parameter `statsu` here; the known ones are `limit`",
        );
    }

    #[test]
    fn wrong_values_say_what_is_right() {
        refused("status=up", "invalid_parameter", "status", "`online`, `offline`, `overdue`");
        refused("client_id=ast_1", "invalid_parameter", "client_id", "looks like `cli_`");
        refused("seen_after=yesterday", "invalid_parameter", "seen_after", "write it like 20");
        refused("needs_reboot=maybe", "invalid_parameter", "needs_reboot", "like `needs_reboot=true`");
        for limit in ["-1", "abc", "", "1.5", "99999999999"] {
            refused(&format!("limit={limit}"), "invalid_parameter", "limit", "number, like `limit=50`");
        }
        refused("text=a&text=b", "invalid_parameter", "text", "`text` is given more than once");
        refused("text=a%00", "invalid_parameter", "text", "zero character");
    }

    #[test]
    fn blanks_and_escapes_read() {
        let filter: Filter = parse("text=a+b%26c&needs_reboot=true").unwrap();
        let expected =
            Filter { text: Some("a b&c".to_owned()), needs_reboot: Some(true), ..Filter::default() };
        assert_eq!(filter, expected);
        assert_eq!(parse::<Filter>("").unwrap(), Filter::default());
    }

    #[test]
    fn limits_have_bounds() {
        assert_eq!(page_request(None, None).unwrap().limit, 50);
        assert_eq!(page_request(Some(200), None).unwrap().limit, 200);
        for limit in [0, 201] {
            let error = page_request(Some(limit), None).unwrap_err();
            assert_eq!(error.detail, "`limit` must be between 1 and 200");
        }
    }

    #[test]
    fn totals_are_exact_or_at_the_least() {
        let page = |total| Page { items: vec![1_u32], next_cursor: None, total };
        let exact: List<u32> = List::of(page(Total::Exact(1)));
        assert_eq!((exact.total, exact.total_at_least), (Some(1), 1));
        let many: List<u32> = List::of(page(Total::AtLeast(1_000)));
        assert_eq!((many.total, many.total_at_least), (None, 1_000));
    }
}
