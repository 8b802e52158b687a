//! The programs of a cluster: built from their Go modules once, then cached.
//!
//! Each [`Set`] is a folder below `tools/` with a `go.mod` and a `go.sum`, so every byte that goes
//! into a build is pinned. A built set lies in a cache outside the checkout, under a name derived
//! from those two files and the flags, so that checkouts with the same pins share it.
//! The cache is `CONFIGMAPSYNC_TOOLS`, else `$XDG_CACHE_HOME/configmapsync`, else
//! `~/.cache/configmapsync`.

mod build;
mod cargo_about;
mod set;

pub use crate::tools::set::Set;

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

/// Built programs, by name.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    programs: BTreeMap<String, PathBuf>,
}

impl Tools {
    /// Ensures that the programs of `sets` are built.
    ///
    /// Builds what is missing, one set after the other, and says so on standard error. Other
    /// processes that want the same set wait for the one that builds it.
    pub async fn ensure(sets: &[Set]) -> Result<Self> {
        let cache = cache()?;
        let mut programs = BTreeMap::new();
        for set in sets {
            let folder = match set.provided(assets().as_deref()) {
                Some(folder) => folder,
                None => build::ensure(*set, &cache)
                    .await
                    .with_context(|| format!("building the tools of the set {}", set.name()))?,
            };
            for program in set.programs() {
                programs.insert((*program).to_owned(), folder.join(program));
            }
        }
        if let Some(assets) = assets()
            && programs.contains_key("kube-apiserver")
        {
            programs.insert("kube-apiserver".to_owned(), assets.join("kube-apiserver"));
        }
        Ok(Self { programs })
    }

    /// Where the program called `name` is.
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.programs.get(name).map(PathBuf::as_path).with_context(|| {
            let known: Vec<_> = self.programs.keys().map(String::as_str).collect();
            format!("no tool {name}: ask Tools::ensure for its set (here are {})", known.join(", "))
        })
    }

    /// The folder that holds the program called `name`; a set lies in one folder.
    pub fn folder(&self, name: &str) -> Result<&Path> {
        self.path(name)?.parent().with_context(|| format!("the tool {name} lies in no folder"))
    }
}

/// The folder named by `KUBEBUILDER_ASSETS`, where it holds what a control plane needs.
fn assets() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("KUBEBUILDER_ASSETS")?);
    let complete = ["etcd", "kube-apiserver"].iter().all(|name| folder.join(name).is_file());
    complete.then_some(folder)
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CONFIGMAPSYNC_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("configmapsync")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/configmapsync")))
        .context("no place for built tools: set CONFIGMAPSYNC_TOOLS to a folder, or HOME")
}
