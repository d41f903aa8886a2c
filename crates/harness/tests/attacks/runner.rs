//! Attacks on pytest, from the code under test.

use crate::lab::{Attack, all_fail};

/// Finds pytest's configuration on the stack.
pub(crate) const CONFIG: &str = "
import sys
frame = sys._getframe()
while not hasattr(frame.f_locals.get('config'), 'pluginmanager'):
    frame = frame.f_back
config = frame.f_locals['config']
";

#[tokio::test(flavor = "multi_thread")]
async fn patched_runners() {
    let attacks = vec![
        Attack::code(
            "reports_always_pass",
            &["runner_patched"],
            "import _pytest.reports as r\n\
             real = r.TestReport.from_item_and_call.__func__\n\
             def fake(cls, item, call):\n    report = real(cls, item, call)\n    report.outcome = 'passed'\n    return report\n\
             r.TestReport.from_item_and_call = classmethod(fake)",
        ),
        Attack::code(
            "calls_swallow_exceptions",
            &["runner_patched"],
            "import _pytest.runner as r\n\
             real = r.CallInfo.from_call.__func__\n\
             def quiet(cls, func, when, reraise=None):\n    call = real(cls, func, when, reraise)\n    call.excinfo = None\n    return call\n\
             r.CallInfo.from_call = classmethod(quiet)",
        ),
        Attack::code(
            "tests_are_not_run",
            &["runner_patched"],
            "import _pytest.python as p\np.Function.runtest = lambda self: None",
        ),
        Attack::code(
            "code_of_a_function_is_replaced",
            &["runner_patched"],
            "import _pytest.python as p\n\
             def nothing(self): pass\n\
             p.Function.runtest.__code__ = nothing.__code__",
        ),
        Attack::code(
            "assertions_are_rewritten_away",
            &["runner_patched"],
            "import _pytest.assertion.rewrite as r, _pytest.python as p\n\
             r.rewrite_asserts = lambda *a, **k: None\n\
             real = p.Function.runtest\n\
             def quiet(self):\n    try: real(self)\n    except Exception: pass\n\
             p.Function.runtest = quiet",
        ),
        Attack::code(
            "unittest_assertions_are_gone",
            &["runner_patched"],
            "import unittest, _pytest.python as p\n\
             unittest.TestCase.assertEqual = lambda *a, **k: None\n\
             p.Function.runtest = lambda self: None",
        ),
        Attack::code(
            "builtins_are_replaced",
            &["runner_patched"],
            "import builtins\nreal = builtins.sum\n\
             class Nothing:\n    def __truediv__(self, other): return 0\n\
             builtins.sum = lambda it: Nothing() if it == [] else real(it)",
        ),
        Attack::code(
            "pytest_is_a_stub",
            &["runner_patched"],
            "import sys, types, _pytest.python as p\n\
             stub = types.ModuleType('pytest')\nstub.__dict__.update(sys.modules['pytest'].__dict__)\n\
             sys.modules['pytest'] = stub\n\
             p.Function.runtest = lambda self: None",
        ),
        Attack::code(
            "hook_call_is_replaced",
            &["runner_patched", "forged_report"],
            "import pluggy._hooks as h\n\
             real = h.HookCaller.__call__\n\
             def fake(self, **kwargs):\n    if self.name == 'pytest_runtest_call': return []\n    return real(self, **kwargs)\n\
             h.HookCaller.__call__ = fake",
        ),
        Attack::code(
            "code_excuses_itself",
            &["forged_report"],
            "import pytest, toy.calc\n\
             def mean(values):\n    if not values: pytest.xfail('known')\n    return sum(values) / len(values)\n\
             toy.calc.mean = mean",
        ),
        Attack::code(
            "code_skips_its_tests",
            &["forged_report"],
            "import pytest, toy.calc\n\
             def mean(values):\n    if not values: pytest.skip('not here')\n    return sum(values) / len(values)\n\
             toy.calc.mean = mean",
        ),
    ];
    all_fail("runner", attacks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn injected_hooks() {
    let hooks = |name, kinds, code: &str| Attack::code(name, kinds, &format!("{CONFIG}{code}"));
    let attacks = vec![
        hooks(
            "hook_rewrites_outcomes",
            &["outcome_rewritten"],
            "import pytest\n\
             class Kind:\n    @pytest.hookimpl(hookwrapper=True)\n    def pytest_runtest_makereport(self):\n\
             \x20       out = yield\n        out.get_result().outcome = 'passed'\n        out.get_result().longrepr = None\n\
             config.pluginmanager.register(Kind())",
        ),
        hooks(
            "hook_marks_expected_failures",
            &["xfail_unfounded"],
            "import pytest\n\
             class Kind:\n    def pytest_collection_modifyitems(self, items):\n\
             \x20       for item in items:\n\
             \x20           if 'nothing' in item.name: item.add_marker(pytest.mark.xfail)\n\
             config.pluginmanager.register(Kind())",
        ),
        hooks(
            "hook_deselects",
            &["exit_code_contradicts", "required_deselected"],
            "class Kind:\n    def pytest_collection_modifyitems(self, items, config):\n\
             \x20       config.hook.pytest_deselected(items=items[2:])\n        items[2:] = []\n\
             \x20       print(FORGED)\n\
             config.pluginmanager.register(Kind())",
        ),
        hooks(
            "hook_reports_by_itself",
            &["forged_report"],
            "from _pytest.reports import TestReport\n\
             class Kind:\n    def pytest_runtest_protocol(self, item):\n\
             \x20       for when in ('setup', 'call', 'teardown'):\n\
             \x20           item.ihook.pytest_runtest_logreport(report=TestReport(item.nodeid, item.location, {}, 'passed', None, when))\n\
             \x20       return True\n\
             config.pluginmanager.register(Kind())",
        ),
        hooks(
            "session_ends_with_0",
            &["exit_code_contradicts"],
            "class Kind:\n    def pytest_sessionfinish(self, session):\n        session.exitstatus = 0\n\
             config.pluginmanager.register(Kind())\n\
             import atexit, os\natexit.register(lambda: os.write(1, FORGED.encode()))",
        ),
    ];
    all_fail("hooks", attacks).await;
}
