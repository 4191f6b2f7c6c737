//! Writes (§6 to §10, §14) and faults on them.

use serde_json::{Value, json};
use simulator::datto_rmm::{Config, Fault, FaultKind, JobOutput};

use crate::datto::{Datto, number};

async fn done(sim: &Datto, method: &str, path: &str, body: Value) {
    let got = sim.write(method, path, &body).await.unwrap();
    assert_eq!((got.status, got.text.as_str()), (200, ""), "{method} {path}: an empty body");
}

fn component(sim: &Value, name: &str) -> Value {
    sim["components"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
}

/// §7: fields that are left out stay, an empty text clears; the warranty is a date or null.
#[tokio::test]
async fn fields_and_warranty_are_written_with_empty_answers() {
    let sim = Datto::of(60).await;
    let path = format!("/v2/device/{}", sim.device("device"));
    done(&sim, "POST", &format!("{path}/udf"), json!({ "udf9": "nine", "udf10": "ten" })).await;
    done(&sim, "POST", &format!("{path}/udf"), json!({ "udf10": "" })).await;
    done(&sim, "POST", &format!("{path}/warranty"), json!({ "warrantyDate": "2027-01-31" })).await;
    let device = sim.json(&path).await;
    assert_eq!((&device["udf"]["udf9"], &device["udf"]["udf10"]), (&json!("nine"), &Value::Null));
    assert_eq!(device["warrantyDate"], "2027-01-31");
    done(&sim, "POST", &format!("{path}/warranty"), json!({ "warrantyDate": null })).await;
    assert_eq!(sim.json(&path).await["warrantyDate"], Value::Null);
    for (path, body) in [
        (format!("{path}/udf"), json!({ "udf31": "beyond" })),
        (format!("{path}/warranty"), json!({ "warrantyDate": "31.01.2027" })),
        (format!("{path}/warranty"), json!({})),
    ] {
        assert_eq!(sim.write("POST", &path, &body).await.unwrap().status, 400, "{body}");
    }
}

/// §14: 409 for a concurrent write; a second try is fine.
#[tokio::test]
async fn a_write_can_meet_another_one() {
    let sim = Datto::of(60).await;
    let path = format!("/v2/device/{}/udf", sim.device("device"));
    let conflict = FaultKind::Status { status: 409 };
    sim.server.control().set_fault(Fault::new("/v2/device/<deviceUid>/udf", conflict).times(1));
    let first = sim.write("POST", &path, &json!({ "udf9": "x" })).await.unwrap();
    assert!(first.status == 409 && first.json()["errorMessage"].is_string());
    done(&sim, "POST", &path, json!({ "udf9": "x" })).await;
}

/// §6: a move is immediate.
#[tokio::test]
async fn devices_move_between_sites() {
    let sim = Datto::of(120).await;
    let uid = sim.device("device");
    let before = sim.json(&format!("/v2/device/{uid}")).await;
    let sites = sim.server.control().sites();
    let other = sites.iter().find(|site| before["siteUid"] != site.uid.as_str()).unwrap();
    done(&sim, "PUT", &format!("/v2/device/{uid}/site/{}", other.uid), Value::Null).await;
    assert_eq!(sim.json(&format!("/v2/device/{uid}")).await["siteName"], other.name.as_str());
}

/// §8: PUT creates, POST replaces; what is left out is cleared. A proxy comes back with its password.
#[tokio::test]
async fn sites_are_created_and_replaced() {
    let sim = Datto::of(30).await;
    let new = json!({ "name": "Kanton Süd", "description": "x", "notes": "y", "onDemand": false });
    let site = sim.write("PUT", "/v2/site", &new).await.unwrap().json();
    let path = format!("/v2/site/{}", site["uid"].as_str().unwrap());
    let changed = sim.write("POST", &path, &json!({ "name": "Kanton Nord" })).await.unwrap().json();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Kanton Nord"), &Value::Null));
    assert_eq!(sim.write("POST", &path, &json!({ "notes": "no name" })).await.unwrap().status, 400);
    let proxy = json!({ "host": "p", "port": 3128, "type": "http", "username": "u", "password": "secret" });
    sim.write("POST", &format!("{path}/settings/proxy"), &proxy).await.unwrap();
    assert_eq!(sim.json(&path).await["proxySettings"]["password"], "secret");
    let remove =
        async || sim.write("DELETE", &format!("{path}/settings/proxy"), &Value::Null).await.unwrap().status;
    assert_eq!((remove().await, remove().await), (200, 204), "the second time there was none");
}

/// §8: variables: creation answers no id, so they are listed again.
#[tokio::test]
async fn variables_are_written_and_listed() {
    let sim = Datto::of(30).await;
    let site = sim.server.control().sites()[0].uid.clone();
    for base in ["/v2/account".to_owned(), format!("/v2/site/{site}")] {
        done(&sim, "PUT", &format!("{base}/variable"), json!({ "name": "N", "value": "1", "masked": false }))
            .await;
        let find = async || {
            let rows = sim.walk(&format!("{base}/variables"), "variables").await;
            rows.into_iter().find(|row| row["name"] == "N")
        };
        let made = find().await.unwrap();
        let path = format!("{base}/variable/{}", made["id"]);
        done(&sim, "POST", &path, json!({ "name": "N", "value": "2" })).await;
        assert_eq!(find().await.unwrap()["value"], "2");
        done(&sim, "DELETE", &path, Value::Null).await;
        assert_eq!(find().await, None);
    }
}

/// §9: resolving has no body, moves the alert to the other list, and stays as it was the second time; muting is nothing.
#[tokio::test]
async fn alerts_are_resolved_once() {
    let sim = Datto::of(120).await;
    let open = sim.walk("/v2/account/alerts/open", "alerts").await;
    let uid = open[0]["alertUid"].as_str().unwrap().to_owned();
    done(&sim, "POST", &format!("/v2/alert/{uid}/mute"), Value::Null).await;
    assert_eq!(sim.json(&format!("/v2/alert/{uid}")).await["muted"], open[0]["muted"]);
    done(&sim, "POST", &format!("/v2/alert/{uid}/resolve"), Value::Null).await;
    let resolved = sim.json(&format!("/v2/alert/{uid}")).await;
    assert_eq!((&resolved["resolved"], &resolved["resolvedBy"]), (&json!(true), &json!("api-admin")));
    done(&sim, "POST", &format!("/v2/alert/{uid}/resolve"), Value::Null).await;
    assert_eq!(sim.json(&format!("/v2/alert/{uid}")).await, resolved);
    assert_eq!(sim.walk("/v2/account/alerts/open", "alerts").await.len(), open.len() - 1);
    assert_eq!(sim.write("POST", "/v2/alert/none/resolve", &Value::Null).await.unwrap().status, 404);
}

/// §10: the flat form is refused; a job goes from pending over running to its end, with output as lists.
#[tokio::test]
async fn quick_jobs_live_and_end() {
    let sim = Datto::start(Config { job_millis: 60_000, ..Config::sized(60) }).await;
    let control = sim.server.control();
    let uid = sim.device("device");
    let path = format!("/v2/device/{uid}/quickjob");
    let service = component(&sim.json("/v2/account/components").await, "Restart Service");
    let flat = json!({ "jobName": "x", "componentUid": service["uid"], "variables": {} });
    let refused = sim.write("PUT", &path, &flat).await.unwrap();
    assert_eq!(
        (refused.status, refused.json()["errorMessage"].as_str()),
        (400, Some("Failed to read request"))
    );
    let variables = json!([{ "name": "serviceName", "value": "W32Time" }]);
    let right = json!({ "jobName": "tool – anna – 7", "jobComponent": { "componentUid": service["uid"], "variables": variables } });
    let made = sim.write("PUT", &path, &right).await.unwrap().json();
    assert_eq!(
        (&made["job"]["status"], &made["jobComponents"][0]["variables"]),
        (&json!("active"), &variables)
    );
    let job = made["job"]["uid"].as_str().unwrap().to_owned();
    let output = JobOutput { status: "Failure".to_owned(), stdout: "out".to_owned(), stderr: String::new() };
    control.set_job_output(&job, output).unwrap();
    let results = format!("/v2/job/{job}/results/{uid}");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(sim.json(&results).await["jobDeploymentStatus"].as_str().unwrap().to_owned());
        control.advance(61);
    }
    assert_eq!(seen, ["Pending", "Running", "Failure"]);
    assert_eq!(sim.json(&format!("/v2/job/{job}")).await["status"], "completed");
    let ended = sim.json(&results).await;
    assert_eq!(ended["componentResults"][0]["componentStatus"], "Failure");
    assert!(ended.get("exitCode").is_none(), "there is none");
    assert_eq!(sim.json(&format!("{results}/stdout")).await[0]["stdData"], "out");
    assert_eq!(sim.json(&format!("{results}/stderr")).await, json!([]));
    let log = sim.json("/v2/activity-logs?categories=job").await;
    assert!(log["activities"].to_string().contains("tool – anna – 7"));
}

