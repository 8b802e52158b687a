//! Keeps copies of a ConfigMap equal to their source.
