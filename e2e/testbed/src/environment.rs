//! The environment of the programs of a cluster with pods.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::control_plane::ControlPlane;
use crate::debian;
use crate::kubeconfig::Credential;
use crate::process::Program;
use crate::sandbox::Sandbox;
use crate::tools::Tools;

/// The Linux namespaces, binaries and files of the programs of a cluster.
pub struct Environment<'a> {
    /// The Linux namespaces in which the programs run.
    pub sandbox: &'a Sandbox,
    /// The binaries.
    pub tools: &'a Tools,
    /// The directory of configuration files and logs.
    pub folder: PathBuf,
}

impl Environment<'_> {
    /// The program `name`, which runs inside the sandbox and writes its own log.
    pub fn program(&self, name: &str) -> Result<Program> {
        let log = self.folder.join(format!("{name}.log"));
        Ok(Program::new(self.tools.path(name)?, log)
            .prefix(self.sandbox.prefix())
            .environment("PATH", debian::path()))
    }

    /// Writes a configuration file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    /// Writes a kubeconfig for `user` in `groups`, and returns its path.
    pub fn kubeconfig(
        &self,
        control_plane: &ControlPlane,
        name: &str,
        user: &str,
        groups: &[&str],
    ) -> Result<PathBuf> {
        let files = control_plane.authority().issue_client(name, user, groups)?;
        let text = control_plane.kubeconfig_for(&Credential::Certificate(files))?;
        self.write(&format!("{name}.kubeconfig"), &text)
    }
}
