//! `ConfigMapSync` keeps copies of a ConfigMap equal to their source.
//!
//! One sentence carries the design: *decide from what was seen; write only if it is still so.*
//!
//! # One round
//!
//! ```text
//! event -> trigger -> queue -> observe -> Observed -> desired -> Desired -> plan -> Plan
//!                             (reads)                (---------- pure ----------)   |
//!                                ^                                                  v
//!                                '------ again, until nothing is asked for ------- act(&Lead)
//!                                                                              (writes)
//!                                        report(&Lead) <- status <- settled Plan
//!                                           (writes)      (pure)
//! ```
//!
//! # The rooms, in reading order
//!
//! Each room may name only rooms above it; a test keeps that.
//!
//! | room | what it is about |
//! |---|---|
//! | [`names`] | every name the cluster sees: labels, annotations, reasons |
//! | [`access`] | how a permission is written down |
//! | [`api`] | the fields that users set and read |
//! | [`backoff`] | how long to wait after the n-th failure |
//! | [`decide`] | what should be, whose it is, what to do about it, what to say of it |
//! | [`metrics`], [`telemetry`], [`health`] | how it is seen |
//! | [`cluster`] | which cluster is meant |
//! | [`election`] | who leads, and until when |
//! | [`gate`] | lets writes pass while we lead |
//! | [`fence`] | whether the API server holds back pods that do not lead |
//! | [`controller`] | events, reads and writes around `decide` |
//! | [`uninstall`] | what the operator leaves in a cluster, undone |
//! | [`args`] | what can be asked of the binary |
//! | [`policies`], [`manifests`] | what the API server refuses, and what it needs to be told |
//! | [`commands`] | what a person asks for: looks, and writes as that person |
//! | [`app`] | what starts when, and what ends it |
//!
//! # Invariants
//!
//! 1. `decide` never awaits, never asks the time, never fails.
//! 2. In the operator, cluster writes happen only in `act`, `report` and `election`; commands, and
//!    `uninstall` for them, write as the person who runs them.
//! 3. No write without a [`Lead`](election::Lead): the [`gate`] lets none pass. No update or delete
//!    without the version that it was decided on.
//! 4. Missing knowledge deletes nothing.
//! 5. Nobody asks why `reconcile` was called.
//! 6. The label finds a copy, the annotations prove it: a hand-made clone is never collected.
//! 7. Every name that the cluster sees is in `names`; every permission stands beside the call
//!    that needs it.
//! 8. Only `app` knows everyone.

pub mod access;
pub mod api;
pub mod app;
pub mod args;
pub mod backoff;
pub mod cluster;
pub mod commands;
pub mod controller;
pub mod decide;
pub mod election;
pub mod fence;
pub mod gate;
pub mod health;
pub mod manifests;
pub mod metrics;
pub mod names;
pub mod policies;
pub mod telemetry;
pub mod uninstall;
