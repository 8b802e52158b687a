//! Tables in Markdown.

/// A table with a header and at least one row.
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    assert!(!rows.is_empty(), "a table {header:?} without rows");
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&header.map(str::to_owned));
    text += &line(&["---"; COLUMNS].map(str::to_owned));
    for row in rows {
        text.push_str(&line(&row.each_ref().map(|cell| escaped(cell))));
    }
    text
}

/// Text as code, or nothing.
pub fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// A doc comment as text: in one line, without links to items.
pub fn prose(doc: &str) -> String {
    let line = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace("[`", "`").replace("`]", "`")
}

fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}
