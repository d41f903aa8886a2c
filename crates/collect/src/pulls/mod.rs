//! From pull requests to instances: which issues a pull request solves, what the task says, and what is kept.
//!
//! Everything here is pure over records that the caller has fetched. What they say is hostile text.

mod instance;
mod issue_links;
mod listing;
mod problem;
mod records;

pub use instance::CollectedInstance;
pub use listing::listed_pulls;
pub use problem::problem_statement;
pub use records::{Issue, IssueComment, PullCommit, PullRequest};
