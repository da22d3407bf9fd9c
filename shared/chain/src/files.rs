//! Records as files, with what a person must type to verify them.

use touchstone_custody::COPY_INSPECTION;

use crate::{LAYOUT_FILE, Records};

/// The directory of public keys.
pub const KEYS_DIR: &str = "keys";
/// The page for people.
pub const README_FILE: &str = "README.txt";

/// A file of an export: its path below the directory, and its bytes.
pub type ExportedFile = (String, Vec<u8>);

impl Records {
    /// The files of a whole chain: the name of each below one directory, and its bytes. Nothing where something is missing.
    pub fn files(&self) -> Option<Vec<ExportedFile>> {
        let layout = self.layout.as_ref().filter(|_| self.missing.is_empty())?;
        let envelope = |name: &str, json: &str| (name.to_owned(), format!("{json}\n").into_bytes());
        let mut files = vec![envelope(LAYOUT_FILE, layout.get())];
        files.extend(self.links.iter().chain(&self.vsa).map(|(name, json)| envelope(name, json.get())));
        files.extend(
            self.keys.iter().map(|(name, pem)| (format!("{KEYS_DIR}/{name}"), pem.clone().into_bytes())),
        );
        files.push((README_FILE.to_owned(), self.readme().into_bytes()));
        Some(files)
    }

    /// What is in the directory, and the commands that verify it.
    fn readme(&self) -> String {
        let Self { purl, file, sha256, environment, epoch, layout_key, record_key, .. } = self;
        let key = |name: &Option<String>| format!("{KEYS_DIR}/{}", name.as_deref().unwrap_or_default());
        let (layout_key, record_key) = (key(layout_key), key(record_key));
        let record = quoted(&format!("{file}.vsa.json"));
        let serial = self.serial.unwrap_or_default();
        let log = self.log.map_or_else(
            || "It is not in the transparency log yet.".to_owned(),
            |place| {
                format!(
                    "It is entry {} of the transparency log, which `touchstone log verify` checks.",
                    place.index
                )
            },
        );
        let links: Vec<&str> = self.links.keys().map(String::as_str).collect();
        let links = links.join("\n  ");
        let sum = quoted(&format!("{sha256}  {file}"));
        format!(
            "Signed records of {purl}
sha256 {sha256}
promoted by the installation {environment:?}: number {serial}, epoch {epoch}. {log}

  {LAYOUT_FILE}
  {links}
  {file}.vsa.json
  {KEYS_DIR}/

The links say who fetched and who checked the file, the layout who may, and FILE.vsa.json (the serve record, a SLSA verification
summary) that it may be served. All are DSSE envelopes. What they are worth rests on {layout_key}: compare it with what
`touchstone keys list` prints where you trust it.

1. The chain, with in-toto (pip install in-toto). Run it in this directory. Exit code 0 means that it is whole. If a copy of the
file is in this directory, it must be the one that was fetched. in-toto leaves {COPY_INSPECTION}.link here.

in-toto-verify --layout {LAYOUT_FILE} --verification-keys {layout_key}

2. The serve record, with securesystemslib (pip install 'securesystemslib[crypto]'). It prints what was signed.

python3 - {record} {record_key} <<'END'
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
with open(sys.argv[1]) as record, open(sys.argv[2], 'rb') as pem:
    envelope = Envelope.from_dict(json.load(record))
    key = SSlibKey.from_crypto(load_pem_public_key(pem.read()))
envelope.verify([key], 1)
print(envelope.payload.decode())
END

3. A copy of the file, with what everybody has.

echo {sum} | sha256sum --check
"
        )
    }
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
