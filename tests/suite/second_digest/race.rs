//! Two edges that put different bytes on record for one coordinate.

use touchstone_domain::{
    ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef, FileName, KeyId, PackageName, Policy,
    Requirement, Sha256, Sha512, SignedBy, Version,
};
use touchstone_store::{Ingested, NewArtifact};
use touchstone_testkit::TestMirror;

fn offer(bytes: &[u8], policy_epoch: i32) -> NewArtifact {
    NewArtifact {
        id: ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new("left-pad").expect("a name"),
            version: Version::new("1.3.0").expect("a version"),
            file: FileName::new("left-pad-1.3.0.tgz").expect("a file name"),
        },
        sha256: Sha256::of(bytes),
        sha512: Sha512::of(bytes),
        size: bytes.len() as u64,
        chunks: ChunkList::of(bytes),
        upstream_url: "http://registry.example/left-pad-1.3.0.tgz".to_owned(),
        published_at: None,
        claims: vec![],
        evidence: vec![],
        requirement: Requirement::new(CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Hash))
            .expect("a requirement"),
        policy_epoch,
        eligible_at: None,
        fetch: nobody_reads_it(),
    }
}

/// Promote does not run here.
fn nobody_reads_it() -> SignedBy {
    let digest = Sha256::of("an envelope");
    let envelope = EnvelopeRef { sha256: digest, pack: digest, offset: 0, size: 1 };
    SignedBy { key: KeyId(digest), envelope }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_edges_with_different_bytes_one_is_on_record_and_the_other_an_incident() {
    let mirror = TestMirror::builder().hash_workers(0).promoters(0).start().await;
    let epoch = mirror.store.register_policy(&Policy::default()).await.expect("registered");
    let (one, other) = (offer(b"one", epoch), offer(b"other", epoch));
    let both = tokio::join!(mirror.store.ingest(&one), mirror.store.ingest(&other));
    let (winner, loser) = match (both.0.expect("ingested"), both.1.expect("ingested")) {
        (Ingested::Inserted { artifact, .. }, Ingested::Diverged { artifact: known, on_record }) => {
            assert_eq!((artifact, one.sha256), (known, on_record));
            (&one, &other)
        }
        (Ingested::Diverged { artifact: known, on_record }, Ingested::Inserted { artifact, .. }) => {
            assert_eq!((artifact, other.sha256), (known, on_record));
            (&other, &one)
        }
        both => panic!("{both:?}"),
    };
    let incidents = mirror.store.incidents(10).await.expect("incidents");
    let [incident] = incidents.as_slice() else { panic!("{incidents:?}") };
    assert_eq!((&*incident.kind, incident.count), ("second_digest", 1));
    assert_eq!(incident.detail["on_record"], winner.sha256.to_string());
    assert_eq!(incident.detail["offered"], loser.sha256.to_string());
    // Later offers change nothing.
    let again = mirror.store.ingest(winner).await.expect("ingested");
    assert!(matches!(again, Ingested::Known { .. }), "{again:?}");
    let again = mirror.store.ingest(loser).await.expect("ingested");
    assert!(matches!(again, Ingested::Diverged { on_record, .. } if on_record == winner.sha256), "{again:?}");
    let status = mirror.store.status(&winner.id).await.expect("asked").expect("on record");
    assert_eq!(status.gate.sha256, winner.sha256);
}
