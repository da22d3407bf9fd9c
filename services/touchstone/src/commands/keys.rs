//! `touchstone keys`: the keys that decisions are signed with, and the ring of those that count.
//!
//! *Invariant:* the private half is on disk before the ring names it, and the ring names it before a role signs with it. Whatever
//! stops a command half-way, giving it again ends well.

mod confirm;
mod files;
mod list;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use touchstone_custody::{KeyEntry, KeyKind, LocalSigner, PublicKey, Revoked, Signer as _};
use touchstone_domain::KeyId;
use touchstone_runtime::{Clock as _, Config, Secret, SystemClock};

use crate::custody;
pub(crate) use confirm::confirm;
use files::{RingFile, exchange, write_private};
pub(crate) use list::list;

/// How much earlier than its making a key counts: clocks differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);
/// The fewest digits that name a key.
const ID_DIGITS_MIN: usize = 8;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1000;

/// What to do where the ring of the configuration is not there.
const CORRECT_PLACE: &str =
    "run this where the installation's touchstone.toml is, or name that with `-c FILE`";
/// The same of a ring that was named.
const CORRECT_RING: &str = "correct --ring";

/// Where a new key goes.
#[derive(Default)]
pub(crate) struct NewKey {
    /// The private half, instead of its place in the configuration.
    pub(crate) out: Option<PathBuf>,
    /// What it is encrypted with, instead of the configured password.
    pub(crate) password_file: Option<PathBuf>,
    /// The ring, instead of the configured one.
    pub(crate) ring: Option<PathBuf>,
}

/// Makes a key that nobody has yet, for a ring that is there: only [`init`] and standalone begin one.
pub(crate) fn new(config: &Config, kind: KeyKind, to: &NewKey) -> Result<()> {
    let file = to.out.clone().unwrap_or_else(|| custody::key_file(config, kind));
    let (ring_path, next) = match &to.ring {
        Some(given) => (given.clone(), CORRECT_RING),
        None => (config.keyring(), CORRECT_PLACE),
    };
    let mut ring = RingFile::existing(&ring_path, next)?;
    if file.exists() {
        bail!(
            "{} is there already, and a private key is never overwritten; `touchstone keys rotate {kind}` replaces the key in use",
            file.display()
        );
    }
    let (signer, pem) = generate(config, kind, to.password_file.as_deref())?;
    write_private(&file, &pem)?;
    ring.entries.push(entry(&signer, SystemClock.now()));
    ring.save()?;
    super::say(&format!(
        "made the {kind} key {}\n  private  {}  (for {} alone)\n  public   in {}\nRoles re-read the ring within a second; {} signs with the new key once it is started again.\n",
        signer.key_id(),
        file.display(),
        holder(kind),
        ring_path.display(),
        holder(kind)
    ));
    Ok(())
}

/// Makes what is missing, and prints it.
pub(crate) fn init(config: &Config) -> Result<()> {
    let made = ensure(config)?;
    for (kind, file) in &made {
        super::say(&format!("made the {kind} key {}\n", file.display()));
    }
    let ring = config.keyring();
    let number =
        if made.is_empty() { "no key was missing".to_owned() } else { format!("{} new", made.len()) };
    super::say(&format!("{number}; the key ring is {}\n", ring.display()));
    Ok(())
}

/// Makes a key of every kind that has none, and sees to it that the ring has all of them; returns those that are new. Does nothing
/// where nothing is missing.
pub(crate) fn ensure(config: &Config) -> Result<Vec<(KeyKind, PathBuf)>> {
    refuse_lost_ring(config)?;
    if !config.keyring().exists() {
        // Before the first key: keys without a ring are a ring that was lost.
        RingFile::open(&config.keyring())?.save()?;
    }
    let mut ring = RingFile::open(&config.keyring())?;
    let (mut made, mut is_changed) = (vec![], false);
    for kind in KeyKind::ALL {
        let file = custody::key_file(config, kind);
        let signer = if file.exists() {
            custody::signer(config, kind, None)?
        } else {
            let (signer, pem) = generate(config, kind, None)?;
            write_private(&file, &pem)?;
            made.push((kind, file));
            signer
        };
        if !ring.entries.iter().any(|known| known.public == signer.public()) {
            ring.entries.push(entry(&signer, SystemClock.now()));
            is_changed = true;
        }
    }
    if is_changed {
        ring.save()?;
    }
    Ok(made)
}

