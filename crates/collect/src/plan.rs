//! Which bugs are tried, and in which order.

use std::collections::{BTreeMap, HashSet};

use fastrand::Rng;

use crate::Mutation;

/// Whether a path belongs to tests, documentation or the build rather than to the library: no bugs there.
pub fn is_test_path(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    matches!(file, "conftest.py" | "setup.py")
        || file.ends_with("_test.py")
        || path.split('/').any(|part| {
            matches!(part, "test" | "tests" | "testing" | "doc" | "docs" | "examples")
                || part.starts_with("test_")
        })
}

/// At most `limit` bugs in the order in which they are tried. A round has one bug at most for each function
/// and takes the operators in turn; the next round has second choices for functions whose bug turns out
/// unusable. The same bugs and seed give the same order.
pub(crate) fn plan(mut candidates: Vec<Mutation>, seed: u64, limit: usize) -> Vec<Mutation> {
    let mut rng = Rng::with_seed(seed);
    rng.shuffle(&mut candidates);
    // The queues are stacks, taken from the end; the order is random anyway.
    let mut queues: BTreeMap<&str, Vec<Mutation>> = BTreeMap::new();
    for mutation in candidates {
        queues.entry(mutation.operator).or_default().push(mutation);
    }
    let mut queues: Vec<Vec<Mutation>> = queues.into_values().collect();
    rng.shuffle(&mut queues);
    let mut planned = Vec::new();
    while planned.len() < limit && queues.iter().any(|queue| !queue.is_empty()) {
        round(&mut queues, limit, &mut planned);
    }
    planned
}

fn round(queues: &mut [Vec<Mutation>], limit: usize, planned: &mut Vec<Mutation>) {
    let mut functions = HashSet::new();
    let mut later: Vec<Vec<Mutation>> = queues.iter().map(|_| Vec::new()).collect();
    while queues.iter().any(|queue| !queue.is_empty()) {
        for (queue, later) in queues.iter_mut().zip(&mut later) {
            while let Some(mutation) = queue.pop() {
                if planned.len() < limit && functions.insert(mutation.function.clone()) {
                    planned.push(mutation);
                    break;
                }
                later.push(mutation);
            }
        }
    }
    for (queue, mut later) in queues.iter_mut().zip(later) {
        later.reverse();
        *queue = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutations;

    fn candidates() -> Vec<Mutation> {
        let function =
            |i| format!("def f{i}(a, b=1):\n    if a < {i} and b:\n        return not a\n    return a + b\n");
        let source: String = (0..20).map(function).collect();
        mutations("m.py", source.as_bytes())
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let order = |seed| plan(candidates(), seed, 30);
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        assert_eq!(order(7).len(), 30);
    }

    #[test]
    fn the_first_bugs_are_of_all_operators_and_in_different_functions() {
        let all = candidates();
        let operators: HashSet<_> = all.iter().map(|it| it.operator).collect();
        let planned = plan(all.clone(), 1, usize::MAX);
        let first = &planned[..operators.len()];
        assert_eq!(first.iter().map(|it| it.operator).collect::<HashSet<_>>(), operators);
        let functions: HashSet<_> = planned[..20].iter().map(|it| &it.function).collect();
        assert_eq!(functions.len(), 20, "one bug for each function before any gets a second");
        assert_eq!(planned.len(), all.len(), "nothing is lost");
    }

    #[test]
    fn paths_of_tests_are_known() {
        for path in [
            "tests/a.py",
            "a/test/b.py",
            "test_a.py",
            "a_test.py",
            "conftest.py",
            "x/setup.py",
            "docs/conf.py",
        ] {
            assert!(is_test_path(path), "{path}");
        }
        for path in ["src/a.py", "a/contest.py", "latest/a.py", "attest.py", "docstring.py"] {
            assert!(!is_test_path(path), "{path}");
        }
    }
}
