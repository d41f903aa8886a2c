//! The name that was meant by one that is not known.

/// The candidate that takes the fewest insertions, deletions and replacements of characters.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody means a name by one that is many times as long, and the work grows with it.
    let name: Vec<char> = name.chars().take(64).collect();
    candidates.into_iter().min_by_key(|candidate| distance(&name, candidate))
}

fn distance(left: &[char], right: &str) -> usize {
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (number, right) in right.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], number + 1);
        for (column, left) in left.iter().enumerate() {
            let replaced = diagonal + usize::from(*left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[left.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_changes_count() {
        let keys = ["python", "packages", "pip_packages", "install"];
        assert_eq!(nearest("pyhton", keys), Some("python"));
        assert_eq!(nearest("pip-packages", keys), Some("pip_packages"));
        assert_eq!(nearest("instal", keys), Some("install"));
        assert_eq!(nearest("x", []), None);
    }
}
