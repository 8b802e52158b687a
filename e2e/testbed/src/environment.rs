//! Where the programs of a cluster with pods run.

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

/// Where the programs of a cluster run: their namespaces, binaries and files.
pub struct Environment<'a> {
    /// The namespaces they run in.
    pub sandbox: &'a Sandbox,
    /// The programs.
    pub tools: &'a Tools,
    /// For their settings and logs.
    pub folder: PathBuf,
}

impl Environment<'_> {
    /// The tool `name`, to be started inside the sandbox, with its own log.
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
