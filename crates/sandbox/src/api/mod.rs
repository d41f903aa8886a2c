//! What a sandbox can do, whatever it runs on.

mod backend;
mod exec;
mod files;
mod network;
mod session;
mod spec;
mod usage;

pub use backend::{Backend, Sandbox};
pub use exec::{Captured, ExecOutput, ExecRequest, ExecStatus, OutputLimit, SideChannel};
pub use files::{Change, ChangeKind, FileEntry, FileKind, FileStat, TreeLimits};
pub use network::{Allowlist, Network};
pub use session::{Session, SessionOutput, SessionSpec, SessionState, SessionStatus, Terminal};
pub use spec::{Limits, SandboxSpec, Upper};
pub use usage::Usage;
