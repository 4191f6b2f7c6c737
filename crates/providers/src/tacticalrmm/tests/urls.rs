//! What people paste as the address.

use provider::Offer;

use crate::tacticalrmm::url::{guess_api, read_url};

#[track_caller]
fn check(pasted: &str, expected: &str) {
    match read_url(pasted) {
        Ok(read) => assert_eq!(read.url.as_str(), expected, "{pasted}"),
        Err(problem) => panic!("{pasted}: {}", problem.message),
    }
}

#[track_caller]
fn check_refused(pasted: &str, code: &str) {
    let problem = read_url(pasted).err().map(|problem| problem.code);
    assert_eq!(problem.as_deref(), Some(code), "{pasted}");
}

#[test]
fn pasted_addresses_become_the_root_of_the_api() {
    let api = "https://api.example.com/";
    for pasted in [
        "api.example.com",
        "https://api.example.com",
        "HTTPS://API.EXAMPLE.COM/",
        "  https://api.example.com/agents/?client=1#top \n",
        "\"https://api.example.com\"",
        "<https://api.example.com/>",
        "`api.example.com`",
        "“https://api.example.com”,",
        "(https://api.example.com)",
        "api.example.com/core/version",
        "api.example.com.",
        "https://api.example.com:443/",
        "//api.example.com",
        "https:/api.example.com",
        "https:api.example.com",
        "https:\\\\api.example.com\\",
        "API URL: https://api.example.com (production)",
        "\u{feff}api.example.com\u{200b}",
        "our server api.example.com",
    ] {
        check(pasted, api);
    }
    check("api.example.com:8443/x", "https://api.example.com:8443/");
    check("http://api.example.com", "http://api.example.com/");
    check("http://127.0.0.1:8000", "http://127.0.0.1:8000/");
    check("192.168.1.5", "https://192.168.1.5/");
    check("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/");
    check("2001:db8::1", "https://[2001:db8::1]/");
    check("https://api.müller.example", "https://api.xn--mller-kva.example/");
    check("localhost:8000", "https://localhost:8000/");
}

#[test]
fn what_cannot_be_an_address_is_refused_with_its_own_code() {
    check_refused("", "url_empty");
    check_refused(" \n ", "url_empty");
    check_refused("\"\"", "url_empty");
    check_refused("https://me:secret@api.example.com", "url_userinfo");
    check_refused("me@example.com", "url_userinfo");
    check_refused("ftp://api.example.com", "url_scheme");
    check_refused("wss://api.example.com", "url_scheme");
    check_refused("where is my server", "url_unreadable");
    check_refused("https://", "url_unreadable");
    check_refused("https://api.example.com:0", "url_unreadable");
    check_refused("https://api.example.com:99999", "url_unreadable");
    check_refused("...", "url_unreadable");
    check_refused("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "url_is_key");
}

#[test]
fn refused_secrets_are_not_repeated() {
    for pasted in ["https://me:hunter2@api.example.com/", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"] {
        let problem = read_url(pasted).unwrap_err();
        let text = format!("{problem:?}");
        assert!(!text.contains("hunter2") && !text.contains("ABCDEFGH"), "{text}");
    }
}

#[test]
fn changes_are_told() {
    let notes = |pasted: &str| read_url(pasted).unwrap().notes;
    assert_eq!(notes("https://api.example.com"), Vec::<String>::new());
    assert_eq!(notes("api.example.com"), ["Added `https://`."]);
    assert_eq!(
        notes("https://api.example.com/login?x=1"),
        ["Left out the path `/login`: Tactical's API has none.", "Left out what follows the `?`.",]
    );
    assert_eq!(notes("https://api.example.com."), ["Left out the dot at the end of the name."]);
    assert!(notes("https://10.0.0.1")[0].contains("IP address"));
}

#[test]
fn dashboard_names_get_an_offer_and_are_not_changed() {
    let read = read_url("https://rmm.example.com/login").unwrap();
    assert_eq!(read.url.as_str(), "https://rmm.example.com/");
    let warning = read.warning.unwrap();
    assert_eq!(warning.code, "looks_like_dashboard");
    assert_eq!(warning.offer, Some(Offer::UseUrl { url: "https://api.example.com".to_owned() }));
    assert!(read_url("https://api.example.com").unwrap().warning.is_none());
    let plain = read_url("http://api.example.com").unwrap().warning.unwrap();
    assert_eq!((plain.code.as_str(), plain.offer), ("plain_http", Some(Offer::AllowPlainHttp)));
}

#[test]
fn guesses_go_from_dashboard_to_api() {
    let guess = |url: &str| guess_api(&url.parse().unwrap(), "https").map(|url| url.to_string());
    assert_eq!(guess("https://rmm.example.com/x").as_deref(), Some("https://api.example.com/"));
    assert_eq!(guess("https://mesh.example.com").as_deref(), Some("https://api.example.com/"));
    assert_eq!(guess("https://example.com:8443").as_deref(), Some("https://api.example.com:8443/"));
    assert_eq!(guess("https://api.example.com"), None);
    assert_eq!(guess("https://10.0.0.1"), None);
    assert_eq!(guess("https://[::1]"), None);
}
