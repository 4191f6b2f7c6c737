//! One request on its way through the server: what a view needs to answer it, and the pages of a list.

use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::datto_rmm::access::User;
use crate::datto_rmm::reply;
use crate::datto_rmm::routes::{Params, Route};
use crate::datto_rmm::sim::Sim;
use crate::datto_rmm::world::{Device, Site, World};

/// The most rows of a page.
pub(crate) const MAX_PAGE: usize = 250;

/// A request that reached its view.
pub(crate) struct Call {
    pub(crate) sim: Arc<Sim>,
    pub(crate) route: &'static Route,
    pub(crate) params: Params,
    /// Path as asked, for links to other pages.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Nobody at the open paths.
    pub(crate) user: Option<User>,
}

/// A part of a list: which page, how many rows a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) number: usize,
    pub(crate) size: usize,
}

impl Page {
    /// The rows of this page.
    pub(crate) fn of<T>(self, rows: &[T]) -> &[T] {
        let start = self.number.saturating_mul(self.size).min(rows.len());
        &rows[start..start.saturating_add(self.size).min(rows.len())]
    }
}

impl Call {
    /// All stored state.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.sim.world()
    }

    /// The first value of a query parameter that is not empty.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let value = self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// Whether the caller sees a site.
    pub(crate) fn sees(&self, site: u32) -> bool {
        self.user.as_ref().is_none_or(|user| user.sees(site))
    }

    /// Whether the caller sees every site.
    pub(crate) fn sees_all(&self) -> bool {
        self.user.as_ref().is_none_or(User::sees_all)
    }

    /// The site of the path.
    pub(crate) fn site<'a>(&self, world: &'a World) -> Result<&'a Site, Answer> {
        let found = world.site_by_uid(self.params.get("siteUid"));
        found.filter(|site| self.sees(site.id)).ok_or_else(|| reply::not_found("Site"))
    }

    /// The device of the path.
    pub(crate) fn device<'a>(&self, world: &'a World) -> Result<&'a Device, Answer> {
        let found = world.device_by_uid(self.params.get("deviceUid"));
        found.filter(|device| self.sees(device.site)).ok_or_else(|| reply::not_found("Device"))
    }

    /// The body as an object.
    pub(crate) fn json(&self) -> Result<Map<String, Value>, Answer> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) | Err(_) => Err(unreadable()),
        }
    }

    /// Which page is asked for.
    pub(crate) fn page(&self) -> Result<Page, Answer> {
        let whole = |name: &str, usual: usize| match self.query(name) {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| {
                reply::error(
                    400,
                    &format!("Invalid value for parameter '{name}': a whole number is expected"),
                )
            }),
        };
        let page = Page { number: whole("page", 0)?, size: whole("max", MAX_PAGE)? };
        if page.size > MAX_PAGE {
            let text = format!("The requested page size {} exceeds the limit of {MAX_PAGE}", page.size);
            return Err(reply::error(400, &text));
        }
        if page.size == 0 {
            return Err(reply::error(400, "Invalid value for parameter 'max': at least 1 is expected"));
        }
        Ok(page)
    }

    /// `pageDetails` of a page. Links are absolute and forget every other parameter.
    pub(crate) fn page_details(&self, page: Page, count: usize, total: usize) -> Value {
        let link = |number: usize| {
            format!("http://{}{}?max={}&page={number}", self.sim.authority, self.path, page.size)
        };
        let has_more = page.number.saturating_add(1).saturating_mul(page.size) < total;
        // Both ways to say that there is no other page are in use.
        let none = if self.route.list == "alerts" { Value::from("") } else { Value::Null };
        let next = if has_more { link(page.number + 1).into() } else { none };
        let previous = page.number.checked_sub(1).map(link);
        json!({ "count": count, "totalCount": total, "prevPageUrl": previous, "nextPageUrl": next })
    }

    /// A page of rows, which are rendered one by one.
    pub(crate) fn list<T, V: Serialize>(&self, rows: &[T], render: impl Fn(&T) -> V) -> reply::Reply {
        let page = self.page()?;
        let shown: Vec<V> = page.of(rows).iter().map(render).collect();
        let details = self.page_details(page, shown.len(), rows.len());
        Ok(reply::ok(&json!({ "pageDetails": details, self.route.list: shown })))
    }
}

/// What the framework says to a body that it cannot read.
pub(crate) fn unreadable() -> Answer {
    reply::error(400, "Failed to read request")
}

/// A text of a body; `None` where it is absent, null or something else.
pub(crate) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}
