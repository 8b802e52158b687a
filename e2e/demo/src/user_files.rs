//! Files for users who access the demo's own cluster.

use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use testbed::cluster::Cluster;
use testbed::repository;
use testbed::run_folder::Janitor;
use testbed::tools::Tools;

/// The directory `target/demo` with a kubeconfig and a link to kubectl.
///
/// It is removed when this process ends, for whatever reason.
pub struct UserFiles {
    folder: PathBuf,
    _janitor: Janitor,
}

impl UserFiles {
    /// Writes the files.
    pub fn write(cluster: &Cluster, tools: &Tools) -> Result<Self> {
        let folder = repository::root().join("target/demo");
        let context = || format!("writing to {}", folder.display());
        fs::create_dir_all(&folder).with_context(context)?;
        let name = folder.to_str().context("the path of this repository is not UTF-8")?;
        let janitor = Janitor::start("rm -rf -- \"$1\"", &[name])?;
        let kubeconfig = fs::read(cluster.kubeconfig()).with_context(context)?;
        let mut file = OpenOptions::new();
        // It contains cluster-admin credentials.
        let file = file.write(true).create(true).truncate(true).mode(0o600);
        let mut file = file.open(folder.join("kubeconfig")).with_context(context)?;
        file.write_all(&kubeconfig).with_context(context)?;
        let kubectl = folder.join("kubectl");
        if kubectl.is_symlink() {
            fs::remove_file(&kubectl).with_context(context)?;
        }
        symlink(tools.path("kubectl")?, kubectl).with_context(context)?;
        Ok(Self { folder, _janitor: janitor })
    }

    /// The path of the kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }
}
