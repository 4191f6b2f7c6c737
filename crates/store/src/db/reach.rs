//! One plain connection to PostgreSQL before the pool opens: a pool waits and then says only that it waited.
//!
//! What is wrong is told with host and port, and never with user name or password. A database that is not there yet is
//! not waited for: whoever starts the program starts it again.

use std::{io, time::Duration};

use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError},
};
use tokio::{net, time::timeout};

use crate::error::{Result, StoreError};

/// For name, connection and sign-in together.
const LIMIT: Duration = Duration::from_secs(5);

/// Oldest PostgreSQL that is tested, as its servers write it.
const MIN_POSTGRES: u32 = 150_000;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a PostgreSQL server cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
struct Unusable {
    sentence: String,
    #[source]
    cause: Option<BoxError>,
}

/// Connects and signs in once.
pub(super) async fn postgres(options: &PgConnectOptions) -> Result<()> {
    within(LIMIT, options).await
}

async fn within(limit: Duration, options: &PgConnectOptions) -> Result<()> {
    let place = place(options);
    let unusable = |sentence: String, cause: Option<BoxError>| {
        Err(StoreError::Unavailable(Box::new(Unusable { sentence, cause })))
    };
    let Ok(tried) = timeout(limit, try_once(options)).await else {
        let seconds = limit.as_secs();
        let sentence = format!(
            "`{place}` did not answer within {seconds} seconds; check the address, and firewalls in between"
        );
        return unusable(sentence, None);
    };
    let version = match tried {
        Ok(version) => version,
        Err(Failure::Name(error)) => {
            let host = options.get_host();
            let sentence = format!("the name `{host}` was not found; check its spelling in `database.url`");
            return unusable(sentence, Some(Box::new(error)));
        }
        Err(Failure::Connection(error)) => {
            return unusable(sentence(&place, options, &error), Some(Box::new(error)));
        }
    };
    match version {
        Some(version) if version < MIN_POSTGRES => {
            let (major, wanted) = (version / 10_000, MIN_POSTGRES / 10_000);
            unusable(
                format!(
                    "`{place}` is PostgreSQL {major}; Fleetgate needs {wanted} or newer: upgrade the server"
                ),
                None,
            )
        }
        Some(_) | None => Ok(()),
    }
}

enum Failure {
    Name(io::Error),
    Connection(sqlx::Error),
}

/// Answers the server's version, if it tells one.
async fn try_once(options: &PgConnectOptions) -> std::result::Result<Option<u32>, Failure> {
    if options.get_socket().is_none() {
        let host = options.get_host().trim_matches(['[', ']']);
        let _addresses = net::lookup_host((host, options.get_port())).await.map_err(Failure::Name)?;
    }
    let connection = PgConnection::connect_with(options).await.map_err(Failure::Connection)?;
    let version = connection.server_version_num();
    // It answered: whether it also says goodbye does not matter.
    let _ = connection.close().await;
    Ok(version)
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{}", folder.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn sentence(place: &str, options: &PgConnectOptions, error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => of_network(place, error.kind()),
        sqlx::Error::Database(error) => {
            let severity_and_code = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code);
            of_server(place, options, severity_and_code.unwrap_or_default())
        }
        sqlx::Error::Tls(_) => format!(
            "no secure connection to `{place}` could be agreed upon; check `sslmode` in `database.url` and the \
             certificate of the server"
        ),
        sqlx::Error::Protocol(_) => {
            format!("something answers at `{place}`, but not as PostgreSQL does; check host and port")
        }
        _ => format!("`{place}` could not be used; check `database.url`"),
    }
}

fn of_network(place: &str, kind: io::ErrorKind) -> String {
    use io::ErrorKind as K;
    match kind {
        K::ConnectionRefused | K::NotFound => {
            format!("nothing listens at `{place}`; check host and port, and that PostgreSQL is running")
        }
        K::PermissionDenied => format!("this user may not open `{place}`; check the rights of the socket"),
        K::HostUnreachable | K::NetworkUnreachable => {
            format!("there is no way through the network to `{place}`; check routing, VPN and firewall")
        }
        K::TimedOut => {
            format!("`{place}` did not answer in time; check the address, and firewalls in between")
        }
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
            format!("`{place}` closed the connection; check that PostgreSQL listens there, and its log")
        }
        _ => format!("the connection to `{place}` failed; check host and port"),
    }
}

