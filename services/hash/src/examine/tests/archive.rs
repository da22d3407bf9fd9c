//! One small archive of each ecosystem, with what Postgres would say of it.

use flate2::{Compression, Crc, write::GzEncoder};
use md5::{Digest as _, Md5};
use sha1::{Digest as _, Sha1};
use touchstone_domain::{
    Algorithm, ArtifactDbId, ArtifactId, CheckSet, ChunkList, Evidence, EvidenceKind, FileName, PackageName,
    Sha256, Sha512, Version,
};
use touchstone_store::Facts;

use super::{Claim, ClaimField, Ecosystem, claim};

/// Bytes, and the facts about them.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Facts,
}

impl Sample {
    fn new(ecosystem: Ecosystem, [package, version, file]: [&str; 3], bytes: Vec<u8>) -> Self {
        let id = ArtifactId {
            ecosystem,
            package: PackageName::new(package).expect("a name"),
            version: Version::new(version).expect("a version"),
            file: FileName::new(file).expect("a name"),
        };
        let facts = Facts {
            artifact: ArtifactDbId(1),
            id,
            sha256: Sha256::of(&bytes),
            sha512: Sha512::of(&bytes),
            size: bytes.len() as u64,
            chunk_root: ChunkList::of(&bytes).root(),
            upstream_url: "https://registry.example/file".into(),
            published_at: Some("2026-01-02T03:04:05Z".parse().expect("a time")),
            claims: claims(ecosystem, &bytes),
            evidence: vec![Evidence {
                kind: EvidenceKind::MetadataEntry,
                url: "https://registry.example/metadata".into(),
                sha256: Sha256::of("entry"),
                size: 5,
                seen_at: "2026-01-02T03:04:05Z".parse().expect("a time"),
            }],
            epoch: 0,
            policy_epoch: 1,
            answered: CheckSet::EMPTY,
            required: CheckSet::EMPTY,
        };
        Self { bytes, facts }
    }

    /// Other bytes under the same coordinate, declared as they are.
    pub(crate) fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        let ArtifactId { ecosystem, package, version, file } = &self.facts.id;
        Self::new(*ecosystem, [package.as_str(), version.as_str(), file.as_str()], bytes)
    }

    /// A digest of the bytes, in hexadecimal.
    pub(crate) fn digest(&self, algorithm: Algorithm) -> String {
        match algorithm {
            Algorithm::Md5 => hex::encode(Md5::digest(&self.bytes)),
            Algorithm::Sha1 => hex::encode(Sha1::digest(&self.bytes)),
            Algorithm::Sha256 => self.facts.sha256.to_string(),
            Algorithm::Sha512 => self.facts.sha512.to_string(),
            Algorithm::Sha384 => unimplemented_here(),
        }
    }
}

fn unimplemented_here() -> String {
    panic!("no sample declares it")
}

/// What a registry declares of these bytes.
fn claims(ecosystem: Ecosystem, bytes: &[u8]) -> Vec<Claim> {
    match ecosystem {
        Ecosystem::Npm => vec![
            claim(ClaimField::NpmIntegrity, format!("sha512-{}", Sha512::of(bytes).to_base64())),
            claim(ClaimField::NpmShasum, hex::encode(Sha1::digest(bytes))),
        ],
        Ecosystem::Cargo => vec![claim(ClaimField::CargoCksum, Sha256::of(bytes).to_string())],
        Ecosystem::Go => vec![],
        Ecosystem::Pypi => vec![
            claim(ClaimField::PypiHash, format!("sha256={}", Sha256::of(bytes))),
            claim(ClaimField::PypiHash, format!("md5={}", hex::encode(Md5::digest(bytes)))),
            claim(ClaimField::Size, bytes.len().to_string()),
        ],
    }
}

pub(crate) fn npm() -> Sample {
    let manifest = r#"{"name":"left-pad","version":"1.3.0"}"#;
    let bytes = tar_gz(&[("package/package.json", manifest), ("package/index.js", "module.exports = 1\n")]);
    Sample::new(Ecosystem::Npm, ["left-pad", "1.3.0", "left-pad-1.3.0.tgz"], bytes)
}

pub(crate) fn cargo() -> Sample {
    let manifest = "[package]\nname = \"left-pad\"\nversion = \"1.0.0\"\n";
    let bytes = tar_gz(&[("left-pad-1.0.0/Cargo.toml", manifest), ("left-pad-1.0.0/src/lib.rs", "")]);
    Sample::new(Ecosystem::Cargo, ["left-pad", "1.0.0", "left-pad-1.0.0.crate"], bytes)
}

/// What the archive of [`pypi`] says of itself.
pub(crate) const PKG_INFO: &str = "Metadata-Version: 2.1\nName: left-pad\nVersion: 2.0.0\n\n";

/// A document under the name of the sidecar of [`pypi`], declared as it is.
pub(crate) fn sidecar(document: &str) -> Sample {
    let coordinate = ["left-pad", "2.0.0", "left_pad-2.0.0.tar.gz.metadata"];
    Sample::new(Ecosystem::Pypi, coordinate, document.as_bytes().to_vec())
}

pub(crate) fn pypi() -> Sample {
    let bytes = tar_gz(&[("left_pad-2.0.0/PKG-INFO", PKG_INFO), ("left_pad-2.0.0/setup.py", "")]);
    Sample::new(Ecosystem::Pypi, ["left-pad", "2.0.0", "left_pad-2.0.0.tar.gz"], bytes)
}

/// The `go.mod` of [`go_zip`].
pub(crate) const GO_MOD: &str = "module code.example/left-pad\n\ngo 1.22\n";

/// A module with this `go.mod`, if any.
pub(crate) fn go_zip(go_mod: Option<&str>) -> Sample {
    let files = [("go.mod", go_mod), ("pad.go", Some("package pad\n"))];
    let files = files.iter().filter_map(|(name, content)| content.map(|content| (*name, content)));
    Sample::new(Ecosystem::Go, ["code.example/left-pad", "v1.3.0", "v1.3.0.zip"], zip(files))
}

/// A document under the name of the `.mod` of [`go_zip`].
pub(crate) fn go_mod(document: &str) -> Sample {
    let coordinate = ["code.example/left-pad", "v1.3.0", "v1.3.0.mod"];
    Sample::new(Ecosystem::Go, coordinate, document.as_bytes().to_vec())
}

/// Stored files below the directory of the module of [`go_zip`].
fn zip<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let (mut file, mut directory, mut count) = (vec![], vec![], 0_u8);
    for (name, content) in files {
        let name = format!("code.example/left-pad@v1.3.0/{name}");
        let mut crc = Crc::new();
        crc.update(content.as_bytes());
        let mut header = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header.extend(crc.sum().to_le_bytes());
        header.extend([content.len(), content.len(), name.len()].map(number).concat());
        directory.extend([b"PK\x01\x02\x14\0".as_slice(), &header, &[0; 10]].concat());
        directory.extend([number(file.len()).as_slice(), name.as_bytes()].concat());
        file.extend([b"PK\x03\x04", header.as_slice(), name.as_bytes(), content.as_bytes()].concat());
        count += 1;
    }
    let (start, length) = (number(file.len()), number(directory.len()));
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &[count, 0, count, 0], &length, &start, &[0; 2]].concat());
    file
}

fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(vec![], Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).expect("in memory");
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("in memory")
}
