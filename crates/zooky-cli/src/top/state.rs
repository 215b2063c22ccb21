//! What the table shows, and what keys do to it. No terminal in here.

use crate::locks;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use zooky::Mode;
use zooky::inspect::Contender;
use zooky_ui::Row;

/// How far PgUp and PgDn go.
const PAGE: isize = 10;

/// By what the rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// Most waiters first.
    #[default]
    Waiters,
    /// Held for the longest time first.
    Held,
    /// By path.
    Path,
}

/// What the typed keys are taken for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Asking {
    #[default]
    Nothing,
    Filter,
    /// Whether these shall really be revoked; as they were when it was asked.
    Sure {
        path: String,
        immediately: bool,
    },
}

/// What is to be done after a key.
#[derive(Debug)]
pub(super) enum Act {
    Nothing,
    Quit,
    Revoke { holders: Vec<Contender>, immediately: bool },
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rows: Vec<Row>,
    /// How many locks there are, whatever the filter says.
    pub(super) all: usize,
    pub(super) stale: Option<String>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) asking: Asking,
    /// What came of the last act.
    pub(super) told: String,
    pub(super) table: ratatui::widgets::TableState,
    /// The chosen lock stays chosen wherever it moves.
    chosen: Option<String>,
    asked_about: Vec<Contender>,
}

impl State {
    /// Takes the present rows.
    pub(super) fn show(&mut self, mut rows: Vec<Row>, stale: Option<String>) {
        self.all = rows.len();
        self.stale = stale;
        let wanted = self.filter.to_lowercase();
        rows.retain(|row| wanted.is_empty() || text_of(row).to_lowercase().contains(&wanted));
        let since = |row: &Row| row.holders.iter().map(|holder| holder.since_ms).min().unwrap_or(i64::MAX);
        rows.sort_by(|a, b| {
            let order = match self.sort {
                Sort::Waiters => b.waiters.cmp(&a.waiters).then(since(a).cmp(&since(b))),
                Sort::Held => since(a).cmp(&since(b)),
                Sort::Path => std::cmp::Ordering::Equal,
            };
            order.then_with(|| a.path.cmp(&b.path))
        });
        self.rows = rows;
        let at = self.chosen.as_ref().and_then(|path| self.rows.iter().position(|row| row.path == *path));
        let last = self.rows.len().checked_sub(1);
        let near = self.table.selected().unwrap_or(0);
        self.table.select(at.or_else(|| last.map(|last| near.min(last))));
    }

    /// A key, or anything else that a terminal tells.
    pub(super) fn event(&mut self, event: &Event) -> Act {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => self.key(*key),
            _ => Act::Nothing,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Act {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Act::Quit;
        }
        match std::mem::take(&mut self.asking) {
            Asking::Nothing => return self.command(key.code),
            Asking::Filter => self.filter_key(key.code),
            Asking::Sure { immediately, .. } => {
                let holders = std::mem::take(&mut self.asked_about);
                if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                    return Act::Revoke { holders, immediately };
                }
                self.told = "left as it is".to_string();
            }
        }
        Act::Nothing
    }

    fn command(&mut self, code: KeyCode) -> Act {
        self.told.clear();
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Char('s') => {
                self.sort = match self.sort {
                    Sort::Waiters => Sort::Held,
                    Sort::Held => Sort::Path,
                    Sort::Path => Sort::Waiters,
                };
            }
            KeyCode::Char('/') => self.asking = Asking::Filter,
            KeyCode::Char('r') => self.ask(false),
            KeyCode::Char('x') => self.ask(true),
            _ => {}
        }
        Act::Nothing
    }

    fn filter_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.filter.clear();
                return;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        self.asking = Asking::Filter;
    }

    fn step(&mut self, by: isize) {
        let Some(last) = self.rows.len().checked_sub(1) else { return };
        let at = self.table.selected().unwrap_or(0);
        let to = at.saturating_add_signed(by).min(last);
        self.table.select(Some(to));
        self.chosen = self.rows.get(to).map(|row| row.path.clone());
    }

    /// Asks once more, before the holders of the chosen lock are revoked.
    fn ask(&mut self, immediately: bool) {
        let Some(row) = self.table.selected().and_then(|at| self.rows.get(at)) else { return };
        let holders: Vec<_> = row.holders.iter().filter_map(|holder| holder.contender.clone()).collect();
        if holders.is_empty() {
            self.told = format!("nobody holds {}", row.path);
            return;
        }
        self.asking = Asking::Sure { path: row.path.clone(), immediately };
        self.chosen = Some(row.path.clone());
        self.asked_about = holders;
    }

    /// Who is about to be revoked, in words.
    pub(super) fn asked_about(&self) -> String {
        self.asked_about.iter().map(locks::describe).collect::<Vec<_>>().join(", ")
    }
}

/// What the filter looks at, and who holds the lock as it is shown.
fn text_of(row: &Row) -> String {
    format!("{} {}", row.path, holders(row))
}

/// Who holds a lock, in words.
pub(super) fn holders(row: &Row) -> String {
    let who = |holder: &zooky_ui::Holder| {
        let known = holder.contender.as_ref();
        known.map_or_else(|| holder.name.clone(), locks::describe)
    };
    match row.holders.as_slice() {
        [] => "-".to_string(),
        [one] => who(one),
        [first, rest @ ..] => format!("{} and {} more", who(first), rest.len()),
    }
}

/// How a lock is held.
pub(super) fn mode(row: &Row) -> &'static str {
    match row.holders.first().map(|holder| holder.mode) {
        None => "-",
        Some(Mode::Exclusive) => "exclusive",
        Some(Mode::Shared) => "shared",
    }
}