/// §10: a device that is offline leaves the job pending, without results, until the job expires.
#[tokio::test]
async fn jobs_of_offline_devices_wait_and_expire() {
    let token_life = std::time::Duration::from_secs(30 * 86_400);
    let sim = Datto::start(Config { token_life, ..Config::sized(60) }).await;
    let control = sim.server.control();
    let uid = sim.device("device");
    control.silence(&uid).unwrap();
    let service = component(&sim.json("/v2/account/components").await, "Reboot Device");
    let body = json!({ "jobName": "x", "jobComponent": { "componentUid": service["uid"] } });
    let made = sim.write("PUT", &format!("/v2/device/{uid}/quickjob"), &body).await.unwrap().json();
    let results = format!("/v2/job/{}/results/{uid}", made["job"]["uid"].as_str().unwrap());
    assert_eq!(sim.get(&results).await.status, 404, "not picked up yet");
    control.advance(8 * 86_400);
    assert_eq!(sim.json(&results).await["jobDeploymentStatus"], "Expired");
}

/// §10: an answer that is lost does not undo the job: a retry runs the script twice.
#[tokio::test]
async fn a_retry_after_a_lost_answer_makes_a_second_job() {
    let sim = Datto::of(60).await;
    let control = sim.server.control();
    let path = format!("/v2/device/{}/quickjob", sim.device("device"));
    let service = component(&sim.json("/v2/account/components").await, "Reboot Device");
    let body = json!({ "jobName": "once", "jobComponent": { "componentUid": service["uid"] } });
    control.set_fault(Fault::new("/v2/device/<deviceUid>/quickjob", FaultKind::CloseBeforeAnswer).times(1));
    assert!(sim.write("PUT", &path, &body).await.is_err());
    assert_eq!(sim.write("PUT", &path, &body).await.unwrap().status, 200);
    let log = sim.json("/v2/activity-logs?categories=job").await;
    assert_eq!(number(&log, "/pageDetails/count"), 2);
}

