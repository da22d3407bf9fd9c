//! Real packages, from the directory of shared fixtures, pass.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::PathBuf,
};

use touchstone_domain::Ecosystem;

use super::build::id;

/// `TOUCHSTONE_SHARED`, or the directory `shared` beside the workspace.
fn fixtures() -> PathBuf {
    let beside = || OsString::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    PathBuf::from(std::env::var_os("TOUCHSTONE_SHARED").unwrap_or_else(beside)).join("fixtures")
}

#[test]
fn real_packages_are_accepted() {
    let mut inspected = 0;
    for ecosystem in Ecosystem::ALL {
        let directory = fixtures().join(ecosystem.as_str()).join("artifacts");
        let Ok(files) = fs::read_dir(&directory) else {
            println!("NOT TESTED: there are no real {ecosystem} packages in {}", directory.display());
            continue;
        };
        for path in files.map(|file| file.expect("readable").path()) {
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            // Two fixtures have their ecosystem in front of their names.
            let file = name.strip_prefix("pypi-").unwrap_or(&name);
            let Some((package, version)) = coordinate(ecosystem, file) else {
                println!("NOT TESTED: {name}");
                continue;
            };
            let id = id(ecosystem, &package.to_lowercase().replace('_', "-"), &version, file);
            let mut archive = File::open(&path).expect("readable");
            let found = crate::adapter(ecosystem).inspect(&id, &[], &mut archive);
            assert!(found.is_ok_and(|found| found.entries > 1), "{name}");
            inspected += 1;
        }
    }
    println!("{inspected} real packages were accepted");
}

/// The name and version that a fixture's file name says.
fn coordinate(ecosystem: Ecosystem, file: &str) -> Option<(String, String)> {
    let stem = [".tgz", ".tar.gz", ".crate"].iter().find_map(|suffix| file.strip_suffix(suffix));
    let (package, version) = match (ecosystem, stem) {
        (_, Some(stem)) => stem.rsplit_once('-')?,
        (Ecosystem::Pypi, None) => {
            let (package, rest) = file.split_once('-')?;
            (package, rest.split('-').next()?)
        }
        (Ecosystem::Cargo | Ecosystem::Go | Ecosystem::Npm, None) => return None,
    };
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| (package.to_owned(), version.to_owned()))
}
