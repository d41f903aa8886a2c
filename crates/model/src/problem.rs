//! Why one try failed, and what follows from it.

use std::time::Duration;

/// Why one try failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// No connection, or it broke.
    Connection(String),
    /// No answer in time.
    Timeout(String),
    /// An answer with an error status.
    Status { status: u16, message: String, retry_after: Option<Duration> },
    /// An answer that is none.
    Malformed(String),
    /// The conversation is too long.
    ContextWindow(String),
}

/// What a failed try says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It works.
    Sound,
    /// It has too much to do.
    Overloaded,
    /// It may be broken.
    Broken,
}

impl Problem {
    /// Whether another try may succeed. The statuses are those that the clients of OpenAI try again; 529 is
    /// Anthropic's word for overload.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Timeout(_) | Self::Malformed(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 429 | 500..),
            Self::ContextWindow(_) => false,
        }
    }

    /// How long the endpoint wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What it says about the endpoint.
    pub(crate) fn sign(&self) -> Sign {
        match self {
            Self::Status { status: 408 | 429 | 503 | 504 | 529, .. } | Self::Timeout(_) => Sign::Overloaded,
            Self::Status { status: 500.., .. } | Self::Connection(_) | Self::Malformed(_) => Sign::Broken,
            Self::Status { .. } | Self::ContextWindow(_) => Sign::Sound,
        }
    }
}
