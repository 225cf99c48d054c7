//! Tables for a terminal.

use anstyle::Style;
use std::io::Write;

/// Writes rows below their headings, each column as wide as its widest cell. `colour` says how the cell of a row (from 0) and heading looks.
pub(super) fn write(
    out: &mut impl Write,
    headings: &[&str],
    rows: &[Vec<String>],
    colour: impl Fn(usize, &str) -> Style,
) -> anyhow::Result<()> {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(heading.chars().count())
        })
        .collect();
    let mut line = |cells: &mut dyn Iterator<Item = (&str, Style)>| -> anyhow::Result<()> {
        let mut gap = 0;
        for ((cell, style), width) in cells.zip(&widths) {
            write!(out, "{:gap$}{style}{cell}{style:#}", "")?;
            gap = 2 + width.saturating_sub(cell.chars().count());
        }
        Ok(writeln!(out)?)
    };
    line(&mut headings.iter().map(|heading| (*heading, Style::new().bold())))?;
    for (place, row) in rows.iter().enumerate() {
        line(&mut row.iter().zip(headings).map(|(cell, heading)| (cell.as_str(), colour(place, heading))))?;
    }
    Ok(())
}
