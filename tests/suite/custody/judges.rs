//! Stock in-toto and securesystemslib, as they are on PyPI, judge what we hand out: honest records, and the same with one thing
//! changed. They run the very commands that README.txt of an export gives.

mod made;

use std::{fs, path::Path};

use touchstone_custody::KeyKind;
use touchstone_domain::{CheckKind, Outcome, OutcomeKind, Reason};
use touchstone_tests::clients::judge::Judge;

use made::{ARTIFACT, Chain, FILE};

/// A chain that is whole, as files.
struct Export {
    dir: tempfile::TempDir,
    judge: Judge,
}

impl Export {
    fn new(chain: &Chain) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, bytes) in chain.records().files().expect("a whole chain") {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        Self { judge: Judge::find(), dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What in-toto-verify says.
    fn chain(&self) -> Result<String, String> {
        self.judge.chain(self.path())
    }

    /// What securesystemslib says of the serve record.
    fn record(&self) -> Result<String, String> {
        self.judge.record(self.path())
    }

    fn names(&self, suffix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("our directory").map(|entry| entry.expect("an entry"));
        let names = entries.map(|entry| entry.file_name().into_string().expect("a name"));
        let mut names: Vec<String> = names.filter(|name| name.ends_with(suffix)).collect();
        names.sort();
        names
    }
}

fn key_file(kind: KeyKind) -> String {
    format!("keys/{kind}.{}.pub", &made::signer(kind).id[..8])
}

/// Changes a file, sees it refused, and puts it back.
fn refuses(export: &Export, name: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> String {
    let path = export.path().join(name);
    let honest = fs::read(&path).expect("our file");
    match change(honest.clone()) {
        Some(changed) => {
            assert_ne!(changed, honest, "{name}");
            fs::write(&path, changed).expect("written");
        }
        None => fs::remove_file(&path).expect("removed"),
    }
    let said = if name.ends_with(".vsa.json") { export.record() } else { export.chain() };
    fs::write(&path, honest).expect("written");
    said.expect_err(name)
}

/// One letter of a base64 text, from the place where the member begins.
fn letter_changed(envelope: Vec<u8>, member: &str, after: usize) -> Vec<u8> {
    let mut text = envelope;
    let begins = text.windows(member.len()).position(|window| window == member.as_bytes()).expect(member);
    let at = begins + member.len() + after;
    text[at] = if text[at] == b'A' { b'B' } else { b'A' };
    text
}

#[test]
fn an_honest_chain_is_accepted_and_so_is_its_serve_record() {
    let export = Export::new(&Chain::honest());
    export.chain().expect("the chain");
    let record = export.record().expect("the record");
    assert!(record.contains("https://slsa.dev/verification_summary/v1"), "{record}");
    assert!(record.contains("pkg:npm/%40scope/left-pad@1.0.0"), "{record}");
    // Once more, with what the first run left, and with a copy.
    fs::write(export.path().join(FILE), ARTIFACT).expect("written");
    export.chain().expect("the chain, beside the file");
    export.judge.copy(export.path()).expect("the copy");
    // A check that found nothing to check, where that is tolerated.
    Export::new(&Chain::tolerating()).chain().expect("the chain");
}

#[test]
fn a_changed_byte_in_any_envelope_is_rejected() {
    let export = Export::new(&Chain::honest());
    let layout = "root.layout".to_owned();
    let mut names = [vec![layout], export.names(".link"), export.names(".vsa.json")].concat();
    names.retain(|name| name != "copy.link");
    assert_eq!(names.len(), 5, "{names:?}");
    for name in &names {
        for after in [10, 500] {
            refuses(&export, name, |envelope| Some(letter_changed(envelope, "\"payload\":\"", after)));
        }
        refuses(&export, name, |envelope| Some(letter_changed(envelope, "\"sig\":\"", 20)));
        refuses(&export, name, |envelope| Some(letter_changed(envelope, "\"payloadType\":\"", 3)));
    }
    export.chain().expect("all is as it was");
}

#[test]
fn a_chain_without_one_of_its_parts_is_rejected() {
    let export = Export::new(&Chain::honest());
    let links = export.names(".link");
    assert_eq!(links.len(), 3, "{links:?}");
    for link in &links {
        let step = link.split('.').next().expect("a step");
        let said = refuses(&export, link, |_| None);
        assert!(
            said.contains(&format!("Step '{step}' requires '1' link metadata file(s), found '0'")),
            "{said}"
        );
    }
    refuses(&export, "root.layout", |_| None);
    export.chain().expect("all is as it was");
}

#[test]
fn another_key_is_rejected() {
    let export = Export::new(&Chain::honest());
    let promote = key_file(KeyKind::Promote);
    let other = fs::read(export.path().join(key_file(KeyKind::Hash))).expect("our file");
    let said = refuses(&export, &promote, |_| Some(other.clone()));
    assert!(said.contains("SignatureVerificationError"), "{said}");
    let path = export.path().join(&promote);
    fs::write(&path, other).expect("written");
    let said = export.record().expect_err("another key");
    assert!(said.contains("VerificationError"), "{said}");

    // A link by a key of another kind, in the name of the right one and in its own.
    for name in [KeyKind::Hash, KeyKind::Attest] {
        let mut chain = Chain::honest();
        chain.sign_check(CheckKind::Hash, KeyKind::Attest, name);
        let said = Export::new(&chain).chain().expect_err("another key");
        assert!(said.contains("Step 'hash' requires"), "{said}");
    }
}

#[test]
fn a_changed_copy_of_the_artifact_is_rejected() {
    let export = Export::new(&Chain::honest());
    let copy = export.path().join(FILE);
    fs::write(&copy, ARTIFACT).expect("written");
    export.chain().expect("the fetched bytes");
    fs::write(&copy, b"left-pae").expect("written");
    let said = export.chain().expect_err("other bytes");
    assert!(said.contains("'DISALLOW *.tgz' matched the following artifacts"), "{said}");
    let said = export.judge.copy(export.path()).expect_err("other bytes");
    assert!(said.contains("FAILED"), "{said}");
    fs::rename(&copy, export.path().join("other-1.0.0.tgz")).expect("renamed");
    export.chain().expect_err("another file");
}

#[test]
fn a_chain_in_which_a_check_did_not_approve_is_rejected() {
    let failed = Outcome::fail(Reason::Undeclared);
    let absent = Outcome { kind: OutcomeKind::NotOffered, reason: Reason::NoClaim };
    for outcome in [failed, absent] {
        let mut chain = Chain::honest();
        chain.answer(CheckKind::Attest, outcome);
        let said = Export::new(&chain).chain().expect_err("not approved");
        assert!(
            said.contains("'DISALLOW *' matched the following artifacts: ['left-pad-1.0.0.tgz']"),
            "{said}"
        );
    }
    let mut chain = Chain::tolerating();
    chain.answer(CheckKind::Attest, Outcome::fail(Reason::Undeclared));
    Export::new(&chain).chain().expect_err("not approved");
}

#[test]
fn links_of_other_bytes_are_rejected() {
    let mut chain = Chain::honest();
    chain.transplant(CheckKind::Attest, b"other bytes");
    let said = Export::new(&chain).chain().expect_err("other bytes");
    assert!(said.contains("RuleVerificationError"), "{said}");
}

#[test]
fn an_expired_layout_is_rejected() {
    let mut chain = Chain::honest();
    chain.age_layout();
    let said = Export::new(&chain).chain().expect_err("expired");
    assert!(said.contains("LayoutExpiredError"), "{said}");
}
