//! The `h1:` digest of a module's zip and of its `go.mod` (`golang.org/x/mod/sumdb/dirhash`; ecosystems.md 7.2): the SHA-256 of
//! a line for each file, sorted by its name as the zip has it: the file's SHA-256 in hexadecimal, two blanks, the name.
//!
//! *Invariant:* no name is there twice, and none has a newline: what has this digest is these files and no others. What else
//! the zip's bytes say, it does not cover (see [`super::contents`]).

use std::io::Read;

use sha2::{Digest as _, Sha256 as Hasher};
use touchstone_domain::{ArchiveRule, Sha256};

use crate::{
    InspectError, ReadSeek,
    archive::{Kind, Limits, Zip, refuse, shown},
};

const GO_MOD: &str = "go.mod";
const BUFFER_BYTES: usize = 64 * 1024;

/// The digests of a module's zip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZipH1 {
    /// Of the whole zip: what a checksum database has on the first line of a record.
    pub zip: Sha256,
    /// Of the `go.mod` inside, as if it were a `.mod` file: what a database has on the second line. `None` if there is none.
    pub go_mod: Option<Sha256>,
}

/// The digest of a module's zip, without the `h1:` and the base64. Unpacks every file, in bounded memory; blocks.
///
/// It is refused if it is no sound ZIP file, larger than the go command allows, or not of one module and version.
pub fn h1_zip(zip: &mut dyn ReadSeek) -> Result<ZipH1, InspectError> {
    let mut zip = Zip::open(zip, &Limits::MODULE)?;
    let mut files: Vec<(String, Sha256)> = Vec::with_capacity(zip.members().len());
    // In the order of the file, which is read once that way, and not in that of the names.
    for index in 0..zip.members().len() {
        let member = &zip.members()[index];
        let name = match member.kind {
            Kind::File | Kind::Link => member.name.clone(),
            // An empty file to this digest.
            Kind::Directory => format!("{}/", member.name),
        };
        let mut content = Hasher::new();
        zip.unpack_member(index, &mut |piece| content.update(piece))?;
        files.push((name, Sha256(content.finalize().into())));
    }
    files.sort_unstable();
    let mut root: Option<&str> = None;
    let (mut list, mut go_mod) = (Hasher::new(), None);
    for (name, content) in &files {
        let (own, below) = split(name)?;
        if root.is_some_and(|root| root != own) {
            return Err(refuse(ArchiveRule::Path, format!("{} is of another module", shown(name))));
        }
        root = Some(own);
        if below == GO_MOD {
            go_mod = Some(alone(content));
        }
        list.update(line(name, content));
    }
    Ok(ZipH1 { zip: Sha256(list.finalize().into()), go_mod })
}

/// The digest of a `.mod` file, without the `h1:` and the base64; blocks. It is refused if it is larger than the go command allows.
pub fn h1_mod(file: &mut dyn Read) -> Result<Sha256, InspectError> {
    let bytes_max = Limits::MODULE.manifest_bytes_max;
    let mut content = Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(alone(&Sha256(content.finalize().into()))),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        bytes += count as u64;
        if bytes > bytes_max {
            return Err(refuse(ArchiveRule::Limit, format!("a go.mod may have {bytes_max} bytes")));
        }
        content.update(&buffer[..count]);
    }
}

/// The digest of a `go.mod` as if nothing else was in the list.
fn alone(content: &Sha256) -> Sha256 {
    Sha256::of(line(GO_MOD, content))
}

fn line(name: &str, content: &Sha256) -> String {
    format!("{content}  {name}\n")
}

