//! Numbers of inodes: which tree they belong to, and which one the mount begins with.

use super::attr::Ino;

/// What a mount shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `ipfs`, `ipns` and, if there is a writable tree, `files`.
    All,
    /// What is below `ipfs`.
    Ipfs,
    /// What is below `ipns`.
    Ipns,
    /// What is below `files`.
    Files,
}

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// The directory of the trees.
    Top,
    Ipfs,
    Ipns,
    /// In the read-only trees: a number of [`super::inodes::Inodes`].
    Node(u64),
    /// In a writable tree: which one, and its own number.
    Tree(u8, u64),
}

/// The number that the kernel has for the root of a mount.
pub const ROOT: Ino = 1;
/// The tree of `files`.
pub(super) const FILES: u8 = 0;
/// The first and the last of the trees of names of this node. One more is refused with `ENFILE`.
pub(super) const FIRST_PUBLISHED: u8 = 1;
pub(super) const MAX_TREE: u8 = 250;

const IPFS: Ino = 2;
const IPNS: Ino = 3;
const TOP: Ino = 4;
/// The highest byte says which tree: 0 for what is above them, 1 for the read-only ones, from 2 on a writable one.
const SHIFT: u32 = 56;
const MASK: u64 = (1 << SHIFT) - 1;
/// The root of a writable tree there.
pub(super) const TREE_ROOT: u64 = cairn_store::mfs::ROOT_INO;

impl Layout {
    fn base(self) -> Place {
        match self {
            Self::All => Place::Top,
            Self::Ipfs => Place::Ipfs,
            Self::Ipns => Place::Ipns,
            Self::Files => Place::Tree(FILES, TREE_ROOT),
        }
    }

    /// The place of a number; `None` if there is none.
    pub(super) fn place(self, ino: Ino) -> Option<Place> {
        let low = ino & MASK;
        match (ino >> SHIFT) as u8 {
            0 => match ino {
                ROOT => Some(self.base()),
                IPFS => Some(Place::Ipfs),
                IPNS => Some(Place::Ipns),
                TOP => Some(Place::Top),
                _ => None,
            },
            1 => Some(Place::Node(low)),
            tree => Some(Place::Tree(tree - 2, low)),
        }
    }

    /// The number of a place.
    pub(super) fn ino(self, place: Place) -> Ino {
        match place {
            place if place == self.base() => ROOT,
            Place::Top => TOP,
            Place::Ipfs => IPFS,
            Place::Ipns => IPNS,
            Place::Node(number) => 1 << SHIFT | number & MASK,
            Place::Tree(tree, number) => (u64::from(tree) + 2) << SHIFT | number & MASK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_numbers_are_one_to_one() {
        for layout in [Layout::All, Layout::Ipfs, Layout::Ipns, Layout::Files] {
            let places = [
                Place::Top,
                Place::Ipfs,
                Place::Ipns,
                Place::Node(1),
                Place::Node(MASK),
                Place::Tree(0, TREE_ROOT),
                Place::Tree(0, 77),
                Place::Tree(MAX_TREE, TREE_ROOT),
            ];
            let numbers: std::collections::HashSet<Ino> = places.iter().map(|&place| layout.ino(place)).collect();
            assert_eq!(numbers.len(), places.len(), "{layout:?}");
            assert!(places.iter().all(|&place| layout.place(layout.ino(place)) == Some(place)), "{layout:?}");
            assert_eq!(layout.place(ROOT), Some(layout.base()));
        }
        assert_eq!(Layout::All.place(99), None);
    }
}
