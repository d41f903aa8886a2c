//! From tokens to commands: the grammar of bash, as far as bashlex knows it.

use std::cell::Cell;

use super::expand::expand;
use super::lexer::Lexer;
use super::token::{Kind, Token};
use super::{Problem, Span};

/// Commands within each other; more count as unparsable.
const DEPTH: usize = 60;

type Parsed<T = ()> = Result<T, Problem>;

const UNPARSABLE: Parsed = Err(Problem::Unparsable);
const NOT_IMPLEMENTED: Problem = Problem::Raised("NotImplementedError");

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    looks: &'a Cell<usize>,
    depth: usize,
    next: Option<Token>,
    /// End of the token that was taken last.
    end: usize,
}

/// What a list of commands is in the tree of upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// Several commands, or one with an operator behind it.
    List,
    /// One command.
    One { terminated: bool },
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8], looks: &'a Cell<usize>, depth: usize) -> Self {
        Self { lexer: Lexer::new(text, looks, depth), looks, depth, next: None, end: 0 }
    }

    /// Parses the first line of commands; `None` where there is none. In a substitution, a parenthesis ends it.
    pub(super) fn unit(&mut self, in_parentheses: bool) -> Parsed<Option<Span>> {
        let blank = self.peek()?.kind == Kind::Newline;
        self.newlines()?;
        let first = self.peek()?;
        let start = first.start;
        if first.kind == Kind::End {
            return if blank { Ok(None) } else { Err(Problem::Unparsable) };
        }
        // Behind a parenthesis, upstream's tables know only this much: the last operator must be `;`.
        let mut closable = true;
        self.pipeline_command()?;
        loop {
            let operator = self.peek()?;
            if operator.is_sign("&&") || operator.is_sign("||") {
                self.take()?;
                self.newlines()?;
                closable = false;
            } else if operator.is_sign("&") || operator.is_sign(";") {
                closable = operator.is_sign(";");
                self.take()?;
                if !self.peek()?.begins_command() {
                    closable = false;
                    break;
                }
            } else {
                break;
            }
            self.pipeline_command()?;
        }
        let end = self.end;
        let next = self.peek()?;
        if next.kind != Kind::Newline && !(in_parentheses && closable && next.is_sign(")")) {
            return Err(Problem::Unparsable);
        }
        self.lexer.gather()?;
        Ok(Some(Span { start, end, heredoc_end: self.lexer.heredoc_end }))
    }

    fn peek(&mut self) -> Parsed<&Token> {
        let token = match self.next.take() {
            Some(token) => token,
            None => self.lexer.token()?,
        };
        Ok(self.next.insert(token))
    }

    fn take(&mut self) -> Parsed<Token> {
        let token = match self.next.take() {
            Some(token) => token,
            None => self.lexer.token()?,
        };
        self.end = token.end;
        Ok(token)
    }

    fn newlines(&mut self) -> Parsed {
        while self.peek()?.kind == Kind::Newline {
            self.take()?;
        }
        Ok(())
    }

    fn accept(&mut self, is: impl Fn(&Token) -> bool) -> Parsed<bool> {
        let accepted = is(self.peek()?);
        if accepted {
            self.take()?;
        }
        Ok(accepted)
    }

    fn expect(&mut self, is: impl Fn(&Token) -> bool) -> Parsed {
        if self.accept(is)? { Ok(()) } else { UNPARSABLE }
    }

    fn reserved(&mut self, word: &str) -> Parsed {
        self.expect(|token| token.is_reserved(word))
    }

    /// Upstream acts when it has read one token more: what is wrong with that one comes first.
    fn expand(&mut self, word: &Token) -> Parsed {
        self.peek()?;
        if self.depth >= DEPTH {
            return UNPARSABLE;
        }
        expand(word, self.looks, self.depth + 1)
    }

    fn word(&mut self) -> Parsed<Token> {
        match self.take()? {
            word if word.kind == Kind::Word => Ok(word),
            _ => Err(Problem::Unparsable),
        }
    }

    fn pipeline_command(&mut self) -> Parsed {
        let negated = self.peek()?.is_reserved("!");
        while self.accept(|token| token.is_reserved("!"))? {}
        if negated && (self.peek()?.is_sign(";") || self.peek()?.kind == Kind::Newline) {
            return self.nothing_negated();
        }
        if self.accept(|token| token.is_reserved("time"))? {
            let next = self.peek()?;
            let known = next.begins_command() || next.kind == Kind::Newline;
            return if known || next.is_sign(";") { Err(NOT_IMPLEMENTED) } else { UNPARSABLE };
        }
        self.command()?;
        while self.accept(|token| token.is_sign("|") || token.is_sign("|&"))? {
            self.newlines()?;
            self.command()?;
        }
        Ok(())
    }

    /// `!` with nothing behind it: upstream fails where a line break ends it.
    fn nothing_negated(&mut self) -> Parsed {
        let terminator = self.take()?.kind;
        let next = self.peek()?;
        let follows = match next.kind {
            Kind::Newline => true,
            Kind::Sign => matches!(next.text.as_slice(), b";" | b"&" | b"&&" | b"||" | b")"),
            Kind::Reserved => !next.begins_command(),
            Kind::Word | Kind::Assignment | Kind::Number | Kind::End => false,
        };
        match terminator {
            _ if !follows => UNPARSABLE,
            Kind::Newline => Err(Problem::Raised("AttributeError")),
            _ => Ok(()),
        }
    }

    fn command(&mut self) -> Parsed {
        if self.depth >= DEPTH {
            return UNPARSABLE;
        }
        self.depth += 1;
        let parsed = self.any_command();
        self.depth -= 1;
        parsed
    }

    fn any_command(&mut self) -> Parsed {
        let next = self.peek()?;
        match next.kind {
            Kind::Word => self.command_or_function(),
            Kind::Assignment | Kind::Number => self.simple_command(),
            Kind::Sign if next.is_redirection() => self.simple_command(),
            Kind::Reserved if next.is_reserved("function") => {
                self.take()?;
                let name = self.word()?;
                if self.accept(|token| token.is_sign("("))? {
                    self.expect(|token| token.is_sign(")"))?;
                }
                self.function_body(&name)
            }
            Kind::Reserved if next.is_reserved("coproc") => self.coproc(),
            _ => {
                self.shell_command()?;
                self.redirections()
            }
        }
    }

    fn command_or_function(&mut self) -> Parsed {
        let name = self.take()?;
        if self.accept(|token| token.is_sign("("))? {
            self.expect(|token| token.is_sign(")"))?;
            return self.function_body(&name);
        }
        self.expand(&name)?;
        self.elements()
    }

    fn function_body(&mut self, name: &Token) -> Parsed {
        self.newlines()?;
        self.shell_command()?;
        self.redirections()?;
        self.expand(name)
    }

    fn simple_command(&mut self) -> Parsed {
        self.element()?;
        self.elements()
    }

    fn elements(&mut self) -> Parsed {
        loop {
            let next = self.peek()?;
            let continues = matches!(next.kind, Kind::Word | Kind::Assignment | Kind::Number);
            if !continues && !next.is_redirection() {
                return Ok(());
            }
            self.element()?;
        }
    }

    fn element(&mut self) -> Parsed {
        if !matches!(self.peek()?.kind, Kind::Word | Kind::Assignment) {
            return self.redirection();
        }
        let word = self.take()?;
        self.expand(&word)
    }

    fn redirections(&mut self) -> Parsed {
        while self.peek()?.is_redirection() || self.peek()?.kind == Kind::Number {
            self.redirection()?;
        }
        Ok(())
    }

    fn redirection(&mut self) -> Parsed {
        let numbered = self.accept(|token| token.kind == Kind::Number)?;
        let sign = self.take()?;
        if !sign.is_redirection() || (numbered && sign.text.starts_with(b"&")) {
            return UNPARSABLE;
        }
        let target = self.take()?;
        let duplicates = sign.is_sign("<&") || sign.is_sign(">&");
        match target.kind {
            Kind::Word if sign.is_sign("<<") || sign.is_sign("<<-") => {
                // A line break directly behind it is read before, and the here-document behind the next one.
                self.peek()?;
                self.lexer.announced.push((target.text, sign.is_sign("<<-")));
                Ok(())
            }
            Kind::Word => self.expand(&target),
            Kind::Number if duplicates => Ok(()),
            Kind::Sign if duplicates && target.is_sign("-") => Ok(()),
            _ => UNPARSABLE,
        }
    }

    fn shell_command(&mut self) -> Parsed {
        let first = self.take()?;
        match (first.kind, first.text.as_slice()) {
            (Kind::Sign, b"(") => {
                self.list()?;
                self.expect(|token| token.is_sign(")"))
            }
            (Kind::Reserved, b"{") => {
                self.list()?;
                self.reserved("}")
            }
            (Kind::Reserved, b"if") => self.conditional(),
            (Kind::Reserved, b"while" | b"until") => {
                let condition = self.list()?;
                self.reserved("do")?;
                self.list()?;
                self.reserved("done")?;
                self.peek()?;
                // Upstream takes for granted that a condition is more than one command.
                if condition == Listed::List { Ok(()) } else { Err(Problem::Raised("AssertionError")) }
            }
            (Kind::Reserved, b"for") => self.for_loop(false),
            (Kind::Reserved, b"select") => {
                self.for_loop(true)?;
                Err(NOT_IMPLEMENTED)
            }
            (Kind::Reserved, b"case") => self.case(),
            _ => UNPARSABLE,
        }
    }

    fn conditional(&mut self) -> Parsed {
        loop {
            self.list()?;
            self.reserved("then")?;
            self.list()?;
            if !self.accept(|token| token.is_reserved("elif"))? {
                break;
            }
        }
        if self.accept(|token| token.is_reserved("else"))? {
            self.list()?;
        }
        self.reserved("fi")
    }

    fn for_loop(&mut self, select: bool) -> Parsed {
        let name = self.word()?;
        if self.accept(|token| token.is_sign(";"))? {
            self.newlines()?;
        } else {
            self.newlines()?;
            if self.accept(|token| token.is_reserved("in"))? {
                while self.peek()?.kind == Kind::Word {
                    let word = self.take()?;
                    self.expand(&word)?;
                }
                self.expect(|token| token.is_sign(";") || token.kind == Kind::Newline)?;
                self.newlines()?;
            }
        }
        let braces = self.accept(|token| token.is_reserved("{"))?;
        if !braces {
            self.reserved("do")?;
        }
        let body = self.list()?;
        if select && body == (Listed::One { terminated: false }) {
            return UNPARSABLE;
        }
        self.reserved(if braces { "}" } else { "done" })?;
        self.expand(&name)
    }

    /// Upstream gives up at the first pattern.
    fn case(&mut self) -> Parsed {
        self.word()?;
        self.newlines()?;
        self.reserved("in")?;
        self.newlines()?;
        if self.accept(|token| token.is_reserved("esac"))? {
            self.peek()?;
            return Err(NOT_IMPLEMENTED);
        }
        self.accept(|token| token.is_sign("("))?;
        self.word()?;
        let next = self.peek()?;
        if next.is_sign(")") || next.is_sign("|") { Err(NOT_IMPLEMENTED) } else { UNPARSABLE }
    }

    fn coproc(&mut self) -> Parsed {
        self.take()?;
        let named = self.peek()?.kind == Kind::Word;
        if named {
            let name = self.take()?;
            let next = self.peek()?;
            if next.is_sign("(") || (next.kind == Kind::Reserved && next.begins_command()) {
                self.shell_command()?;
                self.redirections()?;
            } else {
                self.expand(&name)?;
                self.elements()?;
            }
        } else {
            self.any_command()?;
        }
        Err(NOT_IMPLEMENTED)
    }

    /// Commands inside of a compound one.
    fn list(&mut self) -> Parsed<Listed> {
        self.newlines()?;
        self.pipeline_command()?;
        let mut listed = Listed::One { terminated: false };
        loop {
            let operator = self.peek()?;
            let joins = operator.is_sign("&&") || operator.is_sign("||");
            let ends = operator.is_sign("&") || operator.is_sign(";") || operator.kind == Kind::Newline;
            if !joins && !ends {
                return Ok(listed);
            }
            if operator.kind != Kind::Newline || listed == Listed::List {
                listed = Listed::List;
            } else {
                listed = Listed::One { terminated: true };
            }
            self.take()?;
            self.newlines()?;
            if ends && !self.peek()?.begins_command() {
                return Ok(listed);
            }
            self.pipeline_command()?;
            listed = Listed::List;
        }
    }
}
