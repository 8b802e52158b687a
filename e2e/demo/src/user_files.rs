//! Files for who wants to use the cluster of the demo.

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

/// Files for the person who looks around: `target/demo`, removed at the end, whatever that is.
pub struct UserFiles {
    folder: PathBuf,
    _janitor: Janitor,
}

impl UserFiles {
    pub fn write(cluster: &Cluster, tools: &Tools) -> Result<Self> {
        let folder = repository::root().join("target/demo");
        let context = || format!("writing into {}", folder.display());
        fs::create_dir_all(&folder).with_context(context)?;
        let name = folder.to_str().context("the path of this repository is not UTF-8")?;
        let janitor = Janitor::start("rm -rf -- \"$1\"", &[name])?;
        let kubeconfig = fs::read(cluster.kubeconfig()).with_context(context)?;
        let mut file = OpenOptions::new();
        // It lets everybody do everything who can read it.
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

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }
}
