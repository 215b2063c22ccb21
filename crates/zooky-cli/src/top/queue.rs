//! The queue of one lock, opened from the table: everybody who holds it or waits, in order.

use super::cursor::Cursor;
use zooky_ui::Place;

/// An opened queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// The lock's.
    pub(super) path: String,
    pub(super) places: Vec<Place>,
    pub(super) cursor: Cursor,
}

impl Queue {
    /// That of the lock at `path`; it is empty until it is shown who is in it.
    pub(super) fn of(path: String) -> Queue {
        Queue { path, places: Vec::new(), cursor: Cursor::default() }
    }

    /// Takes who is in it now.
    pub(super) fn show(&mut self, places: Vec<Place>) {
        self.places = places;
        self.cursor.follow(self.places.iter().map(|place| place.name.as_str()));
    }

    pub(super) fn step(&mut self, by: isize) {
        self.cursor.step(by, self.places.iter().map(|place| place.name.as_str()));
    }

    /// The chosen one stays chosen while others come and go.
    pub(super) fn keep(&mut self) -> Option<&Place> {
        let place = self.cursor.of(&self.places)?;
        self.cursor.keep(&place.name);
        Some(place)
    }
}
