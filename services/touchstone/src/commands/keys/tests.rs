use std::{fs, os::unix::fs::PermissionsExt as _};

use jiff::SignedDuration;
use touchstone_custody::{KeyProblem, KeyRing};

use super::{list::page, *};

struct Place {
    config: Config,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Config { data_dir: directory.path().to_owned(), ..Config::default() };
        Self { config, directory }
    }

    /// With a ring that has no key.
    fn with_empty_ring() -> Self {
        let place = Self::new();
        RingFile::open(&place.config.keyring()).and_then(RingFile::save).expect("a ring");
        place
    }

    /// Everything that is in it.
    fn files(&self) -> Vec<PathBuf> {
        let (mut found, mut directories) = (vec![], vec![self.directory.path().to_owned()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                directories.extend(path.is_dir().then(|| path.clone()));
                found.push(path);
            }
        }
        found.sort();
        found
    }

    fn ring(&self) -> KeyRing {
        custody::ring(&self.config.keyring()).expect("a ring")
    }

    fn key(&self, kind: KeyKind) -> KeyId {
        custody::signer(&self.config, kind, None).expect("a key").key_id()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

#[test]
fn init_makes_every_key_once_and_completes_what_was_interrupted() {
    let place = Place::new();
    assert_eq!(ensure(&place.config).expect("made").len(), KeyKind::ALL.len());
    let ring = place.ring();
    for kind in KeyKind::ALL {
        ring.accept(place.key(kind), kind, now()).expect("it counts");
        assert_eq!(Place::mode(&custody::key_file(&place.config, kind)), 0o600, "{kind}");
    }
    assert_eq!(Place::mode(&place.config.keyring()), 0o644);
    let text = fs::read(place.config.keyring()).expect("a ring");
    assert_eq!(ensure(&place.config).expect("nothing to do"), []);
    assert_eq!(fs::read(place.config.keyring()).expect("a ring"), text);

    // A private key that was lost.
    fs::remove_file(custody::key_file(&place.config, KeyKind::Hash)).expect("removed");
    let made = ensure(&place.config).expect("made");
    assert_eq!(made.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [KeyKind::Hash]);
    assert_eq!(place.ring().entries().len(), KeyKind::ALL.len() + 1);
}

#[test]
fn a_private_key_is_never_overwritten() {
    let place = Place::with_empty_ring();
    let to = NewKey { out: Some(place.directory.path().join("mine.pem")), ..NewKey::default() };
    new(&place.config, KeyKind::Hash, &to).expect("made");
    let before = fs::read(place.directory.path().join("mine.pem")).expect("a key");
    let error = new(&place.config, KeyKind::Hash, &to).expect_err("it is there").to_string();
    assert!(error.contains("is there already, and a private key is never overwritten"), "{error}");
    assert_eq!(fs::read(place.directory.path().join("mine.pem")).expect("a key"), before);
    assert_eq!(place.ring().entries().len(), 1);
    let again = write_private(&place.directory.path().join("mine.pem"), "x").expect_err("it is there");
    assert!(again.to_string().contains("never overwritten"), "{again}");
}

#[test]
fn a_key_is_encrypted_with_the_password_in_a_file() {
    let place = Place::new();
    let password = place.directory.path().join("password");
    fs::write(&password, "correct horse\n").expect("written");
    let (out, ring) = (place.directory.path().join("k.pem"), place.directory.path().join("other/ring.json"));
    RingFile::open(&ring).and_then(RingFile::save).expect("a ring");
    let to =
        NewKey { out: Some(out.clone()), password_file: Some(password.clone()), ring: Some(ring.clone()) };
    new(&place.config, KeyKind::Attest, &to).expect("made");
    let pem = fs::read_to_string(&out).expect("a key");
    assert!(LocalSigner::from_pem(KeyKind::Attest, &pem, None).is_err());
    assert!(LocalSigner::from_pem(KeyKind::Attest, &pem, Some("correct hors")).is_err());
    let signer = LocalSigner::from_pem(KeyKind::Attest, &pem, Some("correct horse")).expect("it opens");
    custody::ring(&ring).expect("a ring").accept(signer.key_id(), KeyKind::Attest, now()).expect("it counts");

    fs::write(&password, "\n").expect("written");
    let to = NewKey { out: Some(out.with_file_name("l.pem")), ..to };
    let error = new(&place.config, KeyKind::Attest, &to).expect_err("no password").to_string();
    assert!(error.ends_with("is empty"), "{error}");
}

#[test]
fn a_ring_that_was_lost_is_not_made_anew() {
    let place = Place::new();
    ensure(&place.config).expect("made");
    let ring = place.config.keyring();
    let aside = ring.with_extension("aside");
    fs::rename(&ring, &aside).expect("lost");
    let error = ensure(&place.config).expect_err("keys without a ring").to_string();
    assert!(
        error.starts_with(&format!("the key ring {} is gone, and there are private keys", ring.display())),
        "{error}"
    );
    assert!(!ring.exists());
    fs::rename(&aside, &ring).expect("put back");
    assert_eq!(ensure(&place.config).expect("nothing is missing"), []);
}

/// In another directory than they think, nobody is told that a key was made or replaced.
#[test]
fn where_no_ring_is_only_init_makes_one() {
    let place = Place::new();
    let absent = place.config.keyring();
    let missing = format!("there is no key ring {}, and nothing was changed; ", absent.display());
    let next = "run this where the installation's touchstone.toml is, or name that with `-c FILE`; `touchstone keys init` makes one";
    for error in [
        rotate(&place.config, KeyKind::Hash, SignedDuration::from_hours(1)).err(),
        new(&place.config, KeyKind::Hash, &NewKey::default()).err(),
        revoke(&place.config, "0123456789abcdef", "stolen").err(),
    ] {
        assert_eq!(error.expect("refused").to_string(), format!("{missing}{next}"));
    }
    ensure(&place.config).expect("made");
    let (before, text) = (place.files(), fs::read(place.config.keyring()).expect("a ring"));
    let mistyped = place.directory.path().join("kyes/keyring.json");
    let to = NewKey {
        out: Some(place.directory.path().join("new.pem")),
        ring: Some(mistyped.clone()),
        ..NewKey::default()
    };
    let error = new(&place.config, KeyKind::Hash, &to).expect_err("refused").to_string();
    let expected = format!(
        "there is no key ring {}, and nothing was changed; correct --ring; `touchstone keys init` makes one",
        mistyped.display()
    );
    assert_eq!((error, place.files()), (expected, before));
    assert_eq!(fs::read(place.config.keyring()).expect("a ring"), text);
}

#[test]
fn rotation_replaces_a_key_that_the_ring_has() {
    let place = Place::with_empty_ring();
    new(&place.config, KeyKind::Attest, &NewKey::default()).expect("made");
    let (before, text) = (place.files(), fs::read(place.config.keyring()).expect("a ring"));
    let refused = rotate(&place.config, KeyKind::Hash, SignedDuration::from_hours(1)).expect_err("refused");
    let expected = format!(
        "the key ring {} has no hash key to replace, and nothing was changed; run this where the installation's touchstone.toml is, \
         or name that with `-c FILE`; `touchstone keys init` makes one",
        place.config.keyring().display()
    );
    assert_eq!((refused.to_string(), place.files()), (expected, before));
    assert_eq!(fs::read(place.config.keyring()).expect("a ring"), text);

    // Where the ring is kept there need not be private keys.
    fs::remove_file(custody::key_file(&place.config, KeyKind::Attest)).expect("removed");
    rotate(&place.config, KeyKind::Attest, SignedDuration::from_hours(1)).expect("rotated");
    place.ring().accept(place.key(KeyKind::Attest), KeyKind::Attest, now()).expect("it counts");
}

#[test]
fn rotation_leaves_the_old_key_its_overlap_and_its_file() {
    let place = Place::new();
    ensure(&place.config).expect("made");
    let old = place.key(KeyKind::Hash);
    let text = fs::read(custody::key_file(&place.config, KeyKind::Hash)).expect("a key");
    rotate(&place.config, KeyKind::Hash, SignedDuration::from_hours(1)).expect("rotated");
    let (fresh, ring) = (place.key(KeyKind::Hash), place.ring());
    assert_ne!(fresh, old);
    let kept =
        custody::key_file(&place.config, KeyKind::Hash).with_file_name(format!("hash.{}.pem", short(old)));
    assert_eq!((fs::read(&kept).expect("kept"), Place::mode(&kept)), (text, 0o600));
    for key in [old, fresh] {
        ring.accept(key, KeyKind::Hash, now()).expect("both count during the overlap");
    }
    let late = now() + SignedDuration::from_hours(2);
    assert_eq!(ring.accept(old, KeyKind::Hash, late), Err(KeyProblem::Window { key: old, at: late }));
    ring.accept(fresh, KeyKind::Hash, late).expect("the new one goes on");
    assert_eq!(ring.entry(place.key(KeyKind::Attest)).expect("another kind").not_after, None);
    let shown = page(&ring, &[fresh], late);
    assert!(shown.contains(&format!("hash     ended    {old}")), "{shown}");
    assert!(shown.contains(&format!("hash     counts   {fresh}")), "{shown}");
    assert_eq!(shown.matches("in use here").count(), 1, "{shown}");

    let error = rotate(&place.config, KeyKind::Hash, SignedDuration::from_secs(-1)).expect_err("negative");
    assert_eq!(error.to_string(), "--overlap is negative, or too long");
}

#[test]
fn a_revoked_key_is_named_by_its_first_digits_and_never_counts_again() {
    let place = Place::new();
    ensure(&place.config).expect("made");
    let key = place.key(KeyKind::Sumdb);
    let refused =
        |id: &str, reason: &str| revoke(&place.config, id, reason).expect_err("refused").to_string();
    assert!(refused(&key.to_string()[..7], "lost").starts_with("name the key by at least 8 digits"));
    assert!(refused(&short(key), " ").starts_with("give a --reason"));
    assert!(refused("00000000ffffffff", "lost").starts_with("the key ring has no key 00000000ffffffff"));

    revoke(&place.config, &short(key).to_uppercase(), "lost\nin a train").expect("revoked");
    let problem = KeyProblem::Revoked { key, reason: "lost\nin a train".to_owned() };
    assert_eq!(place.ring().accept(key, KeyKind::Sumdb, now()), Err(problem));
    assert!(refused(&short(key), "again").contains("was revoked at"));
    let shown = page(&place.ring(), &[], now());
    assert!(shown.contains(&format!("sumdb    revoked  {key}")), "{shown}");
    assert!(shown.contains("lost\u{fffd}in a train"), "{shown}");

    // What follows: another key in its place.
    rotate(&place.config, KeyKind::Sumdb, SignedDuration::from_hours(1)).expect("rotated");
    let fresh = place.key(KeyKind::Sumdb);
    place.ring().accept(fresh, KeyKind::Sumdb, now()).expect("it counts");
    assert!(
        place.ring().entry(key).is_some_and(|entry| entry.revoked.is_some() && entry.not_after.is_none())
    );
}

#[test]
fn what_a_revocation_does_is_said_by_kind() {
    let place = Place::new();
    ensure(&place.config).expect("made");
    let told = |kind, others| consequence(&place.config, kind, place.key(kind), others);
    assert!(told(KeyKind::Hash, 1).contains("Nothing is served until then that needs a hash signature.\n"));
    assert!(effect(KeyKind::Hash).starts_with("edges stop serving"));
    assert!(told(KeyKind::Log, 1).contains("Nothing is sealed until then: promotion stops"));
    assert_eq!(effect(KeyKind::Log), "no checkpoint counts that it signed.");
    let other = place.key(KeyKind::Fetch);
    let rest = consequence(&place.config, KeyKind::Log, other, 2);
    assert_eq!(rest, "2 other log key(s) count, and what they signed stays.\n");
}

#[tokio::test]
async fn a_key_of_the_log_is_revoked_only_by_somebody_who_is_sure() {
    let place = Place::new();
    ensure(&place.config).expect("made");
    let refused = async |kind| {
        confirm(&place.config, &short(place.key(kind))).await.expect_err("nobody is sure").to_string()
    };
    let expected = "nothing is revoked: it is a key of the transparency log, and no checkpoint counts that it signed; until promote \
        seals with another one, promotion stops within two minutes, and an edge that is started serves nothing; with --yes it is \
        revoked all the same";
    assert_eq!(refused(KeyKind::Log).await, expected);
    let of_others = refused(KeyKind::Promote).await;
    assert!(of_others.starts_with("nothing is revoked: it cannot be told how many served"), "{of_others}");
    // Of what is revoked already that is said, and nothing is asked first.
    for kind in [KeyKind::Log, KeyKind::Promote] {
        revoke(&place.config, &short(place.key(kind)), "stolen").expect("revoked");
        let again = refused(kind).await;
        assert!(again.starts_with(&format!("the {kind} key {} was revoked at ", place.key(kind))), "{again}");
        assert!(again.ends_with(" already: stolen"), "{again}");
    }
}

#[test]
fn a_ring_that_is_malformed_is_not_replaced() {
    let place = Place::new();
    ensure(&place.config).expect("made");
    fs::write(place.config.keyring(), "{").expect("written");
    let key = place.key(KeyKind::Hash);
    for error in [
        ensure(&place.config).err(),
        rotate(&place.config, KeyKind::Hash, SignedDuration::ZERO).err(),
        revoke(&place.config, &short(key), "lost").err(),
    ] {
        let error = error.expect("refused").to_string();
        assert!(error.ends_with("keyring.json is refused"), "{error}");
    }
    assert_eq!(fs::read(place.config.keyring()).expect("a file"), b"{");
    assert_eq!(place.key(KeyKind::Hash), key);
}
