//! The `module` line of a `go.mod`, found as the go command finds it in a dependency (the lexical elements and grammar of the Go
//! Modules Reference).
//!
//! Only that line is read: whatever else a later version of the language allows is passed over. What would give two readers
//! two paths is refused: a second `module` directive, a text that is not ended, a block that is not closed.

use touchstone_domain::ArchiveRule;

use crate::{
    InspectError,
    archive::{refuse, shown},
};

/// More words than any line has.
const WORDS_MAX: usize = 256;

/// The path that a `go.mod` gives to its module; the size of the document is bounded by the caller.
pub(super) fn module_path(document: &[u8]) -> Result<&str, InspectError> {
    let text = str::from_utf8(document).map_err(|_| malformed("it is not UTF-8"))?;
    let mut path = None;
    let mut block: Option<Block> = None;
    for line in text.split('\n') {
        let words = words(line)?;
        let declared = match (&block, words.as_slice()) {
            (Some(_), [")"]) => {
                block = None;
                continue;
            }
            (Some(_), [")", ..]) => return Err(malformed("a block is closed in the middle of a line")),
            (None, [verb @ .., "("]) if !verb.is_empty() => {
                block = Some(if *verb == ["module"] { Block::Module } else { Block::Other });
                continue;
            }
            (Some(Block::Module), words @ [_, ..]) => words,
            // With `()` at its end it is an empty block.
            (None, ["module", words @ ..]) if !words.ends_with(&["(", ")"]) => words,
            (Some(Block::Module | Block::Other) | None, _) => continue,
        };
        let [word] = declared else { return Err(malformed("its module line does not have one path")) };
        if path.replace(unquoted(word)?).is_some() {
            return Err(refuse(ArchiveRule::Ambiguous, "go.mod has two module lines"));
        }
    }
    if block.is_some() {
        return Err(malformed("a block has no end"));
    }
    path.ok_or_else(|| refuse(ArchiveRule::Missing, "go.mod has no module line"))
}

/// The lines between `verb (` and `)`.
enum Block {
    Module,
    Other,
}

/// The words of one line, without its comment; texts with their quotes.
fn words(line: &str) -> Result<Vec<&str>, InspectError> {
    let mut words = vec![];
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r']);
        if rest.is_empty() || rest.starts_with("//") {
            return Ok(words);
        }
        if words.len() == WORDS_MAX {
            return Err(refuse(ArchiveRule::Limit, "a line of go.mod has too many words"));
        }
        let (word, behind) = rest.split_at(word_bytes(rest)?);
        words.push(word);
        rest = behind;
    }
}

/// How long the word is that `rest` begins with.
fn word_bytes(rest: &str) -> Result<usize, InspectError> {
    match rest.as_bytes() {
        [b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',', ..] => return Ok(1),
        [quote @ (b'"' | b'`'), ..] => return text_bytes(rest, *quote),
        _ => {}
    }
    let ends = |c: char| matches!(c, ' ' | '\t' | '\r' | '(' | ')' | '[' | ']' | '{' | '}' | ',');
    let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let word = word.split_once("//").map_or(word, |(word, _comment)| word);
    if word.contains("/*") {
        return Err(malformed("it has a comment that go.mod does not know"));
    }
    Ok(word.len())
}

/// How long the text is that `rest` begins with, quotes included. Only in double quotes does a backslash escape.
fn text_bytes(rest: &str, quote: u8) -> Result<usize, InspectError> {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quote == b'"' => escaped = true,
            _ if byte == quote => return Ok(at + 1),
            _ => {}
        }
    }
    Err(malformed("a text has no end"))
}

/// A word without its quotes. No module path needs an escape.
fn unquoted(word: &str) -> Result<&str, InspectError> {
    let inside = ['"', '`'].iter().find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote));
    let path = inside.unwrap_or(word);
    if path.contains(['"', '\'', '`', '\\']) {
        return Err(malformed(&format!("the path {} has quotes or escapes inside", shown(word))));
    }
    Ok(path)
}

