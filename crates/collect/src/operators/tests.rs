use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Mutation, mutations};

/// Every source that an operator makes of `source`, each reduced to the lines that differ.
fn planted(operator: &str, source: &str) -> Vec<String> {
    let of_operator = |mutation: &Mutation| mutation.operator == operator;
    let all = mutations("m.py", source.as_bytes()).into_iter().filter(of_operator);
    all.map(|mutation| {
        let mutated = String::from_utf8(mutation.apply(source.as_bytes()).unwrap()).unwrap();
        let old: BTreeSet<&str> = source.lines().collect();
        let changed = mutated.lines().filter(|line| !old.contains(line)).map(str::trim);
        changed.collect::<Vec<_>>().join("; ")
    })
    .collect()
}

/// The same for one statement in a function with the parameters `a` and `b`.
fn planted_in(operator: &str, statement: &str) -> Vec<String> {
    planted(operator, &format!("def f(a, b):\n    {statement}\n"))
}

/// Every whole source that an operator makes.
fn sources(operator: &str, source: &str) -> Vec<String> {
    let all = mutations("m.py", source.as_bytes()).into_iter().filter(|it| it.operator == operator);
    all.map(|it| String::from_utf8(it.apply(source.as_bytes()).unwrap()).unwrap()).collect()
}

#[test]
fn comparisons_are_flipped() {
    for (from, to) in [
        ("<", "<="),
        ("<=", "<"),
        (">", ">="),
        (">=", ">"),
        ("==", "!="),
        ("!=", "=="),
        ("is", "is not"),
        ("is not", "is"),
        ("in", "not in"),
        ("not in", "in"),
    ] {
        let flipped = planted_in("flipped-comparison", &format!("return a {from} b"));
        assert_eq!(flipped, [format!("return a {to} b")]);
    }
    assert_eq!(
        planted_in("flipped-comparison", "return a < b <= 9"),
        ["return a <= b <= 9", "return a < b < 9"]
    );
}

#[test]
fn numbers_and_bounds_are_off_by_one() {
    assert_eq!(planted_in("off-by-one", "return a[0]"), ["return a[1]"]);
    assert_eq!(planted_in("off-by-one", "return 7"), ["return 8", "return 6"]);
    assert_eq!(planted_in("off-by-one", "return a[b:]"), ["return a[b + 1:]"]);
    assert_eq!(planted_in("off-by-one", "return a[:len(b)]"), ["return a[:len(b) - 1]"]);
    assert_eq!(planted_in("off-by-one", "return range(a)"), ["return range(a - 1)"]);
    assert_eq!(planted_in("off-by-one", "return range(a, b)"), ["return range(a, b - 1)"]);
    assert_eq!(planted_in("off-by-one", "return 0xff"), [""; 0]);
    assert_eq!(planted_in("off-by-one", "return 18446744073709551615"), ["return 18446744073709551614"]);
}

#[test]
fn a_variable_is_taken_for_another_that_has_a_value() {
    assert_eq!(planted_in("wrong-variable", "return g(a, k=b)"), ["return g(b, k=b)", "return g(a, k=a)"]);
    let source = "def f(self, a):\n    for i, c in g(a):\n        a.x = i[c](a.y)\n    return d\n    d = 1\n";
    assert_eq!(planted("wrong-variable", source), ["a.x = i[a](a.y)"]);
    let source = "def f(a):\n    b = a\n    return b\n";
    assert_eq!(planted("wrong-variable", source), ["return a"]);
    let source = "def f(a):\n    with open(a) as c:\n        pass\n    return [x for x in c]\n";
    assert_eq!(planted("wrong-variable", source), ["return [x for x in a]"]);
}

#[test]
fn branches_are_dropped() {
    let source = "def f(a):\n    if a:\n        return 1\n    return a\n";
    assert_eq!(sources("dropped-branch", source), ["def f(a):\n    return a\n"]);
    let source =
        "def f(a):\n    if a:\n        g()\n    elif h:\n        g(1)\n    else:\n        g(2)  # 2\n";
    assert_eq!(
        sources("dropped-branch", source),
        [
            "def f(a):\n    if a:\n        g()\n    else:\n        g(2)  # 2\n",
            "def f(a):\n    if a:\n        g()\n    elif h:\n        g(1)\n",
        ]
    );
    let only = "def f(a):\n    # the block must not become empty\n    if a:\n        return 1\n";
    assert_eq!(sources("dropped-branch", only), [""; 0]);
    let last = "def f(a):\r\n    g()\r\n    if a: g()";
    assert_eq!(sources("dropped-branch", last), ["def f(a):\r\n    g()\r\n"]);
}

#[test]
fn conditions_are_negated() {
    assert_eq!(planted_in("negated-condition", "if a.b: pass"), ["if not a.b: pass"]);
    assert_eq!(planted_in("negated-condition", "if a and b: pass"), ["if not (a and b): pass"]);
    assert_eq!(planted_in("negated-condition", "if a == b: pass"), [""; 0]);
}

