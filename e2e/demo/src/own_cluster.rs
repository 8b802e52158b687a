//! The cluster that the demo starts and removes, if the user provides none.

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

use crate::environment::Environment;
use crate::options::Options;
use crate::user_files::UserFiles;

/// The time limit for the kernel to remove processes, mounts and interfaces.
const REMOVAL: Duration = Duration::from_secs(20);

/// Starts a cluster with Jaeger, and loads the image of the operator. Unless the demo ends after the last
/// step, also writes the files for the user.
pub(super) async fn prepare(screen: &Screen, options: &Options) -> Result<Environment> {
    let tools = async {
        debian::ensure_node().await?;
        debian::ensure_rust_target(&image::target()).await?;
        let tools = Tools::ensure(&Set::ALL).await?;
        Ok(Done::new(tools, "etcd, Kubernetes, containerd, Helm, Jaeger: built once, then cached"))
    };
    let tools = Screen::step_that_prints("build the tools", tools).await?;

    // The operator compiles while the cluster starts. Dropping the set kills the compiler.
    let mut compiling = JoinSet::new();
    compiling.spawn(build_image(screen.now()));
    let cluster = async {
        let cluster = Cluster::start(&tools).await?;
        let version = cluster.client().apiserver_version().await?.git_version;
        Ok(Done::new(cluster, format!("Kubernetes {version}, one node")))
    };
    let cluster = screen.step("start a cluster", cluster).await?;
    let image = async {
        let built = compiling.join_next().await.context("no image is being built")?;
        let (image, _folder, took) = built.context("building the image")??;
        let loading = Instant::now();
        cluster.load(&image).await?;
        let detail = format!("{}: a static binary FROM scratch", mebibytes(image.bytes));
        Ok(Done::new(image, detail).took(took + loading.elapsed()))
    };
    let image = screen.step("build and load the image", image).await?;
    let jaeger = async {
        let jaeger = Jaeger::start(&cluster, options.jaeger_ui.as_deref()).await?;
        let detail = format!("receives traces at {}", jaeger.otlp_grpc());
        Ok(Done::new(jaeger, detail))
    };
    let jaeger = screen.step("start Jaeger", jaeger).await?;

    let files = if options.once { None } else { Some(UserFiles::write(&cluster, &tools)?) };
    let folder = RunFolder::create()?;
    let mut values = helm::image_values(&image.reference);
    // The image was loaded onto the node. It is in no registry.
    values.push(("image.pullPolicy", "Never".to_owned()));
    values.push(("otlp.endpoint", jaeger.otlp_grpc()));
    Ok(Environment {
        client: cluster.client(),
        helm: Helm::new(&tools, helm::Version::V3, cluster.kubeconfig(), folder.path())?,
        values,
        kubeconfig: files.as_ref().map_or(cluster.kubeconfig().to_owned(), UserFiles::kubeconfig),
        jaeger: Some(jaeger),
        has_pages: options.jaeger_ui.is_some(),
        cluster: Some(cluster),
        _files: files,
        _folder: folder,
    })
}

/// Removes the cluster and verifies that nothing is left on this machine.
pub(super) async fn remove(screen: &Screen, environment: Environment) -> Result<()> {
    let footprint =
        environment.cluster.as_ref().map(|cluster| cluster.sandbox().footprint().clone());
    let removal = async {
        drop(environment);
        until("the removal of all parts of the cluster", REMOVAL, || async {
            let remains = footprint.iter().flat_map(Footprint::remains);
            let remains = remains.collect::<Vec<_>>();
            Ok(Seen::from_bool(remains.is_empty(), || remains.join("\n")))
        })
        .await?;
        Ok(Done::new((), "no process, mount, network interface or cgroup is left"))
    };
    screen.step("remove the cluster", removal).await
}

/// Compiles the operator and builds its image. Returns the image, its directory and the time it took.
async fn build_image(now: Now) -> Result<(Image, RunFolder, Duration)> {
    let began = Instant::now();
    let binary = image::compile(|line| now.set(line)).await?;
    let folder = RunFolder::create()?;
    let image = image::build(&binary, folder.path()).await?;
    Ok((image, folder, began.elapsed()))
}

/// `12.3 MiB`, rounded down.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
