//! A private TUF repository, as the TUF specification 1.0.34 describes one: it signs what its fields say, honest or not.
//!
//! ```
//! # use touchstone_testkit::tuf::TufRepository;
//! let mut repository = TufRepository::new("2026-11-22T00:00:00Z".parse().unwrap());
//! repository.target("targets", "trusted_root.json", b"{}");
//! repository.publish();
//! let pinned = repository.pin();
//! let before = repository.clone();
//! repository.timestamp.version += 1;
//! repository.publish();
//! # assert_ne!(before.files["timestamp.json"], repository.files["timestamp.json"]);
//! # assert_eq!(pinned, repository.pin());
//! ```
//!
//! There are three places to lie. Public fields say what is signed: a version that goes back is signed as readily as one that
//! goes forward. [`TufRepository::publish_edited`] changes documents before they are signed and pinned. And
//! [`TufRepository::files`] are what a mirror hands out.

mod key;
mod server;
mod write;

use std::collections::BTreeMap;

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_domain::Sha256;

pub use key::TufKey;
pub use server::{TufRequest, TufServer};
pub use write::Layout;

/// The keys of a role, and what its document says.
#[derive(Clone)]
pub struct TufRole {
    /// Who signs.
    pub keys: Vec<TufKey>,
    /// How many must.
    pub threshold: usize,
    /// The version of the next document.
    pub version: u64,
    /// Its expiry.
    pub expires: Timestamp,
}

/// A targets role: the top-level one, or a delegated one.
#[derive(Clone)]
pub struct Targets {
    /// Who signs it, and its version.
    pub role: TufRole,
    /// What it lists.
    pub targets: BTreeMap<String, Vec<u8>>,
    /// To whom it delegates, in order.
    pub delegations: Vec<Delegation>,
}

/// One delegation.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// The role that is delegated to.
    pub to: String,
    /// For which paths.
    pub paths: Vec<String>,
    /// Whether nobody after it is asked.
    pub terminating: bool,
}

/// The repository.
#[derive(Clone)]
pub struct TufRepository {
    /// The root role.
    pub root: TufRole,
    /// The timestamp role.
    pub timestamp: TufRole,
    /// The snapshot role.
    pub snapshot: TufRole,
    /// Every targets role; `targets` is the top-level one.
    pub targets: BTreeMap<String, Targets>,
    /// What a mirror hands out: metadata by name, targets below `targets/`.
    pub files: BTreeMap<String, Vec<u8>>,
    roots: BTreeMap<u64, Vec<u8>>,
}

impl TufRepository {
    /// A repository without targets: three root keys of which two must sign, one key for each other role. The timestamp is
    /// good for a week, the rest for longer.
    pub fn new(now: Timestamp) -> Self {
        let role = |keys: Vec<TufKey>, threshold, days: i64| TufRole {
            keys,
            threshold,
            version: 1,
            expires: now + Span::new().hours(24 * days),
        };
        let top = Targets {
            role: role(vec![TufKey::ecdsa()], 1, 180),
            targets: BTreeMap::new(),
            delegations: vec![],
        };
        let mut repository = Self {
            root: role(vec![TufKey::ecdsa(), TufKey::ed25519(), TufKey::ecdsa()], 2, 180),
            timestamp: role(vec![TufKey::ed25519()], 1, 7),
            snapshot: role(vec![TufKey::ecdsa()], 1, 90),
            targets: BTreeMap::from([("targets".to_owned(), top)]),
            files: BTreeMap::new(),
            roots: BTreeMap::new(),
        };
        repository.sign_root(&repository.root.keys.clone());
        repository.publish();
        repository
    }

    /// The first root: what clients pin.
    pub fn pin(&self) -> Vec<u8> {
        self.roots.values().next().expect("there is always a root").clone()
    }

    /// Lists a target in a role, from the next publication on.
    pub fn target(&mut self, role: &str, path: &str, bytes: &[u8]) {
        self.role(role).targets.insert(path.to_owned(), bytes.to_vec());
    }

    /// Delegates paths to a role, which is made if it is new, and bears the top-level expiry.
    pub fn delegate(&mut self, from: &str, to: &str, paths: &[&str]) -> &mut Delegation {
        let expires = self.role("targets").role.expires;
        self.targets.entry(to.to_owned()).or_insert_with(|| Targets {
            role: TufRole { keys: vec![TufKey::ed25519()], threshold: 1, version: 1, expires },
            targets: BTreeMap::new(),
            delegations: vec![],
        });
        let delegation = Delegation {
            to: to.to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            terminating: false,
        };
        let from = self.role(from);
        from.delegations.push(delegation);
        from.delegations.last_mut().expect("it was just pushed")
    }

    /// A role that exists.
    pub fn role(&mut self, name: &str) -> &mut Targets {
        self.targets.get_mut(name).unwrap_or_else(|| panic!("no role {name}"))
    }

    /// Raises the version of every role but the root, and publishes.
    pub fn advance(&mut self) {
        self.timestamp.version += 1;
        self.snapshot.version += 1;
        self.targets.values_mut().for_each(|targets| targets.role.version += 1);
        self.publish();
    }

