//! A miniature checksum database under a key of its own, below `/sumdb/` of the registry and, as a module proxy passes it
//! through, below `/go/sumdb/<name>/`. It lies on demand ([`Lie`]).
//!
//! *Invariant:* nothing here is computed by the product: tree, tiles, notes and signatures are written again, plainly, from
//! RFC 6962 and the specifications of the checksum database and of signed notes.

mod answer;
mod key;
mod lie;
mod tree;

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_domain::Sha256;

use crate::registry::lock;

pub(crate) use answer::Endpoint;
pub use key::NoteKey;
pub use lie::{Lie, Lines, NoteLie, TileForgery};

use tree::Tree;

/// The database. Clones are the same one.
#[derive(Clone)]
pub struct Sumdb {
    state: Arc<Mutex<State>>,
}

/// Which partial tiles there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PartialTiles {
    /// Of every width that the tree has reached.
    #[default]
    Any,
    /// Only of the width that the tree has now.
    Current,
    /// None.
    Missing,
}

struct State {
    key: NoteKey,
    log: Log,
    /// Which record a lookup finds, by `module@version`.
    ids: HashMap<String, u64>,
    partial: PartialTiles,
    /// The size of the tree that lookups are signed for, if not the present one.
    lookup_size: Option<u64>,
    lies: Vec<Lie>,
    /// What forged records and forks are served from, beside the log.
    forged: Option<Log>,
}

/// Records and the tree over them.
#[derive(Clone, Default)]
struct Log {
    records: Vec<String>,
    tree: Tree,
}

impl Log {
    fn append(&mut self, text: String) -> u64 {
        self.tree.push(text.as_bytes());
        self.records.push(text);
        self.tree.size() - 1
    }

    /// The same log, but for one record.
    fn with(&self, id: u64, text: &str) -> Self {
        let id = usize::try_from(id).expect("in memory");
        let mut other = Self::default();
        for (at, record) in self.records.iter().enumerate() {
            other.append(if at == id { text.to_owned() } else { record.clone() });
        }
        other
    }
}

/// The name of the key.
const NAME: &str = "sumdb.example";

impl Sumdb {
    /// An empty database. Every one has the same key, as if a second one were the first one's fork.
    pub(crate) fn new() -> Self {
        let state = State {
            key: NoteKey::from_seed(NAME, [7; 32]),
            log: Log::default(),
            ids: HashMap::new(),
            partial: PartialTiles::Any,
            lookup_size: None,
            lies: vec![],
            forged: None,
        };
        let database = Self { state: Arc::new(Mutex::new(state)) };
        // A tree is never empty.
        database.fill(1);
        database
    }

    /// The verifier key: name, hash and public key.
    pub fn key(&self) -> String {
        lock(&self.state).key.verifier()
    }

    /// The name of the key.
    pub fn name(&self) -> String {
        NAME.to_owned()
    }

    /// The name and the hash of the key, which name the database in records and metrics.
    pub fn id(&self) -> String {
        lock(&self.state).key.id()
    }

    /// How many records there are.
    pub fn size(&self) -> u64 {
        lock(&self.state).log.tree.size()
    }

    /// The root of the tree of the first `size` records.
    pub fn root(&self, size: u64) -> Sha256 {
        lock(&self.state).log.tree.root(size)
    }

    /// The number of a record.
    pub fn record_id(&self, module: &str, version: &str) -> Option<u64> {
        lock(&self.state).ids.get(&format!("{module}@{version}")).copied()
    }

    /// Records digests of a version, unless it is on record; gives the number of the record.
    pub fn record(&self, module: &str, version: &str, zip: &str, go_mod: &str) -> u64 {
        self.record_text(module, version, lines(module, version, zip, go_mod))
    }

    /// Records this text for a version, unless it is on record; gives the number of the record.
    pub fn record_text(&self, module: &str, version: &str, text: String) -> u64 {
        let mut state = lock(&self.state);
        let coordinate = format!("{module}@{version}");
        if let Some(there) = state.ids.get(&coordinate) {
            return *there;
        }
        let id = state.log.append(text);
        state.ids.insert(coordinate, id);
        id
    }

    /// Appends records of other modules ([`Sumdb::filler`]) until there are so many.
    pub fn fill(&self, size: u64) {
        let mut state = lock(&self.state);
        for id in state.log.tree.size()..size {
            let (module, version) = Self::filler(id);
            let digest = format!("h1:{}", STANDARD.encode(Sha256::of(id.to_be_bytes()).0));
            state.log.append(lines(&module, &version, &digest, &digest));
            state.ids.insert(format!("{module}@{version}"), id);
        }
    }

    /// The module and version that a filling record is about.
    pub fn filler(id: u64) -> (String, String) {
        (format!("filler.example/m{id}"), "v1.0.0".to_owned())
    }

    /// Lies from now on, in this way too.
    pub fn lie(&self, lie: Lie) {
        let mut state = lock(&self.state);
        if let Lie::ForgedRecord { module: (module, version), text, .. } = &lie {
            let id = state.ids[&format!("{module}@{version}")];
            state.forged = Some(state.log.with(id, text));
        }
        if let Lie::Fork { record, more } = &lie {
            let mut forged = state.log.with(*record, "another.example/m v1.0.0 h1:another\n");
            for _ in 0..*more {
                forged.append("grown.example/m v1.0.0 h1:grown\n".to_owned());
            }
            state.forged = Some(forged);
        }
        state.lies.push(lie);
    }

    /// Tells the truth again.
    pub fn honest(&self) {
        let mut state = lock(&self.state);
        state.lies.clear();
        state.forged = None;
    }

    /// Says which partial tiles there are.
    pub fn set_partial_tiles(&self, partial: PartialTiles) {
        lock(&self.state).partial = partial;
    }

    /// Signs lookups for an older tree, as a cache in between does; `None` for the present one.
    pub fn set_lookup_size(&self, size: Option<u64>) {
        lock(&self.state).lookup_size = size;
    }

    /// The signed head of the tree of the first `size` records.
    pub fn note(&self, size: u64) -> Vec<u8> {
        let state = lock(&self.state);
        state.key.sign(head(&state.log.tree, size).as_bytes())
    }
}

/// The text of a record.
pub(crate) fn lines(module: &str, version: &str, zip: &str, go_mod: &str) -> String {
    let mut text = format!("{module} {version} {zip}\n");
    let _infallible = writeln!(text, "{module} {version}/go.mod {go_mod}");
    text
}

/// The text that is signed.
fn head(tree: &Tree, size: u64) -> String {
    format!("go.sum database tree\n{size}\n{}\n", STANDARD.encode(tree.root(size).0))
}

#[cfg(test)]
mod tests;
