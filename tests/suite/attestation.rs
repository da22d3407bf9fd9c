//! One bundle with one thing wrong (threats.md, ecosystems.md 14 A1 to A6, A11 to A14, A20).
//!
//! Every case is minted by testkit's private sigstore. The honest twin of each lie verifies first, in the same test; then the
//! lie is refused for exactly what it is.

mod certificate;
mod entry;
mod evidence;
mod form;
mod key;
mod log;
mod pep740;
mod signature;
mod size;
mod statement;
mod time;
mod timestamp;
mod trust;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Span;
use serde_json::{Value, json};
use touchstone_attestation::{
    ArtifactDigests, Problem, Refused, RegistryKeys, Signer, SubjectDigest, SubjectRule, TrustRoot, Verified,
};
use touchstone_domain::{Sha256, Sha512};
use touchstone_testkit::sigstore::{
    Bundle, BundleVersion, EntryKind, Identity, Sigstore, clock,
    npm::{self, PUBLISH, STATEMENT_OLD},
    pypi,
};

/// The artifact that every honest bundle is about.
const ARTIFACT: &[u8] = b"the bytes of a release";
/// Its name where it is a wheel.
const WHEEL_FILE: &str = "sample-4.0.0-py3-none-any.whl";
/// Its name and version where it is an npm package.
const NPM: (&str, &str) = ("@org/name", "1.0.0");

/// A lie told while a bundle is minted.
type Lie = for<'w> fn(Bundle<'w>) -> Bundle<'w>;
/// A lie told about a finished document.
type Edit = fn(&mut Value);

/// What is minted, and how it is judged.
#[derive(Clone, Copy)]
struct Case {
    mint: for<'w> fn(&'w World) -> Bundle<'w>,
    judge: fn(&World, &[u8]) -> Result<Verified, Refused>,
}

/// A wheel's publish attestation, bundle v0.3, `dsse` 0.0.1.
const WHEEL: Case = Case { mint: World::wheel, judge: World::judge_wheel };
/// The same in the second log.
const WHEEL_V2: Case =
    Case { mint: |w| w.wheel().entries(&[EntryKind::HashedRekordV2]), judge: World::judge_wheel };
/// The same as bundle v0.2 with a certificate chain.
const WHEEL_CHAIN: Case = Case { mint: |w| w.wheel().version(BundleVersion::V02), judge: World::judge_wheel };
/// The same as bundle v0.1, the last that may do without a proof.
const WHEEL_V01: Case = Case { mint: |w| w.wheel().version(BundleVersion::V01), judge: World::judge_wheel };
/// The artifact's own signature, without a statement.
const BYTES: Case =
    Case { mint: |w| w.sigstore.sign_artifact(&w.identity, ARTIFACT), judge: World::judge_bytes };
/// An npm publish attestation, signed by the registry's key.
const PUBLISHED: Case = Case { mint: World::publish, judge: World::judge_publish };

/// A private sigstore that signed everything an hour ago, and what is trusted of it.
struct World {
    sigstore: Sigstore,
    identity: Identity,
    statement: Value,
    root: TrustRoot,
    keys: RegistryKeys,
}

impl World {
    fn new() -> Self {
        Self::of(Sigstore::at(clock() - Span::new().hours(1)))
    }

    fn of(sigstore: Sigstore) -> Self {
        let root = TrustRoot::from_json(&sigstore.trusted_root_json()).expect("an honest root");
        let keys = RegistryKeys::from_json(&sigstore.registry_keys_json()).expect("honest keys");
        let identity = Identity::github("org/name").git_ref("refs/tags/v4.0.0");
        let statement = pypi::publish_statement(WHEEL_FILE, &Sha256::of(ARTIFACT));
        Self { sigstore, identity, statement, root, keys }
    }

    /// Trusts a changed root from here on.
    fn trust(&mut self, change: impl FnOnce(&mut Value)) {
        let mut root = self.sigstore.trusted_root();
        change(&mut root);
        self.root = TrustRoot::from_json(root.to_string().as_bytes()).expect("a usable root");
    }

