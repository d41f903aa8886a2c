//! Names that a block refers to.

use tree_sitter::{Node, TreeCursor};

use super::block::Kind;
use super::shape::Shape;

/// Names of one block that count.
const MAX_NAMES: usize = 500;
/// Nodes that are looked at for them.
const MAX_NODES: usize = 5000;

/// Names that a block refers to: what is called and with which arguments, what is imported or assigned, base
/// classes, types of parameters and results. Those of definitions in it count, too.
pub(super) fn references(node: Node<'_>, shape: Shape<'_>, source: &str) -> Vec<String> {
    let wanted = match shape.kind {
        Kind::Call => "call",
        Kind::Class => "class_definition",
        Kind::Function => "function_definition",
        Kind::Assignment => "assignment",
        Kind::Import => "import_from_statement",
        _ => return Vec::new(),
    };
    let mut names = Vec::new();
    let own = shape.inner.unwrap_or(node);
    let mut cursor = node.walk();
    for _ in 0..MAX_NODES {
        // What begins where the block does, a call of a call's result, is not seen by upstream.
        let found = cursor.node();
        if found.kind() == wanted && (found == own || found.start_byte() > own.start_byte()) {
            of_node(found, &mut names);
        }
        if !next(&mut cursor) || names.len() >= MAX_NAMES {
            break;
        }
    }
    names.iter().map(|name| source[name.byte_range()].replace('"', "")).collect()
}

/// Moves to the next node in the order of the source.
fn next(cursor: &mut TreeCursor<'_>) -> bool {
    if cursor.goto_first_child() {
        return true;
    }
    while !cursor.goto_next_sibling() {
        if !cursor.goto_parent() {
            return false;
        }
    }
    true
}

fn of_node<'t>(node: Node<'t>, names: &mut Vec<Node<'t>>) {
    let is_name = |node: &Node<'_>| matches!(node.kind(), "identifier" | "attribute");
    let field = |node: Node<'t>, name| node.child_by_field_name(name);
    let within = |node: Node<'t>, found: &mut Vec<Node<'t>>| {
        found.extend(node.named_children(&mut node.walk()).filter(is_name));
    };
    match node.kind() {
        "call" => {
            names.extend(field(node, "function").filter(is_name));
            field(node, "arguments").into_iter().for_each(|arguments| within(arguments, names));
        }
        "class_definition" => {
            field(node, "superclasses").into_iter().for_each(|bases| within(bases, names));
        }
        "function_definition" => {
            let parameters = field(node, "parameters").into_iter();
            let all = parameters.flat_map(|all| all.named_children(&mut all.walk()).collect::<Vec<_>>());
            let types =
                all.filter_map(|parameter| field(parameter, "type")).chain(field(node, "return_type"));
            names.extend(types.filter_map(|of_type| of_type.named_child(0)));
        }
        "assignment" => names.extend(field(node, "right").filter(is_name)),
        "import_from_statement" => {
            let imported = node.children_by_field_name("name", &mut node.walk()).collect::<Vec<_>>();
            names.extend(imported.into_iter().filter(|name| name.kind() == "dotted_name"));
        }
        _ => {}
    }
}
