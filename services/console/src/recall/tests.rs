use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef, FileName, KeyId,
    PackageName, Policy, Requirement, Sha256, Sha512, SignedBy, Version,
};
use touchstone_store::{Ingested, NewArtifact, StoreOptions};
use touchstone_testkit::fresh_database;

use super::*;

/// A database whose superuser changes what the console reads.
struct World {
    store: Store,
    superuser: Client,
    _connection: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl World {
    async fn new() -> Self {
        let url = fresh_database().await;
        let options = StoreOptions { url: url.clone(), pool_size: 2, application_name: "console".into() };
        let store = Store::connect(options).await.expect("connected");
        let (superuser, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connected");
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Self { store, superuser, _connection: tasks }
    }

    async fn run(&self, sql: &str) {
        self.superuser.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// An artifact whose bytes are its name, and that nobody has checked yet.
    async fn fetched(&self, package: &str) -> ArtifactDbId {
        let policy_epoch = self.store.register_policy(&Policy::default()).await.expect("registered");
        let checks = CheckSet::of(CheckKind::Hash);
        let digest = Sha256::of(package);
        let new = NewArtifact {
            id: ArtifactId {
                ecosystem: Ecosystem::Npm,
                package: PackageName::new(package).expect("a name"),
                version: Version::new("1.0.0").expect("a version"),
                file: FileName::new("package.tgz").expect("a name"),
            },
            sha256: digest,
            sha512: Sha512::of(package),
            size: package.len() as u64,
            chunks: ChunkList::of(package.as_bytes()),
            upstream_url: "https://registry.example/package.tgz".into(),
            published_at: None,
            claims: vec![],
            evidence: vec![],
            requirement: Requirement::new(checks, checks).expect("not empty"),
            policy_epoch,
            eligible_at: None,
            fetch: SignedBy {
                key: KeyId(digest),
                envelope: EnvelopeRef { sha256: digest, pack: digest, offset: 0, size: 900 },
            },
        };
        let Ingested::Inserted { artifact, .. } = self.store.ingest(&new).await.expect("ingested") else {
            panic!("{package} is new");
        };
        artifact
    }

    async fn recall(&self, package: &str) -> Result<Recalled, RecallError> {
        let target = RecallTarget::Digest(Sha256::of(package));
        recall(&self.store, &target, "malware", "ada", None).await
    }
}

#[tokio::test]
async fn a_recall_that_is_in_force_is_no_error_and_says_if_nobody_can_tell_what_else_is_held() {
    let world = World::new().await;
    let artifact = world.fetched("bad").await;
    for _ in 0..2 {
        let whole = world.recall("bad").await.expect("recalled");
        assert_eq!(whole.held, [Held { artifact, was_served: false }]);
        assert!(whole.untold.is_none() && whole.sealed == Sealed::NotAwaited, "{whole:?}");
    }
    // An earlier one was quicker.
    world.run("ALTER TABLE gate_log RENAME cause TO why").await;
    let part = world.recall("bad").await.expect("in force");
    assert_eq!(part.held, []);
    assert_eq!(part.untold.expect("a reason").to_string(), "the statement recall.held failed");
    world.run("ALTER TABLE recall RENAME actor TO who").await;
    let error = world.recall("bad").await.expect_err("it is not on record");
    assert_eq!(error.to_string(), "the statement recall.insert failed");
}

#[tokio::test]
async fn what_this_recall_held_is_told_even_if_nothing_else_can_be() {
    let world = World::new().await;
    let artifact = world.fetched("bad").await;
    // The hold is the last that succeeds.
    world
        .run(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
                 $$BEGIN ALTER TABLE artifact RENAME package TO name; RETURN NULL; END$$;
             CREATE CONSTRAINT TRIGGER spoil AFTER INSERT ON gate_log DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION spoil()",
        )
        .await;
    let part = world.recall("bad").await.expect("in force");
    assert_eq!(part.held, [Held { artifact, was_served: false }]);
    assert_eq!(part.untold.expect("a reason").to_string(), "the statement recall.held failed");
}

#[tokio::test]
async fn a_recall_that_is_on_record_and_could_not_hold_says_so_and_may_be_given_again() {
    let world = World::new().await;
    let artifact = world.fetched("bad").await;
    world.run("ALTER TABLE gate ADD CONSTRAINT locked CHECK (hold = 0)").await;
    let error = world.recall("bad").await.expect_err("nothing is held");
    let expected = "the recall is on record, but what it names may not be held yet; promote's sweeper holds it as soon as the database \
         lets it. To see what is held, give the recall again, which is harmless";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, RecallError::Hold(_)), "{error:?}");
    assert!(world.store.is_recalled(&RecallTarget::Digest(Sha256::of("bad"))).await.expect("read"));
    world.run("ALTER TABLE gate DROP CONSTRAINT locked").await;
    let sweep = world.store.hold_recalled(Duration::MAX, 9).await.expect("swept");
    assert_eq!(sweep.len(), 1, "it is held without anybody's doing");
    let again = world.recall("bad").await.expect("in force");
    assert_eq!(again.held, [Held { artifact, was_served: false }]);
}

#[tokio::test(start_paused = true)]
async fn a_recall_that_takes_too_long_says_what_to_do() {
    let limit = Duration::from_secs(25);
    let late = within(limit, std::future::pending::<Result<(), RecallError>>()).await;
    let expected = "whether the recall is on record, and holds what it names, is not known after 25s. Give it again, which is harmless, and \
         tells what is held";
    assert_eq!(late.expect_err("it never ends").to_string(), expected);
    let in_time = async {
        sleep(limit / 2).await;
        Ok(7)
    };
    assert_eq!(within(limit, in_time).await.expect("in time"), 7);
}

#[test]
fn what_is_held_now_was_served_if_its_state_was_so() {
    let was = |was| {
        let artifact = ArtifactDbId(7);
        newly(&Change { artifact, ecosystem: Ecosystem::Npm, was, state: ArtifactState::Revoked })
    };
    let held = |was_served| Held { artifact: ArtifactDbId(7), was_served };
    assert_eq!(was(ArtifactState::Servable), held(true));
    assert_eq!(was(ArtifactState::Verifying), held(false));
}
