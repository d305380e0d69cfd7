//! Sixteen offers side by side, where the processor has AVX-512.
//!
//! Offers of one group have the same set of leaves from the customer, so theirs are laid out tree by tree, sixteen offers next to each
//! other. A tree then costs one AND with what the customer leaves of it, the position of the lowest bit and a look-up in its 32 values,
//! all for sixteen offers at once. Each lane adds its values in the order of the trees, as [`super::forest`] does, so the sums are the
//! same to the bit.
//!
//! A block of which only one or two offers are asked for is left to the forest. The instructions come from `pulp`, which calls them only
//! where it has found that the processor has them.

use super::{MASK_BYTES_MAX, NOT_SCORED};

/// How many offers lie side by side.
const LANES: usize = 16;

/// From how many offers on a block is worth it.
const WORTH: u8 = 3;

/// The leaves of one tree that sixteen offers leave.
type Masks = [u32; LANES];

/// The values of a tree's leaves, from the last to the first, in halves: zeros are counted from the top.
type Leaves = [[f32; LANES]; 2];

/// Offers in blocks.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    cpu: cpu::Cpu,
    /// `[n_blocks, n_trees]`.
    masks: Vec<Masks>,
    /// By tree.
    leaves: Vec<Leaves>,
    /// By block, the group of its offers.
    groups: Vec<usize>,
    /// By the offer's place among those of the model, its block and lane; absent for one that is left to the forest.
    places: Vec<Option<(u32, u8)>>,
}

/// What a decision needs room for, reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// By block, how many offers of it are asked for.
    wanted: Vec<u8>,
    /// By block, the sums of those that are worth it.
    sums: Vec<[f32; LANES]>,
}

/// What the customer leaves of the trees: the same for all, or for each group its own.
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    Same(&'a [u32]),
    ByGroup(&'a [u32]),
}

impl Lanes {
    /// Lays out `masks` (`[n_offers, n_trees]`, by the offer's place among those of the model) in blocks; `rows` tells each offer's place,
    /// `groups` its group. `None` where the processor cannot, or it would take too much memory.
    pub(super) fn new(masks: &[u32], leaves: &[[f32; 32]], rows: &[u32], groups: &[usize]) -> Option<Self> {
        let cpu = cpu::Cpu::new()?;
        let trees = leaves.len();
        let mut lanes = Self {
            cpu,
            masks: Vec::new(),
            leaves: leaves.iter().map(reversed).collect(),
            groups: Vec::new(),
            places: vec![None; masks.len().checked_div(trees)?],
        };
        // By group, the block that has room, and how much of it is taken.
        let mut open: Vec<Option<(usize, usize)>> = vec![None; groups.iter().max()? + 1];
        let scored = || rows.iter().zip(groups).filter(|(row, _)| **row != NOT_SCORED);
        let mut left = vec![0; open.len()];
        scored().for_each(|(_, &group)| left[group] += 1);
        for (&row, &group) in scored() {
            // A block that would never be worth it is not made.
            let is_last = open[group].is_none_or(|(_, taken)| taken == LANES);
            if is_last && left[group] < usize::from(WORTH) {
                continue;
            }
            left[group] -= 1;
            let place = lanes.places.get_mut(row as usize)?;
            let (block, lane) = open[group].filter(|&(_, taken)| taken < LANES).unwrap_or_else(|| {
                lanes.groups.push(group);
                (lanes.groups.len() - 1, 0)
            });
            open[group] = Some((block, lane + 1));
            *place = Some((u32::try_from(block).ok()?, u8::try_from(lane).ok()?));
        }
        if lanes.groups.len() * trees * size_of::<Masks>() > MASK_BYTES_MAX {
            return None;
        }
        lanes.masks.resize(lanes.groups.len() * trees, [u32::MAX; LANES]);
        for (place, of_offer) in lanes.places.iter().zip(masks.chunks_exact(trees)) {
            let Some((block, lane)) = *place else { continue };
            let of_block = &mut lanes.masks[block as usize * trees..][..trees];
            for (masks, &mask) in of_block.iter_mut().zip(of_offer) {
                masks[usize::from(lane)] = mask;
            }
        }
        Some(lanes)
    }

    /// Adds up the blocks of which enough offers are asked for; `places` are those of the offers. [`Lanes::sum`] has the sums.
    pub(super) fn add_up(&self, places: impl Iterator<Item = usize>, left: Left<'_>, room: &mut Room) {
        room.wanted.clear();
        room.wanted.resize(self.groups.len(), 0);
        room.sums.resize(self.groups.len(), [0.0; LANES]);
        for (block, _) in places.filter_map(|place| self.places[place]) {
            room.wanted[block as usize] += 1;
        }
        self.cpu.add_up(self, left, room);
    }

    /// Returns the sum of the offer at this place; `None` when its block was not added up.
    pub(super) fn sum(&self, place: usize, room: &Room) -> Option<f32> {
        let (block, lane) = self.places[place]?;
        let is_there = room.wanted[block as usize] >= WORTH;
        is_there.then(|| room.sums[block as usize][usize::from(lane)])
    }

    /// Returns the blocks to add up, each with its masks and what the customer leaves of its trees.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "only there are such processors")
    )]
    fn blocks<'a>(&'a self, left: Left<'a>, wanted: &'a [u8]) -> impl Iterator<Item = (usize, &'a [Masks], &'a [u32])> {
        let trees = self.leaves.len();
        let of_block = move |(block, &group): (usize, &usize)| {
            let left = match left {
                Left::Same(left) => &left[..trees],
                Left::ByGroup(left) => &left[group * trees..][..trees],
            };
            (block, &self.masks[block * trees..][..trees], left)
        };
        let blocks = self.groups.iter().enumerate();
        blocks.filter(|&(block, _)| wanted[block] >= WORTH).map(of_block)
    }
}