#[test]
fn arguments_are_swapped() {
    assert_eq!(planted_in("swapped-arguments", "g(a, b + 1, k=2)"), ["g(b + 1, a, k=2)"]);
    assert_eq!(planted_in("swapped-arguments", "g(a, b, 3)"), ["g(b, a, 3)", "g(a, 3, b)"]);
    assert_eq!(planted_in("swapped-arguments", "g(a, *b)"), [""; 0]);
    assert_eq!(planted_in("swapped-arguments", "isinstance(a, b)"), [""; 0]);
}

#[test]
fn defaults_are_wrong() {
    for (from, to) in [
        ("a=1", "a=2"),
        ("a: bool = True", "a: bool = False"),
        ("a=None", "a=0"),
        ("*, a='x'", "*, a=''"),
        ("a=\"\"", "a=' '"),
        ("a=0.5", "a=1.5"),
    ] {
        assert_eq!(
            planted("wrong-default", &format!("def f({from}):\n    pass\n")),
            [format!("def f({to}):")]
        );
    }
    assert_eq!(planted("wrong-default", "def f(a, b=c, d=r'x'):\n    pass\n"), [""; 0]);
}

#[test]
fn operators_are_wrong() {
    assert_eq!(planted_in("wrong-operator", "return a + b"), ["return a - b"]);
    assert_eq!(planted_in("wrong-operator", "a -= b"), ["a += b"]);
    assert_eq!(planted_in("wrong-operator", "return '%s' % a + 'x'"), [""; 0]);
    assert_eq!(planted_in("wrong-connective", "return a and b"), ["return a or b"]);
    assert_eq!(planted_in("dropped-not", "return not(a)"), ["return (a)"]);
    assert_eq!(planted_in("dropped-not", "return not a"), ["return a"]);
    assert_eq!(planted_in("wrong-return", "return True"), ["return False"]);
    assert_eq!(planted_in("wrong-return", "return a"), [""; 0]);
}

#[test]
fn what_has_no_behaviour_of_its_own_is_left_alone() {
    let source = r#"
import os
if TYPE_CHECKING:
    def unseen(a):
        return a + 1
LIMIT = 5 if os.x == 1 else 6
class C(Base[1]):
    field: int = 3
    @decorated(1, 2)
    def f(self, a: Literal[1, 2]) -> Tuple[3, 4]:
        """Say 1 < 2 and not 3."""
        b: Literal[5] = a
        assert a == 1, 2
        self.logger.debug(a, 1)
        logging.info(1, a)
        warnings.warn(a, 2)
        print(a, 1)
        raise ValueError(1, 2)
    def __repr__(self):
        return self.a + 1
"#;
    let found: Vec<_> = mutations("m.py", source.as_bytes()).into_iter().map(|it| it.range).collect();
    let found: Vec<_> = found.into_iter().map(|range| &source[range]).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn functions_are_named_and_placed_as_python_does() {
    let source = "\
class A:
    @x
    @y
    async def f(self):
        def g():
            return 1
        class B:
            def h(self):
                return 2
        return 3
";
    let sites: BTreeSet<_> = mutations("m.py", source.as_bytes())
        .into_iter()
        .map(|it| (it.function.qualified_name.clone(), it.function.first_line, it.function.last_line))
        .collect();
    let expected = [("A.f", 2, 10), ("A.f.<locals>.B.h", 8, 9), ("A.f.<locals>.g", 5, 6)];
    assert_eq!(sites, expected.map(|(name, first, last)| (name.to_owned(), first, last)).into());
}

#[test]
fn sources_with_errors_or_without_text_have_no_mutations() {
    for source in [&b"def f(:\n    return 1\n"[..], b"def f():\n    return '\xff' + 1\n", b""] {
        assert_eq!(mutations("m.py", source), []);
    }
}

#[test]
fn deep_sources_do_not_end_the_program() {
    let parentheses = format!("def f():\n    return {}1{}\n", "(".repeat(20_000), ")".repeat(20_000));
    assert!(mutations("m.py", parentheses.as_bytes()).len() <= 2);
    let functions: String = (0..200).map(|i| format!("{}def f():\n", " ".repeat(i))).collect();
    assert_eq!(mutations("m.py", format!("{functions}{}return 1\n", " ".repeat(200)).as_bytes()), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_read(source in proptest::collection::vec(any::<u8>(), 0..200)) {
        for mutation in mutations("m.py", &source) {
            mutation.apply(&source);
        }
    }

    #[test]
    fn any_code_is_read(tokens in proptest::collection::vec(
        prop_oneof![
            Just("def f(a, b=1):\n    "), Just("if a"), Just(":\n        "), Just("else:\n        "), Just("a"), Just("b"),
            Just(" + "), Just(" not "), Just("("), Just(")"), Just("["), Just("]"), Just(", "), Just("1"), Just("\n    "),
            Just(" = "), Just("return "), Just("é"), Just("'"), Just("\r\n"), Just("#"), Just(" in "), Just("lambda x: "),
        ], 0..40,
    )) {
        let source = format!("def f(a, b=1):\n    {}\n", tokens.concat());
        let all = mutations("m.py", source.as_bytes());
        prop_assert_eq!(&all, &mutations("m.py", source.as_bytes()));
        for mutation in all {
            mutation.apply(source.as_bytes());
        }
    }
}
