//! The prompts of the states: of each its standing instructions, and what it is shown.

use minijinja::{Value, context};

use crate::prompts::Template;

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        file: "answer.j2",
        source: include_str!("../../prompts/workflow/answer.j2"),
        sample: || context! { schema => "{}" },
    },
    Template {
        file: "search_system.j2",
        source: include_str!("../../prompts/workflow/search_system.j2"),
        sample: || context! {},
    },
    Template {
        file: "search.j2",
        source: include_str!("../../prompts/workflow/search.j2"),
        sample: || context! { problem_statement => "It breaks.", first_look => "a.py", message => "", is_last => true, file_context => "" },
    },
    Template {
        file: "identify_system.j2",
        source: include_str!("../../prompts/workflow/identify_system.j2"),
        sample: || context! {},
    },
    Template {
        file: "identify.j2",
        source: include_str!("../../prompts/workflow/identify.j2"),
        sample: || context! { problem_statement => "It breaks.", file_context => "", search_results => "" },
    },
    Template {
        file: "decide_system.j2",
        source: include_str!("../../prompts/workflow/decide_system.j2"),
        sample: || context! {},
    },
    Template {
        file: "decide.j2",
        source: include_str!("../../prompts/workflow/decide.j2"),
        sample: || context! { problem_statement => "It breaks.", thoughts => "", file_context => "" },
    },
    Template {
        file: "plan_system.j2",
        source: include_str!("../../prompts/workflow/plan_system.j2"),
        sample: || context! {},
    },
    Template {
        file: "plan.j2",
        source: include_str!("../../prompts/workflow/plan.j2"),
        sample: || plan_sample(),
    },
    Template {
        file: "clarify_system.j2",
        source: include_str!("../../prompts/workflow/clarify_system.j2"),
        sample: || context! {},
    },
    Template {
        file: "clarify.j2",
        source: include_str!("../../prompts/workflow/clarify.j2"),
        sample: || context! { instructions => "Do.", code => "x = 1" },
    },
    Template {
        file: "edit_system.j2",
        source: include_str!("../../prompts/workflow/edit_system.j2"),
        sample: || context! {},
    },
    Template {
        file: "edit.j2",
        source: include_str!("../../prompts/workflow/edit.j2"),
        sample: || context! { problem_statement => "It breaks.", instructions => "Do.", file_context => "", code => "x = 1" },
    },
];

fn plan_sample() -> Value {
    context! {
        problem_statement => "It breaks.",
        message => "",
        diff => "+x = 1",
        findings => vec![context! { code => "E1", message => "wrong", line => 1 }],
        is_last => true,
        file_context => "",
    }
}
