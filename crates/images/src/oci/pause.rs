//! How long to wait between tries.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Exponential back-off with jitter: pulls that fail together must not come back together.
pub(crate) fn back_off(first: Duration, longest: Duration, failures: u32) -> Duration {
    let ceiling = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(longest);
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
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

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(10));
        for (failures, ceiling) in [(1, 0.1), (2, 0.2), (5, 1.6), (30, 10.0), (u32::MAX, 10.0)] {
            for _ in 0..100 {
                let pause = back_off(first, longest, failures).as_secs_f64();
                assert!(pause <= ceiling && pause >= ceiling / 2.0, "{failures}: {pause}");
            }
        }
    }

    #[test]
    fn both_forms_of_the_header_are_read() {
        let now: Timestamp = "2015-10-21T07:27:30Z".parse().unwrap();
        let read = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!((read(" 7 "), read("Wed, 21 Oct 2015 07:28:00 GMT")), (Some(7), Some(30)));
        assert_eq!((read("Wed, 21 Oct 2015 07:00:00 GMT"), read("later")), (Some(0), None));
    }
}
