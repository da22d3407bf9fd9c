//! What a module's zip and go.mod must be (ecosystems.md 7.1, 7.2, 7.6).

use touchstone_domain::{ArchiveRule, ArtifactId};

use crate::{InspectError, Inspected, ReadSeek, archive::refuse};

/// Reads the whole file.
pub(super) fn inspect(id: &ArtifactId, _file: &mut dyn ReadSeek) -> Result<Inspected, InspectError> {
    Err(refuse(ArchiveRule::Malformed, format!("{} is not read yet", id.file)))
}
