//! The commands of the documentation, in a shell as a user has it.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use testbed::helm;
use testbed::repository;
use testbed::tools::Set;
use testbed::tools::Tools;
use tokio::process::Command;
use tokio::time::timeout;

/// Timeout of one script.
const TIMEOUT: Duration = Duration::from_mins(5);

/// The shell blocks of the section `heading` (`### Uninstall`) of `docs/PAGE`, in their order.
pub fn blocks(page: &str, heading: &str) -> Result<Vec<String>> {
    let path = repository::root().join("docs").join(page);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let start = text.find(&format!("\n{heading}\n"));
    let rest = &text[start.with_context(|| format!("no section {heading:?} in {page}"))? + 1..];
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in rest.lines().skip(1) {
        match &mut block {
            None if line.starts_with('#') => break,
            None if line.trim() == "```sh" => block = Some(String::new()),
            Some(_) if line.trim() == "```" => blocks.extend(block.take()),
            Some(block) => block.extend([line, "\n"]),
            None => {}
        }
    }
    ensure!(!blocks.is_empty(), "no shell block in the section {heading:?} of {page}");
    Ok(blocks)
}

/// A shell with kubectl and Helm for one cluster, in the root of the repository.
#[derive(Clone, Debug)]
pub struct Shell {
    programs: String,
    kubeconfig: PathBuf,
    home: PathBuf,
    helm: helm::Version,
}

/// The end of a script.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whether each command succeeded.
    pub is_success: bool,
    /// What it printed, on both outputs.
    pub output: String,
}

impl Shell {
    /// A shell for the user of `kubeconfig`, with Helm 3. Helm and kubectl keep their own files below
    /// `home`.
    pub async fn new(kubeconfig: &Path, home: &Path) -> Result<Self> {
        Self::with_helm(helm::Version::V3, kubeconfig, home).await
    }

    /// As [`Shell::new`], in which `helm` is this version of Helm.
    pub async fn with_helm(helm: helm::Version, kubeconfig: &Path, home: &Path) -> Result<Self> {
        let tools = Tools::ensure(&[Set::ControlPlane, helm.set()]).await?;
        let folders = [tools.folder("kubectl")?, tools.folder(helm.program())?];
        let path = env::var("PATH").unwrap_or_default();
        let programs = format!("{}:{}:{path}", folders[0].display(), folders[1].display());
        let [kubeconfig, home] = [kubeconfig, home].map(Path::to_owned);
        Ok(Self { programs, kubeconfig, home, helm })
    }

    /// Runs a script up to the first command that fails.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn try_run(&self, script: &str) -> Result<Ended> {
        let mut command = Command::new("sh");
        let program = self.helm.program();
        let prelude = format!("exec 2>&1\nhelm() {{ command {program} \"$@\"; }}");
        command.args(["-ec", &format!("{prelude}\n{script}")]);
        command.env("PATH", &self.programs).env("KUBECONFIG", &self.kubeconfig);
        command.env("HOME", &self.home).stdin(Stdio::null()).kill_on_drop(true);
        command.current_dir(repository::root());
        let output = timeout(TIMEOUT, command.output()).await;
        let output = output.with_context(|| format!("running {script}"))??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Ended { is_success: output.status.success(), output: text })
    }

    /// Runs a script, and returns what it printed.
    ///
    /// # Errors
    /// A command fails.
    pub async fn run(&self, script: &str) -> Result<String> {
        let Ended { is_success, output } = self.try_run(script).await?;
        ensure!(is_success, "{script}\nfailed: {output}");
        Ok(output)
    }
}
