//! The time after the last step, in which the user can use the cluster.

use anyhow::Context;
use anyhow::Result;
use testbed::terminal::Screen;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::environment::Environment;

/// The user ended the demo before the last step.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Returns after SIGINT (Ctrl-C), SIGTERM or SIGHUP (closed terminal).
pub async fn interrupted() -> Result<()> {
    let listen = |kind| signal(kind).context("installing a signal handler");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {},
        _ = terminate.recv() => {},
        _ = hangup.recv() => {},
    }
    Ok(())
}

/// Prints how to access the cluster, and commands to try.
pub fn print_suggestions(environment: &Environment) {
    let kubeconfig = environment.kubeconfig.display();
    let folder = environment.kubeconfig.parent().unwrap_or(&environment.kubeconfig).display();
    Screen::line("The cluster keeps running until you press Ctrl-C.");
    let mut lines = vec![format!("kubeconfig  {kubeconfig}")];
    if let Some(jaeger) = &environment.jaeger {
        let path = if environment.has_pages { "search" } else { "api/traces" };
        lines.push(format!("Jaeger      {}/{path}?service=configmapsync", jaeger.query()));
    }
    Screen::show(&lines);
    Screen::line("To try in another terminal:");
    let path =
        if environment.cluster.is_some() { format!(" PATH={folder}:$PATH") } else { String::new() };
    Screen::show(&[
        format!("export KUBECONFIG={kubeconfig}{path}"),
        String::new(),
        "# Create a ConfigMapSync and watch its status.".to_owned(),
        "kubectl apply -f deploy/samples/configmapsync.yaml; kubectl get cms -w".to_owned(),
        String::new(),
        "# Delete the source: Ready becomes False, with a reason. Create it again.".to_owned(),
        "kubectl delete configmap -n config-central shared-config".to_owned(),
        "kubectl get cms; kubectl apply -f deploy/samples/source.yaml; kubectl get cms".to_owned(),
        String::new(),
        "# Delete the leader's pod without grace period while you edit the source.".to_owned(),
        "kubectl get lease,pods -n configmapsync".to_owned(),
        "kubectl delete pod -n configmapsync --force <leader>".to_owned(),
    ]);
}