/// The directory of the module, which ends with the first slash behind the first `@`, and what is below it.
fn split(name: &str) -> Result<(&str, &str), InspectError> {
    let bad = |problem: &str| Err(refuse(ArchiveRule::Path, format!("{} {problem}", shown(name))));
    if name.contains('\n') {
        return bad("has a newline");
    }
    let at = name.find('@').and_then(|at| Some(at + name[at..].find('/')? + 1));
    at.map_or_else(|| bad("is not below a module and its version"), |at| Ok(name.split_at(at)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::archive::build::{ZipEntry, rule, zip};

    const LINE: &str = "module code.example/Tiny\n";

    /// Every file of one small module but its `go.mod`, in no order.
    fn files(version: &str) -> Vec<ZipEntry> {
        [("b.go", "package tiny\n"), ("LICENSE", "do what you like\n"), ("a/ü.txt", "")]
            .map(|(name, body)| {
                let entry = ZipEntry::new(&format!("code.example/Tiny@{version}/{name}"), body);
                let flags = if name.is_ascii() { 0 } else { 1 << 11 };
                entry.both(|header| header.flags = flags).described()
            })
            .into()
    }

    fn h1(entries: &[ZipEntry]) -> Result<ZipH1, InspectError> {
        h1_zip(&mut Cursor::new(zip(entries)))
    }

    /// What the go command says of these zips (`go mod download -json`, go 1.26.8).
    #[test]
    fn digests_are_those_of_the_go_command() {
        let go_mod = |version: &str| ZipEntry::new(&format!("code.example/Tiny@{version}/go.mod"), LINE);
        let directory = |name: &str| ZipEntry::new(&format!("code.example/Tiny@v1.2.5/{name}"), "");
        let whole = [files("v1.2.3"), vec![go_mod("v1.2.3")]].concat();
        let directories =
            [vec![directory("")], files("v1.2.5"), vec![go_mod("v1.2.5"), directory("a/")]].concat();
        let recorded = "TxSEon6Tvp2I2ZaokUhS4EcAkCUyoR8Ct13BuZt0G9k=";
        for (entries, expected, inside) in [
            (whole, "dBryON74v58AvZFxsSjjpNTCgB7D02i9dNz5W4eTHNU=", Some(recorded)),
            (files("v1.2.4"), "NLAae3uIgqulNT+A+wHGhNIllYzhmGN5nrwjkMakuRs=", None),
            (directories, "XyVBhubh37bPD5L5QqZk+DAKZy2PT3q7TVX7t414B8s=", Some(recorded)),
        ] {
            let found = h1(&entries).expect("sound");
            assert_eq!(found.zip.to_base64(), expected);
            assert_eq!(found.go_mod.map(|go_mod| go_mod.to_base64()).as_deref(), inside);
            let turned: Vec<_> = entries.into_iter().rev().collect();
            assert_eq!(h1(&turned).expect("sound"), found, "the order of the file does not count");
        }
        let found = h1_mod(&mut Cursor::new(LINE)).expect("small");
        assert_eq!(found.to_base64(), recorded);
    }

    #[test]
    fn a_name_or_a_byte_more_or_less_is_another_digest() {
        let sound = h1(&files("v1.2.3")).expect("sound");
        let more = ZipEntry::new("code.example/Tiny@v1.2.3/c.go", "");
        let changed = [
            files("v1.2.4"),
            files("v1.2.3")[1..].to_vec(),
            [files("v1.2.3"), vec![more.clone()]].concat(),
            [&files("v1.2.3")[1..], &[ZipEntry::new("code.example/Tiny@v1.2.3/b.go", "package Tiny\n")]]
                .concat(),
        ];
        for entries in changed {
            assert_ne!(h1(&entries).expect("sound").zip, sound.zip);
        }
        assert_ne!(
            h1_mod(&mut Cursor::new("module code.example/tiny\n")).ok(),
            h1_mod(&mut Cursor::new(LINE)).ok()
        );
        let stored = ZipEntry::stored("code.example/Tiny@v1.2.3/b.go", "package tiny\n");
        let repacked = h1(&[&files("v1.2.3")[1..], &[stored]].concat()).expect("sound");
        assert_eq!(repacked, sound, "how it is packed does not count");
    }

    #[test]
    fn what_could_be_read_in_two_ways_has_no_digest() {
        let with = |name: &str| rule(h1(&[files("v1.2.3"), vec![ZipEntry::new(name, "")]].concat()));
        assert_eq!(with("code.example/Tiny@v1.2.3/b.go"), ArchiveRule::Duplicate);
        assert_eq!(with("code.example/Tiny@v1.2.3/x\ny"), ArchiveRule::Path);
        assert_eq!(with("code.example/Tiny@v1.2.4/x"), ArchiveRule::Path);
        assert_eq!(with("code.example/Tiny/x"), ArchiveRule::Path);
        let nested = ZipEntry::new("code.example/Tiny@v1.2.3/a/go.mod", LINE);
        let found = h1(&[files("v1.2.3"), vec![nested]].concat()).expect("sound");
        assert_eq!(found.go_mod, None, "only the one at the root");
        assert_eq!(h1(&[]).expect("sound").zip, Sha256::of(""));
    }

    #[test]
    fn a_go_mod_is_bounded() {
        let blank = |bytes: u64| h1_mod(&mut std::io::repeat(b'\n').take(bytes));
        assert!(blank(16 << 20).is_ok());
        assert_eq!(rule(blank((16 << 20) + 1)), ArchiveRule::Limit);
    }
}
