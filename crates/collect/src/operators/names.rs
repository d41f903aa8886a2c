//! Variables of functions, for the bug of using the wrong one.

use std::collections::{BTreeMap, HashMap};

use tree_sitter::Node;

use super::rules::Edit;
use super::walk::Visit;

/// What each function binds and reads, in the order in which it was met.
#[derive(Default)]
pub(super) struct Names<'t> {
    functions: BTreeMap<usize, Variables<'t>>,
}

#[derive(Default)]
struct Variables<'t> {
    /// Name -> byte from which it has a value.
    bound: HashMap<&'t str, usize>,
    /// Name and byte at which it is read.
    reads: Vec<(&'t str, usize)>,
}

/// Whether an identifier is read where another variable could stand as well. The called function, and what an
/// attribute or an item is taken of, would only fail with a type error.
pub(super) fn is_read(visit: &Visit<'_>) -> bool {
    !matches!(
        (visit.parent.kind(), visit.field),
        ("call", Some("function"))
            | ("attribute", _)
            | ("subscript", Some("value"))
            | ("keyword_argument" | "named_expression", Some("name"))
            | ("assignment" | "augmented_assignment" | "for_statement" | "for_in_clause", Some("left"))
            | (
                "as_pattern_target"
                    | "pattern_list"
                    | "tuple_pattern"
                    | "list_pattern"
                    | "list_splat_pattern"
                    | "dictionary_splat_pattern"
                    | "lambda_parameters"
                    | "default_parameter",
                _
            )
    )
}

impl<'t> Names<'t> {
    /// Notes the variables that a statement or expression binds.
    pub(super) fn bind(&mut self, function: usize, node: Node<'t>, source: &'t str) {
        let (target, from) = match node.kind() {
            "assignment" => (node.child_by_field_name("left"), node),
            "for_statement" => {
                (node.child_by_field_name("left"), node.child_by_field_name("right").unwrap_or(node))
            }
            "named_expression" => (node.child_by_field_name("name"), node),
            "as_pattern_target" => (node.named_child(0), node),
            _ => return,
        };
        let Some(target) = target else { return };
        match target.kind() {
            "identifier" => self.add(function, target, from.end_byte(), source),
            "pattern_list" | "tuple_pattern" => {
                let mut cursor = target.walk();
                for part in target.named_children(&mut cursor).filter(|part| part.kind() == "identifier") {
                    self.add(function, part, from.end_byte(), source);
                }
            }
            _ => {}
        }
    }

    /// Notes a parameter; `*args` and `**kwargs` are left out, for they are no match for other variables.
    pub(super) fn bind_parameter(&mut self, function: usize, parameter: Node<'t>, source: &'t str) {
        let name = match parameter.kind() {
            "identifier" => Some(parameter),
            "typed_parameter" => parameter.named_child(0),
            "default_parameter" | "typed_default_parameter" => parameter.child_by_field_name("name"),
            _ => None,
        };
        if let Some(name) = name.filter(|name| name.kind() == "identifier") {
            self.add(function, name, name.start_byte(), source);
        }
    }

    /// Notes that a variable is read.
    pub(super) fn read(&mut self, function: usize, node: Node<'t>, source: &'t str) {
        if let Some(name) = source.get(node.byte_range()) {
            self.functions.entry(function).or_default().reads.push((name, node.start_byte()));
        }
    }

    fn add(&mut self, function: usize, name: Node<'t>, from: usize, source: &'t str) {
        let Some(name) = source.get(name.byte_range()) else { return };
        if !matches!(name, "self" | "cls" | "_") && name.len() <= 100 {
            let bound = &mut self.functions.entry(function).or_default().bound;
            let first = bound.entry(name).or_insert(from);
            *first = (*first).min(from);
        }
    }

    /// Each read of a variable, replaced by the neighbour that is bound before it.
    pub(super) fn confusions(self) -> Vec<(usize, Edit)> {
        let each = self.functions.into_iter();
        each.flat_map(|(function, variables)| variables.confusions().map(move |edit| (function, edit)))
            .collect()
    }
}

impl<'t> Variables<'t> {
    fn confusions(self) -> impl Iterator<Item = Edit> + use<'t> {
        let mut order: Vec<(usize, &str)> = self.bound.iter().map(|(name, from)| (*from, *name)).collect();
        order.sort_unstable();
        let index: HashMap<&str, usize> = order.iter().enumerate().map(|(i, (_, name))| (*name, i)).collect();
        self.reads.into_iter().filter_map(move |(name, at)| {
            let bound_before = order.partition_point(|(from, _)| *from <= at);
            let own = *index.get(name).filter(|own| **own < bound_before)?;
            let other = if own > 0 { own - 1 } else { 1 };
            let (_, replacement) = order[..bound_before].get(other)?;
            Some(Edit {
                operator: "wrong-variable",
                range: at..at + name.len(),
                replacement: (*replacement).to_owned(),
            })
        })
    }
}
