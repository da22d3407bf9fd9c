//! Log entries of something else (threats.md A-10 to A-13, A-27; ecosystems.md 14 A13).
//!
//! Every entry here is honestly in the log, with its proof, its checkpoint and its promise. It is only not this bundle's.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use touchstone_attestation::Problem;
use touchstone_domain::Sha256;
use touchstone_testkit::sigstore::EntryKind;

use super::{BYTES, Case, PUBLISHED, WHEEL, WHEEL_V2, World, bytes, entry, flip};

/// A provenance bundle from before the `dsse` kind, and the registry's.
const WHEEL_INTOTO: Case =
    Case { mint: |w| w.wheel().entries(&[EntryKind::Intoto]), judge: World::judge_wheel };
const BYTES_V2: Case = Case {
    mint: |w| w.sigstore.sign_artifact(&w.identity, super::ARTIFACT).entries(&[EntryKind::HashedRekordV2]),
    judge: World::judge_bytes,
};

const NOT_BOUND: Problem = Problem::LogEntryMismatch;

/// A-10 to A-12, A-27: `dsse` 0.0.1. Its envelope hash is not compared: it covers a JSON text that nobody can reproduce.
#[test]
fn a_dsse_entry_of_something_else_is_refused() {
    World::new().refuses(
        WHEEL,
        &[
            (
                "another payload",
                |b| b.body(|e| e["spec"]["payloadHash"]["value"] = hash(b"other")),
                NOT_BOUND,
            ),
            (
                "another algorithm",
                |b| b.body(|e| e["spec"]["payloadHash"]["algorithm"] = "sha512".into()),
                Problem::UnsupportedKey,
            ),
            (
                "another signature",
                |b| b.body(|e| flip(&mut e["spec"]["signatures"][0]["signature"])),
                NOT_BOUND,
            ),
            (
                "another certificate",
                |b| b.body(|e| e["spec"]["signatures"][0]["verifier"] = strangers_certificate()),
                NOT_BOUND,
            ),
            ("no signature", |b| b.body(|e| e["spec"]["signatures"] = json!([])), NOT_BOUND),
            (
                "two signatures",
                |b| {
                    b.body(|e| {
                        let signatures = e["spec"]["signatures"].as_array_mut().unwrap();
                        signatures.push(signatures[0].clone());
                    })
                },
                NOT_BOUND,
            ),
            ("nothing at all", |b| b.body(|e| e["spec"] = json!({})), NOT_BOUND),
        ],
    );
}

/// A-10 to A-12, A-27: `intoto` 0.0.2, by a certificate and by a key.
#[test]
fn an_intoto_entry_of_something_else_is_refused() {
    fn content(body: &mut Value) -> &mut Value {
        &mut body["spec"]["content"]
    }
    let world = World::new();
    for case in [WHEEL_INTOTO, PUBLISHED] {
        world.refuses(
            case,
            &[
                (
                    "another payload",
                    |b| b.body(|e| content(e)["payloadHash"]["value"] = hash(b"other")),
                    NOT_BOUND,
                ),
                (
                    "another payload type",
                    |b| b.body(|e| content(e)["envelope"]["payloadType"] = "text/plain".into()),
                    NOT_BOUND,
                ),
                (
                    "another signature",
                    |b| {
                        b.body(|e| {
                            bytes(&mut content(e)["envelope"]["signatures"][0]["sig"], |inner| {
                                let mut signature = STANDARD.decode(&*inner).unwrap();
                                *signature.last_mut().unwrap() ^= 1;
                                *inner = STANDARD.encode(signature).into_bytes();
                            });
                        })
                    },
                    NOT_BOUND,
                ),
                (
                    "another signer",
                    |b| {
                        b.body(|e| {
                            content(e)["envelope"]["signatures"][0]["publicKey"] = strangers_certificate();
                        })
                    },
                    NOT_BOUND,
                ),
                ("no signature", |b| b.body(|e| content(e)["envelope"]["signatures"] = json!([])), NOT_BOUND),
            ],
        );
    }
}

/// A-10 to A-12: `hashedrekord` of either log, over an artifact and over an envelope.
#[test]
fn a_hashedrekord_entry_of_something_else_is_refused() {
    fn data(body: &mut Value) -> &mut Value {
        &mut body["spec"]["hashedRekordV002"]
    }
    let world = World::new();
    world.refuses(
        BYTES,
        &[
            (
                "another artifact",
                |b| b.body(|e| e["spec"]["data"]["hash"]["value"] = hash(b"other")),
                NOT_BOUND,
            ),
            ("another signature", |b| b.body(|e| flip(&mut e["spec"]["signature"]["content"])), NOT_BOUND),
            (
                "another certificate",
                |b| b.body(|e| e["spec"]["signature"]["publicKey"]["content"] = strangers_certificate()),
                NOT_BOUND,
            ),
        ],
    );
    for case in [BYTES_V2, WHEEL_V2] {
        world.refuses(
            case,
            &[
                ("another artifact", |b| b.body(|e| flip(&mut data(e)["data"]["digest"])), NOT_BOUND),
                (
                    "another algorithm",
                    |b| b.body(|e| data(e)["data"]["algorithm"] = "SHA2_512".into()),
                    Problem::UnsupportedKey,
                ),
                ("another signature", |b| b.body(|e| flip(&mut data(e)["signature"]["content"])), NOT_BOUND),
                (
                    "another certificate",
                    |b| {
                        b.body(|e| {
                            flip(&mut data(e)["signature"]["verifier"]["x509Certificate"]["rawBytes"]);
                        })
                    },
                    NOT_BOUND,
                ),
                (
                    "no certificate",
                    |b| b.body(|e| super::remove(&mut data(e)["signature"]["verifier"], "x509Certificate")),
                    NOT_BOUND,
                ),
            ],
        );
    }
}

