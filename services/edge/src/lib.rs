//! The edge: HTTP for package clients. It fetches, stores and asks; it never decides.
//!
//! *Invariant:* bytes leave only through `serve`, which takes a `PromotedArtifact`; there is no other path from a blob to a
//! response.
//!
//! *Invariant:* the only key that the edge holds signs what it fetched. It writes no verdict and no promotion, and needs no trust
//! in the database: what is served has a serve record whose signature was verified here, and that nothing known here revokes.
//!
//! *Limit:* indexes, and what is said of versions, list what the database says; they select no bytes. What no signature permits is
//! refused when it is asked for, and need not be hidden before.
//!
//! *Invariant:* a client that goes away never ends a fetch: fetches belong to the process, requests only wait for them.
//!
//! *Invariant:* serving what is promoted needs Postgres and the blob store, not NATS and not the upstream.

mod absent;
mod amend;
mod announce;
mod artifact;
mod decisions;
mod documents;
mod flight;
mod go;
mod index;
mod ingest;
mod locate;
mod log;
mod passthrough;
mod permit;
mod problem;
mod range;
mod recorder;
mod records;
mod refusal;
mod render;
mod router;
mod serve;
mod server;
mod state;
mod sumdb;
mod words;

pub use log::FollowError;
pub use recorder::{NotRecorded, Recorder, RecorderParts};
pub use server::{EdgeError, run};
pub use state::{EdgeConfig, EdgeParts, SumdbEdge};