/// A new ring in the place of a lost one would make keys count that were revoked.
fn refuse_lost_ring(config: &Config) -> Result<()> {
    let ring = config.keyring();
    let left =
        KeyKind::ALL.into_iter().map(|kind| custody::key_file(config, kind)).find(|file| file.exists());
    match left {
        Some(file) if !ring.exists() => bail!(
            "the key ring {} is gone, and there are private keys ({}): put the ring back from a backup, so that what was revoked stays \
             so; or move the old keys away, and begin with new ones",
            ring.display(),
            file.display()
        ),
        Some(_) | None => Ok(()),
    }
}

/// Replaces the key in use. What the old ones sign counts until the overlap has passed.
pub(crate) fn rotate(config: &Config, kind: KeyKind, overlap: SignedDuration) -> Result<()> {
    let now = SystemClock.now();
    let until = now.checked_add(overlap).ok().filter(|until| *until >= now);
    let until = until.context("--overlap is negative, or too long")?;
    let mut ring = RingFile::existing(&config.keyring(), CORRECT_PLACE)?;
    refuse_nothing_to_replace(&ring.entries, kind, &config.keyring())?;
    let current = custody::key_file(config, kind);
    let old = current.exists().then(|| custody::signer(config, kind, None)).transpose()?;
    let (signer, pem) = generate(config, kind, None)?;
    let beside = |id: KeyId| current.with_file_name(format!("{kind}.{}.pem", short(id)));
    let fresh = beside(signer.key_id());
    write_private(&fresh, &pem)?;
    let mut ended = 0;
    for key in ring.entries.iter_mut().filter(|key| key.kind == kind && key.revoked.is_none()) {
        if key.not_after.is_none_or(|end| end > until) {
            key.not_after = Some(until.max(key.not_before));
            ended += 1;
        }
    }
    ring.entries.push(entry(&signer, now));
    ring.save()?;
    match &old {
        Some(old) => exchange(&current, &beside(old.key_id()), &fresh)?,
        None => exchange(&current, &beside(signer.key_id()), &fresh)?,
    }
    let kept = old.map_or_else(String::new, |old| {
        format!(
            "  old      {}  (delete it once {} runs with the new one)\n",
            beside(old.key_id()).display(),
            holder(kind)
        )
    });
    let holder = holder(kind);
    let start = if ended == 0 {
        format!("Start {holder} again: it signs with the key that it was started with.\n")
    } else {
        format!(
            "{ended} older {kind} key(s) count for what is signed until {until:.0}. Start {holder} again before then: it signs with the key that it was started with.\nWhat the old keys signed until then goes on to count.\n"
        )
    };
    super::say(&format!(
        "made the {kind} key {}\n  private  {}\n{kept}{start}",
        signer.key_id(),
        current.display()
    ));
    Ok(())
}

/// A key that is the first of its kind replaces nothing: whoever meant to replace one has another place in mind.
fn refuse_nothing_to_replace(entries: &[KeyEntry], kind: KeyKind, ring: &Path) -> Result<()> {
    if !entries.iter().any(|key| key.kind == kind) {
        bail!(
            "the key ring {} has no {kind} key to replace, and nothing was changed; {CORRECT_PLACE}; `touchstone keys init` makes one",
            ring.display()
        );
    }
    Ok(())
}

