//! Plain tables: a header, columns as wide as their widest cell, nothing behind the last.

use std::io::{self, Write};

/// A table that grows by rows.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    least: [usize; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// Columns as wide as their contents and two spaces.
    pub(crate) fn new(header: [&str; N]) -> Table<N> {
        Table::with_widths(header, [0; N])
    }

    /// Columns of at least these widths, gap included.
    pub(crate) fn with_widths(header: [&str; N], least: [usize; N]) -> Table<N> {
        Table { least, rows: vec![header.map(str::to_string)] }
    }

    /// Adds a row. What would break the terminal or the table (control characters from a node's data or name)
    /// is escaped.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    /// Writes it all.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut widths = self.least;
        for (column, width) in widths.iter_mut().enumerate() {
            let gap = if self.least[column] == 0 { 2 } else { 1 };
            let widest = self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            *width = (*width).max(widest + gap);
        }
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("{cell:<width$}"));
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
        table.print(&mut out).unwrap();
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
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A             B\nx\\n\\u{1b}[2J  y\n");
    }
}
