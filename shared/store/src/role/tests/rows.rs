//! Rows that nobody could read, or that are another service's to write, are taken from no role.

use touchstone_domain::{ArtifactDbId, ClaimField, Ecosystem, Evidence, EvidenceKind, OutcomeKind, Reason};

use super::*;

/// A piece of that kind.
pub(super) fn evidence(kind: EvidenceKind) -> [Evidence; 1] {
    [Evidence {
        kind,
        url: "https://registry.example/a".into(),
        sha256: Sha256::of(kind.as_str()),
        size: 1,
        seen_at: Timestamp::UNIX_EPOCH,
    }]
}

/// The code and the constraint of what a role's statement comes to.
async fn attempt(db: &TestDb, role: DatabaseRole, sql: &str) -> (String, String) {
    let Err(error) = db.login(role.user()).await.batch_execute(sql).await else { return Default::default() };
    let error = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
    (error.code().code().to_owned(), error.constraint().unwrap_or_else(|| error.message()).to_owned())
}

fn refused(code: &str, why: &str) -> (String, String) {
    (code.to_owned(), why.to_owned())
}

#[tokio::test]
async fn a_service_adds_the_evidence_that_it_fetches_and_no_other() {
    let db = TestDb::new().await;
    db.artifact("a", &[CheckKind::Hash]).await;
    let by_policy = "new row violates row-level security policy for table \"evidence\"";
    for (n, (role, own)) in (1..).zip([
        (DatabaseRole::Edge, EvidenceKind::MetadataEntry),
        (DatabaseRole::Attest, EvidenceKind::Attestations),
        (DatabaseRole::Sumdb, EvidenceKind::SumdbLookup),
    ]) {
        let insert = |kind: &str| {
            format!(
                "INSERT INTO evidence (artifact_id, ordinal, kind, url, sha256, size, seen_at)
                 VALUES (1, {n}, '{kind}', 'u', sha256('e'), 1, now())"
            )
        };
        let others = EvidenceKind::ALL.into_iter().filter(|kind| *kind != own).map(EvidenceKind::as_str);
        for kind in others.chain(["x"]) {
            assert_eq!(attempt(&db, role, &insert(kind)).await, refused("42501", by_policy), "{role} {kind}");
        }
        assert_eq!(attempt(&db, role, &insert(own.as_str())).await, Default::default(), "{role}");
    }
}

