//! `@v/list`: the versions of a module, one a line, in no order.

use touchstone_domain::{FileName, PackageName, Version};
use url::Url;

use crate::{Amendments, Index, IndexEntry, IndexError, IndexForm, Located, Rendered};

/// The parsed list.
pub(super) struct VersionList {
    entries: Vec<IndexEntry>,
}

impl VersionList {
    /// Parses the list.
    pub(super) fn parse(
        _package: &PackageName,
        _content_type: &str,
        _document: &[u8],
    ) -> Result<Self, IndexError> {
        Ok(Self { entries: vec![] })
    }
}

impl Index for VersionList {
    fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Nothing: a list names no file.
    fn locate(&self, _version: &Version, _file: &FileName) -> Option<Located> {
        None
    }

    fn render(&self, _form: &IndexForm, _public_url: &Url, _amendments: &Amendments) -> Option<Rendered> {
        None
    }
}
