//! The link between a sandbox and this machine: one pair of interfaces, one pair of addresses.

use std::net::Ipv4Addr;

use anyhow::Result;
use anyhow::bail;
use tokio::process::Command;

use crate::command;

/// Where links get their addresses from: `10.200.0.0/24`, `10.200.1.0/24`, and so on.
const RANGE: [u8; 2] = [10, 200];
/// Names of interfaces have at most 15 characters.
const INTERFACE: &str = "cms-sandbox";

/// A link that exists.
#[derive(Clone, Debug)]
pub struct Network {
    /// The interface on this machine; the kernel removes it together with the sandbox.
    pub interface: String,
    /// This machine, as seen from inside.
    pub outside: Ipv4Addr,
    /// The sandbox, as seen from this machine.
    pub inside: Ipv4Addr,
}

impl Network {
    /// Links the network namespace of the process `anchor` to this machine.
    pub(super) async fn connect(anchor: u32) -> Result<Self> {
        for number in 0..=u8::MAX {
            let this = Self::numbered(number);
            if this.create(anchor).await? {
                this.configure(anchor).await?;
                return Ok(this);
            }
        }
        bail!("linking a sandbox: each of 10.200.0.0/24 to 10.200.255.0/24 is in use");
    }

    fn numbered(number: u8) -> Self {
        let [first, second] = RANGE;
        Self {
            interface: format!("{INTERFACE}{number}"),
            outside: Ipv4Addr::new(first, second, number, 1),
            inside: Ipv4Addr::new(first, second, number, 2),
        }
    }

    /// Whether the interfaces could be made; the kernel gives each name only once.
    async fn create(&self, anchor: u32) -> Result<bool> {
        let range = format!("{}/24", self.outside);
        if !command::run(&mut ip(&["address", "show", "to", &range])).await?.is_empty() {
            return Ok(false);
        }
        let anchor = anchor.to_string();
        let made = ip(&["link", "add", &self.interface, "type", "veth"])
            .args(["peer", "name", "uplink", "netns", &anchor])
            .output()
            .await?;
        let said = String::from_utf8_lossy(&made.stderr);
        if !made.status.success() && !said.contains("File exists") {
            bail!("linking a sandbox: adding the interface {}: {}", self.interface, said.trim());
        }
        Ok(made.status.success())
    }

    async fn configure(&self, anchor: u32) -> Result<()> {
        let outside = format!("{}/24", self.outside);
        command::run(&mut ip(&["address", "add", &outside, "dev", &self.interface])).await?;
        command::run(&mut ip(&["link", "set", &self.interface, "up"])).await?;
        let inside = format!("{}/24", self.inside);
        let outside = self.outside.to_string();
        for words in [
            ["address", "add", &inside, "dev", "uplink"].as_slice(),
            &["link", "set", "uplink", "up"],
            // Kubernetes wants to know the address of a node by its default route.
            &["route", "add", "default", "via", &outside],
        ] {
            let mut inside = Command::new("nsenter");
            inside.args(["--target", &anchor.to_string(), "--net", "--", "ip"]).args(words);
            command::run(&mut inside).await?;
        }
        Ok(())
    }
}

fn ip(words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(words);
    command
}
