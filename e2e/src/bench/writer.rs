//! The raw writer: the operator's kind of client and the operator's rights, and nothing to decide.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names::NamespacedName;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authentication::v1::TokenRequestSpec;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::Client;
use kube::Config;
use kube::api::PostParams;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use serde_json::json;

use crate::bench::bodies;
use crate::bench::bodies::Data;
use crate::bench::bodies::MetadataOnly;
use crate::bench::bodies::Written;
use crate::control_plane::ControlPlane;
use crate::control_plane::OPERATOR;
use crate::kubeconfig::Credential;
use crate::replica::Pod;

/// The name of its account.
const NAME: &str = "raw-writer";
/// How the API server knows it.
pub const USER: &str = "system:serviceaccount:default:raw-writer";
/// Longer than any run.
const TOKEN_SECONDS: i64 = 24 * 3_600;

/// A writer with connections of its own.
pub struct Writer {
    client: Client,
}

// === impl Writer ===

impl Writer {
    /// A writer that has not connected yet, as the operator has not when it starts. Nothing is
    /// tried again.
    ///
    /// # Errors
    /// It gets no account.
    pub async fn new(control_plane: &ControlPlane) -> Result<Self> {
        let token = account(control_plane).await.context("making an account for the raw writer")?;
        let text = control_plane.kubeconfig_for(&Credential::Token(token))?;
        let file = control_plane.folder().join("raw-writer.kubeconfig");
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Self::by(&file).await
    }

    /// A writer that is one of the operator's pods. Nothing is tried again.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub async fn of(pod: &Pod) -> Result<Self> {
        Self::by(&pod.kubeconfig).await
    }

    async fn by(file: &Path) -> Result<Self> {
        let options = KubeConfigOptions::default();
        let kubeconfig = Kubeconfig::read_from(file)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        Ok(Self { client: Client::try_from(config)? })
    }

    /// Creates a copy.
    ///
    /// # Errors
    /// It is refused.
    pub async fn create(&self, at: &NamespacedName, data: &Data) -> Result<Written> {
        let request = bodies::create(at, &bodies::copy(at, data))?;
        Ok(self.client.request::<MetadataOnly>(request).await?.into())
    }

    /// Changes a copy.
    ///
    /// # Errors
    /// It is refused.
    pub async fn patch(&self, at: &NamespacedName, seen: &Written, data: &Data) -> Result<Written> {
        let request = bodies::patch(at, seen, data)?;
        Ok(self.client.request::<MetadataOnly>(request).await?.into())
    }

    /// Deletes a copy.
    ///
    /// # Errors
    /// It is refused.
    pub async fn delete(&self, at: &NamespacedName, seen: &Written) -> Result<()> {
        let request = bodies::delete(at, seen)?;
        self.client.request_status::<MetadataOnly>(request).await?;
        Ok(())
    }
}

/// Does `work` on every one of `items`, so many at a time.
///
/// # Errors
/// One of them fails.
pub async fn in_flight<Item, Done, Working>(
    limit: usize,
    items: impl IntoIterator<Item = Item>,
    work: impl Fn(Item) -> Working,
) -> Result<Vec<Done>>
where
    Working: Future<Output = Result<Done>>,
{
    stream::iter(items.into_iter().map(work)).buffer_unordered(limit).try_collect().await
}

/// A token of an account with the operator's cluster role.
async fn account(control_plane: &ControlPlane) -> Result<String> {
    let metadata = json!({"name": NAME, "namespace": "default"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    control_plane.apply(account).await?;
    let group = "rbac.authorization.k8s.io";
    control_plane
        .apply(json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": OPERATOR},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": "default"}],
        }))
        .await?;
    let spec =
        TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts = Api::<ServiceAccount>::namespaced(control_plane.client(), "default");
    let answer = accounts.create_token_request(NAME, &PostParams::default(), &request).await?;
    Ok(answer.status.context("the API server gave no token")?.token)
}
