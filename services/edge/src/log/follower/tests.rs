use std::cell::Cell;

use tempfile::TempDir;
use touchstone_custody::{KeyEntry, KeyKind, LocalSigner, Revoked, Signer as _};
use touchstone_domain::Sha256;
use touchstone_tlog::{
    SignedHead,
    note::{SignedNote, SignerKey},
};
use touchstone_translog::LogWriter;

use super::*;

const ENVIRONMENT: &str = "test";
const ORIGIN: &str = "touchstone/test";

/// A log that is published in a directory, and an edge's own directory beside it.
struct World {
    root: TempDir,
    writer: Option<LogWriter>,
    size: u64,
}

impl World {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), writer: None, size: 0 }
    }

    fn log_dir(&self) -> PathBuf {
        self.root.path().join("log")
    }

    fn state_dir(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn checkpoint(&self) -> PathBuf {
        self.log_dir().join("checkpoint")
    }

    fn follower(&self) -> Follower {
        Follower::new(&ENVIRONMENT.into(), &self.log_dir(), &self.state_dir()).unwrap()
    }

    /// Publishes so many more recalls, signed with the key of this number.
    fn publish(&mut self, more: u64, key: u8) {
        let writer =
            self.writer.get_or_insert_with(|| LogWriter::open(&self.root.path().join("log"), None).unwrap());
        let entries: Vec<Vec<u8>> =
            (self.size..self.size + more).map(|n| recall(&format!("reason {n}"))).collect();
        writer.append(self.size, &entries).unwrap();
        self.size += more;
        writer.publish(&signed(writer.head(), key)).unwrap();
    }

    /// Begins another log in the same place.
    fn forget(&mut self) {
        std::fs::remove_dir_all(self.log_dir()).unwrap();
        (self.writer, self.size) = (None, 0);
    }
}

fn recall(reason: &str) -> Vec<u8> {
    let entry = LogEntry::Recalled {
        purl: None,
        sha256: Some(Sha256::of(reason)),
        reason: reason.to_owned(),
        actor: "op".to_owned(),
        at: "2026-11-23T00:00:00Z".parse().unwrap(),
    };
    entry.to_bytes()
}

fn signed(head: TreeHead, key: u8) -> SignedHead {
    let key = SignerKey::from_seed(ORIGIN, [key; 32]).unwrap();
    let note = key.sign(&head.checkpoint_text(ORIGIN)).unwrap();
    SignedHead::from_checkpoint(SignedNote::parse(&note).unwrap().verify(key.verifier()).unwrap(), ORIGIN)
        .unwrap()
}

/// A ring with the log keys of these numbers, some of them revoked.
fn ring(keys: &[(u8, bool)]) -> Arc<KeyRing> {
    let date: jiff::Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    let entry = |(key, revoked): &(u8, bool)| KeyEntry {
        kind: KeyKind::Log,
        public: LocalSigner::from_seed(KeyKind::Log, [*key; 32]).unwrap().public(),
        not_before: date,
        not_after: None,
        revoked: revoked.then(|| Revoked { at: date, reason: "lost".to_owned() }),
    };
    Arc::new(KeyRing::new(keys.iter().map(entry).collect()).unwrap())
}

fn honest() -> Arc<KeyRing> {
    ring(&[(1, false)])
}

fn look(follower: &mut Follower, ring: &Arc<KeyRing>) -> Step {
    follower.step(ring, &|| false)
}

/// The problem of a step that is halted by something new.
fn halted(step: Step) -> String {
    match step {
        Step::Halted(halt) => {
            assert_eq!(halt.kind, IncidentKind::LogRollback, "{}", halt.problem);
            halt.problem
        }
        Step::Going => panic!("it goes on"),
    }
}

/// The same of one that is halted since what was seen cannot be read.
fn withheld(step: Step) -> String {
    match step {
        Step::Halted(halt) => {
            assert_eq!(halt.kind, IncidentKind::LogFrozen, "{}", halt.problem);
            halt.problem
        }
        Step::Going => panic!("it goes on"),
    }
}

/// What is said when so many entries were seen and cannot be read.
fn unread(problem: &str, entries: u64) -> String {
    format!(
        "{problem}. {entries} entries of it were seen before, and nothing is served until they can be read again"
    )
}

fn standing(follower: &Follower) -> (u64, Option<String>) {
    let Standing { size, halted } = follower.log().standing();
    (size, halted.map(|problem| problem.to_string()))
}

