use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn configured() -> AllowedOrigins {
    AllowedOrigins::of(&[
        url("https://registry.example/npm/"),
        url("http://127.0.0.1:4873/"),
        url("https://bücher.example/"),
    ])
}

fn refused_origin(origin: &str) -> Result<(), EgressRefusal> {
    Err(EgressRefusal::Origin { origin: origin.to_owned() })
}

#[test]
fn every_special_range_is_refused_unless_configured() {
    use SpecialRange::*;
    let cases = [
        ("0.0.0.0", Unspecified),
        ("0.255.255.255", Unspecified),
        ("10.0.0.1", Private),
        ("10.255.255.255", Private),
        ("100.64.0.0", Shared),
        ("100.127.255.255", Shared),
        ("127.0.0.1", Loopback),
        ("127.255.255.254", Loopback),
        ("169.254.169.254", LinkLocal),
        ("172.16.0.0", Private),
        ("172.31.255.255", Private),
        ("192.0.0.8", Reserved),
        ("192.0.2.1", Documentation),
        ("192.52.193.1", Reserved),
        ("192.88.99.1", Translated),
        ("192.168.1.1", Private),
        ("198.18.0.0", Benchmarking),
        ("198.19.255.255", Benchmarking),
        ("198.51.100.7", Documentation),
        ("203.0.113.80", Documentation),
        ("224.0.0.1", Multicast),
        ("239.255.255.255", Multicast),
        ("240.0.0.1", Reserved),
        ("255.255.255.254", Reserved),
        ("255.255.255.255", Broadcast),
        ("::", Unspecified),
        ("::1", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:10.0.0.1", Private),
        ("::ffff:169.254.169.254", LinkLocal),
        ("::127.0.0.1", Translated),
        ("::8.8.8.8", Translated),
        ("64:ff9b::8.8.8.8", Translated),
        ("64:ff9b::127.0.0.1", Translated),
        ("64:ff9b:1::1", Translated),
        ("100::1", Reserved),
        ("2001::1", Translated),
        ("2001:2::1", Benchmarking),
        ("2001:10::1", Reserved),
        ("2001:db8::1", Documentation),
        ("2002:7f00:1::", Translated),
        ("3fff::1", Documentation),
        ("4000::1", Reserved),
        ("5f00::1", Reserved),
        ("fc00::1", Private),
        ("fdff::1", Private),
        ("fe80::1", LinkLocal),
        ("febf::1", LinkLocal),
        ("fec0::1", Private),
        ("ff02::1", Multicast),
    ];
    for (text, range) in cases {
        let address = text.parse().unwrap();
        assert_eq!(decide_address(address, false), Err(EgressRefusal::Address { address, range }), "{text}");
        assert_eq!(decide_address(address, true), Ok(()), "{text}");
    }
}

#[test]
fn the_neighbours_of_special_ranges_are_public() {
    for text in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "::ffff:1.0.0.0",
        "2001:200::1",
        "2001:db7::1",
        "2001:db9::1",
        "2003::1",
        "2a00::1",
        "3ffe::1",
    ] {
        assert_eq!(decide_address(text.parse().unwrap(), false), Ok(()), "{text}");
    }
}

#[test]
fn configured_origins_are_allowed_however_they_are_spelt() {
    for text in [
        "https://registry.example/",
        "https://registry.example:443/other/path?query#fragment",
        "HTTPS://REGISTRY.Example/",
        "https://registry%2eexample/",
        "http://127.0.0.1:4873/x",
        "http://127.1:4873/x",
        "http://2130706433:4873/x",
        "http://0x7f000001:4873/x",
        "http://0177.0.0.1:4873/x",
        "https://xn--bcher-kva.example/",
        "https://BÜCHER.example/",
    ] {
        assert_eq!(decide(&url(text), &configured()), Ok(()), "{text}");
    }
}

#[test]
fn one_thing_changed_is_another_origin() {
    for (text, origin) in [
        ("http://registry.example/", "http://registry.example"),
        ("https://registry.example:8443/", "https://registry.example:8443"),
        ("https://registry.example./", "https://registry.example."),
        ("https://sub.registry.example/", "https://sub.registry.example"),
        ("https://registry.example.evil.example/", "https://registry.example.evil.example"),
        ("https://bucher.example/", "https://bucher.example"),
        ("https://localhost/", "https://localhost"),
        ("https://1.0.0.1/", "https://1.0.0.1"),
    ] {
        assert_eq!(decide(&url(text), &configured()), refused_origin(origin), "{text}");
    }
}

#[test]
fn address_literals_in_any_spelling_are_named_by_range() {
    use SpecialRange::*;
    for (text, address, range) in [
        ("http://127.0.0.1:4874/", "127.0.0.1", Loopback),
        ("https://127.0.0.1:4873/", "127.0.0.1", Loopback),
        ("http://127.0.0.2:4873/", "127.0.0.2", Loopback),
        ("http://169.254.169.254/latest/", "169.254.169.254", LinkLocal),
        ("http://2852039166/", "169.254.169.254", LinkLocal),
        ("http://0xa9fea9fe/", "169.254.169.254", LinkLocal),
        ("http://0251.0376.0251.0376/", "169.254.169.254", LinkLocal),
        ("http://169.254.43518/", "169.254.169.254", LinkLocal),
        ("http://0/", "0.0.0.0", Unspecified),
        ("http://[::1]/", "::1", Loopback),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", Loopback),
        ("http://[0:0:0:0:0:ffff:7f00:1]/", "::ffff:127.0.0.1", Loopback),
        ("http://[fe80::1]/", "fe80::1", LinkLocal),
        ("https://100.100.100.200/", "100.100.100.200", Shared),
        ("http://①②⑦.0.0.1/", "127.0.0.1", Loopback),
    ] {
        let address = address.parse().unwrap();
        let refusal = EgressRefusal::Address { address, range };
        assert_eq!(decide(&url(text), &configured()), Err(refusal), "{text}");
    }
    assert!(Url::parse("http://[fe80::1%25eth0]/").is_err(), "a zone is no host at all");
    assert!(Url::parse("http://256.0.0.1/").is_err());
}

#[test]
fn other_schemes_and_credentials_are_refused_even_for_configured_hosts() {
    for (text, scheme) in [
        ("file:///etc/passwd", "file"),
        ("gopher://registry.example/", "gopher"),
        ("ftp://registry.example/", "ftp"),
        ("data:text/plain,x", "data"),
        ("blob:https://registry.example/npm", "blob"),
    ] {
        let refusal = EgressRefusal::Scheme { scheme: scheme.to_owned() };
        assert_eq!(decide(&url(text), &configured()), Err(refusal), "{text}");
    }
    for text in ["https://user@registry.example/", "https://:secret@registry.example/"] {
        let refusal = EgressRefusal::Userinfo { origin: "https://registry.example".to_owned() };
        assert_eq!(decide(&url(text), &configured()), Err(refusal.clone()), "{text}");
        assert!(!refusal.to_string().contains("secret"));
    }
}

#[test]
fn nothing_is_allowed_by_an_empty_set() {
    let none = AllowedOrigins::default();
    assert_eq!(decide(&url("https://registry.example/"), &none), refused_origin("https://registry.example"));
}
