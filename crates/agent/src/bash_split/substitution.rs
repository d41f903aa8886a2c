//! Finds the end of a command substitution.

use super::Problem;
use super::lexer::{Lexer, Pair, Scanned};

/// The state of reading a command substitution. What is read is scanned for `case`, comments and here-documents,
/// in which parentheses need not match.
pub(super) struct Substitution {
    count: usize,
    delimiter: Vec<u8>,
    tabbed: bool,
    in_heredoc: bool,
    in_comment: bool,
    in_word: bool,
    in_case: bool,
    reading_delimiter: bool,
    dollar: bool,
    escaped: bool,
    /// Whether a reserved word may stand here, and how much of one was read.
    may_be_reserved: bool,
    reserved_read: usize,
    word_read: usize,
    line_start: Option<usize>,
}

impl Substitution {
    pub(super) fn new() -> Self {
        Self {
            count: 1,
            delimiter: Vec::new(),
            tabbed: false,
            in_heredoc: false,
            in_comment: false,
            in_word: false,
            in_case: false,
            reading_delimiter: false,
            dollar: false,
            escaped: false,
            may_be_reserved: true,
            reserved_read: 0,
            word_read: 0,
            line_start: None,
        }
    }

    pub(super) fn read(mut self, lexer: &mut Lexer<'_>, text: &mut Vec<u8>) -> Scanned {
        while self.count > 0 {
            let joining = !self.in_comment && !self.escaped;
            let c = lexer.get(joining).ok_or(Problem::Unparsable)?;
            self.follow_heredoc(c, text);
            if self.in_comment || self.in_heredoc {
                text.push(c);
                self.in_comment &= c != b'\n';
                continue;
            }
            if std::mem::take(&mut self.escaped) {
                text.push(c);
                continue;
            }
            self.follow_word(c);
            if matches!(c, b' ' | b'\t') && !self.reading_delimiter && self.reserved_read == 0 {
                text.push(c);
                continue;
            }
            self.follow_delimiter(c, text);
            if self.operator(c, lexer, text) || self.reserved(c, text) {
                continue;
            }
            if let Some(c) = self.less(c, lexer, text)? {
                self.nested(c, lexer, text)?;
            }
        }
        Ok(())
    }

