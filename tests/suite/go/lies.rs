//! What the database and the proxy say instead of the truth, so that bytes pass which the true database has otherwise.

use touchstone_testkit::{Fault, Lie, Lines, Module, NoteLie, Registry, TileForgery};

/// The coordinate that is lied about.
pub(super) const PATH: &str = "example.com/Lied/about";
pub(super) const VERSION: &str = "v1.2.3";

/// One way to lie.
pub(super) struct Case {
    /// What a failing test prints.
    pub(super) name: String,
    /// What the registry does.
    pub(super) how: How,
    /// What the go command says, left alone with the registry.
    pub(super) go_says: &'static str,
}

/// What the registry does.
pub(super) enum How {
    /// Its database lies.
    Lie(Lie),
    /// The lookup goes wrong.
    Lookup(Fault),
}

/// The module as it was recorded.
pub(super) fn genuine() -> Module {
    Module::new(PATH, VERSION)
}

/// The module as it is served.
pub(super) fn changed() -> Module {
    genuine().file("evil.go", "package mabout\n").with_mod_file(&format!("module {PATH}\n\ngo 1.21\n\n// other\n"))
}

/// What the database would have to say for the changed module.
fn wanted() -> String {
    let module = changed();
    format!("{PATH} {VERSION} {}\n{PATH} {VERSION}/go.mod {}\n", module.zip_h1(), module.mod_h1())
}

/// A registry that recorded the genuine module in the middle of a tree of 600, and serves the changed one.
pub(super) async fn registry() -> Registry {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    registry.publish_module(genuine());
    registry.sumdb().fill(600);
    registry.serve_module(changed());
    registry
}

impl Case {
    /// Makes the registry lie.
    pub(super) fn begin(&self, registry: &Registry) {
        registry.sumdb().honest();
        registry.honest();
        match &self.how {
            How::Lie(lie) => registry.sumdb().lie(lie.clone()),
            How::Lookup(fault) => registry.fault(&genuine().lookup(), fault.clone()),
        }
    }
}

fn lie(name: impl Into<String>, lie: Lie, go_says: &'static str) -> Case {
    Case { name: name.into(), how: How::Lie(lie), go_says }
}

fn lookup(name: &str, fault: Fault, go_says: &'static str) -> Case {
    Case { name: name.to_owned(), how: How::Lookup(fault), go_says }
}

fn forged(levels: u8) -> Lie {
    let module = (PATH.to_owned(), VERSION.to_owned());
    Lie::ForgedRecord { module, text: wanted(), levels }
}
