//! Signing certificates and the proof that they were logged (threats.md ).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Span;
use serde_json::{Value, json};
use touchstone_attestation::Problem;
use touchstone_testkit::sigstore::{
    Authority, CtLog, Sigstore,
    certificate::{extension, usage},
};

use super::{WHEEL, WHEEL_CHAIN, WHEEL_V2, World, bytes, flip};

/// An RSA key of 1024 bits, public half.
const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC5+uRcIFGB795r98+DDFGE0izwOtjKIkxrgJVb0thOGuyiMZFyzrmVHcJ0bGBPCf/3NQJjeuAG55XZZkldGcDx9pVzWazKnaEaK4841gt4aaUAHREMcIOmDHWjf/A7Yjl9mJzCkw4TrRd6aKn4638QqUQ+HqpAp6wVSRsimRmBQwIDAQAB";

/// the certificate in the bundle is not the one that was issued.
#[test]
fn a_changed_certificate_is_refused() {
    World::new().refuses_changed(
        WHEEL,
        &[
            (
                "a bit of its signature",
                |b| flip(&mut b["verificationMaterial"]["certificate"]["rawBytes"]),
                Problem::Certificate,
            ),
            (
                "truncated",
                |b| bytes(&mut b["verificationMaterial"]["certificate"]["rawBytes"], |der| _ = der.pop()),
                Problem::Certificate,
            ),
            (
                "a byte after it",
                |b| bytes(&mut b["verificationMaterial"]["certificate"]["rawBytes"], |der| der.push(0)),
                Problem::Certificate,
            ),
            (
                "empty",
                |b| b["verificationMaterial"]["certificate"]["rawBytes"] = "".into(),
                Problem::Certificate,
            ),
            (
                "another run in it",
                |b| {
                    bytes(&mut b["verificationMaterial"]["certificate"]["rawBytes"], |der| {
                        let at = der.windows(10).position(|w| w == b"9876543210").expect("the run");
                        der[at] = b'8';
                    });
                },
                Problem::Certificate,
            ),
        ],
    );
}

/// a chain is the leaf and its issuers, without the root, and not in a bundle of version 0.3.
#[test]
fn a_wrong_chain_is_refused() {
    let world = World::new();
    let stranger = Sigstore::at(world.sigstore.now);
    let honest = world.passes(WHEEL_CHAIN, "a chain", |b| b);
    assert!(honest.certificate().is_some());
    let raw = |der: &[u8]| json!({ "rawBytes": STANDARD.encode(der) });
    let change = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut bundle = world.wheel().version(super::BundleVersion::V02).value();
        super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
        change(
            bundle["verificationMaterial"]["x509CertificateChain"]["certificates"].as_array_mut().unwrap(),
        );
        world.judge_wheel(bundle.to_string().as_bytes())
    };
    super::accepted(change(&|chain| chain.truncate(1)));
    let refuse =
        |what: &str, with: &dyn Fn(&mut Vec<Value>)| super::refused(what, change(with), Problem::Certificate);
    super::refused("an empty chain", change(&|chain| chain.clear()), Problem::Malformed);
    refuse("the root", &|chain| chain.push(raw(&world.sigstore.ca.root)));
    refuse("a stranger's certificate", &|chain| chain.push(raw(&stranger.ca.intermediate)));
    refuse("the issuer alone", &|chain| _ = chain.remove(0));
    refuse("the issuer first", &|chain| chain.reverse());
    let mut bundle = world.wheel().value();
    let leaf = bundle["verificationMaterial"]["certificate"].take();
    bundle["verificationMaterial"] = json!({
        "x509CertificateChain": { "certificates": [leaf] },
        "tlogEntries": bundle["verificationMaterial"]["tlogEntries"],
    });
    super::refused("a chain in v0.3", world.judge_wheel(bundle.to_string().as_bytes()), Problem::Malformed);
}

/// certificates that the authority should not have issued.
#[test]
fn a_certificate_of_the_wrong_kind_is_refused() {
    World::new().refuses(
        WHEEL,
        &[
            ("an authority", |b| b.leaf(|l| _ = l.authority(None).digital_signature()), Problem::Certificate),
            ("no usage", |b| b.leaf(|l| _ = l.usages(false, &[])), Problem::Certificate),
            (
                "another usage",
                |b| b.leaf(|l| _ = l.usages(false, &[usage::SERVER_AUTH])),
                Problem::Certificate,
            ),
            ("no signatures", |b| b.leaf(|l| _ = l.remove(extension::KEY_USAGE)), Problem::Certificate),
            (
                "an unknown critical extension",
                |b| b.leaf(|l| _ = l.set(extension::fulcio(99), true, vec![5, 0])),
                Problem::Certificate,
            ),
            ("no name", |b| b.leaf(|l| _ = l.remove(extension::SUBJECT_ALT_NAME)), Problem::Certificate),
            (
                "two names",
                |b| b.leaf(|l| _ = l.names(&["https://a.example/x@y", "https://b.example/x@y"])),
                Problem::Certificate,
            ),
            (
                "a claim that is no UTF-8 string",
                |b| b.leaf(|l| _ = l.set(extension::fulcio(15), false, vec![2, 1, 1])),
                Problem::Certificate,
            ),
            (
                "a claim twice",
                |b| b.leaf(|l| l.extensions.push(l.extensions.last().unwrap().clone())),
                Problem::Certificate,
            ),
            // RSA of less than 2048 bits never verifies, whatever the signature.
            (
                "RSA of 1024 bits",
                |b| b.leaf(|l| l.spki = STANDARD.decode(RSA_1024).unwrap()),
                Problem::Signature,
            ),
        ],
    );
}

