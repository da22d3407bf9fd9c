//! The gate in Postgres against the gate of the domain, under connections that race.

use std::collections::HashMap;

use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use touchstone_domain::{CheckSet, Gate, HoldSet, Requirement, Verdict, count};

use super::*;
use crate::testing::{judge, sign};

const CONNECTIONS: usize = 8;

/// One verdict: which artifact, which check, which outcome, and whether it is from an older epoch.
type Vote = (usize, usize, usize, bool);

/// Sends every vote at least twice, from eight tasks, in random order and batches, as workers and promote do; then
/// compares what Postgres has with what the domain's own gate says.
async fn play(db: &TestDb, name: &str, required: &[(i64, i64)], votes: &[Vote], seed: u64) {
    let all: Vec<_> =
        required.iter().enumerate().map(|(n, masks)| artifact(db, &format!("{name}-{n}"), *masks)).collect();
    let mut artifacts = Vec::new();
    for chunk in all.chunks(1000) {
        for (ingested, new) in db.store.ingest_many(chunk).await.unwrap().iter().zip(chunk) {
            let Ingested::Inserted { artifact, .. } = ingested else { panic!("{ingested:?}") };
            artifacts.push(Facts { artifact: *artifact, epoch: 1, new: new.clone() });
        }
    }
    db.execute("UPDATE gate SET epoch = 1 WHERE epoch = 0").await.unwrap();
    let verdicts: Vec<Verdict> = votes
        .iter()
        .map(|&(n, check, kind, stale)| {
            let verdict = artifacts[n].verdict(CheckKind::ALL[check], OutcomeKind::ALL[kind]);
            Verdict { epoch: i32::from(!stale), ..verdict }
        })
        .collect();

    let tasks = (0..CONNECTIONS).map(|task| {
        let mut rng = StdRng::seed_from_u64(seed + task as u64);
        // the tasks in pairs send the same share
        let mut share: Vec<Verdict> =
            verdicts.iter().skip(task / 2).step_by(CONNECTIONS / 2).cloned().collect();
        share.shuffle(&mut rng);
        let store = db.store.clone();
        tokio_util::task::TaskTracker::new().spawn(async move {
            let mut changes = 0;
            let mut rest = share.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(rng.random_range(1..=rest.len().min(40)));
                store.record_verdicts(&sign(batch)).await.unwrap();
                let mut ids: Vec<_> = batch.iter().map(|v| v.artifact).collect();
                ids.shuffle(&mut rng);
                // as if promote did not sign, now and then
                let signs = |_: &NewPromotion| rng.random_range(0..4) > 0;
                changes += judge(&store, &ids, Wanted::New, signs).await.unwrap().len();
                rest = after;
            }
            changes
        })
    });
    let tasks = futures::future::try_join_all(tasks);
    let changes: usize = never_unpromoted(db, tasks).await.unwrap().iter().sum();
    compare(db, &artifacts, &verdicts, changes).await;
}

/// Looks all the while for a servable gate without a promotion of its epoch.
async fn never_unpromoted<T>(db: &TestDb, work: impl Future<Output = T>) -> T {
    let watch = async {
        loop {
            assert_eq!(db.store.unpromoted(9).await.unwrap(), []);
        }
    };
    let (work, watch) = (std::pin::pin!(work), std::pin::pin!(watch));
    match futures::future::select(work, watch).await {
        futures::future::Either::Left((done, _)) => done,
        futures::future::Either::Right((never, _)) => never,
    }
}

/// An artifact with these checks required, and these of them tolerated where that leaves one to approve.
fn artifact(db: &TestDb, package: &str, (required, tolerated): (i64, i64)) -> crate::NewArtifact {
    let checks = CheckSet::from_mask(required);
    let mut new = new_artifact(db.policy_epoch, package, HASH);
    let strict = Requirement::new(checks, checks).expect("not empty");
    new.requirement = strict.tolerating(CheckSet::from_mask(tolerated)).unwrap_or(strict);
    new
}

