use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;
use touchstone_domain::{Algorithm, Ecosystem, FileName, PackageName, Version};

use super::*;
use crate::{
    Envelope,
    testing::{at, fetch, id, resigned, ring, signer, verdict},
};

fn payload(envelope: &[u8]) -> Value {
    serde_json::from_slice(&Envelope::parse(envelope).expect("an envelope").payload).expect("JSON")
}

fn signed_fetch() -> Vec<u8> {
    fetch().sign(&signer(KeyKind::Fetch, 0)).expect("signs")
}

fn signed_verdict() -> Vec<u8> {
    verdict(CheckKind::Hash).sign(&signer(KeyKind::Hash, 0)).expect("signs")
}

/// Why a fetch or a verdict is refused that says `to` where the honest one says `from`.
fn problem(envelope: &[u8], from: &str, to: &str) -> (&'static str, String) {
    let is_fetch = payload(envelope)["name"] == "fetch";
    let kind = if is_fetch { KeyKind::Fetch } else { KeyKind::Hash };
    let changed = resigned(envelope, from, to, &signer(kind, 0));
    let refused = if is_fetch {
        FetchStatement::verify(&changed, &ring()).expect_err(to)
    } else {
        VerdictStatement::verify(&changed, &ring()).expect_err(to)
    };
    match refused {
        Refused::Statement(StatementError { field, problem }) => (field, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fetch_is_a_link_without_materials() {
    let link = payload(&signed_fetch());
    assert_eq!((&link["_type"], &link["name"]), (&"link".into(), &"fetch".into()));
    assert_eq!(link["materials"], serde_json::json!({}));
    assert_eq!(link["environment"], serde_json::json!({}));
    let file = serde_json::json!({"left-pad-1.0.0.tgz": {"sha256": fetch().sha256}});
    assert_eq!(link["products"], file);
    assert_eq!(link["byproducts"]["purl"], "pkg:npm/%40scope/left-pad@1.0.0?file_name=left-pad-1.0.0.tgz");
    assert_eq!(link["byproducts"]["published_at"], "none");
    let read = FetchStatement::verify(&signed_fetch(), &ring()).expect("verifies");
    assert_eq!((read.statement(), read.envelope()), (&fetch(), Sha256::of(signed_fetch())));
}

#[test]
fn the_products_of_a_check_say_what_it_found() {
    let file = id().file.to_string();
    let absent = format!("not-offered/{file}");
    for (kind, products) in [
        (OutcomeKind::Pass, vec![file.as_str()]),
        (OutcomeKind::NotOffered, vec![absent.as_str()]),
        (OutcomeKind::Fail, vec![]),
        (OutcomeKind::Inconclusive, vec![]),
    ] {
        let mut statement = verdict(CheckKind::Hash);
        statement.verdict.outcome.kind = kind;
        let signed = statement.sign(&signer(KeyKind::Hash, 0)).expect("signs");
        let link = payload(&signed);
        let paths = |field: &str| -> BTreeSet<String> {
            link[field].as_object().expect("an object").keys().cloned().collect()
        };
        assert_eq!(paths("products"), products.into_iter().map(str::to_owned).collect(), "{kind}");
        let used = [format!("evidence/{}", Sha256::of("packument")), format!("trust/{}", Sha256::of("root"))];
        assert_eq!(paths("materials"), [file.clone()].into_iter().chain(used).collect());
        let read = VerdictStatement::verify(&signed, &ring()).expect("verifies");
        assert_eq!(read.statement(), &statement);
    }
}

#[test]
fn a_changed_fetch_is_refused_by_the_name_of_its_field() {
    let honest = signed_fetch();
    let purl = "pkg:npm/@scope/left-pad@1.0.0?file_name=left-pad-1.0.0.tgz";
    let other_ecosystem = "no such value: \"pkg:pypi/a/b@1?file_name=left-pad-1.0.0.tgz\"";
    let another_ecosystem = "no such value: \"pkg:cargo/a/b@1?file_name=left-pad-1.0.0.tgz\"";
    for (from, to, field, value) in [
        ("\"size\":\"8\"", "\"size\":\"08\"", "size", "08"),
        ("\"size\":\"8\"", "\"size\":\"-8\"", "size", "-8"),
        ("\"none\"", "\"\"", "published_at", ""),
        (".123456Z", ".123456+00:00", "fetched_at", "2026-08-01T00:00:00.123456+00:00"),
        ("pkg:npm/%40scope", "pkg:npm/@scope", "purl", purl),
    ] {
        assert_eq!(problem(&honest, from, to), (field, format!("no such value: {value:?}")), "{to}");
    }
    let root = fetch().chunk_root.to_string();
    let upper = root.to_uppercase();
    assert_eq!(problem(&honest, &root, &upper), ("chunk_root", format!("no such value: {upper:?}")));
    let evidence = format!("{} ", Sha256::of("packument"));
    let two = problem(&honest, &evidence, &format!("{evidence} "));
    assert_eq!(two, ("evidence", "no such value: \"\"".to_owned()));
    for (from, to, field, expected) in [
        ("?file_name=left-pad-1.0.0.tgz", "", "purl", "it does not name one file"),
        // a name that none of its packages has
        ("pkg:npm/%40scope/left-pad@1.0.0", "pkg:pypi/a/b@1", "purl", other_ecosystem),
        ("pkg:npm/%40scope/left-pad@1.0.0", "pkg:cargo/a/b@1", "purl", another_ecosystem),
        ("\"environment\":\"test\"", "\"environment\":\"\"", "environment", "it has 0 bytes, not 1 to 64"),
    ] {
        assert_eq!(problem(&honest, from, to), (field, expected.to_owned()), "{to}");
    }
}

#[test]
fn a_link_that_is_not_of_our_form_is_refused() {
    let honest = signed_fetch();
    let form = "it is written in another form";
    let product = "\"left-pad-1.0.0.tgz\":{";
    for (from, to, field, expected) in [
        ("?file_name=left", "?file_name=right", "products", "they are not those of such a step"),
        (product, "\"dir/left-pad-1.0.0.tgz\":{", "products", "there is not exactly one file"),
        (product, "\"a\":{},\"left-pad-1.0.0.tgz\":{", "products", "there is not exactly one file"),
        ("\"sha256\"", "\"sha512\"", "products", "the file has no SHA-256"),
        (
            "\"materials\":{}",
            "\"materials\":{\"a\":{}}",
            "materials",
            "they are not those that the fields name",
        ),
        ("\"environment\":{}", "\"environment\":{\"a\":\"b\"}", "environment", "it is not empty"),
        ("\"environment\":{}", "\"environment\":null", "environment", "it is not empty"),
        ("\"command\":[]", "\"command\":[\"true\"]", "command", "it is not empty"),
        (
            "\"byproducts\":{",
            "\"byproducts\":{\"return-value\":0,",
            "byproducts",
            "there is the result of a command",
        ),
        ("\"byproducts\":{", "\"byproducts\":{\"another\":\"\",", "byproducts", "unknown \"another\""),
        ("\"name\":\"fetch\"", "\"name\":\"hash\"", "name", "it is not fetch"),
        ("\"_type\":\"link\"", "\"_type\":\"layout\"", "link", form),
        ("{\"_type\"", "{ \"_type\"", "link", form),
        ("{\"_type\"", "{\"more\":1,\"_type\"", "link", form),
        ("\"size\":\"8\"", "\"size\":\"8\",\"size\":\"8\"", "link", form),
        ("{\"_type\"", "{\"name\":\"\",\"_type\"", "link", "duplicate field `name` at line 1 column 32"),
    ] {
        assert_eq!(problem(&honest, from, to), (field, expected.to_owned()), "{to}");
    }
}

#[test]
fn a_changed_verdict_is_refused_by_the_name_of_its_field() {
    let honest = signed_verdict();
    let (packument, root) = (Sha256::of("packument").to_string(), Sha256::of("root").to_string());
    let material = format!("\"evidence/{packument}\":{{\"sha256\":\"{packument}\"}},");
    let named = format!("\"evidence\":\"{packument}\"");
    let materials = "they are not those that the fields name".to_owned();
    for (from, to, field, expected) in [
        (material.as_str(), "", "materials", materials.clone()),
        (&named, "\"evidence\":\"\"", "materials", materials.clone()),
        (&format!("trust/{root}"), &format!("trust/{packument}"), "materials", materials.clone()),
        (
            "\"outcome\":\"pass\"",
            "\"outcome\":\"fail\"",
            "products",
            "they are not those of such a step".to_owned(),
        ),
        ("\"outcome\":\"pass\"", "\"outcome\":\"passed\"", "outcome", "no such value: \"passed\"".to_owned()),
        ("\"epoch\":\"1\"", "\"epoch\":\"2147483648\"", "epoch", "no such value: \"2147483648\"".to_owned()),
        ("\"artifact\":\"7\"", "\"artifact\":\"+7\"", "artifact", "no such value: \"+7\"".to_owned()),
        ("\"name\":\"hash\"", "\"name\":\"fetch\"", "name", "it is not that of a check".to_owned()),
        ("\"reason\":\"{", "\"reason\":\"", "reason", "trailing characters at line 1 column 7".to_owned()),
        ("\"service\":\"hash\"", "\"service\":\"\"", "service", "it has 0 bytes, not 1 to 64".to_owned()),
    ] {
        assert_eq!(problem(&honest, from, to), (field, expected), "{to}");
    }
}

#[test]
fn every_field_of_a_statement_must_be_there() {
    for (envelope, count) in [(signed_fetch(), 11), (signed_verdict(), 18)] {
        let byproducts = payload(&envelope)["byproducts"].as_object().expect("an object").clone();
        assert_eq!(byproducts.len(), count);
        let last = byproducts.keys().next_back().expect("there are some").clone();
        for (name, text) in byproducts {
            let member = format!("\"{name}\":{text}");
            let member = if name == last { format!(",{member}") } else { format!("{member},") };
            let (field, problem) = problem(&envelope, &member, "");
            assert_eq!((field, problem.as_str()), (name.as_str(), "it is missing"));
        }
    }
}

#[test]
fn what_would_be_refused_is_not_signed() {
    let hash = signer(KeyKind::Hash, 0);
    let field = |statement: &VerdictStatement| match statement.sign(&hash) {
        Err(SignError::Statement(StatementError { field, .. })) => field,
        other => panic!("{other:?}"),
    };
    let mut statement = verdict(CheckKind::Hash);
    statement.upstream_url = "x".repeat(8193);
    assert_eq!(field(&statement), "upstream_url");
    statement = verdict(CheckKind::Hash);
    statement.environment = "x".repeat(65);
    assert_eq!(field(&statement), "environment");
    statement = verdict(CheckKind::Hash);
    statement.verdict.software = String::new();
    assert_eq!(field(&statement), "software");
    statement = verdict(CheckKind::Hash);
    statement.verdict.evidence = (0..400).map(|n: u32| Sha256::of(n.to_be_bytes())).collect();
    assert!(matches!(statement.sign(&hash), Err(SignError::Size(_))));
}

#[test]
fn a_reason_of_a_newer_version_is_read_as_far_as_it_goes() {
    let changed = resigned(&signed_verdict(), "digests_match", "looked_hard", &signer(KeyKind::Hash, 0));
    let read = VerdictStatement::verify(&changed, &ring()).expect("verifies");
    let code = "looked_hard".to_owned();
    assert_eq!(read.statement().verdict.outcome, Outcome::pass(Reason::Unreadable { code }));
}

#[test]
fn link_files_are_named_as_in_toto_expects_it() {
    let key = signer(KeyKind::Hash, 0).key_id();
    assert_eq!(link_file_name("hash", key), format!("hash.{}.link", &key.to_string()[..8]));
}

fn digest() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_i64, 0..1_000_000_000_i32).prop_map(|(s, ns)| Timestamp::new(s, ns).expect("a date"))
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{1,15}|[ -~]{1,60}|none|\"\\\\/"
}

fn coordinates() -> impl Strategy<Value = ArtifactId> {
    let package = prop_oneof![
        "(@[a-z][a-z0-9-]{0,8}/)?[A-Za-z][A-Za-z0-9._~-]{0,20}".prop_map(|name| (Ecosystem::Npm, name)),
        "[a-z][a-z0-9-]{0,20}".prop_map(|name| (Ecosystem::Pypi, name)),
        "[a-z][a-z0-9_-]{0,20}".prop_map(|name| (Ecosystem::Cargo, name)),
        "[a-z]{1,8}[.]example(/[A-Za-z][A-Za-z0-9._~-]{0,12}){0,4}".prop_map(|name| (Ecosystem::Go, name)),
    ];
    let version = "v?[0-9]{1,3}[.][0-9]([.+-][0-9A-Za-z]{1,8}){0,3}";
    (package, version, "[A-Za-z0-9][A-Za-z0-9._+*=@!~,\\[\\]-]{0,30}").prop_map(
        |((ecosystem, package), version, file)| ArtifactId {
            ecosystem,
            package: PackageName::new(package).expect("name"),
            version: Version::new(version).expect("version"),
            file: FileName::new(file).expect("file"),
        },
    )
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        any::<u32>().prop_map(|claims| Reason::DigestsMatch { claims }),
        any::<(u64, u64)>().prop_map(|(declared, computed)| Reason::SizeMismatch { declared, computed }),
        (text(), text()).prop_map(|(problem, detail)| Reason::RegistrySignatureRefused { problem, detail }),
        option::of(timestamp()).prop_map(|published_at| Reason::WeakOnly {
            algorithms: vec![Algorithm::Md5, Algorithm::Sha1],
            published_at,
        }),
        Just(Reason::NoClaim),
    ]
}

