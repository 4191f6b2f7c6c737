//! The paths a Tactical server knows, and what it lists in `Allow` for each.

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) view: View,
    /// As it appears in counts and faults.
    pub(crate) template: &'static str,
    /// The `Allow` header; recorded where it was.
    pub(crate) allow: &'static str,
}

/// Which code answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Home,
    Version,
    CheckCreds,
    Login,
    Logout,
    LogoutAll,
    Clients,
    Client,
    Sites,
    Site,
    Agents,
    Agent,
    Command,
    RunScript,
    Reboot,
    Shutdown,
    Ping,
    AgentHistory,
    AgentChecks,
    AgentTasks,
    AgentNotes,
    AgentPending,
    Processes,
    EventLog,
    Wmi,
    Wol,
    Notes,
    History,
    ScriptHistory,
    Versions,
    MaintenanceBulk,
    Bulk,
    Services,
    Updates,
    SoftwareAll,
    Chocos,
    Software,
    Scripts,
    Script,
    ScriptDownload,
    ScriptTest,
    Checks,
    Check,
    CheckHistory,
    CheckReset,
    CheckRun,
    Tasks,
    Alerts,
    Alert,
    AlertsBulk,
    Templates,
    Template,
    UrlActions,
    UrlAction,
    UrlActionRun,
    UrlActionTest,
    CoreSettings,
    CustomFields,
    KeyStore,
    BetaRoot,
    BetaClients,
    BetaClient,
    BetaSites,
    BetaSite,
    BetaAgents,
    BetaAgent,
}

impl View {
    /// Whether the route exists only while the beta API is switched on.
    pub(crate) fn is_beta(self) -> bool {
        use View::{BetaAgent, BetaAgents, BetaClient, BetaClients, BetaRoot, BetaSite, BetaSites};
        matches!(self, BetaRoot | BetaClients | BetaClient | BetaSites | BetaSite | BetaAgents | BetaAgent)
    }
}

const GET: &str = "GET, HEAD, OPTIONS";
const GET_ONLY: &str = "GET, OPTIONS";
const GET_POST: &str = "GET, POST, HEAD, OPTIONS";
const POST: &str = "POST, OPTIONS";
const POST_MIXED: &str = "OPTIONS, POST";
const ROW: &str = "GET, PUT, DELETE, HEAD, OPTIONS";

const fn route(view: View, template: &'static str, allow: &'static str) -> Route {
    Route { view, template, allow }
}

