//! A fault at startup is reported in one clear log line. The operator exits on wrong flags, and
//! recovers from faults of the cluster once they are repaired.

mod cluster_faults;
mod wrong_flags;
