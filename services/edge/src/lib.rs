//! The edge: HTTP for package clients. It fetches, stores and asks; it never decides.
//!
//! *Invariant:* bytes leave only through `serve`, which takes a `PromotedArtifact`; there is no other path from a blob to a
//! response.
//!
//! *Invariant:* the edge holds no key and writes no verdict, gate or promotion: it inserts artifacts and reads serve records.
//!
//! *Invariant:* a client that goes away never ends a fetch: fetches belong to the process, requests only wait for them.
//!
//! *Invariant:* serving what is promoted needs Postgres and the blob store, not NATS and not the upstream.

mod absent;
mod amend;
mod artifact;
mod decisions;
mod documents;
mod flight;
mod go;
mod index;
mod ingest;
mod locate;
mod passthrough;
mod range;
mod refusal;
mod render;
mod router;
mod serve;
mod server;
mod state;
mod sumdb;
mod words;

pub use server::{EdgeError, run};
pub use state::{EdgeConfig, EdgeParts, SumdbEdge};
