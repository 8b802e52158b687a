//! The tables of allowed imports.

/// A row per module: its name, and the modules that it may import from.
pub type Table = &'static [(&'static str, &'static [&'static str])];

/// Folder and root file of each crate in which imports may form no circle.
pub const CRATES: &[(&str, &str)] = &[
    ("src", "lib.rs"),
    ("tests/architecture", "main.rs"),
    ("e2e/testbed/src", "lib.rs"),
    ("e2e/harness/src", "lib.rs"),
    ("e2e/demo/src", "lib.rs"),
    ("e2e/bench/src", "main.rs"),
    ("e2e/chaos/src", "main.rs"),
    ("e2e/tests/pods", "main.rs"),
    ("e2e/tests/promises", "main.rs"),
];

/// The rooms of `src`.
pub const ROOMS: Table = &[
    ("names", &[]),
    ("access", &[]),
    ("api", &[]),
    ("backoff", &[]),
    ("decide", &["names", "api"]),
    ("metrics", &["names", "decide"]),
    ("health", &["metrics"]),
    ("telemetry", &["names", "decide"]),
    ("kubernetes", &["names", "access", "api", "backoff", "decide", "metrics", "telemetry"]),
    ("election", &["names", "access", "api", "metrics", "health", "telemetry", "kubernetes"]),
    ("cache", &["names", "access", "api", "decide", "telemetry", "kubernetes"]),
    ("state", &["api", "backoff", "decide", "metrics", "kubernetes"]),
    (
        "reviews",
        &["access", "api", "backoff", "decide", "telemetry", "kubernetes", "cache", "state"],
    ),
    ("orphans", &["names", "access", "api", "decide", "kubernetes", "cache"]),
    (
        "controller",
        &[
            "names",
            "access",
            "api",
            "backoff",
            "decide",
            "metrics",
            "health",
            "telemetry",
            "kubernetes",
            "election",
            "cache",
            "state",
            "reviews",
            "orphans",
        ],
    ),
    ("uninstall", &["names", "access", "api", "decide", "kubernetes", "election", "cache"]),
    ("args", &["names", "api", "decide", "telemetry"]),
    ("policies", &["names", "api", "decide"]),
    (
        "manifests",
        &["names", "access", "api", "election", "reviews", "controller", "uninstall", "policies"],
    ),
    (
        "commands",
        &[
            "names",
            "api",
            "decide",
            "kubernetes",
            "cache",
            "reviews",
            "orphans",
            "controller",
            "uninstall",
            "args",
            "policies",
            "manifests",
        ],
    ),
    (
        "app",
        &[
            "api",
            "decide",
            "metrics",
            "health",
            "telemetry",
            "kubernetes",
            "election",
            "controller",
            "args",
        ],
    ),
];

/// The files of `src/controller`.
pub const CONTROLLER: Table = &[
    ("startup", &[]),
    ("trigger", &[]),
    ("queue", &["startup"]),
    ("observe", &[]),
    ("act", &[]),
    ("report", &[]),
    ("record", &["observe", "act"]),
    ("reconcile", &["queue", "observe", "act", "report", "record"]),
    ("collect", &["startup", "observe", "act", "record"]),
    ("watch", &["startup", "trigger", "queue"]),
];
