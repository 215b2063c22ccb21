//! One screen of the table.

use super::state::{Asking, Sort, State, holders, mode};
use crate::table::printable;
use crate::time;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};

/// Draws it. Colours are left out with `NO_COLOR`.
pub(super) fn screen(frame: &mut Frame<'_>, state: &mut State) {
    let areas = Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(2)]);
    let [head, body, foot] = areas.areas(frame.area());
    let paint = Paint(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    frame.render_widget(Paragraph::new(summary(state, paint)), head);
    let rows: Vec<_> = state.rows.iter().map(|row| line(row, paint)).collect();
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(9),
        Constraint::Fill(3),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(8),
    ];
    let title = Row::new(["LOCK", "MODE", "HOLDER", "HELD", "WAITERS", "LONGEST"])
        .style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, widths)
        .header(title)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, body, &mut state.table);
    frame.render_widget(Paragraph::new(last_lines(state, paint)), foot);
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
    let held = since.map_or_else(String::new, |holder| {
        let most = if holder.seen { "" } else { "≤ " };
        format!("{most}{}", time::ago(holder.since_ms))
    });
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

/// What is asked or told, below the table; the question's answers have a line of their own.
fn last_lines(state: &State, paint: Paint) -> Vec<Line<'static>> {
    const ANSWERS: &str = "y: yes, any other key: no";
    match &state.asking {
        Asking::Filter => vec![Line::raw(format!("filter: {}_", state.filter))],
        Asking::Sure { path, immediately } => {
            let who = state.asked_about();
            let question = if *immediately {
                format!("remove the node of {who} from {path}? It may be at work, and nothing stops it.")
            } else {
                format!("ask {who} to let go of {path}?")
            };
            vec![Line::styled(question, paint.with(Color::Red)), Line::raw(ANSWERS)]
        }
        Asking::Nothing if !state.told.is_empty() => vec![Line::raw(state.told.clone())],
        Asking::Nothing => vec![Line::raw("q quit  s sort  / filter  r ask to let go  x remove  ↑↓ choose")],
    }
}
