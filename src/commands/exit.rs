//! Exit codes.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Success,
    /// Something failed, which the command has reported; or the user declined.
    Failure,
    /// Wrong usage.
    Usage,
    /// A dry run found changes to make.
    Changes,
}

// === impl Exit ===

impl Exit {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage | Self::Changes => 2,
        }
    }
}
