//! The container that holds a pod's namespaces and does nothing.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use tokio::process::Command;

use crate::command;
use crate::image;
use crate::image::Image;

/// The image of the container that holds a pod's namespaces, and that may serve as a pod, too.
pub const PAUSE_IMAGE: &str = "localhost/pause:built";

/// Given words, it repeats them and ends.
const PROGRAM: &str = r#"
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.is_empty() {
        return println!("{}", words.join(" "));
    }
    println!("pausing");
    loop {
        std::thread::park();
    }
}
"#;
const DOCKERFILE: &str = "\
FROM scratch AS compile
FROM scratch
COPY --from=compile /pause /pause
USER 65532:65532
ENTRYPOINT [\"/pause\"]
";

/// Compiles it, and makes an image of it below `folder`.
pub(super) async fn build(folder: &Path) -> Result<Image> {
    let folder = folder.join("pause");
    let stage = folder.join("compile");
    fs::create_dir_all(&stage).context("creating the folder of the pause image")?;
    let dockerfile = folder.join("Dockerfile");
    fs::write(&dockerfile, DOCKERFILE).context("writing the pause image's Dockerfile")?;
    let source = folder.join("pause.rs");
    fs::write(&source, PROGRAM).context("writing the pause program")?;
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "--target", &image::target()]);
    rustc.args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols", "-o"]);
    rustc.arg(stage.join("pause")).arg(&source);
    command::run(&mut rustc).await.context("compiling the pause program")?;
    image::buildah(PAUSE_IMAGE, &dockerfile, &stage, &folder).await.context("building its image")
}