/// By the class and code of PostgreSQL's documentation, appendix A. The server's own text names the user.
fn of_server(place: &str, options: &PgConnectOptions, code: &str) -> String {
    match code {
        "28P01" => format!("`{place}` refused the user name or the password; correct them in `database.url`"),
        "28000" => format!(
            "`{place}` lets this user in from here by no rule; check that the role exists, and `pg_hba.conf` there"
        ),
        "3D000" => {
            let name = options.get_database().unwrap_or("of the user's name");
            format!(
                "there is no database `{name}` at `{place}`; create it, or correct its name in `database.url`"
            )
        }
        "42501" => format!("`{place}` does not let this user into the database; grant CONNECT on it"),
        "53300" => format!("`{place}` has no connection left; raise `max_connections` there or close others"),
        "57P03" => format!("`{place}` is starting up or shutting down; try again in a moment"),
        _ => format!("`{place}` refused the connection (code {code}); its log names the reason"),
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, str::FromStr};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn options(port: u16) -> PgConnectOptions {
        let url = format!("postgres://CANARYUSER:CANARYPASS@127.0.0.1:{port}/register");
        PgConnectOptions::from_str(&url).unwrap()
    }

    async fn told(limit: Duration, port: u16) -> String {
        let error = within(limit, &options(port)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(current) = next {
            assert!(!current.to_string().contains("CANARY"), "{current}");
            next = current.source();
        }
        error.source().unwrap().to_string().replace(&port.to_string(), "5432")
    }

    /// One tagged message with its length.
    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    fn error_message(code: &str) -> Vec<u8> {
        message(b'E', format!("SFATAL\0VFATAL\0C{code}\0Mno\0\0").as_bytes())
    }

    fn welcome(version: &str) -> Vec<u8> {
        let parameter = message(b'S', format!("server_version\0{version}\0").as_bytes());
        [message(b'R', &[0; 4]), parameter, message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
    }

    /// A server that refuses TLS and answers the greeting with this.
    async fn server(answer: Vec<u8>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        crate::spawn::start(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 1024];
            stream.read_exact(&mut greeting[..8]).await.unwrap();
            stream.write_all(b"N").await.unwrap();
            let _some = stream.read(&mut greeting).await.unwrap();
            stream.write_all(&answer).await.unwrap();
            // Goodbye, or the other side closes.
            let _ = stream.read(&mut greeting).await;
        });
        port
    }

    /// A server of another kind, which answers whatever is said with a refusal.
    async fn web_server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        crate::spawn::start(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn server_that_is_not_there_is_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let expected =
            "nothing listens at `127.0.0.1:5432`; check host and port, and that PostgreSQL is running";
        assert_eq!(told(LIMIT, port).await, expected);
    }

    #[tokio::test]
    async fn silent_server_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = told(Duration::from_millis(50), port).await;
        assert!(told.starts_with("`127.0.0.1:5432` did not answer within 0 seconds"), "{told}");
    }

    #[tokio::test]
    async fn refusals_of_the_server_are_kept_apart() {
        for (code, says) in [
            ("28P01", "`127.0.0.1:5432` refused the user name or the password"),
            ("28000", "`127.0.0.1:5432` lets this user in from here by no rule"),
            ("3D000", "there is no database `register` at `127.0.0.1:5432`"),
            ("53300", "`127.0.0.1:5432` has no connection left"),
            ("57P03", "`127.0.0.1:5432` is starting up or shutting down"),
            ("XX000", "`127.0.0.1:5432` refused the connection (code XX000)"),
        ] {
            let told = told(LIMIT, server(error_message(code)).await).await;
            assert!(told.starts_with(says), "{told}");
        }
    }

    #[tokio::test]
    async fn old_server_is_refused_and_a_new_one_taken() {
        let told = told(LIMIT, server(welcome("14.9 (Debian)")).await).await;
        assert!(told.starts_with("`127.0.0.1:5432` is PostgreSQL 14; Fleetgate needs 15 or newer"), "{told}");
        let port = server(welcome("15.2")).await;
        within(LIMIT, &options(port)).await.unwrap();
    }

    #[tokio::test]
    async fn something_else_is_not_taken_for_postgresql() {
        let told = told(LIMIT, web_server().await).await;
        assert_eq!(
            told,
            "something answers at `127.0.0.1:5432`, but not as PostgreSQL does; check host and port"
        );
    }

    #[test]
    fn sockets_are_named_by_their_file() {
        let options = PgConnectOptions::from_str("postgres:///x?host=/run/postgresql").unwrap();
        assert_eq!(place(&options), "/run/postgresql/.s.PGSQL.5432");
        assert!(
            of_network(&place(&options), io::ErrorKind::NotFound).starts_with("nothing listens at `/run")
        );
    }

    mod postgres {
        use crate::{Location, StoreError, testing};

        #[tokio::test]
        async fn missing_database_is_named_without_its_user() {
            let there = testing::postgres().await;
            let Location::Server(url) = &there.location else { panic!("a server") };
            let (before, _) = url.rsplit_once('/').unwrap();
            let location = Location::Server(format!("{before}/no_such_database"));
            let error = crate::Store::open(&location, &there.root_key).await.err().unwrap();
            let StoreError::Unavailable(cause) = error else { panic!("{error}") };
            assert!(cause.to_string().starts_with("there is no database `no_such_database` at "), "{cause}");
        }
    }
}
