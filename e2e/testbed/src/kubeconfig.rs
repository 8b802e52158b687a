//! Kubeconfigs, and clients made from them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::ByteString;
use kube::Client;
use kube::Config;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use serde_json::Value;
use serde_json::json;

use crate::certificates::KeyFiles;

/// How a user authenticates.
#[derive(Clone, Debug)]
pub enum Credential {
    /// By a client certificate.
    Certificate(KeyFiles),
    /// By a bearer token.
    Token(String),
}

/// The text of a self-contained kubeconfig (JSON, which is YAML too).
pub fn render(server: &str, authority: &Path, credential: &Credential) -> Result<String> {
    let user = match credential {
        Credential::Certificate(files) => json!({
            "client-certificate-data": base64(&files.certificate)?,
            "client-key-data": base64(&files.key)?,
        }),
        Credential::Token(token) => json!({"token": token}),
    };
    let cluster = json!({"server": server, "certificate-authority-data": base64(authority)?});
    let name = "e2e";
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    Ok(serde_json::to_string_pretty(&kubeconfig)?)
}

/// Reads a kubeconfig.
pub async fn config(file: &Path) -> Result<Config> {
    let context = || format!("reading the kubeconfig {}", file.display());
    let kubeconfig = Kubeconfig::read_from(file).with_context(context)?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.with_context(context)
}

/// A client for the kubeconfig `file`.
pub async fn client(file: &Path) -> Result<Client> {
    Ok(Client::try_from(config(file).await?)?)
}

/// As [`client`], without retries.
pub async fn client_that_tries_once(file: &Path) -> Result<Client> {
    let mut config = config(file).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

fn base64(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::to_value(ByteString(bytes))?)
}
