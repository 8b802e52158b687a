//! The demo: the product at work on a real cluster, step by step.
//!
//! Each step is ticked only after what it says was seen. The first one that fails ends the demo,
//! with what was seen instead.

mod copy;
mod diagnosis;
mod existing_cluster;
mod operator_pods;
mod options;
mod own_cluster;
mod report;
mod samples;
mod setup;
mod stay;
mod steps;
mod user_files;

pub use crate::options::Options;
pub use crate::report::Report;
pub use crate::stay::Interrupted;

use std::time::Instant;

use anyhow::Result;
use testbed::terminal::Screen;
use testbed::terminal::shown;

use crate::setup::Setup;

/// Runs the demo.
pub async fn run(options: &Options) -> Result<Report> {
    let screen = Screen::new();
    let began = Instant::now();
    Screen::title("ConfigMapSync at work: a real cluster, real pods, nothing stands in");
    let prepared = prepare(&screen, options);
    let setup = unless_interrupted(prepared).await?;
    let mut result = unless_interrupted(steps::run(&screen, &setup)).await;
    match &result {
        Ok(_) => {
            Screen::title(&format!("  All shown, in {}.", shown(began.elapsed())));
            if !options.once {
                stay::invite(&setup);
                result = stay::interrupted().await.and(result);
            }
        }
        Err(error) if error.is::<Interrupted>() => {}
        Err(_) => diagnosis::show(&setup.client).await,
    }
    let left = leave(setup, &screen).await;
    let report = result?;
    left?;
    Ok(report)
}

/// Gets everything ready, up to where the operator can be installed.
async fn prepare(screen: &Screen, options: &Options) -> Result<Setup> {
    match &options.kubeconfig {
        None => own_cluster::prepare(screen, !options.once).await,
        Some(file) => existing_cluster::prepare(screen, file, options.image.as_deref()).await,
    }
}

/// Leaves: nothing of our own cluster, and of ours nothing in an existing one but the CRD.
async fn leave(setup: Setup, screen: &Screen) -> Result<()> {
    match &setup.cluster {
        None => existing_cluster::leave(screen, &setup.client, &setup.helm).await,
        Some(_) => own_cluster::leave(screen, setup).await,
    }
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
