//! Each integration: does its RMM answer, does the key still do, and do the clocks agree?

use std::time::Duration;

use domain::{Ctx, auth::Permissions, id::TenantId, scope::ClientScope};
use outbound::{ClientOptions, EgressRules, HttpClient};
use provider::CheckReport;
use service::{Options, Services, integration::Draft};
use tokio::time::timeout;

use super::Finding;
use crate::{
    boot::{allow_rules, open_store, service_failure},
    cli::{exit::Exit, failure::Failure},
    config::Config,
};

const WHAT: &str = "integration";

/// One slow RMM must not keep the doctor from the rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clocks this far apart, in seconds, spoil one-time codes and times of alerts.
const SKEW_LIMIT_S: u64 = 60;

/// Tests every connected integration, as Test Connection does, and keeps the report like it.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    match ask_all(config).await {
        Ok(findings) => findings,
        Err(failure) => {
            vec![Finding::bad(WHAT, failure.detail, "Mend what the lines above name, then run this again.")]
        }
    }
}

async fn ask_all(config: &Config) -> Result<Vec<Finding>, Failure> {
    let rules = EgressRules::new(allow_rules(config)?).deny_listener(config.listen);
    let http = HttpClient::new(rules, ClientOptions::default())
        .map_err(|error| Failure::new(Exit::Failure, "http_client", error.to_string()))?;
    let store = open_store(config).await?;
    let options = Options { rmm_hosts: config.outbound.rmm_hosts.clone(), ..Options::default() };
    let services = Services::with_options(store.clone(), providers::all(), http, options);
    let ctx = ctx();
    let mut findings = Vec::new();
    for view in services.integrations.list(&ctx).await.map_err(service_failure)? {
        let integration = view.integration;
        if !integration.is_active {
            continue;
        }
        let test = services.integrations.test(&ctx, integration.id, Draft::default());
        findings.push(match timeout(PATIENCE, test).await {
            Ok(Ok(report)) => judge(&integration.name, &report),
            Ok(Err(error)) => Finding::bad(
                WHAT,
                format!("`{}`: {error}", integration.name),
                format!("`fleetgate integration show '{}'` says more.", integration.name),
            ),
            Err(_) => Finding::bad(
                WHAT,
                format!("`{}`: no result within {} seconds", integration.name, PATIENCE.as_secs()),
                "Look at the RMM and at the network in between.",
            ),
        });
    }
    store.close().await;
    Ok(findings)
}

/// The report in one line.
fn judge(name: &str, report: &CheckReport) -> Finding {
    if let Some(problem) = report.problem.as_ref().filter(|_| !report.ok) {
        return Finding::bad(WHAT, format!("`{name}`: {}", problem.message), problem.fix.clone());
    }
    if !report.ok {
        let mend = format!("`fleetgate integration test '{name}'` shows line by line what is missing.");
        return Finding::bad(WHAT, format!("`{name}`: reading machines does not work"), mend);
    }
    let clock = match report.clock_skew_s {
        None => "does not tell its clock".to_owned(),
        Some(0) => "clocks agree".to_owned(),
        Some(skew) => {
            let direction = if skew > 0 { "ahead of" } else { "behind" };
            format!("its clock is {} s {direction} ours", skew.unsigned_abs())
        }
    };
    let found = format!("`{name}`: works; {clock}");
    if report.clock_skew_s.is_some_and(|skew| skew.unsigned_abs() > SKEW_LIMIT_S) {
        return Finding::bad(WHAT, found, "Let both machines set their clocks by the network (NTP).");
    }
    Finding::good(WHAT, found)
}

/// The operator at the console, for the first tenant.
fn ctx() -> Ctx {
    let actor = domain::Actor {
        kind: domain::ActorKind::Operator,
        user: None,
        token: None,
        name: "doctor".to_owned(),
        permissions: Permissions::all(),
        clients: ClientScope::All,
    };
    Ctx { tenant: TenantId(1), actor, request_id: "doctor".to_owned(), now: service::now() }
}

#[cfg(test)]
mod tests {
    use provider::Problem;

    use super::*;

    #[track_caller]
    fn check(report: CheckReport, found: &str, fix: Option<&str>) {
        let finding = judge("Main", &report);
        assert_eq!((finding.detail.as_str(), finding.problem.as_deref()), (found, fix));
    }

    fn report(ok: bool, clock_skew_s: Option<i64>) -> CheckReport {
        CheckReport { ok, clock_skew_s, ..CheckReport::default() }
    }

    #[test]
    fn a_report_is_told_in_one_line() {
        const NTP: &str = "Let both machines set their clocks by the network (NTP).";
        check(report(true, Some(0)), "`Main`: works; clocks agree", None);
        check(report(true, Some(-60)), "`Main`: works; its clock is 60 s behind ours", None);
        check(report(true, Some(61)), "`Main`: works; its clock is 61 s ahead of ours", Some(NTP));
        check(report(true, None), "`Main`: works; does not tell its clock", None);
        let refused = CheckReport {
            problem: Some(Problem::new("key_refused", "The key is refused.", "Make a new one.")),
            ..report(false, None)
        };
        check(refused, "`Main`: The key is refused.", Some("Make a new one."));
    }
}
