//! The rules: which small edits of a node make a plausible bug.

use std::ops::Range;

use tree_sitter::Node;

use super::walk::Visit;

/// Longest piece of source that is repeated or searched; keeps the work linear in deeply nested sources.
const MAX_REPEATED: usize = 200;

/// A replacement of bytes by text.
pub(super) struct Edit {
    pub(super) operator: &'static str,
    pub(super) range: Range<usize>,
    pub(super) replacement: String,
}

impl Edit {
    fn new(operator: &'static str, range: Range<usize>, replacement: impl Into<String>) -> Self {
        Self { operator, range, replacement: replacement.into() }
    }
}

/// The edits of this very node; those of its children are found when they are visited.
pub(super) fn edits(visit: &Visit<'_>, source: &str) -> Vec<Edit> {
    let node = visit.node;
    match node.kind() {
        "comparison_operator" => comparisons(node),
        "integer" => integers(node, source),
        "slice" => slice_bounds(node),
        "call" => range_bound(node, source).into_iter().chain(swapped_arguments(node, source)).collect(),
        "binary_operator" | "augmented_assignment" | "boolean_operator" => {
            operator(node).into_iter().collect()
        }
        "not_operator" => dropped_not(node).into_iter().collect(),
        "return_statement" => wrong_return(node).into_iter().collect(),
        "if_statement" => dropped_if(visit, source).into_iter().chain(negated(node, source)).collect(),
        "elif_clause" => dropped_clause(visit, source).into_iter().chain(negated(node, source)).collect(),
        "else_clause" => dropped_clause(visit, source).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether a call only tells somebody something.
pub(super) fn is_logging(call: Node<'_>, source: &str) -> bool {
    let function = call.child_by_field_name("function").and_then(|it| source.get(it.byte_range()));
    let short = function.filter(|text| text.len() <= MAX_REPEATED);
    let Some((object, method)) = short.map(|text| text.rsplit_once('.').unwrap_or(("", text))) else {
        return false;
    };
    let logger = object.rsplit('.').next().is_some_and(|name| name.to_lowercase().contains("log"));
    match method {
        "print" => object.is_empty(),
        "warn" => logger || object == "warnings",
        "debug" | "info" | "warning" | "error" | "exception" | "critical" | "log" => logger,
        _ => false,
    }
}

/// The default of a parameter, changed.
pub(super) fn wrong_default(parameter: Node<'_>, source: &str) -> Option<Edit> {
    if !matches!(parameter.kind(), "default_parameter" | "typed_default_parameter") {
        return None;
    }
    let value = parameter.child_by_field_name("value")?;
    let text = source.get(value.byte_range())?;
    let other = match value.kind() {
        "true" => "False".to_owned(),
        "false" => "True".to_owned(),
        "none" => "0".to_owned(),
        "integer" => decimal(text)?.checked_add(1)?.to_string(),
        "float" => {
            let (whole, fraction) = text.split_once('.')?;
            format!("{}.{fraction}", decimal(whole)?.checked_add(1)?)
        }
        "string" if matches!(text, "''" | "\"\"") => "' '".to_owned(),
        "string" if text.starts_with(['\'', '"']) => "''".to_owned(),
        _ => return None,
    };
    Some(Edit::new("wrong-default", value.byte_range(), other))
}

fn comparisons(node: Node<'_>) -> Vec<Edit> {
    let mut cursor = node.walk();
    let tokens = node.children_by_field_name("operators", &mut cursor);
    tokens
        .filter_map(|token| Some(Edit::new("flipped-comparison", token.byte_range(), flipped(token.kind())?)))
        .collect()
}

fn flipped(comparison: &str) -> Option<&'static str> {
    Some(match comparison {
        "<" => "<=",
        "<=" => "<",
        ">" => ">=",
        ">=" => ">",
        "==" => "!=",
        "!=" => "==",
        "is" => "is not",
        "is not" => "is",
        "in" => "not in",
        "not in" => "in",
        _ => return None,
    })
}

fn integers(node: Node<'_>, source: &str) -> Vec<Edit> {
    let Some(value) = source.get(node.byte_range()).and_then(decimal) else { return Vec::new() };
    let others = [value.checked_add(1), value.checked_sub(1)].into_iter().flatten();
    others.map(|other| Edit::new("off-by-one", node.byte_range(), other.to_string())).collect()
}

/// Hexadecimal, octal and grouped numbers are masks and sizes, where one more is no plausible slip.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Expressions that `+ 1` can follow without parentheses.
fn is_primary(node: Node<'_>) -> bool {
    matches!(node.kind(), "identifier" | "attribute" | "call" | "subscript")
}

fn slice_bounds(node: Node<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut colons = 0;
    let mut cursor = node.walk();
    for part in node.children(&mut cursor) {
        colons += usize::from(part.kind() == ":");
        if is_primary(part) && colons < 2 {
            let shift = if colons == 0 { " + 1" } else { " - 1" };
            edits.push(Edit::new("off-by-one", part.end_byte()..part.end_byte(), shift));
        }
    }
    edits
}

fn range_bound(call: Node<'_>, source: &str) -> Option<Edit> {
    let function = call.child_by_field_name("function")?;
    if source.get(function.byte_range()) != Some("range") {
        return None;
    }
    let arguments = call.child_by_field_name("arguments")?;
    let stop = arguments.named_child(u32::from(arguments.named_child_count() > 1))?;
    is_primary(stop).then(|| Edit::new("off-by-one", stop.end_byte()..stop.end_byte(), " - 1"))
}

fn swapped_arguments(call: Node<'_>, source: &str) -> Vec<Edit> {
    let function = call.child_by_field_name("function").and_then(|it| source.get(it.byte_range()));
    let arguments = call.child_by_field_name("arguments").filter(|it| it.kind() == "argument_list");
    let Some(arguments) = arguments else { return Vec::new() };
    // Swapped, these fail at once with a type error.
    if matches!(function, Some("isinstance" | "issubclass" | "getattr" | "hasattr" | "setattr" | "delattr")) {
        return Vec::new();
    }
    let mut cursor = arguments.walk();
    let positional = |node: &Node<'_>| {
        !matches!(node.kind(), "keyword_argument" | "list_splat" | "dictionary_splat" | "comment")
    };
    let arguments: Vec<_> = arguments.named_children(&mut cursor).take_while(positional).collect();
    arguments.windows(2).filter_map(|pair| swapped(pair[0], pair[1], source)).collect()
}

