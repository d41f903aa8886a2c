//! From characters to tokens.

use std::cell::Cell;

use super::Problem;
use super::substitution::Substitution;
use super::token::{Kind, Token, is_reserved};

/// Quotes and substitutions within each other; more count as unparsable.
const DEPTH: usize = 100;

pub(super) type Scanned = Result<(), Problem>;

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    looks: &'a Cell<usize>,
    depth: usize,
    last: Option<Token>,
    before: Option<(Kind, Vec<u8>)>,
    /// `esac` ends a `case` even where no reserved word is expected.
    esac_next: bool,
    /// `{` is reserved behind the name of a function.
    brace_next: bool,
    /// Delimiters of here-documents that are announced, and whether tabs before their lines do not count.
    pub(super) announced: Vec<(Vec<u8>, bool)>,
    /// End of the here-document that was read last.
    pub(super) heredoc_end: usize,
}

/// How a pair of quotes or brackets is read; as in bash.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) outer: Option<u8>,
    pub(super) open: u8,
    pub(super) close: u8,
    pub(super) escapes: bool,
    pub(super) in_double: bool,
    pub(super) first_close: bool,
    pub(super) parameter: bool,
}

impl Pair {
    pub(super) fn new(outer: Option<u8>, open: u8, close: u8) -> Self {
        let (escapes, in_double, first_close, parameter) = (false, false, false, false);
        Self { outer, open, close, escapes, in_double, first_close, parameter }
    }

    pub(super) fn quote(quote: u8) -> Self {
        Self::new(Some(quote), quote, quote)
    }

    pub(super) fn braces() -> Self {
        Self { first_close: true, parameter: true, ..Self::new(None, b'{', b'}') }
    }
}

