//! Failed reads and writes are retried with exponential backoff, one per subject: a copy, a source,
//! the finalizer and the status do not delay each other.

mod contention;
mod copies;
mod status;
mod support;
mod sync_patches;
mod too_large;
mod undone_finalizer;
mod undone_status;
mod unreported;
