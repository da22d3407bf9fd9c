//! Each role runs the statements of its service. What it may not do is tested with real passwords, in the suite.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use touchstone_domain::{
    Basis, CheckKind, EvidenceKind, Identity, Observed, OutcomeKind, Policy, ReleaseLine, Sha256, TrustRank,
};

use super::*;
use crate::{
    Accepted, Attempt, AttemptClass, IncidentKind, LedgerSubject, LogSeal, LogSource, NewDeadLetter,
    NewDocument, NewIncident, NewLayout, NewLogLeaf, NewSumdbStop, RecallTarget, Store, StoreError,
    StoreOptions, SumdbHead, SumdbStopKind, SumdbTile, SumdbTree, TrustKind, TrustRecord, TrustStatus,
    Wanted,
    testing::{Facts, TestDb, empty_database, judge, key, new_artifact, sign, signed},
};

mod rows;
mod settled;

const CHECKS: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

#[test]
fn an_address_gets_the_role_and_loses_the_password() {
    for (url, expected) in [
        ("postgres://postgres@%2Ftmp%2Fa/db", "postgres://touchstone_edge@%2Ftmp%2Fa/db"),
        ("postgres://postgres:p@ss@h.example:5432/db", "postgres://touchstone_edge@h.example:5432/db"),
        (
            "postgresql://h.example/db?application_name=a@b",
            "postgresql://touchstone_edge@h.example/db?application_name=a@b",
        ),
        ("postgres://postgres@/db?host=/tmp/x", "postgres://touchstone_edge@/db?host=/tmp/x"),
        ("postgres://h.example", "postgres://touchstone_edge@h.example"),
        ("host=/tmp user=postgres", "host=/tmp user=postgres user=touchstone_edge"),
    ] {
        assert_eq!(DatabaseRole::Edge.url(url), expected);
    }
}

#[test]
fn a_role_is_known_by_its_service() {
    for role in DatabaseRole::ALL {
        assert_eq!(role.to_string().parse(), Ok(role));
        assert_eq!(role.user(), format!("touchstone_{role}"));
    }
    let unknown = "owner".parse::<DatabaseRole>().unwrap_err().to_string();
    assert_eq!(
        unknown,
        "unknown database role \"owner\"; known are edge, hash, attest, sumdb, promote and console"
    );
}

/// The store as a service has it.
async fn login(db: &TestDb, role: DatabaseRole) -> Store {
    let options =
        StoreOptions { url: role.url(&db.url), pool_size: 4, application_name: role.user().to_owned() };
    let store = Store::connect(options).await.unwrap();
    let login = store.login().await.unwrap();
    assert_eq!((login.name.as_str(), login.is_owner), (role.user(), false));
    store
}

fn incident(facts: &Facts, kind: IncidentKind) -> NewIncident {
    NewIncident::about(kind, &facts.new.id, Some(facts.artifact), serde_json::json!({}))
}

