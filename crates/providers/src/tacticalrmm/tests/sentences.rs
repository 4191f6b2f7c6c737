//! The whole table of sentences: codes apart, fixes present, no secret, all of them in the document for admins.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use outbound::{Denied, DenyReason, HttpErrorKind};
use provider::{ErrorKind, Problem, ProviderError};

use crate::tacticalrmm::sentences::{self, Credential, Guess};

fn denied(reason: DenyReason, address: &str) -> HttpErrorKind {
    HttpErrorKind::Denied(Denied { addr: address.parse::<IpAddr>().unwrap(), port: 443, reason })
}

fn network_kinds() -> Vec<HttpErrorKind> {
    vec![
        HttpErrorKind::Dns { host: "api.example.com".to_owned() },
        denied(DenyReason::Private, "10.0.0.5"),
        denied(DenyReason::LinkLocal, "169.254.1.1"),
        HttpErrorKind::Refused,
        HttpErrorKind::Unreachable,
        HttpErrorKind::ConnectTimeout,
        HttpErrorKind::ReadTimeout,
        HttpErrorKind::TotalTimeout,
        HttpErrorKind::TlsUntrusted,
        HttpErrorKind::TlsExpired,
        HttpErrorKind::TlsNotYetValid,
        HttpErrorKind::TlsWrongName { presented: vec!["other.example.com".to_owned()] },
        HttpErrorKind::TlsOther("CANARY detail of a library".to_owned()),
        HttpErrorKind::PlainHttpOnTls,
        HttpErrorKind::TlsOnPlainHttp,
        HttpErrorKind::NotHttp,
        HttpErrorKind::Reset,
        HttpErrorKind::BodyTooLarge { limit: 100 << 20 },
        HttpErrorKind::BodyCut,
        HttpErrorKind::InvalidUrl("CANARY".to_owned()),
        HttpErrorKind::Other("CANARY detail of a library".to_owned()),
    ]
}

fn from_network(kind: &HttpErrorKind) -> (ErrorKind, Problem) {
    let url = "https://api.example.com/clients/?token=CANARY".parse().unwrap();
    sentences::from_http_error(kind, "GET /clients/", &url)
}

/// One of each code, in the order of the document.
fn all() -> Vec<(Option<ErrorKind>, Problem)> {
    let from_error = |error: ProviderError| (Some(error.kind), error.problem);
    let key = Credential::ReadKey;
    let errors = [
        sentences::dashboard_host(&Guess::Found("https://api.example.com".to_owned())),
        sentences::not_tactical(),
        sentences::redirected(Some("login.example.com")),
        sentences::wrong_host(),
        sentences::unknown_path(),
        sentences::answer_not_json(),
        sentences::login_in_front(),
        sentences::blocked_in_front(),
        sentences::server_error(500),
        sentences::gateway_error(502),
        sentences::rate_limited(Some(30)),
        sentences::not_found(),
        sentences::refused(418),
        sentences::key_not_set(),
        sentences::key_unusable(),
        sentences::unauthorized(key, "Invalid token."),
        sentences::unauthorized(key, "The token has expired."),
        sentences::unauthorized(key, "User inactive or deleted."),
        sentences::unauthorized(key, "Authentication credentials were not provided."),
        sentences::unauthorized(key, "Something new."),
        sentences::right_missing(key, Some("can_list_agents")),
        sentences::not_signed_in(),
        sentences::token_lapsed(),
        sentences::login_incomplete(),
        sentences::login_refused(),
        sentences::totp_needed(),
        sentences::totp_wrong(),
        sentences::totp_malformed(),
        sentences::totp_secret_wrong(),
        sentences::totp_secret_unusable(),
        sentences::login_throttled(Some(53)),
        sentences::no_sign_in(),
    ];
    let plain = [
        sentences::answer_shape(),
        sentences::filter_ignored(),
        sentences::url_empty(),
        sentences::url_unreadable(),
        sentences::url_scheme("ftp"),
        sentences::url_userinfo(),
        sentences::url_is_key(),
        sentences::looks_like_dashboard("rmm", "https://api.example.com"),
        sentences::plain_http(),
        sentences::beta_off(),
        sentences::reading_can_act("`can_send_cmd`"),
        sentences::no_actions("`can_send_cmd`"),
        sentences::action_rights_missing("`can_send_cmd`"),
    ];
    let network = network_kinds()
        .iter()
        .map(from_network)
        .map(|(kind, problem)| (Some(kind), problem))
        .collect::<Vec<_>>();
    let plain = plain.into_iter().map(|problem| (None, problem));
    errors.into_iter().map(from_error).chain(network).chain(plain).collect()
}

#[test]
fn each_code_belongs_to_one_sentence() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (_, problem) in all() {
        let before = seen.insert(problem.code.clone(), problem.message.clone());
        assert_eq!(before, None, "code `{}` is used twice", problem.code);
    }
}

#[test]
fn every_sentence_says_what_to_do_and_holds_no_secret() {
    for (_, problem) in all() {
        assert!(problem.fix.len() > 20 && problem.message.len() > 10, "{}", problem.code);
        assert!(problem.message.ends_with('.'), "{}", problem.message);
        let text = format!("{problem:?}");
        assert!(!text.contains("CANARY"), "{text}");
        assert!(!problem.message.contains("  ") && !problem.fix.contains("  "), "{text}");
    }
}

#[test]
fn table_of_sentences() {
    let lines: Vec<String> = all()
        .iter()
        .map(|(kind, problem)| {
            let kind = kind.map_or("-".to_owned(), |kind| format!("{kind:?}"));
            let offer =
                problem.offer.as_ref().map(|offer| format!("\n  offer: {offer:?}")).unwrap_or_default();
            format!("{} ({kind})\n  {}\n  → {}{offer}", problem.code, problem.message, problem.fix)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn document_for_admins_has_every_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers/tacticalrmm.md");
    let document = std::fs::read_to_string(path).unwrap();
    let missing: Vec<String> = all()
        .into_iter()
        .map(|(_, problem)| problem.code)
        .filter(|code| !document.contains(&format!("| `{code}` |")))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn private_address_comes_with_the_line_for_the_configuration() {
    let (kind, problem) = from_network(&denied(DenyReason::Private, "10.0.0.5"));
    assert_eq!(kind, ErrorKind::Denied);
    assert!(problem.fix.contains("outbound.allow = [\"10.0.0.5"), "{}", problem.fix);
}

#[test]
fn ended_tokens_and_wrong_keys_are_told_apart() {
    let code = |who, detail| sentences::unauthorized(who, detail).problem.code;
    assert_eq!(code(Credential::Token, "Invalid token."), "token_lapsed");
    assert_eq!(code(Credential::ActionKey, "Invalid token."), "key_wrong");
    let malformed = "Invalid token header. Token string should not contain spaces.";
    assert_eq!(code(Credential::Token, malformed), "token_lapsed");
    let message = sentences::unauthorized(Credential::ActionKey, "Invalid token.").problem.message;
    assert!(message.starts_with("The API key for actions"), "{message}");
}