fn knows(follower: &Follower, reason: &str) -> bool {
    follower.log().with_revocations(|known| format!("{known:?}").contains(&format!("\"{reason}\"")))
}

#[test]
fn entries_count_once_they_led_to_a_signed_checkpoint_and_again_after_a_restart() {
    let mut world = World::new();
    world.publish(300, 1);
    let mut follower = world.follower();
    assert_eq!(standing(&follower), (0, Some(READING.to_owned())), "nothing is served before the first look");
    assert_eq!(look(&mut follower, &honest()), Step::Going);
    assert_eq!(standing(&follower), (300, None));
    assert!(knows(&follower, "reason 0") && knows(&follower, "reason 299"));
    world.publish(400, 1);
    assert!(!knows(&follower, "reason 699"));
    assert_eq!(look(&mut follower, &honest()), Step::Going);
    assert_eq!((standing(&follower), follower.taken), ((700, None), 700));
    assert!(knows(&follower, "reason 699"));

    let mut again = world.follower();
    assert_eq!(standing(&again), (700, Some(READING.to_owned())), "the size is known before the first look");
    assert_eq!(look(&mut again, &honest()), Step::Going);
    assert!(knows(&again, "reason 0") && knows(&again, "reason 699"));
    assert_eq!(standing(&again), (700, None));
}

#[test]
fn a_log_that_goes_back_or_is_another_one_halts_also_after_a_restart() {
    let mut world = World::new();
    world.publish(5, 1);
    let mut follower = world.follower();
    look(&mut follower, &honest());
    let earlier = std::fs::read(world.checkpoint()).unwrap();
    world.publish(5, 1);
    let later = std::fs::read(world.checkpoint()).unwrap();
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (10, None));

    std::fs::write(world.checkpoint(), earlier).unwrap();
    let problem = halted(look(&mut follower, &honest()));
    assert!(problem.starts_with("the log went back: it had 10 entries, and has 5 now"), "{problem}");
    assert_eq!(standing(&follower), (10, Some(problem.clone())));
    assert_eq!(look(&mut follower, &honest()), Step::Going, "it is told once");
    let mut again = world.follower();
    assert_eq!(halted(look(&mut again, &honest())), problem);
    std::fs::write(world.checkpoint(), &later).unwrap();
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (10, None), "it is the log that was seen");

    // Another log of the same size, and one that is longer.
    for size in [10, 20] {
        world.forget();
        let writer = world.writer.insert(LogWriter::open(&world.root.path().join("log"), None).unwrap());
        let entries: Vec<Vec<u8>> = (0..size).map(|n| recall(&format!("other {n} of {size}"))).collect();
        writer.append(0, &entries).unwrap();
        writer.publish(&signed(writer.head(), 1)).unwrap();
        let problem = halted(look(&mut follower, &honest()));
        assert!(problem.starts_with("the log forked: its first 10 entries had the root "), "{problem}");
        assert!(!knows(&follower, &format!("other 0 of {size}")), "nothing of it counts");
        assert_eq!(follower.taken, 10);
    }
}

#[test]
fn a_checkpoint_that_no_key_of_the_ring_signed_halts_and_one_of_a_revoked_key_counts_for_nothing() {
    let mut world = World::new();
    world.publish(3, 1);
    let mut follower = world.follower();
    assert_eq!(
        halted(look(&mut follower, &ring(&[(2, false)]))),
        "the checkpoint is not signed by a log key of the ring"
    );
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (3, None));

    world.publish(3, 2);
    let problem = halted(look(&mut follower, &honest()));
    assert_eq!(problem, "the checkpoint is not signed by a log key of the ring");
    look(&mut follower, &ring(&[(1, false), (2, true)]));
    assert_eq!(standing(&follower), (3, None), "the key was revoked: what is known counts on");
    assert!(!knows(&follower, "reason 3"));
    look(&mut follower, &ring(&[(1, true), (2, false)]));
    assert_eq!(standing(&follower), (6, None));
    assert!(knows(&follower, "reason 3"));

    let mut text = std::fs::read_to_string(world.checkpoint()).unwrap();
    text = text.replacen("\n6\n", "\n7\n", 1);
    std::fs::write(world.checkpoint(), text).unwrap();
    let problem = halted(look(&mut follower, &ring(&[(2, false)])));
    assert!(problem.starts_with("the checkpoint is refused: a signature by touchstone/test+"), "{problem}");
}

