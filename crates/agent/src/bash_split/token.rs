//! Words and signs of the shell.

/// What a token is; its text says which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Assignment,
    Number,
    Reserved,
    Sign,
    Newline,
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Without escaped line breaks.
    pub(super) text: Vec<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// A word with a quote or a backslash.
    pub(super) quoted: bool,
}

/// Words with a meaning at the beginning of a command.
const RESERVED: [&[u8]; 22] = [
    b"if",
    b"then",
    b"else",
    b"elif",
    b"fi",
    b"case",
    b"esac",
    b"for",
    b"select",
    b"while",
    b"until",
    b"do",
    b"done",
    b"in",
    b"function",
    b"time",
    b"{",
    b"}",
    b"!",
    b"[[",
    b"]]",
    b"coproc",
];
/// Reserved words behind which a command begins.
const BEFORE_COMMAND: [&[u8]; 15] = [
    b"!", b"do", b"done", b"elif", b"else", b"esac", b"fi", b"if", b"then", b"time", b"coproc", b"until",
    b"while", b"{", b"}",
];
const COMMANDS: [&[u8]; 12] = [
    b"if",
    b"case",
    b"for",
    b"select",
    b"while",
    b"until",
    b"function",
    b"time",
    b"{",
    b"!",
    b"[[",
    b"coproc",
];
const REDIRECTIONS: [&[u8]; 12] =
    [b">", b"<", b">>", b">|", b"<>", b"<<<", b"<&", b">&", b"&>", b"&>>", b"<<", b"<<-"];

pub(super) fn is_reserved(text: &[u8]) -> bool {
    RESERVED.contains(&text)
}

impl Token {
    pub(super) fn is_sign(&self, text: &str) -> bool {
        self.kind == Kind::Sign && self.text == text.as_bytes()
    }

    pub(super) fn is_reserved(&self, text: &str) -> bool {
        self.kind == Kind::Reserved && self.text == text.as_bytes()
    }

    pub(super) fn is_redirection(&self) -> bool {
        self.kind == Kind::Sign && REDIRECTIONS.contains(&self.text.as_slice())
    }

    pub(super) fn begins_command(&self) -> bool {
        match self.kind {
            Kind::Word | Kind::Assignment | Kind::Number => true,
            Kind::Reserved => COMMANDS.contains(&self.text.as_slice()),
            Kind::Sign => self.is_sign("(") || self.is_redirection(),
            Kind::Newline | Kind::End => false,
        }
    }

    /// Whether a reserved word may follow. Upstream goes by the text, and so takes a `}` that is an argument for one
    /// that closes a group.
    pub(super) fn precedes_command(&self) -> bool {
        match self.kind {
            Kind::Reserved => BEFORE_COMMAND.contains(&self.text.as_slice()),
            Kind::Sign => {
                matches!(
                    self.text.as_slice(),
                    b"&&" | b"||" | b"|&" | b";;" | b";&" | b";;&" | b";" | b"(" | b")" | b"|" | b"&"
                )
            }
            Kind::Newline => true,
            Kind::Word => matches!(self.text.as_slice(), b"{" | b"}" | b"&" | b"|"),
            Kind::Assignment | Kind::Number | Kind::End => false,
        }
    }
}
