//! Output and confirmation on the terminal.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::io::stdin;

use crate::commands::exit::Exit;

/// Prints `text` to standard output. A closed pipe, as after `head`, is not an error.
///
/// # Errors
/// The terminal failed.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Asks the user `question`. Returns `None` if the user agrees, and otherwise how to exit. Without
/// a terminal, the user cannot agree.
///
/// # Errors
/// The terminal failed.
pub fn exit_unless_confirmed(question: &str) -> std::io::Result<Option<Exit>> {
    if !stdin().is_terminal() {
        eprintln!(
            "configmapsync: nothing was done: standard input is not a terminal, so no \
             confirmation is possible: use --yes"
        );
        return Ok(Some(Exit::Usage));
    }
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(None);
    }
    print("Nothing was done.\n")?;
    Ok(Some(Exit::Failure))
}
