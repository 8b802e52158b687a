//! A generated file, and what can go wrong with it.

/// A manifest could not be generated or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value cannot be serialized.
    #[error("cannot write {path} as YAML")]
    Yaml {
        /// The file, relative to the root of the repository.
        path: &'static str,
        /// Why.
        source: serde_saphyr::ser::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: run the command in the root of the repository, or name it")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its path, relative to the root of the repository.
    pub path: &'static str,
    /// Its content: YAML, or a Helm template of YAML.
    pub content: String,
}
