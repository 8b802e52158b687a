//! Makes `kube-leader-election` safe: a layer around the Lease calls of the crate.
//!
//! The crate compares the times in the Lease with the local wall clock, and returns the same error
//! forever for values that it cannot parse. It therefore never receives the Lease itself but a
//! [`LeaseView`]: computed from our own boot-time clock, starting when the record was last seen to
//! change. The computation is pure; [`layer`] applies it to requests and responses.
//!
//! Guarantees:
//! * A Lease whose record changes at least once per [`Observation::time_to_live`] is never
//!   presented as free, unless its holder has ended.
//! * A Lease whose record does not change is presented as free at the latest after
//!   [`MAX_DECLARED`], or after our own lease duration if that is longer.
//! * A Lease whose holder has ended, by proof, is presented as free once, and only if its
//!   resourceVersion is the one that the proof was sought for.
//! * A leader is never presented a Lease that it could acquire: it renews its own, or has lost it.

mod json;
pub mod layer;
mod observation;
mod record;

pub use observation::LeaseView;
pub use observation::MAX_DECLARED;
pub use observation::Observation;
pub use observation::Role;
pub use record::Record;
