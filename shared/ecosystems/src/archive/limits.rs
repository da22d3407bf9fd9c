//! How much of everything an archive may have.

/// The bounds of one archive. The defaults are above every real package that is known, and below what hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most it may unpack to, in bytes, whatever its size.
    pub unpacked_bytes_max: u64,
    /// How many times its own size it may unpack to, beyond [`Limits::ratio_free_bytes`].
    pub ratio_max: u64,
    /// How many bytes it may unpack to whatever the ratio: small files of sparse text exceed every sensible ratio.
    pub ratio_free_bytes: u64,
    /// The most paths, directories that are only implied included, and a path once more for each time that it is there again.
    pub entries_max: usize,
    /// The longest path, in bytes.
    pub name_bytes_max: usize,
    /// The most segments of a path.
    pub depth_max: usize,
    /// The largest manifest, in bytes; manifests are held in memory.
    pub manifest_bytes_max: u64,
    /// The largest list of contents (a wheel's RECORD, a ZIP's directory), in bytes; held in memory.
    pub list_bytes_max: u64,
}

impl Limits {
    /// The bounds for npm packages and crates, whose registries do not take larger ones (ecosystems.md 4.1.6).
    pub const SOURCE: Self = Self { unpacked_bytes_max: 1 << 30, entries_max: 100_000, ..Self::DISTRIBUTION };

    /// The bounds for Python distributions: wheels with GPU libraries unpack to gigabytes.
    pub const DISTRIBUTION: Self = Self {
        unpacked_bytes_max: 4 << 30,
        ratio_max: 200,
        ratio_free_bytes: 64 << 20,
        entries_max: 200_000,
        name_bytes_max: 1024,
        depth_max: 64,
        manifest_bytes_max: 4 << 20,
        list_bytes_max: 32 << 20,
    };

    /// The bounds for Go modules: what `golang.org/x/mod/zip` allows, which knows no ratio. The go command refuses what is larger.
    pub const MODULE: Self = Self {
        unpacked_bytes_max: 500 << 20,
        ratio_free_bytes: 500 << 20,
        manifest_bytes_max: 16 << 20,
        ..Self::DISTRIBUTION
    };

    /// How many bytes a file of `packed` bytes may unpack to.
    pub(super) fn unpacked_bytes_allowed(&self, packed: u64) -> u64 {
        packed.saturating_mul(self.ratio_max).max(self.ratio_free_bytes).min(self.unpacked_bytes_max)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DISTRIBUTION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_counts_only_beyond_the_free_bytes_and_never_beyond_the_total() {
        let limits = Limits::default();
        assert_eq!(limits.unpacked_bytes_allowed(1000), 64 << 20);
        assert_eq!(limits.unpacked_bytes_allowed(1 << 20), 200 << 20);
        assert_eq!(limits.unpacked_bytes_allowed(1 << 30), 4 << 30);
        assert_eq!(limits.unpacked_bytes_allowed(u64::MAX), 4 << 30);
    }
}
