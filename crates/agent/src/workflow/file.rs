//! Files of the repository, and replacing lines of them.

use std::sync::Arc;

use super::code::{Group, Kind, Module, ParseError, Rules};
use super::difflib::unified_diff;
use super::show::{Show, ShownSpan, show};
use super::tokens::CountTokens;

/// Tokens beyond which code of a module itself begins a further span: upstream's default.
const MAX_SPAN_TOKENS: usize = 500;

/// A Python file of the repository. Its lines end with `\n`, whatever they end with on disk.
#[derive(Clone)]
pub struct CodeFile {
    path: String,
    content: String,
    module: Arc<Module>,
    rules: FileRules,
}

/// How files are read.
#[derive(Clone)]
pub struct FileRules {
    /// How tokens are counted.
    pub tokens: Arc<dyn CountTokens>,
    /// Whether to do as upstream where that is worse: files that are indented by tabs are refused, and new code
    /// is taken whose errors are in the head of a definition only.
    pub as_upstream: bool,
}

/// Why a file cannot be read: the kind of exception that upstream has for it, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read a Python file: {message}")]
pub struct CodeFileError {
    /// `ValueError`, or `Limit` where it is too large, which upstream has no word for.
    pub kind: &'static str,
    message: String,
}

/// What a span of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanFacts {
    /// Its id, unique in the file.
    pub id: String,
    /// `init`, `docs` or `impl`.
    pub kind: &'static str,
    /// First line, from 1.
    pub start_line: usize,
    /// Last line.
    pub end_line: usize,
}

/// What came of replacing lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Whether the file has the new content.
    pub updated: bool,
    /// What would change; nothing when white space at the ends is all.
    pub diff: Option<String>,
    /// Why the change was not made, for the model.
    pub error: Option<String>,
    /// Spans that the file did not have before.
    pub new_span_ids: Vec<String>,
}

impl CodeFile {
    /// Reads a file; the ends of its lines become `\n`.
    ///
    /// # Errors
    /// [`CodeFileError`] when the rules refuse it. Code that does not parse is no error.
    pub fn parse(path: &str, text: &str, rules: &FileRules) -> Result<Self, CodeFileError> {
        let content = text.replace("\r\n", "\n").replace('\r', "\n");
        let module = Arc::new(module(&content, rules)?);
        Ok(Self { path: path.to_owned(), content, module, rules: rules.clone() })
    }

    /// Path in the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// Blocks and spans.
    pub(crate) fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The spans in order.
    pub fn spans(&self) -> Vec<SpanFacts> {
        let facts = |span: &super::code::Span| SpanFacts {
            id: span.id.clone(),
            kind: span.kind.label(),
            start_line: span.start_line,
            end_line: span.end_line,
        };
        self.module.spans.iter().map(facts).collect()
    }

    /// The file as part of a prompt, with the code of these spans.
    pub fn show(&self, span_ids: &[&str], how: Show<'_>) -> String {
        let spans: Vec<_> = span_ids
            .iter()
            .filter(|id| self.module.span(id).is_some())
            .map(|id| ShownSpan { id: (*id).to_owned(), tokens: None })
            .collect();
        self.show_spans(&spans, how)
    }

    pub(crate) fn show_spans(&self, spans: &[ShownSpan], how: Show<'_>) -> String {
        if spans.is_empty() {
            return "\n\n".to_owned();
        }
        format!("\n\n{}\n```\n{}\n```\n", self.path, show(&self.module, Some(spans), how))
    }

    /// Replaces lines from index `start` (from 0) up to index `end`, when the result is sound: it parses, no name is
    /// defined twice, and nothing is left out by a comment.
    pub fn replace_lines(&mut self, start: usize, end: usize, replacement: &str) -> Update {
        let old: Vec<&str> = self.content.split('\n').collect();
        let (start, end) = (start.min(old.len()), end.min(old.len()));
        let new = fitted(replacement, &old[end..]);
        let lines: Vec<&str> = old[..start].iter().chain(&new).chain(&old[end..]).copied().collect();
        self.replace(lines.join("\n"))
    }