#[tokio::test]
async fn an_edge_puts_on_record_and_reads_what_it_serves_by() {
    let db = TestDb::new().await;
    let s = login(&db, DatabaseRole::Edge).await;
    let strict = Policy::parse("[[rule]]\nrequire = [\"hash\"]\n").unwrap();
    let epoch = s.register_policy(&strict).await.unwrap();
    let new = new_artifact(epoch, "a", CHECKS);
    for _ in 0..2 {
        s.ingest(&new).await.unwrap();
    }
    let mut other = new.clone();
    other.sha256 = Sha256::of("other");
    s.ingest(&other).await.unwrap();
    let (id, package) = (&new.id, &new.id.package);
    let artifact = s.status(id).await.unwrap().unwrap().artifact();
    s.record_fetch(artifact, &signed("fetch", "again")).await.unwrap();
    s.states(&[artifact]).await.unwrap();
    s.serve_record(id).await.unwrap();
    s.package_artifacts(id.ecosystem, package).await.unwrap();
    s.first_seen(id.ecosystem, package, &[(id.version.clone(), true)]).await.unwrap();
    let document = NewDocument {
        sha256: new.sha256,
        size: 1,
        url: "https://registry.example/a".into(),
        content_type: "text/plain".into(),
        etag: None,
        last_modified: None,
    };
    for _ in 0..2 {
        s.put_document(id.ecosystem, "a", &document).await.unwrap();
    }
    s.touch_document(id.ecosystem, "a", new.sha256).await.unwrap();
    s.document(id.ecosystem, "a").await.unwrap();
    s.sumdb_state("sum.example+1").await.unwrap();
    s.sumdb_tiles("sum.example+1", &[(0, 1)]).await.unwrap();
    s.chains_of_digest(new.sha256).await.unwrap();
    s.chains(&id.into()).await.unwrap();
    s.layout(new.requirement).await.unwrap();
    for kind in [IncidentKind::BlobDamaged, IncidentKind::BlobHealed, IncidentKind::BlobHealed] {
        s.record_incident(&NewIncident::about(kind, id, None, serde_json::json!({}))).await.unwrap();
    }
    assert_eq!(
        db.number("SELECT count(*) FROM incident WHERE resolved_at IS NULL").await,
        1,
        "the second digest"
    );
    s.ping().await.unwrap();
}

/// What every worker does, for its own check.
async fn works(db: &TestDb, check: CheckKind) -> (Store, Facts) {
    let role: DatabaseRole = check.as_str().parse().unwrap();
    let s = login(db, role).await;
    let facts = db.artifact(check.as_str(), &[check]).await;
    s.facts(&[facts.artifact]).await.unwrap();
    s.policy_document(db.policy_epoch).await.unwrap();
    for _ in 0..2 {
        let recorded = s.record_verdicts(&sign(&[facts.pass(check)])).await.unwrap();
        assert_eq!((recorded.inserted + recorded.duplicate, recorded.refused.len()), (1, 0));
    }
    let wrong = crate::SignedVerdict {
        verdict: touchstone_domain::Verdict { sha256: Sha256::of("other"), ..facts.pass(check) },
        signed: signed("hash", "other"),
    };
    assert_eq!(s.record_verdicts(&[wrong]).await.unwrap().refused.len(), 1);
    let attempt = Attempt {
        artifact: facts.artifact,
        epoch: 0,
        check,
        delivery: 1,
        class: AttemptClass::Retry,
        detail: "d".into(),
        service: check.to_string(),
    };
    s.record_attempt(&attempt).await.unwrap();
    for _ in 0..2 {
        s.record_dead_letter(&letter(&facts, check)).await.unwrap();
        s.record_incident(&incident(&facts, IncidentKind::BlobDamaged)).await.unwrap();
    }
    (s, facts)
}

fn letter(facts: &Facts, check: CheckKind) -> NewDeadLetter {
    NewDeadLetter {
        stream: "LIVE".into(),
        consumer: check.to_string(),
        stream_seq: 7,
        deliveries: 8,
        check: Some(check),
        artifact: Some(facts.artifact),
        epoch: Some(0),
        detail: "d".into(),
    }
}

#[tokio::test]
async fn a_worker_records_verdicts_of_its_own_check() {
    let db = TestDb::new().await;
    for check in [CheckKind::Hash, CheckKind::Attest, CheckKind::Sumdb] {
        let (s, facts) = works(&db, check).await;
        let other = if check == CheckKind::Hash { CheckKind::Attest } else { CheckKind::Hash };
        let refused = s.record_verdicts(&sign(&[facts.pass(other)])).await.unwrap_err();
        let StoreError::Statement { statement: "verdict.record", source } = &refused else {
            panic!("{refused}")
        };
        assert_eq!(source.code().unwrap().code(), "42501", "{source}");
    }
}