#[test]
fn a_log_that_is_out_of_reach_halts_whoever_did_not_read_all_that_was_seen_and_nobody_else() {
    let mut world = World::new();
    let mut follower = world.follower();
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (0, None), "there is no log yet");
    world.publish(3, 1);
    look(&mut follower, &honest());
    let away = world.root.path().join("away");
    std::fs::rename(world.log_dir(), &away).unwrap();
    assert_eq!(look(&mut follower, &honest()), Step::Going);
    assert_eq!(standing(&follower), (3, None), "it has read the log, and goes on");
    assert!(knows(&follower, "reason 2"));

    // Whoever starts now knows that there were entries, and not what they say.
    let mut again = world.follower();
    let problem = withheld(look(&mut again, &honest()));
    let missing =
        format!("{} cannot be used: No such file or directory (os error 2)", world.log_dir().display());
    assert_eq!(problem, unread(&missing, 3));
    assert_eq!(standing(&again), (3, Some(problem)));
    assert_eq!(look(&mut again, &honest()), Step::Going, "it is told once");
    std::fs::create_dir(world.log_dir()).unwrap();
    let problem = withheld(look(&mut again, &honest()));
    assert_eq!(problem, unread(&format!("{} has no checkpoint", world.log_dir().display()), 3));
    assert_eq!(standing(&again), (3, Some(problem)), "nothing is mounted there");
    std::fs::remove_dir(world.log_dir()).unwrap();
    std::fs::rename(&away, world.log_dir()).unwrap();
    look(&mut again, &honest());
    assert_eq!(standing(&again), (3, None));
    assert!(knows(&again, "reason 2"));
    std::fs::rename(world.log_dir(), &away).unwrap();
    look(&mut again, &honest());
    assert_eq!(standing(&again), (3, None), "and again it has read it");
    std::fs::rename(&away, world.log_dir()).unwrap();

    let bundle = world.log_dir().join("tile/entries/000.p/3");
    let bytes = std::fs::read(&bundle).unwrap();
    std::fs::remove_file(&bundle).unwrap();
    let mut again = world.follower();
    let problem = withheld(look(&mut again, &honest()));
    assert_eq!(problem, unread("tile/entries/000 is missing", 3));
    let mut changed = bytes.clone();
    let last = changed.len() - 5;
    changed[last] ^= 1;
    std::fs::write(&bundle, changed).unwrap();
    assert_eq!(halted(look(&mut again, &honest())), "entry 2 is not the one that the tree has");
    assert!(!knows(&again, "reason 0"));
    std::fs::write(&bundle, bytes).unwrap();
    look(&mut again, &honest());
    assert_eq!(standing(&again), (3, None));
}

#[test]
fn what_cannot_be_kept_over_a_restart_does_not_count() {
    let mut world = World::new();
    world.publish(3, 1);
    let mut follower = world.follower();
    let in_the_way = world.state_dir().join("log-head.json");
    std::fs::create_dir(&in_the_way).unwrap();
    let problem = withheld(look(&mut follower, &honest()));
    assert!(problem.contains("log-head.json cannot be written: "), "{problem}");
    assert!(!knows(&follower, "reason 0"));
    std::fs::remove_dir(in_the_way).unwrap();
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (3, None));
}

