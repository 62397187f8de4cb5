//! Which ids of an embedding have a row in a table: those with a projected row, or with a whole row of an embedding in tiers. A bit an
//! id, and in front of every block of bits how many ids came before it.
//!
//! The row of an id is found by one look and one count of bits, in a quarter of a byte an id.

/// Ids of a block of an index of ids.
pub const BLOCK_IDS: usize = 32;

/// The index of an image; a block is `[ids of the set before it, bits of its ids]`, the lowest bit the lowest id's.
#[derive(Clone, Copy, Debug)]
pub struct IdSet<'a>(&'a [[u32; 2]]);

impl<'a> IdSet<'a> {
    /// Over the numbers of the index's section.
    pub(crate) fn new(section: &'a [u32]) -> Self {
        IdSet(section.as_chunks().0)
    }

    /// The place of an id's row in the table; `None` for an id without one.
    #[inline]
    pub fn place(&self, id: u32) -> Option<usize> {
        let (before, has) = self.find(id)?;
        has.then_some(before)
    }

    /// How many ids below this one have a row, and whether it has one itself; `None` beyond the embedding.
    #[inline]
    pub fn find(&self, id: u32) -> Option<(usize, bool)> {
        let &[before, bits] = self.0.get(id as usize / BLOCK_IDS)?;
        let bit = 1 << (id % 32);
        Some((before as usize + (bits & (bit - 1)).count_ones() as usize, bits & bit != 0))
    }

    /// The ids with a row, ascending, which is the order of the rows.
    pub fn ids(self) -> impl Iterator<Item = u32> + Clone + 'a {
        (0..).zip(self.0).flat_map(|(block, &[_, bits])| {
            (0..BLOCK_IDS as u32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| block * BLOCK_IDS as u32 + bit)
        })
    }

    /// True when every block counts the ids before it, there are `all` of them, and none is beyond the embedding's `rows`.
    pub(crate) fn is_sound(&self, rows: u32, all: u32) -> bool {
        let mut count = 0;
        for &[before, bits] in self.0 {
            if before != count {
                return false;
            }
            count += bits.count_ones();
        }
        count == all && self.ids().last().is_none_or(|last| last < rows)
    }

    /// The index of ascending ids of an embedding, as the bytes of its section.
    #[cfg(feature = "std")]
    pub fn encode(rows: usize, ids: &[u32]) -> std::vec::Vec<u8> {
        let mut blocks = std::vec![[0_u32; 2]; rows.div_ceil(BLOCK_IDS)];
        for &id in ids {
            if let Some([_, bits]) = blocks.get_mut(id as usize / BLOCK_IDS) {
                *bits |= 1 << (id % 32);
            }
        }
        let mut count = 0;
        for [before, bits] in &mut blocks {
            *before = count;
            count += bits.count_ones();
        }
        blocks.as_flattened().iter().flat_map(|number| number.to_le_bytes()).collect()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// The section of these ids as the numbers that an image would give.
    fn numbers(rows: usize, ids: &[u32]) -> Vec<u32> {
        IdSet::encode(rows, ids).as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
    }

    proptest! {
        #[test]
        fn every_id_is_found_at_its_place_and_no_other_is(rows in 1_usize..200, some in prop::collection::btree_set(0_u32..200, 0..200)) {
            let ids: Vec<u32> = some.into_iter().filter(|&id| (id as usize) < rows).collect();
            let section = numbers(rows, &ids);
            let index = IdSet::new(&section);
            prop_assert!(index.is_sound(rows as u32, ids.len() as u32));
            prop_assert_eq!(index.ids().collect::<Vec<u32>>(), ids.clone());
            for id in 0..300 {
                prop_assert_eq!(index.place(id), ids.iter().position(|&other| other == id));
            }
            prop_assert_eq!(index.place(u32::MAX), None);
        }

        #[test]
        fn an_index_with_a_changed_bit_is_not_sound(
            rows in 1_usize..200, some in prop::collection::btree_set(0_u32..200, 1..200), place: prop::sample::Index, bit in 0..32_u32
        ) {
            let ids: BTreeSet<u32> = some.into_iter().map(|id| id % rows as u32).collect();
            let mut section = numbers(rows, &ids.iter().copied().collect::<Vec<u32>>());
            let place = place.index(section.len());
            section[place] ^= 1 << bit;
            prop_assert!(!IdSet::new(&section).is_sound(rows as u32, ids.len() as u32));
        }
    }
}
