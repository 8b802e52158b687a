//! Asks a person before anything is done.

use std::io::IsTerminal as _;
use std::io::stdin;

use crate::commands::Exit;
use crate::commands::say;

/// Asks `question`; how to end if the answer is no, or if there is nobody to answer.
///
/// # Errors
/// The terminal failed.
pub fn unless_agreed(question: &str) -> std::io::Result<Option<Exit>> {
    if !stdin().is_terminal() {
        eprintln!("configmapsync: nothing was done: say --yes where nobody can be asked");
        return Ok(Some(Exit::Usage));
    }
    say(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(None);
    }
    say("Nothing was done.\n")?;
    Ok(Some(Exit::Failure))
}
