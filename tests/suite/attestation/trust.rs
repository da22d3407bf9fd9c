//! The trusted root (threats.md ).

use serde_json::{Value, json};
use touchstone_attestation::{Problem, RegistryKeys, TrustRoot, TrustRootError};
use touchstone_testkit::sigstore::{Log, LogVersion};

use super::{Edit, WHEEL, WHEEL_V2, World, flip, remove};

/// what cannot be understood is not skipped: the whole document is refused.
#[test]
fn a_damaged_root_is_refused_as_a_whole() {
    let world = World::new();
    let honest = world.sigstore.trusted_root();
    let read = |root: &Value| TrustRoot::from_json(root.to_string().as_bytes());
    read(&honest).unwrap();
    type Wanted = fn(&TrustRootError) -> bool;
    let shape: Wanted = |e| matches!(e, TrustRootError::Shape(_));
    let window: Wanted = |e| matches!(e, TrustRootError::NoWindow(_));
    let unusable: Wanted = |e| matches!(e, TrustRootError::Unusable(_));
    let version: Wanted = |e| matches!(e, TrustRootError::MediaType(_));
    let cases: [(&str, Edit, Wanted); 11] = [
        ("a log without a start", |r| remove(&mut r["tlogs"][0]["publicKey"]["validFor"], "start"), shape),
        ("a log without a window", |r| remove(&mut r["tlogs"][0]["publicKey"], "validFor"), window),
        ("a CT log without a window", |r| remove(&mut r["ctlogs"][0]["publicKey"], "validFor"), window),
        (
            "an authority without a window",
            |r| remove(&mut r["certificateAuthorities"][0], "validFor"),
            window,
        ),
        ("a TSA without a window", |r| remove(&mut r["timestampAuthorities"][0], "validFor"), window),
        (
            "an end before its start",
            |r| r["tlogs"][0]["publicKey"]["validFor"]["end"] = "1999-01-01T00:00:00Z".into(),
            unusable,
        ),
        ("a log twice", |r| push(&mut r["tlogs"], |log| log), unusable),
        (
            "a malformed key among good ones",
            |r| {
                push(&mut r["tlogs"], |mut log| {
                    flip(&mut log["logId"]["keyId"]);
                    log["publicKey"]["rawBytes"] = "AAAA".into();
                    log
                });
            },
            unusable,
        ),
        (
            "a key of an unknown type",
            |r| {
                r["tlogs"][1]["publicKey"]["rawBytes"] =
                    "MCowBQYDK2VuAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into();
            },
            unusable,
        ),
        (
            "a malformed certificate",
            |r| r["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = "AAAA".into(),
            unusable,
        ),
        (
            "another version",
            |r| r["mediaType"] = "application/vnd.dev.sigstore.trustedroot+json;version=0.2".into(),
            version,
        ),
    ];
    for (what, change, wanted) in cases {
        let mut root = honest.clone();
        change(&mut root);
        let error = read(&root).expect_err(what);
        assert!(wanted(&error), "{what}: {error:?}");
    }
    for bytes in [&b""[..], b"{}", b"[]", b"<html>"] {
        TrustRoot::from_json(bytes).unwrap_err();
    }
}

/// keys that nobody used do no harm, and neither does their order.
#[test]
fn more_logs_do_no_harm() {
    let mut world = World::new();
    let mut stranger = world.sigstore.trusted_root()["tlogs"][0].clone();
    let key = Log::new(LogVersion::V1);
    super::bytes(&mut stranger["publicKey"]["rawBytes"], |bytes| *bytes = key.key.spki().to_vec());
    super::bytes(&mut stranger["logId"]["keyId"], |bytes| *bytes = key.id().to_vec());
    stranger["baseUrl"] = "https://other.testkit.example".into();
    world.trust(|root| root["tlogs"].as_array_mut().unwrap().insert(0, stranger));
    world.honest(WHEEL);
    world.honest(WHEEL_V2);
}

/// an authority that is not listed is not trusted.
#[test]
fn what_a_root_does_not_list_is_not_trusted() {
    let cases: [(&str, super::Case, Problem); 5] = [
        ("/tlogs/0", WHEEL, Problem::UnknownLog),
        ("/tlogs/1", WHEEL_V2, Problem::UnknownLog),
        ("/ctlogs/0", WHEEL, Problem::UnknownCertificateLog),
        ("/certificateAuthorities/0", WHEEL, Problem::UnknownAuthority),
        ("/timestampAuthorities/0", WHEEL_V2, Problem::Timestamp),
    ];
    for (pointer, case, problem) in cases {
        let mut world = World::new();
        world.honest(case);
        let (list, at) = pointer.rsplit_once('/').unwrap();
        world.trust(|root| {
            root.pointer_mut(list).and_then(Value::as_array_mut).unwrap().remove(at.parse().unwrap());
        });
        super::refused(pointer, world.judge_wheel(&(case.mint)(&world).json()), problem);
    }
}

/// a bundle of one instance is nothing to another, the public one included.
#[test]
fn another_instances_bundle_is_refused() {
    let (world, stranger) = (World::new(), World::new());
    for case in [WHEEL, WHEEL_V2] {
        let bundle = (case.mint)(&world).json();
        super::accepted(world.judge_wheel(&bundle));
        super::refused("another instance", stranger.judge_wheel(&bundle), Problem::UnknownLog);
        let public = World { root: TrustRoot::embedded(), ..World::new() };
        super::refused("the public instance", public.judge_wheel(&bundle), Problem::UnknownLog);
    }
}

/// the identities of the logs are swapped for each other's.
#[test]
fn an_entry_that_names_another_known_log_is_refused() {
    let world = World::new();
    let ids = [world.sigstore.rekor.id(), world.sigstore.rekor2.id()];
    for (case, id) in [(WHEEL, ids[1]), (WHEEL_V2, ids[0])] {
        let mut bundle = (case.mint)(&world).value();
        super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
        super::bytes(&mut super::entry(&mut bundle)["logId"]["keyId"], |bytes| *bytes = id.to_vec());
        super::refused(
            "the other log",
            world.judge_wheel(bundle.to_string().as_bytes()),
            Problem::Checkpoint,
        );
        super::bytes(&mut super::entry(&mut bundle)["logId"]["keyId"], |bytes| bytes.fill(7));
        super::refused("no log", world.judge_wheel(bundle.to_string().as_bytes()), Problem::UnknownLog);
    }
}

/// Both documents of a registry's keys are read; the same key is not read twice for one usage.
#[test]
fn registry_keys_are_read_in_both_shapes() {
    let world = World::new();
    assert_eq!(RegistryKeys::from_json(&world.sigstore.registry_keys_json()).unwrap().iter().count(), 4);
    assert_eq!(
        RegistryKeys::from_json(&world.sigstore.registry_keys_endpoint_json()).unwrap().iter().count(),
        2
    );
    for document in
        [json!({}), json!([]), json!({ "keys": [{}] }), json!({ "keys": [{ "keyid": "x", "key": "AAAA" }] })]
    {
        RegistryKeys::from_json(document.to_string().as_bytes()).unwrap_err();
    }
}

/// Appends a copy of the first element after a change.
fn push(list: &mut Value, change: impl FnOnce(Value) -> Value) {
    let copy = change(list[0].clone());
    list.as_array_mut().expect("a list").push(copy);
}
