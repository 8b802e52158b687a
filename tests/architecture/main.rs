//! The architecture as tests: layers, style, dependencies, and the page of guarantees.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod guarantees;
mod imports;
mod layers;
mod locked;
mod sources;
mod style;
mod tables;