#[test]
fn a_known_event_that_is_malformed_halts_and_one_of_a_newer_version_is_skipped_and_counted() {
    let mut world = World::new();
    world.publish(2, 1);
    let add = |world: &mut World, entries: &[&str]| {
        let entries: Vec<Vec<u8>> = entries.iter().map(|entry| entry.as_bytes().to_vec()).collect();
        let writer = world.writer.as_mut().unwrap();
        writer.append(world.size, &entries).unwrap();
        writer.publish(&signed(writer.head(), 1)).unwrap();
        world.size += entries.len() as u64;
    };
    add(&mut world, &[r#"{"event":"unheard_of","of":["anything"]}"#, r#"{"event":"unheard_of"}"#]);
    world.publish(1, 1);
    let mut follower = world.follower();
    assert_eq!(look(&mut follower, &honest()), Step::Going);
    assert_eq!((standing(&follower), follower.taken, follower.unknown), ((5, None), 5, 2));
    assert!(knows(&follower, "reason 4"), "what follows them counts");

    add(&mut world, &[r#"{"event":"recalled"}"#]);
    let problem = halted(look(&mut follower, &honest()));
    assert!(problem.starts_with("entry 5 is not understood: "), "{problem}");
    assert_eq!((standing(&follower), follower.taken), ((6, Some(problem)), 5));
}

#[test]
fn a_revoked_log_key_opens_no_window() {
    let mut world = World::new();
    world.publish(3, 1);
    let mut follower = world.follower();
    look(&mut follower, &honest());
    let revoked = ring(&[(1, true), (2, false)]);
    assert_eq!(look(&mut follower, &revoked), Step::Going);
    assert_eq!(standing(&follower), (3, None), "it has read the log, and goes on");
    assert!(knows(&follower, "reason 2"));

    let mut again = world.follower();
    let problem = withheld(look(&mut again, &revoked));
    let words = "which was revoked: rotate the log key (`touchstone keys rotate log`), and let promote seal once. 3 entries of it";
    assert!(
        problem.starts_with("the checkpoint is signed by touchstone/test+") && problem.contains(words),
        "{problem}"
    );
    assert_eq!(standing(&again), (3, Some(problem)));
    assert!(!knows(&again, "reason 2"));
    let mut first =
        Follower::new(&ENVIRONMENT.into(), &world.log_dir(), &world.root.path().join("other")).unwrap();
    look(&mut first, &revoked);
    assert_eq!(standing(&first), (0, None), "who has never seen the log is no worse off than without one");

    world.publish(1, 2);
    for follower in [&mut follower, &mut again, &mut first] {
        assert_eq!(look(follower, &revoked), Step::Going);
        assert_eq!(standing(follower), (4, None));
        assert!(knows(follower, "reason 2") && knows(follower, "reason 3"));
    }
}

#[test]
fn a_contradiction_does_not_end_by_taking_the_log_away() {
    let mut world = World::new();
    world.publish(3, 1);
    let mut follower = world.follower();
    look(&mut follower, &honest());
    let checkpoint = std::fs::read(world.checkpoint()).unwrap();
    std::fs::write(world.checkpoint(), "nothing of the kind").unwrap();
    let problem = halted(look(&mut follower, &honest()));
    std::fs::remove_file(world.checkpoint()).unwrap();
    assert_eq!(look(&mut follower, &honest()), Step::Going);
    assert_eq!(standing(&follower), (3, Some(problem)));
    std::fs::write(world.checkpoint(), checkpoint).unwrap();
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (3, None));
    std::fs::remove_file(world.checkpoint()).unwrap();
    look(&mut follower, &honest());
    assert_eq!(standing(&follower), (3, None), "out of reach is no contradiction");
}

#[test]
fn reading_ends_early_when_it_is_told_to_and_goes_on_where_it_was() {
    let mut world = World::new();
    world.publish(600, 1);
    let mut follower = world.follower();
    let looks = Cell::new(0);
    let step = follower.step(&honest(), &|| looks.replace(looks.get() + 1) == 1);
    assert_eq!((step, follower.taken), (Step::Going, 256));
    assert_eq!(standing(&follower).1, Some(READING.to_owned()));
    look(&mut follower, &honest());
    assert_eq!((standing(&follower), follower.taken), ((600, None), 600));
}

#[test]
fn a_head_of_another_log_or_a_damaged_one_is_no_head() {
    let mut world = World::new();
    world.publish(2, 1);
    look(&mut world.follower(), &honest());
    let path = world.state_dir().join("log-head.json");
    let honest_head = std::fs::read_to_string(&path).unwrap();
    for (changed, expected) in [
        (honest_head.replace("touchstone/test\",\"size", "touchstone/other\",\"size"), "it is of the log"),
        (honest_head[..20].to_owned(), "EOF"),
        (honest_head.replacen('{', "{\"more\":1,", 1), "unknown field"),
    ] {
        assert_ne!(changed, honest_head);
        std::fs::write(&path, changed).unwrap();
        let refused = Follower::new(&ENVIRONMENT.into(), &world.log_dir(), &world.state_dir()).err().unwrap();
        assert!(matches!(&refused, FollowError::Seen { path: named, .. } if *named == path));
        assert!(Chain(&refused).to_string().contains(expected), "{}", Chain(&refused));
    }
    std::fs::write(&path, honest_head).unwrap();
    assert_eq!(standing(&world.follower()).0, 2);
    let bad = Follower::new(&"a b".into(), &world.log_dir(), &world.state_dir()).err().unwrap();
    assert!(matches!(bad, FollowError::Name(_)));
}
