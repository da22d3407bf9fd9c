//! Attestations decide: what a private sigstore minted, through a whole mirror. What the parts refuse, each with one thing
//! changed, is in the tests of `attestation` and of the attest service; here is what becomes of a release.

mod absence;
mod again;
mod answers;
mod continuity;
mod modes;
mod refused;
mod sidecars;
mod together;

use std::time::Duration;

use serde_json::json;
use touchstone_domain::{
    ArtifactState, Basis, Discontinuity, Ecosystem, EvidenceKind, IdentityField, Outcome, OutcomeKind,
    Reason, Sha256, Sha512, SignatureNote, Verdict,
};
use touchstone_store::Story;
use touchstone_testkit::{
    Package, Registry, TestMirror, TestMirrorBuilder, eventually, npm_package_from,
    sigstore::{Identity, NpmDocument, Sigstore, pypi},
};

use crate::protocol::raw::{Reply, ask};

/// A registry, and the sigstore that its publishers sign with.
struct World {
    registry: Registry,
    sigstore: Sigstore,
}

/// How a release came out.
struct Release {
    reply: Reply,
    story: Story,
}

impl World {
    async fn new() -> Self {
        Self { registry: Registry::start().await, sigstore: Sigstore::new() }
    }

    /// A mirror that trusts the sigstore.
    fn mirror(&self) -> TestMirrorBuilder {
        TestMirror::builder().registry(&self.registry).trust(&self.sigstore).hold(Duration::from_secs(20))
    }

    /// Publishes a version with the registry's signature, and without attestations.
    fn publish(&self, name: &str, version: &str, repository: &str) -> Package {
        let package = npm_package_from(name, version, &format!("https://github.com/{repository}"));
        self.registry.publish(package.clone());
        let signature = self.sigstore.registry_signature(name, version, &package.integrity());
        self.registry.sign(&package.file, vec![signature]);
        package
    }

    /// Publishes a version that this identity built, in the repository that it says.
    fn release(&self, name: &str, version: &str, identity: &Identity) -> Package {
        let package = self.publish(name, version, identity.repository());
        self.registry.attest(&package.file, self.document(&package, identity).json());
        package
    }

    fn document(&self, package: &Package, identity: &Identity) -> NpmDocument<'_> {
        self.sigstore.npm(identity, &package.name, &package.version, &Sha512::of(&package.bytes))
    }

    /// Publishes a Python file that this identity published, if one did.
    fn python(&self, package: Package, identity: Option<&Identity>) -> Package {
        if let Some(identity) = identity {
            let object = self.sigstore.pypi_provenance(identity, &package.file, &package.sha256());
            self.registry.attest(&package.file, object);
        }
        self.registry.publish(package.clone());
        package
    }

    /// How often the registry was asked for the attestations of anything.
    fn asked_for_attestations(&self) -> usize {
        let of = |path: &str| path.contains("/v1/attestations/") || path.ends_with("/provenance");
        self.registry.requests().iter().filter(|request| of(&request.path)).count()
    }
}

/// The workflow that releases `org/name`, from tags.
fn publisher() -> Identity {
    Identity::github("org/name").git_ref("refs/tags/v1")
}

fn target(package: &Package) -> String {
    match package.ecosystem {
        Ecosystem::Npm => format!("/npm/{}/-/{}", package.name, package.file),
        Ecosystem::Pypi => format!("/pypi/files/-/{}/{}", package.name, package.file),
        Ecosystem::Cargo | Ecosystem::Go => panic!("it has no attestations"),
    }
}

fn purl(package: &Package) -> String {
    format!("pkg:{}/{}@{}", package.ecosystem, package.name.replace('@', "%40"), package.version)
}

/// Asks for a release, and for all that is on record about it.
async fn get(mirror: &TestMirror, package: &Package) -> Release {
    get_file(mirror, package, &package.file).await
}

async fn get_file(mirror: &TestMirror, package: &Package, file: &str) -> Release {
    list(mirror, package).await;
    let target = target(package).replace(&package.file, file);
    let reply = ask(mirror, "GET", &target, &[]).await;
    assert_ne!(reply.status(), 404, "{target}: {}", reply.text());
    let story = story(mirror, package, file).await;
    Release { reply, story }
}

/// Asks for the index, which the mirror asks its upstream for: it keeps one for a moment.
async fn list(mirror: &TestMirror, package: &Package) {
    let path = match package.ecosystem {
        Ecosystem::Npm => format!("npm/{}", package.name),
        Ecosystem::Pypi => format!("pypi/simple/{}/", package.name),
        Ecosystem::Cargo | Ecosystem::Go => panic!("it has no attestations"),
    };
    // 403 when every version is refused.
    let status = mirror.get(&path).await.status().as_u16();
    assert!([200, 403].contains(&status), "{path}: {status}");
}

async fn story(mirror: &TestMirror, package: &Package, file: &str) -> Story {
    let purl = purl(package).parse().expect("a purl");
    eventually("it is on record", || async {
        let stories = mirror.store.stories(&purl, 16).await.expect("stories");
        stories.into_iter().find(|story| story.facts.id.file.as_str() == file)
    })
    .await
}

impl Release {
    fn verdict(&self) -> &Verdict {
        attest_verdict(&self.story).expect("the attest check answered")
    }

    fn outcome(&self) -> &Outcome {
        &self.verdict().outcome
    }

    /// Asserts that it is served, and returns why.
    #[track_caller]
    fn served(&self) -> &Reason {
        assert_eq!(self.reply.line, "HTTP/1.1 200 OK", "{}", self.reply.text());
        assert_eq!(self.story.state(), ArtifactState::Servable);
        &self.outcome().reason
    }

