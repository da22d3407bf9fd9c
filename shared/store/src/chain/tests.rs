use touchstone_domain::OutcomeKind;

use super::*;
use crate::testing::{TestDb, sign, sign_by, signed};

const BOTH: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

#[tokio::test]
async fn a_chain_has_every_record_of_the_promotion_in_force() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", BOTH).await, db.tolerant("b").await];
    let fetch = signed("fetch-again", "a");
    db.store.record_fetch(a.artifact, &fetch).await.unwrap();
    let verdicts = [a.pass(CheckKind::Attest), a.pass(CheckKind::Hash)];
    let forged = sign_by("nobody", &a.verdict(CheckKind::Attest, OutcomeKind::NotOffered));
    db.store.record_verdicts(&[forged]).await.unwrap();
    db.store.record_refusals(&[(1, "key_unknown".into(), "r".into())]).await.unwrap();
    db.judge(&verdicts).await.unwrap();

    let expected = Chain {
        id: a.new.id.clone(),
        sha256: a.new.sha256,
        epoch: 0,
        fetches: vec![fetch, a.new.fetch],
        verdicts: sign(&verdicts).iter().map(|answer| (answer.verdict.check, answer.signed)).collect(),
        promotion: Some(signed("promote", &format!("the record of {} in 0", a.artifact))),
        required: BOTH.iter().copied().collect(),
        tolerated: CheckSet::EMPTY,
        log_index: None,
    };
    let expected = [expected];
    assert_eq!(db.store.chains(&(&a.new.id).into()).await.unwrap(), expected);
    assert_eq!(db.store.chains(&"pkg:npm/a".parse().unwrap()).await.unwrap(), expected);
    assert_eq!(db.store.chains(&"pkg:npm/a@1.0.1".parse().unwrap()).await.unwrap(), []);
    assert_eq!(db.store.chains_of_digest(a.new.sha256).await.unwrap(), expected);
    assert_eq!(db.store.chains_of_digest(Sha256::of("")).await.unwrap(), []);

    let pending = &db.store.chains_of_digest(b.new.sha256).await.unwrap()[0];
    assert_eq!((&pending.fetches, &pending.verdicts, pending.promotion), (&vec![b.new.fetch], &vec![], None));
    assert_eq!(pending.tolerated, CheckSet::of(CheckKind::Attest));
}

#[tokio::test]
async fn the_records_of_an_epoch_that_ended_are_in_no_chain() {
    let db = TestDb::new().await;
    let a = db.artifact("a", &[CheckKind::Hash]).await;
    db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
    let chain = async || db.store.chains_of_digest(a.new.sha256).await.unwrap().remove(0);
    assert!(chain().await.promotion.is_some());
    db.execute("UPDATE gate SET hold = 2").await.unwrap();
    let recalled = chain().await;
    assert_eq!((recalled.promotion, recalled.verdicts.len()), (None, 1), "it is not in force");
    db.execute("UPDATE gate SET epoch = 1, ok = 1, hold = 0").await.unwrap();
    let old = chain().await;
    assert_eq!((old.promotion, old.verdicts, old.epoch), (None, vec![], 1));
}

#[tokio::test]
async fn a_promotion_is_found_in_the_log() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", &[CheckKind::Hash]).await, db.artifact("b", &[CheckKind::Hash]).await];
    db.judge(&[b.pass(CheckKind::Hash)]).await.unwrap();
    db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
    db.execute(
        "INSERT INTO log_leaf (index, source, source_id, entry) VALUES (7, 'log_event', 2, 'e'), (8, 'gate_log', 2, 'e')",
    )
    .await
    .unwrap();
    for (of, index) in [(&a, Some(8)), (&b, None)] {
        assert_eq!(db.store.chains(&(&of.new.id).into()).await.unwrap()[0].log_index, index);
        assert_eq!(db.store.stories_of(&[of.artifact]).await.unwrap()[0].promotions[0].log_index, index);
    }
    db.execute("INSERT INTO log_seal (size, root, note) VALUES (9, sha256(''), 'n'), (8, sha256(''), 'n')")
        .await
        .unwrap();
    assert_eq!(db.store.serve_record(&a.new.id).await.unwrap().unwrap().sealed, 9);
}
