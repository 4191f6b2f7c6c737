//! Addresses that must not be reached, in every spelling. A listener on loopback counts connections: there are none.

use std::net::IpAddr;
use std::sync::Arc;

use outbound::{
    DenyReason, EgressRules, HttpClient, HttpErrorKind, Lookup, LookupFuture, Request, Sent, Url,
};

use super::support::{Script, answer, error_of, options, plain_server, rules};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Loopback and 0.0.0.0, which on Linux means this machine.
const THIS_MACHINE: [&str; 44] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "127.0.0.01",
    "0177.0.0.1",
    "0177.0.1",
    "0177.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "0X7F.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f000001",
    "0x000000007f000001",
    "2130706433",
    "017700000001",
    "00000000017700000001",
    "127.2.3.4",
    "127.255.255.255",
    "0",
    "0.0",
    "0.0.0.0",
    "0x0",
    "00",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "１２７.0.0.1",
    "127。0。0。1",
];

const METADATA: [&str; 42] = [
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "169.254.170.2",
    "169.254.0.1",
    "169.254.255.255",
    "100.100.100.200",
    "0x64646464c8",
    "0x646464c8",
    "168.63.129.16",
    "192.0.0.192",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[2001:0:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "[fd00:0ec2:0:0:0:0:0:0254]",
    "[fd20:ce::254]",
    "[fe80::1]",
    "[fe80::a9fe:a9fe]",
    "[febf:ffff::1]",
    "metadata",
    "METADATA",
    "metadata.",
    "metadata.google.internal",
    "metadata.google.internal.",
    "Metadata.Google.Internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "ｍetadata.google.internal",
];

const INTERNAL: [&str; 42] = [
    "10.0.0.1",
    "10.1",
    "0xa.1",
    "012.1",
    "167772161",
    "0x0a000001",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "0xac.0x10.1",
    "2886729729",
    "192.168.0.1",
    "192.168.1",
    "0300.0250.1",
    "3232235521",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "240.0.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "0xffffffff",
    "4294967295",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "[ff05::2]",
    "[2001:db8::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:c0a8:1]",
    "[64:ff9b::a00:1]",
    "[2002:c0a8:1::]",
    "[2002:808:808::1]",
    "[fec0::1]",
    "[100::1]",
    "[3fff::1]",
    "[2600::5efe:a00:1]",
    "[4000::1]",
];

/// Names that resolve to refused addresses, see `Names`.
const NAMES: [&str; 12] = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "127.0.0.1.nip.test",
    "loop6.test",
    "mapped.test",
    "meta.test",
    "private.test",
    "zero.test",
    "mix.test",
    "bücher.test",
];

struct Names;

