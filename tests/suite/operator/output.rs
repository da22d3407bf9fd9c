//! What becomes of answers that nobody reads, or that cannot be written.

use std::{fs::File, io::pipe, process::Stdio};

use super::{make_keys, run, said, touchstone};

#[test]
fn a_reader_who_has_read_enough_is_no_error() {
    let directory = tempfile::tempdir().expect("a directory");
    make_keys(directory.path());
    for arguments in [&["keys", "list"][..], &["--help"], &["policy", "check", "policy.toml"]] {
        std::fs::write(directory.path().join("policy.toml"), "").expect("written");
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output =
            touchstone(directory.path()).args(arguments).stdout(writer).stderr(Stdio::piped()).output();
        assert_eq!(said(output.expect("the command runs")), (Some(0), String::new(), String::new()));
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    make_keys(directory.path());
    let full = File::options().write(true).open("/dev/full").expect("Linux");
    let output =
        touchstone(directory.path()).args(["keys", "list"]).stdout(full).stderr(Stdio::piped()).output();
    let expected = "error: cannot write to standard output: No space left on device (os error 28)\n";
    assert_eq!(said(output.expect("the command runs")), (Some(1), String::new(), expected.to_owned()));
}

/// Who is in another directory than they think is told so.
#[test]
fn where_no_configuration_is_commands_say_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().canonicalize().expect("a directory").join("data");
    let expected = format!(
        "error: no [database] url is configured, and no standalone is running on {} (no touchstone.toml was found in the current \
         directory); start `touchstone standalone`, or name the configuration with --config\n",
        data.display()
    );
    for arguments in [
        &["why", "pkg:npm/a"][..],
        &["incidents"],
        &["recall", "pkg:npm/a@1.0.0", "--reason", "x"],
        &["recheck", "pkg:npm/a"],
    ] {
        assert_eq!(
            run(directory.path(), arguments),
            (Some(1), String::new(), expected.clone()),
            "{arguments:?}"
        );
    }
}
