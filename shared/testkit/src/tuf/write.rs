//! A repository as a directory.

use std::{fs, path::Path};

use super::TufRepository;

/// How a copy of a repository lies in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As it is served: metadata at the top, with versions in the names, and `targets/`.
    Served,
    /// The same with the metadata in `metadata/`.
    Folders,
    /// As its sources are kept: `metadata/` with `root_history/`, and no versions or digests in names.
    Sources,
}

impl TufRepository {
    /// Writes what is handed out.
    pub fn write(&self, directory: &Path, layout: Layout) {
        for (name, bytes) in &self.files {
            let (folder, file) = name.rsplit_once('/').map_or(("", name.as_str()), |parts| parts);
            let plain = file.split_once('.').map_or(file, |(_, plain)| plain);
            let path = match layout {
                Layout::Folders if folder.is_empty() => format!("metadata/{file}"),
                Layout::Served | Layout::Folders => name.clone(),
                Layout::Sources if file == "timestamp.json" => "metadata/timestamp.json".to_owned(),
                Layout::Sources if file.ends_with(".root.json") => format!("metadata/root_history/{file}"),
                Layout::Sources if folder.is_empty() => format!("metadata/{plain}"),
                Layout::Sources => format!("{folder}/{plain}"),
            };
            let path = directory.join(path);
            fs::create_dir_all(path.parent().expect("it is below the directory")).expect("a directory");
            fs::write(path, bytes).expect("a file");
        }
    }
}