/// §14: HTML in place of JSON, gateways, empty lists, bad rows: on every route.
#[tokio::test]
async fn faults_look_like_this_vendor() {
    let sim = Datto::of(60).await;
    let control = sim.server.control();
    control.set_malformed_row(false);
    let path = "/v2/account/devices";
    let struck = async |kind: FaultKind| {
        control.clear_faults();
        control.set_fault(Fault::new(path, kind));
        sim.get(path).await
    };
    let html = struck(FaultKind::Dashboard).await;
    assert!(html.status == 200 && html.text.contains("<title>Datto RMM</title>"));
    let gateway = struck(FaultKind::Status { status: 504 }).await;
    assert!(gateway.status == 504 && gateway.text.starts_with("<!DOCTYPE"));
    let broken = struck(FaultKind::Status { status: 500 }).await;
    assert!(broken.status == 500 && broken.json()["errorMessage"].is_string());
    let empty = struck(FaultKind::EmptyList).await.json();
    assert_eq!((number(&empty, "/pageDetails/totalCount"), &empty["devices"]), (0, &json!([])));
    let spoiled = struck(FaultKind::BadRow).await.json();
    assert!(spoiled["devices"].as_array().unwrap().iter().filter(|row| row["uid"].is_number()).count() == 1);
    assert!(serde_json::from_str::<Value>(&struck(FaultKind::TruncatedJson).await.text).is_err());
    control.clear_faults();
    control.set_fault(Fault::new("/auth/oauth/token", FaultKind::Dashboard));
    assert!(sim.ask_token(&[]).await.text.starts_with("<!DOCTYPE"), "on a release day");
}
