//! What waits for the disk, in the order in which the core made it.
//!
//! The rule of the whole server in one place, pure, so that a simulator runs it too: an output leaves only
//! when the batch that was open when it was made, or the last one before it, is durable; and nothing
//! overtakes. See [`crate::log::Batches`] for the numbers.

use std::collections::VecDeque;

/// Outputs and the batches they wait for, first in, first out.
#[derive(Debug)]
pub struct Held<T> {
    queue: VecDeque<(u64, T)>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Held { queue: VecDeque::new() }
    }
}

impl<T> Held<T> {
    /// Puts an output at the end. `batch` must be durable before it leaves; it never falls.
    pub fn push(&mut self, batch: u64, output: T) {
        self.queue.push_back((batch, output));
    }

    /// The next output that may leave when every batch up to `durable` is on the disk.
    pub fn pop(&mut self, durable: u64) -> Option<T> {
        let (batch, _) = self.queue.front()?;
        if *batch > durable {
            return None;
        }
        self.queue.pop_front().map(|(_, output)| output)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
