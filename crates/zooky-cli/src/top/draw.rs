//! One screen: the table of locks, or the queue of one.

use super::queue::Queue;
use super::state::{Asking, Sort, State, holders, mode, plain_mode};
use crate::table::printable;
use crate::{locks, time};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use zooky_ui::Place;

/// Draws it. Colours are left out with `NO_COLOR`.
pub(super) fn screen(frame: &mut Frame<'_>, state: &mut State) {
    let areas = Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(2)]);
    let [head, body, foot] = areas.areas(frame.area());
    let paint = Paint(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    frame.render_widget(Paragraph::new(summary(state, paint)), head);
    frame.render_widget(Paragraph::new(last_lines(state, paint)), foot);
    match &mut state.queue {
        Some(queue) => frame.render_stateful_widget(places(queue, paint), body, &mut queue.cursor.table),
        None => {
            frame.render_stateful_widget(table_of_locks(&state.rows, paint), body, &mut state.cursor.table);
        }
    }
}

fn table_of_locks(rows: &[zooky_ui::Row], paint: Paint) -> Table<'static> {
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(9),
        Constraint::Fill(3),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(8),
    ];
    let titles = ["LOCK", "MODE", "HOLDER", "HELD", "WAITERS", "LONGEST"];
    table(rows.iter().map(|row| line(row, paint)), titles, widths)
}

/// Everybody in a queue: the narrow columns are as wide as they need to be, the others share what is left.
fn places(queue: &Queue, paint: Paint) -> Table<'static> {
    let widths = [
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Fill(3),
        Constraint::Length(10),
        Constraint::Length(8),
    ];
    let titles = ["", "STATUS", "MODE", "OWNER", "HOST", "COMMAND", "SINCE", "FOR"];
    table(queue.places.iter().enumerate().map(|(at, place)| in_line(at, place, paint)), titles, widths)
}

fn table<const N: usize>(
    rows: impl Iterator<Item = Row<'static>>,
    titles: [&'static str; N],
    widths: [Constraint; N],
) -> Table<'static> {
    let title = Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    Table::new(rows, widths).header(title).row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, color: Color) -> Style {
        if self.0 { Style::new().fg(color) } else { Style::new() }
    }
}

fn summary(state: &State, paint: Paint) -> Line<'static> {
    if let Some(why) = &state.stale {
        return Line::styled(format!("not of now: {why}"), paint.with(Color::Red));
    }
    if let Some(queue) = &state.queue {
        let holding = queue.places.iter().filter(|place| place.holds).count();
        let waiting = queue.places.len() - holding;
        return Line::raw(format!("{}: {holding} holding, {waiting} waiting", printable(&queue.path)));
    }
    let held = state.rows.iter().filter(|row| !row.holders.is_empty()).count();
    let waiting: usize = state.rows.iter().map(|row| row.waiters).sum();
    let sort = match state.sort {
        Sort::Waiters => "most waiters",
        Sort::Held => "held longest",
        Sort::Path => "path",
    };
    let shown = state.rows.len();
    let filter =
        if state.filter.is_empty() { String::new() } else { format!(", {shown} with {:?}", state.filter) };
    Line::raw(format!("{} locks{filter}, {held} held, {waiting} waiting, by {sort}", state.all))
}

fn line(row: &zooky_ui::Row, paint: Paint) -> Row<'static> {
    let since = row.holders.iter().min_by_key(|holder| holder.since_ms);
    // Of one that was there before us, only the age of its node is known.
    let held = since.map_or_else(String::new, |holder| age(holder.since_ms, holder.seen));
    let waiters = if row.waiters == 0 { String::new() } else { row.waiters.to_string() };
    let longest = row.waiting_since_ms.map_or_else(String::new, time::ago);
    let style = if row.waiters > 0 { paint.with(Color::Yellow) } else { Style::new() };
    Row::new([
        Cell::new(printable(&row.path)),
        Cell::new(mode(row)),
        Cell::new(holders(row)),
        Cell::new(held),
        Cell::new(waiters).style(style),
        Cell::new(longest),
    ])
}

/// One in the queue.
fn in_line(at: usize, place: &Place, paint: Paint) -> Row<'static> {
    let known = place.contender.as_ref();
    let owner = known.and_then(|contender| contender.owner.as_ref());
    let (who, host, command) = match (owner, known) {
        (Some(owner), _) => {
            let id = owner.id.as_ref().map(|id| format!(", {id}")).unwrap_or_default();
            (
                format!("pid {} ({})", owner.pid, owner.user),
                owner.host.clone(),
                format!("{}{id}", owner.program),
            )
        }
        // A stranger: what its node and its session tell.
        (None, Some(contender)) => (locks::describe(contender), String::new(), String::new()),
        (None, None) => (place.name.clone(), String::new(), String::new()),
    };
    let (standing, colour) = if place.holds { ("holds", Color::Green) } else { ("waits", Color::Yellow) };
    Row::new([
        Cell::new(format!("{}.", at + 1)),
        Cell::new(standing).style(paint.with(colour)),
        Cell::new(known.map_or_else(|| plain_mode(place.mode), locks::mode)),
        Cell::new(printable(&who)),
        Cell::new(printable(&host)),
        Cell::new(printable(&command)),
        Cell::new(time::moment(place.since_ms)),
        Cell::new(age(place.since_ms, place.seen)),
    ])
}

/// How long ago; of one that was there before us, only the age of its node is known.
fn age(since_ms: i64, seen: bool) -> String {
    let most = if seen { "" } else { "≤ " };
    format!("{most}{}", time::ago(since_ms))
}

/// What is asked or told, below the table; the question's answers have a line of their own.
fn last_lines(state: &State, paint: Paint) -> Vec<Line<'static>> {
    const ANSWERS: &str = "y: yes, any other key: no";
    match &state.asking {
        Asking::Filter => vec![Line::raw(format!("filter: {}_", state.filter))],
        Asking::Sure { path, immediately } => {
            let question = state.question(path, *immediately);
            vec![Line::styled(question, paint.with(Color::Red)), Line::raw(ANSWERS)]
        }
        Asking::Nothing if !state.told.is_empty() => vec![Line::raw(state.told.clone())],
        Asking::Nothing if state.queue.is_some() => {
            vec![Line::raw("q quit  Esc back  r ask to let go  x remove  ↑↓ choose")]
        }
        Asking::Nothing => {
            vec![Line::raw("q quit  Enter queue  s sort  / filter  r ask to let go  x remove  ↑↓ choose")]
        }
    }
}
