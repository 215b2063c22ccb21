//! A vector that never moves what is in it: it grows by a piece at a time. To copy a hundred thousand items into a larger
//! vector would be a pause of milliseconds for everyone.

use std::ops::{Index, IndexMut};

/// How many items are in one piece.
const PIECE: usize = 1_024;

/// Items by their number, in pieces.
#[derive(Debug)]
pub(super) struct Chunked<T>(Vec<Vec<T>>);

impl<T> Default for Chunked<T> {
    fn default() -> Chunked<T> {
        Chunked(Vec::new())
    }
}

impl<T> Chunked<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PIECE + last.len())
    }

    /// One more, at the end.
    pub(super) fn push(&mut self, item: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < PIECE => last.push(item),
            _ => {
                // The first piece grows with its contents: most tables stay small.
                let room = if self.0.is_empty() { 4 } else { PIECE };
                let mut piece = Vec::with_capacity(room);
                piece.push(item);
                self.0.push(piece);
            }
        }
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T> Index<usize> for Chunked<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.0[at / PIECE][at % PIECE]
    }
}

impl<T> IndexMut<usize> for Chunked<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.0[at / PIECE][at % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_where_they_are() {
        let mut chunked = Chunked::default();
        let mut first = None;
        for number in 0..3 * PIECE + 1 {
            chunked.push(number);
            assert_eq!(chunked.len(), number + 1);
            if number == PIECE {
                first = Some(std::ptr::from_ref(&chunked[PIECE]));
            }
        }
        chunked[PIECE] += 1;
        assert_eq!(first, Some(std::ptr::from_ref(&chunked[PIECE])));
        assert_eq!((chunked[0], chunked[PIECE], chunked[3 * PIECE]), (0, PIECE + 1, 3 * PIECE));
        assert_eq!(chunked.iter().count(), 3 * PIECE + 1);
    }
}
