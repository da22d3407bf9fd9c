//! One file of every kind that the mirror serves, and a mirror to ask for it.

use std::time::Duration;

use touchstone_domain::Ecosystem;
use touchstone_testkit::{Fault, Package, Registry, TestMirror, crate_file, npm_package, wheel};

use crate::protocol::raw::{Reply, ask, assert_refused};

/// A file at the mirror and at its upstream.
pub(crate) struct File {
    /// The request target at the mirror.
    pub(crate) target: String,
    /// The name that [`Registry::fault`] knows.
    pub(crate) name: String,
    /// The end of the path that the upstream is asked for.
    upstream: String,
    /// What the purl is.
    pub(crate) purl: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether the upstream declares a size.
    pub(crate) sized: bool,
}

impl File {
    pub(crate) fn of(package: &Package, purl: &'static str) -> Self {
        let Package { name, version, file, bytes, .. } = package;
        let (target, upstream) = match package.ecosystem {
            Ecosystem::Npm => (format!("/npm/{name}/-/{file}"), format!("/-/{file}")),
            Ecosystem::Pypi => {
                (format!("/pypi/files/{}/{name}/{file}", package.sha256()), format!("/files/{file}"))
            }
            Ecosystem::Cargo => (
                format!("/cargo/crates/{name}/{version}/{}/download", package.sha256()),
                format!("/dl/{name}/{version}"),
            ),
            Ecosystem::Go => (format!("/go/{name}/@v/{file}"), format!("/{name}/@v/{file}")),
        };
        let sized = package.ecosystem == Ecosystem::Pypi;
        Self { target, name: file.clone(), upstream, purl, bytes: bytes.clone(), sized }
    }

    /// The METADATA beside a wheel.
    fn sidecar(wheel: &Package, purl: &'static str) -> Self {
        let file = Self::of(wheel, purl);
        Self {
            target: format!("{}.metadata", file.target),
            name: format!("{}.metadata", file.name),
            upstream: format!("{}.metadata", file.upstream),
            bytes: wheel.metadata.clone().expect("a wheel has metadata"),
            sized: false,
            ..file
        }
    }
}

/// A registry with one package of each ecosystem, and a mirror of it.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) mirror: TestMirror,
    pub(crate) files: Vec<File>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with_hold(Duration::from_secs(8)).await
    }

    pub(crate) async fn with_hold(hold: Duration) -> Self {
        let registry = Registry::start().await;
        let npm = npm_package("left-pad", "1.3.0", &[], 70_000);
        let wheel = wheel("sample", "4.0.0", &[("other", ">=1")], 70_000);
        let krate = crate_file("pad_left", "0.1.0", &[], 70_000);
        for package in [&npm, &wheel, &krate] {
            registry.publish(package.clone());
        }
        let files = vec![
            File::of(&npm, "pkg:npm/left-pad@1.3.0"),
            File::of(&wheel, "pkg:pypi/sample@4.0.0"),
            File::sidecar(&wheel, "pkg:pypi/sample@4.0.0"),
            File::of(&krate, "pkg:cargo/pad_left@0.1.0"),
        ];
        let mirror = TestMirror::builder().registry(&registry).hold(hold).start().await;
        Self { registry, mirror, files }
    }

    /// How often the upstream was asked for a file.
    pub(crate) fn fetches(&self, file: &File) -> usize {
        self.registry.asked_for(&file.upstream)
    }

    pub(crate) async fn get(&self, file: &File) -> Reply {
        ask(&self.mirror, "GET", &file.target, &[]).await
    }

    /// Asserts that the file is served, whole, in part, and without its body.
    pub(crate) async fn assert_served(&self, file: &File) {
        let (whole, size) = (self.get(file).await, file.bytes.len());
        assert_eq!(whole.line, "HTTP/1.1 200 OK", "{}: {}", file.name, whole.text());
        assert!(whole.body == file.bytes, "{}: other bytes were served", file.name);
        let part = ask(&self.mirror, "GET", &file.target, &[("Range", "bytes=5-20")]).await;
        assert_eq!(part.header("content-range"), format!("bytes 5-20/{size}"), "{}", file.name);
        assert_eq!(part.body, file.bytes[5..21], "{}", file.name);
        let head = ask(&self.mirror, "HEAD", &file.target, &[]).await;
        assert_eq!(
            (head.status(), head.header("content-length")),
            (200, &*size.to_string()),
            "{}",
            file.name
        );
    }

    /// Asserts that while the fault lasts every kind of request for the file is refused with this, none of its bytes is
    /// sent and nothing is on record; gives how often the upstream was asked by the first request.
    pub(crate) async fn assert_refused(&self, file: &File, fault: &Fault, refusal: &Refused<'_>) -> usize {
        let Refused { status, code, title } = *refusal;
        self.registry.fault(&file.name, fault.clone());
        let first = self.get(file).await;
        let fetches = self.fetches(file);
        let part = ask(&self.mirror, "GET", &file.target, &[("Range", "bytes=0-9")]).await;
        let head = ask(&self.mirror, "HEAD", &file.target, &[]).await;
        assert_eq!(head.body, b"", "{}", file.name);
        for reply in [first, part, head] {
            assert_refused(&reply, status, code, title, &file.name);
            let sent = |window: &[u8]| window == &file.bytes[20..36];
            assert!(!reply.body.windows(16).any(sent), "{}: bytes were sent", file.name);
        }
        assert_eq!(self.mirror.states(file.purl).await.get(&file.name), None, "{}", file.name);
        fetches
    }

    /// The kinds of the incidents about a file, with what is said about each.
    pub(crate) async fn incidents(&self, file: &File) -> Vec<(String, String)> {
        let incidents = self.mirror.store.incidents(100).await.expect("incidents");
        let about = |incident: &touchstone_store::Incident| {
            incident.file.as_ref().is_some_and(|name| name.as_str() == file.name)
        };
        let facts = |i: touchstone_store::Incident| {
            (i.kind, i.detail["problem"].as_str().unwrap_or_default().to_owned())
        };
        incidents.into_iter().filter(about).map(facts).collect()
    }
}

/// What a client is told.
pub(crate) struct Refused<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    pub(crate) title: &'a str,
}
