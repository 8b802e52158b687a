//! Which file imports from which, read from the `use` lines of a crate.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A module's path within its crate: `["controller", "act"]`; empty for the root.
pub type Module = Vec<String>;

/// The modules of one crate, and what each imports.
pub struct Imports {
    files: BTreeMap<Module, PathBuf>,
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

// === impl Imports ===

impl Imports {
    /// Reads the crate whose modules lie in `folder`, with `root` (such as `lib.rs`) as its root.
    pub fn read(folder: &Path, root: &str) -> Self {
        let mut files = BTreeMap::new();
        collect_files(folder, &[], root, &mut files);
        let texts: BTreeMap<_, _> =
            files.iter().map(|(module, path)| (module.clone(), production_code(path))).collect();
        let reexports = texts.iter().map(|(module, text)| (module.clone(), reexports(text)));
        let reexports: BTreeMap<_, _> = reexports.collect();
        let edges = texts.iter().map(|(module, text)| {
            let used = used_paths(text, module, &files);
            let targets = used.filter_map(|path| resolve(&path, &files, &reexports));
            let children = files.keys().filter(|other| is_child(other, module)).cloned();
            let targets: BTreeSet<_> =
                targets.chain(children).filter(|target| target != module).collect();
            (module.clone(), targets)
        });
        Self { edges: edges.collect(), files }
    }

    /// Each pair of a module and a module that it imports from.
    pub fn pairs(&self) -> impl Iterator<Item = (&Module, &Module)> {
        self.edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
    }

    /// The file of `module`.
    pub fn file(&self, module: &Module) -> &Path {
        &self.files[module]
    }

    /// A circle of imports, if there is one: each imports from the next, the last from the first.
    pub fn circle(&self) -> Option<Vec<Module>> {
        let mut done = BTreeSet::new();
        let mut path = Vec::new();
        self.edges.keys().find_map(|module| self.circle_from(module, &mut path, &mut done))
    }

    fn circle_from(
        &self,
        module: &Module,
        path: &mut Vec<Module>,
        done: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(start) = path.iter().position(|earlier| earlier == module) {
            return Some(path[start..].to_vec());
        }
        if done.contains(module) {
            return None;
        }
        path.push(module.clone());
        let found = self.edges[module].iter().find_map(|to| self.circle_from(to, path, done));
        path.pop();
        done.insert(module.clone());
        found
    }
}

fn collect_files(
    folder: &Path,
    parent: &[String],
    root: &str,
    files: &mut BTreeMap<Module, PathBuf>,
) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let mut module = parent.to_vec();
        if path.is_dir() {
            module.push(name.to_owned());
            collect_files(&path, &module, root, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_root = parent.is_empty() && path.ends_with(root);
            let is_other_root = parent.is_empty() && matches!(name, "main" | "lib");
            let is_test = name == "tests";
            if is_root {
                files.insert(Vec::new(), path);
            } else if name == "mod" {
                files.insert(module, path);
            } else if !is_test
                && !is_other_root
                && parent.first().is_none_or(|first| first != "bin")
            {
                module.push(name.to_owned());
                files.insert(module, path);
            }
        }
    }
}

/// The text of a file up to its unit tests, which may import from anywhere.
fn production_code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source can be read");
    let starts =
        ["mod tests {", "pub(crate) mod tests {"].map(|module| format!("#[cfg(test)]\n{module}"));
    let end = starts.iter().find_map(|start| text.find(start)).unwrap_or(text.len());
    text[..end].to_owned()
}

/// The paths of `use` and `pub use` lines, without the keyword, the `;` and `as` clauses.
fn use_lines(text: &str) -> impl Iterator<Item = (bool, Vec<String>)> {
    text.lines().filter_map(|line| {
        let line = line.trim().trim_end_matches(';');
        let (is_public, path) =
            line.strip_prefix("use ").map(|path| (false, path)).or_else(|| {
                let (visibility, path) = line.split_once(" use ")?;
                visibility.starts_with("pub").then_some((true, path))
            })?;
        let path = path.split(" as ").next().unwrap_or(path);
        Some((is_public, path.split("::").map(ToOwned::to_owned).collect()))
    })
}

/// What a module re-exports from its children: the name, and the child.
fn reexports(text: &str) -> BTreeMap<String, Vec<String>> {
    let public = use_lines(text).filter(|(is_public, _)| *is_public);
    public
        .filter_map(|(_, path)| match &path[..] {
            [first, .., name] if first != "crate" => {
                Some((name.clone(), path[..path.len() - 1].to_vec()))
            }
            _ => None,
        })
        .collect()
}

/// The paths that a module uses of its own crate, from the crate's root.
fn used_paths(
    text: &str,
    module: &Module,
    files: &BTreeMap<Module, PathBuf>,
) -> impl Iterator<Item = Vec<String>> {
    use_lines(text).filter_map(move |(_, path)| {
        let (first, rest) = path.split_first()?;
        let mut absolute = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            child => {
                let mut child_module = module.clone();
                child_module.push(child.to_owned());
                return files.contains_key(&child_module).then(|| {
                    child_module.extend(rest.iter().cloned());
                    child_module
                });
            }
        };
        absolute.extend(rest.iter().cloned());
        Some(absolute)
    })
}

/// The module that defines what `path` names: the deepest one along the path, and through the
/// re-exports of that.
fn resolve(
    path: &[String],
    files: &BTreeMap<Module, PathBuf>,
    reexports: &BTreeMap<Module, BTreeMap<String, Vec<String>>>,
) -> Option<Module> {
    let depth = (0..=path.len()).rev().find(|depth| files.contains_key(&path[..*depth]))?;
    let module = path[..depth].to_vec();
    let reexported = path.get(depth).and_then(|name| reexports.get(&module)?.get(name));
    match reexported {
        Some(child) => {
            let mut deeper = module;
            deeper.extend(child.iter().cloned());
            deeper.extend(path.get(depth).cloned());
            resolve(&deeper, files, reexports)
        }
        None => Some(module),
    }
}

fn is_child(module: &Module, parent: &Module) -> bool {
    module.len() == parent.len() + 1 && module.starts_with(parent)
}
