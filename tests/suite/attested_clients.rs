//! What clients see of attestations: the documents that they verify themselves pass through, and what the mirror has verified
//! is served to real npm and pip. The real releases are those of the shared folder's registry.

mod documents;
mod listed;
mod refused;
mod runs;
mod served;
mod told;

use std::time::Duration;

use touchstone_domain::Ecosystem;
use touchstone_testkit::TestMirror;

use crate::fixtures::registry::FixtureRegistry;

/// Releases as their registries have them.
#[derive(Clone, Copy, Debug)]
struct Release {
    purl: &'static str,
    file: &'static str,
    /// Where the mirror serves it.
    target: &'static str,
    /// Where its attestations are, below the root of the mirror and of the upstream.
    document: &'static str,
}

const NPM: Release = Release {
    purl: "pkg:npm/sigstore@5.0.0",
    file: "sigstore-5.0.0.tgz",
    target: "/npm/sigstore/-/sigstore-5.0.0.tgz",
    document: "npm/-/npm/v1/attestations/sigstore@5.0.0",
};
const NPM_OLD: Release = Release {
    purl: "pkg:npm/sigstore@1.3.0",
    file: "sigstore-1.3.0.tgz",
    target: "/npm/sigstore/-/sigstore-1.3.0.tgz",
    document: "npm/-/npm/v1/attestations/sigstore@1.3.0",
};
const PYPI: Release = Release {
    purl: "pkg:pypi/sampleproject@4.0.0",
    file: "sampleproject-4.0.0.tar.gz",
    target: "/pypi/files/-/sampleproject/sampleproject-4.0.0.tar.gz",
    document: "pypi/integrity/sampleproject/4.0.0/sampleproject-4.0.0.tar.gz/provenance",
};
const PYPI_WHEEL: Release = Release {
    purl: "pkg:pypi/sigstore@4.5.0?file_name=sigstore-4.5.0-py3-none-any.whl",
    file: "sigstore-4.5.0-py3-none-any.whl",
    target: "/pypi/files/-/sigstore/sigstore-4.5.0-py3-none-any.whl",
    document: "pypi/integrity/sigstore/4.5.0/sigstore-4.5.0-py3-none-any.whl/provenance",
};
const PYPI_SDIST: Release = Release {
    purl: "pkg:pypi/sigstore@4.5.0?file_name=sigstore-4.5.0.tar.gz",
    file: "sigstore-4.5.0.tar.gz",
    target: "/pypi/files/-/sigstore/sigstore-4.5.0.tar.gz",
    document: "pypi/integrity/sigstore/4.5.0/sigstore-4.5.0.tar.gz/provenance",
};

/// A mirror of the fixtures under the default policy, with the trust roots that are built in.
async fn mirror(registry: &FixtureRegistry, hold: Duration) -> TestMirror {
    TestMirror::builder()
        .upstream(Ecosystem::Npm, registry.url("npm"))
        .upstream(Ecosystem::Pypi, registry.url("pypi"))
        .hold(hold)
        .start()
        .await
}

/// Longer than a decision takes on a busy machine.
const HOLD: Duration = Duration::from_secs(20);
