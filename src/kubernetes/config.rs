//! The cluster to connect to, and the credentials to use.

use std::path::Path;

use kube::Config;
use kube::config::InferConfigError;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use kube::config::KubeconfigError;

/// The configuration of the connection is missing or unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig named by a flag is unusable.
    #[error("cannot use the kubeconfig {path}: correct the file, or the flag --kubeconfig")]
    Kubeconfig {
        /// Path of the file.
        path: String,
        /// The cause.
        source: KubeconfigError,
    },
    /// The context named by a flag is unusable.
    #[error("cannot use the context {context}: correct the kubeconfig, or the flag --context")]
    Context {
        /// Name of the context.
        context: String,
        /// The cause.
        source: KubeconfigError,
    },
    /// There is neither a ServiceAccount nor a kubeconfig.
    #[error("no cluster is configured: run in a pod, or name a kubeconfig with --kubeconfig")]
    Infer(#[source] InferConfigError),
}

/// The configuration in the file `kubeconfig`, for its context `context`. Without a file: the one
/// that kubectl uses, or that of the pod.
///
/// # Errors
/// The configuration is missing or unusable. No request is sent.
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
