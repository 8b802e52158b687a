//! The cluster to connect to, and the credentials to use.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

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
    /// The kubeconfig files named by the environment are unusable.
    #[error("cannot use the kubeconfig files in KUBECONFIG ({value}): correct or unset it")]
    Environment {
        /// The value of the variable.
        value: String,
        /// The cause; `None` if none of the files exists.
        source: Option<KubeconfigError>,
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

/// The variable in which kubectl finds kubeconfig files.
const VARIABLE: &str = "KUBECONFIG";

/// The configuration in the file `kubeconfig`, for its context `context`. Without a file: the one
/// that kubectl uses, or that of the pod.
///
/// kubectl merges the files in `KUBECONFIG`, and ignores those that do not exist (Kubernetes
/// documentation, "Organizing Cluster Access Using kubeconfig Files").
///
/// # Errors
/// The configuration is missing or unusable. No request is sent.
pub async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, Error> {
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = kubeconfig {
        let broken = |source| Error::Kubeconfig { path: path.display().to_string(), source };
        let kubeconfig = Kubeconfig::read_from(path).map_err(broken)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(broken);
    }
    let context = context.map(ToOwned::to_owned);
    if let Some(files) = env::var_os(VARIABLE).filter(|files| !files.is_empty()) {
        let kubeconfig = merged(&files)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|source| {
            match context {
                Some(context) => Error::Context { context, source },
                None => broken_environment(&files, Some(source)),
            }
        });
    }
    match context {
        Some(context) => {
            let broken = |source| Error::Context { context, source };
            Config::from_kubeconfig(&options).await.map_err(broken)
        }
        None => Config::infer().await.map_err(Error::Infer),
    }
}

/// The kubeconfig in the `files` that exist, separated as in `PATH`.
fn merged(files: &OsString) -> Result<Kubeconfig, Error> {
    // One that cannot be looked at is an error: the others may name another cluster.
    let existing = env::split_paths(files).filter(|path| path.try_exists().unwrap_or(true));
    let parts = existing.map(read).collect::<Result<Vec<_>, _>>();
    let parts = parts.map_err(|source| broken_environment(files, Some(source)))?;
    let merged = parts.into_iter().map(Ok).reduce(|first, next| first?.merge(next?));
    match merged {
        Some(merged) => merged.map_err(|source| broken_environment(files, Some(source))),
        None => Err(broken_environment(files, None)),
    }
}

/// The kubeconfig in one file. An empty `current-context`, which `kubectl config` writes into new files, is
/// none, so that the next file may have one.
fn read(path: PathBuf) -> Result<Kubeconfig, KubeconfigError> {
    let mut kubeconfig = Kubeconfig::read_from(path)?;
    kubeconfig.current_context = kubeconfig.current_context.filter(|it| !it.is_empty());
    Ok(kubeconfig)
}

fn broken_environment(files: &OsString, source: Option<KubeconfigError>) -> Error {
    Error::Environment { value: files.to_string_lossy().into_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_merged_and_missing_ones_ignored() {
        let folder = env::temp_dir().join(format!("configmapsync-{}", rand::random::<u64>()));
        fs::create_dir(&folder).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let empty = file("empty", "apiVersion: v1\nkind: Config\ncurrent-context: \"\"\n");
        let first = file("first", "apiVersion: v1\nkind: Config\ncurrent-context: a\n");
        let second = file(
            "second",
            "apiVersion: v1\nkind: Config\ncurrent-context: b\n\
             clusters: [{name: c, cluster: {server: https://api}}]\n",
        );
        let joined = |paths: &[&Path]| env::join_paths(paths).unwrap();
        let missing = folder.join("missing");
        let found = merged(&joined(&[&empty, &first, &missing, &second])).unwrap();
        assert_eq!(found.current_context.as_deref(), Some("a"), "the first one counts");
        assert_eq!(found.clusters.len(), 1);
        let error = merged(&joined(&[&missing])).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        let broken = file("broken", ": [not yaml");
        assert!(merged(&joined(&[&first, &broken])).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
