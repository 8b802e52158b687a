//! Promise: whatever is wrong at start is told in one clear line, and mends itself.

mod cluster_faults;
mod wrong_flags;
