//! Which line of a list is chosen: the same one wherever it moves, or one near by when it is gone.

use ratatui::crossterm::event::KeyCode;
use ratatui::widgets::TableState;

/// How far PgUp and PgDn go.
const PAGE: isize = 10;

/// The chosen line.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Where it is now, and from which line on the list is drawn.
    pub(super) table: TableState,
    /// What the user has gone to; nothing before the first step.
    name: Option<String>,
}

impl Cursor {
    /// The list may have changed: these are its lines.
    pub(super) fn follow<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        let (mut at, mut count) = (None, 0_usize);
        for line in lines {
            if self.name.as_deref() == Some(line) {
                at = Some(count);
            }
            count += 1;
        }
        let near = self.table.selected().unwrap_or(0);
        self.table.select(at.or_else(|| count.checked_sub(1).map(|last| near.min(last))));
    }

    /// Goes up or down; where it is then.
    pub(super) fn step<'a>(&mut self, by: isize, mut lines: impl ExactSizeIterator<Item = &'a str>) {
        let Some(last) = lines.len().checked_sub(1) else { return };
        let to = self.table.selected().unwrap_or(0).saturating_add_signed(by).min(last);
        self.table.select(Some(to));
        self.name = lines.nth(to).map(str::to_owned);
    }

    /// Stays at this line from now on.
    pub(super) fn keep(&mut self, line: &str) {
        self.name = Some(line.to_owned());
    }

    /// The chosen one of these.
    pub(super) fn of<'a, T>(&self, lines: &'a [T]) -> Option<&'a T> {
        lines.get(self.table.selected()?)
    }
}

/// By how many lines this key goes up or down; none if that is not what it is for.
pub(super) fn steps(code: KeyCode) -> Option<isize> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::PageDown => Some(PAGE),
        KeyCode::PageUp => Some(-PAGE),
        KeyCode::Home => Some(isize::MIN),
        KeyCode::End => Some(isize::MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_line_stays_chosen_wherever_it_moves() {
        let mut cursor = Cursor::default();
        let at = |cursor: &Cursor| cursor.table.selected();
        cursor.follow([].into_iter());
        assert_eq!(at(&cursor), None);
        cursor.step(1, [].into_iter());
        let lines = ["a", "b", "c"];
        cursor.follow(lines.into_iter());
        assert_eq!((at(&cursor), cursor.of(&lines)), (Some(0), Some(&"a")));
        cursor.step(1, lines.into_iter());
        cursor.follow(["c", "a", "d", "b"].into_iter());
        assert_eq!(at(&cursor), Some(3));
        // It is gone: one near by, until it comes again.
        cursor.follow(["c", "a"].into_iter());
        assert_eq!(at(&cursor), Some(1));
        cursor.follow(["b", "c", "a"].into_iter());
        assert_eq!(at(&cursor), Some(0));
        for (by, expected) in [(isize::MAX, 2), (1, 2), (-1, 1), (isize::MIN, 0), (-1, 0)] {
            cursor.step(by, lines.into_iter());
            assert_eq!(at(&cursor), Some(expected), "{by}");
        }
    }
}
