use proptest::prelude::*;

use super::*;

fn split(input: &str) -> Vec<String> {
    split_commands(input).unwrap()
}

#[test]
fn lines_are_commands() {
    assert_eq!(split("ls\n\n  pwd  \n"), ["ls", "pwd"]);
    assert_eq!(split("ls && id\r\npwd; id &\nwho"), ["ls && id", "pwd; id &", "who"]);
    assert_eq!(split(" \n"), [""]);
}

#[test]
fn what_spans_lines_stays_whole() {
    for whole in [
        "cat > a <<E\nx\n# y\nE",
        "cat <<-E\n\tx\n\tE",
        "cat <<A <<B\n1\nA\n2\nB",
        "cat <<A | wc -l\nx\nA",
        "for i in 1 2; do\n echo $i\ndone",
        "if a\nthen b\nelse c\nfi > d",
        "while true; do\n a\ndone",
        "f() {\n a\n}",
        "function f\n{ a; }",
        "(a\nb)",
        "a |\nb &&\nc",
        "python -c \"\nimport os\n\"",
        "echo 'a\nb' $(c\nd) `e\nf`",
        "ls \\\n -la",
        "diff <(a) <(b)",
        "ls # x",
    ] {
        assert_eq!(split(&format!("{whole}\nls")), [whole, "ls"], "{whole}");
    }
}

#[test]
fn comments_belong_to_the_command_before() {
    assert_eq!(split("# a\nls\n# b\n\npwd # c"), ["# a", "ls\n# b", "pwd # c"]);
}

#[test]
fn what_cannot_be_parsed_is_one_command() {
    for input in [
        "echo 'a\nls",
        "echo $(a\nls",
        "cat <<E\nls",
        "cat <<'E'\nx\nE\nls",
        "a=(1 2)\nls",
        "[[ a ]]\nls",
        "ls\n)",
        "echo $(a && b)\nls",
        "if a; then b\nls",
    ] {
        assert_eq!(split(input), [input]);
    }
}

#[test]
fn what_upstream_does_not_know_raises_what_it_raises() {
    for (input, kind) in [
        ("case x in\n a) b;;\nesac", "NotImplementedError"),
        ("echo $((1+2))\nls", "NotImplementedError"),
        ("ls\necho \"$(echo a'$((1))')\"", "NotImplementedError"),
        ("time ls", "NotImplementedError"),
        ("select x in a; do b; done", "NotImplementedError"),
        ("coproc a", "NotImplementedError"),
        ("while read x\ndo echo\ndone", "AssertionError"),
        ("# only a comment", "AttributeError"),
        ("echo a'`'b", "TypeError"),
    ] {
        assert_eq!(split_commands(input), Err(SplitError { kind }), "{input}");
    }
}

#[test]
fn hostile_inputs_end() {
    for part in [
        "(",
        "((",
        "{ ",
        "$(",
        "`",
        "\"$(",
        "'$(a",
        "${",
        "<<E\n",
        "cat <<E; ",
        "! ",
        "if ",
        "\\",
        "$(a\n",
        "<(",
        "f() ",
    ] {
        let input = part.repeat((1 << 20) / part.len());
        assert!(split_commands(&input).is_ok_and(|commands| commands.len() == 1), "{part}");
    }
    assert_eq!(split(&"ls\n".repeat(100_000)).len(), 100_000);
}

proptest! {
    #[test]
    fn nothing_is_lost(parts in proptest::collection::vec(
        prop_oneof![
            Just("a"), Just(" "), Just("\n"), Just("'"), Just("\""), Just("`"), Just("$("), Just(")"), Just("("),
            Just("{ "), Just("}"), Just(";"), Just("&&"), Just("<<E"), Just("\nE\n"), Just("#"), Just("\\"),
            Just("if "), Just("then "), Just("fi"), Just("é"), Just("|"), Just("$"), Just("${"), Just("\u{2028}"),
        ],
        0..20,
    )) {
        let input = parts.concat();
        if let Ok(commands) = split_commands(&input) {
            let visible = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(visible(&commands.concat()), visible(&input));
        }
    }
}
