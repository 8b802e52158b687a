//! The options of a replica.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How to start a replica. By default, the operator of this checkout with its default flags.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Additional arguments of `run`.
    pub arguments: Vec<String>,
    /// Additional environment variables.
    pub environment: Vec<(String, String)>,
    /// The binary; `None` for the one built from this checkout.
    pub binary: Option<PathBuf>,
    /// The URL of the API server; `None` for the control plane's own.
    pub server: Option<String>,
    /// A command line before the binary: see [`testbed::process::Program::prefix`].
    pub prefix: Vec<OsString>,
}

impl Options {
    /// A long lease: a leader stays leader through a restart of the API server or a short freeze, also
    /// on a machine under load.
    #[must_use]
    pub fn patient() -> Self {
        let arguments =
            ["--leader-election-lease-duration=60s", "--leader-election-renew-deadline=50s"];
        Self { arguments: arguments.map(str::to_owned).into(), ..Self::default() }
    }

    /// A short lease, for quick takeovers: the lease duration is `lease` seconds, the renew deadline two
    /// thirds of that, the retry period half a second.
    #[must_use]
    pub fn quick(lease: u32) -> Self {
        let lease = Duration::from_secs(lease.into());
        Self::timed(lease, lease * 2 / 3, Duration::from_millis(500))
    }

    /// The given lease duration, renew deadline and retry period.
    #[must_use]
    pub fn timed(lease: Duration, deadline: Duration, retry: Duration) -> Self {
        let times =
            [("lease-duration", lease), ("renew-deadline", deadline), ("retry-period", retry)];
        let argument = |(name, time): (&str, Duration)| {
            format!("--leader-election-{name}={}ms", time.as_millis())
        };
        Self { arguments: times.map(argument).into(), ..Self::default() }
    }
}
