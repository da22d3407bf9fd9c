//! The environment of the process, read once and handed on as a value, so that tests can make one up.

use std::{collections::BTreeMap, path::PathBuf};

/// Environment variables. Holds secrets, so it does not print.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// What this process was started with. Bytes that are not UTF-8 are replaced, and then refused where they are used.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// A variable; one that is set to nothing counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable that names a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The variables whose names start so, in order of name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let after = self.0.range(prefix.to_owned()..);
        after
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_the_prefix_are_listed_and_empty_ones_are_absent() {
        let environment: Environment =
            [("A__B", "1"), ("A_C", "2"), ("A__", ""), ("B", "3")].into_iter().collect();
        assert_eq!(environment.with_prefix("A__").collect::<Vec<_>>(), [("A__", ""), ("A__B", "1")]);
        assert_eq!(environment.get("A__"), None);
        assert_eq!(environment.get("B"), Some("3"));
    }

    #[test]
    fn the_process_has_a_path() {
        assert!(Environment::of_process().get("PATH").is_some());
    }
}
