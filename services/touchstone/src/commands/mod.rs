//! The commands of operators.

pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod migrate;
pub(crate) mod policy;
pub(crate) mod recall;
pub(crate) mod why;

/// Prints what was asked for.
#[expect(clippy::print_stdout, reason = "the one place where commands print their answers")]
pub(crate) fn say(text: &str) {
    print!("{text}");
}
