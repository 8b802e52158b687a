//! A cluster that belongs to somebody else: the demo takes care of what it finds there.

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

use crate::samples::COPY_NAMESPACE;
use crate::samples::SOURCE_NAMESPACE;
use crate::samples::SYNC;
use crate::setup::Setup;

/// How long Kubernetes may take to delete something.
const DELETION: Duration = Duration::from_mins(2);

const NAMESPACES: [&str; 3] = [RELEASE, SOURCE_NAMESPACE, COPY_NAMESPACE];

pub(super) async fn prepare(screen: &Screen, file: &Path, image: Option<&str>) -> Result<Setup> {
    let tools = async { Ok(Done::new(Tools::ensure(&[Set::Helm]).await?, "Helm")) };
    let tools = Screen::step_that_prints("tools", tools).await?;
    let client = async {
        let client = kubeconfig::client(file).await?;
        let version = client.apiserver_version().await;
        let version = version.with_context(|| format!("asking the cluster of {}", file.display()));
        let version = version?.git_version;
        refuse_taken(&client).await?;
        Ok(Done::new(client, format!("Kubernetes {version}, of {}", file.display())))
    };
    let client = screen.step("cluster", client).await?;
    let chart = "the chart's own; --image names another".to_owned();
    let detail = image.map_or(chart, |image| format!("taken as it is: {image}"));
    Screen::not_shown("image, from the Dockerfile", &detail);
    Screen::not_shown("Jaeger", "only in a cluster that the demo makes itself");
    let folder = RunFolder::create()?;
    Ok(Setup {
        client,
        helm: Helm::new(tools.path("helm")?, file, folder.path()),
        values: image.map(helm::image_values).unwrap_or_default(),
        kubeconfig: file.to_owned(),
        jaeger: None,
        cluster: None,
        _files: None,
        _folder: folder,
    })
}

/// Removes what the demo brought: the sync while the operator can clean up, the operator, and the
/// namespaces, which were not there before.
pub(super) async fn leave(screen: &Screen, client: &Client, helm: &Helm) -> Result<()> {
    let removal = async {
        delete_sync(client).await?;
        // Absent if the demo failed before it was installed.
        let uninstalled = helm.uninstall().await;
        for namespace in NAMESPACES {
            delete_namespace(client, namespace).await?;
        }
        uninstalled.or_else(|error| {
            if format!("{error:#}").contains("not found") { Ok(()) } else { Err(error) }
        })?;
        Ok(Done::new((), "only the CRD is kept, as Helm keeps it"))
    };
    screen.step("everything of the demo is removed", removal).await
}

async fn refuse_taken(client: &Client) -> Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    for name in NAMESPACES {
        if namespaces.get_opt(name).await.context("reading the namespaces")?.is_some() {
            bail!(
                "this cluster has a namespace {name} already, and the demo deletes the namespaces \
                 {} at its end: use a cluster without them",
                NAMESPACES.join(", ")
            );
        }
    }
    Ok(())
}

async fn delete_sync(client: &Client) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(client.clone(), "default");
    match syncs.delete(SYNC, &DeleteParams::default()).await {
        // It is not there, or its kind is not.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        result => result.with_context(|| format!("deleting the ConfigMapSync {SYNC}"))?,
    };
    until(format!("the ConfigMapSync {SYNC} is gone"), DELETION, || async {
        let sync = syncs.get_opt(SYNC).await?;
        Ok(Seen::from_bool(sync.is_none(), || format!("{:?}", sync.map(|sync| sync.metadata))))
    })
    .await
}

async fn delete_namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    match namespaces.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        result => result.with_context(|| format!("deleting the namespace {name}"))?,
    };
    until(format!("the namespace {name} is gone"), DELETION, || async {
        let namespace = namespaces.get_opt(name).await?;
        Ok(Seen::from_bool(namespace.is_none(), || format!("{:?}", namespace.map(|it| it.status))))
    })
    .await
}
