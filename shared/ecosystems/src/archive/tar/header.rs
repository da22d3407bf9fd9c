//! One tar header block: ustar, GNU or the older form without a magic.

use touchstone_domain::ArchiveRule;

use crate::{
    InspectError,
    archive::{refuse, shown},
};

/// The size of a block in bytes.
pub(super) const BLOCK_BYTES: usize = 512;
/// One block.
pub(super) type Block = [u8; BLOCK_BYTES];

/// A header, its checksum verified.
#[derive(Debug)]
pub(super) struct Header<'b> {
    block: &'b Block,
    form: Form,
    /// What follows it.
    pub(super) kind: HeaderKind,
    /// The size of its body, in bytes.
    pub(super) size: u64,
    /// Who may do what, as it is written: with the type of the file, if the writer put it there.
    pub(super) mode: u64,
}

/// Which of the three forms it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ustar,
    Gnu,
    Old,
}

/// What a header introduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderKind {
    Entry(EntryKind),
    Extension(ExtensionKind),
}

/// The entries that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Symlink,
    Hardlink,
}

/// The headers that say something about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExtensionKind {
    /// GNU: its name.
    LongName,
    /// GNU: its link target.
    LongTarget,
    /// pax: its attributes.
    Pax,
    /// pax: attributes of all that follow.
    PaxGlobal,
}

impl<'b> Header<'b> {
    /// Reads a block that is not all zeros.
    pub(super) fn parse(block: &'b Block) -> Result<Self, InspectError> {
        let malformed = |detail: String| refuse(ArchiveRule::Malformed, detail);
        let name = shown(block[..100].split(|b| *b == 0).next().unwrap_or_default());
        let number = |what: &str, field: &[u8]| {
            number(field).ok_or_else(|| {
                malformed(format!("the {what} in the tar header of {name} is no octal number"))
            })
        };
        if number("checksum", &block[148..156])? != checksum(block) {
            return Err(malformed(format!("the checksum of the tar header of {name} is wrong")));
        }
        if block[0] == 0 {
            let detail = "a tar header begins with a NUL, which is the end to some readers";
            return Err(refuse(ArchiveRule::Ambiguous, detail));
        }
        let form = match &block[257..265] {
            b"ustar\x0000" => Form::Ustar,
            b"ustar  \0" => Form::Gnu,
            magic if magic.iter().all(|b| *b == 0) => Form::Old,
            _ => return Err(malformed(format!("the tar header of {name} has no known magic"))),
        };
        let header = Self {
            block,
            form,
            kind: kind(block[156], &name)?,
            size: number("size", &block[124..136])?,
            mode: number("mode", &block[100..108])?,
        };
        header.check_prefix(&name)?;
        let special_mode = header.mode & 0o6000 != 0;
        if special_mode && header.kind == HeaderKind::Entry(EntryKind::File) {
            return Err(refuse(ArchiveRule::EntryType, format!("{name} is set-user-id or set-group-id")));
        }
        Ok(header)
    }

    /// The name in the header, prefix included.
    pub(super) fn name(&self) -> Result<Vec<u8>, InspectError> {
        let name = text("name", &self.block[..100])?;
        let prefix = match self.form {
            Form::Ustar => text("prefix", self.prefix())?,
            Form::Gnu | Form::Old => b"",
        };
        Ok(if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() })
    }

    /// The link target in the header.
    pub(super) fn target(&self) -> Result<Vec<u8>, InspectError> {
        text("link target", &self.block[157..257]).map(<[u8]>::to_vec)
    }

    /// The prefix field. Some writers keep the access and change time in its last 25 bytes, behind a NUL that ends
    /// the prefix for every reader.
    fn prefix(&self) -> &'b [u8] {
        let block: &'b Block = self.block;
        let times = [&block[476..488], &block[488..500]];
        if block[475] == 0 && times.iter().all(|time| number(time).is_some()) {
            &block[345..476]
        } else {
            &block[345..500]
        }
    }

    /// GNU and older headers have other things, or nothing, where ustar has the prefix; some readers take it for one
    /// all the same.
    fn check_prefix(&self, name: &str) -> Result<(), InspectError> {
        let area = match self.form {
            Form::Ustar => return Ok(()),
            Form::Gnu => &self.block[345..],
            Form::Old => &self.block[257..],
        };
        if area.iter().all(|b| *b == 0) {
            return Ok(());
        }
        let detail = format!("the tar header of {name} has bytes that readers take for different things");
        Err(refuse(ArchiveRule::Ambiguous, detail))
    }
}

fn kind(flag: u8, name: &str) -> Result<HeaderKind, InspectError> {
    Ok(match flag {
        b'0' | 0 => HeaderKind::Entry(EntryKind::File),
        b'1' => HeaderKind::Entry(EntryKind::Hardlink),
        b'2' => HeaderKind::Entry(EntryKind::Symlink),
        b'5' => HeaderKind::Entry(EntryKind::Directory),
        b'L' => HeaderKind::Extension(ExtensionKind::LongName),
        b'K' => HeaderKind::Extension(ExtensionKind::LongTarget),
        b'x' => HeaderKind::Extension(ExtensionKind::Pax),
        b'g' => HeaderKind::Extension(ExtensionKind::PaxGlobal),
        // Devices, FIFOs, sparse and multi-volume files, and what nobody knows.
        other => {
            let detail = format!("{name} has the tar type {:?}", char::from(other));
            return Err(refuse(ArchiveRule::EntryType, detail));
        }
    })
}

/// A text field: up to its first NUL, with nothing behind it.
fn text<'b>(what: &str, field: &'b [u8]) -> Result<&'b [u8], InspectError> {
    let length = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at(length);
    if rest.iter().all(|b| *b == 0) {
        return Ok(text);
    }
    Err(refuse(ArchiveRule::Ambiguous, format!("the {what} {} goes on after a NUL", shown(text))))
}

/// A numeric field: octal digits between spaces and NULs. Base-256 is for what does not fit, over 64 GiB in a size, and
/// some readers do not know it.
fn number(field: &[u8]) -> Option<u64> {
    let digits_at = field.iter().position(|b| *b != b' ')?;
    let field = &field[digits_at..];
    let length = field.iter().position(|b| !b.is_ascii_digit()).unwrap_or(field.len());
    let (digits, rest) = field.split_at(length);
    if !rest.iter().all(|b| matches!(b, b' ' | 0)) {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

/// The sum of all bytes, the checksum field itself counted as spaces.
fn checksum(block: &Block) -> u64 {
    let all: u64 = block.iter().map(|b| u64::from(*b)).sum();
    let own: u64 = block[148..156].iter().map(|b| u64::from(*b)).sum();
    all - own + 8 * u64::from(b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_and_never_anything_else() {
        assert_eq!(number(b"00000000017\0"), Some(15));
        assert_eq!(number(b"     17 \0"), Some(15));
        assert_eq!(number(b"777777777777"), Some(0o777_777_777_777));
        for bad in [
            b"\x80\0\0\0\0\0\0\0\0\0\x01\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"18         \0",
            b"17\x0012345671\0",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        for bad in
            [b"\0\0\0\0\0\0\0\0", b"        ", b"-0000017", b"+0000017", b"0x000017", b"\x80\0\0\0\0\0\0\0"]
        {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
