//! The suite that every provider passes.

use simulator::{
    faults::Fault,
    tacticalrmm::{Config, Server, start},
};

use super::{connection, with_secret};
use crate::{
    contract::{Subject, Trouble, Troubled, contract_suite},
    tacticalrmm::{API_KEY, TacticalRmm},
};

impl Troubled for Server {
    fn fault(&self, fault: Fault) {
        self.control().set_fault(fault);
    }

    fn calm(&self) {
        self.control().clear_faults();
    }
}

async fn subject() -> Subject {
    let config = Config { recorded: true, beta: false, time_scale: 0.01, ..Config::default() };
    let server = start(config).await.unwrap();
    let key = server.accounts().readonly_key.clone();
    Subject {
        provider: &TacticalRmm,
        connection: with_secret(connection(server.url()), API_KEY, &key),
        secrets: vec![key],
        trouble: Trouble {
            host: "/",
            organizations: "/clients/",
            devices: "/agents/",
            unauthorized: "{\"detail\":\"Invalid token.\"}",
            forbidden: "{\"detail\":\"You do not have permission to perform this action.\"}",
            repeated_page: None,
        },
        server: Box::new(server),
    }
}

contract_suite!(subject);
