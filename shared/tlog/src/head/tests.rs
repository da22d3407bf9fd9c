//! Tree notes and checkpoints, and each with one thing changed.

use super::*;
use crate::note::{SignedNote, SignerKey};

const ROOT: Sha256 = Sha256([9; 32]);
const HEAD: TreeHead = TreeHead { size: 20_852_163, root: ROOT };
const ORIGIN: &str = "log.example/behind-the-sofa";

fn verified(text: &str) -> VerifiedNote {
    let key = SignerKey::from_seed("log.example", [1; 32]).unwrap();
    SignedNote::parse(&key.sign(text).unwrap()).unwrap().verify(key.verifier()).unwrap()
}

fn sumdb(text: &str) -> Result<TreeHead, HeadError> {
    SignedHead::from_sumdb(verified(text)).map(|head| *head.head())
}

fn checkpoint(text: &str) -> Result<TreeHead, HeadError> {
    SignedHead::from_checkpoint(verified(text), ORIGIN).map(|head| *head.head())
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(sumdb(&HEAD.sumdb_text()), Ok(HEAD));
    assert_eq!(checkpoint(&HEAD.checkpoint_text(ORIGIN)), Ok(HEAD));
    let note = verified(&HEAD.sumdb_text());
    let signed = SignedHead::from_sumdb(note.clone()).unwrap();
    assert_eq!(signed.note(), note.bytes());
    let empty = TreeHead { size: 0, root: empty_root() };
    assert_eq!(sumdb(&empty.sumdb_text()), Ok(empty));
    let largest = TreeHead { size: SIZE_MAX, root: ROOT };
    assert_eq!(sumdb(&largest.sumdb_text()), Ok(largest));
}

#[test]
fn the_text_is_as_the_specification_has_it() {
    // The example of C2SP tlog-checkpoint, but for its names.
    let text = format!("{ORIGIN}\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
    let head = checkpoint(&text).unwrap();
    assert_eq!((head.size, head.checkpoint_text(ORIGIN)), (20_852_163, text));
    assert_eq!(HEAD.sumdb_text(), format!("go.sum database tree\n20852163\n{}\n", ROOT.to_base64()));
}

#[test]
fn further_lines_do_not_count_in_a_tree_note_and_are_lines_in_a_checkpoint() {
    for further in ["x\n", "x\ny\n", "\n", "\n\n"] {
        assert_eq!(sumdb(&(HEAD.sumdb_text() + further)), Ok(HEAD), "{further:?}");
        let found = checkpoint(&(HEAD.checkpoint_text(ORIGIN) + further));
        let expected = if further.contains('x') { Ok(HEAD) } else { Err(HeadError::Malformed) };
        assert_eq!(found, expected, "{further:?}");
    }
    assert_eq!(checkpoint(&(HEAD.checkpoint_text(ORIGIN) + "x\n\ny\n")), Err(HeadError::Malformed));
}

#[test]
fn a_head_of_another_log_is_refused() {
    let origin = |expected: &str, found: &str| HeadError::Origin {
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    assert_eq!(sumdb(&HEAD.checkpoint_text(ORIGIN)), Err(origin(SUMDB_FIRST_LINE, ORIGIN)));
    assert_eq!(checkpoint(&HEAD.sumdb_text()), Err(origin(ORIGIN, SUMDB_FIRST_LINE)));
    assert_eq!(sumdb(&format!(" {}", HEAD.sumdb_text())).unwrap_err().code(), "head_origin");
    let unnamed = SignedHead::from_checkpoint(verified(&HEAD.checkpoint_text("")), "");
    assert_eq!(unnamed, Err(HeadError::Malformed));
}

#[test]
fn a_malformed_head_is_refused() {
    let root = ROOT.to_base64();
    for (size, code) in [
        ("", "head_size"),
        ("01", "head_size"),
        ("+1", "head_size"),
        ("-1", "head_size"),
        ("1 ", "head_size"),
        ("1e3", "head_size"),
        ("0x1", "head_size"),
        ("\u{661}", "head_size"),
        ("4611686018427387905", "head_size"),
        ("9223372036854775808", "head_size"),
        ("18446744073709551616", "head_size"),
        ("00", "head_size"),
        ("0", "head_root"),
    ] {
        let found = sumdb(&format!("{SUMDB_FIRST_LINE}\n{size}\n{root}\n")).unwrap_err();
        assert_eq!(found.code(), code, "{size:?}");
    }
    let (short, url_safe) = (&Sha256([0xff; 32]).to_base64()[4..], root.replace('=', ""));
    let loose = format!("{}R=", &root[..42]);
    for root in ["", "x", short, &url_safe, &format!("{root} "), &format!("{root}{root}"), &loose] {
        assert_eq!(sumdb(&format!("{SUMDB_FIRST_LINE}\n5\n{root}\n")), Err(HeadError::Root), "{root:?}");
    }
    for text in ["\n", "go.sum database tree\n", "go.sum database tree\n5\n"] {
        assert_eq!(sumdb(text).unwrap_err().code(), "head_malformed", "{text:?}");
    }
}
