//! A cluster made for the demo, and gone after it.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use testbed::cluster::Cluster;
use testbed::debian;
use testbed::helm;
use testbed::helm::Helm;
use testbed::image;
use testbed::image::Image;
use testbed::jaeger::Jaeger;
use testbed::run_folder::RunFolder;
use testbed::sandbox::Footprint;
use testbed::terminal::Done;
use testbed::terminal::Now;
use testbed::terminal::Screen;
use testbed::tools::Set;
use testbed::tools::Tools;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::task::JoinSet;

use crate::setup::Setup;
use crate::user_files::UserFiles;

/// The kernel removes interfaces and processes within moments, but not at once.
const END: Duration = Duration::from_secs(20);

pub(super) async fn prepare(screen: &Screen, stays: bool) -> Result<Setup> {
    let tools = async {
        debian::ensure_node().await?;
        debian::ensure_rust_target(&image::target()).await?;
        let tools = Tools::ensure(&Set::ALL).await?;
        Ok(Done::new(tools, "etcd, Kubernetes, containerd, Helm, Jaeger: built once, kept"))
    };
    let tools = Screen::step_that_prints("tools", tools).await?;

    // Compiling and starting the cluster at the same time. Dropping the set ends the compiler.
    let mut compiling = JoinSet::new();
    compiling.spawn(build_image(screen.now()));
    let cluster = async {
        let cluster = Cluster::start(&tools).await?;
        let version = cluster.client().apiserver_version().await?.git_version;
        Ok(Done::new(cluster, format!("Kubernetes {version}, one node, ready for pods")))
    };
    let cluster = screen.step("cluster", cluster).await?;
    let image = async {
        let built = compiling.join_next().await.context("nothing is compiling")?;
        let (image, _folder, took) = built.context("building the image")??;
        let loading = Instant::now();
        cluster.load(&image).await?;
        let detail = format!("{}, static, FROM scratch", mebibytes(image.bytes));
        Ok(Done::new(image, detail).took(took + loading.elapsed()))
    };
    let image = screen.step("image, from the Dockerfile", image).await?;
    let jaeger = async {
        let jaeger = Jaeger::start(&cluster).await?;
        let detail = format!("takes traces at {}", jaeger.otlp_grpc());
        Ok(Done::new(jaeger, detail))
    };
    let jaeger = screen.step("Jaeger", jaeger).await?;

    let files = if stays { Some(UserFiles::write(&cluster, &tools)?) } else { None };
    let folder = RunFolder::create()?;
    let mut values = helm::image_values(&image.reference);
    // It was loaded; no registry has it.
    values.push(("image.pullPolicy", "Never".to_owned()));
    values.push(("otlp.endpoint", jaeger.otlp_grpc()));
    Ok(Setup {
        client: cluster.client(),
        helm: Helm::new(tools.path("helm")?, cluster.kubeconfig(), folder.path()),
        values,
        kubeconfig: files.as_ref().map_or(cluster.kubeconfig().to_owned(), UserFiles::kubeconfig),
        jaeger: Some(jaeger),
        cluster: Some(cluster),
        _files: files,
        _folder: folder,
    })
}

/// Ends the cluster, and looks whether anything is left.
pub(super) async fn leave(screen: &Screen, setup: Setup) -> Result<()> {
    let footprint = setup.cluster.as_ref().map(|cluster| cluster.sandbox().footprint().clone());
    let gone = async {
        drop(setup);
        until("everything of the cluster is gone", END, || async {
            let remains = footprint.iter().flat_map(Footprint::remains);
            let remains = remains.collect::<Vec<_>>();
            Ok(Seen::from_bool(remains.is_empty(), || remains.join("\n")))
        })
        .await?;
        Ok(Done::new((), "no process, mount, interface or control group is left"))
    };
    screen.step("the cluster is gone", gone).await
}

async fn build_image(now: Now) -> Result<(Image, RunFolder, Duration)> {
    let began = Instant::now();
    let binary = image::compile(|line| now.set(line)).await?;
    let folder = RunFolder::create()?;
    let image = image::build(&binary, folder.path()).await?;
    Ok((image, folder, began.elapsed()))
}

/// Bytes as mebibytes, with one digit.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