    /// The next root, which says what the fields say after `change`; signed by the keys of the old one and the new one.
    pub fn rotate(&mut self, change: impl FnOnce(&mut Self)) {
        let old = self.root.keys.clone();
        change(self);
        self.root.version += 1;
        let signers: Vec<TufKey> = old.into_iter().chain(self.root.keys.clone()).collect();
        self.sign_root(&signers);
        self.publish();
    }

    /// Signs a root that says what the fields say, by these keys, whoever they are. It is handed out from the next publication
    /// on.
    pub fn sign_root(&mut self, signers: &[TufKey]) {
        let root = self.root_document(signers);
        self.roots.insert(self.root.version, root);
    }

    /// Puts something else in the place of a root.
    pub fn replace_root(&mut self, version: u64, document: &[u8]) {
        self.roots.insert(version, document.to_vec());
        self.publish();
    }

    /// Signs every role but the root as the fields say, and replaces what is handed out.
    pub fn publish(&mut self) {
        self.publish_edited(|_role, _signed| {});
    }

    /// The same; `edit` may change the signed part of each role before it is signed and pinned by the next.
    pub fn publish_edited(&mut self, edit: impl Fn(&str, &mut Value)) {
        let mut files: BTreeMap<String, Vec<u8>> =
            self.roots.iter().map(|(version, root)| (format!("{version}.root.json"), root.clone())).collect();
        let mut pins = serde_json::Map::new();
        for (name, targets) in &self.targets {
            let mut signed = self.targets_part(targets);
            edit(name, &mut signed);
            let document = envelope(&signed, &targets.role.keys);
            pins.insert(format!("{name}.json"), pin(&document, targets.role.version));
            files.insert(format!("{}.{name}.json", targets.role.version), document);
            for (path, bytes) in &targets.targets {
                let (directory, file) = path.rsplit_once('/').map_or(("", path.as_str()), |parts| parts);
                let directory = if directory.is_empty() { String::new() } else { format!("{directory}/") };
                files.insert(format!("targets/{directory}{}.{file}", Sha256::of(bytes)), bytes.clone());
            }
        }
        let mut signed = part("snapshot", &self.snapshot);
        signed["meta"] = Value::Object(pins);
        edit("snapshot", &mut signed);
        let snapshot = envelope(&signed, &self.snapshot.keys);
        let mut signed = part("timestamp", &self.timestamp);
        signed["meta"] = json!({ "snapshot.json": pin(&snapshot, self.snapshot.version) });
        edit("timestamp", &mut signed);
        files.insert("timestamp.json".to_owned(), envelope(&signed, &self.timestamp.keys));
        files.insert(format!("{}.snapshot.json", self.snapshot.version), snapshot);
        self.files = files;
    }

    fn root_document(&self, signers: &[TufKey]) -> Vec<u8> {
        let mut signed = part("root", &self.root);
        let top = &self.targets["targets"].role;
        let roles = [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", top),
        ];
        signed["consistent_snapshot"] = true.into();
        signed["keys"] = keys(roles.iter().flat_map(|(_, role)| &role.keys));
        signed["roles"] = roles.iter().map(|(name, role)| ((*name).to_owned(), listed(role))).collect();
        envelope(&signed, signers)
    }

    fn targets_part(&self, targets: &Targets) -> Value {
        let mut signed = part("targets", &targets.role);
        let listing = |(path, bytes): (&String, &Vec<u8>)| {
            let entry =
                json!({ "length": bytes.len(), "hashes": { "sha256": Sha256::of(bytes).to_string() } });
            (path.clone(), entry)
        };
        signed["targets"] = targets.targets.iter().map(listing).collect();
        if targets.delegations.is_empty() {
            return signed;
        }
        let to = |delegation: &Delegation| &self.targets[&delegation.to].role;
        let roles = targets.delegations.iter().map(|delegation| {
            let mut role = listed(to(delegation));
            role["name"] = delegation.to.clone().into();
            role["paths"] = delegation.paths.clone().into();
            role["terminating"] = delegation.terminating.into();
            role
        });
        signed["delegations"] = json!({
            "keys": keys(targets.delegations.iter().flat_map(|delegation| &to(delegation).keys)),
            "roles": roles.collect::<Vec<_>>(),
        });
        signed
    }
}

/// What every document begins with.
fn part(kind: &str, role: &TufRole) -> Value {
    json!({ "_type": kind, "spec_version": "1.0.31", "version": role.version, "expires": seconds(role.expires) })
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn listed(role: &TufRole) -> Value {
    let ids: Vec<&str> = role.keys.iter().map(TufKey::id).collect();
    json!({ "keyids": ids, "threshold": role.threshold })
}

fn keys<'a>(keys: impl Iterator<Item = &'a TufKey>) -> Value {
    keys.map(|key| (key.id().to_owned(), key.to_json())).collect()
}

fn pin(document: &[u8], version: u64) -> Value {
    let sha256 = Sha256::of(document).to_string();
    json!({ "version": version, "length": document.len(), "hashes": { "sha256": sha256 } })
}

/// A signed document.
fn envelope(signed: &Value, signers: &[TufKey]) -> Vec<u8> {
    let mut ids = std::collections::BTreeSet::new();
    let signatures: Vec<Value> =
        signers.iter().filter(|key| ids.insert(key.id())).map(|key| key.sign(signed)).collect();
    json!({ "signed": signed, "signatures": signatures }).to_string().into_bytes()
}
