//! The command line's client of our own REST interface. It knows paths and problem documents, no wording of tables.
//!
//! The token goes nowhere but to the named server: redirects are not followed, and plain http is refused for every
//! host but this machine unless asked for.

mod address;
mod pages;
mod problem;

use std::time::Duration;

use clap::Args;
use reqwest::{Method, RequestBuilder, Response, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

pub(crate) use self::pages::{Listed, Paging};
use crate::{
    cli::{exit::Exit, failure::Failure},
    prompt::SecretSource,
};

/// Whose data, and which server. Options of all user commands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server (for the commands that talk to one)")]
pub(crate) struct ApiFlags {
    /// Address of the Fleetgate server [default: http://127.0.0.1:8800] [env: FLEETGATE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// File with the access token, or `-` for standard input; else `FLEETGATE_TOKEN` is used.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
    /// Send the token over plain http to another machine. Whoever listens in between can read it.
    #[arg(long, global = true)]
    pub(crate) insecure_http: bool,
}

/// Names and values of a query.
pub(crate) type Query = Vec<(&'static str, String)>;

/// Where a server on this machine answers unless told otherwise.
const USUAL_SERVER: &str = "http://127.0.0.1:8800";

/// Long enough for a test at a slow RMM, which the server limits itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(150);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// A server and a token.
#[derive(Debug)]
pub(crate) struct ApiClient {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

/// A good answer: as written, and read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// As the server wrote it.
    pub(crate) text: String,
    /// Read; null for an empty answer.
    pub(crate) value: Value,
}

impl ApiClient {
    /// Reads address and token; sends nothing yet.
    pub(crate) fn new(flags: &ApiFlags) -> Result<ApiClient, Failure> {
        let server = flags.server.clone().or_else(|| of_environment("FLEETGATE_URL"));
        let base = address::read(server.as_deref().unwrap_or(USUAL_SERVER))?;
        address::check_secrecy(&base, flags.insecure_http)?;
        let token = read_token(flags)?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("fleetgate-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .gzip(true)
            .build()
            .map_err(|error| {
                Failure::new(Exit::Failure, "tls", format!("the HTTP client cannot be set up: {error}"))
            })?;
        Ok(ApiClient { http, base, token })
    }

    /// Asks.
    pub(crate) async fn get(&self, path: &[&str], query: &Query) -> Result<Answer, Failure> {
        self.answer(self.request(Method::GET, path, query).timeout(ANSWER_LIMIT)).await
    }

    /// Sends `body` and asks for the answer.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.answer(self.request(Method::POST, path, &Query::new()).timeout(ANSWER_LIMIT).json(body)).await
    }

    /// Sets what `path` names.
    pub(crate) async fn put(&self, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.answer(self.request(Method::PUT, path, &Query::new()).timeout(ANSWER_LIMIT).json(body)).await
    }

    /// Changes what `path` names.
    pub(crate) async fn patch(&self, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.answer(self.request(Method::PATCH, path, &Query::new()).timeout(ANSWER_LIMIT).json(body)).await
    }

    /// Removes what `path` names.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.answer(self.request(Method::DELETE, path, &Query::new()).timeout(ANSWER_LIMIT)).await
    }

    /// Sends a CSV file.
    pub(crate) async fn post_csv(
        &self,
        path: &[&str],
        query: &Query,
        csv: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let request =
            self.request(Method::POST, path, query).header(header::CONTENT_TYPE, "text/csv; charset=utf-8");
        self.answer(request.timeout(ANSWER_LIMIT).body(csv)).await
    }

    /// Opens a file of any length. The caller reads it piece by piece.
    pub(crate) async fn download(&self, path: &[&str], query: &Query) -> Result<Response, Failure> {
        let response = self.send(self.request(Method::GET, path, query)).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// What went wrong while a body was read.
    pub(crate) fn broken(&self, error: reqwest::Error) -> Failure {
        problem::unreachable(&self.base, error)
    }

    fn request(&self, method: Method, path: &[&str], query: &Query) -> RequestBuilder {
        let url = address::endpoint(&self.base, path, query);
        self.http.request(method, url).bearer_auth(self.token.expose_secret())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| problem::unreachable(&self.base, error))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let text = response.text().await.map_err(|error| self.broken(error))?;
        if text.trim().is_empty() {
            return Ok(Answer { text: "{}".to_owned(), value: Value::Null });
        }
        let value = serde_json::from_str(&text).map_err(|_| problem::no_fleetgate(&self.base))?;
        Ok(Answer { text, value })
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        match response.text().await {
            Ok(text) => problem::from_answer(&self.base, status, location.as_deref(), &text),
            Err(error) => self.broken(error),
        }
    }
}

/// A variable; an empty one counts as not set.
fn of_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// `--token-file`, else `FLEETGATE_TOKEN`, else `FLEETGATE_TOKEN_FILE`.
fn read_token(flags: &ApiFlags) -> Result<SecretString, Failure> {
    let token = match &flags.token_file {
        Some(file) => token_of(file)?,
        None => match (of_environment("FLEETGATE_TOKEN"), of_environment("FLEETGATE_TOKEN_FILE")) {
            (Some(token), _) => SecretString::from(token),
            (None, Some(file)) => token_of(&file)?,
            (None, None) => return Err(no_token()),
        },
    };
    let token = SecretString::from(token.expose_secret().trim().to_owned());
    if header::HeaderValue::from_str(token.expose_secret()).is_err() {
        return Err(Failure::usage("the access token holds characters that no token has"));
    }
    Ok(token)
}

fn token_of(file: &str) -> Result<SecretString, Failure> {
    let source = if file == "-" { SecretSource::Stdin } else { SecretSource::File(file.into()) };
    source.read("the access token")
}

fn no_token() -> Failure {
    Failure::new(Exit::SignIn, "no_token", "there is no access token")
        .advise(
            "Make one on the server's machine: fleetgate token create --email YOU@EXAMPLE.COM --name NAME",
        )
        .advise("Then set FLEETGATE_TOKEN to it, or write it to a file and add `--token-file FILE`.")
}