#[tokio::test]
async fn what_nobody_could_read_is_refused() {
    let db = TestDb::new().await;
    for package in ["a", "b"] {
        db.artifact(package, &[CheckKind::Hash]).await;
    }
    let claim = "INSERT INTO claim (artifact_id, ordinal, field, value) VALUES (1, ";
    let evidence = "INSERT INTO evidence (artifact_id, kind, url, sha256, size, ordinal, seen_at)
        VALUES (1, 'metadata_entry', 'u', sha256('e'), 1, ";
    let policy = "INSERT INTO policy (sha256, document) VALUES (sha256('d'), ";
    let gate = "UPDATE gate SET eligible_at = ";
    let outbox = "UPDATE gate SET dispatch_due = ";
    let incident = "INSERT INTO incident (kind, ecosystem, package, detail) VALUES ('second_digest', ";
    let last = "UPDATE incident SET last_at = ";
    let (edge, hash, promote) = (DatabaseRole::Edge, DatabaseRole::Hash, DatabaseRole::Promote);
    for (role, insert, taken, not, why) in [
        (edge, claim, "10, 'size', 'v')", "10, 'x', 'v')", "claim_known_check"),
        (edge, claim, "511, 'size', 'v')", "512, 'size', 'v')", "claim_count_check"),
        (edge, evidence, "511, now())", "512, now())", "evidence_count_check"),
        (edge, evidence, "8, '1970-01-01 00:00:00+00')", "8, '0044-03-15 BC')", "evidence_seen_check"),
        (edge, evidence, "9, '9999-11-30')", "9, 'infinity')", "evidence_seen_check"),
        (edge, policy, "'d')", "'e')", "policy_document_is_named_check"),
        (hash, incident, "'go', 'golang.example/a/v2', '{}')", "'x', 'a', '{}')", "incident_names_check"),
        (hash, incident, "'npm', '@a/b', '{}')", "'npm', 'a b', '{}')", "incident_names_check"),
        (hash, last, "'2026-01-01'", "'infinity'", "incident_times_check"),
        (promote, gate, "'9999-12-30 22:00:00.999999+00'", "'infinity'", "gate_times_check"),
        (promote, gate, "'1970-01-01'", "'-infinity'", "gate_times_check"),
        (promote, gate, "NULL", "'10000-01-01'", "gate_times_check"),
        (promote, outbox, "'2026-01-01'", "'infinity'", "gate_times_check"),
        (promote, outbox, "now()", "'10000-01-01'", "gate_times_check"),
    ] {
        assert_eq!(attempt(&db, role, &format!("{insert}{not}")).await, refused("23514", why), "{not}");
        assert_eq!(attempt(&db, role, &format!("{insert}{taken}")).await, Default::default(), "{taken}");
        assert_eq!(db.store.facts(&[ArtifactDbId(1)]).await.unwrap().len(), 1, "{taken}");
    }
    assert_eq!(db.store.incidents(9).await.unwrap().len(), 2);
    let package = crate::testing::id("a", "1.0.0").package;
    assert_eq!(db.store.package_artifacts(Ecosystem::Npm, &package).await.unwrap().len(), 1);
}

/// What cannot be read of an incident hides neither it nor another.
#[tokio::test]
async fn an_incident_whose_detail_cannot_be_read_is_told() {
    let db = TestDb::new().await;
    for detail in ["{\"n\": 1}", "1e400", "{\"n\": 1e400}"] {
        let insert = format!(
            "INSERT INTO incident (kind, ecosystem, package, detail) VALUES ('second_digest', 'npm', 'a', '{detail}')"
        );
        assert_eq!(attempt(&db, DatabaseRole::Hash, &insert).await, Default::default(), "{detail}");
    }
    let told = db.store.incidents(9).await.unwrap();
    let huge = format!("1{}", "0".repeat(400));
    assert_eq!(told[2].detail, serde_json::json!({ "n": 1 }));
    assert_eq!(told[1].detail, serde_json::json!({ "shortened": huge }));
    assert_eq!(told[0].detail, serde_json::json!({ "shortened": format!("{{\"n\": {huge}}}") }));
}

/// A waiver's end is compared in Postgres, for all waivers at once.
#[tokio::test]
async fn a_verdict_whose_time_or_waiver_whose_end_is_none_is_refused() {
    let db = TestDb::new().await;
    let a = db.artifact("a", &[CheckKind::Attest]).await;
    let finding = Box::new(Reason::Trivial);
    let mut waived = a.verdict(CheckKind::Attest, OutcomeKind::Pass);
    waived.outcome.reason = Reason::Waived { reason: "r".into(), expires: Timestamp::MAX, finding };
    db.judge(&[waived]).await.unwrap();
    db.execute("ALTER TABLE verdict DISABLE TRIGGER append_only").await.unwrap();
    for decided in ["'infinity'", "'-infinity'", "'10000-01-01'"] {
        let refused = db.execute(&format!("UPDATE verdict SET decided_at = {decided}")).await.unwrap_err();
        let constraint = refused.as_db_error().unwrap().constraint();
        assert_eq!(constraint, Some("verdict_decided_check"), "{decided}");
    }
    for (change, code) in [
        ("reason || '{\"expires\": \"soon\"}'", "22007"),
        ("reason - 'expires'", "23514"),
        ("reason || '{\"expires\": \"2026-01-01T00:00:00Z\"}'", ""),
        ("'{\"code\": \"of_a_newer_version\", \"expires\": \"soon\"}'", ""),
    ] {
        let done = db.execute(&format!("UPDATE verdict SET reason = {change}")).await;
        let found = done.err().map_or_else(String::new, |error| error.code().unwrap().code().to_owned());
        assert_eq!(found, code, "{change}");
        db.store.reopen_waived(9).await.unwrap();
    }
}

/// A new word needs a migration.
#[tokio::test]
async fn the_words_that_postgres_takes_are_those_that_are_read() {
    let db = TestDb::new().await;
    for (constraint, mut words) in [
        ("claim_known_check", ClaimField::ALL.map(ClaimField::as_str).to_vec()),
        ("evidence_known_check", EvidenceKind::ALL.map(EvidenceKind::as_str).to_vec()),
    ] {
        let definition =
            format!("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{constraint}'");
        let definition: String = db.query(&definition).await[0].get(0);
        let mut taken: Vec<&str> = definition.split('\'').skip(1).step_by(2).collect();
        taken.sort_unstable();
        words.sort_unstable();
        assert_eq!(taken, words, "{definition}");
    }
}
