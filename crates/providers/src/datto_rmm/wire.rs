//! The bodies as Datto RMM sends them, read tolerantly: `null` may stand anywhere, dates come in several forms, and
//! words that nobody knows yet are words. An object or a list where a plain value belongs spoils its row alone.

use std::{borrow::Cow, collections::HashMap};

use domain::Time;
use jiff::{civil, tz::TimeZone};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub(crate) use crate::json::{Flag, Number, Text, Word, object};

/// The last millisecond that has a four-digit year.
const LAST_MS: f64 = 253_402_300_799_000.0;

/// Numbers from here on are milliseconds, smaller ones seconds.
const FIRST_MS: f64 = 1e10;

/// A point in time in any form seen: milliseconds, seconds, either of them as text, or ISO 8601. None for the date that
/// .NET uses for "no date", and for anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Option<Time>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Ok(Moment(text.as_str().and_then(moment)))
    }
}

/// A moment from text.
pub(crate) fn moment(text: &str) -> Option<Time> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let ms = if number.abs() >= FIRST_MS { number } else { number * 1_000.0 };
        // "No date" lies before 1970, whoever writes it.
        return (ms > 0.0 && ms <= LAST_MS).then(|| Time(ms.round() as i64));
    }
    let stamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local = text.parse::<civil::DateTime>().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(Time::from(stamp)).filter(|time| time.0 > 0)
}

/// An object that a row can do without: none where something else stands in its place.
#[derive(Debug, Default)]
pub(crate) struct Lenient<T>(pub(crate) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Option::<&'de RawValue>::deserialize(deserializer)?;
        Ok(Lenient(raw.and_then(|raw| object(raw.get()).ok())))
    }
}

/// One page of a list.
pub(crate) struct Page<'a> {
    pub(crate) rows: Vec<&'a RawValue>,
    pub(crate) total: Option<u64>,
    /// The server says that there is another one.
    pub(crate) has_next: bool,
}

/// `nextPageUrl` is only looked at for being there: it loses filters, and a token goes to no address that a server names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageDetails<'a> {
    total_count: Number,
    #[serde(borrow)]
    next_page_url: Text<'a>,
}

/// The page whose rows stand under `name`; an error unless both rows and details are there.
pub(crate) fn page<'a>(text: &'a str, name: &str) -> Result<Page<'a>, serde_json::Error> {
    use serde::de::Error;
    let fields: HashMap<Cow<'a, str>, &'a RawValue> = object(text)?;
    let missing = |what: &str| serde_json::Error::custom(format!("`{what}` is missing"));
    let details = fields.get("pageDetails").ok_or_else(|| missing("pageDetails"))?;
    let rows = fields.get(name).ok_or_else(|| missing(name))?;
    let details: PageDetails<'a> = object(details.get())?;
    Ok(Page {
        rows: serde_json::from_str(rows.get())?,
        total: details.total_count.as_u64(),
        has_next: details.next_page_url.as_str().is_some_and(|url| !url.trim().is_empty()),
    })
}

/// An answer of the token route.
#[derive(Deserialize)]
pub(crate) struct Token<'a> {
    #[serde(borrow, default)]
    pub(crate) access_token: Word<'a>,
    /// Seconds.
    #[serde(default)]
    pub(crate) expires_in: Number,
}

/// How refusals explain themselves, in every shape seen.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal<'a> {
    #[serde(borrow, rename = "errorMessage")]
    error_message: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    error: Text<'a>,
    #[serde(borrow)]
    error_description: Text<'a>,
    #[serde(borrow)]
    detail: Text<'a>,
}

impl Refusal<'_> {
    /// All of it, in lower case.
    pub(crate) fn words(&self) -> String {
        let all = [&self.error_message, &self.message, &self.error, &self.error_description, &self.detail];
        let words: Vec<String> = all.iter().filter_map(|text| text.as_str()).map(str::to_lowercase).collect();
        words.join(" ")
    }
}

/// `GET /system/status`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status<'a> {
    #[serde(borrow)]
    pub(crate) version: Text<'a>,
    #[serde(borrow)]
    pub(crate) status: Word<'a>,
}

/// `GET /system/request_rate`. Older accounts leave the write fields out: writes then count as reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RequestRate {
    pub(crate) sliding_time_window_size_seconds: Number,
    pub(crate) account_count: Number,
    pub(crate) account_rate_limit: Number,
    pub(crate) account_cut_off_ratio: Number,
    pub(crate) account_write_count: Number,
    pub(crate) account_write_rate_limit: Number,
}

