//! Broken bodies never panic, never yield half a list, and never show what is masked.

use serde_json::value::RawValue;

use super::body;
use crate::{
    datto_rmm::{
        hardware::{self, Audit},
        mask::Shown,
        normalize, pages,
        url::read_url,
        wire::{self, Account, RequestRate, Token},
    },
    mutate::{Random, mutate},
};

/// Everything a body can reach.
fn swallow(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    for list in ["devices", "sites", "software"] {
        let Ok(page) = wire::page(text, list) else { continue };
        for row in page.rows {
            swallow_row(row);
        }
    }
    if let Ok(row) = serde_json::from_str::<&RawValue>(text) {
        swallow_row(row);
    }
    if let Ok(audit) = wire::object::<Audit<'_>>(text) {
        let detail = hardware::detail(&audit);
        assert!(detail.volumes.iter().all(|volume| volume.used_percent.is_none_or(|percent| percent <= 100)));
    }
    let _ = hardware::is_audit(text);
    let _ = wire::object::<Token<'_>>(text);
    let _ = wire::object::<Account<'_>>(text);
    let _ = wire::moment(text);
    if let Ok(rate) = wire::object::<RequestRate>(text) {
        assert!(pages::rate_status(&rate).is_none_or(|status| status.reads.limit > 0));
    }
    if let Ok(read) = read_url(&String::from_utf8_lossy(bytes), &[]) {
        assert!(
            read.url.as_str().ends_with(".centrastage.net/") && read.url.scheme() == "https",
            "{}",
            read.url
        );
        let again = read_url(read.url.as_str(), &[]).unwrap();
        assert_eq!((again.url, again.notes), (read.url, Vec::<String>::new()));
    }
}

fn swallow_row(row: &RawValue) {
    match normalize::device(row, &Shown::new()) {
        Ok(listed) => {
            assert!(!listed.record.external_id.is_empty() && !listed.record.facts.name.is_empty());
            let shown = format!("{:?} {}", listed.record.facts.custom_fields, listed.record.raw);
            assert!(!shown.contains("CANARYKEY") && !shown.contains("CANARYPASS"), "{shown}");
        }
        Err(rejected) => assert!(!rejected.reason.contains("CANARY"), "{rejected:?}"),
    }
    let _ = normalize::site(row);
}

#[test]
fn mutated_bodies_never_panic() {
    let mut random = Random(7);
    let names = [
        "devices",
        "sites",
        "audit-device",
        "audit-printer",
        "audit-esxihost",
        "software",
        "request-rate",
        "token",
    ];
    for name in names {
        let body = body(name);
        for _ in 0..300 {
            swallow(&mutate(&body, &mut random));
        }
    }
}

#[test]
fn mutated_addresses_never_panic() {
    let mut random = Random(11);
    for pasted in [
        "https://vidal-api.centrastage.net/x?y=1",
        "<pinotage.rmm.datto.com.>",
        "pinotage",
        "http://syrah.centrastage.net/csm/",
    ] {
        for _ in 0..2_000 {
            swallow(&mutate(pasted, &mut random));
        }
    }
}

#[test]
fn every_cut_of_a_row_is_survived() {
    let body = body("devices");
    let page = wire::page(&body, "devices").unwrap();
    let row = page.rows[0].get();
    for end in (0..row.len()).filter(|end| row.is_char_boundary(*end)) {
        swallow(&row.as_bytes()[..end]);
    }
    for end in (0..body.len()).filter(|end| body.is_char_boundary(*end)).step_by(7) {
        assert!(wire::page(&body[..end], "devices").is_err(), "half a page is none");
    }
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    swallow(format!("{{\"uid\":\"x\",\"udf\":{deep},\"nics\":{deep}}}").as_bytes());
    swallow(format!("{{\"pageDetails\":{{}},\"devices\":{deep}}}").as_bytes());
}
