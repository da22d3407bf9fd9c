//! Links that stay inside the directory that the archive unpacks to.

/// Whether the target of the symbolic link `name` stays inside the first segment of `name`: relative, and `..` only at
/// its start.
///
/// *Invariant:* this holds for chains too. No entry is below a link (`names` sees to that), so a link's own directory is a
/// real one; from there a target goes up at most to the first directory, then only down, and each link it meets on the
/// way does the same.
pub(super) fn symlink_stays_inside(name: &str, target: &[u8]) -> bool {
    let Some(target) = plain_text(target) else { return false };
    let depth = name.matches('/').count();
    let mut up = 0;
    let mut down = 0;
    for segment in target.split('/') {
        match segment {
            ".." if down == 0 => up += 1,
            "" | "." | ".." => return false,
            _ => down += 1,
        }
    }
    // `depth` is how many directories the link is in; the outermost may not be left. Climbing to it without naming
    // anything in it is a link to the whole directory: allowed, and it is inside.
    depth > 0 && up < depth
}

/// The target of the hard link `name`, if it is a plain path in the same first directory.
pub(super) fn hardlink_target<'t>(name: &str, target: &'t [u8]) -> Option<&'t str> {
    let target = plain_text(target)?;
    let (own, _) = name.split_once('/')?;
    let (root, _) = target.split_once('/')?;
    (own == root && target != name).then_some(target)
}

fn plain_text(target: &[u8]) -> Option<&str> {
    let text = str::from_utf8(target).ok()?;
    let drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    (!text.is_empty() && !text.starts_with('/') && !text.contains(['\\', '\0']) && !drive).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbolic_link_goes_up_to_the_first_directory_and_then_only_down() {
        let inside = |name, target: &str| symlink_stays_inside(name, target.as_bytes());
        for good in ["b", "d/e", "../x", "../d/e"] {
            assert!(inside("root/dir/link", good), "{good}");
        }
        for bad in ["", "/etc", "../../x", "../..", "d/../e", "d//e", "./d", "d/.", "C:/x", "a\\b"] {
            assert!(!inside("root/dir/link", bad), "{bad}");
        }
        assert!(inside("root/link", "x") && !inside("root/link", "../x") && !inside("root/link", ".."));
        assert!(!inside("link", "x"), "outside any directory");
    }

    #[test]
    fn a_hard_link_names_another_path_in_the_same_directory() {
        assert_eq!(hardlink_target("root/b", b"root/a"), Some("root/a"));
        for bad in ["a", "other/a", "/root/a", "root/b", "", "root\\a"] {
            assert_eq!(hardlink_target("root/b", bad.as_bytes()), None, "{bad}");
        }
    }
}
