//! An existing cluster, in which the demo must not change objects of others.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use configmapsync::api::ConfigMapSync;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use testbed::helm;
use testbed::helm::Helm;
use testbed::helm::RELEASE;
use testbed::kubeconfig;
use testbed::run_folder::RunFolder;
use testbed::terminal::Done;
use testbed::terminal::Screen;
use testbed::tools::Set;
use testbed::tools::Tools;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::environment::Environment;
use crate::failing_sync;
use crate::samples::COPY_NAMESPACE;
use crate::samples::SOURCE_NAMESPACE;
use crate::samples::SYNC;

/// The time limit for the deletion of an object.
const DELETION: Duration = Duration::from_mins(2);

/// The namespaces that the demo creates and deletes.
const NAMESPACES: [&str; 4] =
    [RELEASE, SOURCE_NAMESPACE, COPY_NAMESPACE, failing_sync::DESTINATION];

/// Connects to the cluster of the kubeconfig `file`. Fails if it has one of the demo's namespaces.
pub(super) async fn prepare(
    screen: &Screen,
    file: &Path,
    image: Option<&str>,
) -> Result<Environment> {
    let tools =
        async { Ok(Done::new(Tools::ensure(&[Set::Helm]).await?, "built once, then cached")) };
    let tools = Screen::step_that_prints("build Helm", tools).await?;
    let client = async {
        let client = kubeconfig::client(file).await?;
        let version = client.apiserver_version().await;
        let version = version
            .with_context(|| format!("reading the version of the cluster of {}", file.display()));
        let version = version?.git_version;
        ensure_unused(&client).await?;
        Ok(Done::new(client, format!("Kubernetes {version}, {}", file.display())))
    };
    let client = screen.step("connect to the cluster", client).await?;
    let default = "skipped: uses the image of the chart (see --image)".to_owned();
    let detail = image.map_or(default, |image| format!("skipped: uses {image}"));
    Screen::not_shown("build the image", &detail);
    Screen::not_shown("start Jaeger", "skipped: requires the demo's own cluster");
    let folder = RunFolder::create()?;
    Ok(Environment {
        client,
        helm: Helm::new(&tools, helm::Version::V3, file, folder.path())?,
        values: image.map(helm::image_values).unwrap_or_default(),
        kubeconfig: file.to_owned(),
        jaeger: None,
        has_pages: false,
        cluster: None,
        _files: None,
        _folder: folder,
    })
}

/// Removes what the demo created: first the `ConfigMapSync`s, which the operator must clean up, then the
/// operator and the namespaces.
pub(super) async fn clean_up(screen: &Screen, client: &Client, helm: &Helm) -> Result<()> {
    let removal = async {
        failing_sync::delete_policy(client).await?;
        for name in [SYNC, failing_sync::NAME] {
            delete_sync(client, name).await?;
        }
        // There is no release if the demo failed before the installation.
        let uninstalled = helm.uninstall().await;
        for namespace in NAMESPACES {
            delete_namespace(client, namespace).await?;
        }
        uninstalled.or_else(|error| {
            if format!("{error:#}").contains("not found") { Ok(()) } else { Err(error) }
        })?;
        Ok(Done::new((), "the CRDs are kept"))
    };
    screen.step("clean up the cluster", removal).await
}

async fn ensure_unused(client: &Client) -> Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    for name in NAMESPACES {
        if namespaces.get_opt(name).await.context("reading the namespace")?.is_some() {
            bail!(
                "the cluster already has the namespace {name}: use another cluster, since the demo \
                 deletes the namespaces {} at its end",
                NAMESPACES.join(", ")
            );
        }
    }
    Ok(())
}

async fn delete_sync(client: &Client, name: &str) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(client.clone(), "default");
    match syncs.delete(name, &DeleteParams::default()).await {
        // The object or the CRD does not exist.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        result => result.with_context(|| format!("deleting ConfigMapSync {name}"))?,
    };
    until(format!("the deletion of ConfigMapSync {name}"), DELETION, || async {
        let sync = syncs.get_opt(name).await?;
        Ok(Seen::from_bool(sync.is_none(), || format!("{:?}", sync.map(|sync| sync.metadata))))
    })
    .await
}

async fn delete_namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    match namespaces.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        result => result.with_context(|| format!("deleting namespace {name}"))?,
    };
    until(format!("the deletion of namespace {name}"), DELETION, || async {
        let namespace = namespaces.get_opt(name).await?;
        Ok(Seen::from_bool(namespace.is_none(), || format!("{:?}", namespace.map(|it| it.status))))
    })
    .await
}
