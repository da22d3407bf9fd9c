//! What tests stand on: generated packages, a registry and a checksum database that can lie, a private sigstore and TUF repository, and a
//! whole mirror on private servers.
//!
//! A dev-dependency only.

pub mod custody;
mod goproxy;
mod mirror;
mod package;
mod port;
mod process;
mod registry;
mod servers;
pub mod sigstore;
mod sumdb;
pub mod tuf;
mod zip;

pub use goproxy::{Module, mod_h1};
pub use mirror::{TestMirror, TestMirrorBuilder, eventually};
pub use package::{Package, crate_file, npm_package, npm_package_from, sdist, wheel};
pub use port::Port;
pub use process::{MirrorProcesses, Role, touchstone_binary};
pub use registry::{Fault, Registry, Request};
pub use servers::{Servers, fresh_database, search};
pub use sumdb::{Lie, Lines, NoteKey, NoteLie, PartialTiles, Sumdb, TileForgery};
pub use zip::ZipEntry;
