use super::*;

#[track_caller]
fn check(rules: &EgressRules, ip: &str, port: u16, expected: Result<(), DenyReason>) {
    let found = rules.check(ip.parse().unwrap(), port).map_err(|denied| denied.reason);
    assert_eq!(found, expected, "{ip}:{port}");
}

fn rules(lines: &[&str]) -> EgressRules {
    EgressRules::new(lines.iter().map(|line| line.parse().unwrap()).collect())
}

const LISTABLE: [(&str, DenyReason); 45] = [
    ("127.0.0.1", DenyReason::Loopback),
    ("127.255.255.254", DenyReason::Loopback),
    ("::1", DenyReason::Loopback),
    ("::ffff:127.0.0.1", DenyReason::Loopback),
    ("::ffff:0:127.0.0.1", DenyReason::Loopback),
    ("::127.0.0.1", DenyReason::Loopback),
    ("64:ff9b::7f00:1", DenyReason::Loopback),
    ("2002:7f00:1::", DenyReason::Loopback),
    ("64:ff9b:1::7f00:1", DenyReason::Loopback),
    ("10.0.0.0", DenyReason::Private),
    ("10.255.255.255", DenyReason::Private),
    ("172.16.0.0", DenyReason::Private),
    ("172.31.255.255", DenyReason::Private),
    ("192.168.0.1", DenyReason::Private),
    ("::ffff:10.0.0.5", DenyReason::Private),
    ("64:ff9b::a00:5", DenyReason::Private),
    ("2002:a00:5::1", DenyReason::Private),
    ("2001:0:a00:5::1", DenyReason::Private),
    ("2001:0:808:808:0:0:f5ff:fffa", DenyReason::Private),
    ("2600::5efe:a00:5", DenyReason::Private),
    ("2600::200:5efe:c0a8:1", DenyReason::Private),
    ("100.64.0.0", DenyReason::CarrierGrade),
    ("100.127.255.255", DenyReason::CarrierGrade),
    ("::ffff:100.64.0.1", DenyReason::CarrierGrade),
    ("fc00::1", DenyReason::UniqueLocal),
    ("fdff::1", DenyReason::UniqueLocal),
    ("192.0.0.1", DenyReason::Reserved),
    ("192.0.2.1", DenyReason::Reserved),
    ("192.88.99.1", DenyReason::Reserved),
    ("198.18.0.1", DenyReason::Reserved),
    ("198.19.255.255", DenyReason::Reserved),
    ("198.51.100.1", DenyReason::Reserved),
    ("203.0.113.1", DenyReason::Reserved),
    ("240.0.0.1", DenyReason::Reserved),
    ("255.255.255.254", DenyReason::Reserved),
    ("2001:db8::1", DenyReason::Reserved),
    ("2001:2::1", DenyReason::Reserved),
    ("2001:10::1", DenyReason::Reserved),
    ("3fff::1", DenyReason::Reserved),
    ("2002:808:808::1", DenyReason::Reserved),
    ("100::1", DenyReason::Reserved),
    ("5f00::1", DenyReason::Reserved),
    ("fec0::1", DenyReason::Reserved),
    ("4000::1", DenyReason::Reserved),
    ("::808:808", DenyReason::Reserved),
];

const NEVER: [(&str, DenyReason); 36] = [
    ("169.254.0.1", DenyReason::LinkLocal),
    ("169.254.255.255", DenyReason::LinkLocal),
    ("fe80::1", DenyReason::LinkLocal),
    ("febf::1", DenyReason::LinkLocal),
    ("::ffff:169.254.1.1", DenyReason::LinkLocal),
    ("64:ff9b::a9fe:101", DenyReason::LinkLocal),
    ("2002:a9fe:101::", DenyReason::LinkLocal),
    ("169.254.169.254", DenyReason::Metadata),
    ("169.254.170.2", DenyReason::Metadata),
    ("100.100.100.200", DenyReason::Metadata),
    ("168.63.129.16", DenyReason::Metadata),
    ("192.0.0.192", DenyReason::Metadata),
    ("fd00:ec2::254", DenyReason::Metadata),
    ("fd20:ce::254", DenyReason::Metadata),
    ("::ffff:169.254.169.254", DenyReason::Metadata),
    ("::169.254.169.254", DenyReason::Metadata),
    ("64:ff9b::a9fe:a9fe", DenyReason::Metadata),
    ("64:ff9b:1::a9fe:a9fe", DenyReason::Metadata),
    ("64:ff9b:1:a9fe:a9:fe00::", DenyReason::Metadata),
    ("2002:a9fe:a9fe::1", DenyReason::Metadata),
    ("2001:0:a9fe:a9fe::1", DenyReason::Metadata),
    ("2001::5601:5601", DenyReason::Unspecified),
    ("2600::5efe:a9fe:a9fe", DenyReason::Metadata),
    ("0.0.0.0", DenyReason::Unspecified),
    ("0.255.255.255", DenyReason::Unspecified),
    ("::", DenyReason::Unspecified),
    ("::ffff:0.0.0.0", DenyReason::Unspecified),
    ("64:ff9b::", DenyReason::Unspecified),
    ("64:ff9b:1::", DenyReason::Unspecified),
    ("64:ff9b:1::1:203", DenyReason::Unspecified),
    ("224.0.0.1", DenyReason::Multicast),
    ("239.255.255.255", DenyReason::Multicast),
    ("255.255.255.255", DenyReason::Multicast),
    ("ff02::1", DenyReason::Multicast),
    ("::ffff:224.0.0.1", DenyReason::Multicast),
    ("::ffff:255.255.255.255", DenyReason::Multicast),
];