/// A13 (GHSA-whqx-f9j3-ch6m, CVE-2022-36056): a whole entry of another release by the same signer.
#[test]
fn an_entry_of_another_bundle_is_refused() {
    let world = World::new();
    for case in [WHEEL, WHEEL_INTOTO, BYTES, BYTES_V2, WHEEL_V2, PUBLISHED] {
        let (mut bundle, mut other) = ((case.mint)(&world).value(), (case.mint)(&world).value());
        for honest in [&bundle, &other] {
            super::accepted((case.judge)(&world, honest.to_string().as_bytes()));
        }
        std::mem::swap(entry(&mut bundle), entry(&mut other));
        for mixed in [&bundle, &other] {
            super::refused("the other's", (case.judge)(&world, mixed.to_string().as_bytes()), NOT_BOUND);
        }
    }
}

/// A-13: the entry is of a kind that does not log this sort of bundle, or not of the kind that the bundle says.
#[test]
fn an_entry_of_another_kind_is_refused() {
    let world = World::new();
    world.refuses(
        WHEEL,
        &[
            ("an artifact's", |b| b.entries(&[EntryKind::HashedRekord]), NOT_BOUND),
            ("the body says another kind", |b| b.body(|e| e["kind"] = "intoto".into()), NOT_BOUND),
            ("the body says another version", |b| b.body(|e| e["apiVersion"] = "0.0.2".into()), NOT_BOUND),
            ("the body says no kind", |b| b.body(|e| super::remove(e, "kind")), Problem::Malformed),
        ],
    );
    world.refuses(
        BYTES,
        &[
            ("an envelope's", |b| b.entries(&[EntryKind::Dsse]), NOT_BOUND),
            ("an old envelope's", |b| b.entries(&[EntryKind::Intoto]), NOT_BOUND),
        ],
    );
    world.refuses_changed(
        WHEEL,
        &[
            ("said to be intoto", |b| said(b, "intoto", "0.0.2"), NOT_BOUND),
            ("said to be of the second log", |b| said(b, "hashedrekord", "0.0.2"), Problem::LogInclusion),
        ],
    );
}

/// Kinds that no verifier here knows (sigstore.md 11.7).
#[test]
fn an_entry_of_an_unknown_kind_is_refused() {
    let world = World::new();
    world.refuses(
        WHEEL_V2,
        &[("dsse 0.0.2", |b| b.entries(&[EntryKind::DsseV2]), Problem::UnsupportedVersion)],
    );
    world.refuses_changed(
        WHEEL,
        &[
            ("intoto 0.0.1", |b| said(b, "intoto", "0.0.1"), Problem::UnsupportedVersion),
            ("dsse 0.0.3", |b| said(b, "dsse", "0.0.3"), Problem::UnsupportedVersion),
            ("another name", |b| said(b, "rpm", "0.0.1"), Problem::UnsupportedVersion),
            ("no name", |b| said(b, "", ""), Problem::UnsupportedVersion),
        ],
    );
}

/// The body that was logged is one reading, whoever parses it.
#[test]
fn a_body_with_a_key_twice_is_refused() {
    let world = World::new();
    let honest = world.wheel().value();
    super::accepted(world.judge_wheel(honest.to_string().as_bytes()));
    let mut bundle = honest;
    let body = String::from_utf8(super::decoded(&entry(&mut bundle)["canonicalizedBody"])).unwrap();
    let twice = body.replacen('{', r#"{"kind":"dsse","#, 1);
    *entry(&mut bundle) =
        world.sigstore.rekor.append(("dsse", "0.0.1"), twice.as_bytes(), world.sigstore.now);
    super::refused("twice", world.judge_wheel(bundle.to_string().as_bytes()), Problem::DuplicateKey);
}

fn said(bundle: &mut Value, kind: &str, version: &str) {
    entry(bundle)["kindVersion"] = json!({ "kind": kind, "version": version });
}

fn hash(bytes: &[u8]) -> Value {
    Value::from(Sha256::of(bytes).to_string())
}

/// A certificate of somebody else, as entries of the first log hold it.
fn strangers_certificate() -> Value {
    let mut bundle = World::new().wheel().value();
    let body: Value =
        serde_json::from_slice(&super::decoded(&entry(&mut bundle)["canonicalizedBody"])).expect("json");
    body["spec"]["signatures"][0]["verifier"].clone()
}
