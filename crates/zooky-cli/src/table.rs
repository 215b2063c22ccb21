//! Plain tables: a header, columns as wide as their widest cell, nothing behind the last.

use rustix::termios::isatty;
use std::io::{self, Write};

/// A table that grows by rows.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    least: [usize; N],
    rows: Vec<[Cell; N]>,
}

/// A text in a table, in a colour if it has a meaning.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    colour: Colour,
}

/// What a colour says; the text says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Plain,
    Good,
    Busy,
    Bad,
}

impl Colour {
    /// The text in this colour.
    pub(crate) fn cell(self, text: impl Into<String>) -> Cell {
        Cell { text: text.into(), colour: self }
    }

    /// The text for standard output, coloured where that is wanted.
    pub(crate) fn paint(self, text: &str) -> String {
        if wanted() { self.codes(text) } else { text.to_string() }
    }

    fn codes(self, text: &str) -> String {
        let number = match self {
            Colour::Plain => return text.to_string(),
            Colour::Good => 32,
            Colour::Busy => 33,
            Colour::Bad => 31,
        };
        format!("\x1b[{number}m{text}\x1b[0m")
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Colour::Plain.cell(text)
    }
}

/// Whether standard output gets colours: a terminal that has them, and nobody who objects (<https://no-color.org>).
fn wanted() -> bool {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !objects && !dumb && isatty(io::stdout())
}

impl<const N: usize> Table<N> {
    /// Columns as wide as their contents and two spaces.
    pub(crate) fn new(header: [&str; N]) -> Table<N> {
        Table::with_widths(header, [0; N])
    }

    /// Columns of at least these widths, gap included.
    pub(crate) fn with_widths(header: [&str; N], least: [usize; N]) -> Table<N> {
        Table { least, rows: vec![header.map(Cell::from)] }
    }

    /// Adds a row. What would break the terminal or the table (control characters from a node's data or name)
    /// is escaped.
    pub(crate) fn row<C: Into<Cell>>(&mut self, cells: [C; N]) {
        self.rows.push(cells.map(|cell| {
            let Cell { text, colour } = cell.into();
            Cell { text: printable(&text), colour }
        }));
    }

    /// Writes it all to standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        self.write(&mut io::stdout().lock(), wanted())
    }

    fn write(&self, out: &mut impl Write, coloured: bool) -> io::Result<()> {
        let mut widths = self.least;
        for (column, width) in widths.iter_mut().enumerate() {
            let gap = if self.least[column] == 0 { 2 } else { 1 };
            let widest = self.rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
            *width = (*width).max(widest + gap);
        }
        for row in &self.rows {
            let mut line = String::new();
            for (Cell { text, colour }, width) in row.iter().zip(widths) {
                let padding = width.saturating_sub(text.chars().count());
                line.push_str(&if coloured { colour.codes(text) } else { text.clone() });
                line.push_str(&" ".repeat(padding));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The text with control characters escaped, so that it stays on its line and moves no cursor.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zktools_table_is_the_seeds() {
        let mut table = Table::with_widths(["LOCK", "STATUS"], [35, 0]);
        table.row(["fred".to_string(), "Locked".to_string()]);
        table.row(["zkLockTest".to_string(), "Free".to_string()]);
        let mut out = Vec::new();
        table.write(&mut out, false).unwrap();
        let seed = "\
LOCK                               STATUS
fred                               Locked
zkLockTest                         Free
";
        assert_eq!(String::from_utf8(out).unwrap(), seed);
    }

    #[test]
    fn a_cell_cannot_break_its_line() {
        let mut table = Table::new(["A", "B"]);
        table.row(["x\n\x1b[2J".to_string(), "y".to_string()]);
        let mut out = Vec::new();
        table.write(&mut out, false).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A             B\nx\\n\\u{1b}[2J  y\n");
    }
    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(["A", "B"]);
        table.row([Colour::Bad.cell("x"), "y".into()]);
        let write = |coloured| {
            let mut out = Vec::new();
            table.write(&mut out, coloured).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(true), "A  B\n\u{1b}[31mx\u{1b}[0m  y\n");
        assert_eq!(write(false), "A  B\nx  y\n");
    }
}
