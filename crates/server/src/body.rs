//! Bodies of requests: size, content type and every field are checked before a handler sees them.

use std::{fmt, marker::PhantomData};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};

use crate::{
    error::ApiError,
    wording::{self, Place},
};

/// Largest JSON body.
pub(crate) const MAX_JSON_BYTES: usize = 1024 * 1024;

/// Largest CSV body.
pub(crate) const MAX_CSV_BYTES: usize = 4 * 1024 * 1024;

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// A CSV body.
pub(crate) struct Csv(pub(crate) String);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        require_type(&parts.headers, "application/json")?;
        let bytes = read(&parts.headers, body, MAX_JSON_BYTES).await?;
        parse(&bytes).map(Json)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, MAX_JSON_BYTES).await?;
        if bytes.is_empty() {
            return Ok(OptionalJson(T::default()));
        }
        require_type(&parts.headers, "application/json")?;
        parse(&bytes).map(OptionalJson)
    }
}

impl<S: Send + Sync> FromRequest<S> for Csv {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        require_type(&parts.headers, "text/csv")?;
        let bytes = read(&parts.headers, body, MAX_CSV_BYTES).await?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
            ApiError::bad_request("invalid_csv", "the file is not UTF-8; save it as `CSV UTF-8`")
        })?;
        Ok(Csv(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
    }
}

/// Refuses another content type; parameters such as the charset do not matter.
fn require_type(headers: &HeaderMap, wanted: &str) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let detail = format!("send the body with `content-type: {wanted}`");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail))
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        throw_away(body).await;
        return Err(ApiError::too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limit)),
        Err(_) => {
            Err(ApiError::bad_request("body_unreadable", "the body ended early; send the request again"))
        }
    }
}

/// Reads on for a while without keeping anything: who is cut off while sending does not see the answer.
async fn throw_away(mut body: Body) {
    let mut left_bytes = MAX_CSV_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left_bytes = left_bytes.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left_bytes == 0 {
            return;
        }
    }
}

/// Does a text hold `\u0000`? PostgreSQL keeps and compares no such text. Everywhere else a bare zero is no JSON.
fn holds_zero(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// Reads JSON; an error names the field and the position.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::bad_request(
            "invalid_json",
            "the body is empty; this route wants a JSON object",
        ));
    }
    if holds_zero(bytes) {
        return Err(ApiError::bad_request(
            "invalid_json",
            "a text holds a zero character (`\\u0000`); leave it out",
        ));
    }
    refuse_all_but_objects(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_error(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| json_error(".", &error))?;
    Ok(parsed)
}

fn json_error(path: &str, error: &serde_json::Error) -> ApiError {
    let message = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let what = message.strip_suffix(&at).unwrap_or(&message);
    if !error.is_data() {
        return ApiError::bad_request("invalid_json", format!("this is not JSON: {what}{at}"));
    }
    wording::refusal(Place::Body, path, what, &at)
}

/// serde would take a list for an object, field by field: that is refused.
fn refuse_all_but_objects(json: &[u8]) -> Result<(), ApiError> {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_json = || serde_json::from_slice::<IgnoredAny>(json).is_ok();
    if first == Some(&b'{') || !is_json() {
        return Ok(());
    }
    let detail = "the body must be a JSON object in braces, like `{\"name\": \"…\"}`";
    Err(ApiError::bad_request("invalid_field", detail))
}

/// For a field of a change: left out keeps, `null` is refused. Use with `#[serde(default)]`.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// For a field of a change: left out keeps, `null` clears. Use with `#[serde(default)]`.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// An object inside a body. serde would take a list for one, field by field: that is refused.
pub(crate) struct Braces<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Braces<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InBraces<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InBraces<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(InBraces(PhantomData)).map(Braces)
    }
}

/// [`present`] for an object.
pub(crate) fn present_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Braces::deserialize(deserializer).map(|braces| Some(braces.0))
}

