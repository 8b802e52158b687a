//! ConfigMapSync: a Kubernetes operator that keeps copies of ConfigMaps equal to their source.
//!
//! The design in one sentence: *decide from what was observed; write only if it is still true.*
//!
//! # One reconcile
//!
//! ```text
//! watch event -> trigger -> queue -> reconcile
//!
//! reconcile:  observe -> Observed -> desired -> Desired -> plan -> Plan    one pass
//!             (reads)               (----------- pure -----------)  |
//!                ^                                                  v
//!                '--------- next pass, until the plan is empty --- act(&Lead)
//!                                                                  (writes)
//!
//!             status (pure) -> report(&Lead) (writes status, finalizer, Event)
//! ```
//!
//! A reconcile is one run for one `ConfigMapSync`. It is level-triggered: it does not know which
//! event caused it. Deletion is the same pipeline with an empty `Desired`.
//!
//! # Rooms, in reading order
//!
//! A room is a module of this file. It may import only rooms above it; `tests/architecture`
//! enforces this.
//!
//! | room | contents |
//! |---|---|
//! | [`names`] | every name visible in the cluster: labels, annotations, policies, conditions |
//! | [`access`] | how a permission is written down |
//! | [`api`] | the kinds `ConfigMapSync` and `ConfigMapSyncLeader` |
//! | [`backoff`] | the delay after the n-th failure |
//! | [`decide`] | pure: what should exist, who owns it, what to do, what to report |
//! | [`metrics`], [`health`], [`telemetry`] | observability |
//! | [`kubernetes`] | how to call an API server: clients, layers, requests, classified errors |
//! | [`election`] | leader election, leader record, write gate, fence probe |
//! | [`cache`] | what the watches have delivered: sources, copies, syncs, namespaces |
//! | `state` | what is remembered of each sync between reconciles: retries, own writes, excerpts |
//! | [`reviews`] | what ServiceAccounts are allowed to do |
//! | [`orphans`] | copies whose `ConfigMapSync` no longer exists: candidates and live reads |
//! | [`controller`] | watches, queue, reconcile and orphan collection around `decide` |
//! | [`uninstall`] | removal of what the operator leaves in a cluster |
//! | [`args`] | flags and subcommands |
//! | [`policies`], [`manifests`] | generated admission policies and manifests |
//! | [`commands`] | the subcommands besides `run`, with the caller's permissions |
//! | [`app`] | start and end of `run`; connects the rooms |
//!
//! # Invariants
//!
//! 1. [`decide`] never awaits, never reads a clock, never fails.
//! 2. The operator writes only in [`controller`], under a
//!    [`Lead`](election::Lead), and in [`election`] (the Lease and the leader record). Commands and
//!    [`uninstall`] write with the caller's permissions.
//! 3. A write without a valid [`Lead`](election::Lead) is not sent: the
//!    [write gate](election::write_gate) covers every client but the election's own.
//! 4. Every update and delete carries the resourceVersion that it was decided on.
//! 5. Missing knowledge never leads to a deletion.
//! 6. A copy is recognized by its label and its annotations together, one of which names the copy
//!    itself: a clone made by a user is not a copy, and is never deleted.
//! 7. Every name visible in the cluster is in [`names`]; every permission is declared beside the
//!    call that needs it, and printed by `configmapsync manifests`.
//!
//! # What is absent
//!
//! * The contents of `ConfigMaps` in memory: the cache keeps metadata and digests; contents are
//!   read when metadata indicate a change.
//! * Owner references: across namespaces, the garbage collector would delete the copies.
//! * Requeues without delay, and retries in more than one layer.
//! * Secrets: the operator has no permission to read any.

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
pub mod reviews;
mod state;
pub mod telemetry;
pub mod uninstall;
