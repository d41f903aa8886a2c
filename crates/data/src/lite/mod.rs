//! Which instances belong to a Lite set: those with a self-contained statement, a small change of one file, and tests
//! that ask for no particular message. The rules are those that made SWE-bench Lite and SWE-Gym Lite, the same in
//! every version of SWE-bench. What counts there as a link or a reference is not always what one would expect.

mod changes;
mod filter;
mod statement;

pub use changes::{Changes, expects_message};
pub use filter::LiteFilter;
pub use statement::{
    count_words, has_commit_hash, has_hyperlink, has_image_name, has_issue_reference, issue_url,
};
