//! Proofs of a plain tree, and each with one thing changed.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{Tree, naive};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let mut tree = Tree::new();
    tree.extend(naive::LEAVES.iter().copied());
    tree
});

fn leaf(index: u64) -> Sha256 {
    naive::LEAVES[usize::try_from(index).unwrap()]
}

/// Each hash changed, one less and one more.
fn changed(proof: &[Sha256]) -> Vec<(Vec<Sha256>, ProofError)> {
    let mut all: Vec<_> = (0..proof.len())
        .map(|at| {
            let mut forged = proof.to_vec();
            forged[at].0[at % 32] ^= 1;
            (forged, ProofError::Root)
        })
        .collect();
    all.push(([proof, &[leaf(0)]].concat(), ProofError::Length));
    if let Some((_, shorter)) = proof.split_last() {
        all.push((shorter.to_vec(), ProofError::Length));
    }
    all
}

fn includes(size: u64, index: u64) {
    let head = naive::head(size);
    let proof = inclusion(&*TREE, size, index).unwrap();
    assert!(proof.len() <= 64 - (size - 1).leading_zeros() as usize);
    assert_eq!(verify_inclusion(&head, index, &leaf(index), &proof), Ok(()), "{index} of {size}");
    for (proof, error) in changed(&proof) {
        assert_eq!(verify_inclusion(&head, index, &leaf(index), &proof), Err(error), "{index} of {size}");
    }
    let other = (index + 1) % 70_000;
    assert_eq!(verify_inclusion(&head, index, &leaf(other), &proof), Err(ProofError::Root));
    if other < size {
        assert!(verify_inclusion(&head, other, &leaf(index), &proof).is_err(), "{other} of {size}");
    }
}

fn extends(size: u64, old_size: u64) {
    let (head, old) = (naive::head(size), naive::head(old_size));
    let proof = consistency(&*TREE, size, old_size).unwrap();
    assert!(proof.len() <= 64);
    assert_eq!(verify_consistency(&head, &old, &proof), Ok(()), "{old_size} of {size}");
    for (proof, error) in changed(&proof) {
        assert_eq!(verify_consistency(&head, &old, &proof), Err(error), "{old_size} of {size}");
    }
    let forged = Sha256([7; 32]);
    for (head, old) in [(TreeHead { root: forged, ..head }, old), (head, TreeHead { root: forged, ..old })] {
        // The root of a tree without leaves is known; whatever extends it does.
        if old_size > 0 || old.root == forged {
            assert_eq!(
                verify_consistency(&head, &old, &proof),
                Err(ProofError::Root),
                "{old_size} of {size}"
            );
        }
    }
}

#[test]
fn all_leaves_and_prefixes_of_small_trees_are_proved() {
    for size in 1..=72 {
        (0..size).for_each(|index| includes(size, index));
        (0..=size).for_each(|old| extends(size, old));
    }
}

/// What is beyond the tree is neither proved nor accepted.
#[test]
fn beyond_the_tree_there_is_no_proof() {
    let beyond = |asked, size| Err(ProofError::BeyondTree { asked, size });
    for (size, asked) in [(0, 0), (5, 5), (5, u64::MAX), (70_000, 70_000)] {
        assert_eq!(inclusion(&*TREE, size, asked), beyond(asked, size));
        let none = verify_inclusion(&naive::head(size), asked, &leaf(0), &[]);
        assert_eq!(none, beyond(asked, size).map(|_| ()));
    }
    for (size, asked) in [(0, 1), (5, 6), (5, u64::MAX)] {
        assert_eq!(consistency(&*TREE, size, asked), beyond(asked, size));
        let old = TreeHead { size: asked, root: leaf(0) };
        assert_eq!(verify_consistency(&naive::head(size), &old, &[]), beyond(asked, size).map(|_| ()));
    }
    assert_eq!(inclusion(&*TREE, 70_001, 0), Err(ProofError::Missing { level: 0, index: 70_000 }));
    assert_eq!(consistency(&*TREE, 70_001, 70_000).unwrap_err().code(), "proof_missing");
}

/// A second tree of the same size, and a larger one that does not begin with the older.
#[test]
fn a_fork_is_not_consistent() {
    let head = naive::head(100);
    let fork = TreeHead { root: naive::head(101).root, ..head };
    assert_eq!(verify_consistency(&fork, &head, &[]), Err(ProofError::Root));
    let mut forked = Tree::new();
    forked.extend([leaf(1), leaf(0)]);
    forked.extend(naive::LEAVES[2..1_000].iter().copied());
    let larger = TreeHead { size: 1_000, root: forked.root(1_000).unwrap() };
    let proof = consistency(&forked, 1_000, 100).unwrap();
    assert_eq!(verify_consistency(&larger, &head, &proof), Err(ProofError::Root));
    let honest = TreeHead { size: 100, root: forked.root(100).unwrap() };
    assert_eq!(verify_consistency(&larger, &honest, &proof), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn leaves_and_prefixes_are_proved(size in 1_u64..=70_000, index: u64) {
        includes(size, index % size);
        extends(size, index % (size + 1));
    }

    #[test]
    fn no_proof_panics(size: u64, old: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let proof: Vec<_> = hashes.into_iter().map(Sha256).collect();
        let (head, old) = (TreeHead { size, root: leaf(0) }, TreeHead { size: old, root: leaf(1) });
        prop_assert!(verify_inclusion(&head, old.size, &leaf(2), &proof).is_err());
        prop_assert!(verify_consistency(&head, &old, &proof).is_err());
        let _ = (inclusion(&*TREE, size, old.size), consistency(&*TREE, size, old.size));
    }
}
