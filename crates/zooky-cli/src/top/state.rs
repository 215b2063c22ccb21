//! What the table shows, and what keys do to it. No terminal in here.

use super::cursor::{Cursor, steps};
use super::queue::Queue;
use crate::locks;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use zooky::Mode;
use zooky::inspect::Contender;
use zooky_ui::{Place, Row};

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
    pub(super) cursor: Cursor,
    /// That of the lock that was entered; it hides the table.
    pub(super) queue: Option<Queue>,
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
        self.cursor.follow(self.rows.iter().map(|row| row.path.as_str()));
    }

    /// Takes the present queue of the lock that was entered, if one was.
    pub(super) fn show_queue(&mut self, of: impl FnOnce(&str) -> Vec<Place>) {
        if let Some(queue) = &mut self.queue {
            let places = of(&queue.path);
            queue.show(places);
        }
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
        if let Some(by) = steps(code) {
            self.step(by);
            return Act::Nothing;
        }
        match code {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Char('r') => self.ask(false),
            KeyCode::Char('x') => self.ask(true),
            _ if self.queue.is_some() => {
                if matches!(code, KeyCode::Esc | KeyCode::Enter | KeyCode::Left | KeyCode::Backspace) {
                    self.queue = None;
                }
            }
            KeyCode::Esc => return Act::Quit,
            KeyCode::Enter | KeyCode::Right => self.enter(),
            KeyCode::Char('s') => {
                self.sort = match self.sort {
                    Sort::Waiters => Sort::Held,
                    Sort::Held => Sort::Path,
                    Sort::Path => Sort::Waiters,
                };
            }
            KeyCode::Char('/') => self.asking = Asking::Filter,
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
        match &mut self.queue {
            Some(queue) => queue.step(by),
            None => self.cursor.step(by, self.rows.iter().map(|row| row.path.as_str())),
        }
    }

    /// Opens the queue of the chosen lock.
    fn enter(&mut self) {
        let Some(row) = self.cursor.of(&self.rows) else { return };
        self.cursor.keep(&row.path);
        self.queue = Some(Queue::of(row.path.clone()));
    }

    /// Asks once more, before whoever is chosen in the queue, or holds the chosen lock, is revoked.
    fn ask(&mut self, immediately: bool) {
        let (path, whom, nobody) = match &mut self.queue {
            Some(queue) => {
                let whom = queue.keep().and_then(|place| place.contender.clone());
                (queue.path.clone(), whom.into_iter().collect(), "nobody is chosen in the queue of")
            }
            None => {
                let Some(row) = self.cursor.of(&self.rows) else { return };
                self.cursor.keep(&row.path);
                let holders = row.holders.iter().filter_map(|holder| holder.contender.clone());
                (row.path.clone(), holders.collect::<Vec<_>>(), "nobody holds")
            }
        };
        if whom.is_empty() {
            self.told = format!("{nobody} {path}");
            return;
        }
        self.asking = Asking::Sure { path, immediately };
        self.asked_about = whom;
    }

    /// What is asked before they are revoked.
    pub(super) fn question(&self, path: &str, immediately: bool) -> String {
        let who = self.asked_about();
        let waits = self.asked_about.iter().all(|contender| contender.holding == Some(false));
        match (immediately, waits) {
            (false, false) => format!("ask {who} to let go of {path}?"),
            (false, true) => format!("ask {who}, who waits for {path}, to give it up?"),
            (true, false) => {
                format!("remove the node of {who} from {path}? It may be at work, and nothing stops it.")
            }
            (true, true) => format!("remove the node of {who}, who waits, from {path}?"),
        }
    }

    /// Who is about to be revoked, in words.
    fn asked_about(&self) -> String {
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
    row.holders.first().map_or("-", |holder| plain_mode(holder.mode))
}

pub(super) fn plain_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Shared => "shared",
    }
}
