//! Tables for a terminal.

use std::fmt::Write as _;
use std::time::Duration;

/// The gap between two columns.
const GAP: &str = "   ";

/// `rows` in columns below `header`. Control characters in cells are replaced: see [`printable`].
#[must_use]
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(ToOwned::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(&header)
        .chain(rows)
        .map(|row| row.clone().map(|cell| printable(&cell)))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}{GAP}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `text` on one line, with control characters replaced, so that names and messages from the
/// cluster cannot control the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// A duration as kubectl prints it: in its largest unit.
#[must_use]
pub fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a/b", "x"], ["longer/name", "y"]].map(|row| row.map(ToOwned::to_owned));
        let expected = "COPY          WHY\na/b           x\nlonger/name   y\n";
        assert_eq!(table(["COPY", "WHY"], &rows), expected);
    }

    #[test]
    fn control_characters_are_replaced() {
        let text = table(["A"], &[["\u{1b}[2Jx\n".to_owned()]]);
        assert_eq!(text, "A\n\u{fffd}[2Jx\u{fffd}\n");
    }

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")]
        {
            assert_eq!(short(Duration::from_secs(seconds)), expected);
        }
    }
}
