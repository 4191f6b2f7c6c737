//! An integration opened for use: decrypted, in memory only.

use std::{collections::BTreeMap, fmt, sync::Arc};

use domain::{id::IntegrationId, integration::IntegrationSettings};
use outbound::HttpClient;
use secrecy::SecretString;
use url::Url;

use crate::Budget;

/// Decrypted secrets by their public names (`<provider>_api_key` …). Silent in `Debug`.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// Adds or replaces one.
    pub fn set(&mut self, name: impl Into<String>, secret: SecretString) {
        self.0.insert(name.into(), secret);
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, SecretString)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(iter: I) -> Self {
        Secrets(iter.into_iter().collect())
    }
}

/// All that varies from call to call: address, credentials, token, guarded HTTP client.
#[derive(Clone)]
pub struct Connection {
    /// Whose; none while a draft is tested before saving.
    pub integration: Option<IntegrationId>,
    /// Root address of the API, as [`crate::Provider::read_url`] made it. Credentials belong to its scheme, host and port.
    pub base_url: Url,
    /// Id of the auth mode.
    pub auth_mode: String,
    /// Credentials for reading.
    pub secrets: Secrets,
    /// The token of the last sign-in, where the mode has one.
    pub token: Option<SecretString>,
    /// What was set for this integration.
    pub settings: IntegrationSettings,
    /// Asked before each request where the RMM limits them.
    pub budget: Arc<dyn Budget>,
    /// The client that everything leaving passes.
    pub http: HttpClient,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("integration", &self.integration)
            .field("host", &self.base_url.host_str())
            .field("auth_mode", &self.auth_mode)
            .finish_non_exhaustive()
    }
}
