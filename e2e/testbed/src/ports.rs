//! Free TCP ports.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::TcpListener;

use anyhow::Context;
use anyhow::Result;
use parking_lot::Mutex;

/// Below the range from which the system takes ports for outgoing connections, so that the port
/// of an API server is still free when it is started again.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A port of `address` that is free now, and that no earlier call returned, so that a program may
/// restart on its port. The search starts at random, so that two test runs seldom collide.
pub fn free_port(address: IpAddr) -> Result<u16> {
    static RETURNED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut returned = RETURNED.lock();
    let free = std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(1_000)
        .find(|port| !returned.contains(port) && TcpListener::bind((address, *port)).is_ok());
    let port = free.with_context(|| format!("no port of {address} is free in {PORTS:?}"))?;
    returned.insert(port);
    Ok(port)
}