    fn replace(&mut self, content: String) -> Update {
        let strip = swegym_core::python::strip;
        let diff = unified_diff(&self.path, strip(&self.content), strip(&content));
        if diff.is_empty() {
            return Update::default();
        }
        let refused =
            |error: String| Update { diff: Some(diff.clone()), error: Some(error), ..Update::default() };
        let module = match module(&content, &self.rules) {
            Ok(module) if module.is_empty() => return refused("The updated code is invalid.".to_owned()),
            Ok(module) => module,
            Err(error) => return refused(error.message),
        };
        let complaints = complaints(&module, has_placeholder(&self.module));
        if !complaints.is_empty() {
            return refused(complaints);
        }
        if module.broken && !self.module.broken && !self.rules.as_upstream {
            return refused("The updated code is invalid.".to_owned());
        }
        let new = module.spans.iter().filter(|span| self.module.span(&span.id).is_none());
        let new_span_ids = new.map(|span| span.id.clone()).collect();
        self.content = content;
        self.module = Arc::new(module);
        Update { updated: true, diff: Some(diff), error: None, new_span_ids }
    }
}

fn module(content: &str, rules: &FileRules) -> Result<Module, CodeFileError> {
    let rules =
        Rules { tokens: &*rules.tokens, max_span_tokens: MAX_SPAN_TOKENS, any_space: !rules.as_upstream };
    Module::parse(content, rules).map_err(|error| CodeFileError {
        kind: match error {
            ParseError::Space(_) => "ValueError",
            ParseError::Limit => "Limit",
        },
        message: error.to_string(),
    })
}

/// The lines of a replacement, without blank ones at both ends and without those that repeat what follows.
fn fitted<'a>(replacement: &'a str, following: &[&str]) -> Vec<&'a str> {
    let is_blank = |line: &&&str| swegym_core::python::strip(line).is_empty();
    let lines: Vec<&str> = replacement.split('\n').collect();
    let head = lines.iter().take_while(is_blank).count();
    let tail = lines[head..].iter().rev().take_while(is_blank).count();
    let lines = &lines[head..lines.len() - tail];
    without_repeated_tail(lines, following).to_vec()
}

/// `replacement` without the longest tail of it that `following` begins with.
pub fn without_repeated_tail<'a, 'b>(replacement: &'a [&'b str], following: &[&str]) -> &'a [&'b str] {
    let most = replacement.len().min(following.len());
    // The border of `following` + `replacement` by the failure function of Knuth, Morris and Pratt: one pass.
    let pattern = &following[..most];
    let mut failure = vec![0; most];
    let mut matched = 0;
    for index in 1..most {
        while matched > 0 && pattern[index] != pattern[matched] {
            matched = failure[matched - 1];
        }
        matched += usize::from(pattern[index] == pattern[matched]);
        failure[index] = matched;
    }
    matched = 0;
    for line in &replacement[replacement.len() - most..] {
        while matched > 0 && (matched == most || pattern[matched] != *line) {
            matched = failure[matched - 1];
        }
        matched += usize::from(most > 0 && pattern[matched] == *line);
    }
    &replacement[..replacement.len() - matched]
}

fn has_placeholder(module: &Module) -> bool {
    module.blocks.iter().any(|block| block.kind == Kind::Placeholder)
}

