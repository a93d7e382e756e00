//! Every schedule with at most so many preemptions: few are enough for most defects, and there are few enough of them to
//! try all (Musuvathi & Qadeer, "Iterative context bounding for systematic testing of multithreaded programs", PLDI
//! 2007).

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// Explores depth first. A switch away from a task that could go on is a preemption; one away from a task that waits,
/// has ended or yields is none.
pub(crate) struct FewPreemptions {
    most: usize,
    /// The choices of the current execution, in order. Its beginning is given, the rest is the first choice each time.
    path: Vec<Choice>,
    step: usize,
    has_begun: bool,
}

struct Choice {
    /// The task that needs no preemption first, if there is one.
    tasks: Vec<TaskId>,
    taken: usize,
    preemptions_before: usize,
    /// Whether the first of the tasks was running and could go on.
    can_stay: bool,
}

impl Choice {
    fn preemptions(&self) -> usize {
        self.preemptions_before + usize::from(self.can_stay && self.taken > 0)
    }
}

impl FewPreemptions {
    pub(crate) fn new(most: usize) -> FewPreemptions {
        FewPreemptions { most, path: Vec::new(), step: 0, has_begun: false }
    }

    /// Moves on to the next path. `false`: that was the last.
    fn advance(&mut self) -> bool {
        while let Some(last) = self.path.last_mut() {
            last.taken += 1;
            let is_allowed = last.taken < last.tasks.len() && last.preemptions() <= self.most;
            if is_allowed {
                return true;
            }
            self.path.pop();
        }
        false
    }
}

impl Scheduler for FewPreemptions {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.has_begun && !self.advance() {
            return None;
        }
        self.has_begun = true;
        self.step = 0;
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        if self.step == self.path.len() {
            let running = current.filter(|current| runnable.iter().any(|task| task.id() == *current));
            let can_stay = running.is_some() && !is_yielding;
            let mut tasks: Vec<TaskId> = runnable.iter().map(|task| task.id()).collect();
            // Who goes on stands first, and who yields last.
            tasks.sort_by_key(|task| (Some(*task) == running) != can_stay);
            if is_yielding && tasks.len() > 1 {
                tasks.retain(|task| Some(*task) != running);
            }
            let preemptions_before = self.path.last().map_or(0, Choice::preemptions);
            self.path.push(Choice { tasks, taken: 0, preemptions_before, can_stay });
        }
        let choice = &self.path[self.step];
        self.step += 1;
        let task = choice.tasks[choice.taken];
        assert!(runnable.iter().any(|runnable| runnable.id() == task), "the model is not deterministic");
        Some(task)
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("the models use no random numbers")
    }
}
