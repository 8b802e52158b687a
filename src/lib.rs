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
//! | [`names`] | every name the cluster sees: labels, annotations, policies, conditions |
//! | [`access`] | how a permission is written down |
//! | [`api`] | the fields that users set and read |
//! | [`backoff`] | the delay after the n-th failure |
//! | [`decide`] | what should exist, who owns it, what to do about it, what to report |
//! | [`metrics`], [`telemetry`], [`health`] | observability |
//! | [`kubernetes`] | access to an API server: clients, requests, calls, the meaning of errors |
//! | [`election`] | who leads, and until when; the write gate and the fence probe |
//! | [`cache`] | what is known of the cluster |
//! | [`orphans`] | copies whose `ConfigMapSync` no longer exists |
//! | [`controller`] | events, reads and writes around `decide` |
//! | [`uninstall`] | removal of what the operator leaves in a cluster |
//! | [`args`] | flags and subcommands |
//! | [`policies`], [`manifests`] | the generated policies and manifests |
//! | [`commands`] | the subcommands that people run, with their own permissions |
//! | [`app`] | start-up order, and the end of the process |
//!
//! # Invariants
//!
//! 1. `decide` never awaits, never asks the time, never fails.
//! 2. In the operator, cluster writes happen only in `act`, `report` and `election`; commands, and
//!    `uninstall` for them, write as the person who runs them.
//! 3. No write without a [`Lead`](election::Lead): the write gate in [`election`] blocks it. No update or delete
//!    without the version that it was decided on.
//! 4. Missing knowledge deletes nothing.
//! 5. Nobody asks why `reconcile` was called.
//! 6. The label finds a copy, the annotations prove it: a hand-made clone is never collected.
//! 7. Every name that the cluster sees is in `names`; every permission stands beside the call
//!    that needs it.
//! 8. Only `app` knows everyone.

#![deny(missing_docs)]

pub mod access;
pub mod api;
pub mod app;
pub mod args;
pub mod backoff;
pub mod cache;
pub mod commands;
pub mod controller;
pub mod decide;
pub mod election;
pub mod health;
pub mod kubernetes;
pub mod manifests;
pub mod metrics;
pub mod names;
pub mod orphans;
pub mod policies;
pub mod telemetry;
pub mod uninstall;
