//! One pass over the bytes: every digest, and the chunk list. For checks, which recompute everything.

use std::io::{self, Read};

use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Digest as _, Sha256 as Sha256Hasher, Sha384, Sha512 as Sha512Hasher};
use tokio_util::sync::CancellationToken;
use touchstone_domain::{Algorithm, CHUNK_BYTES, ChunkList, Digest, Sha256, Sha512};

/// What was computed over some bytes.
#[derive(Debug)]
pub struct Digests {
    /// For registries that declare nothing better.
    pub sha1: [u8; 20],
    /// SHA-256 of all bytes.
    pub sha256: Sha256,
    /// SHA-512 of all bytes.
    pub sha512: Sha512,
    /// Those of the algorithms that were asked for beyond the three above.
    pub extra: Vec<Digest>,
    /// The digests of the chunks, and the number of bytes.
    pub chunks: ChunkList,
}

impl Digests {
    /// All of them.
    pub fn all(&self) -> Vec<Digest> {
        let mut all = vec![Digest::Sha1(self.sha1), self.sha256.into(), self.sha512.into()];
        all.extend(&self.extra);
        all
    }
}

/// Reads to the end, but not far beyond `size`: more than that is another file anyway. Ends early, with an error, when
/// `stop` is cancelled. Blocks: it belongs on the blocking pool.
pub fn digest(
    reader: &mut dyn Read,
    size: u64,
    extra: &[Algorithm],
    stop: &CancellationToken,
) -> io::Result<Digests> {
    let mut reader = reader.take(size.saturating_add(1));
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let (mut sha1, mut sha256, mut sha512) = (Sha1::new(), Sha256Hasher::new(), Sha512Hasher::new());
    let mut extra: Vec<Extra> = extra.iter().copied().filter_map(Extra::new).collect();
    let (mut read, mut digests) = (0_u64, vec![]);
    loop {
        running(stop)?;
        chunk.clear();
        reader.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        sha1.update(&chunk);
        sha256.update(&chunk);
        sha512.update(&chunk);
        for hasher in &mut extra {
            hasher.update(&chunk);
        }
        digests.push(Sha256::of(&chunk));
        read += chunk.len() as u64;
    }
    Ok(Digests {
        sha1: sha1.finalize().into(),
        sha256: Sha256(sha256.finalize().into()),
        sha512: Sha512(sha512.finalize().into()),
        extra: extra.into_iter().map(Extra::finish).collect(),
        chunks: ChunkList::new(read, digests).map_err(io::Error::other)?,
    })
}

/// Stops work that nobody waits for any more.
pub(crate) fn running(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() { Err(io::Error::other("the check was stopped")) } else { Ok(()) }
}

/// The algorithms that only some claims need.
enum Extra {
    Md5(Md5),
    Sha384(Sha384),
}

impl Extra {
    fn new(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Md5 => Some(Self::Md5(Md5::new())),
            Algorithm::Sha384 => Some(Self::Sha384(Sha384::new())),
            Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha512 => None,
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(chunk),
            Self::Sha384(hasher) => hasher.update(chunk),
        }
    }

    fn finish(self) -> Digest {
        match self {
            Self::Md5(hasher) => Digest::Md5(hasher.finalize().into()),
            Self::Sha384(hasher) => Digest::Sha384(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_computes_what_was_asked_for() {
        let bytes: Vec<u8> =
            (0..CHUNK_BYTES + 7).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
        let asked = [Algorithm::Sha384, Algorithm::Md5, Algorithm::Sha256];
        let found = digest(&mut bytes.as_slice(), bytes.len() as u64, &asked, &CancellationToken::new())
            .expect("read");
        assert_eq!((found.sha256, found.sha512), (Sha256::of(&bytes), Sha512::of(&bytes)));
        assert_eq!(found.chunks, ChunkList::of(&bytes));
        let algorithms: Vec<&str> = found.all().iter().map(|digest| digest.algorithm().as_str()).collect();
        assert_eq!(algorithms, ["sha1", "sha256", "sha512", "sha384", "md5"]);
    }

    #[test]
    fn known_answers() {
        let found = digest(
            &mut b"abc".as_slice(),
            3,
            &[Algorithm::Md5, Algorithm::Sha384],
            &CancellationToken::new(),
        );
        let hex: Vec<String> =
            found.expect("read").all().iter().map(|d| d.to_hex()[..8].to_owned()).collect();
        assert_eq!(hex, ["a9993e36", "ba7816bf", "ddaf35a1", "90015098", "cb00753f"]);
    }

    #[test]
    fn a_longer_file_is_not_read_to_its_end_and_a_stopped_check_ends() {
        let found = digest(&mut io::repeat(0), 10, &[], &CancellationToken::new()).expect("read");
        assert_eq!(found.chunks.size(), 11);
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(
            digest(&mut io::empty(), 0, &[], &stop).expect_err("stopped").to_string(),
            "the check was stopped"
        );
    }
}
