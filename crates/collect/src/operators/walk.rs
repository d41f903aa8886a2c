//! One pass over the syntax tree that finds every place where a bug can be planted.
//!
//! The tree is walked with a stack of its own, never by recursion, and no step looks further than a node's
//! children, so that neither deep nor long sources are a danger.

use std::rc::Rc;
use std::sync::Arc;

use tree_sitter::{Node, TreeCursor};

use super::mutation::{FunctionSite, Mutation, parse};
use super::names::{Names, is_read};
use super::rules;

/// Larger sources are left alone: data tables and generated code.
const MAX_SOURCE: usize = 1 << 20;
/// Definitions in others whose qualified name is longer than this many bytes are left alone.
const MAX_NAME: usize = 300;

/// Nothing in these is mutated: it has no behaviour, or none that a test should depend on.
const SKIPPED: [&str; 16] = [
    "assert_statement",
    "case_pattern",
    "comment",
    "concatenated_string",
    "decorator",
    "delete_statement",
    "future_import_statement",
    "global_statement",
    "import_from_statement",
    "import_statement",
    "nonlocal_statement",
    "raise_statement",
    "string",
    "type",
    "type_alias_statement",
    "type_parameter",
];

/// A node with what must be known about its surroundings.
pub(super) struct Visit<'t> {
    pub(super) node: Node<'t>,
    pub(super) parent: Node<'t>,
    pub(super) field: Option<&'t str>,
    /// Named children of the parent, comments apart.
    pub(super) siblings: usize,
    scope: Scope,
}

/// Where in the nest of definitions a node lies.
#[derive(Clone)]
struct Scope {
    /// Index of the innermost function; `None` at module and class level, where nothing is mutated.
    function: Option<usize>,
    /// What qualified names of definitions in here begin with.
    prefix: Rc<str>,
}

/// Every bug that can be planted in the functions of a Python source, by place in the file. Empty when the
/// source is not UTF-8, has syntax errors or is larger than 1 MiB. That the mutated source still parses is
/// checked by [`Mutation::apply`].
pub fn mutations(file: &str, source: &[u8]) -> Vec<Mutation> {
    let Ok(text) = std::str::from_utf8(source) else { return Vec::new() };
    if source.len() > MAX_SOURCE {
        return Vec::new();
    }
    let Some(tree) = parse(source) else { return Vec::new() };
    let mut walk = Walk {
        file,
        source: text,
        stack: Vec::new(),
        functions: Vec::new(),
        names: Names::default(),
        found: Vec::new(),
    };
    walk.run(tree.root_node());
    let Walk { names, mut found, functions, .. } = walk;
    found.extend(names.confusions());
    found.sort_by_key(|(_, edit)| (edit.range.start, edit.range.end));
    let plant = |(function, edit): (usize, rules::Edit)| Mutation {
        operator: edit.operator,
        range: edit.range,
        replacement: edit.replacement,
        function: Arc::clone(&functions[function]),
    };
    found.into_iter().map(plant).collect()
}

struct Walk<'t> {
    file: &'t str,
    source: &'t str,
    stack: Vec<Visit<'t>>,
    functions: Vec<Arc<FunctionSite>>,
    names: Names<'t>,
    found: Vec<(usize, rules::Edit)>,
}

impl<'t> Walk<'t> {
    fn run(&mut self, root: Node<'t>) {
        let mut cursor = root.walk();
        let module = Scope { function: None, prefix: "".into() };
        self.push_children(root, &module, &mut cursor);
        while let Some(visit) = self.stack.pop() {
            self.visit(visit, &mut cursor);
        }
    }

    fn visit(&mut self, visit: Visit<'t>, cursor: &mut TreeCursor<'t>) {
        let node = visit.node;
        match node.kind() {
            kind if SKIPPED.contains(&kind) => {}
            "function_definition" => self.enter_function(&visit, cursor),
            "class_definition" => self.enter_class(&visit, cursor),
            "if_statement" if self.is_type_checking(node) => {}
            "call" if rules::is_logging(node, self.source) => {}
            kind => {
                if let Some(function) = visit.scope.function {
                    self.names.bind(function, node, self.source);
                    if kind == "identifier" && is_read(&visit) {
                        self.names.read(function, node, self.source);
                    }
                    let edits = rules::edits(&visit, self.source);
                    self.found.extend(edits.into_iter().map(|edit| (function, edit)));
                }
                self.push_children(node, &visit.scope, cursor);
            }
        }
    }

    fn enter_function(&mut self, visit: &Visit<'t>, cursor: &mut TreeCursor<'t>) {
        let node = visit.node;
        let Some(name) = self.definition_name(visit) else { return };
        if name == "__repr__" || name == "__str__" {
            return;
        }
        let first = if visit.parent.kind() == "decorated_definition" { visit.parent } else { node };
        let qualified_name = format!("{}{name}", visit.scope.prefix);
        let scope = Scope {
            function: Some(self.functions.len()),
            prefix: format!("{qualified_name}.<locals>.").into(),
        };
        self.functions.push(Arc::new(FunctionSite {
            file: self.file.to_owned(),
            qualified_name,
            first_line: first.start_position().row + 1,
            last_line: node.end_position().row + 1,
        }));
        if let Some(parameters) = node.child_by_field_name("parameters") {
            self.parameters(self.functions.len() - 1, parameters, cursor);
        }
        if let Some(body) = node.child_by_field_name("body") {
            self.push_children(body, &scope, cursor);
        }
    }

    fn parameters(&mut self, function: usize, parameters: Node<'t>, cursor: &mut TreeCursor<'t>) {
        for parameter in parameters.named_children(cursor) {
            self.names.bind_parameter(function, parameter, self.source);
            let edit = rules::wrong_default(parameter, self.source);
            self.found.extend(edit.map(|edit| (function, edit)));
        }
    }

    /// What stands directly in a class body runs when the class is made, not when a test calls something.
    fn enter_class(&mut self, visit: &Visit<'t>, cursor: &mut TreeCursor<'t>) {
        let Some(name) = self.definition_name(visit) else { return };
        if let Some(body) = visit.node.child_by_field_name("body") {
            let prefix = format!("{}{name}.", visit.scope.prefix).into();
            self.push_children(body, &Scope { function: None, prefix }, cursor);
        }
    }

    fn definition_name(&self, visit: &Visit<'t>) -> Option<&'t str> {
        let name = visit.node.child_by_field_name("name")?;
        let name = self.source.get(name.byte_range())?;
        (visit.scope.prefix.len() + name.len() <= MAX_NAME).then_some(name)
    }

    fn is_type_checking(&self, node: Node<'t>) -> bool {
        let condition = node.child_by_field_name("condition").and_then(|it| self.source.get(it.byte_range()));
        matches!(condition, Some("TYPE_CHECKING" | "typing.TYPE_CHECKING"))
    }

    fn push_children(&mut self, parent: Node<'t>, scope: &Scope, cursor: &mut TreeCursor<'t>) {
        let first = self.stack.len();
        let mut siblings = 0;
        cursor.reset(parent);
        let mut more = cursor.goto_first_child();
        while more {
            let node = cursor.node();
            if node.is_named() {
                siblings += usize::from(node.kind() != "comment");
                let field = cursor.field_name();
                self.stack.push(Visit { node, parent, field, siblings: 0, scope: scope.clone() });
            }
            more = cursor.goto_next_sibling();
        }
        for visit in &mut self.stack[first..] {
            visit.siblings = siblings;
        }
        self.stack[first..].reverse();
    }
}
