//! What a sandbox could leave behind.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde::Deserialize;
use serde::Serialize;

/// The kernel objects of a sandbox, by name.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Footprint {
    /// As the links below `/proc/<process>/ns` name them.
    namespaces: Vec<PathBuf>,
    interface: String,
    control_group: String,
}

impl Footprint {
    pub(super) fn new(anchor: u32, interface: &str, control_group: &str) -> Result<Self> {
        let namespaces = ["pid", "mnt", "net"]
            .map(|kind| PathBuf::from(format!("/proc/{anchor}/ns/{kind}")))
            .into_iter()
            .map(|link| fs::read_link(&link).with_context(|| format!("reading {}", link.display())))
            .collect::<Result<_>>()?;
        let (interface, control_group) = (interface.to_owned(), control_group.to_owned());
        Ok(Self { namespaces, interface, control_group })
    }

    /// Describes everything that still exists.
    #[must_use]
    pub fn remains(&self) -> Vec<String> {
        let mut remains = self.processes();
        if Path::new("/sys/class/net").join(&self.interface).exists() {
            remains.push(format!("interface {}", self.interface));
        }
        control_groups(Path::new("/sys/fs/cgroup"), &self.control_group, &mut remains);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let ours = |line: &&str| line.contains(" sandbox ") || line.contains(&self.control_group);
        remains.extend(mounts.lines().filter(ours).map(|line| format!("mount {line}")));
        remains
    }

    fn processes(&self) -> Vec<String> {
        // Containers have their own namespaces; their control groups identify them.
        let grouped = |process: &PathBuf| {
            let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
            groups.contains(&format!("/{}/", self.control_group))
        };
        let inside = |process: &PathBuf| {
            ["pid", "mnt", "net"].iter().any(|kind| {
                fs::read_link(process.join("ns").join(kind))
                    .is_ok_and(|namespace| self.namespaces.contains(&namespace))
            })
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .map(|process| process.path())
            .filter(|process| inside(process) || grouped(process))
            .map(|process| {
                let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
                format!("process {} {}", process.display(), command.trim())
            })
            .collect()
    }
}

/// Finds folders `name` in `folder` and one level below, at the root of each hierarchy.
fn control_groups(folder: &Path, name: &str, found: &mut Vec<String>) {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in folders.filter(|path| path.is_dir()).chain([folder.to_owned()]) {
        if hierarchy.join(name).exists() {
            found.push(format!("control group {}", hierarchy.join(name).display()));
        }
    }
}