/// Takes a key out of use: nothing that it ever signed counts.
pub(crate) fn revoke(config: &Config, id: &str, reason: &str) -> Result<()> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        bail!("give a --reason of at most {REASON_BYTES_MAX} bytes; the people who are refused will read it");
    }
    let mut ring = RingFile::existing(&config.keyring(), CORRECT_PLACE)?;
    let position = find(&ring.entries, id)?;
    let key = &mut ring.entries[position];
    let (kind, number) = (key.kind, key.public.id());
    refuse_revoked(key)?;
    key.revoked = Some(Revoked { at: SystemClock.now(), reason: reason.to_owned() });
    let others = ring.entries.iter().filter(|key| key.kind == kind && key.revoked.is_none()).count();
    ring.save()?;
    super::say(&format!(
        "revoked the {kind} key {number}\nWithin a second, every role knows: {}\n{}",
        effect(kind),
        consequence(config, kind, number, others)
    ));
    Ok(())
}

/// What is revoked already stays as it is, and its reason as well.
fn refuse_revoked(key: &KeyEntry) -> Result<()> {
    match &key.revoked {
        Some(Revoked { at, reason }) => {
            bail!("the {} key {} was revoked at {at:.0} already: {reason}", key.kind, key.public.id())
        }
        None => Ok(()),
    }
}

const fn effect(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Log => "no checkpoint counts that it signed.",
        KeyKind::Fetch
        | KeyKind::Hash
        | KeyKind::Attest
        | KeyKind::Sumdb
        | KeyKind::Peer
        | KeyKind::Promote => {
            "edges stop serving what rests on it, and promote sends that back to its checks."
        }
    }
}

fn consequence(config: &Config, kind: KeyKind, number: KeyId, others: usize) -> String {
    let in_use = custody::signer(config, kind, None).ok().map(|signer| signer.key_id());
    if in_use == Some(number) || others == 0 {
        format!(
            "It is the {kind} key in use: run `touchstone keys rotate {kind}`, and start {} again. {}\n",
            holder(kind),
            match kind {
                KeyKind::Log => "Nothing is sealed until then: promotion stops within two minutes, and an edge that is started serves nothing.".to_owned(),
                KeyKind::Fetch | KeyKind::Hash | KeyKind::Attest | KeyKind::Sumdb | KeyKind::Peer | KeyKind::Promote => {
                    format!("Nothing is served until then that needs a {kind} signature.")
                }
            }
        )
    } else {
        format!("{others} other {kind} key(s) count, and what they signed stays.\n")
    }
}

/// The position of the key that the first digits of its number name.
fn find(entries: &[KeyEntry], id: &str) -> Result<usize> {
    let id = id.to_ascii_lowercase();
    if id.len() < ID_DIGITS_MIN {
        bail!(
            "name the key by at least {ID_DIGITS_MIN} digits of its number, as `touchstone keys list` shows them"
        );
    }
    let named: Vec<usize> = (0..entries.len())
        .filter(|position| entries[*position].public.id().to_string().starts_with(&id))
        .collect();
    match named.as_slice() {
        [position] => Ok(*position),
        [] => Err(anyhow!("the key ring has no key {id}; `touchstone keys list` shows which there are")),
        [_, ..] => Err(anyhow!("{} keys begin with {id}; give more digits", named.len())),
    }
}

fn generate(config: &Config, kind: KeyKind, password_file: Option<&Path>) -> Result<(LocalSigner, String)> {
    let given = password_file.map(files::password).transpose()?;
    let password = given.as_deref().or_else(|| config.custody.password.as_ref().map(Secret::reveal));
    LocalSigner::generate(kind, password).context("no key could be made")
}

fn entry(signer: &LocalSigner, now: Timestamp) -> KeyEntry {
    let public: PublicKey = signer.public();
    KeyEntry { kind: signer.kind(), public, not_before: now - CLOCKS_DIFFER, not_after: None, revoked: None }
}

/// Who signs with a kind of key.
const fn holder(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Fetch => "every edge",
        KeyKind::Hash => "every hash worker",
        KeyKind::Attest => "every attest worker",
        KeyKind::Sumdb => "every sumdb worker",
        KeyKind::Peer => "every peer worker",
        KeyKind::Promote | KeyKind::Log => "promote",
    }
}

/// The digits that people know a key by.
fn short(id: KeyId) -> String {
    let mut digits = id.to_string();
    digits.truncate(ID_DIGITS_MIN);
    digits
}

#[cfg(test)]
mod tests;