impl Lookup for Names {
    fn lookup(&self, host: &str) -> LookupFuture {
        let found: &[&str] = match host {
            "loop6.test" => &["::1"],
            "mapped.test" => &["::ffff:127.0.0.1"],
            "meta.test" => &["169.254.169.254"],
            "private.test" => &["10.0.0.1"],
            "zero.test" => &["0.0.0.0", "::"],
            "mix.test" => &["127.0.0.1", "169.254.169.254", "fd00:ec2::254", "10.0.0.1"],
            _ => &["127.0.0.1"],
        };
        let found: Vec<IpAddr> = found.iter().map(|ip| ip.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn client(rules: EgressRules) -> HttpClient {
    let mut options = options();
    options.resolver_override = Some(Arc::new(Names));
    HttpClient::new(rules, options).unwrap()
}

/// True if it was refused before anything left; a URL that does not even parse is.
async fn is_refused(client: &HttpClient, text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return true };
    let error = error_of(client, Request::get(url)).await;
    let refused = matches!(error.kind, HttpErrorKind::Denied(_) | HttpErrorKind::InvalidUrl(_));
    assert!(refused, "{text}: {error:?}");
    error.sent == Sent::No
}

#[tokio::test]
async fn no_spelling_reaches_a_refused_address() {
    let server = plain_server(vec![answer(OK)]).await;
    let port = server.port();
    let client = client(rules(&[]));
    let (mut tried, mut parsed) = (0, 0);
    for host in THIS_MACHINE.into_iter().chain(METADATA).chain(INTERNAL).chain(NAMES) {
        for url in [format!("http://{host}:{port}/"), format!("https://{host}:{port}/latest/meta-data?x=1")] {
            assert!(is_refused(&client, &url).await, "{url}");
            tried += 1;
            parsed += usize::from(Url::parse(&url).is_ok());
        }
    }
    for url in odd_urls(port) {
        assert!(is_refused(&client, &url).await, "{url}");
        tried += 1;
    }
    assert!(tried >= 300 && parsed >= 250, "{tried} tried, {parsed} of them parse");
    println!("{tried} urls, {parsed} of the table parse");
    assert_eq!(server.connections(), 0);
}

fn odd_urls(port: u16) -> Vec<String> {
    let with_port = [
        "http://example.com@127.0.0.1:PORT/",
        "http://user:pw@127.0.0.1:PORT/",
        "http://@127.0.0.1:PORT/",
        "http://127.0.0.1:PORT#@example.com/",
        "http://127.0.0.1:PORT\\@example.com/",
        "http:127.0.0.1:PORT/",
        "http:\\\\127.0.0.1:PORT/",
        "http:///127.0.0.1:PORT/",
        "http://127.0.0.1:PORT/?@example.com",
        "http://%31%32%37.0.0.1:PORT/",
        "http://127%2e0%2e0%2e1:PORT/",
        "http://[::ffff:127.0.0.1%25lo]:PORT/",
        "http://[::1%25lo]:PORT/",
        "http://127.0.0.1%00.example.com:PORT/",
        "ht\ttp://127.0.0.1:PORT/",
        "http://127.0.0\n.1:PORT/",
        "http://①②⑦.⓪.⓪.①:PORT/",
        "http://loc\u{ad}alhost:PORT/",
        "http://ⓛocalhost:PORT/",
        "ftp://127.0.0.1:PORT/",
        "file://127.0.0.1/etc/passwd",
        "gopher://127.0.0.1:PORT/_x",
        "data:text/plain,hello",
        "unix:/run/docker.sock",
        "ws://127.0.0.1:PORT/",
        "http://127.0.0.1:0/",
        "http://256.0.0.1:PORT/",
        "http://1.2.3.4.5:PORT/",
    ];
    with_port.iter().map(|url| url.replace("PORT", &port.to_string())).collect()
}

#[tokio::test]
async fn listing_everything_never_opens_metadata() {
    let client = client(rules(&["0.0.0.0/0", "::/0"]));
    for host in
        METADATA.into_iter().chain(["meta.test", "zero.test", "0", "[::]", "[::ffff:0.0.0.0]", "224.0.0.1"])
    {
        assert!(is_refused(&client, &format!("http://{host}/")).await, "{host}");
    }
}

#[tokio::test]
async fn listed_address_and_port_is_reached_in_every_spelling() {
    let server = plain_server(vec![answer(OK)]).await;
    let port = server.port();
    let client = client(rules(&[&format!("127.0.0.1/32:{port}")]));
    let spellings =
        ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:7f00:1]", "localhost", "mapped.test", "mix.test"];
    for (n, host) in spellings.into_iter().enumerate() {
        let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
        let response = client.send(Request::get(url)).await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), "ok", "{host}");
        assert_eq!(server.connections(), n + 1, "{host}");
    }
    let other = plain_server(vec![answer(OK)]).await;
    for host in ["127.0.0.1", "localhost"] {
        assert!(is_refused(&client, &format!("http://{host}:{}/", other.port())).await);
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn own_listener_is_refused_although_listed() {
    let server = plain_server(vec![answer(OK)]).await;
    let everywhere = format!("0.0.0.0:{}", server.port()).parse().unwrap();
    for rules in [
        rules(&["127.0.0.0/8", "::1"]).deny_listener(server.addr),
        rules(&["127.0.0.0/8", "::1"]).deny_listener(everywhere),
    ] {
        let client = client(rules);
        for host in ["127.0.0.1", "localhost", "mapped.test", "[::ffff:127.0.0.1]"] {
            let url = Url::parse(&format!("http://{host}:{}/", server.port())).unwrap();
            let error = error_of(&client, Request::get(url)).await;
            let HttpErrorKind::Denied(denied) = &error.kind else { panic!("{error:?}") };
            assert_eq!((denied.reason, denied.config_line()), (DenyReason::OwnListener, None));
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn rebinding_name_is_checked_again_for_each_connection() {
    let server =
        plain_server(vec![answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")])
            .await;
    let script = Script::new(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let mut options = options();
    options.resolver_override = Some(script.clone());
    // The listener stands in for the public address: a test has no other it may connect to.
    let client = HttpClient::new(rules(&[&format!("127.0.0.1/32:{}", server.port())]), options).unwrap();
    let url = Url::parse(&format!("http://rebind.test:{}/", server.port())).unwrap();
    client.send(Request::get(url.clone())).await.unwrap().bytes().await.unwrap();
    let error = error_of(&client, Request::get(url)).await;
    let HttpErrorKind::Denied(denied) = &error.kind else { panic!("{error:?}") };
    assert_eq!((denied.addr.to_string().as_str(), denied.reason), ("169.254.169.254", DenyReason::Metadata));
    assert_eq!((error.sent, script.asked(), server.connections()), (Sent::No, 2, 1));
}

#[tokio::test]
async fn rebinding_between_a_public_check_and_use_is_seen() {
    let script = Script::new(&[&["169.254.169.254"]]);
    let mut options = options();
    options.resolver_override = Some(script.clone());
    let client = HttpClient::new(rules(&[]), options).unwrap();
    // A check made beforehand (a public answer) changes nothing: what counts is the answer used for connecting.
    assert_eq!(client.rules().check("93.184.215.14".parse().unwrap(), 80), Ok(()));
    let error = error_of(&client, Request::get(Url::parse("http://rebind.test/").unwrap())).await;
    assert!(matches!(error.kind, HttpErrorKind::Denied(_)), "{error:?}");
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn refusal_names_the_line_to_add() {
    let client = client(rules(&[]));
    let error =
        error_of(&client, Request::get(Url::parse("https://private.test/?token=secret").unwrap())).await;
    let HttpErrorKind::Denied(denied) = &error.kind else { panic!("{error:?}") };
    assert_eq!(denied.config_line().as_deref(), Some("outbound.allow = [\"10.0.0.1/32:443\"]"));
    assert_eq!(
        error.to_string(),
        "`10.0.0.1:443` is a private address and is not listed in `outbound.allow`"
    );
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn ports_are_judged_apart_for_one_name_at_the_same_time() {
    let open = plain_server(vec![answer(OK)]).await;
    let closed = plain_server(vec![answer(OK)]).await;
    let client = client(rules(&[&format!("127.0.0.1/32:{}", open.port())]));
    let to = |port: u16| Request::get(Url::parse(&format!("http://localhost:{port}/")).unwrap());
    for _ in 0..20 {
        let (yes, no) = tokio::join!(client.send(to(open.port())), client.send(to(closed.port())));
        assert!(yes.is_ok());
        assert!(matches!(no.unwrap_err().kind, HttpErrorKind::Denied(_)));
    }
    assert_eq!(closed.connections(), 0);
}
