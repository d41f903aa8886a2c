//! What kind of block a node of the syntax tree is, and where its children begin.

use tree_sitter::Node;

use super::block::Kind;

/// How a node becomes a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'t> {
    pub(super) kind: Kind,
    /// The node that names it.
    pub(super) name: Option<Node<'t>>,
    /// Where its children begin; its own text ends before.
    pub(super) first: Option<Node<'t>>,
    /// Its last child, where what follows belongs to the parent.
    pub(super) last: Option<Node<'t>>,
    /// The node that the children are in, where the node itself only wraps it: a decorated definition, an
    /// assignment as a statement.
    pub(super) inner: Option<Node<'t>>,
}

impl<'t> Shape<'t> {
    fn new(kind: Kind) -> Self {
        Self { kind, name: None, first: None, last: None, inner: None }
    }

    fn from(kind: Kind, first: Node<'t>) -> Self {
        Self { first: Some(first), ..Self::new(kind) }
    }
}

/// The shape of any node.
pub(super) fn shape(node: Node<'_>) -> Shape<'_> {
    if node.is_error() || children(node).iter().any(Node::is_error) {
        return Shape::new(Kind::Error);
    }
    known(node).unwrap_or(Shape::new(Kind::Code))
}

/// All children of a node.
pub(super) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    node.children(&mut node.walk()).collect()
}

fn known(node: Node<'_>) -> Option<Shape<'_>> {
    let shape = match node.kind() {
        "module" => node.named_child(0).map(|first| Shape::from(Kind::Module, first)),
        "decorated_definition" => decorated(node),
        "class_definition" => class(node),
        "function_definition" => function(node),
        "comment" => Some(Shape::new(Kind::Comment)),
        "import_statement" => Some(import(node)),
        "import_from_statement" => import_from(node),
        "future_import_statement" => Some(Shape::new(Kind::Import)),
        "assignment" => assignment(node),
        "call" => call(node),
        "expression_statement" => expression(node),
        "return_statement" => node.named_child(0).map(|first| Shape::from(Kind::Statement, first)),
        "if_statement" | "for_statement" | "while_statement" | "with_statement" | "match_statement" => {
            first_in_block(node).map(|first| Shape::from(Kind::Compound, first))
        }
        "elif_clause" | "else_clause" | "except_clause" | "finally_clause" => {
            first_in_block(node).map(|first| Shape::from(Kind::DependentClause, first))
        }
        _ => None,
    };
    shape.or_else(|| other(node))
}

fn decorated(node: Node<'_>) -> Option<Shape<'_>> {
    let inner = children(node)
        .into_iter()
        .find(|child| matches!(child.kind(), "function_definition" | "class_definition"))?;
    Some(Shape { inner: Some(inner), ..known(inner)? })
}

/// A comment right before the body is its first child; then, and only then, the body's last child is the last.
fn class(node: Node<'_>) -> Option<Shape<'_>> {
    let named: Vec<_> = node.named_children(&mut node.walk()).collect();
    let name = named.iter().find(|child| child.kind() == "identifier").copied();
    let body = named.iter().position(|child| is_filled_block(*child))?;
    let comment = body.checked_sub(1).map(|before| named[before]).filter(|node| node.kind() == "comment");
    let block = named[body];
    let first = match comment {
        Some(comment) => comment,
        None => block.named_child(0)?,
    };
    let last = comment.and_then(|_| last_named_child(block));
    Some(Shape { name, last, ..Shape::from(Kind::Class, first) })
}

/// A comment after the colon is the first child.
fn function(node: Node<'_>) -> Option<Shape<'_>> {
    let all = children(node);
    let name = all.iter().find(|child| child.kind() == "identifier").copied();
    let colon = all.iter().position(|child| child.kind() == ":")?;
    let after = &all[colon + 1..];
    let next = after.iter().find(|child| child.is_named())?;
    let first = match next.kind() {
        "comment" if after.iter().any(|child| is_filled_block(*child)) => *next,
        "block" => next.named_child(0)?,
        _ => return None,
    };
    Some(Shape { name, ..Shape::from(Kind::Function, first) })
}

fn import(node: Node<'_>) -> Shape<'_> {
    let first = node.named_child(0);
    let name = first.and_then(|first| match first.kind() {
        "aliased_import" => first.child_by_field_name("alias"),
        "dotted_name" => Some(first),
        _ => None,
    });
    Shape { name, ..Shape::new(Kind::Import) }
}

/// From a relative module, the first name without an alias is that of the block; where all have one, upstream does
/// not take the statement for an import.
fn import_from(node: Node<'_>) -> Option<Shape<'_>> {
    let named: Vec<_> = node.named_children(&mut node.walk()).collect();
    if named.first()?.kind() != "relative_import" {
        return Some(Shape::new(Kind::Import));
    }
    let name = named.into_iter().find(|child| child.kind() == "dotted_name")?;
    Some(Shape { name: Some(name), ..Shape::new(Kind::Import) })
}

fn assignment(node: Node<'_>) -> Option<Shape<'_>> {
    let left = node.child_by_field_name("left")?;
    matches!(left.kind(), "identifier" | "attribute").then_some(())?;
    let first = node.child_by_field_name("right");
    Some(Shape { name: Some(left), first, ..Shape::new(Kind::Assignment) })
}

fn call(node: Node<'_>) -> Option<Shape<'_>> {
    let function = node.child_by_field_name("function")?;
    let arguments = node.child_by_field_name("arguments")?;
    let named = matches!(function.kind(), "identifier" | "attribute");
    (named && arguments.kind() == "argument_list").then(|| Shape::new(Kind::Call))
}

fn expression(node: Node<'_>) -> Option<Shape<'_>> {
    let first = node.named_child(0)?;
    if first.kind() == "string" && children(first).iter().any(|part| part.kind() == "string_content") {
        return Some(Shape::new(Kind::Comment));
    }
    Some(Shape { inner: Some(first), ..known(first)? })
}

/// Any other node with statements in it. What stands between a colon and the statements, which can only be a
/// comment, is the first child.
fn other(node: Node<'_>) -> Option<Shape<'_>> {
    let all = children(node);
    for (at, _) in all.iter().enumerate().filter(|(_, child)| child.kind() == ":") {
        let mut after = all[at + 1..].iter().filter(|child| child.is_named());
        let Some(next) = after.next() else { continue };
        if after.any(|child| is_filled_block(*child)) {
            return Some(Shape::from(Kind::Statement, *next));
        }
    }
    first_in_block(node).map(|first| Shape::from(Kind::Statement, first))
}

fn first_in_block(node: Node<'_>) -> Option<Node<'_>> {
    children(node).into_iter().find(|child| is_filled_block(*child))?.named_child(0)
}

fn is_filled_block(node: Node<'_>) -> bool {
    node.kind() == "block" && node.named_child_count() > 0
}

fn last_named_child(node: Node<'_>) -> Option<Node<'_>> {
    node.named_children(&mut node.walk()).last()
}
