//! Server-sent events, read as they arrive: a stream may be cut into pieces anywhere, inside a character too.

use std::mem::take;

/// Largest event that is read: the first one of a stream may carry the token ids of the whole prompt.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// An event is longer than any that makes sense.
#[derive(Debug, PartialEq, Eq)]
pub struct EventTooLong;

/// Cuts a stream of bytes into the data of its events. Names, ids and comments of events are passed over.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    after_return: bool,
}

impl EventReader {
    /// Takes the next piece of the stream, and gives the events that it completes.
    ///
    /// # Errors
    /// [`EventTooLong`], after which the stream is to be given up.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<Vec<Vec<u8>>, EventTooLong> {
        let mut events = Vec::new();
        if take(&mut self.after_return) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&piece[..end])?;
            events.extend(self.end_line());
            let ended_by = piece[end];
            piece = &piece[end + 1..];
            if ended_by == b'\r' {
                self.after_return = piece.is_empty();
                piece = piece.strip_prefix(b"\n").unwrap_or(piece);
            }
        }
        self.extend_line(piece)?;
        Ok(events)
    }

    /// The event that the stream ended in, where a server leaves out the empty line after the last one.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let complete = self.end_line();
        complete.or(self.data)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if held + bytes.len() > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// An empty line ends an event; any other belongs to it.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        if self.line.is_empty() {
            return self.data.take();
        }
        let line = take(&mut self.line);
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut events: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| reader.feed(piece).unwrap()).collect();
        events.extend(reader.finish());
        events.into_iter().map(|event| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn all_line_ends_comments_and_other_fields_are_understood() {
        let stream = b"\xef\xbb\xbfdata: one\n\n: ping\n\r\ndata:two\r\ndata:  lines\r\n\r\nevent: x\rid: 7\rdata: three\r\rretry: 5\n\ndata: last";
        assert_eq!(events(&[stream]), ["one", "two\n lines", "three", "last"]);
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 1 << 20];
        let fed = (0..20).try_for_each(|_| reader.feed(&piece).map(drop));
        assert_eq!(fed, Err(EventTooLong));
        let mut reader = EventReader::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert_eq!((0..20).try_for_each(|_| reader.feed(&line).map(drop)), Err(EventTooLong));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_does_not_matter(
            text in "(data: ?[aü€\u{1F600}]{0,3}|:[a-c]{0,2}|event: x)?(\n|\r\n|\r|)".prop_map(String::from)
                .prop_flat_map(|line| prop::collection::vec(Just(line), 0..9)),
            more in "([d:a\r\n ü]|data: |\n\n){0,30}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = [text.concat(), more].concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(events(&pieces), events(&[&bytes]));
        }
    }
}
