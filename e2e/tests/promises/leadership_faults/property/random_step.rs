//! A random failover: the fault of the leader, and a second fault at the same time.

use std::time::Duration;

use fastrand::Rng;
use harness::fault_proxy::Direction;

/// The fault that makes the leader lose the lead.
#[derive(Clone, Copy, Debug)]
pub enum LeaderFault {
    /// `kill -9`.
    Kill,
    /// `kill -9`, and the status of the pod shows it: a standby acquires the Lease before it expires.
    ProvenKill,
    /// As [`LeaderFault::ProvenKill`], but the process starts again at once, in the same pod.
    Restart,
    /// SIGSTOP, and SIGCONT after the takeover.
    Freeze,
    /// Its network is blocked in these directions.
    CutOff(&'static [Direction]),
    /// Its renewal arrives after the takeover.
    LateRenewal,
    /// SIGTERM.
    Terminate,
}

/// The second fault: of a standby, or of requests of the leader.
#[derive(Clone, Copy, Debug)]
pub enum SideFault {
    Nothing,
    /// A create arrives after the deletion of its ConfigMapSync.
    LateCreate,
    /// Requests for the Lease are delayed, except those that are held back.
    SlowLease(Duration),
    /// The next patch of the Lease by a standby arrives after the takeover.
    LateAcquisition,
    /// Some responses to the leader are lost.
    LostResponses,
    /// All connections of a standby are closed.
    BrokenConnections,
}

/// A forced failover.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub leader_fault: LeaderFault,
    pub side_fault: SideFault,
    /// Whether the test releases the Lease, so that no replica waits for it to expire.
    pub freed: bool,
    /// The standby of the second fault, counted from the leader.
    pub standby: usize,
}

impl Step {
    /// Draws a step.
    pub fn draw(random: &mut Rng) -> Self {
        let leader_fault = match random.u8(..10) {
            0 => LeaderFault::Kill,
            1 | 2 => LeaderFault::ProvenKill,
            3 => LeaderFault::Restart,
            4 | 5 => LeaderFault::Freeze,
            6 => LeaderFault::CutOff(&Direction::BOTH),
            7 => LeaderFault::CutOff(if random.bool() { TO_SERVER } else { TO_REPLICA }),
            8 => LeaderFault::LateRenewal,
            _ => LeaderFault::Terminate,
        };
        let side_fault = match random.u8(..10) {
            0 | 1 => SideFault::Nothing,
            // After SIGTERM, a leader waits for the responses to its requests.
            2..=4 if !matches!(leader_fault, LeaderFault::Terminate) => SideFault::LateCreate,
            5 => SideFault::SlowLease(Duration::from_millis(random.u64(50..300))),
            6 | 7 => SideFault::LateAcquisition,
            9 => SideFault::BrokenConnections,
            _ => SideFault::LostResponses,
        };
        // A connected leader would acquire the released Lease, and a proof of its end needs its holder.
        let is_gone = matches!(leader_fault, LeaderFault::Kill | LeaderFault::Freeze);
        Self {
            leader_fault,
            side_fault,
            freed: is_gone && random.bool(),
            standby: random.usize(..4),
        }
    }
}

const TO_SERVER: &[Direction] = &[Direction::ToServer];
const TO_REPLICA: &[Direction] = &[Direction::ToReplica];
