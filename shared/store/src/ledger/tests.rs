use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use touchstone_domain::{CheckKind, Difference, Discontinuity, IdentityField, TrustRank, judge_attested};

mod counted;

use super::*;
use crate::{
    Ingested, StoreOptions,
    testing::{TestDb, id, new_artifact},
};

const NPM: Ecosystem = Ecosystem::Npm;

/// A release on record.
struct Release {
    artifact: ArtifactDbId,
    id: ArtifactId,
}

async fn release(db: &TestDb, package: &str, version: &str) -> Release {
    let mut new = new_artifact(db.policy_epoch, package, &[CheckKind::Hash]);
    new.id = id(package, version);
    let Ingested::Inserted { artifact, .. } = db.store.ingest(&new).await.unwrap() else { panic!() };
    Release { artifact, id: new.id }
}

fn signed(repository: &str, git_ref: &str) -> Observed {
    let identity = Identity {
        issuer: "https://issuer.example".into(),
        signer: format!("{repository}/.github/workflows/release.yml"),
        repository: Some(repository.into()),
        repository_id: Some("1".into()),
        owner_id: Some("2".into()),
        workflow: Some(".github/workflows/release.yml".into()),
        git_ref: Some(git_ref.into()),
        trigger: Some("push".into()),
        runner: Some("github-hosted".into()),
    };
    Observed { identity, rank: TrustRank::Provenance }
}

fn of(number: &str) -> Observed {
    let mut observed = signed("https://forge.example/acme/widget", "refs/tags/v1");
    observed.identity.repository_id = Some(number.into());
    observed
}

const fn line(number: i64) -> ReleaseLine {
    ReleaseLine(number)
}

fn major(id: &ArtifactId) -> ReleaseLine {
    line(id.version.as_str().split('.').next().unwrap().parse().unwrap())
}

type Judged = Result<Basis, Discontinuity>;

/// Settles as the attest service does a release that is newly listed.
async fn settle(store: &Store, release: &Release, observed: &Observed) -> Judged {
    settle_listed(store, release, observed, None).await
}

/// Settles as the attest service does a release that was first listed then; versions have the order of their numbers.
async fn settle_listed(
    store: &Store,
    release: &Release,
    observed: &Observed,
    first_seen: Option<Timestamp>,
) -> Judged {
    let subject = LedgerSubject { artifact: release.artifact, id: &release.id, line: major(&release.id) };
    let parts =
        |version: &Version| -> Vec<u64> { version.as_str().split('.').map(|n| n.parse().unwrap()).collect() };
    let lower = |other: &Version| parts(&release.id.version) < parts(other);
    let judge = |history: &[LineHistory]| {
        let observed = std::slice::from_ref(observed);
        match judge_attested(history, subject.line, observed, first_seen, &lower) {
            Ok((observed, basis)) => {
                (Ok(basis.clone()), Some(Accepted { observed: observed.clone(), basis }))
            }
            Err(discontinuity) => (Err(discontinuity), None),
        }
    };
    store.settle_identity(&subject, judge).await.unwrap()
}

/// Puts an identity on the ledger on any basis.
async fn accept(db: &TestDb, release: &Release, observed: &Observed, basis: Basis) {
    let subject = LedgerSubject { artifact: release.artifact, id: &release.id, line: major(&release.id) };
    let accepted = Accepted { observed: observed.clone(), basis };
    db.store.settle_identity(&subject, |_| ((), Some(accepted.clone()))).await.unwrap();
}

async fn history_of(db: &TestDb, release: &Release) -> Vec<LineHistory> {
    let subject = LedgerSubject { artifact: release.artifact, id: &release.id, line: major(&release.id) };
    db.store.settle_identity(&subject, |history| (history.to_vec(), None)).await.unwrap()
}

async fn rows(db: &TestDb) -> Vec<(String, Basis)> {
    let entries = db.store.identities(NPM, &id("widget", "1").package, 999).await.unwrap();
    entries.into_iter().rev().map(|entry| (entry.version.as_str().to_owned(), entry.basis)).collect()
}

fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

