//! `touchstone keys` on the command line.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use jiff::SignedDuration;
use touchstone_custody::KeyKind;
use touchstone_runtime::Config;

use crate::commands::keys::{self, NewKey};

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a key: its private half as a file that only its owner can read, its public half in the key ring.
    ///
    /// The ring must be there: only `keys init` begins one. Nothing is overwritten: `keys rotate` replaces the key in use.
    New {
        /// What it signs: fetch (edges), hash, attest, sumdb, peer (the workers), promote (serve records) or log (checkpoints).
        kind: KeyKind,
        /// Where the private half goes; KIND.pem in `[custody]` keys_dir if absent.
        #[arg(long)]
        out: Option<PathBuf>,
        /// A file with the password that the private half is encrypted with; `[custody]` password_file if absent, and no
        /// encryption without either.
        #[arg(long)]
        password_file: Option<PathBuf>,
        /// The key ring; `[custody]` keyring if absent.
        #[arg(long)]
        ring: Option<PathBuf>,
    },
    /// Make a key of every kind that has none, and the key ring. Changes nothing where nothing is missing.
    ///
    /// For one machine. On several, give each role the private key of its own kind, and all of them the same ring.
    Init,
    /// Show every key of the ring: what it signs, whether it counts, since and until when, and why it was revoked.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replace the key in use by a new one, without an interruption.
    ///
    /// There must be a ring that has a key of this kind; else nothing is made.
    ///
    /// The new key counts at once; the old ones count for what is signed until the overlap has passed. Start the role again before
    /// then. The old private key is kept beside the new one as KIND.NUMBER.pem.
    Rotate {
        /// What the key signs.
        kind: KeyKind,
        /// For how long the old keys still sign.
        #[arg(long, default_value = "24h")]
        overlap: SignedDuration,
    },
    /// Take a key out of use, for ever: nothing that it ever signed counts.
    ///
    /// Within a second edges stop serving what rests on it, and promote sends all of that back to its checks; it is served again
    /// once another key has signed. For a key that may be in other hands. To replace one that is not, use `keys rotate`.
    ///
    /// Where more than 100 served artifacts rest on it, or the database cannot be asked how many do, it takes --yes; and so does a
    /// log key, without which promotion stops.
    Revoke {
        /// Its number, or the first eight or more digits of it.
        id: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// However much rests on it.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs one of the commands.
pub(super) async fn run(config: &Config, command: Keys) -> Result<()> {
    match command {
        Keys::New { kind, out, password_file, ring } => {
            keys::new(config, kind, &NewKey { out, password_file, ring })
        }
        Keys::Init => keys::init(config),
        Keys::List { json } => keys::list(config, json),
        Keys::Rotate { kind, overlap } => keys::rotate(config, kind, overlap),
        Keys::Revoke { id, reason, yes } => {
            if !yes {
                keys::confirm(config, &id).await?;
            }
            keys::revoke(config, &id, &reason)
        }
    }
}
