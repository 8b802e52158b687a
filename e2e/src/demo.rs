//! The demo: the product at work on a real cluster, step by step.
//!
//! Each step is ticked only after what it says was seen. The first one that fails ends the demo,
//! with what was seen instead.

mod copy;
mod diagnosis;
mod operator;
mod samples;
pub(crate) mod screen;
mod stage;
mod stay;
mod story;

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use crate::demo::screen::Screen;
use crate::demo::stage::Stage;
pub use crate::demo::stay::Interrupted;
use crate::sandbox::Footprint;

/// Shows ConfigMapSync at work on a real cluster that is made for it and gone afterwards.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "demo", bin_name = "cargo demo --")]
pub struct Options {
    /// End after the last step, instead of keeping the cluster until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Use the cluster of this kubeconfig, and make none. Needs neither root nor Debian.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The operator's image in that cluster. Without it, the chart's own, as if it were published
    /// or loaded onto the nodes.
    #[arg(long, value_name = "REF", requires = "kubeconfig")]
    pub image: Option<String>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the cluster would leave behind if it did; of a cluster of our own.
    pub footprint: Option<Footprint>,
    /// The Pod Security level that the operator's namespace enforces.
    pub pod_security: String,
    /// The pods that hold a Lease of the operator, before one was deleted.
    pub leaders: Vec<String>,
    /// How long the copy took to follow the source.
    pub follow: Duration,
    /// How long it took from the leader's end until another led.
    pub failover: Duration,
    /// The names of the spans of one trace, as they were drawn.
    pub spans: Vec<String>,
}

/// Runs the demo.
///
/// # Errors
/// A step failed. What was seen has been printed by then, the error itself has not. Or
/// [`Interrupted`]: somebody wanted it to end before it was over.
pub async fn run(options: &Options) -> Result<Report> {
    let screen = Screen::new();
    let began = Instant::now();
    Screen::title("ConfigMapSync at work: a real cluster, real pods, nothing stands in");
    let prepared = Stage::prepare(&screen, options);
    let stage = unless_interrupted(prepared).await?;
    let mut result = unless_interrupted(story::tell(&screen, &stage)).await;
    match &result {
        Ok(_) => {
            Screen::title(&format!("  All shown, in {}.", screen::shown(began.elapsed())));
            if !options.once {
                stay::invite(&stage);
                result = stay::interrupted().await.and(result);
            }
        }
        Err(error) if error.is::<Interrupted>() => {}
        Err(_) => diagnosis::show(&stage.client).await,
    }
    let left = stage.leave(&screen).await;
    let report = result?;
    left?;
    Ok(report)
}

fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    let work = Box::pin(work);
    async move {
        tokio::select! {
            result = work => result,
            signal = stay::interrupted() => Err(signal.err().unwrap_or(Interrupted.into())),
        }
    }
}