fn malformed(problem: &str) -> InspectError {
    refuse(ArchiveRule::Malformed, format!("go.mod cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::build::rule;

    #[track_caller]
    fn path(document: &str) -> &str {
        module_path(document.as_bytes()).expect(document)
    }

    #[test]
    fn the_module_line_is_found() {
        for document in [
            "module code.example/m",
            "module code.example/m\n",
            "\tmodule\t code.example/m \r\n",
            "// module code.example/x\n\nmodule code.example/m // the comment\n",
            "module code.example/m//comment",
            "module \"code.example/m\"",
            "module `code.example/m`",
            "module (\n\tcode.example/m\n)",
            "module ( // block\n// a comment\n\n \"code.example/m\" // which\n) // end\n",
            "go 1.22\nrequire (\n\tcode.example/x v1.0.0\n\tmodule v1.0.0\n)\nmodule code.example/m\n",
            "unknown \"module\\\" \" (a // b\nmodule code.example/m",
            "retract [v1.0.0, v1.1.0]\nmodule code.example/m",
            "require ( )\nexclude ()\nmodule code.example/m",
            "future ( x ( y\nmodule code.example/m",
            "(\n)\nmodule code.example/m",
            "modules code.example/x\nmodule code.example/m",
        ] {
            assert_eq!(path(document), "code.example/m", "{document}");
        }
    }

    #[test]
    fn what_has_not_one_path_is_refused() {
        for (expected, bad) in [
            (ArchiveRule::Missing, ""),
            (ArchiveRule::Missing, "// module code.example/m"),
            (ArchiveRule::Missing, "go 1.22\nmodulecode.example/m"),
            (ArchiveRule::Missing, "Module code.example/m"),
            (ArchiveRule::Missing, "\"module\" code.example/m"),
            (ArchiveRule::Missing, "\u{feff}module code.example/m"),
            (ArchiveRule::Missing, "require (\nmodule code.example/m\n)"),
            (ArchiveRule::Missing, "module ( )"),
            (ArchiveRule::Missing, "module (\n)"),
            (ArchiveRule::Missing, "module x (\ncode.example/m\n)"),
            (ArchiveRule::Ambiguous, "module code.example/m\nmodule code.example/x"),
            (ArchiveRule::Ambiguous, "module code.example/m\nmodule code.example/m"),
            (ArchiveRule::Ambiguous, "module (\ncode.example/m\ncode.example/x\n)"),
            (ArchiveRule::Malformed, "module"),
            (ArchiveRule::Malformed, "module code.example/m v1.0.0"),
            (ArchiveRule::Malformed, "module code.example /m"),
            (ArchiveRule::Malformed, "module \"code.example/m"),
            (ArchiveRule::Malformed, "module \"code.example\n/m\""),
            (ArchiveRule::Malformed, "module \"code\\x2eexample/m\""),
            (ArchiveRule::Malformed, "module 'code.example/m'"),
            (ArchiveRule::Malformed, "module code.example/\"m\""),
            (ArchiveRule::Malformed, "module code.example/m /* x */"),
            (ArchiveRule::Malformed, "module code.example/m\nrequire (\n"),
            (ArchiveRule::Malformed, "module code.example/m\nrequire (\n) x\n"),
            (ArchiveRule::Malformed, "module code.example/m\nx \"y"),
        ] {
            assert_eq!(rule(module_path(bad.as_bytes())), expected, "{bad}");
        }
        assert_eq!(rule(module_path(b"module code.example/\xff")), ArchiveRule::Malformed);
    }

    #[test]
    fn it_is_read_in_bounded_memory() {
        let words = |count: usize| format!("x {}\nmodule code.example/m", "( ".repeat(count - 1) + "y");
        assert_eq!(path(&words(WORDS_MAX - 1)), "code.example/m");
        assert_eq!(rule(module_path(words(WORDS_MAX).as_bytes())), ArchiveRule::Limit);
        let long = format!("module code.example/m\n{}", "x\n".repeat(1 << 20));
        assert_eq!(path(&long), "code.example/m");
    }
}
