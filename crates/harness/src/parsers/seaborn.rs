//! The rules of SWE-bench for the tests of seaborn: only what passed and what failed, by the first two words.

use super::RawStatuses;
use super::python::words;
use crate::{GradeError, Profile};

pub(super) fn parse(profile: Profile, text: &str) -> Result<RawStatuses, GradeError> {
    // Up to SWE-bench 4 a line that lacks its second word crashes the parser.
    let crashes = matches!(profile, Profile::Swegym | Profile::Swebench4);
    let mut statuses = RawStatuses::default();
    for (index, line) in text.split('\n').enumerate() {
        let failed = line.starts_with("FAILED");
        let inside = line.contains(" PASSED ");
        if !failed && !inside && !line.starts_with("PASSED") {
            continue;
        }
        let mut words = words(line);
        let (first, Some(second)) = (words.next().unwrap_or_default(), words.next()) else {
            if crashes {
                return Err(GradeError::MissingWord { line: index + 1 });
            }
            continue;
        };
        if failed {
            statuses.set(second, "FAILED");
        } else if !inside {
            statuses.set(second, "PASSED");
        } else if second == "PASSED" {
            statuses.set(first, "PASSED");
        }
    }
    Ok(statuses)
}
