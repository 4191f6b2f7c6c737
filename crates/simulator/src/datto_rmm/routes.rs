//! Every path of the API, by method, with the right it needs and the write budget it uses.

use crate::datto_rmm::call::Call;
use crate::datto_rmm::reply::Reply;
use crate::datto_rmm::{account, alerts, audit, devices, jobs, logs, patches, sites, variables};

/// One operation.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Below the root of the API, as counted and as matched by faults.
    pub(crate) template: &'static str,
    /// What the owner of the key must be allowed; empty for nothing.
    pub(crate) right: &'static str,
    /// Its write budget.
    pub(crate) operation: Option<&'static str>,
    /// The name of the array in its answer.
    pub(crate) list: &'static str,
    pub(crate) answer: fn(&Call) -> Reply,
}

type Answer = fn(&Call) -> Reply;

const fn get(template: &'static str, right: &'static str, answer: Answer) -> Route {
    Route { method: "GET", template, right, operation: None, list: "", answer }
}

const fn list(template: &'static str, right: &'static str, list: &'static str, answer: Answer) -> Route {
    Route { method: "GET", template, right, operation: None, list, answer }
}

const fn write(method: &'static str, template: &'static str, op: &'static str, answer: Answer) -> Route {
    Route { method, template, right: "writes", operation: Some(op), list: "", answer }
}

