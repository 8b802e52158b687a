//! The end of the demo, for who wants to look around.

use anyhow::Context;
use anyhow::Result;
use testbed::terminal::Screen;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::setup::Setup;

/// Somebody wants the demo to end now.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Returns when this program is asked to end: Ctrl-C, SIGTERM, or a terminal that was closed.
pub async fn interrupted() -> Result<()> {
    let listen = |kind| signal(kind).context("listening to signals");
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

/// Says what there is to look at.
pub fn invite(setup: &Setup) {
    let kubeconfig = setup.kubeconfig.display();
    let folder = setup.kubeconfig.parent().unwrap_or(&setup.kubeconfig).display();
    Screen::line("The cluster stays until Ctrl-C.");
    let mut lines = vec![format!("kubeconfig  {kubeconfig}")];
    if let Some(jaeger) = &setup.jaeger {
        lines.push(format!("Jaeger      {}/api/traces?service=configmapsync", jaeger.query()));
    }
    Screen::show(&lines);
    Screen::line("Three things to try, in another terminal:");
    let path =
        if setup.cluster.is_some() { format!(" PATH={folder}:$PATH") } else { String::new() };
    Screen::show(&[
        format!("export KUBECONFIG={kubeconfig}{path}"),
        String::new(),
        "# a sync, and what becomes of it".to_owned(),
        "kubectl apply -f deploy/samples/configmapsync.yaml; kubectl get cms -w".to_owned(),
        String::new(),
        "# a source that is not there (Ready is False, and says why), and that comes back"
            .to_owned(),
        "kubectl delete configmap -n config-central shared-config".to_owned(),
        "kubectl get cms; kubectl apply -f deploy/samples/source.yaml; kubectl get cms".to_owned(),
        String::new(),
        "# the leader, killed without a word, while you edit the source".to_owned(),
        "kubectl get lease,pods -n configmapsync".to_owned(),
        "kubectl delete pod -n configmapsync --force <leader>".to_owned(),
    ]);
}
