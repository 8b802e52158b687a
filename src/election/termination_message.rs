//! The message with which a container ends: the holder identity of its process.
//!
//! The kubelet reports the file as `state.terminated.message` when the first process of the container
//! has ended, and the kernel ends all others of the container before. So the message proves that the
//! process with this identity has ended: see [`ended_holder`](crate::election::ended_holder).

use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::process;

use crate::election::identity::HolderIdentity;

/// The file, by default and in the manifests (`terminationMessagePath`).
const FILE: &str = "/dev/termination-log";
/// The first process of a container. Another process does not end with the container: in a pod that
/// shares its process namespace, or on a machine without containers.
const FIRST_PROCESS: u32 = 1;

/// Writes `holder` as the message with which this container ends, before this process holds the Lease. A
/// process that is not the first of its container writes nothing. Without the message, a standby waits
/// until the Lease has expired: a failure is only logged.
pub fn write(holder: &HolderIdentity) {
    if let Err(error) = write_as(process::id(), Path::new(FILE), holder) {
        tracing::warn!(
            %error,
            "cannot write the holder identity to {FILE}; if this process crashes while it leads, a \
             standby takes over only when the Lease has expired"
        );
    }
}

/// Writes as the process `id`, if the file exists.
fn write_as(id: u32, file: &Path, holder: &HolderIdentity) -> io::Result<()> {
    if id != FIRST_PROCESS {
        return Ok(());
    }
    match OpenOptions::new().write(true).truncate(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.write_all(holder.as_str().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_process_writes_its_identity() {
        let file = tempfile();
        let holder = HolderIdentity::new("operator-0", "uid", 7);
        write_as(2, &file, &holder).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        write_as(1, &file, &holder).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), holder.as_str());
        fs::remove_file(&file).unwrap();
        write_as(1, &file, &holder).unwrap();
        assert!(!file.exists(), "the file was created");
        assert!(write_as(1, &std::env::temp_dir(), &holder).is_err());
    }

    fn tempfile() -> std::path::PathBuf {
        let name = format!("configmapsync-termination-log-{}", process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, "before").unwrap();
        file
    }
}
