//! What people paste, and what becomes of it.

use provider::{Offer, ReadUrl};

use crate::datto_rmm::url::{other_platforms, read_url};

const PINOTAGE: &str = "https://pinotage-api.centrastage.net/";

fn hosts() -> Vec<String> {
    vec!["datto-proxy.example.net".to_owned(), "127.0.0.1:8443".to_owned(), "intranet".to_owned()]
}

fn read(pasted: &str) -> ReadUrl {
    read_url(pasted, &hosts()).unwrap_or_else(|problem| panic!("{pasted}: {problem:?}"))
}

fn refused(pasted: &str) -> String {
    read_url(pasted, &hosts()).expect_err(pasted).code
}

#[test]
fn pasted_addresses_become_the_root_of_the_api() {
    for pasted in [
        "pinotage",
        " Pinotage\n",
        "pinotage-api",
        "`pinotage`",
        "pinotage-api.centrastage.net",
        "https://pinotage-api.centrastage.net",
        "http://pinotage-api.centrastage.net/",
        "https://pinotage-api.centrastage.net/api/v2/account?page=0",
        "https://pinotage-api.centrastage.net:443/api/swagger-ui/index.html#/",
        "HTTPS://PINOTAGE-API.CENTRASTAGE.NET.",
        "https://pinotage.rmm.datto.com/device/4711",
        "pinotage.rmm.datto.com",
        "https://pinotage.centrastage.net/csm/search?qs=x",
        "The API URL is <https://pinotage-api.centrastage.net>, thanks",
    ] {
        assert_eq!(read(pasted).url.as_str(), PINOTAGE, "{pasted}");
    }
    assert_eq!(read("https://devb-api.centrastage.net").url.as_str(), "https://devb-api.centrastage.net/");
    assert_eq!(read("https://staging.rmm.datto.com").url.as_str(), "https://staging-api.centrastage.net/");
}

#[test]
fn changes_are_told() {
    assert_eq!(read("https://pinotage-api.centrastage.net").notes, Vec::<String>::new());
    let told = |pasted: &str| read(pasted).notes.join(" ");
    assert_eq!(
        told("vidal"),
        "Took `vidal` for the platform: its API is at `https://vidal-api.centrastage.net`."
    );
    assert!(told("https://syrah.rmm.datto.com/").contains("console"));
    assert!(told("https://syrah.centrastage.net/csm/x").contains("`https://syrah-api.centrastage.net`"));
    assert!(told("http://syrah-api.centrastage.net").contains("Changed `http://` to `https://`"));
    assert!(told("https://syrah-api.centrastage.net:8443").contains("port"));
    let path = told("https://syrah-api.centrastage.net/api/v2/CANARY?token=CANARY");
    assert!(path.contains("`/api`") && !path.contains("CANARY"), "{path}");
}

#[test]
fn credentials_go_to_no_other_host() {
    for pasted in [
        "https://api.example.com",
        "https://centrastage.net.example.com",
        "https://evilcentrastage.net",
        "https://pinotage-api.centrastage.net.evil.example",
        "https://centrastage.net",
        "https://www.centrastage.net",
        "https://10.0.0.5",
        "https://[2001:db8::1]",
        "https://127.0.0.1:9443",
        "https://rmm.datto.com.example.com/",
    ] {
        assert_eq!(refused(pasted), "url_not_datto", "{pasted}");
    }
    assert_eq!(refused("https://user:CANARY@pinotage-api.centrastage.net"), "url_userinfo");
    assert_eq!(refused("https://pinotage-api.centrastage.net@evil.example"), "url_userinfo");
}

#[test]
fn hosts_of_the_operator_are_taken_as_they_are() {
    assert_eq!(read("https://datto-proxy.example.net/x").url.as_str(), "https://datto-proxy.example.net/");
    assert_eq!(read("DATTO-PROXY.example.net:9000").url.as_str(), "https://datto-proxy.example.net:9000/");
    assert_eq!(read("intranet").url.as_str(), "https://intranet/");
    assert_eq!(refused("localhost"), "url_platform_unknown");
    let plain = read("http://127.0.0.1:8443");
    assert_eq!(plain.url.as_str(), "http://127.0.0.1:8443/");
    let warning = plain.warning.unwrap();
    assert_eq!((warning.code.as_str(), warning.offer), ("plain_http", Some(Offer::AllowPlainHttp)));
    assert!(read("https://datto-proxy.example.net").warning.is_none());
}

#[test]
fn platform_is_never_guessed() {
    for (pasted, code) in [
        ("", "url_empty"),
        ("  \n ", "url_empty"),
        ("germany", "url_platform_unknown"),
        ("us-east", "url_platform_unknown"),
        ("https://rmm.datto.com", "url_console"),
        ("https://www.rmm.datto.com/login", "url_console"),
        ("https://a.b.rmm.datto.com", "url_console"),
        ("ftp://pinotage-api.centrastage.net", "url_scheme"),
        ("http://", "url_unreadable"),
        ("https://:443", "url_unreadable"),
        ("ABCDEFGHIJ0123456789abcdefghij01", "url_is_key"),
    ] {
        assert_eq!(refused(pasted), code, "{pasted}");
    }
}

#[test]
fn other_platforms_are_offered_for_one_of_them_only() {
    let others = other_platforms(&PINOTAGE.parse().unwrap());
    assert_eq!(others.len(), 5);
    assert!(others.contains(&"https://syrah-api.centrastage.net".to_owned()), "{others:?}");
    assert!(!others.iter().any(|url| url.contains("pinotage")));
    for address in
        ["https://devb-api.centrastage.net", "http://127.0.0.1:8443", "https://datto-proxy.example.net"]
    {
        assert_eq!(other_platforms(&address.parse().unwrap()), Vec::<String>::new());
    }
}