    fn wheel(&self) -> Bundle<'_> {
        self.sigstore.attest(&self.identity, &self.statement)
    }

    fn publish(&self) -> Bundle<'_> {
        let (name, version) = NPM;
        let statement = json!({
            "_type": STATEMENT_OLD,
            "subject": [{ "name": npm::purl(name, version), "digest": { "sha512": Sha512::of(ARTIFACT).to_string() } }],
            "predicateType": PUBLISH,
            "predicate": { "name": name, "version": version, "registry": self.sigstore.registry_url },
        });
        self.sigstore.attest_by_registry(&self.sigstore.registry_key, &statement)
    }

    fn judge_wheel(&self, bundle: &[u8]) -> Result<Verified, Refused> {
        let verified = self.judge_bytes(bundle)?;
        let name = |name: &str| name == WHEEL_FILE;
        let rule = SubjectRule { name: &name, digest: SubjectDigest::Sha256, exactly_one: true };
        verified.clone().into_statement(&rule).map(|_statement| verified)
    }

    fn judge_bytes(&self, bundle: &[u8]) -> Result<Verified, Refused> {
        self.root.verify(bundle, &ArtifactDigests::of(ARTIFACT), Signer::Certificate)
    }

    fn judge_publish(&self, bundle: &[u8]) -> Result<Verified, Refused> {
        let signer = Signer::RegistryKey(&self.keys);
        let verified = self.root.verify(bundle, &ArtifactDigests::of(ARTIFACT), signer)?;
        let purl = npm::purl(NPM.0, NPM.1);
        let name = |name: &str| name == purl;
        let rule = SubjectRule { name: &name, digest: SubjectDigest::Sha512, exactly_one: true };
        verified.clone().into_statement(&rule).map(|_statement| verified)
    }

    /// Mints the honest bundle, which must verify.
    fn honest(&self, case: Case) -> Verified {
        self.passes(case, "nothing", |bundle| bundle)
    }

    /// Mints a bundle that is out of the ordinary and must verify all the same.
    fn passes(&self, case: Case, what: &str, change: Lie) -> Verified {
        let bundle = change((case.mint)(self)).json();
        (case.judge)(self, &bundle).unwrap_or_else(|refused| panic!("{what}: {refused}"))
    }

    /// Refuses each bundle that is minted with one lie; its honest twin verifies before.
    fn refuses(&self, case: Case, lies: &[(&str, Lie, Problem)]) {
        self.honest(case);
        for (what, lie, problem) in lies {
            let bundle = lie((case.mint)(self)).json();
            refused(what, (case.judge)(self, &bundle), *problem);
        }
    }

    /// Refuses one honest bundle after each change; unchanged, the very same verifies before.
    fn refuses_changed(&self, case: Case, edits: &[(&str, Edit, Problem)]) {
        let honest = (case.mint)(self).value();
        accepted((case.judge)(self, honest.to_string().as_bytes()));
        for (what, edit, problem) in edits {
            let mut bundle = honest.clone();
            edit(&mut bundle);
            assert_ne!(bundle, honest, "{what}: nothing was changed");
            refused(what, (case.judge)(self, bundle.to_string().as_bytes()), *problem);
        }
    }
}

/// The one log entry of a bundle.
fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// The inclusion proof of the one log entry.
fn proof(bundle: &mut Value) -> &mut Value {
    &mut entry(bundle)["inclusionProof"]
}

/// Changes the bytes behind a base64 string.
fn bytes(value: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = decoded(value);
    change(&mut bytes);
    *value = Value::from(STANDARD.encode(bytes));
}

/// The bytes behind a base64 string.
fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("a string")).expect("base64")
}

/// Flips the lowest bit of the last byte behind a base64 string.
fn flip(value: &mut Value) {
    bytes(value, |bytes| *bytes.last_mut().expect("not empty") ^= 1);
}

/// Adds to a number that is written as a string.
fn add(value: &mut Value, number: i64) {
    let old: i64 = value.as_str().and_then(|text| text.parse().ok()).expect("a number");
    *value = Value::from((old + number).to_string());
}

/// Takes a member away, which must have been there.
fn remove(object: &mut Value, name: &str) {
    object.as_object_mut().expect("an object").remove(name).expect("a member of that name");
}

#[track_caller]
fn accepted(result: Result<Verified, Refused>) -> Verified {
    result.unwrap_or_else(|refused| panic!("the honest twin: {refused}"))
}

#[track_caller]
fn refused<T>(what: &str, result: Result<T, Refused>, problem: Problem) {
    match result {
        Ok(_) => panic!("{what}: accepted"),
        Err(refused) => assert_eq!(refused.problem, problem, "{what}: {refused}"),
    }
}