/// All routes. Fixed words stand before placeholders they would match.
pub(crate) const ROUTES: &[Route] = &[
    route(View::Home, "/", GET_ONLY),
    route(View::Version, "/core/version/", GET_ONLY),
    route(View::CheckCreds, "/v2/checkcreds/", POST),
    route(View::Login, "/v2/login/", POST),
    route(View::Logout, "/logout/", POST),
    route(View::LogoutAll, "/logoutall/", POST),
    route(View::Clients, "/clients/", GET_POST),
    route(View::Sites, "/clients/sites/", GET_POST),
    route(View::Site, "/clients/sites/<pk>/", ROW),
    route(View::Client, "/clients/<pk>/", ROW),
    route(View::Agents, "/agents/", GET),
    route(View::Notes, "/agents/notes/", GET_POST),
    route(View::History, "/agents/history/", GET),
    route(View::ScriptHistory, "/agents/scripthistory/", GET),
    route(View::Versions, "/agents/versions/", GET_ONLY),
    route(View::MaintenanceBulk, "/agents/maintenance/bulk/", POST_MIXED),
    route(View::Bulk, "/agents/actions/bulk/", POST_MIXED),
    route(View::Agent, "/agents/<agent_id>/", ROW),
    route(View::Command, "/agents/<agent_id>/cmd/", POST_MIXED),
    route(View::RunScript, "/agents/<agent_id>/runscript/", POST_MIXED),
    route(View::Reboot, "/agents/<agent_id>/reboot/", "POST, PATCH, OPTIONS"),
    route(View::Shutdown, "/agents/<agent_id>/shutdown/", POST),
    route(View::Ping, "/agents/<agent_id>/ping/", GET_ONLY),
    route(View::AgentHistory, "/agents/<agent_id>/history/", GET),
    route(View::AgentChecks, "/agents/<agent_id>/checks/", GET_POST),
    route(View::AgentTasks, "/agents/<agent_id>/tasks/", GET_POST),
    route(View::AgentNotes, "/agents/<agent_id>/notes/", GET_POST),
    route(View::AgentPending, "/agents/<agent_id>/pendingactions/", "GET, DELETE, HEAD, OPTIONS"),
    route(View::Processes, "/agents/<agent_id>/processes/", "GET, DELETE, HEAD, OPTIONS"),
    route(View::EventLog, "/agents/<agent_id>/eventlog/<text>/<pk>/", GET_ONLY),
    route(View::Wmi, "/agents/<agent_id>/wmi/", POST),
    route(View::Wol, "/agents/<agent_id>/wol/", POST_MIXED),
    route(View::Services, "/services/<agent_id>/", GET),
    route(View::Updates, "/winupdate/<agent_id>/", GET),
    route(View::SoftwareAll, "/software/", "GET, POST, PUT, HEAD, OPTIONS"),
    route(View::Chocos, "/software/chocos/", GET_ONLY),
    route(View::Software, "/software/<agent_id>/", "GET, POST, PUT, HEAD, OPTIONS"),
    route(View::Scripts, "/scripts/", GET_POST),
    route(View::Script, "/scripts/<pk>/", ROW),
    route(View::ScriptDownload, "/scripts/<pk>/download/", GET_ONLY),
    route(View::ScriptTest, "/scripts/<agent_id>/test/", POST),
    route(View::Checks, "/checks/", GET_POST),
    route(View::Check, "/checks/<pk>/", ROW),
    route(View::CheckHistory, "/checks/<pk>/history/", "PATCH, OPTIONS"),
    route(View::CheckReset, "/checks/<pk>/reset/", POST),
    route(View::CheckRun, "/checks/<agent_id>/run/", POST_MIXED),
    route(View::Tasks, "/tasks/", GET_POST),
    route(View::Alerts, "/alerts/", "POST, PATCH, OPTIONS"),
    route(View::AlertsBulk, "/alerts/bulk/", POST),
    route(View::Templates, "/alerts/templates/", GET_POST),
    route(View::Template, "/alerts/templates/<pk>/", ROW),
    route(View::Alert, "/alerts/<pk>/", ROW),
    route(View::UrlActions, "/core/urlaction/", GET_POST),
    route(View::UrlActionRun, "/core/urlaction/run/", "PATCH, OPTIONS"),
    route(View::UrlActionTest, "/core/urlaction/run/test/", POST),
    route(View::UrlAction, "/core/urlaction/<pk>/", "PUT, DELETE, OPTIONS"),
    route(View::CoreSettings, "/core/settings/", "GET, PUT, HEAD, OPTIONS"),
    route(View::CustomFields, "/core/customfields/", "GET, POST, PATCH, HEAD, OPTIONS"),
    route(View::KeyStore, "/core/keystore/", GET_POST),
    route(View::BetaRoot, "/beta/v1/", GET),
    route(View::BetaClients, "/beta/v1/client/", "GET"),
    route(View::BetaClient, "/beta/v1/client/<text>/", "GET, PUT"),
    route(View::BetaSites, "/beta/v1/site/", "GET"),
    route(View::BetaSite, "/beta/v1/site/<text>/", "GET, PUT"),
    route(View::BetaAgents, "/beta/v1/agent/", "GET"),
    route(View::BetaAgent, "/beta/v1/agent/<text>/", "GET, PUT"),
];

/// What a path holds where its route has placeholders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pub(crate) agent_id: String,
    pub(crate) pk: u64,
    pub(crate) text: String,
}

/// The route of a path, if any.
pub(crate) fn find(path: &str) -> Option<(&'static Route, Params)> {
    ROUTES.iter().find_map(|route| Some((route, params(route.template, path)?)))
}

fn params(template: &str, path: &str) -> Option<Params> {
    let mut params = Params::default();
    let mut wanted = template.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(params),
            (Some("<pk>"), Some(part)) if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => {
                params.pk = part.parse().ok()?;
            }
            // An agent's id has at least 21 characters; shorter ones match no route.
            (Some("<agent_id>"), Some(part)) if part.chars().count() > 20 => {
                params.agent_id = part.to_owned()
            }
            (Some("<text>"), Some(part)) if !part.is_empty() => params.text = part.to_owned(),
            (Some(word), Some(part)) if word == part && !word.starts_with('<') => {}
            (_, _) => return None,
        }
    }
}
