//! Packages made on the spot, as real clients accept them.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use touchstone_domain::{Ecosystem, Sha256, Sha512};

use crate::zip::{self, ZipEntry};

/// One artifact of a registry, with what its registry says of it.
#[derive(Clone, Debug)]
pub struct Package {
    /// The ecosystem.
    pub ecosystem: Ecosystem,
    /// The name, as the registry spells it.
    pub name: String,
    /// The version.
    pub version: String,
    /// The file name.
    pub file: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The names and requirements that it depends on.
    pub dependencies: Vec<(String, String)>,
    /// The METADATA of a wheel.
    pub metadata: Option<Vec<u8>>,
    /// The publish time that is declared.
    pub published: String,
    /// The address of the source repository that an npm manifest names.
    pub repository: Option<String>,
}

impl Package {
    /// The SHA-256 of the bytes.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }

    /// The SRI string of the bytes.
    pub fn integrity(&self) -> String {
        format!("sha512-{}", Sha512::of(&self.bytes).to_base64())
    }

    /// The SHA-1 of the bytes, in hexadecimal.
    pub fn shasum(&self) -> String {
        hex::encode(Sha1::digest(&self.bytes))
    }

    /// Declares another publish time.
    #[must_use]
    pub fn published(mut self, at: &str) -> Self {
        at.clone_into(&mut self.published);
        self
    }

    fn new(ecosystem: Ecosystem, name: &str, version: &str, file: String, bytes: Vec<u8>) -> Self {
        Self {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            file,
            bytes,
            dependencies: vec![],
            metadata: None,
            published: "2024-01-02T03:04:05Z".to_owned(),
            repository: None,
        }
    }

    /// The manifest of an npm package.
    pub(crate) fn npm_manifest(&self) -> Value {
        let dependencies: serde_json::Map<String, Value> =
            self.dependencies.iter().map(|(n, r)| (n.clone(), Value::from(r.as_str()))).collect();
        let mut manifest = json!({ "name": self.name, "version": self.version, "main": "index.js", "license": "MIT", "dependencies": dependencies });
        if let Some(repository) = &self.repository {
            manifest["repository"] = json!({ "type": "git", "url": repository });
        }
        manifest
    }
}

/// An npm package with an `index.js` that exports its own name; `filler` bytes of noise make it larger.
pub fn npm_package(name: &str, version: &str, dependencies: &[(&str, &str)], filler: usize) -> Package {
    npm_package_of(name, version, dependencies, filler, None)
}

/// An npm package whose manifest names the repository that it was built from, `https://forge.example/owner/name` for instance.
pub fn npm_package_from(name: &str, version: &str, repository: &str) -> Package {
    npm_package_of(name, version, &[], 10, Some(format!("git+{repository}.git")))
}

fn npm_package_of(
    name: &str,
    version: &str,
    dependencies: &[(&str, &str)],
    filler: usize,
    repository: Option<String>,
) -> Package {
    let basename = name.rsplit('/').next().unwrap_or(name);
    let mut package =
        Package::new(Ecosystem::Npm, name, version, format!("{basename}-{version}.tgz"), vec![]);
    package.dependencies = owned(dependencies);
    package.repository = repository;
    let manifest = serde_json::to_vec_pretty(&package.npm_manifest()).expect("json");
    package.bytes = tar_gz(&[
        ("package/package.json".into(), manifest),
        ("package/index.js".into(), format!("module.exports = {name:?};\n").into_bytes()),
        ("package/filler.bin".into(), noise(filler)),
    ]);
    package
}

/// A crate with a library that holds its own name.
pub fn crate_file(name: &str, version: &str, dependencies: &[(&str, &str)], filler: usize) -> Package {
    let mut package =
        Package::new(Ecosystem::Cargo, name, version, format!("{name}-{version}.crate"), vec![]);
    package.dependencies = owned(dependencies);
    let mut manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n\n[lib]\npath = \"src/lib.rs\"\n\n[dependencies]\n"
    );
    for (dependency, requirement) in dependencies {
        let _infallible = writeln!(manifest, "{dependency} = \"{requirement}\"");
    }
    let root = format!("{name}-{version}");
    package.bytes = tar_gz(&[
        (format!("{root}/Cargo.toml"), manifest.into_bytes()),
        (format!("{root}/src/lib.rs"), format!("pub const NAME: &str = {name:?};\n").into_bytes()),
        (format!("{root}/filler.bin"), noise(filler)),
    ]);
    package
}

/// A pure-Python wheel with METADATA and RECORD.
pub fn wheel(name: &str, version: &str, dependencies: &[(&str, &str)], filler: usize) -> Package {
    let module = name.replace(['-', '.'], "_");
    let file = format!("{module}-{version}-py3-none-any.whl");
    let mut package = Package::new(Ecosystem::Pypi, name, version, file, vec![]);
    package.dependencies = owned(dependencies);
    let info = format!("{module}-{version}.dist-info");
    let metadata = python_metadata(name, version, dependencies);
    let mut entries = vec![
        (format!("{module}/__init__.py"), format!("NAME = {name:?}\n").into_bytes()),
        (format!("{module}/filler.bin"), noise(filler)),
        (format!("{info}/METADATA"), metadata.clone().into_bytes()),
        (
            format!("{info}/WHEEL"),
            b"Wheel-Version: 1.0\nGenerator: testkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_vec(),
        ),
    ];
    let mut record = String::new();
    for (entry, content) in &entries {
        let digest = URL_SAFE_NO_PAD.encode(Sha256::of(content).0);
        let _infallible = writeln!(record, "{entry},sha256={digest},{}", content.len());
    }
    let _infallible = writeln!(record, "{info}/RECORD,,");
    entries.push((format!("{info}/RECORD"), record.into_bytes()));
    let entries: Vec<ZipEntry> =
        entries.into_iter().map(|(name, content)| ZipEntry::file(name, content)).collect();
    package.bytes = zip::stored(&entries);
    package.metadata = Some(metadata.into_bytes());
    package
}

/// A source distribution; nothing builds it.
pub fn sdist(name: &str, version: &str) -> Package {
    let stem = format!("{}-{version}", name.replace(['-', '.'], "_"));
    let metadata = python_metadata(name, version, &[]).into_bytes();
    let bytes = tar_gz(&[
        (format!("{stem}/PKG-INFO"), metadata),
        (format!("{stem}/setup.py"), b"from setuptools import setup\nsetup()\n".to_vec()),
    ]);
    Package::new(Ecosystem::Pypi, name, version, format!("{stem}.tar.gz"), bytes)
}

fn python_metadata(name: &str, version: &str, dependencies: &[(&str, &str)]) -> String {
    let mut metadata =
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: made by testkit\n");
    for (dependency, requirement) in dependencies {
        let _infallible = writeln!(metadata, "Requires-Dist: {dependency}{requirement}");
    }
    metadata.push('\n');
    metadata
}

/// A gzipped tar of regular files.
fn tar_gz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_mtime(499_162_500);
        builder.append_data(&mut header, path, &content[..]).expect("in memory");
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("in memory")
}

/// Bytes that do not compress, the same each time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(size);
    out
}

fn owned(dependencies: &[(&str, &str)]) -> Vec<(String, String)> {
    dependencies.iter().map(|(n, r)| ((*n).to_owned(), (*r).to_owned())).collect()
}