fn continued(since: &str) -> Basis {
    Basis::Continued { since: version(since) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_first_uses_at_once_one_is_the_first_and_the_others_are_judged_by_it() {
    let db = TestDb::new().await;
    let mut tasks = Vec::new();
    for n in 0..24 {
        let release = release(&db, "widget", &format!("1.{n}.0")).await;
        let store = db.store.clone();
        tasks.push(tokio_util::task::TaskTracker::new().spawn(async move {
            let mine = of(&(n % 8).to_string());
            let judged = settle(&store, &release, &mine).await;
            (mine, release.id.version.clone(), judged)
        }));
    }
    let all = futures::future::try_join_all(tasks).await.unwrap();
    let firsts: Vec<_> = all.iter().filter(|(.., judged)| *judged == Ok(Basis::FirstUse)).collect();
    assert_eq!(firsts.len(), 1, "{all:?}");
    let winner = firsts[0].0.identity.repository_id.clone().unwrap();
    for (mine, at, judged) in &all {
        let number = mine.identity.repository_id.clone().unwrap();
        match judged {
            Ok(Basis::FirstUse) => assert_eq!(*at, firsts[0].1),
            Ok(Basis::Continued { .. }) => assert_eq!(number, winner),
            Err(Discontinuity::Changed { difference, .. }) => {
                let (field, expected) = (IdentityField::RepositoryId, winner.clone());
                assert_eq!(*difference, Difference { field, expected, found: number.clone() });
                assert_ne!(number, winner);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all.iter().filter(|(.., judged)| judged.is_ok()).count(), 3);
    assert_eq!(rows(&db).await.len(), 3);

    let options = StoreOptions { url: db.url.clone(), pool_size: 1, application_name: "later".into() };
    let later = Store::connect(options).await.unwrap();
    let release = release(&db, "widget", "1.99.0").await;
    let stranger = settle(&later, &release, &of("99")).await;
    assert!(matches!(stranger, Err(Discontinuity::Changed { .. })), "the ledger outlives whoever wrote it");
    assert!(matches!(settle(&later, &release, &of(&winner)).await, Ok(Basis::Continued { .. })));
}

#[tokio::test]
async fn an_artifact_has_one_row_for_each_identity() {
    let db = TestDb::new().await;
    let tag = |tag: &str| signed("https://forge.example/acme/widget", &format!("refs/tags/{tag}"));
    let one = release(&db, "widget", "1.0.0").await;
    assert!(!db.store.has_identity(NPM, &one.id.package).await.unwrap());
    assert_eq!(settle(&db.store, &one, &tag("v1.0.0")).await, Ok(Basis::FirstUse));
    assert!(db.store.has_identity(NPM, &one.id.package).await.unwrap());
    assert!(!db.store.has_identity(Ecosystem::Pypi, &one.id.package).await.unwrap());
    assert_eq!(settle(&db.store, &one, &tag("v1.0.0")).await, Ok(Basis::FirstUse), "a repetition");

    let two = release(&db, "widget", "1.1.0").await;
    assert_eq!(settle(&db.store, &two, &tag("v1.1.0")).await, Ok(continued("1.0.0")));
    let latest = release(&db, "widget", "1.2.0").await;
    assert_eq!(settle(&db.store, &latest, &tag("v1.2.0")).await, Ok(continued("1.1.0")));
    let mut new = new_artifact(db.policy_epoch, "widget", &[CheckKind::Hash]);
    new.id = ArtifactId { file: FileName::new("widget-1.1.0.zip").unwrap(), ..two.id.clone() };
    let Ingested::Inserted { artifact, .. } = db.store.ingest(&new).await.unwrap() else { panic!() };
    let second_file = Release { artifact, id: new.id };
    for _ in 0..2 {
        let of_its_version = Ok(continued("1.1.0"));
        assert_eq!(settle(&db.store, &second_file, &tag("v1.1.0")).await, of_its_version);
        assert_eq!(settle(&db.store, &latest, &tag("v1.2.0")).await, of_its_version);
    }
    assert_eq!(
        rows(&db).await,
        [
            ("1.0.0".to_owned(), Basis::FirstUse),
            ("1.1.0".to_owned(), continued("1.0.0")),
            ("1.2.0".to_owned(), continued("1.1.0")),
            ("1.1.0".to_owned(), continued("1.1.0"))
        ]
    );

    let higher = Observed { rank: TrustRank::TrustedPublisher, ..tag("v1.1.0") };
    settle(&db.store, &second_file, &higher).await.unwrap();
    let renamed =
        Observed { rank: higher.rank, ..signed("https://forge.example/acme/gadget", "refs/tags/v1.3.0") };
    let three = release(&db, "widget", "1.3.0").await;
    let was = "https://forge.example/acme/widget".to_owned();
    assert_eq!(
        settle(&db.store, &three, &renamed).await,
        Ok(Basis::Renamed { since: version("1.1.0"), was })
    );
    let history = history_of(&db, &release(&db, "widget", "1.4.0").await).await;
    assert_eq!(history.len(), 1);
    assert_eq!((&history[0].latest, history[0].latest_version.as_str()), (&renamed, "1.3.0"));
    let versions: Vec<_> = history[0].versions.iter().map(Version::as_str).collect();
    assert_eq!(versions, ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    let first = db.query("SELECT min(at) FROM identity").await[0].get::<_, Timestamp>(0);
    assert_eq!(history[0].since, first);

    let entries = db.store.identities(NPM, &one.id.package, 2).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (entries[0].artifact, &entries[0].file, entries[0].line),
        (three.artifact, &three.id.file, line(1))
    );
    assert_eq!((&entries[0].observed, &entries[1].observed), (&renamed, &higher));
}

#[tokio::test]
async fn an_artifact_that_is_judged_again_is_compared_with_what_was_accepted_for_it() {
    let db = TestDb::new().await;
    let [one, two, three] = [
        release(&db, "widget", "1.0.0").await,
        release(&db, "widget", "1.1.0").await,
        release(&db, "widget", "1.2.0").await,
    ];
    settle(&db.store, &one, &of("1")).await.unwrap();
    accept(&db, &two, &of("2"), Basis::Pinned).await;
    assert_eq!(settle(&db.store, &one, &of("1")).await, Ok(Basis::FirstUse), "it stays what it was");
    assert!(matches!(settle(&db.store, &one, &of("2")).await, Err(Discontinuity::Changed { .. })));
    assert_eq!(settle(&db.store, &three, &of("2")).await, Ok(continued("1.1.0")), "the line has moved on");
    assert!(matches!(settle(&db.store, &three, &of("1")).await, Err(Discontinuity::Changed { .. })));
    assert_eq!(rows(&db).await.len(), 3);
}

#[tokio::test]
async fn the_nearest_lines_are_read_and_of_this_package_alone() {
    let db = TestDb::new().await;
    for n in 0..150 {
        accept(&db, &release(&db, "widget", &format!("{n}.0.0")).await, &of("1"), Basis::Pinned).await;
    }
    accept(&db, &release(&db, "other", "75.0.0").await, &of("2"), Basis::Pinned).await;
    let history = history_of(&db, &release(&db, "widget", "75.1.0").await).await;
    let lines: Vec<i64> = history.iter().map(|entry| entry.line.0).collect();
    assert_eq!(lines, (12..140).collect::<Vec<_>>());
    assert!(history.iter().all(|entry| entry.latest == of("1") && entry.versions.len() == 1));
}

#[tokio::test]
async fn beyond_the_bound_nothing_is_older_than_a_line() {
    let db = TestDb::new().await;
    let one = release(&db, "widget", "1.5.0").await;
    settle(&db.store, &one, &of("1")).await.unwrap();
    let fill = "INSERT INTO identity (artifact_id, ecosystem, package, version, file, line, identity, rank, basis)
        SELECT artifact_id, ecosystem, package, '1.' || n || '.1', file, line, identity || jsonb_build_object('n', n), rank, basis
        FROM identity, generate_series(1, 4095) AS n";
    db.execute(fill).await.unwrap();
    let asked = release(&db, "widget", "1.0.0").await;
    let at_bound = history_of(&db, &asked).await;
    assert_eq!(at_bound[0].versions.len(), LINE_VERSIONS_MAX);
    assert!(!at_bound[0].versions.contains(&asked.id.version));

    settle(&db.store, &release(&db, "widget", "1.6.0").await, &of("1")).await.unwrap();
    let beyond = history_of(&db, &asked).await;
    assert_eq!(beyond[0].versions.len(), LINE_VERSIONS_MAX + 1);
    assert_eq!(beyond[0].versions.last(), Some(&asked.id.version), "and no version is lower than itself");
}

#[tokio::test]
async fn a_transaction_that_runs_again_asks_the_judge_again() {
    let db = TestDb::new().await;
    let one = release(&db, "widget", "1.0.0").await;
    // the first insertion loses as it would a deadlock
    let lose = "CREATE SEQUENCE tries;
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') = 1 THEN RAISE EXCEPTION 'lost' USING ERRCODE = 'deadlock_detected'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER lose BEFORE INSERT ON identity FOR EACH ROW EXECUTE FUNCTION lose()";
    db.execute(lose).await.unwrap();
    let calls = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::new());
    let subject = LedgerSubject { artifact: one.artifact, id: &one.id, line: line(1) };
    let judge = |history: &[LineHistory]| {
        seen.lock().unwrap().push(history.len());
        let accepted = Accepted { observed: of("1"), basis: Basis::FirstUse };
        (calls.fetch_add(1, Ordering::SeqCst), Some(accepted))
    };
    assert_eq!(db.store.settle_identity(&subject, judge).await.unwrap(), 1, "the answer of the second call");
    assert_eq!(*seen.lock().unwrap(), [0, 0]);
    assert_eq!(rows(&db).await, [("1.0.0".to_owned(), Basis::FirstUse)]);
}

#[tokio::test]
async fn what_is_about_another_package_or_too_long_is_refused_and_nothing_is_kept() {
    let db = TestDb::new().await;
    let one = release(&db, "widget", "1.0.0").await;
    let settle = async |id: &ArtifactId, observed: Observed| {
        let subject = LedgerSubject { artifact: one.artifact, id, line: line(1) };
        let accepted = Accepted { observed, basis: Basis::FirstUse };
        db.store.settle_identity(&subject, |_| ((), Some(accepted.clone()))).await
    };
    for other in [id("other", "1.0.0"), id("widget", "1.0.1")] {
        let refused = settle(&other, of("1")).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("identity cannot be stored: {other} is not on record"));
    }
    let long = settle(&one.id, signed(&"x".repeat(JSON_BYTES_MAX), "refs/heads/main")).await;
    assert!(matches!(long, Err(StoreError::Limit { what: "identity", .. })), "{long:?}");
    assert_eq!(rows(&db).await, []);
    settle(&one.id, signed("https://forge.example/a\0b", "refs/heads/main")).await.unwrap();
    let entry = &db.store.identities(NPM, &one.id.package, 9).await.unwrap()[0];
    assert_eq!(entry.observed.identity.repository.as_deref(), Some("https://forge.example/a\u{fffd}b"));
}
