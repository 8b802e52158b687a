//! Which cluster is meant, as whom we talk to it, and how a list is read whole.

use std::path::Path;

use kube::Config;
use kube::config::InferConfigError;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use kube::config::KubeconfigError;

/// The cluster's address or credentials could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig that was named cannot be used.
    #[error("cannot use kubeconfig {path}: correct the file, or --kubeconfig")]
    Kubeconfig {
        /// Where it lies.
        path: String,
        /// Why.
        source: KubeconfigError,
    },
    /// The context that was named cannot be used.
    #[error("cannot use the context {context}: correct the kubeconfig, or --context")]
    Context {
        /// Its name.
        context: String,
        /// Why.
        source: KubeconfigError,
    },
    /// There is no ServiceAccount and no kubeconfig.
    #[error("no cluster is configured: run in a pod, or name a file by --kubeconfig")]
    Infer(#[source] InferConfigError),
}

/// The cluster that the file `kubeconfig` and its context `context` describe; without a file, the
/// one that kubectl would take, or that of the pod.
///
/// # Errors
/// The configuration is missing or broken. Nothing is called yet.
pub async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, Error> {
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
    match (kubeconfig, context) {
        (Some(path), _) => {
            let broken = |source| Error::Kubeconfig { path: path.display().to_string(), source };
            let kubeconfig = Kubeconfig::read_from(path).map_err(broken)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(broken)
        }
        (None, Some(context)) => {
            let broken = |source| Error::Context { context: context.to_owned(), source };
            Config::from_kubeconfig(&options).await.map_err(broken)
        }
        (None, None) => Config::infer().await.map_err(Error::Infer),
    }
}
