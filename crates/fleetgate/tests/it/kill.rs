//! The power plug: a sync of 2,000 machines goes on after the process was killed, as often as it likes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use simulator::tacticalrmm::Server as Rmm;
use store::job::{Claim, Queue};

use crate::{
    api::Api,
    home::{Home, Server, now},
    rmm,
};

const AGENTS: usize = 2_000;

mod a_killed_sync_goes_on {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        story(Home::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        story(Home::postgres().await).await;
    }
}

async fn story(mut home: Home) {
    let rmm = rmm::start(AGENTS, 12, Duration::from_millis(40)).await;
    rmm.control().warm();
    let rmm::Connected { server, token, api, integration } = rmm::connect(&mut home, &rmm).await;
    let run = request(&api, &integration).await;
    server.kill();

    // At several moments: before the first machine, after it, in the middle, near the end.
    for done in [0, 1, 700, 1_200] {
        let server = restart(&home).await;
        let api = server.api(token.as_str());
        let is_there =
            |run: &Value| run["state"] != "queued" && run["progress"]["done"].as_u64().unwrap() >= done;
        let seen = api.run_until(&run, is_there).await;
        assert_eq!(seen["state"], "running", "there is something left to kill: {seen}");
        server.kill();
    }

    let server = restart(&home).await;
    let api = server.api(token.as_str());
    let ended = api.end_of(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    check_register(&api, &rmm).await;
    check_stop(&home, server, &token, &rmm, &integration).await;
}

async fn request(api: &Api, integration: &str) -> String {
    let path = format!("/integrations/{integration}/sync");
    let run = api.post(&path, &json!({ "kind": "devices" })).await.is(202);
    run["id"].as_str().unwrap().to_owned()
}

/// Starts again when the leases of the killed process have ended: time comes as a parameter, nobody waits for it.
async fn restart(home: &Home) -> Server {
    let store = home.store().await;
    let nothing = Claim { owner: "test", kinds: &[], most: 0, lease: Duration::ZERO };
    store.claim(&nothing, now() + Duration::from_secs(61)).await.unwrap();
    store.close().await;
    home.start()
}

/// Every machine once, at its client.
async fn check_register(api: &Api, rmm: &Rmm) {
    let assets = api.get("/assets.json").await;
    let mut names: Vec<&str> =
        assets.as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    let agents = rmm.control().agents(None);
    let mut expected: Vec<&str> = agents.iter().map(|agent| agent.hostname.as_str()).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names.len(), AGENTS);
    assert_eq!(names, expected);
    let clients = api.all("/clients", 200).await;
    let count = |client: &Value| {
        (client["name"].as_str().unwrap().to_owned(), client["asset_count"].as_u64().unwrap())
    };
    let found: BTreeMap<String, u64> = clients.iter().map(count).collect();
    let at_rmm = rmm.control().clients();
    assert_eq!(found, at_rmm.iter().map(|client| (client.name.clone(), client.agents as u64)).collect());
}

/// Asked to stop, it ends in time with the job back in the queue; afterwards the run goes on to its end, and there is
/// nothing left to do.
async fn check_stop(home: &Home, server: Server, token: &str, rmm: &Rmm, integration: &str) {
    let changed = rmm.control().change_fraction(0.5);
    let api = server.api(token);
    let run = request(&api, integration).await;
    api.run_until(&run, |run| run["progress"]["done"].as_u64().unwrap() > 0).await;
    let (code, log) = server.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
    let store = home.store().await;
    let queue = store.queue_figures().await.unwrap();
    assert_eq!((queue.leased, queue.dead), (0, 0), "{queue:?}");
    assert!(queue.ready >= 1, "{queue:?}");
    store.close().await;

    let server = home.start();
    let api = server.api(token);
    let ended = api.end_of(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["counts"]["created"], 0, "{ended}");
    assert_eq!(ended["counts"]["updated"], changed, "{ended}");
    check_register(&api, rmm).await;
    let again = api.sync(integration, "devices", false).await;
    let counts = ["read", "created", "updated", "moved", "missing", "failed"]
        .map(|name| again["counts"][name].as_u64());
    assert_eq!(counts, [AGENTS as u64, 0, 0, 0, 0, 0].map(Some), "{again}");
    let (code, _) = server.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0));
}
