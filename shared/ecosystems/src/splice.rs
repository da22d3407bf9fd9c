//! A document with some parts replaced: the rest is shared, not copied.

use std::ops::Range;

use bytes::Bytes;

/// Replacements, in any order. *Invariant:* they do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    edits: Vec<Edit>,
    text: Vec<u8>,
}

#[derive(Debug)]
struct Edit {
    at: Range<usize>,
    text: Range<usize>,
}

impl Edits {
    /// Puts other bytes in the place of `at`; an empty range inserts.
    pub(crate) fn replace(&mut self, at: Range<usize>, with: impl AsRef<[u8]>) {
        let start = self.text.len();
        self.text.extend_from_slice(with.as_ref());
        self.edits.push(Edit { at, text: start..self.text.len() });
    }

    /// Takes out `at`.
    pub(crate) fn cut(&mut self, at: Range<usize>) {
        self.replace(at, "");
    }

    /// The part `whole` of the document, as edited: slices of the document, and of one buffer with all that is new.
    pub(crate) fn apply(mut self, document: &Bytes, whole: Range<usize>) -> Vec<Bytes> {
        self.edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
        let text = Bytes::from(self.text);
        let mut pieces = vec![];
        let mut position = whole.start;
        for Edit { at, text: with } in self.edits {
            pieces.push(document.slice(position..at.start));
            pieces.push(text.slice(with));
            position = at.end;
        }
        pieces.push(document.slice(position..whole.end));
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_apply_in_the_order_of_the_document() {
        let document = Bytes::from_static(b"0123456789");
        let mut edits = Edits::default();
        edits.replace(7..8, "seven");
        edits.cut(2..4);
        edits.replace(9..9, "!");
        let pieces = edits.apply(&document, 1..10);
        assert_eq!(pieces.concat(), b"1456seven8!9");
        assert_eq!(Edits::default().apply(&document, 3..3), Vec::<Bytes>::new());
    }
}
