//! Text in columns, as Go's `text/tabwriter` aligns it: a column is as wide as the widest of its cells in lines that
//! follow each other.

/// Rows that are going to be aligned.
#[derive(Debug)]
pub struct Table {
    least: usize,
    padding: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns of at least `least` characters, each followed by `padding` blanks, which count.
    pub fn new(least: usize, padding: usize) -> Self {
        Self { least, padding, rows: Vec::new() }
    }

    /// Adds a row. Its last cell belongs to no column: it ends the line.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths: Vec<Vec<usize>> = self.rows.iter().map(|row| vec![0; row.len()]).collect();
        for column in 0..columns {
            self.measure(column, &mut widths);
        }
        let mut text = String::new();
        for (row, widths) in self.rows.iter().zip(&widths) {
            for (cell, width) in row.iter().zip(widths) {
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
            text.push('\n');
        }
        text
    }

    /// Sets the width of one column, for each run of rows that have it.
    fn measure(&self, column: usize, widths: &mut [Vec<usize>]) {
        let has = |row: usize| self.rows.get(row).is_some_and(|cells| column + 1 < cells.len());
        let mut row = 0;
        while row < self.rows.len() {
            let end = (row..).find(|r| !has(*r)).unwrap_or(row);
            let cells = self.rows[row..end].iter().map(|cells| cells[column].chars().count() + self.padding);
            let width = cells.max().unwrap_or(0).max(self.least);
            widths[row..end].iter_mut().for_each(|row| row[column] = width);
            row = end.max(row) + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_as_go_aligns_them() {
        let mut table = Table::new(4, 2);
        table.row(["a", "b", "c"]);
        table.row(["longer", "b", "c"]);
        table.row(["no column here"]);
        table.row(["x", "y"]);
        assert_eq!(table.text(), "a       b   c\nlonger  b   c\nno column here\nx   y\n");
    }

    #[test]
    fn nothing_is_no_text() {
        assert_eq!(Table::new(1, 1).text(), "");
    }
}
