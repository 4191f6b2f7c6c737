//! The suite that every provider passes.

use provider::Provider;
use secrecy::{ExposeSecret, SecretString};
use simulator::{
    datto_rmm::{Config, Server, start},
    faults::Fault,
};

use super::{super::DattoRmm, connection};
use crate::{
    contract::{Subject, Trouble, Troubled, contract_suite},
    datto_rmm::{API_KEY, API_SECRET},
};

const PAGE: &str = "{\"pageDetails\":{\"count\":2,\"totalCount\":900,\"prevPageUrl\":null,\"nextPageUrl\":\"https://x/\"},\
                    \"devices\":[{\"uid\":\"a\",\"siteUid\":\"s\"},{\"uid\":\"b\",\"siteUid\":\"s\"}]}";

impl Troubled for Server {
    fn fault(&self, fault: Fault) {
        self.control().set_fault(fault);
    }

    /// A refusal counts against the limit, and a block outlives its cause.
    fn calm(&self) {
        self.control().clear_faults();
        self.control().reset_rate();
    }
}

async fn subject() -> Subject {
    let mut config = Config { malformed_row: false, ..Config::sized(700) };
    config.rate.reads = 100_000;
    let server = start(config).await.unwrap();
    let accounts = server.accounts().clone();
    let mut connection = connection(server.url());
    connection.secrets.set(API_KEY, SecretString::from(accounts.api_key.clone()));
    connection.secrets.set(API_SECRET, SecretString::from(accounts.api_secret.clone()));
    let signed_in = DattoRmm.sign_in(&connection, None).await.unwrap();
    let token = signed_in.token.expose_secret().to_owned();
    connection.token = Some(signed_in.token);
    Subject {
        provider: &DattoRmm,
        connection,
        secrets: vec![accounts.api_key, accounts.api_secret, token],
        trouble: Trouble {
            host: "/v2/system/status",
            organizations: "/v2/account/sites",
            devices: "/v2/account/devices",
            unauthorized: "{\"error\":\"invalid_token\",\"error_description\":\"Access token expired\"}",
            forbidden: "{\"errorMessage\":\"Access is denied\"}",
            repeated_page: Some(PAGE),
        },
        server: Box::new(server),
    }
}

contract_suite!(subject);
