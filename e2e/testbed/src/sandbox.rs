//! Linux namespaces for the processes of a node, which leave nothing behind, however the run ends.
//!
//! The sandbox is a process, the *anchor*, in its own pid, mount and network namespaces. All programs
//! of a cluster with pods start inside. The anchor reads a pipe whose other end this program holds:
//! when this program ends, even by SIGKILL, the anchor ends too, and the kernel removes every process,
//! mount and interface of the sandbox.
//!
//! Control groups outlive their processes. The *keeper*, the parent of the anchor, stays outside and
//! removes them in the end.

mod footprint;
mod keeper;
mod network;

pub use crate::sandbox::footprint::Footprint;
pub use crate::sandbox::network::Network;

use std::ffi::OsStr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use anyhow::Result;
use tokio::process::Command;

use crate::sandbox::keeper::Keeper;

/// The namespaces of one node. Dropped, it ends everything inside and waits for the end.
#[derive(Debug)]
pub struct Sandbox {
    keeper: Keeper,
    anchor: u32,
    control_group: String,
    network: Network,
    footprint: Footprint,
}

impl Sandbox {
    /// Opens a sandbox, with a network link between it and this machine.
    pub async fn open() -> Result<Self> {
        // A program may open several sandboxes, and several programs may run.
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let control_group = format!("configmapsync-{}-{number}", std::process::id());
        let (keeper, anchor) = Keeper::start(&control_group)?;
        let network = Network::connect(anchor).await?;
        let footprint = Footprint::new(anchor, &network.interface, &control_group)?;
        Ok(Self { keeper, anchor, control_group, network, footprint })
    }

    /// The prefix of a command line that runs it inside.
    #[must_use]
    pub fn prefix(&self) -> Vec<String> {
        // Also into its root: entering a mount namespace alone would leave a chroot.
        let target = format!("--target={}", self.anchor);
        ["nsenter", &target, "--pid", "--mount", "--net", "--root", "--"].map(str::to_owned).into()
    }

    /// A command that runs inside.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program);
        command
    }

    /// The link to the sandbox, with the addresses of both ends.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What the sandbox could leave behind; outlives it, to be checked afterwards.
    #[must_use]
    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    /// The control group of its containers, from the root of each hierarchy.
    #[must_use]
    pub fn control_group(&self) -> &str {
        &self.control_group
    }

    /// Ends everything inside and waits until nothing is left.
    pub fn close(mut self) -> Result<()> {
        self.keeper.end()
    }
}