/// For an object that may be left out or `null`. Use with `#[serde(default)]`.
pub(crate) fn object_or_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Braces<T>>::deserialize(deserializer)?.map(|braces| braces.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Change {
        name: String,
        #[serde(default, deserialize_with = "present")]
        count: Option<u32>,
        #[serde(default, deserialize_with = "nullable")]
        note: Option<Option<String>>,
        #[serde(default, deserialize_with = "object_or_null")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Inner {
        hours: Vec<u8>,
    }

    #[test]
    fn a_zero_in_a_text_is_found_and_nothing_like_it() {
        assert!(holds_zero(br#"{"name":"a\n\u0000"}"#));
        for good in [r#"{"name":"\\u0000"}"#, r#"{"name":"\u0001"}"#, "{}", "\\"] {
            assert!(!holds_zero(good.as_bytes()), "{good}");
        }
    }

    #[track_caller]
    fn check(body: &str, code: &str, field: Option<&str>, says: &str) {
        let error = parse::<Change>(body.as_bytes()).unwrap_err();
        assert_eq!((error.code.as_str(), error.more.field.as_deref()), (code, field), "{}", error.detail);
        assert!(error.detail.contains(says), "{}", error.detail);
    }

    #[test]
    fn broken_json_names_the_position() {
        check("{\"name\": ", "invalid_json", None, "line 1 column 9");
        check("", "invalid_json", None, "empty");
        check("{\"name\":\"a\"} x", "invalid_json", None, "line 1 column 14");
    }

    #[test]
    fn unknown_fields_are_named_with_the_accepted_ones() {
        check(
            "{\"name\":\"a\",\"nmae\":1}",
            "unknown_field",
            Some("nmae"),
            "there is no field `nmae` here; the known ones are `name`, `count`",
        );
        check("{\"name\":\"a\",\"inner\":{\"x\":1}}", "unknown_field", Some("inner.x"), "are `hours`");
    }

    #[test]
    fn missing_and_wrong_fields_are_named() {
        check("{}", "missing_field", Some("name"), "`name` is missing at line 1 column 2");
        check("{\"name\":\"a\",\"name\":\"b\"}", "invalid_field", Some("name"), "more than once");
        check("{\"name\":5}", "invalid_field", Some("name"), "`name` must be a text in quotes");
        check(
            "{\"name\":\"a\",\"inner\":{\"hours\":[1,300]}}",
            "invalid_field",
            Some("inner.hours[1]"),
            "`inner.hours[1]` must be a whole number from 0 to 255; another number came at line 1 column 35",
        );
        check("{\"name\":\"a\",\"count\":null}", "invalid_field", Some("count"), "; null came");
    }

    #[test]
    fn lists_are_no_objects_whatever_they_hold() {
        for body in ["[]", " [\"a\"]", "\"a\"", "5", "null"] {
            check(
                body,
                "invalid_field",
                None,
                "the body must be a JSON object in braces, like `{\"name\": \"…\"}`",
            );
        }
        let inner = "{\"name\":\"a\",\"inner\":[[1]]}";
        check(inner, "invalid_field", Some("inner"), "`inner` must be an object in braces");
        assert!(parse::<Change>(b"{\"name\":\"a\",\"inner\":null}").is_ok());
    }

    #[test]
    fn left_out_and_null_differ() {
        let note = |body: &str| parse::<Change>(body.as_bytes()).map(|change| change.note).unwrap();
        assert_eq!(note("{\"name\":\"a\"}"), None);
        assert_eq!(note("{\"name\":\"a\",\"note\":null}"), Some(None));
        assert_eq!(note("{\"name\":\"a\",\"note\":\"x\"}"), Some(Some("x".to_owned())));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_announced_or_not() {
        let mut headers = HeaderMap::new();
        let large = || Body::from(vec![b' '; 11]);
        assert_eq!(read(&headers, large(), 10).await.unwrap_err().code, "body_too_large");
        headers.insert(header::CONTENT_LENGTH, 11.into());
        assert_eq!(read(&headers, Body::empty(), 10).await.unwrap_err().code, "body_too_large");
        assert_eq!(read(&HeaderMap::new(), large(), 11).await.unwrap().len(), 11);
    }

    #[test]
    fn another_content_type_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(require_type(&headers, "application/json").unwrap_err().status.as_u16(), 415);
        headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(require_type(&headers, "application/json").is_err());
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert!(require_type(&headers, "application/json").is_ok());
    }
}
