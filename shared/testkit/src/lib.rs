//! What tests stand on: generated packages, a registry that can lie, and a whole mirror on private servers.
//!
//! A dev-dependency only.

mod mirror;
mod package;
mod process;
mod registry;
mod zip;

pub use mirror::{Servers, TestMirror, TestMirrorBuilder, free_port, tools};
pub use package::{Package, crate_file, npm_package, sdist, wheel};
pub use process::{Role, Roles, touchstone_binary};
pub use registry::{Fault, Registry, Request};
