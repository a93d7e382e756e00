//! Numbers of two clocks: they differ, and are in the same order.

use std::collections::BTreeMap;

/// Each number that the server has given, beside the one that the state machine gave in its place.
#[derive(Default)]
pub(super) struct Order(BTreeMap<u64, u64>);

impl Order {
    /// Notes that these stand for one another.
    #[track_caller]
    pub(super) fn same(&mut self, real: u64, model: u64) {
        if let Some(known) = self.0.get(&real) {
            assert_eq!(*known, model, "the server says {real} again, and the state machine something else");
            return;
        }
        let before = self.0.range(..real).next_back().map(|(_, model)| *model);
        let after = self.0.range(real..).next().map(|(_, model)| *model);
        let is_in_order = before.is_none_or(|before| before < model) && after.is_none_or(|after| model < after);
        assert!(is_in_order, "{real} and {model}: {before:?} before, {after:?} after");
        self.0.insert(real, model);
    }
}