/// `GET /account`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Account<'a> {
    #[serde(borrow)]
    pub(crate) uid: Text<'a>,
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    pub(crate) devices_status: Lenient<DevicesStatus>,
}

/// Counts of devices.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DevicesStatus {
    pub(crate) number_of_devices: Number,
}

/// A row of `GET /account/sites`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SiteRow<'a> {
    #[serde(borrow)]
    pub(crate) uid: Word<'a>,
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    pub(crate) on_demand: Flag,
    pub(crate) devices_status: Lenient<DevicesStatus>,
    #[serde(borrow)]
    pub(crate) autotask_company_name: Text<'a>,
    #[serde(borrow)]
    pub(crate) autotask_company_id: Text<'a>,
}

/// What a row of the list of sites has to have, whatever else is wrong with it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SiteName<'a> {
    #[serde(borrow)]
    pub(crate) uid: Word<'a>,
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
}

/// A row of a list of devices, and one device by itself. Custom fields are read apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DeviceRow<'a> {
    #[serde(borrow)]
    pub(crate) uid: Word<'a>,
    #[serde(borrow)]
    pub(crate) site_uid: Word<'a>,
    #[serde(borrow)]
    pub(crate) site_name: Text<'a>,
    #[serde(borrow)]
    pub(crate) hostname: Text<'a>,
    #[serde(borrow)]
    pub(crate) description: Text<'a>,
    #[serde(borrow)]
    pub(crate) domain: Text<'a>,
    #[serde(borrow)]
    pub(crate) device_type: Lenient<DeviceKind<'a>>,
    #[serde(borrow)]
    pub(crate) device_class: Text<'a>,
    #[serde(borrow)]
    pub(crate) int_ip_address: Text<'a>,
    #[serde(borrow)]
    pub(crate) ext_ip_address: Text<'a>,
    #[serde(borrow)]
    pub(crate) operating_system: Text<'a>,
    #[serde(borrow)]
    pub(crate) last_logged_in_user: Text<'a>,
    #[serde(borrow)]
    pub(crate) cag_version: Text<'a>,
    #[serde(borrow)]
    pub(crate) display_version: Text<'a>,
    #[serde(rename = "a64Bit")]
    pub(crate) is_64_bit: Flag,
    pub(crate) reboot_required: Flag,
    pub(crate) online: Flag,
    pub(crate) suspended: Flag,
    pub(crate) deleted: Flag,
    pub(crate) last_seen: Moment,
    pub(crate) last_reboot: Moment,
    pub(crate) last_audit_date: Moment,
    #[serde(borrow)]
    pub(crate) portal_url: Text<'a>,
    #[serde(borrow)]
    pub(crate) warranty_date: Text<'a>,
    #[serde(borrow)]
    pub(crate) software_status: Text<'a>,
    #[serde(borrow)]
    pub(crate) antivirus: Lenient<Antivirus<'a>>,
    #[serde(borrow)]
    pub(crate) patch_management: Lenient<PatchManagement<'a>>,
    /// Read apart: only what may be shown of it gets any further.
    #[serde(borrow)]
    pub(crate) udf: Option<&'a RawValue>,
}

/// Category (`Server`, `Laptop` …) and a text like a model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeviceKind<'a> {
    #[serde(borrow)]
    pub(crate) category: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(crate) model: Text<'a>,
}

/// Antivirus as the agent sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Antivirus<'a> {
    #[serde(borrow)]
    pub(crate) antivirus_product: Text<'a>,
    #[serde(borrow)]
    pub(crate) antivirus_status: Text<'a>,
}

/// Where a device stands with patches.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PatchManagement<'a> {
    #[serde(borrow)]
    pub(crate) patch_status: Text<'a>,
    pub(crate) patches_approved_pending: Number,
    pub(crate) patches_not_approved: Number,
}

/// A row of `GET /audit/device/{uid}/software`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SoftwareRow<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) version: Text<'a>,
}

/// `GET /activity-logs`: a top-level `error` with status 200 means that the log could not be read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ActivityLog<'a> {
    #[serde(borrow)]
    pub(crate) error: Text<'a>,
    #[serde(borrow)]
    pub(crate) activities: Option<Vec<&'a RawValue>>,
}