async fn compare(db: &TestDb, artifacts: &[Facts], verdicts: &[Verdict], changes: usize) {
    let mut model: HashMap<ArtifactDbId, Gate> = artifacts.iter().map(|a| (a.artifact, gate(a))).collect();
    for verdict in verdicts {
        let gate = model.get_mut(&verdict.artifact).expect("known");
        if let Ok(delta) = count(verdict, gate) {
            gate.apply(&delta);
        }
    }
    let mut logged = 0;
    for some in artifacts.chunks(256) {
        let ids: Vec<_> = some.iter().map(|a| a.artifact).collect();
        for story in db.store.stories_of(&ids).await.unwrap() {
            let expected = model[&story.gate.artifact];
            assert_eq!(story.gate, expected);
            let served = db.store.serve_record(&story.facts.id).await.unwrap();
            assert_eq!(served.is_some(), expected.is_servable(), "{expected:?}");
            let approved = expected.ok.contains_all(expected.requirement.required());
            let (least, most) = (usize::from(expected.is_servable()), usize::from(approved));
            let promotions = story.promotions.len();
            assert!((least..=most).contains(&promotions), "no promotion without a grant: {expected:?}");
            assert_eq!(
                story.dispatch_due.is_some(),
                expected.state().is_pending(),
                "nothing is stuck: {expected:?}"
            );
            // the log is one unbroken chain from the beginning to the end
            let mut state = ArtifactState::Fetched.as_str().to_owned();
            for transition in story.log.iter().rev() {
                assert_eq!(transition.was, state);
                state.clone_from(&transition.state);
            }
            assert_eq!(state, expected.state().as_str());
            logged += story.log.len();
        }
        let open = db.store.cases(&ids, Wanted::New).await.unwrap();
        assert_eq!(open, [], "all of them have counted");
    }
    assert_eq!(logged, changes, "every change was told exactly once");
}

fn gate(a: &Facts) -> Gate {
    Gate {
        artifact: a.artifact,
        sha256: a.new.sha256,
        chunk_root: a.new.chunks.root(),
        epoch: a.epoch,
        requirement: a.new.requirement,
        ok: CheckSet::EMPTY,
        deny: CheckSet::EMPTY,
        undecided: CheckSet::EMPTY,
        hold: HoldSet::EMPTY,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_artifacts_end_as_the_model_says() {
    let db = TestDb::new().await;
    let mut rng = StdRng::seed_from_u64(2000);
    let required: Vec<(i64, i64)> =
        (0..2000).map(|_| (rng.random_range(1..16), rng.random_range(0..16))).collect();
    let mut votes = Vec::new();
    for n in 0..required.len() {
        for check in 0..4 {
            // most pass; some fail as well as pass, some never answer, some answer for an older epoch
            let kinds: &[usize] = match rng.random_range(0..40) {
                0 => &[1],
                1 => &[0, 1],
                2 | 5 => &[2],
                3 => &[3, 0],
                4 => &[],
                _ => &[0],
            };
            votes.extend(kinds.iter().map(|kind| (n, check, *kind, rng.random_range(0..30) == 0)));
        }
    }
    play(&db, "many", &required, &votes, 1).await;
    let servable = db.number("SELECT count(*) FROM gate WHERE servable").await;
    assert!((1000..1900).contains(&servable), "{servable}");
}

#[test]
fn few_artifacts_with_any_verdicts_end_as_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let db = runtime.block_on(TestDb::new());
    let cases = (
        proptest::collection::vec((1_i64..16, 0_i64..16), 1..4),
        proptest::collection::vec((0_usize..64, 0_usize..4, 0_usize..4, prop::bool::weighted(0.2)), 0..48),
        any::<u32>(),
    );
    let number = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&cases, |(required, votes, seed)| {
            number.set(number.get() + 1);
            let name = format!("few-{}", number.get());
            let votes: Vec<Vote> =
                votes.into_iter().map(|(n, c, k, stale)| (n % required.len(), c, k, stale)).collect();
            runtime.block_on(play(&db, &name, &required, &votes, u64::from(seed)));
            Ok(())
        })
        .unwrap();
}