/// the proof that the certificate was logged. Extensions in it are permitted (RFC 6962 3.2).
#[test]
fn a_certificate_must_have_been_logged() {
    let world = World::new();
    for case in [WHEEL, WHEEL_V2] {
        world.refuses(
            case,
            &[
                ("no proof", |b| b.sct(|s| s.count = 0), Problem::Sct),
                ("two", |b| b.sct(|s| s.count = 2), Problem::Sct),
                ("a broken signature", |b| b.sct(|s| s.break_signature = true), Problem::Sct),
                ("of another precertificate", |b| b.sct(|s| s.other_precertificate = true), Problem::Sct),
            ],
        );
        world.passes(case, "extensions", |b| b.sct(|s| s.extensions = vec![0, 0, 5, 1, 2, 3, 4, 5]));
    }
}

/// a CT log that is not in the trusted root, though all else is.
#[test]
fn an_unknown_certificate_log_proves_nothing() {
    let mut world = World::new();
    world.honest(WHEEL);
    world.sigstore.ct = CtLog::new();
    super::refused("its log", world.judge_wheel(&world.wheel().json()), Problem::UnknownCertificateLog);
}

/// the window of the CT log's key, whose ends count.
#[test]
fn a_certificate_log_counts_within_its_window() {
    let mut world = World::new();
    let (now, second) = (world.sigstore.now, Span::new().seconds(1));
    let windows =
        [(now, Some(now), true), (now + second, None, false), (now - second, Some(now - second), false)];
    for (start, end, counts) in windows {
        world.trust(|root| root["ctlogs"][0]["publicKey"]["validFor"] = super::time::window(start, end));
        let result = world.judge_wheel(&world.wheel().json());
        if counts {
            super::accepted(result);
        } else {
            super::refused("the window", result, Problem::Sct);
        }
    }
}

/// who issued the certificate: the window in the trusted root, the authority's own certificate, its path and names.
#[test]
fn an_authority_counts_within_its_bounds() {
    let now = World::new().sigstore.now;
    let second = Span::new().seconds(1);
    let with = |change: &dyn Fn(&mut touchstone_testkit::sigstore::certificate::Template)| {
        let mut sigstore = Sigstore::at(now);
        sigstore.ca = Authority::with_intermediate(now, |intermediate| change(intermediate));
        let world = World::of(sigstore);
        world.judge_wheel(&world.wheel().json())
    };
    super::accepted(with(&|_| ()));
    super::accepted(with(&|i| (i.not_before, i.not_after) = (now, now)));
    super::refused("expired", with(&|i| i.not_after = now - second), Problem::CertificateTime);
    super::refused("not yet valid", with(&|i| i.not_before = now + second), Problem::CertificateTime);
    // The library knows no constraints on URIs and refuses every path that has some.
    super::refused("our name", with(&|i| _ = i.permit_uris("github.com")), Problem::Certificate);
    super::refused("other names", with(&|i| _ = i.permit_uris("forge.example")), Problem::Certificate);
}

/// an authority that may not have others below it.
#[test]
fn a_path_is_no_longer_than_its_authority_allows() {
    let now = World::new().sigstore.now;
    let below = |path_length| {
        let mut sigstore = Sigstore::at(now);
        sigstore.ca = Authority::with_intermediate(now, |i| _ = i.authority(path_length));
        let mut world = World::of(sigstore);
        super::accepted(world.judge_wheel(&(WHEEL_CHAIN.mint)(&world).json()));
        world.sigstore.ca = world.sigstore.ca.subordinate(now);
        world.judge_wheel(&(WHEEL_CHAIN.mint)(&world).json())
    };
    super::accepted(below(Some(1)));
    super::refused("one too many", below(Some(0)), Problem::Certificate);
}

/// another authority, though the logs are known.
#[test]
fn a_strangers_authority_is_refused() {
    let mut world = World::new();
    world.honest(WHEEL);
    world.sigstore.ca = Authority::new(world.sigstore.now);
    super::refused("its authority", world.judge_wheel(&world.wheel().json()), Problem::UnknownAuthority);
    // With a chain that says where it comes from, too.
    let chain = (WHEEL_CHAIN.mint)(&world).json();
    super::refused("its chain", world.judge_wheel(&chain), Problem::UnknownAuthority);
}
