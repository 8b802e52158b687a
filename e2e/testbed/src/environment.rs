//! Where the programs of a cluster with pods run, and what they are.

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

/// Where the programs of a cluster run, and what they are.
pub struct Environment<'a> {
    /// The namespaces they run in.
    pub sandbox: &'a Sandbox,
    /// The programs.
    pub tools: &'a Tools,
    /// For their settings and logs.
    pub folder: PathBuf,
}

impl Environment<'_> {
    /// The tool called `name`, to be started inside, with a log of its own.
    pub fn program(&self, name: &str) -> Result<Program> {
        let log = self.folder.join(format!("{name}.log"));
        Ok(Program::new(self.tools.path(name)?, log)
            .prefix(self.sandbox.prefix())
            .environment("PATH", debian::path()))
    }

    /// Writes a file of settings and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    /// Writes a kubeconfig by which the control plane knows its bearer as `user` in `groups`.
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
