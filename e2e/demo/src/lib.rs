//! The demo: installs the operator in a real cluster and shows what it does, step by step.
//!
//! A step is printed with a check mark after its result was observed in the cluster. The first
//! failing step ends the demo with an error that contains the last observation.

mod copy_pair;
mod diagnostics;
mod environment;
mod existing_cluster;
mod failing_sync;
mod interactive;
mod operator_pods;
mod options;
mod own_cluster;
mod recording;
mod report;
mod samples;
mod steps;
mod user_files;

pub use crate::interactive::Interrupted;
pub use crate::options::Options;
pub use crate::recording::record;
pub use crate::report::Report;

use std::time::Instant;

use anyhow::Result;
use testbed::terminal::Screen;
use testbed::terminal::shown;

use crate::environment::Environment;

/// Runs the demo and prints its steps on standard output.
///
/// The environment is removed in every case. If a step fails, diagnostics are printed, and the error
/// is returned without being printed. If the user ends the demo early, the error is [`Interrupted`].
pub async fn run(options: &Options) -> Result<Report> {
    let screen = Screen::new();
    let began = Instant::now();
    Screen::title("ConfigMapSync in a real cluster");
    let prepared = prepare(&screen, options);
    let environment = unless_interrupted(prepared).await?;
    let mut result = unless_interrupted(steps::run(&screen, &environment)).await;
    match &result {
        Ok(_) => {
            Screen::title(&format!("  All steps completed in {}.", shown(began.elapsed())));
            if !options.once {
                interactive::print_suggestions(&environment);
                result = interactive::interrupted().await.and(result);
            }
        }
        Err(error) if error.is::<Interrupted>() => {}
        Err(_) => diagnostics::print(&environment.client).await,
    }
    let removed = remove(environment, &screen).await;
    let report = result?;
    removed?;
    Ok(report)
}

/// Prepares everything that the installation of the operator requires.
async fn prepare(screen: &Screen, options: &Options) -> Result<Environment> {
    match &options.kubeconfig {
        None => own_cluster::prepare(screen, options).await,
        Some(file) => existing_cluster::prepare(screen, file, options.image.as_deref()).await,
    }
}

/// Removes the demo's own cluster, or everything but the CRDs from an existing one.
async fn remove(environment: Environment, screen: &Screen) -> Result<()> {
    match &environment.cluster {
        None => existing_cluster::clean_up(screen, &environment.client, &environment.helm).await,
        Some(_) => own_cluster::remove(screen, environment).await,
    }
}

fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    let work = Box::pin(work);
    async move {
        tokio::select! {
            result = work => result,
            signal = interactive::interrupted() => Err(signal.err().unwrap_or(Interrupted.into())),
        }
    }
}