/// Where reading `${...}` stands, as far as it matters for single quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Name,
    Word,
    Pattern,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], looks: &'a Cell<usize>, depth: usize) -> Self {
        Self {
            text,
            at: 0,
            looks,
            depth,
            last: None,
            before: None,
            esac_next: false,
            brace_next: false,
            announced: Vec::new(),
            heredoc_end: 0,
        }
    }

    /// A text without a line break at its end is read as if it had one.
    fn byte(&self, index: usize) -> Option<u8> {
        match self.text.get(index) {
            Some(byte) => Some(*byte),
            None if index == self.text.len() && !matches!(self.text.last(), None | Some(b'\n')) => {
                Some(b'\n')
            }
            None => None,
        }
    }

    pub(super) fn get(&mut self, joining: bool) -> Option<u8> {
        loop {
            self.looks.set(self.looks.get().saturating_sub(1));
            let byte = self.byte(self.at).filter(|_| self.looks.get() > 0)?;
            self.at += 1;
            if byte == b'\\' && joining && self.byte(self.at) == Some(b'\n') {
                self.at += 1;
                continue;
            }
            return Some(byte);
        }
    }

    pub(super) fn unget(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    pub(super) fn token(&mut self) -> Result<Token, Problem> {
        let token = self.read_token()?;
        let last = self.last.replace(token.clone());
        self.before = last.map(|last| (last.kind, last.text));
        Ok(token)
    }

    fn made(&self, kind: Kind, text: &[u8], start: usize) -> Token {
        Token { kind, text: text.to_vec(), start, end: self.at, quoted: false }
    }

    fn read_token(&mut self) -> Result<Token, Problem> {
        let mut c = self.get(true);
        while matches!(c, Some(b' ' | b'\t')) {
            c = self.get(true);
        }
        if c == Some(b'#') {
            while !matches!(c, None | Some(b'\n')) {
                c = self.get(false);
            }
        }
        let Some(c) = c else { return Ok(self.made(Kind::End, b"", self.at)) };
        let start = self.at - 1;
        match c {
            b'\n' => {
                self.gather()?;
                Ok(self.made(Kind::Newline, b"\n", start))
            }
            b'(' | b')' | b'<' | b'>' | b';' | b'&' | b'|' => match self.sign(c) {
                Some(sign) => Ok(self.made(Kind::Sign, sign, start)),
                None => self.word(c, start),
            },
            b'-' if self.follows_duplication() => Ok(self.made(Kind::Sign, b"-", start)),
            c => self.word(c, start),
        }
    }

    fn follows_duplication(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.is_sign("<&") || last.is_sign(">&"))
    }

    /// The sign that begins here; `None` for a process substitution, which is a word.
    fn sign(&mut self, c: u8) -> Option<&'static [u8]> {
        let next = self.get(true);
        let two: &[u8] = match (c, next) {
            (b'<', Some(b'<')) => {
                return Some(match self.get(true) {
                    Some(b'-') => b"<<-",
                    Some(b'<') => b"<<<",
                    _ => self.back(b"<<"),
                });
            }
            (b';', Some(b';')) => {
                return Some(if self.get(true) == Some(b'&') { b";;&" } else { self.back(b";;") });
            }
            (b'&', Some(b'>')) => {
                return Some(if self.get(true) == Some(b'>') { b"&>>" } else { self.back(b"&>") });
            }
            (b'>', Some(b'>')) => b">>",
            (b'&', Some(b'&')) => b"&&",
            (b'|', Some(b'|')) => b"||",
            (b'<', Some(b'&')) => b"<&",
            (b'>', Some(b'&')) => b">&",
            (b'<', Some(b'>')) => b"<>",
            (b'>', Some(b'|')) => b">|",
            (b'|', Some(b'&')) => b"|&",
            (b';', Some(b'&')) => b";&",
            _ => return self.one_sign(c, next),
        };
        Some(two)
    }

    fn back(&mut self, sign: &'static [u8]) -> &'static [u8] {
        self.unget();
        sign
    }

    fn one_sign(&mut self, c: u8, next: Option<u8>) -> Option<&'static [u8]> {
        self.unget();
        match c {
            b'<' | b'>' if next == Some(b'(') => None,
            b'(' => Some(b"("),
            b')' => {
                let names = self.before.as_ref().is_some_and(|(kind, _)| *kind == Kind::Word);
                self.brace_next |= names && self.last.as_ref().is_some_and(|last| last.is_sign("("));
                Some(b")")
            }
            b'<' => Some(b"<"),
            b'>' => Some(b">"),
            b';' => Some(b";"),
            b'&' => Some(b"&"),
            _ => Some(b"|"),
        }
    }

    fn word(&mut self, first: u8, start: usize) -> Result<Token, Problem> {
        let mut text = Vec::new();
        let (mut digits, mut dollar, mut quoted) = (true, false, false);
        let mut c = Some(first);
        while let Some(byte) = c {
            match byte {
                b'\\' => match self.get(false) {
                    Some(b'\n') => {}
                    Some(next) => {
                        quoted = true;
                        digits = false;
                        text.extend([byte, next]);
                    }
                    None => text.push(byte),
                },
                b'"' | b'\'' | b'`' => {
                    (quoted, digits) = (true, false);
                    let from = text.len();
                    text.push(byte);
                    self.pair(&mut text, Pair::quote(byte))?;
                    dollar |= byte == b'"' && text[from..].contains(&b'$');
                }
                b'$' | b'<' | b'>' if self.expansion(&mut text, byte, &mut dollar, &mut quoted)? => {
                    digits = false
                }
                b'(' | b')' | b'<' | b'>' | b';' | b'&' | b'|' | b' ' | b'\t' | b'\n' => {
                    self.unget();
                    break;
                }
                _ => {
                    digits &= byte.is_ascii_digit();
                    dollar |= byte == b'$';
                    text.push(byte);
                }
            }
            c = self.get(true);
        }
        let is_number = digits && (matches!(c, Some(b'<' | b'>')) || self.follows_duplication());
        let kind = match self.special(&text) {
            _ if is_number => Kind::Number,
            true => Kind::Reserved,
            false if !dollar && !quoted && self.command_position() && is_reserved(&text) => Kind::Reserved,
            false if is_assignment(&text) && self.assignment_position() => Kind::Assignment,
            false => Kind::Word,
        };
        self.brace_next |= kind != Kind::Reserved && self.last_is("function");
        Ok(Token { quoted, ..self.made(kind, &text, start) })
    }

    fn last_is(&self, reserved: &str) -> bool {
        self.last.as_ref().is_some_and(|last| last.is_reserved(reserved))
    }

    fn command_position(&self) -> bool {
        let names_function = |last: &Token| {
            last.kind == Kind::Word
                && self
                    .before
                    .as_ref()
                    .is_some_and(|(kind, text)| *kind == Kind::Reserved && text == b"function")
        };
        self.last.as_ref().is_none_or(|last| last.precedes_command() || names_function(last))
    }

    fn assignment_position(&self) -> bool {
        let last = self.last.as_ref();
        let after_assignment = last.is_some_and(|last| last.kind == Kind::Assignment);
        let after_clause = last.is_some_and(|last| matches!(last.text.as_slice(), b";;" | b";&" | b";;&"));
        after_assignment || (self.command_position() && !after_clause)
    }

    /// Whether the word is reserved by what stands before it.
    fn special(&mut self, text: &[u8]) -> bool {
        if self.last.as_ref().is_some_and(|last| last.kind == Kind::Word)
            && let Some((Kind::Reserved, before)) = &self.before
        {
            let looped = matches!(before.as_slice(), b"for" | b"select");
            if text == b"in" && (looped || before == b"case") {
                self.esac_next |= before == b"case";
                return true;
            }
            if text == b"do" && looped {
                return true;
            }
        }
        if std::mem::take(&mut self.esac_next) && text == b"esac" {
            return true;
        }
        std::mem::take(&mut self.brace_next) && text == b"{"
    }

    /// Reads what a `$`, `<` or `>` in a word begins, if anything.
    fn expansion(
        &mut self,
        text: &mut Vec<u8>,
        c: u8,
        dollar: &mut bool,
        quoted: &mut bool,
    ) -> Result<bool, Problem> {
        let Some(next) = self.get(true) else { return Ok(false) };
        match (c, next) {
            (_, b'(') => {
                text.extend([c, next]);
                self.substitution(text)?;
                *dollar = true;
            }
            (b'$', b'{' | b'[') => {
                text.extend([c, next]);
                let pair = if next == b'{' { Pair::braces() } else { Pair::new(None, b'[', b']') };
                self.pair(text, pair)?;
                *dollar = true;
            }
            (b'$', b'\'' | b'"') => {
                text.extend([c, next]);
                self.pair(text, Pair { escapes: next == b'\'', ..Pair::quote(next) })?;
                *quoted = true;
            }
            (b'$', b'$') => {
                text.extend(b"$$");
                *dollar = true;
            }
            _ => {
                self.unget();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Scanned) -> Scanned {
        if self.depth >= DEPTH {
            return Err(Problem::Unparsable);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Reads up to the sign that closes the pair.
    pub(super) fn pair(&mut self, text: &mut Vec<u8>, pair: Pair) -> Scanned {
        self.deeper(|lexer| lexer.read_pair(text, pair))
    }

    fn read_pair(&mut self, text: &mut Vec<u8>, pair: Pair) -> Scanned {
        let from = text.len();
        let in_double = pair.outer == Some(b'"') || pair.in_double;
        let (mut count, mut stage) = (1_usize, Stage::Name);
        let (mut escaped, mut dollar) = (false, false);
        loop {
            let joining = pair.outer != Some(b'\'') && !escaped;
            let c = self.get(joining).ok_or(Problem::Unparsable)?;
            if std::mem::take(&mut escaped) {
                text.push(c);
                continue;
            }
            if c == pair.close {
                count -= 1;
            } else if c == pair.open && (!pair.first_close || (dollar && pair.open == b'{')) {
                count += 1;
            }
            text.push(c);
            if count == 0 {
                return Ok(());
            }
            if pair.open == b'\'' {
                escaped = pair.escapes && c == b'\\';
                continue;
            }
            escaped = c == b'\\';
            if pair.parameter {
                stage = next_stage(stage, c, text.len() - from);
                if stage != Stage::Pattern && pair.in_double && c == b'\'' {
                    continue;
                }
            }
            let is_quote = matches!(c, b'"' | b'\'' | b'`');
            if pair.open != pair.close {
                if is_quote {
                    if dollar && c == b'"' {
                        text.truncate(text.len() - 2);
                    }
                    let escapes = dollar || pair.escapes;
                    self.pair(text, Pair { outer: Some(c), open: c, close: c, escapes, ..pair })?;
                }
            } else if pair.open == b'"' && c == b'`' {
                self.pair(text, Pair { outer: None, open: b'`', close: b'`', ..pair })?;
            } else if pair.open != b'`' && dollar {
                match c {
                    b'(' => self.substitution(text)?,
                    b'{' => self.pair(text, Pair { in_double, ..Pair::braces() })?,
                    b'[' => self.pair(text, Pair { in_double, ..Pair::new(None, b'[', b']') })?,
                    _ => {}
                }
            }
            dollar = c == b'$';
        }
    }

    /// Reads a command substitution up to its closing parenthesis.
    pub(super) fn substitution(&mut self, text: &mut Vec<u8>) -> Scanned {
        let next = self.get(false);
        self.unget();
        if next == Some(b'(') {
            return self.pair(text, Pair::new(None, b'(', b')'));
        }
        self.deeper(|lexer| Substitution::new().read(lexer, text))
    }

    /// Reads the here-documents that are announced.
    pub(super) fn gather(&mut self) -> Scanned {
        for (delimiter, tabbed) in std::mem::take(&mut self.announced) {
            loop {
                let line = self.line().ok_or(Problem::Unparsable)?;
                let tabs = if tabbed { line.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
                if line[tabs..] == delimiter {
                    break;
                }
            }
            self.heredoc_end = self.at.saturating_sub(1);
        }
        Ok(())
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let mut c = self.get(true)?;
        while c != b'\n' {
            line.push(c);
            c = self.get(true).unwrap_or(b'\n');
        }
        Some(line)
    }
}

fn next_stage(stage: Stage, c: u8, read: usize) -> Stage {
    match c {
        _ if stage != Stage::Name => stage,
        b'%' | b'#' | b'/' | b'^' | b',' if read > 1 => Stage::Pattern,
        b'#' | b'%' | b'^' | b',' | b'~' | b':' | b'-' | b'=' | b'?' | b'+' | b'/' if read <= 1 => {
            Stage::Word
        }
        _ => stage,
    }
}

fn is_assignment(text: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let name = text.iter().take_while(|byte| is_name(byte)).count();
    let begins = text.first().is_some_and(|first| !first.is_ascii_digit());
    name > 0 && begins && (text[name..].starts_with(b"=") || text[name..].starts_with(b"+="))
}