/// What is wrong with new code, for the model; placeholders are wrong only where there was none before.
fn complaints(module: &Module, had_placeholder: bool) -> String {
    let mut text = String::new();
    let blocks = || module.blocks.iter().enumerate();
    let structure = |block| module.around(block, |kind| kind.group() == Group::Structure);
    for (id, _) in blocks().filter(|(_, block)| block.kind == Kind::Error) {
        match structure(id).filter(|parent| module.blocks[*parent].kind != Kind::Module) {
            Some(parent) => {
                let name = module.blocks[parent].kind.label().to_uppercase();
                text += &format!("{name} has invalid code:\n\n```{}\n```.\n", module.text(parent));
            }
            None => text += &format!("This code is invalid: \n```{}\n```.\n", module.text(id)),
        }
    }
    for (id, _) in blocks().filter(|(_, block)| block.kind == Kind::Placeholder && !had_placeholder) {
        let Some(parent) = structure(id) else { continue };
        let name = module.blocks[parent].identifier.as_deref().unwrap_or("None");
        let kind = module.blocks[parent].kind.label().to_uppercase();
        text += &format!(
            "{name} has a placeholder `{}` indicating that it's not fully implemented. Implement the full {kind} or \
             reject the request.: \n\n```{}```\n\n",
            module.content(id),
            module.text(parent)
        );
    }
    for fault in blocks().flat_map(|(_, block)| &block.faults) {
        text += &format!("error='{fault}'\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workflow::tokens::WordTokens;

    fn rules(as_upstream: bool) -> FileRules {
        FileRules { tokens: Arc::new(WordTokens), as_upstream }
    }

    fn file(text: &str) -> CodeFile {
        CodeFile::parse("m.py", text, &rules(false)).unwrap()
    }

    fn ids(file: &CodeFile) -> Vec<String> {
        file.spans().into_iter().map(|span| span.id).collect()
    }

    #[test]
    fn spans_are_named_after_what_they_are() {
        let text = "# a\nimport os\n\nclass A:\n    x = 1\n    def __init__(self): pass\n    def m(self):\n        \
                    def inner(): pass\n    def m(self): pass\n\nclass B: pass\nprint(1)\nasync def f(): pass\n";
        let expected = ["docstring", "A", "A.__init__", "A.m", "A.m_1", "B", "impl", "f"];
        assert_eq!(ids(&file(text)), expected);
    }

    #[test]
    fn long_code_of_a_module_is_divided() {
        let text: String = (0..300).map(|number| format!("name_{number} = call({number})\n")).collect();
        let spans = file(&text).spans();
        assert!(spans.len() > 2, "{spans:?}");
        assert_eq!(spans[0].id, "impl");
        assert!(spans.windows(2).all(|pair| pair[0].end_line < pair[1].start_line), "{spans:?}");
    }

    #[test]
    fn tabs_are_refused_only_where_upstream_is_followed() {
        let text = "def f():\n\treturn 1\n";
        let refused = CodeFile::parse("m.py", text, &rules(true)).err().map(|error| error.kind);
        assert_eq!(refused, Some("ValueError"));
        let shown = file(text).show(&["f"], Show::default());
        assert_eq!(shown, "\n\nm.py\n```\ndef f():\n\treturn 1\n```\n");
    }

    #[test]
    fn files_beyond_the_limits_are_refused() {
        let long_name = format!("def {}(): pass\n", "f".repeat(2000));
        let deep: String = (0..300).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect();
        let deep = format!("{deep}{}pass\n", " ".repeat(300));
        let chain = format!("{} 1\n", "a =".repeat(100_000));
        for text in [long_name, deep, chain, "#".repeat(3 << 20)] {
            let error = CodeFile::parse("m.py", &text, &rules(false)).err().map(|error| error.kind);
            assert_eq!(error, Some("Limit"), "{}", &text[..20]);
        }
    }

    #[test]
    fn defining_a_name_twice_is_refused() {
        let mut file = file("def f(): pass\n\ndef f_2(): pass\n");
        let update = file.replace_lines(3, 3, "def f(): pass");
        assert_eq!(update.error.as_deref(), Some("error='Duplicate function name: f_2'\n"));
        assert!(!update.updated);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read_shown_and_edited(
            text in "([ \n\t#:=@'\"()\\\\]|def f|class A|if x|return|import a|é|x|\u{0}){0,60}",
            replacement in "([ \n#]|x = 1|def){0,8}",
            start in 0..20_usize,
            lines in 0..20_usize,
        ) {
            if let Ok(mut file) = CodeFile::parse("m.py", &text, &rules(false)) {
                let ids = ids(&file);
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let all = Show { span_ids: true, line_numbers: true, ..Show::default() };
                file.show(&ids, all);
                file.show(&ids[ids.len() / 2..], Show { hide_comments: true, placeholder: Some("..."), ..all });
                file.replace_lines(start, start + lines, &replacement);
            }
        }

        #[test]
        fn the_longest_repeated_tail_goes(
            replacement in proptest::collection::vec("[ab]", 0..8),
            following in proptest::collection::vec("[ab]", 0..8),
        ) {
            let replacement: Vec<&str> = replacement.iter().map(String::as_str).collect();
            let following: Vec<&str> = following.iter().map(String::as_str).collect();
            let longest = (0..=replacement.len().min(following.len()))
                .rev()
                .find(|length| replacement[replacement.len() - length..] == following[..*length]);
            let kept = replacement.len() - longest.unwrap();
            prop_assert_eq!(without_repeated_tail(&replacement, &following), &replacement[..kept]);
        }
    }
}
