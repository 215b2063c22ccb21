//! What waits for the disk, in the order in which the core made it.
//!
//! The rule of the whole server in one place, pure, so that a simulator runs it too: an output leaves only
//! when the batch with the newest transaction it shows is durable, and of those that wait for the same batch none
//! overtakes. What waits for an earlier batch leaves earlier, whoever came first: on one connection that happens to
//! none, for what its outputs show never goes back. See [`crate::log::Batches`] for the numbers.

use std::collections::VecDeque;

/// Outputs and the batches they wait for.
#[derive(Debug)]
pub struct Held<T> {
    /// By batch, ascending: the last durable one, the one under way and the open one, so there are three at most.
    queues: VecDeque<(u64, VecDeque<T>)>,
    /// An empty queue that can be used again.
    spare: VecDeque<T>,
    count: usize,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Held { queues: VecDeque::new(), spare: VecDeque::new(), count: 0 }
    }
}

impl<T> Held<T> {
    /// Puts an output behind all others that wait for `batch`, which must be durable before it leaves.
    pub fn push(&mut self, batch: u64, output: T) {
        let behind = self.queues.iter().rposition(|(number, _)| *number <= batch).map_or(0, |at| at + 1);
        self.count += 1;
        match behind.checked_sub(1).and_then(|at| self.queues.get_mut(at)) {
            Some((number, queue)) if *number == batch => queue.push_back(output),
            _ => {
                let mut queue = std::mem::take(&mut self.spare);
                queue.push_back(output);
                self.queues.insert(behind, (batch, queue));
            }
        }
    }

    /// The next output that may leave when every batch up to `durable` is on the disk.
    pub fn pop(&mut self, durable: u64) -> Option<T> {
        let (batch, queue) = self.queues.front_mut()?;
        if *batch > durable {
            return None;
        }
        let output = queue.pop_front();
        if queue.is_empty() {
            self.spare = self.queues.pop_front().map(|(_, queue)| queue).unwrap_or_default();
        }
        self.count -= usize::from(output.is_some());
        output
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_less_leaves_earlier_and_the_rest_in_order() {
        let mut held = Held::default();
        for (batch, output) in [(5, 'a'), (6, 'b'), (5, 'c'), (4, 'd'), (6, 'e')] {
            held.push(batch, output);
        }
        let mut leave = |durable| std::iter::from_fn(|| held.pop(durable)).collect::<String>();
        assert_eq!(leave(3), "");
        assert_eq!(leave(5), "dac");
        assert_eq!(leave(6), "be");
        assert!(held.is_empty());
    }
}
