//! Which pull requests are looked at.

use jiff::civil::Date;

use super::PullRequest;

/// The pull requests that upstream looks at, of all closed ones, newest first. Kept from upstream: the one that reaches
/// the limit is still taken, so there may be one more than `limit`; so is the first one made before `cutoff`.
pub fn listed_pulls(
    pulls: impl IntoIterator<Item = PullRequest>,
    limit: Option<usize>,
    cutoff: Option<Date>,
) -> impl Iterator<Item = PullRequest> {
    let cutoff = cutoff.map(|date| date.strftime("%Y-%m-%dT00:00:00Z").to_string());
    let mut is_over = false;
    pulls.into_iter().enumerate().map_while(move |(index, pull)| {
        if is_over {
            return None;
        }
        let is_too_old = cutoff.as_ref().is_some_and(|cutoff| pull.created_at < *cutoff);
        is_over = limit.is_some_and(|limit| index >= limit) || is_too_old;
        Some(pull)
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::records::tests::pull;
    use super::*;

    fn numbers(limit: Option<usize>, cutoff: Option<Date>) -> Vec<u64> {
        let created =
            ["2024-05-04T00:00:00Z", "2024-05-03T00:00:00Z", "2024-05-02T23:59:59Z", "2024-05-01T00:00:00Z"];
        let pulls = created.iter().zip(1..).map(|(created, number)| PullRequest {
            created_at: (*created).to_owned(),
            number,
            ..pull()
        });
        listed_pulls(pulls, limit, cutoff).map(|pull| pull.number).collect()
    }

    #[test]
    fn the_one_that_ends_the_listing_is_in_it() {
        assert_eq!(numbers(None, None), [1, 2, 3, 4]);
        assert_eq!(numbers(Some(1), None), [1, 2]);
        assert_eq!(numbers(Some(0), None), [1]);
        assert_eq!(numbers(None, Some(date(2024, 5, 3))), [1, 2, 3]);
    }
}