prop_compose! {
    fn verdicts()(
        (check, kind) in prop::sample::select(CheckKind::ALL.to_vec())
            .prop_flat_map(|check| (Just(check), prop::sample::select(OutcomeKind::ALL.to_vec()))),
        numbers in any::<(i64, i32, i32, i32)>(),
        (sha256, chunk_root) in (digest(), option::of(digest())),
        (evidence, trust) in (vec(digest(), 0..6), vec(digest(), 0..3)),
        reason in reason(),
        (service, software) in (text(), text()),
        decided_at in timestamp(),
    ) -> Verdict {
        let (artifact, epoch, check_revision, policy_epoch) = numbers;
        Verdict {
            artifact: ArtifactDbId(artifact), sha256, chunk_root, epoch, check, check_revision, policy_epoch,
            outcome: Outcome { kind, reason }, evidence, trust, service, software, decided_at,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_verdict_reads_back(
        id in coordinates(), verdict in verdicts(), size: u64, sha512 in digest(), policy in digest(),
        texts in (text(), text()),
    ) {
        let (environment, upstream_url) = texts;
        let statement =
            VerdictStatement { environment, id, sha512: Sha512::of(sha512.0), size, upstream_url, policy, verdict };
        let key = signer(statement.kind(), 0);
        let envelope = statement.sign(&key).expect("signs");
        let payload = Envelope::parse(&envelope).expect("parses").payload;
        prop_assert_eq!(<VerdictStatement as Statement>::parse(&payload), Ok(statement.clone()));
        prop_assert_eq!(VerdictStatement::parse_by_models(&payload), Ok(statement), "the in-toto crate writes the same");
    }

    #[test]
    fn every_fetch_reads_back(
        id in coordinates(), digests in (digest(), digest()), size: u64, published_at in option::of(timestamp()),
        times in (timestamp(), timestamp()), evidence in vec(digest(), 0..6), texts in (text(), text(), text()),
    ) {
        let statement = FetchStatement {
            environment: texts.0, id, sha256: digests.0, sha512: Sha512::of(digests.1.0), size, chunk_root: digests.1,
            upstream_url: texts.1, published_at, first_seen: times.0, fetched_at: times.1, evidence, software: texts.2,
        };
        let envelope = statement.sign(&signer(KeyKind::Fetch, 0)).expect("signs");
        let payload = Envelope::parse(&envelope).expect("parses").payload;
        prop_assert_eq!(<FetchStatement as Statement>::parse(&payload), Ok(statement.clone()));
        prop_assert_eq!(FetchStatement::parse_by_models(&payload), Ok(statement), "the in-toto crate writes the same");
    }

    /// A payload is refused, never a panic, whatever one byte of it becomes; or it says something else.
    #[test]
    fn no_payload_is_read_in_two_ways(position: prop::sample::Index, byte: u8) {
        let honest = Envelope::parse(&signed_verdict()).expect("parses").payload;
        let mut changed = honest.clone();
        changed[position.index(honest.len())] = byte;
        prop_assume!(changed != honest);
        prop_assert_ne!(<VerdictStatement as Statement>::parse(&changed), Ok(verdict(CheckKind::Hash)));
    }
}

#[test]
fn honest_links_are_read_without_the_models() {
    let quick = |envelope: &[u8]| Envelope::parse(envelope).expect("parses").payload;
    let (fetched, found) = (quick(&signed_fetch()), quick(&signed_verdict()));
    let mut link = wire::Quick::read(&fetched).expect("a link");
    assert_eq!(<FetchStatement as Step>::read(&mut link), Ok(fetch()));
    let mut link = wire::Quick::read(&found).expect("a link");
    assert_eq!(<VerdictStatement as Step>::read(&mut link), Ok(verdict(CheckKind::Hash)));
}

#[test]
fn dates_are_written_to_the_nanosecond() {
    let mut statement = verdict(CheckKind::Hash);
    statement.verdict.decided_at = at("2026-08-01T00:00:01.000000001Z");
    let signed = statement.sign(&signer(KeyKind::Hash, 0)).expect("signs");
    assert_eq!(VerdictStatement::verify(&signed, &ring()).expect("verifies").statement(), &statement);
}