#[tokio::test]
async fn attest_keeps_identities_and_trust_and_has_what_it_may_now_verify_judged_again() {
    let db = TestDb::new().await;
    let (s, a) = works(&db, CheckKind::Attest).await;
    let (id, package) = (&a.new.id, &a.new.id.package);
    s.add_evidence(a.artifact, &rows::evidence(EvidenceKind::Attestations)).await.unwrap();
    s.seen(id.ecosystem, package, &id.version).await.unwrap();
    s.has_identity(id.ecosystem, package).await.unwrap();
    let identity = Identity {
        issuer: "https://issuer.example".into(),
        signer: "release@acme.example".into(),
        repository: None,
        repository_id: None,
        owner_id: None,
        workflow: None,
        git_ref: None,
        trigger: None,
        runner: None,
    };
    let observed = Observed { identity, rank: TrustRank::Provenance };
    let accepted = Accepted { observed, basis: Basis::FirstUse };
    let subject = LedgerSubject { artifact: a.artifact, id, line: ReleaseLine(1) };
    s.settle_identity(&subject, |_| ((), Some(accepted.clone()))).await.unwrap();
    s.record_trust(&root()).await.unwrap();
    s.trust_history().await.unwrap();
    s.trust_came_from_tuf().await.unwrap();
    tuf(&s).await;
    let status = TrustStatus { usable: true, expires_at: None, confirmed_at: None, refreshed: None };
    for _ in 0..2 {
        s.report_trust(&status).await.unwrap();
    }
    s.trust_reported().await.unwrap();

    let b = db.artifact("b", CHECKS).await;
    let mut refused = b.verdict(CheckKind::Attest, OutcomeKind::Inconclusive);
    refused.trust = vec![Sha256::of("old")];
    db.judge(&[refused]).await.unwrap();
    db.execute("ALTER TABLE verdict DISABLE TRIGGER append_only; UPDATE verdict SET reason = jsonb_set(reason, '{code}', '\"attestation_refused\"') WHERE outcome = 'inconclusive'")
        .await
        .unwrap();
    assert_eq!(s.reopen_unknown_authorities(&[Sha256::of("old")], 9).await.unwrap(), 0);
    assert_eq!(s.reopen_unknown_authorities(&[Sha256::of("new")], 9).await.unwrap(), 1);
    let logged = db.query("SELECT was, state, cause, epoch FROM gate_log ORDER BY id DESC LIMIT 1").await;
    let logged: (String, String, String, i32) =
        (logged[0].get(0), logged[0].get(1), logged[0].get(2), logged[0].get(3));
    assert_eq!(logged, ("verifying".into(), "fetched".into(), "recheck".into(), 1));
}

fn root() -> TrustRecord {
    let document = b"root".to_vec();
    TrustRecord { kind: TrustKind::TufRoot, sha256: Sha256::of(&document), document, origin: "file".into() }
}

async fn tuf(s: &Store) {
    let before = s.tuf_files().await.unwrap().files;
    let one = [("root.json".to_owned(), vec![1])].into();
    let two = [("root.json".to_owned(), vec![2])].into();
    assert!(s.put_tuf_files(&before, &one).await.unwrap().is_some());
    assert!(s.put_tuf_files(&one, &two).await.unwrap().is_some());
    assert!(s.put_tuf_files(&two, &before).await.unwrap().is_some());
}