/// All routes. Fixed words stand before placeholders they would match.
pub(crate) const ROUTES: &[Route] = &[
    get("/v2/account", "account", account::account),
    list("/v2/account/sites", "sites", "sites", sites::list),
    list("/v2/account/devices", "devices", "devices", devices::of_account),
    list("/v2/account/users", "users", "users", account::users),
    list("/v2/account/components", "jobs", "components", jobs::components),
    list("/v2/account/alerts/open", "alerts", "alerts", alerts::of_account),
    list("/v2/account/alerts/resolved", "alerts", "alerts", alerts::of_account),
    list("/v2/account/variables", "variables", "variables", variables::of_account),
    write("PUT", "/v2/account/variable", "account-variable-create", variables::create),
    write("POST", "/v2/account/variable/<variableId>", "account-variable-update", variables::update),
    write("DELETE", "/v2/account/variable/<variableId>", "account-variable-delete", variables::delete),
    list("/v2/account/dnet-site-mappings", "sites", "dnetSiteMappings", sites::networks),
    write("PUT", "/v2/site", "site-create", sites::create),
    get("/v2/site/<siteUid>", "sites", sites::one),
    write("POST", "/v2/site/<siteUid>", "site-update", sites::update),
    list("/v2/site/<siteUid>/devices", "devices", "devices", devices::of_site),
    list("/v2/site/<siteUid>/devices/network-interface", "devices", "devices", devices::interfaces),
    list("/v2/site/<siteUid>/alerts/open", "alerts", "alerts", alerts::of_site),
    list("/v2/site/<siteUid>/alerts/resolved", "alerts", "alerts", alerts::of_site),
    list("/v2/site/<siteUid>/filters", "sites", "filters", account::site_filters),
    get("/v2/site/<siteUid>/settings", "sites", sites::settings),
    write("POST", "/v2/site/<siteUid>/settings/proxy", "site-proxy-create", sites::set_proxy),
    write("DELETE", "/v2/site/<siteUid>/settings/proxy", "site-proxy-delete", sites::remove_proxy),
    list("/v2/site/<siteUid>/variables", "variables", "variables", variables::of_site),
    list("/v2/site/<siteUid>/patches", "audit", "patches", patches::of_site),
    write("PUT", "/v2/site/<siteUid>/variable", "site-variable-create", variables::create),
    write("POST", "/v2/site/<siteUid>/variable/<variableId>", "site-variable-update", variables::update),
    write("DELETE", "/v2/site/<siteUid>/variable/<variableId>", "site-variable-delete", variables::delete),
    get("/v2/device/id/<deviceId>", "devices", devices::by_id),
    get("/v2/device/macAddress/<mac>", "devices", devices::by_mac),
    get("/v2/device/<deviceUid>", "devices", devices::one),
    list("/v2/device/<deviceUid>/alerts/open", "alerts", "alerts", alerts::of_device),
    list("/v2/device/<deviceUid>/alerts/resolved", "alerts", "alerts", alerts::of_device),
    list("/v2/device/<deviceUid>/patches", "audit", "patches", patches::of_device),
    write("PUT", "/v2/device/<deviceUid>/quickjob", "device-job-create", jobs::create),
    write("PUT", "/v2/device/<deviceUid>/site/<siteUid>", "device-move", devices::move_to),
    write("POST", "/v2/device/<deviceUid>/udf", "device-udf-set", devices::set_udf),
    write("POST", "/v2/device/<deviceUid>/warranty", "device-warranty-create", devices::set_warranty),
    get("/v2/audit/device/macAddress/<mac>", "audit", audit::by_mac),
    get("/v2/audit/device/<deviceUid>", "audit", audit::device),
    list("/v2/audit/device/<deviceUid>/software", "audit", "software", audit::software),
    get("/v2/audit/esxihost/<deviceUid>", "audit", audit::esxi_host),
    get("/v2/audit/printer/<deviceUid>", "audit", audit::printer),
    get("/v2/alert/<alertUid>", "alerts", alerts::one),
    write("POST", "/v2/alert/<alertUid>/resolve", "alert-resolve", alerts::resolve),
    Route { operation: None, ..write("POST", "/v2/alert/<alertUid>/mute", "", alerts::mute) },
    Route { operation: None, ..write("POST", "/v2/alert/<alertUid>/unmute", "", alerts::mute) },
    get("/v2/job/<jobUid>", "jobs", jobs::one),
    list("/v2/job/<jobUid>/components", "jobs", "jobComponents", jobs::job_components),
    get("/v2/job/<jobUid>/results/<deviceUid>", "jobs", jobs::results),
    get("/v2/job/<jobUid>/results/<deviceUid>/stdout", "jobs", jobs::stdout),
    get("/v2/job/<jobUid>/results/<deviceUid>/stderr", "jobs", jobs::stderr),
    list("/v2/filter/default-filters", "sites", "filters", account::default_filters),
    list("/v2/filter/custom-filters", "administrator", "filters", account::custom_filters),
    list("/v2/activity-logs", "administrator", "activities", logs::list),
    write("POST", "/v2/user/resetApiKeys", "user-reset-keys", account::reset_keys),
    get(STATUS, "", account::status),
    get("/v2/system/request_rate", "", account::request_rate),
    get("/v2/system/pagination", "", account::pagination),
];

/// The one path that needs no token and counts for nobody.
pub(crate) const STATUS: &str = "/v2/system/status";

/// What a path holds where its route has placeholders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(&'static str, String)>);

impl Params {
    /// The value of a placeholder; empty where the route has none of that name.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// What a path and method lead to.
pub(crate) enum Found {
    Route(&'static Route, Params),
    /// The path exists, the method does not.
    OtherMethod(&'static Route),
    Nothing,
}

/// The route of a path below the root.
pub(crate) fn find(method: &str, path: &str) -> Found {
    let mut other = None;
    for route in ROUTES {
        let Some(params) = params(route.template, path) else { continue };
        if route.method == method {
            return Found::Route(route, params);
        }
        // `/v2/device/id/7` is no device with the uid `id`: the first template that fits is the path.
        other.get_or_insert(route);
    }
    other.map_or(Found::Nothing, Found::OtherMethod)
}

fn params(template: &'static str, path: &str) -> Option<Params> {
    let mut params = Params::default();
    let mut wanted = template.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(params),
            (Some(word), Some(part)) if word.starts_with('<') && !part.is_empty() => {
                params.0.push((word.trim_matches(['<', '>']), part.to_owned()));
            }
            (Some(word), Some(part)) if word == part => {}
            (_, _) => return None,
        }
    }
}
