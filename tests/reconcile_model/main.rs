//! A model of reconciles, orphan collection and contention, explored exhaustively.
//!
//! The model contains one or two syncs, a source, four places for copies in two namespaces, users,
//! the API server, and the operator: its cache, its decisions, and its writes in flight. The
//! decisions are the operator's own code: the cache, `Decision`, `retire`, `status`,
//! `plan_collection` and the requests of all writes. At any time, a user may act, a watch may
//! deliver, a sync may be reconciled, a write in flight may arrive, and the leader may crash.
//!
//! Results, in every reachable state:
//! * A `ConfigMap` that the operator did not create is never deleted, and never changed without
//!   `conflictPolicy: Adopt`. What was adopted is released in the end.
//! * A copy is written only for its own sync.
//! * While the source exists, an old copy is retired only after its replacement equals the source.
//! * A copy in a namespace that is unknown is neither deleted nor released.
//! * An orphan that was restored from a backup is collected only after the grace period.
//! * Once a change of a copy by another client has been counted, a write of the operator's own does
//!   not count as another: with sources that are deleted and created again, namespaces that leave a
//!   selection and return, and changed specs, there is no contention. A change by another client that
//!   undoes a write of the operator counts, whatever the status reports.
//! * Without further actions of users, the operator reaches an empty plan within six passes per
//!   sync; the status then reports `Synced` exactly if every copy equals the source; no sync waits
//!   for its deletion, and no old copy or orphan is left.
//!
//! Where a `ConfigMap` came from is recorded beside it, where the operator cannot read it (`oracle`).
//! Protections that can be removed have their shortest path to harm (`faults`).
//!
//! # Bounds
//!
//! Each test states what users do, how often, and the number of states, on stderr. `E2E_FULL=1`
//! explores more actions. One field of a spec changes at a time. A source has three contents. Users
//! act on `ConfigMaps` through the API server, whose preconditions, finalizers and namespaces are
//! modelled; other finalizers, quotas, webhooks and lost responses are not. A write of a crashed
//! leader is stored before the crash, or never.
//!
//! Changes by other clients are counted within one minute: what is remembered for that long does not
//! end. What the operator remembers of its writes is the model's own code, after `state`; the
//! judgement is the operator's. The first change that is counted may be none: the first copy in a
//! namespace that is selected. Contention needs more than five. The uid of a namespace is that at the
//! response, not that at the request.
//!
//! # Caveats
//!
//! The checker identifies states by a hash of 64 bits; a collision is possible, and improbable.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod checker;
mod collection;
mod config;
mod content;
mod contention;
mod decisions;
mod faults;
mod invariants;
mod model;
mod names;
mod object;
mod operator;
mod oracle;
mod reach;
mod settle;
mod spec;
mod state;
mod store;
mod trace;
mod users;
mod view;