#[tokio::test]
async fn sumdb_keeps_heads_and_tiles_and_ends_what_ends_by_itself() {
    let db = TestDb::new().await;
    let (s, a) = works(&db, CheckKind::Sumdb).await;
    s.add_evidence(a.artifact, &rows::evidence(EvidenceKind::SumdbLookup)).await.unwrap();
    let head = |size| SumdbHead { size, root: Sha256::of("tree"), note: b"note".to_vec() };
    let tile = |width: u8| SumdbTile { level: 0, index: 1, hashes: vec![width; 32 * usize::from(width)] };
    let (database, ours, theirs) = ("sum.example+1", head(1), head(2));
    s.advance_sumdb_head(database, None, &ours).await.unwrap();
    s.advance_sumdb_head(database, Some(&ours), &theirs).await.unwrap();
    for latest in [1, 3] {
        s.record_sumdb_poll(database, latest, 2).await.unwrap();
    }
    let tree = SumdbTree { lineage: 0, size: 2 };
    for width in [1, 2] {
        s.put_sumdb_tiles(database, tree, &[tile(width)]).await.unwrap();
        s.repair_sumdb_tiles(database, tree, &[tile(width)]).await.unwrap();
    }
    s.sumdb_tiles(database, &[(0, 1)]).await.unwrap();
    let stop = |kind| NewSumdbStop { kind, ours: head(1), theirs: head(2), detail: String::new() };
    for kind in [SumdbStopKind::Freeze, SumdbStopKind::Rollback] {
        assert!(s.stop_sumdb(database, &stop(kind)).await.unwrap());
        assert!(s.resume_sumdb(database, &[kind], "r", false).await.unwrap());
    }
    assert!(s.stop_sumdb(database, &stop(SumdbStopKind::Fork)).await.unwrap());
    for discard in [false, true] {
        s.resume_sumdb(database, &SumdbStopKind::ALL, "r", discard).await.unwrap_err();
    }
    assert!(s.sumdb_state(database).await.unwrap().stop.is_some());

    let console = login(&db, DatabaseRole::Console).await;
    assert!(console.resume_sumdb(database, &SumdbStopKind::ALL, "r", true).await.unwrap());
    assert_eq!(console.sumdb_status().await.unwrap().len(), 1);
    console.sumdb_stops().await.unwrap();
}

#[tokio::test]
async fn promote_judges_promotes_reopens_and_seals() {
    let db = TestDb::new().await;
    let s = login(&db, DatabaseRole::Promote).await;
    let policy = Policy::parse("[[rule]]\nrequire = [\"hash\"]\n").unwrap();
    s.register_policy(&policy).await.unwrap();
    let a = db.artifact("a", &[CheckKind::Hash]).await;
    let ids = [a.artifact];
    s.due(9, 9).await.unwrap();
    s.record_dead_letter(&letter(&a, CheckKind::Hash)).await.unwrap();
    let verdicts = [a.pass(CheckKind::Hash), a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive)];
    db.store.record_verdicts(&sign(&verdicts)).await.unwrap();
    for _ in 0..2 {
        s.record_refusals(&[(2, "signature".into(), "r".into())]).await.unwrap();
    }
    s.record_incident(&incident(&a, IncidentKind::VerdictRefused)).await.unwrap();
    assert_eq!(judge(&s, &ids, Wanted::New, |_| true).await.unwrap().len(), 1);
    s.aged(9).await.unwrap();
    s.release_aged(&ids, &[], None).await.unwrap();
    s.unpromoted(9).await.unwrap();
    s.uncounted_failures(Duration::MAX, 9).await.unwrap();
    s.reopen_waived(9).await.unwrap();
    s.reopen_unsigned(9).await.unwrap();
    s.reopen_unapproved(&ids).await.unwrap();
    s.reported_missing(9).await.unwrap();
    s.reopen_lost(&[]).await.unwrap();
    s.register_blob_store(Sha256::of("a number")).await.unwrap();
    assert_eq!(s.reopen_key(key("hash"), 9).await.unwrap().len(), 1);
    assert_eq!(s.reopen_policy(&ids, &policy).await.unwrap().len(), 1);
    s.states(&ids).await.unwrap();
    s.serve_record(&a.new.id).await.unwrap();

    assert!(s.record_key_event(key("hash"), "hash", "revoked", Some("r")).await.unwrap());
    s.record_recovery(1, "r").await.unwrap();
    s.hold_recalled(Duration::MAX, 9).await.unwrap();
    s.rejections_on_record(&[(touchstone_domain::ArtifactDbId(1), 0)]).await.unwrap();
    s.settle_dead_letters().await.unwrap();
    let leader = s.lead_log().await.unwrap().unwrap();
    assert!(leader.is_held().await);
    assert!(s.lead_log().await.unwrap().is_none());
    let cursor = s.log_cursor().await.unwrap();
    s.log_rows(cursor, 9).await.unwrap();
    let leaf = NewLogLeaf { source: LogSource::Event.as_str(), source_id: 1, entry: b"{}".to_vec() };
    let seal = LogSeal { size: 1, root: Sha256::of("root"), note: b"note".to_vec() };
    assert!(s.append_leaves(0, &[leaf], &seal).await.unwrap());
    s.log_tip().await.unwrap();
    s.log_seal(1).await.unwrap();
    s.audited_leaves(0, 9).await.unwrap();
    s.restored_leaves(0, 9).await.unwrap();
    s.missing_inputs(&[]).await.unwrap();
    s.log_index_of(1).await.unwrap();
    s.raise_epochs(&[(a.new.id.clone(), 9)]).await.unwrap();
    s.raise_serial(9).await.unwrap();
    let target = RecallTarget::Digest(a.new.sha256);
    assert!(!s.is_recalled(&target).await.unwrap());
    s.recall(&target, "r", "the log").await.unwrap();
    let expires_at: Timestamp = "2026-11-22T04:08:41Z".parse().unwrap();
    let layout = NewLayout {
        requirement: a.new.requirement,
        ring: Sha256::of("ring"),
        signed: signed("promote", "layout"),
        expires_at,
    };
    s.record_layouts(&[layout]).await.unwrap();
    s.layout(a.new.requirement).await.unwrap();
}

