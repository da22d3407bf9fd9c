//! What must hold for every input of the parsers of what outsiders send: a module and a fuzz target each.
//!
//! A property panics when it does not hold; `./dev fuzz` runs the targets. How a document is read here is kept apart from
//! how the parsers read it, so that one mistake is not made twice.
//!
//! | module | what is accepted ... |
//! |---|---|
//! | [`bundle`] | says what was signed when the seeds were minted, read by any reader |
//! | [`npm_attestations`], [`pep740`] | has one reading, and so does each bundle in it, which says what was signed |
//! | [`sri`] | is what a table says, digest for digest, and nothing else is |
//! | [`packument`] | renders to a document with the same versions and claims, and without the refused ones |
//! | [`simple_json`] | renders, in every form, to an index with the same files and claims, the refused ones yanked |
//! | [`go_zip`] | has the names, contents and `h1:` that a reader sees who begins at the start, within bounds |
//! | [`tlog`] | was signed by the key, is in the signed tree, and is written the same again |

pub mod attested;
pub mod bundle;
pub mod go_zip;
mod index;
pub mod json;
pub mod npm_attestations;
pub mod packument;
pub mod pep740;
pub mod simple_json;
pub mod sri;
pub mod tlog;

#[cfg(test)]
mod tests;
