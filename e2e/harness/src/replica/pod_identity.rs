//! The identity of a replica: a pod object that no kubelet runs, and a token bound to it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names;
use k8s_openapi::api::authentication::v1::BoundObjectReference;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authentication::v1::TokenRequestSpec;
use k8s_openapi::api::core::v1::Pod as PodObject;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::Client;
use kube::api::PostParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::control_plane::ControlPlane;
use testbed::kubeconfig;
use testbed::kubeconfig::Credential;

/// A pod object, and a kubeconfig with its token.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The kubeconfig that authenticates as this pod.
    pub kubeconfig: PathBuf,
}

impl Pod {
    /// Creates the pod, assigned to a node that does not exist, so that no kubelet runs it; requests a
    /// token of the operator's ServiceAccount bound to it, valid longer than any test; and writes a
    /// kubeconfig for `server`, by default the control plane's own URL.
    pub async fn create(
        control_plane: &ControlPlane,
        name: &str,
        server: Option<&str>,
    ) -> Result<Self> {
        let client = control_plane.client();
        let uid = create(client.clone(), name)
            .await
            .with_context(|| format!("creating the pod {OPERATOR}/{name}"))?;
        let token = token(client, Some((name, &uid)))
            .await
            .with_context(|| format!("requesting a token bound to the pod {OPERATOR}/{name}"))?;
        let kubeconfig = control_plane.folder().join(format!("{name}.kubeconfig"));
        let own = control_plane.server();
        let authority = control_plane.authority().certificate();
        let credential = Credential::Token(token);
        let text = kubeconfig::render(server.unwrap_or(&own), authority, &credential)?;
        fs::write(&kubeconfig, text)
            .with_context(|| format!("writing {}", kubeconfig.display()))?;
        Ok(Self { name: name.to_owned(), uid, kubeconfig })
    }

    /// A client that authenticates as the pod.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(&self.kubeconfig).await
    }

    /// A client that authenticates as the pod at the API server with the URL `server`.
    pub async fn client_of(&self, server: &str) -> Result<Client> {
        let mut config = kubeconfig::config(&self.kubeconfig).await?;
        config.cluster_url =
            server.parse().with_context(|| format!("parsing the API server's URL {server:?}"))?;
        Ok(Client::try_from(config)?)
    }
}

/// Creates the pod object, and returns its uid.
async fn create(client: Client, name: &str) -> Result<String> {
    let restricted = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container =
        json!({"name": names::CONTAINER, "image": OPERATOR, "securityContext": restricted});
    let pod: PodObject = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": OPERATOR}},
        "spec": {
            "nodeName": "nowhere",
            "serviceAccountName": OPERATOR,
            "containers": [container],
        },
    }))?;
    let pods = Api::<PodObject>::namespaced(client, OPERATOR);
    let pod = pods.create(&PostParams::default(), &pod).await?;
    pod.metadata.uid.context("the created pod has no uid")
}

/// A token of the operator's ServiceAccount, bound to the pod with this name and uid, if any.
async fn token(client: Client, pod: Option<(&str, &str)>) -> Result<String> {
    let pod = pod.map(|(name, uid)| BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
    });
    let spec = TokenRequestSpec {
        bound_object_ref: pod,
        expiration_seconds: Some(14_400),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts = Api::<ServiceAccount>::namespaced(client, OPERATOR);
    let response =
        accounts.create_token_request(OPERATOR, &PostParams::default(), &request).await?;
    Ok(response.status.context("the response contains no token")?.token)
}

/// Publishes a leader record with the pod `pod_uid`, as the operator does when it becomes leader.
pub async fn publish_leader_record(
    control_plane: &ControlPlane,
    pod_uid: &str,
    term: i64,
) -> Result<()> {
    let object = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSyncLeader",
        "metadata": {"name": OPERATOR, "namespace": OPERATOR},
        "spec": {
            "podUID": pod_uid,
            "holder": pod_uid,
            "term": term,
            "since": "2026-01-02T03:04:05Z",
        },
    });
    control_plane.apply(object).await.map(drop)
}

/// A client that authenticates as the operator, with a token that is bound to no pod.
pub async fn unbound_operator(control_plane: &ControlPlane) -> Result<Client> {
    let token = token(control_plane.client(), None)
        .await
        .context("requesting a token that is bound to no pod")?;
    let text = control_plane.kubeconfig_for(&Credential::Token(token))?;
    let file = control_plane.folder().join("unbound.kubeconfig");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    kubeconfig::client(&file).await
}