fn reversed(values: &[f32; 32]) -> Leaves {
    let half = |from: usize| std::array::from_fn(|at| values[31 - from - at]);
    [half(0), half(LANES)]
}

#[cfg(target_arch = "x86_64")]
mod cpu {
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast};

    use super::{LANES, Lanes, Left, Room};

    /// A processor with AVX-512.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Cpu(V4);

    impl Cpu {
        pub(super) fn new() -> Option<Self> {
            V4::try_new().map(Self)
        }

        pub(super) fn add_up(self, lanes: &Lanes, left: Left<'_>, room: &mut Room) {
            let Self(v4) = self;
            v4.vectorize(AddUp { v4, lanes, left, room });
        }
    }

    struct AddUp<'a> {
        v4: V4,
        lanes: &'a Lanes,
        left: Left<'a>,
        room: &'a mut Room,
    }

    impl NullaryFnOnce for AddUp<'_> {
        type Output = ();

        #[expect(
            clippy::inline_always,
            reason = "only within its caller may the compiler use these instructions"
        )]
        #[inline(always)]
        fn call(self) {
            let Self { v4, lanes, left, room } = self;
            let (f, cd) = (v4.avx512f, v4.avx512cd);
            for (block, masks, left) in lanes.blocks(left, &room.wanted) {
                let mut sums = cast([0.0_f32; LANES]);
                for ((&masks, &left), &[last, first]) in masks.iter().zip(left).zip(&lanes.leaves) {
                    let both = f._mm512_and_si512(cast(masks), cast([left; LANES]));
                    let lowest = f._mm512_and_si512(both, f._mm512_sub_epi32(cast([0_u32; LANES]), both));
                    // Of no leaf at all there are 32 zeros, of which the look-up sees none: that is the last leaf, as in the forest.
                    let zeros = cd._mm512_lzcnt_epi32(lowest);
                    let values = f._mm512_permutex2var_ps(cast(last), zeros, cast(first));
                    sums = f._mm512_add_ps(sums, values);
                }
                room.sums[block] = cast(sums);
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod cpu {
    use super::{Lanes, Left, Room};

    /// Another kind of processor.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Cpu {}

    impl Cpu {
        pub(super) const fn new() -> Option<Self> {
            None
        }

        pub(super) fn add_up(self, _: &Lanes, _: Left<'_>, _: &mut Room) {
            match self {}
        }
    }
}
