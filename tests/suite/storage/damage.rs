//! What can happen to a file on a disk, and what a client then received.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::Path,
};

/// One way to damage a stored blob.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    /// The lowest bit of the byte at this position is flipped.
    Flip(usize),
    /// Nothing is left from this position on.
    Truncate(usize),
    /// So many bytes are added.
    Extend(usize),
    /// Zeros that were never written: a hole.
    Hole(Range<usize>),
    /// It is gone.
    Delete,
    /// It holds these bytes instead.
    Replace(Vec<u8>),
    /// It is a link to a file with the right bytes.
    Symlink,
    /// It is a directory.
    Directory,
}

impl Damage {
    /// Does it to the blob at `path`, whose right bytes are given; `spare` is a directory for other files.
    pub(super) fn inflict(&self, path: &Path, truth: &[u8], spare: &Path) {
        fs::remove_file(path).expect("it was there");
        match self {
            Self::Flip(at) => {
                let mut bytes = truth.to_vec();
                bytes[*at] ^= 1;
                fs::write(path, bytes).expect("written");
            }
            Self::Truncate(length) => fs::write(path, &truth[..*length]).expect("written"),
            Self::Extend(more) => fs::write(path, [truth, &vec![b'x'; *more]].concat()).expect("written"),
            Self::Hole(hole) => write_with_hole(path, truth, hole),
            Self::Delete => (),
            Self::Replace(bytes) => fs::write(path, bytes).expect("written"),
            Self::Symlink => {
                let elsewhere = spare.join("right-bytes");
                fs::write(&elsewhere, truth).expect("written");
                std::os::unix::fs::symlink(elsewhere, path).expect("linked");
            }
            Self::Directory => fs::create_dir(path).expect("created"),
        }
    }
}

fn write_with_hole(path: &Path, truth: &[u8], hole: &Range<usize>) {
    let mut file = fs::File::create(path).expect("created");
    file.write_all(&truth[..hole.start]).expect("written");
    file.seek(SeekFrom::Start(hole.end as u64)).expect("beyond");
    file.write_all(&truth[hole.end..]).expect("written");
    file.set_len(truth.len() as u64).expect("as long as before");
}

/// What came of a request, whole or cut.
#[derive(Debug)]
pub(super) struct Received {
    /// The status.
    pub(super) status: u16,
    /// `x-touchstone-code`, empty if there is none.
    pub(super) code: String,
    /// The bytes that came.
    pub(super) body: Vec<u8>,
    /// Whether the body ended as announced.
    pub(super) whole: bool,
}

/// Receives until the end, or until the connection is cut.
pub(super) async fn receive(request: reqwest::RequestBuilder) -> Received {
    let mut response = request.send().await.expect("an answer");
    let code = response.headers().get("x-touchstone-code").map(|v| v.to_str().expect("ASCII").to_owned());
    let (status, code) = (response.status().as_u16(), code.unwrap_or_default());
    let mut body = Vec::new();
    let whole = loop {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    Received { status, code, body, whole }
}
