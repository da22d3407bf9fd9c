//! Modules that depend on each other, as real programs have them: many, in layers, of every kind of version.

use touchstone_testkit::{Module, Registry};
use touchstone_tests::clients::{Packages, go};

/// How many modules there are in each layer.
const TOPS: usize = 4;
const MIDDLES: usize = 8;
const LEAVES: usize = 22;

/// A commit that has no tag.
const PSEUDO: &str = "v0.0.0-20240102030405-0123456789ab";

/// What is published, and what a program that imports the top layer is built of.
pub(super) struct Graph {
    modules: Vec<Module>,
    roots: Vec<(String, String)>,
}

impl Graph {
    /// Thirty-seven modules: in three layers that share their dependencies, and one of each odd kind below them.
    pub(super) fn new() -> Self {
        let odd = [
            Module::new("example.com/Major/v2", "v2.1.0"),
            Module::new("example.com/untagged", PSEUDO),
            // From before there were modules: no `go.mod` in the zip, and a made-up one beside it.
            Module::new("example.com/old", "v3.0.1+incompatible")
                .without("go.mod")
                .with_mod_file("module example.com/old\n"),
        ];
        let leaf = |at: usize| (format!("leaves.example/Leaf{at}"), format!("v1.{at}.0"));
        let middle = |at: usize| (format!("middle.example/m{at}/pkg"), "v0.3.0-rc.1".to_owned());
        let top = |at: usize| (format!("example.com/top-{at}"), "v1.0.0".to_owned());
        let mut graph = Self { modules: vec![], roots: (0..TOPS).map(top).collect() };
        for at in 0..LEAVES {
            let (path, version) = leaf(at);
            let below: Vec<_> =
                odd.get(at).map(|m| (m.path.as_str(), m.version.as_str())).into_iter().collect();
            graph.modules.push(Module::new(&path, &version).requiring(&below));
        }
        for at in 0..MIDDLES {
            let below: Vec<_> = [at, at + 1, at + 7, at + 14].map(leaf).into();
            graph.push(&middle(at), &below);
        }
        for at in 0..TOPS {
            graph.push(&top(at), &[middle(2 * at), middle(2 * at + 1), leaf(0)]);
        }
        graph.modules.extend(odd);
        graph
    }

    fn push(&mut self, (path, version): &(String, String), below: &[(String, String)]) {
        let below: Vec<_> = below.iter().map(|(path, version)| (path.as_str(), version.as_str())).collect();
        self.modules.push(Module::new(path, version).requiring(&below));
    }

    /// Publishes everything, amid records of other modules, so that the tree has two levels of tiles.
    pub(super) fn publish(&self, registry: &Registry) {
        registry.sumdb().fill(200);
        for module in &self.modules {
            registry.publish_module(module.clone());
            registry.sumdb().fill(registry.sumdb().size() + 10);
        }
    }

    /// Every module and its version.
    pub(super) fn all(&self) -> Packages {
        self.modules.iter().map(|module| (module.path.clone(), module.version.clone())).collect()
    }

    /// Every module.
    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The arguments of `go get` for the top layer.
    pub(super) fn roots(&self) -> String {
        self.roots.iter().flat_map(|(path, version)| [path, "@", version, " "]).collect()
    }

    /// The program.
    pub(super) fn program(&self) -> String {
        go::program(self.roots.iter().map(|(path, _)| path.as_str()))
    }
}
