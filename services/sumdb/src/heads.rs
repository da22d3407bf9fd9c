//! How a signed head stands to the one that is stored. Pure.
//!
//! *Invariant:* a head takes the place of the stored one only where its tree contains the stored one's, and a fork is said only of
//! two heads of which both are signed, never of tiles that lead nowhere.

use touchstone_domain::Sha256;
use touchstone_tlog::TreeHead;

/// What the numbers alone say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Nothing is stored.
    First,
    /// The stored one.
    Same,
    /// The same size, and another root.
    Contradiction,
    /// Larger: its tree must contain that of the stored one, which is here.
    Grown(TreeHead),
    /// Smaller: the stored tree must contain that of the new one, which is here.
    Older(TreeHead),
}

/// What is to be done with a new head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Store it.
    Advance,
    /// Keep the stored one, which its tree is part of.
    Keep,
    /// Stop: both cannot be of one log.
    Fork,
}

impl Relation {
    /// Compares two heads.
    pub(crate) fn of(new: &TreeHead, stored: Option<&TreeHead>) -> Self {
        let Some(stored) = stored else { return Self::First };
        match new.size.cmp(&stored.size) {
            std::cmp::Ordering::Greater => Self::Grown(*stored),
            std::cmp::Ordering::Less => Self::Older(*new),
            std::cmp::Ordering::Equal if new.root == stored.root => Self::Same,
            std::cmp::Ordering::Equal => Self::Contradiction,
        }
    }

    /// The head whose tree must be found in the larger one.
    pub(crate) fn contained(&self) -> Option<TreeHead> {
        match self {
            Self::First | Self::Same | Self::Contradiction => None,
            Self::Grown(contained) | Self::Older(contained) => Some(*contained),
        }
    }

    /// Decides, given the root that the larger tree had at a size.
    pub(crate) fn decide<E>(&self, root_of: impl FnOnce(u64) -> Result<Sha256, E>) -> Result<Merge, E> {
        let merge = match self {
            Self::First => Merge::Advance,
            Self::Same => Merge::Keep,
            Self::Contradiction => Merge::Fork,
            Self::Grown(contained) | Self::Older(contained) => {
                let contains = root_of(contained.size)? == contained.root;
                let grown = matches!(self, Self::Grown(_));
                match (contains, grown) {
                    (true, true) => Merge::Advance,
                    (true, false) => Merge::Keep,
                    (false, _) => Merge::Fork,
                }
            }
        };
        Ok(merge)
    }
}

#[cfg(test)]
mod tests {
    use touchstone_tlog::{HashReader as _, Tree, leaf_hash};

    use super::*;

    fn tree(size: u64, other: Option<u64>) -> Tree {
        let mut tree = Tree::new();
        let leaf = |n| if Some(n) == other { leaf_hash(b"other") } else { leaf_hash(&n.to_be_bytes()) };
        tree.extend((0..size).map(leaf));
        tree
    }

    fn head(tree: &Tree, size: u64) -> TreeHead {
        TreeHead { size, root: tree.root(size).expect("within the tree") }
    }

    /// What is decided of a head of one tree where that of another is stored, and the proof comes from the larger.
    fn merged(new: (&Tree, u64), stored: Option<(&Tree, u64)>) -> Result<Merge, &'static str> {
        let larger = stored.filter(|(_, size)| *size > new.1).map_or(new.0, |(tree, _)| tree);
        let stored = stored.map(|(tree, size)| head(tree, size));
        let relation = Relation::of(&head(new.0, new.1), stored.as_ref());
        relation.decide(|size| larger.root(size).ok_or("no such root"))
    }

    #[test]
    fn every_pair_of_sizes_of_one_tree_goes_forward_only() {
        let tree = tree(40, None);
        assert_eq!(merged((&tree, 3), None), Ok(Merge::Advance));
        for new in 0..=40 {
            for stored in 0..=40 {
                let expected = if new > stored { Merge::Advance } else { Merge::Keep };
                assert_eq!(merged((&tree, new), Some((&tree, stored))), Ok(expected), "{new} {stored}");
            }
        }
    }

    #[test]
    fn one_other_record_is_a_fork_wherever_both_trees_have_it() {
        let (ours, theirs) = (tree(20, None), tree(20, Some(11)));
        for new in 0..=20 {
            for stored in 0..=20 {
                let expected = match new.min(stored) {
                    // Both have the record that differs.
                    12.. => Merge::Fork,
                    _ if new > stored => Merge::Advance,
                    _ => Merge::Keep,
                };
                assert_eq!(merged((&theirs, new), Some((&ours, stored))), Ok(expected), "{new} {stored}");
            }
        }
    }

    #[test]
    fn what_cannot_be_proved_is_no_fork() {
        let tree = tree(9, None);
        let stored = head(&tree, 5);
        for size in [3, 9] {
            let relation = Relation::of(&head(&tree, size), Some(&stored));
            assert_eq!(relation.contained().map(|head| head.size), Some(size.min(5)));
            assert_eq!(relation.decide(|_| Err("no tiles")), Err("no tiles"));
        }
        let same = Relation::of(&head(&tree, 5), Some(&stored));
        assert_eq!((same, same.contained()), (Relation::Same, None));
    }
}
