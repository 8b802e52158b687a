//! What happens in one step of a run, drawn by chance.

use std::time::Duration;

use fastrand::Rng;
use harness::fault_proxy::Direction;

/// What makes the leader lose the lead.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// `kill -9`.
    Kill,
    /// SIGSTOP, and SIGCONT when another has followed.
    Freeze,
    /// Its network lets nothing through.
    CutOff(&'static [Direction]),
    /// Its renewal is late: it arrives when another has followed.
    LateRenewal,
    /// SIGTERM.
    Terminate,
}

/// What happens to others meanwhile, or to what the leader has sent.
#[derive(Clone, Copy, Debug)]
pub enum Beside {
    Nothing,
    /// A create is on its way until its sync is gone.
    LateCreate,
    /// Every request about the Lease is late, but those that are held.
    SlowLease(Duration),
    /// One standby's next patch of the Lease arrives when another has followed.
    LateAcquisition,
    /// Some answers to the leader are lost.
    LostAnswers,
    /// All connections of one standby break.
    BrokenConnections,
}

/// A forced failover.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub blow: Blow,
    pub beside: Beside,
    /// Whether somebody frees the Lease by hand, so that nobody waits for it to expire.
    pub freed: bool,
    /// Which of the standbys, where one is meant.
    pub standby: usize,
}

impl Step {
    pub fn draw(random: &mut Rng) -> Self {
        let blow = match random.u8(..8) {
            0 | 1 => Blow::Kill,
            2 | 3 => Blow::Freeze,
            4 => Blow::CutOff(&Direction::BOTH),
            5 => Blow::CutOff(if random.bool() { TO_SERVER } else { TO_REPLICA }),
            6 => Blow::LateRenewal,
            _ => Blow::Terminate,
        };
        let beside = match random.u8(..10) {
            0 | 1 => Beside::Nothing,
            // A leader that is asked to stop waits for what it has sent.
            2..=4 if !matches!(blow, Blow::Terminate) => Beside::LateCreate,
            5 => Beside::SlowLease(Duration::from_millis(random.u64(50..300))),
            6 | 7 => Beside::LateAcquisition,
            9 => Beside::BrokenConnections,
            _ => Beside::LostAnswers,
        };
        // A leader that is alive and connected would take a Lease that is free for its own.
        let is_gone = matches!(blow, Blow::Kill | Blow::Freeze);
        Self { blow, beside, freed: is_gone && random.bool(), standby: random.usize(..4) }
    }
}

const TO_SERVER: &[Direction] = &[Direction::ToServer];
const TO_REPLICA: &[Direction] = &[Direction::ToReplica];
