//! Counterexamples of the crate without the guard: what the guard prevents.

use crate::checker::counterexample;
use crate::checker::with;
use crate::config::Config;
use crate::config::Races;
use crate::config::Start;
use crate::model::LEADER_HOLDS_LEASE;
use crate::model::ONE_WRITER;

/// The crate alone, where the first replica leads from the start.
fn with_leader(races: Races) -> Config {
    with(Config::crate_alone(races), |config| config.environment.start = Start::Leader)
}

/// Without a deadline and a check of the returned holder, the process continues as leader.
#[test]
fn a_renewal_after_a_takeover_returns_acquired() {
    let config = with(with_leader(Races { renewals: true, ..Races::NONE }), |config| {
        config.lease = 1;
        config.deadline = None;
    });
    assert_eq!(
        counterexample("late renewal", config, &[LEADER_HOLDS_LEASE]),
        [
            "a tick passes",
            "a tick passes",
            "A finds its own Lease and requests to renew it",
            "B finds A's expired Lease and requests to acquire it",
            "B's request to acquire the Lease arrives; its holder was A; B leads",
            "A's request to renew the Lease arrives; its holder is B",
        ]
    );
}

/// The same until two replicas write: the deadline is respected, the returned holder ignored.
#[test]
fn a_renewal_after_a_takeover_causes_two_writers() {
    let config = with_leader(Races { renewals: true, ..Races::NONE });
    assert_eq!(
        counterexample("late renewal, two writers", config, &[ONE_WRITER]),
        [
            "A stops: it requests to release the Lease and restarts",
            "A's late request to release the Lease arrives",
            "a tick passes",
            "a tick passes",
            "A finds a Lease without holder and requests to acquire it",
            "A's request for the Lease times out",
            "A's late request to acquire the Lease arrives",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "A finds its own Lease and requests to renew it",
            "B finds A's expired Lease and requests to acquire it",
            "B's request to acquire the Lease arrives; its holder was A; B leads",
            "A's request to renew the Lease arrives; its holder is B; A leads",
            "A sends a write",
            "A's write is admitted",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn two_replicas_acquire_one_free_lease() {
    let config = with_leader(Races { acquisitions: true, ..Races::NONE });
    assert_eq!(
        counterexample("double acquisition", config, &[ONE_WRITER]),
        [
            "A stops: it requests to release the Lease and restarts",
            "A's late request to release the Lease arrives",
            "a tick passes",
            "a tick passes",
            "A finds a Lease without holder and requests to acquire it",
            "B finds a Lease without holder and requests to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A sends a write",
            "A's write is admitted",
            "B's request to acquire the Lease arrives; its holder was A; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn a_release_after_a_takeover_releases_anothers_lease() {
    let config = with_leader(Races { releases: true, ..Races::NONE });
    assert_eq!(
        counterexample("late release", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "a tick passes",
            "A stops: it requests to release the Lease and restarts",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "A finds the expired Lease of an ended process and requests to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A's late request to release the Lease arrives",
            "a tick passes",
            "a tick passes",
            "A sends a write",
            "A's write is admitted",
            "B finds a Lease without holder and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn a_wall_clock_ahead_acquires_a_valid_lease() {
    let config =
        with(with_leader(Races::NONE), |config| config.environment.wall_clocks = [0, 4, 0]);
    assert_eq!(
        counterexample("wall clocks", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "A's write is admitted",
            "B finds A's expired Lease and requests to acquire it",
            "B's request to acquire the Lease arrives; its holder was A; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}
