//! What the documentation leaves to chance: a model asks, and is played once for each list of answers.

/// One list of answers, which grows as it is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dice {
    answers: Vec<bool>,
    asked: usize,
}

impl Dice {
    pub(super) fn toss(&mut self) -> bool {
        if self.asked == self.answers.len() {
            self.answers.push(false);
        }
        self.asked += 1;
        self.answers[self.asked - 1]
    }

    /// Turns to the next list. Returns whether there is one.
    pub(super) fn turn(&mut self) -> bool {
        self.asked = 0;
        while self.answers.pop_if(|answer| *answer).is_some() {}
        self.answers.last_mut().map(|answer| *answer = true).is_some()
    }
}
