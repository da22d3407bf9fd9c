use std::sync::atomic::{AtomicUsize, Ordering};

use touchstone_custody::{KeyKind, LocalSigner, PublicKey};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, Ecosystem, FileName, KeyId, Outcome, PackageName, Reason, Sha256,
    Sha512, Verdict, Version,
};

use super::*;

fn statement(number: i64, evidence: usize) -> VerdictStatement {
    VerdictStatement {
        environment: "test".into(),
        id: ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new("left-pad").expect("a name"),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new("left-pad-1.0.0.tgz").expect("a name"),
        },
        sha512: Sha512::of("x"),
        size: 1,
        upstream_url: "https://registry.example/x".into(),
        policy: Sha256::of("policy"),
        verdict: Verdict {
            artifact: ArtifactDbId(number),
            sha256: Sha256::of("x"),
            chunk_root: None,
            epoch: 0,
            check: CheckKind::Hash,
            check_revision: 1,
            policy_epoch: 1,
            outcome: Outcome::pass(Reason::Trivial),
            evidence: vec![Sha256::of("e"); evidence],
            trust: vec![],
            service: "hash".into(),
            software: "test".into(),
            decided_at: "2026-11-23T00:00:00Z".parse().expect("a time"),
        },
    }
}

/// Does for its n-th message what the n-th letter says: `s`ign, `f`ail, `p`anic.
#[derive(Debug)]
struct Scripted {
    inner: LocalSigner,
    script: &'static [u8],
    asked: AtomicUsize,
}

impl Scripted {
    fn new(script: &'static str) -> Self {
        let inner = LocalSigner::from_seed(KeyKind::Hash, [7; 32]).expect("a key");
        Self { inner, script: script.as_bytes(), asked: AtomicUsize::new(0) }
    }
}

impl Signer for Scripted {
    fn kind(&self) -> KeyKind {
        self.inner.kind()
    }

    fn public(&self) -> PublicKey {
        self.inner.public()
    }

    fn key_id(&self) -> KeyId {
        self.inner.key_id()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        match self.script[self.asked.fetch_add(1, Ordering::SeqCst)] {
            b's' => self.inner.sign(message),
            b'f' => Err(SignError::Failed("on purpose".into())),
            other => panic!("asked for {}", char::from(other)),
        }
    }
}

fn said(signer: &Scripted, statements: Vec<VerdictStatement>) -> Vec<String> {
    let answers = sign_each(signer, statements);
    answers
        .into_iter()
        .map(|(statement, answer)| {
            let word = match answer {
                Ok(_) => "signed".to_owned(),
                Err(Unsigned::Away(error)) => error.to_string(),
                Err(Unsigned::Never(trouble)) => format!("{}: {}", trouble.label, trouble.detail),
            };
            format!("{} {word}", statement.verdict.artifact.0)
        })
        .collect()
}

#[test]
fn a_statement_that_cannot_be_signed_spoils_no_other() {
    let signer = Scripted::new("spsfs");
    let found = said(
        &signer,
        vec![statement(1, 0), statement(2, 0), statement(3, 0), statement(4, 0), statement(5, 0)],
    );
    assert_eq!(
        found,
        [
            "1 signed",
            "2 panic: signing panicked: asked for p",
            "3 signed",
            "4 the signer failed: on purpose",
            "5 signed"
        ]
    );

    let long = VerdictStatement { upstream_url: String::new(), ..statement(2, 0) };
    let found = said(&Scripted::new("sssss"), vec![statement(1, 2000), long, statement(3, 64)]);
    let [size, field, third] = &found[..] else { panic!() };
    assert!(
        size.starts_with("1 poison: the statement is too long to be signed: its envelope would have "),
        "{size}"
    );
    assert!(field.starts_with("2 poison: upstream_url of the statement is refused"), "{field}");
    assert_eq!(third, "3 signed");
}

#[test]
fn a_signer_that_is_away_is_not_asked_for_the_whole_batch() {
    let signer = Scripted::new("ffsfff");
    let found = said(&signer, (1..=8).map(|number| statement(number, 0)).collect());
    let (failed, spared) = (
        "the signer failed: on purpose",
        "the signer failed: it failed 3 times in a row, and was not asked again",
    );
    let words = [failed, failed, "signed", failed, failed, failed, spared, spared];
    let expected: Vec<_> = words.iter().zip(1..).map(|(word, number)| format!("{number} {word}")).collect();
    assert_eq!(found, expected);
    assert_eq!(signer.asked.load(Ordering::SeqCst), 6);
}
