//! What waits to be written to a connection.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// An answer of so many bytes is kept as it is: to copy it would take as long as to make it.
const LONG_ANSWER: usize = 16 << 10;

/// Bytes in their order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Long answers, each as it came, with what stood before it; none is empty.
    long: VecDeque<Bytes>,
    long_bytes: usize,
    /// What is short, put together. It stands behind them.
    short: BytesMut,
}

impl Outgoing {
    /// Puts bytes behind the others.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < LONG_ANSWER {
            return self.short.extend_from_slice(&bytes);
        }
        let before = self.short.split().freeze();
        self.long_bytes += before.len() + bytes.len();
        self.long.extend((!before.is_empty()).then_some(before));
        self.long.push_back(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.long_bytes + self.short.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory it takes, in bytes.
    pub(super) fn room(&self) -> usize {
        self.long_bytes + self.short.capacity()
    }

    /// What comes first, in one piece; empty only if there is nothing.
    pub(super) fn first(&self) -> &[u8] {
        self.long.front().map_or(&self.short[..], |first| &first[..])
    }

    /// So much of what comes first has left.
    pub(super) fn advance(&mut self, n: usize) {
        let Some(first) = self.long.front_mut() else { return self.short.advance(n) };
        first.advance(n);
        self.long_bytes -= n;
        if first.is_empty() {
            self.long.pop_front();
        }
    }

    /// Gives its room back: thousands of idle sessions must not hold a buffer each.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Outgoing::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_their_order_and_are_counted() {
        let (mut outgoing, mut model) = (Outgoing::default(), Vec::new());
        for (number, size) in [3, LONG_ANSWER, 5, 7, LONG_ANSWER + 9, LONG_ANSWER, 1].into_iter().enumerate()
        {
            outgoing.push(Bytes::from(vec![number as u8; size]));
            model.extend(vec![number as u8; size]);
        }
        let mut left = Vec::new();
        while !outgoing.is_empty() {
            assert_eq!(outgoing.len(), model.len() - left.len());
            assert!(outgoing.room() >= outgoing.len());
            let portion = &outgoing.first()[..outgoing.first().len().min(10_000)];
            let n = portion.len();
            left.extend_from_slice(portion);
            outgoing.advance(n);
        }
        assert_eq!(left, model);
        outgoing.shrink();
        assert_eq!((outgoing.room(), outgoing.first()), (0, &[][..]));
    }
}
