//! The keys of this process: what it signs with, and the ring that says which keys count.
//!
//! *Invariant:* a ring that cannot be read, or is malformed, changes nothing: the last one that could be read stays in force.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use touchstone_custody::{KeyKind, KeyRing, LocalSigner, Signing};
use touchstone_runtime::{Chain, Config, Secret, Shutdown};
use touchstone_tlog::note::SignerKey;

/// How often the ring is looked at.
const RING_PERIOD: Duration = Duration::from_secs(1);
/// The longest key or ring that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a role signs with: the key in the environment, or that in its file.
pub(crate) fn signing(config: &Config, kind: KeyKind) -> Result<Signing> {
    let signer = Arc::new(signer(config, kind, config.custody.key.as_ref())?);
    Ok(Signing { environment: config.custody.environment.as_str().into(), signer })
}

/// What the transparency log's checkpoints are signed with.
pub(crate) fn log_key(config: &Config) -> Result<SignerKey> {
    let signer = signer(config, KeyKind::Log, config.custody.log_key.as_ref())?;
    SignerKey::from_seed(&log_origin(config), signer.seed()).context("the key of the log is refused")
}

/// The name of the log, and of its key.
pub(crate) fn log_origin(config: &Config) -> String {
    format!("touchstone/{}", config.custody.environment)
}

/// The file of a private key.
pub(crate) fn key_file(config: &Config, kind: KeyKind) -> PathBuf {
    config.keys_dir().join(format!("{kind}.pem"))
}

/// The key that is given, or else that in its file.
pub(crate) fn signer(config: &Config, kind: KeyKind, given: Option<&Secret>) -> Result<LocalSigner> {
    let password = config.custody.password.as_ref().map(Secret::reveal);
    if let Some(pem) = given {
        return LocalSigner::from_pem(kind, pem.reveal(), password)
            .with_context(|| format!("the {kind} key in the environment is refused"));
    }
    let file = key_file(config, kind);
    let pem = read(&file).with_context(|| {
        format!("cannot read the {kind} key {}; `touchstone keys init` makes what is missing", file.display())
    })?;
    LocalSigner::from_pem(kind, &pem, password)
        .with_context(|| format!("the {kind} key {} is refused", file.display()))
}

/// The ring in its file.
pub(crate) fn ring(file: &Path) -> Result<KeyRing> {
    let text = read(file).with_context(|| {
        format!("cannot read the key ring {}; `touchstone keys init` makes one", file.display())
    })?;
    KeyRing::parse(text.as_bytes()).with_context(|| format!("the key ring {} is refused", file.display()))
}

/// The ring, read again whenever its file changes, for as long as somebody looks at it.
pub(crate) fn watch_ring(config: &Config, shutdown: &Shutdown) -> Result<watch::Receiver<Arc<KeyRing>>> {
    let file = config.keyring();
    let first = Arc::new(ring(&file)?);
    for (key, revoked) in first.revoked() {
        tracing::info!(%key, reason = revoked.reason, "the key ring has a revoked key");
    }
    let (sender, receiver) = watch::channel(first);
    shutdown.tracker.spawn(follow(file, sender));
    Ok(receiver)
}

async fn follow(file: PathBuf, sender: watch::Sender<Arc<KeyRing>>) {
    let mut complained = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(RING_PERIOD) => {}
            () = sender.closed() => return,
        }
        let path = file.clone();
        let found = tokio::task::spawn_blocking(move || ring(&path)).await;
        match found.map_err(anyhow::Error::from).and_then(|found| found) {
            Ok(found) => {
                complained = false;
                let changed = sender.send_if_modified(|current| {
                    let differs = **current != found;
                    if differs {
                        *current = Arc::new(found);
                    }
                    differs
                });
                if changed {
                    tracing::info!(file = %file.display(), "the key ring changed");
                }
            }
            Err(error) if !complained => {
                complained = true;
                tracing::error!(error = %Chain(error.as_ref()), "the last key ring that could be read stays in force");
            }
            Err(_) => {}
        }
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
