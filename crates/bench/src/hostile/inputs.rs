//! Inputs that are hard on parsers.

/// One input, of any size.
pub(super) struct Input {
    head: String,
    unit: String,
    tail: String,
    /// Whether the unit is counted: every `%` in it is a number that is there once.
    counted: bool,
}

impl Input {
    /// The unit again and again.
    pub(super) fn repeated(unit: &str) -> Self {
        Self::within("", unit, "")
    }

    /// The unit again and again, between two texts that are there once.
    pub(super) fn within(head: &str, unit: &str, tail: &str) -> Self {
        Self { head: head.to_owned(), unit: unit.to_owned(), tail: tail.to_owned(), counted: false }
    }

    /// As [`Self::within`], with a number in place of each `%` of the unit.
    pub(super) fn counted(head: &str, unit: &str, tail: &str) -> Self {
        Self { counted: true, ..Self::within(head, unit, tail) }
    }

    /// The unit, as a name.
    pub(super) fn name(&self) -> &str {
        &self.unit
    }

    /// About so many bytes.
    pub(super) fn content(&self, bytes: usize) -> Vec<u8> {
        let mut content =
            Vec::with_capacity(bytes + self.head.len() + self.unit.len() + self.tail.len() + 64);
        content.extend_from_slice(self.head.as_bytes());
        for number in 0u64.. {
            if content.len() + self.tail.len() >= bytes {
                break;
            }
            if self.counted {
                content.extend_from_slice(self.unit.replace('%', &number.to_string()).as_bytes());
            } else {
                content.extend_from_slice(self.unit.as_bytes());
            }
        }
        content.extend_from_slice(self.tail.as_bytes());
        content
    }
}

/// Units that are each repeated.
pub(super) fn repeated<const N: usize>(units: [&str; N]) -> Vec<Input> {
    units.map(Input::repeated).into()
}
