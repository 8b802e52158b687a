//! The operator's image, built from the repository's Dockerfile without a registry.
//!
//! The compile stage of the Dockerfile needs an image with Rust. Here the local toolchain compiles the
//! binary, which replaces that stage; the last stage is built unchanged.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use tokio::process::Command;

use crate::command;
use crate::repository;

mod compile;
mod notices;

pub use crate::image::compile::compile;
pub use crate::image::compile::target;

/// An image in a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name under which a container runtime knows it after the import.
    pub reference: String,
    /// The image, as `docker save` writes it.
    pub archive: PathBuf,
    /// The length of the archive: the layers are not compressed.
    pub bytes: u64,
}

/// Repository and tag of `reference`; the colon of a registry's port begins no tag.
#[must_use]
pub fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, None),
    }
}

/// Builds the repository's Dockerfile around a compiled operator.
///
/// What is needed while building, and the archive, lies in `folder`.
pub async fn build(binary: &Path, folder: &Path) -> Result<Image> {
    let stage = folder.join("compile");
    let certificates = stage.join("etc/ssl/certs");
    fs::create_dir_all(&certificates).context("creating the folder of the compile stage")?;
    fs::copy(binary, stage.join("configmapsync"))
        .with_context(|| format!("copying {}", binary.display()))?;
    let bundle = certificates.join("ca-certificates.crt");
    if fs::copy("/etc/ssl/certs/ca-certificates.crt", &bundle).is_err() {
        // Only collectors reached over https need it.
        fs::write(&bundle, "").with_context(|| format!("writing {}", bundle.display()))?;
    }
    notices::write(&stage.join("licenses")).await.context("collecting the licenses")?;
    let dockerfile = repository::root().join("Dockerfile");
    let reference = "localhost/configmapsync:built";
    buildah(reference, &dockerfile, &stage, folder).await.context("building the operator's image")
}

/// Builds `dockerfile` with the folder `compile` in place of its stage of that name.
pub(crate) async fn buildah(
    reference: &str,
    dockerfile: &Path,
    compile: &Path,
    folder: &Path,
) -> Result<Image> {
    let context = folder.join("context");
    fs::create_dir_all(&context).context("creating an empty build context")?;
    // Storage of our own: what other builds on this machine keep is neither seen nor changed.
    let buildah = || {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(folder.join("storage"));
        command.arg("--runroot").arg(folder.join("run")).args(["--storage-driver", "vfs"]);
        command
    };
    let stage = format!("compile={}", compile.display());
    let mut build = buildah();
    build.args(["build", "--quiet", "--isolation", "chroot", "--build-context", &stage]);
    build.arg("--file").arg(dockerfile).args(["--tag", reference]).arg(&context);
    command::run(&mut build).await?;

    let archive = folder.join("image.tar");
    let mut push = buildah();
    push.args(["push", "--quiet", reference]);
    push.arg(format!("docker-archive:{}:{reference}", archive.display()));
    command::run(&mut push).await?;
    for rest in ["storage", "run"] {
        fs::remove_dir_all(folder.join(rest)).context("removing what buildah stored")?;
    }
    let bytes = fs::metadata(&archive).context("looking at the image")?.len();
    Ok(Image { reference: reference.to_owned(), archive, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_where_the_tag_begins() {
        assert_eq!(split("a/b:c"), ("a/b", Some("c")));
        assert_eq!(split("host:5000/b:c"), ("host:5000/b", Some("c")));
        assert_eq!(split("host:5000/b"), ("host:5000/b", None));
    }
}