fn swapped(first: Node<'_>, second: Node<'_>, source: &str) -> Option<Edit> {
    let range = first.start_byte()..second.end_byte();
    if range.len() > MAX_REPEATED {
        return None;
    }
    let [a, between, b] = [first.byte_range(), first.end_byte()..second.start_byte(), second.byte_range()]
        .map(|range| source.get(range));
    Some(Edit::new("swapped-arguments", range, format!("{}{}{}", b?, between?, a?)))
}

/// Arithmetic, bitwise and boolean operators. Formatting with `%` and joining of literals are left alone: the
/// other operator would be a type error.
fn operator(node: Node<'_>) -> Option<Edit> {
    let token = node.child_by_field_name("operator")?;
    let literal = |side: Node<'_>| {
        matches!(side.kind(), "string" | "concatenated_string" | "list" | "tuple" | "list_comprehension")
    };
    if ["left", "right"].into_iter().filter_map(|side| node.child_by_field_name(side)).any(literal) {
        return None;
    }
    let (name, other) = match token.kind() {
        "+" => ("wrong-operator", "-"),
        "-" => ("wrong-operator", "+"),
        "*" => ("wrong-operator", "+"),
        "/" => ("wrong-operator", "//"),
        "//" => ("wrong-operator", "/"),
        "%" => ("wrong-operator", "//"),
        "<<" => ("wrong-operator", ">>"),
        ">>" => ("wrong-operator", "<<"),
        "&" => ("wrong-operator", "|"),
        "|" => ("wrong-operator", "&"),
        "+=" => ("wrong-operator", "-="),
        "-=" => ("wrong-operator", "+="),
        "|=" => ("wrong-operator", "&="),
        "&=" => ("wrong-operator", "|="),
        "and" => ("wrong-connective", "or"),
        "or" => ("wrong-connective", "and"),
        _ => return None,
    };
    Some(Edit::new(name, token.byte_range(), other))
}

fn dropped_not(node: Node<'_>) -> Option<Edit> {
    let argument = node.child_by_field_name("argument")?;
    Some(Edit::new("dropped-not", node.start_byte()..argument.start_byte(), ""))
}

fn wrong_return(node: Node<'_>) -> Option<Edit> {
    let value = node.named_child(0)?;
    let other = match value.kind() {
        "true" => "False",
        "false" => "True",
        _ => return None,
    };
    Some(Edit::new("wrong-return", value.byte_range(), other))
}

/// Comparisons and `not` have operators of their own.
fn negated(node: Node<'_>, source: &str) -> Option<Edit> {
    let condition = node.child_by_field_name("condition")?;
    let range = condition.byte_range();
    match condition.kind() {
        "boolean_operator" if range.len() <= MAX_REPEATED => {
            let text = source.get(range.clone())?;
            Some(Edit::new("negated-condition", range, format!("not ({text})")))
        }
        _ if is_primary(condition) => Some(Edit::new("negated-condition", range.start..range.start, "not ")),
        _ => None,
    }
}

/// A whole `if` without `else`, where something else is left in its block.
fn dropped_if(visit: &Visit<'_>, source: &str) -> Option<Edit> {
    let alone = visit.siblings < 2 || visit.parent.kind() != "block";
    if alone || visit.node.child_by_field_name("alternative").is_some() {
        return None;
    }
    Some(Edit::new("dropped-branch", whole_lines(visit.node, source)?, ""))
}

fn dropped_clause(visit: &Visit<'_>, source: &str) -> Option<Edit> {
    if visit.parent.kind() != "if_statement" {
        return None;
    }
    Some(Edit::new("dropped-branch", whole_lines(visit.node, source)?, ""))
}

/// The lines of a node, where it shares none of them with other code.
fn whole_lines(node: Node<'_>, source: &str) -> Option<Range<usize>> {
    let column = node.start_position().column;
    let start = node.start_byte().checked_sub(column)?;
    let before = source.get(start..node.start_byte())?;
    let rest = source.get(node.end_byte()..)?;
    let after = rest.split_inclusive('\n').next().unwrap_or("");
    let free = after.trim().is_empty() || after.trim_start().starts_with('#');
    (before.trim().is_empty() && free).then(|| start..node.end_byte() + after.len())
}