    /// Asserts that it is served as attested, and returns on what basis.
    #[track_caller]
    fn attested(&self) -> &Basis {
        let Reason::Attested { continuity, .. } = self.served() else { panic!("{}", self.outcome().reason) };
        continuity
    }

    /// Asserts that the attest check holds it, and returns why.
    #[track_caller]
    fn held(&self) -> &Reason {
        let Outcome { kind, reason } = self.outcome();
        assert!(matches!(kind, OutcomeKind::Inconclusive | OutcomeKind::NotOffered), "{kind}: {reason}");
        let line = format!("HTTP/1.1 403 Held by the attest check: {}", reason.code());
        assert_eq!(self.reply.line, line, "{}", self.reply.text());
        assert_eq!(self.story.state(), ArtifactState::Held);
        reason
    }

    /// Asserts that the attest check rejects it, and returns why.
    #[track_caller]
    fn rejected(&self) -> &Reason {
        let Outcome { kind, reason } = self.outcome();
        assert_eq!(*kind, OutcomeKind::Fail, "{reason}");
        let line = format!("HTTP/1.1 403 Rejected by the attest check: {}", reason.code());
        assert_eq!(self.reply.line, line, "{}", self.reply.text());
        assert_eq!(self.story.state(), ArtifactState::Rejected);
        reason
    }

    /// Asserts that it is held because somebody else signed it, and returns what differs.
    #[track_caller]
    fn changed(&self) -> IdentityField {
        match self.held() {
            Reason::Discontinued { discontinuity: Discontinuity::Changed { difference, .. } } => {
                difference.field
            }
            other => panic!("{other}"),
        }
    }

    /// Asserts that it is held for this break.
    #[track_caller]
    fn discontinued(&self) -> &Discontinuity {
        match self.held() {
            Reason::Discontinued { discontinuity } => discontinuity,
            other => panic!("{other}"),
        }
    }

    /// The problem of a refused attestation.
    #[track_caller]
    fn refused(&self) -> &str {
        match self.rejected() {
            Reason::AttestationRefused { problem, .. } => problem,
            other => panic!("{other}"),
        }
    }
}

/// The attest check's verdict of the present epoch.
fn attest_verdict(story: &Story) -> Option<&Verdict> {
    let attest = |verdict: &&Verdict| verdict.service == "attest" && verdict.epoch == story.gate.epoch;
    story.verdicts.iter().map(|recorded| &recorded.verdict).find(attest)
}

/// What an attested release looks like in every place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attested_release_is_served_with_its_evidence_on_record() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let first = world.release("@org/name", "1.0.0", &publisher());
    let release = get(&mirror, &first).await;
    let Reason::Attested { identity, continuity, attestations, registry_signature, .. } = release.served()
    else {
        panic!("{}", release.outcome().reason)
    };
    assert_eq!(identity.repository.as_deref(), Some("https://github.com/org/name"));
    assert_eq!(
        (continuity, *registry_signature, attestations.len()),
        (&Basis::FirstUse, SignatureNote::Verified, 2)
    );

    let evidence = &release.story.facts.evidence;
    let kinds: Vec<EvidenceKind> = evidence.iter().map(|evidence| evidence.kind).collect();
    assert_eq!(kinds, [EvidenceKind::MetadataEntry, EvidenceKind::Attestations]);
    let digests: Vec<Sha256> = evidence.iter().map(|evidence| evidence.sha256).collect();
    assert_eq!(release.verdict().evidence, digests);
    assert!(attestations.iter().all(|note| note.document == digests[1]));
    assert!(evidence[1].url.ends_with("/npm/-/npm/v1/attestations/@org%2fname@1.0.0"), "{}", evidence[1].url);
    mirror.blobs.read(digests[1], 1 << 20).await.expect("stored as it was received");
    let trust = [world.sigstore.registry_keys_json(), world.sigstore.trusted_root_json()]
        .map(|document| Sha256::of(&document));
    assert_eq!(release.verdict().trust, trust);
    assert_eq!(mirror.incidents().await, Vec::<String>::new());

    let second = world.release("@org/name", "1.0.1", &publisher().git_ref("refs/tags/v1.0.1").run("43"));
    let basis = get(&mirror, &second).await;
    assert_eq!(json!(basis.attested()), json!({ "basis": "continued", "since": "1.0.0" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attested_file_of_a_python_project_is_served() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    for (package, expected) in [
        (touchstone_testkit::wheel("foo-bar", "1.0", &[], 9), json!({ "basis": "first_use" })),
        (touchstone_testkit::sdist("foo-bar", "1.0"), json!({ "basis": "continued", "since": "1.0" })),
        (
            touchstone_testkit::wheel("foo-bar", "1.1", &[], 9),
            json!({ "basis": "continued", "since": "1.0" }),
        ),
    ] {
        let package = world.python(package, Some(&publisher()));
        let release = get(&mirror, &package).await;
        assert_eq!(json!(release.attested()), expected, "{}", package.file);
        let root = Sha256::of(world.sigstore.trusted_root_json());
        assert_eq!(release.verdict().trust, [root]);
    }
    let other = world
        .python(touchstone_testkit::wheel("foo-bar", "1.2", &[], 9), Some(&Identity::github("fork/name")));
    assert_eq!(get(&mirror, &other).await.changed(), IdentityField::RepositoryId);
    let lying = world.python(touchstone_testkit::wheel("foo-bar", "1.3", &[], 9), None);
    let attestation = pypi::attestation(
        &world.sigstore.pypi_bundle(&Identity::github("fork/name"), &lying.file, &lying.sha256()).value(),
    );
    let object = pypi::provenance(&publisher(), &[attestation]);
    world.registry.attest(&lying.file, object.to_string());
    assert_eq!(get(&mirror, &lying).await.refused(), "publisher");
}
