//! Progress on a terminal: one line per step, with a check mark and a time.

use std::future::Future;
use std::io;
use std::io::IsTerminal;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use console::style;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use parking_lot::Mutex;
use tokio::time;

/// Columns of the name of a step.
const NAME: usize = 46;
/// Interval between lines about a long step where there is no spinner.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Results on standard output, and a spinner on standard error during a step.
#[derive(Clone, Debug)]
pub struct Screen {
    spins: bool,
    now: Now,
}

/// What a step is currently doing, in a few words.
#[derive(Clone, Debug, Default)]
pub struct Now(Arc<Mutex<String>>);

/// The result of a step.
#[derive(Debug)]
pub struct Done<T> {
    value: T,
    detail: String,
    took: Option<Duration>,
}

/// Progress of building a set of tools, which takes minutes the first time.
#[derive(Debug)]
pub struct Progress {
    what: String,
    began: Instant,
    spinner: Option<ProgressBar>,
}

// === impl Done ===

impl<T> Done<T> {
    /// A value, and a short description for the reader.
    pub fn new(value: T, detail: impl Into<String>) -> Self {
        Self { value, detail: detail.into(), took: None }
    }

    /// Shows `took` instead of the duration of the whole step.
    #[must_use]
    pub const fn took(mut self, took: Duration) -> Self {
        self.took = Some(took);
        self
    }
}

// === impl Now ===

impl Now {
    /// Replaces the text.
    pub fn set(&self, words: &str) {
        words.clone_into(&mut self.0.lock());
    }

    fn text(&self) -> String {
        self.0.lock().clone()
    }
}

// === impl Screen ===

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// A screen with a spinner if both outputs are terminals.
    #[must_use]
    pub fn new() -> Self {
        let spins = io::stderr().is_terminal() && io::stdout().is_terminal();
        Self { spins, now: Now::default() }
    }

    /// A handle by which a part of the current step shows what it does.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now.clone()
    }

    /// Prints the title.
    pub fn title(text: &str) {
        println!("\n{}\n", style(text).bold());
    }

    /// Runs `work`, then prints the step with a check mark, or with a cross and returns the error.
    pub fn step<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<Done<T>>>,
    ) -> impl Future<Output = Result<T>> {
        let work = Box::pin(work); // a step is big, and is awaited inside of others
        async move {
            let began = Instant::now();
            let result = self.watch(name, began, work).await;
            Self::tick(name, began, result)
        }
    }

    /// As [`Screen::step`], for work that prints its own progress.
    pub fn step_that_prints<T>(
        name: &str,
        work: impl Future<Output = Result<Done<T>>>,
    ) -> impl Future<Output = Result<T>> {
        let work = Box::pin(work);
        async move {
            let began = Instant::now();
            Self::tick(name, began, work.await)
        }
    }

    fn tick<T>(name: &str, began: Instant, result: Result<Done<T>>) -> Result<T> {
        let took = result.as_ref().ok().and_then(|done| done.took).unwrap_or(began.elapsed());
        let mark = if result.is_ok() { style("✔").green() } else { style("✘").red().bold() };
        let detail = result.as_ref().map(|done| done.detail.clone()).unwrap_or_default();
        let line = format!("  {mark} {name:NAME$} {:>8}   {}", shown(took), style(detail).dim());
        println!("{}", line.trim_end());
        result.map(|done| done.value)
    }

    /// Prints a step that this cluster does not allow, with the reason.
    pub fn not_shown(name: &str, why: &str) {
        println!("  {} {name:NAME$} {:>8}   {}", style("–").yellow(), "", style(why).yellow());
    }

    /// Lines that belong to the step above.
    pub fn show(lines: &[String]) {
        println!();
        for line in lines {
            println!("        {line}");
        }
        println!();
    }

    /// Any other line.
    pub fn line(text: &str) {
        println!("  {text}");
    }

    async fn watch<T>(
        &self,
        name: &str,
        began: Instant,
        mut work: Pin<Box<impl Future<Output = Result<Done<T>>>>>,
    ) -> Result<Done<T>> {
        let spinner = spinner().filter(|_| self.spins).unwrap_or_else(ProgressBar::hidden);
        let period = if self.spins { Duration::from_millis(100) } else { HEARTBEAT };
        let mut ticks = time::interval(period);
        ticks.tick().await;
        self.now.set("");
        let result = loop {
            let so_far = format!("{} s", began.elapsed().as_secs());
            spinner.set_message(format!("{name:NAME$} {so_far:>8}   {}", self.now.text()));
            spinner.tick();
            tokio::select! {
                result = &mut work => break result,
                _ = ticks.tick() => {}
            }
            if !self.spins {
                eprintln!(
                    "  … {name}: {} s so far  {}",
                    began.elapsed().as_secs(),
                    self.now.text()
                );
            }
        };
        spinner.finish_and_clear();
        result
    }
}

// === impl Progress ===

impl Progress {
    /// Starts, and prints what is being built.
    pub fn start(what: impl Into<String>) -> Self {
        let this = Self { what: what.into(), began: Instant::now(), spinner: spinner() };
        this.show("building (once)");
        this
    }

    /// Interval between calls of [`Progress::tick`]: a second on a terminal, longer in a log.
    #[must_use]
    pub fn period(&self) -> Duration {
        if self.spinner.is_some() { Duration::from_secs(1) } else { HEARTBEAT }
    }

    /// Shows the time so far.
    pub fn tick(&self) {
        self.show(&format!("building, {} s", self.began.elapsed().as_secs()));
    }

    /// Shows the total time.
    pub fn done(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        tool_line(&self.what, &format!("done in {} s", self.began.elapsed().as_secs()));
    }

    fn show(&self, state: &str) {
        match &self.spinner {
            Some(spinner) => {
                spinner.set_message(format!("tools: {}: {state}", self.what));
                spinner.tick();
            }
            None => tool_line(&self.what, state),
        }
    }
}

/// Prints one line about one set of tools on standard error, directly: the test runner would hold
/// back what `eprintln` prints until the end of the test.
pub fn tool_line(what: &str, state: &str) {
    // A failure to print progress must not fail the build.
    let _ = writeln!(io::stderr(), "tools: {what}: {state}");
}

/// A spinner on standard error, if that is a terminal.
fn spinner() -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let spinner = ProgressBar::new_spinner();
        if let Ok(form) = ProgressStyle::with_template("  {spinner:.cyan} {wide_msg}") {
            spinner.set_style(form);
        }
        spinner
    })
}

/// `41 ms`, `3.2 s`, `4 min 05 s`.
#[must_use]
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.as_millis() {
        0..1_000 => format!("{} ms", duration.as_millis()),
        1_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_readable_units() {
        assert_eq!(shown(Duration::from_micros(41_200)), "41 ms");
        assert_eq!(shown(Duration::from_millis(3_210)), "3.2 s");
        assert_eq!(shown(Duration::from_secs(245)), "4 min 05 s");
    }
}
