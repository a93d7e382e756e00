//! Every state, in breadth.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use super::world::{Broken, Rules, Step, World};

/// What was found.
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// The first promise that is not kept, and how to get there.
    pub(super) broken: Option<(Broken, Vec<Step>)>,
}

/// Where a state was reached from. States are known by 128 bits of them: of ten million, two are taken for one with a probability
/// of 10^-25.
type Known = HashMap<u128, (u128, Option<Step>)>;

/// Explores everything, or what there is before a promise is broken.
pub(super) fn explore(rules: &Rules) -> Explored {
    let first = World::new(rules);
    let mut known = Known::from([(name(&first), (0, None))]);
    let mut ahead = VecDeque::from([first]);
    let mut steps = 0;
    while let Some(world) = ahead.pop_front() {
        let here = name(&world);
        // Messages only make it sooner, which is seen to where there is time.
        for silent in [true, false].into_iter().take(1 + usize::from(rules.with_messages)) {
            if let Err(broken) = world.settles(rules, silent) {
                return Explored { states: known.len(), steps, broken: Some((broken, path(&known, here))) };
            }
        }
        for step in world.all_steps(rules) {
            steps += 1;
            match world.after(step, rules) {
                Ok(next) => {
                    let there = name(&next);
                    known.entry(there).or_insert_with(|| {
                        ahead.push_back(next);
                        (here, Some(step))
                    });
                }
                Err(broken) => {
                    let mut path = path(&known, here);
                    path.push(step);
                    return Explored { states: known.len(), steps, broken: Some((broken, path)) };
                }
            }
        }
    }
    Explored { states: known.len(), steps, broken: None }
}

fn path(known: &Known, mut at: u128) -> Vec<Step> {
    let mut path = Vec::new();
    while let Some((before, Some(step))) = known.get(&at) {
        path.push(*step);
        at = *before;
    }
    path.reverse();
    path
}

fn name(world: &World) -> u128 {
    let mut hasher = Digest(blake3::Hasher::new());
    world.hash(&mut hasher);
    let digest = *hasher.0.finalize().as_bytes();
    u128::from_le_bytes(std::array::from_fn(|byte| digest[byte]))
}

struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        unreachable!("the whole digest is taken")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