    fn follow_heredoc(&mut self, c: u8, text: &[u8]) {
        let next_line = Some(text.len() + 1);
        if c == b'\n' && self.reading_delimiter && !self.delimiter.is_empty() {
            (self.reading_delimiter, self.in_heredoc, self.line_start) = (false, true, next_line);
        } else if self.in_heredoc && (c == b'\n' || (c == b')' && self.count == 1)) {
            let line = self.line_start.and_then(|start| text.get(start..)).unwrap_or_default();
            let tabs = if self.tabbed { line.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
            if line[tabs..] == self.delimiter {
                (self.tabbed, self.in_heredoc, self.line_start) = (false, false, None);
                self.delimiter.clear();
            } else if c == b'\n' {
                self.line_start = next_line;
            }
        }
    }

    fn follow_word(&mut self, c: u8) {
        if is_break(c) {
            self.in_word = false;
        } else if self.in_word {
            self.word_read += 1;
        } else {
            (self.in_word, self.word_read) = (true, 0);
        }
    }

    fn follow_delimiter(&mut self, c: u8, text: &[u8]) {
        if !self.reading_delimiter {
            return;
        }
        match self.line_start {
            None if !is_break(c) => self.line_start = Some(text.len()),
            Some(start) if is_break(c) => {
                if self.delimiter.is_empty() {
                    self.delimiter = without_quotes(&text[start..]);
                }
                self.line_start = None;
                if c == b'\n' {
                    (self.in_heredoc, self.reading_delimiter) = (true, false);
                    self.line_start = Some(text.len() + 1);
                }
            }
            _ => {}
        }
    }

    /// Reads an operator behind which a reserved word may stand.
    fn operator(&mut self, c: u8, lexer: &mut Lexer<'_>, text: &mut Vec<u8>) -> bool {
        if self.may_be_reserved || !matches!(c, b'(' | b')' | b'<' | b'>' | b';' | b'&' | b'|' | b'\n') {
            return false;
        }
        let next = lexer.get(true);
        let doubled = next == Some(c) && matches!(c, b'&' | b'|' | b';');
        if !doubled {
            lexer.unget();
        }
        if !doubled && !matches!(c, b'\n' | b'&' | b'|' | b';') {
            return false;
        }
        text.push(c);
        if doubled {
            text.push(c);
        }
        (self.may_be_reserved, self.reserved_read) = (true, 0);
        true
    }

    /// Reads a letter of what may be a reserved word.
    fn reserved(&mut self, c: u8, text: &mut Vec<u8>) -> bool {
        if !self.may_be_reserved {
            return false;
        }
        let begins_comment = c == b'#' && (self.reserved_read == 0 || (self.in_word && self.word_read == 0));
        let ends_do = matches!(c, b' ' | b'\t' | b'\n') && self.reserved_read == 2 && text.ends_with(b"do");
        if c.is_ascii_lowercase() {
            text.push(c);
            self.reserved_read += 1;
            return true;
        }
        if self.reserved_read == 4 && is_break(c) {
            self.in_case = (self.in_case || text.ends_with(b"case")) && !text.ends_with(b"esac");
            self.may_be_reserved = false;
        } else if !begins_comment && !self.in_case && ends_do {
            self.reserved_read = 0;
        } else if !begins_comment && ((self.in_case && c != b'\n') || !is_break(c)) {
            self.may_be_reserved = false;
        }
        false
    }

    /// Reads `<`, `<<` and `<<-`; gives back the character that is to be looked at next, if any.
    fn less(&mut self, c: u8, lexer: &mut Lexer<'_>, text: &mut Vec<u8>) -> Result<Option<u8>, Problem> {
        if c != b'<' {
            // Upstream takes it for a comment within a word, too.
            self.in_comment = c == b'#';
            return Ok(Some(c));
        }
        text.push(c);
        let next = lexer.get(true).ok_or(Problem::Unparsable)?;
        if next != c {
            return Ok(Some(next));
        }
        text.push(next);
        let third = lexer.get(true).ok_or(Problem::Unparsable)?;
        if third == b'-' {
            text.push(third);
            self.tabbed = true;
        } else {
            lexer.unget();
        }
        if third != b'<' {
            (self.reading_delimiter, self.line_start) = (true, None);
        }
        Ok(None)
    }

    fn nested(&mut self, c: u8, lexer: &mut Lexer<'_>, text: &mut Vec<u8>) -> Scanned {
        if !self.in_case {
            match c {
                b')' => self.count -= 1,
                b'(' => self.count += 1,
                _ => {}
            }
        }
        text.push(c);
        if self.count == 0 {
            return Ok(());
        }
        self.escaped = c == b'\\';
        let in_double = true;
        match c {
            b'"' | b'\'' | b'`' => {
                let escapes = self.dollar && c == b'\'';
                lexer.pair(text, Pair { escapes, in_double, ..Pair::quote(c) })?;
            }
            b'(' if self.dollar => {
                if !self.in_case {
                    self.count -= 1;
                }
                lexer.substitution(text)?;
            }
            b'{' if self.dollar => lexer.pair(text, Pair { in_double, ..Pair::braces() })?,
            b'[' if self.dollar => lexer.pair(text, Pair { in_double, ..Pair::new(None, b'[', b']') })?,
            _ => {}
        }
        self.dollar = c == b'$';
        Ok(())
    }
}

fn is_break(c: u8) -> bool {
    matches!(c, b'(' | b')' | b'<' | b'>' | b';' | b'&' | b'|' | b' ' | b'\t' | b'\n')
}

fn without_quotes(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !matches!(byte, b'\'' | b'"' | b'\\')).collect()
}
