//! The whole table of sentences: codes apart, fixes present, no secret, all of them in the document for admins.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use outbound::{Denied, DenyReason, HttpErrorKind};
use provider::{ErrorKind, Problem, ProviderError};

use crate::{
    datto_rmm::sentences::{self, Right},
    pasted::NoAddress,
};

fn denied(reason: DenyReason, address: &str) -> HttpErrorKind {
    HttpErrorKind::Denied(Denied { addr: address.parse::<IpAddr>().unwrap(), port: 443, reason })
}

fn network_kinds() -> Vec<HttpErrorKind> {
    vec![
        HttpErrorKind::Dns { host: "vidal-api.centrastage.net".to_owned() },
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
        HttpErrorKind::BodyTooLarge { limit: 32 << 20 },
        HttpErrorKind::BodyCut,
        HttpErrorKind::InvalidUrl("CANARY".to_owned()),
        HttpErrorKind::Other("CANARY detail of a library".to_owned()),
    ]
}

fn from_network(kind: &HttpErrorKind) -> (ErrorKind, Problem) {
    let url = "https://vidal-api.centrastage.net/api/v2/account?token=CANARY".parse().unwrap();
    sentences::from_http_error(kind, "GET /account", &url)
}

/// One of each code, in the order of the document.
fn all() -> Vec<(Option<ErrorKind>, Problem)> {
    let from_error = |error: ProviderError| (Some(error.kind), error.problem);
    let errors = [
        sentences::not_datto(),
        sentences::redirected(Some("login.example.com")),
        sentences::unknown_route(),
        sentences::answer_not_json(),
        sentences::server_error(500),
        sentences::gateway_error(502),
        sentences::not_found(),
        sentences::bad_request(),
        sentences::conflict(),
        sentences::refused(418),
        sentences::rate_limited(Duration::from_secs(30)),
        sentences::blocked(Duration::from_secs(300)),
        sentences::key_not_set(),
        sentences::key_unusable(),
        sentences::key_refused(),
        sentences::root_unusable(),
        sentences::login_incomplete(),
        sentences::login_refused(),
        sentences::sign_in_not_here(),
        sentences::sign_in_page(),
        sentences::login_throttled(60),
        sentences::token_lapsed(),
        sentences::not_signed_in(),
        sentences::no_sign_in(),
        sentences::right_missing(Some(Right::Devices)),
    ];
    let plain = [
        sentences::answer_shape(),
        sentences::list_endless(),
        sentences::pages_repeat(),
        sentences::filter_ignored(),
        sentences::activity_log_failed(),
        sentences::rate_nearly_used(571, 600),
        sentences::no_address(NoAddress::Empty),
        sentences::no_address(NoAddress::Unreadable),
        sentences::no_address(NoAddress::Scheme("ftp".to_owned())),
        sentences::no_address(NoAddress::Userinfo),
        sentences::no_address(NoAddress::Key),
        sentences::url_platform_unknown(),
        sentences::url_console(),
        sentences::url_not_datto(),
        sentences::plain_http(),
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
    let rights = Right::ALL.iter().map(|right| sentences::right_missing(Some(*right)).problem);
    for problem in all().into_iter().map(|(_, problem)| problem).chain(rights) {
        assert!(problem.fix.len() > 20 && problem.message.len() > 10, "{}", problem.code);
        assert!(problem.message.ends_with('.') && problem.fix.ends_with(['.', '`']), "{}", problem.fix);
        let text = format!("{problem:?}");
        assert!(!text.contains("CANARY") && !text.contains("Tactical"), "{text}");
        assert!(!problem.message.contains("  ") && !problem.fix.contains("  "), "{text}");
    }
}

#[test]
fn every_right_says_where_it_is_switched_on() {
    let mut fixes = BTreeMap::new();
    for right in Right::ALL {
        let error = sentences::right_missing(Some(right));
        assert!(error.problem.fix.contains("under Setup, Users"), "{}", error.problem.fix);
        assert_eq!(error.kind, ErrorKind::Forbidden);
        fixes.insert(right.name(), error.problem.message);
    }
    assert_eq!(fixes.len(), Right::ALL.len());
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
fn document_for_admins_has_every_code_and_sentence() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers/datto_rmm.md");
    let document = std::fs::read_to_string(path).unwrap();
    let missing: Vec<String> = all()
        .into_iter()
        .map(|(_, problem)| format!("| `{}` | {} | {} |", problem.code, problem.message, problem.fix))
        .filter(|row| !document.contains(row))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}
