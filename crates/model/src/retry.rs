//! How long to wait between tries.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Exponential backoff with full jitter: many rollouts that fail together must not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// Wait after `failed_tries` tries. What the endpoint asks for comes first, the jitter on top of it, and
    /// together they stay within the maximum.
    pub(crate) fn delay(&self, failed_tries: u32, retry_after: Option<Duration>) -> Duration {
        let doublings = failed_tries.saturating_sub(1).min(30);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.max);
        let jitter = ceiling.mul_f64(fastrand::f64());
        retry_after.unwrap_or_default().saturating_add(jitter).min(self.max)
    }
}

/// Value of a `Retry-After` header: seconds, or an HTTP date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };

    #[test]
    fn waits_grow_up_to_the_maximum() {
        for (failed_tries, ceiling) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            let longest = (0..1000).map(|_| BACKOFF.delay(failed_tries, None)).max().unwrap();
            let ceiling = Duration::from_secs(ceiling);
            assert!(longest <= ceiling && longest > ceiling / 2, "{failed_tries}: {longest:?}");
        }
    }

    #[test]
    fn the_endpoint_is_waited_for_but_not_for_ever() {
        let asked = Some(Duration::from_secs(20));
        assert!((0..1000).all(|_| BACKOFF.delay(1, asked) >= Duration::from_secs(20)));
        let forever = Some(Duration::from_secs(u64::MAX));
        assert_eq!(BACKOFF.delay(1, forever), Duration::from_secs(60));
    }

    #[test]
    fn both_forms_of_the_header_are_read() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let read = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "in the past");
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }
}
