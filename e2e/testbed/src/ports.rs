//! Ports that nobody else uses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::Context;
use anyhow::Result;

/// Below the range from which the system takes ports for outgoing connections, so that the port
/// of an API server is still free when it is started again.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A port of `address` that is free now, and that nobody else in this program was told: a program
/// may end and start again at its port. Where to look is random, so that two harnesses seldom meet.
pub fn free_port(address: IpAddr) -> Result<u16> {
    static TOLD: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let free = std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(1_000)
        .find(|port| !told.contains(port) && TcpListener::bind((address, *port)).is_ok());
    let port = free.with_context(|| format!("no port of {address} is free in {PORTS:?}"))?;
    told.insert(port);
    Ok(port)
}
