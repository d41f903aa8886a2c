//! Keeps the beginning and the end of an endless stream.

use std::collections::VecDeque;

use crate::{Captured, OutputLimit};

/// Takes any number of bytes, holds at most as many as the limit says.
pub(crate) struct Capture {
    limit: OutputLimit,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Capture {
    pub(crate) fn new(limit: OutputLimit) -> Self {
        Self { limit, head: Vec::new(), tail: VecDeque::new(), dropped: 0 }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(self.limit.head - self.head.len()));
        self.head.extend_from_slice(head);
        let skipped = rest.len().saturating_sub(self.limit.tail);
        let kept = &rest[skipped..];
        let pushed_out = (self.tail.len() + kept.len()).saturating_sub(self.limit.tail);
        self.tail.drain(..pushed_out);
        self.tail.extend(kept);
        self.dropped += (skipped + pushed_out) as u64;
    }

    pub(crate) fn finish(self) -> Captured {
        Captured { head: self.head, tail: self.tail.into(), dropped: self.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(chunks: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(OutputLimit { head: 3, tail: 4 });
        for chunk in chunks {
            capture.push(chunk);
        }
        capture.finish()
    }

    fn captured(head: &[u8], tail: &[u8], dropped: u64) -> Captured {
        Captured { head: head.to_vec(), tail: tail.to_vec(), dropped }
    }

    #[test]
    fn keeps_everything_below_the_limit() {
        assert_eq!(capture(&[b"ab"]), captured(b"ab", b"", 0));
        assert_eq!(capture(&[b"abcdefg"]), captured(b"abc", b"defg", 0));
    }

    #[test]
    fn keeps_both_ends_above_it_however_it_is_cut() {
        let whole = captured(b"abc", b"wxyz", 19);
        let alphabet = b"abcdefghijklmnopqrstuvwxyz";
        for size in 1..=alphabet.len() {
            let chunks: Vec<&[u8]> = alphabet.chunks(size).collect();
            assert_eq!(capture(&chunks), whole, "in chunks of {size}");
        }
    }
}