const PUBLIC: [&str; 18] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
];

#[test]
fn special_ranges_are_refused_without_a_line() {
    for (ip, reason) in LISTABLE.into_iter().chain(NEVER) {
        check(&EgressRules::default(), ip, 443, Err(reason));
    }
}

#[test]
fn public_addresses_are_allowed() {
    for ip in PUBLIC {
        check(&EgressRules::default(), ip, 443, Ok(()));
        check(&EgressRules::default(), ip, 8080, Ok(()));
    }
}

#[test]
fn everything_listed_opens_the_listable_only() {
    let all = rules(&["0.0.0.0/0", "::/0"]);
    for (ip, _) in LISTABLE {
        check(&all, ip, 443, Ok(()));
    }
    for (ip, reason) in NEVER {
        check(&all, ip, 443, Err(reason));
    }
}

#[test]
fn suggested_line_allows_exactly_that() {
    for (ip, _) in LISTABLE {
        let ip: IpAddr = ip.parse().unwrap();
        let line = EgressRules::default().check(ip, 8443).unwrap_err().config_line().unwrap();
        let listed = line.strip_prefix("outbound.allow = [\"").unwrap().strip_suffix("\"]").unwrap();
        let rules = rules(&[listed]);
        assert_eq!(rules.check(ip, 8443), Ok(()), "{line}");
        assert!(rules.check(ip, 8444).is_err(), "{line}");
    }
    for (ip, _) in NEVER {
        assert_eq!(
            EgressRules::default().check(ip.parse().unwrap(), 443).unwrap_err().config_line(),
            None,
            "{ip}"
        );
    }
}

#[test]
fn suggested_line_is_written_for_the_plain_address() {
    let denied = EgressRules::default().check("::ffff:10.0.0.5".parse().unwrap(), 443).unwrap_err();
    assert_eq!(denied.config_line().as_deref(), Some("outbound.allow = [\"10.0.0.5/32:443\"]"));
    assert_eq!(
        denied.to_string(),
        "`10.0.0.5:443` is a private address and is not listed in `outbound.allow`"
    );
    let denied = EgressRules::default().check("fd00::1".parse().unwrap(), 443).unwrap_err();
    assert_eq!(denied.config_line().as_deref(), Some("outbound.allow = [\"[fd00::1]/128:443\"]"));
}

#[test]
fn own_listener_is_refused_although_listed() {
    let rules = rules(&["127.0.0.0/8", "::1", "::/0"]).deny_listener("127.0.0.1:8800".parse().unwrap());
    check(&rules, "127.0.0.1", 8800, Err(DenyReason::OwnListener));
    check(&rules, "::ffff:127.0.0.1", 8800, Err(DenyReason::OwnListener));
    check(&rules, "2002:7f00:1::", 8800, Err(DenyReason::OwnListener));
    check(&rules, "127.0.0.1", 8801, Ok(()));
    check(&rules, "127.0.0.2", 8800, Ok(()));
}

#[test]
fn public_address_of_ours_is_refused() {
    let rules = EgressRules::default().deny_listener("8.8.4.4:443".parse().unwrap());
    check(&rules, "8.8.4.4", 443, Err(DenyReason::OwnListener));
    check(&rules, "8.8.4.4", 80, Ok(()));
}

#[test]
fn listener_on_all_addresses_covers_this_machine() {
    for everywhere in ["0.0.0.0:8800", "[::]:8800"] {
        let rules = rules(&["127.0.0.0/8", "::1", "192.0.2.0/24"]).deny_listener(everywhere.parse().unwrap());
        check(&rules, "127.0.0.1", 8800, Err(DenyReason::OwnListener));
        check(&rules, "127.3.2.1", 8800, Err(DenyReason::OwnListener));
        check(&rules, "::1", 8800, Err(DenyReason::OwnListener));
        check(&rules, "192.0.2.9", 8800, Ok(()));
        check(&rules, "127.0.0.1", 8801, Ok(()));
    }
}

#[test]
fn port_of_a_line_counts() {
    let rules = rules(&["127.0.0.1/32:8801", "10.1.0.0/16"]);
    check(&rules, "127.0.0.1", 8801, Ok(()));
    check(&rules, "127.0.0.1", 8802, Err(DenyReason::Loopback));
    check(&rules, "127.0.0.2", 8801, Err(DenyReason::Loopback));
    check(&rules, "::1", 8801, Err(DenyReason::Loopback));
    check(&rules, "10.1.2.3", 1, Ok(()));
    check(&rules, "10.2.2.3", 1, Err(DenyReason::Private));
}

#[test]
fn metadata_names_are_known_however_spelt() {
    for name in [
        "metadata",
        "METADATA.google.internal",
        "metadata.google.internal.",
        "Instance-Data",
        "metadata.goog..",
    ] {
        assert!(is_metadata_name(name), "{name}");
    }
    assert!(!is_metadata_name("metadata.example.com"));
}