#[tokio::test]
async fn an_operator_reads_everything_recalls_rechecks_and_settles_but_approves_nothing() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", &[CheckKind::Hash]).await, db.artifact("b", &[CheckKind::Hash]).await];
    db.judge(&[a.pass(CheckKind::Hash), b.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.unwrap();
    for facts in [&a, &b] {
        db.store.record_incident(&incident(facts, IncidentKind::SecondDigest)).await.unwrap();
    }
    let s = login(&db, DatabaseRole::Console).await;
    s.stories(&(&a.new.id).into(), 9).await.unwrap();
    s.counts(8).await.unwrap();
    s.waiting_for(CheckKind::Hash).await.unwrap();
    s.incidents(9).await.unwrap();
    s.incidents_about(&(&a.new.id).into(), 9).await.unwrap();
    s.dead_letters(9).await.unwrap();
    s.identities(a.new.id.ecosystem, &a.new.id.package, 9).await.unwrap();
    s.policy_digests(&[db.policy_epoch]).await.unwrap();
    s.chains(&(&a.new.id).into()).await.unwrap();
    s.chains_of_digest(a.new.sha256).await.unwrap();
    s.layout(a.new.requirement).await.unwrap();
    s.log_tip().await.unwrap();
    s.trust_reported().await.unwrap();
    s.record_trust(&root()).await.unwrap();
    tuf(&s).await;
    let policy = Policy::parse("[[rule]]\nrequire = [\"hash\"]\n").unwrap();
    let all = try_join_all(
        ["pkg:npm/a", "pkg:npm/b"].map(async |purl| s.recheck(&purl.parse().unwrap(), &policy, true).await),
    );
    assert_eq!(all.await.unwrap().iter().map(Vec::len).sum::<usize>(), 2);
    let target = RecallTarget::Digest(a.new.sha256);
    assert_eq!(s.recall(&target, "r", "ops").await.unwrap().len(), 1);
    assert_eq!(s.held(&target).await.unwrap().len(), 1);
    assert_eq!(s.resolve_incidents(None).await.unwrap(), 2);
    s.resolve_dead_letters(None).await.unwrap();
    let refused = s.query("UPDATE gate SET ok = required", &[]).await.unwrap_err();
    let StoreError::Statement { source, .. } = &refused else { panic!("{refused}") };
    assert_eq!(source.code().unwrap().code(), "23001", "{source}");
}

#[tokio::test]
async fn databases_of_one_server_are_migrated_at_once() {
    let urls = [empty_database().await, empty_database().await, empty_database().await];
    let reports = try_join_all(urls.iter().map(|url| Store::migrate(url))).await.unwrap();
    assert!(reports.iter().all(|report| report.applied == reports[0].applied && !report.applied.is_empty()));
}
