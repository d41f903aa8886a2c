"""pytest plugin: records which functions under a folder run while tests are called.

Nothing counts that runs at import, at collection or in fixtures. Needs the standard library and pytest only.
SWEGYM_COVERAGE_ROOT is the folder, SWEGYM_COVERAGE_OUT the JSON file that is written at the end.
"""

import json
import os
import sys
import threading

import pytest

ROOT = os.path.join(os.path.realpath(os.environ["SWEGYM_COVERAGE_ROOT"]), "")
OUT = os.environ["SWEGYM_COVERAGE_OUT"]

running = {}  # id of a code object -> the code object, for the test that is being called
tests_of = {}  # id of a code object -> [the code object, number of tests that ran it]


class Monitoring:
    """Python 3.12 and later: each function reports once a test, then costs nothing."""

    def __init__(self):
        monitoring = sys.monitoring
        self.tool = next(tool for tool in (4, 3, 5, 2, 1, 0) if monitoring.get_tool(tool) is None)
        monitoring.use_tool_id(self.tool, "swegym")
        monitoring.register_callback(self.tool, monitoring.events.PY_START, self.started)

    def started(self, code, _offset):
        running[id(code)] = code
        return sys.monitoring.DISABLE

    def start(self):
        sys.monitoring.restart_events()
        sys.monitoring.set_events(self.tool, sys.monitoring.events.PY_START)

    def stop(self):
        sys.monitoring.set_events(self.tool, 0)


class Profiling:
    """Earlier versions: a profile function, in every thread that the test starts."""

    def called(self, frame, event, _argument):
        if event == "call":
            running[id(frame.f_code)] = frame.f_code

    def start(self):
        threading.setprofile(self.called)
        sys.setprofile(self.called)

    def stop(self):
        sys.setprofile(None)
        threading.setprofile(None)


recorder = Monitoring() if hasattr(sys, "monitoring") else Profiling()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    running.clear()
    recorder.start()
    yield
    recorder.stop()
    for key, code in list(running.items()):
        tests_of.setdefault(key, [code, 0])[1] += 1


def pytest_sessionfinish(session):
    functions = []
    for code, tests in tests_of.values():
        path = os.path.realpath(code.co_filename)
        if path.startswith(ROOT) and not code.co_name.startswith("<"):
            functions.append({"file": path[len(ROOT):], "line": code.co_firstlineno, "tests": tests})
    functions.sort(key=lambda function: (function["file"], function["line"]))
    with open(OUT, "w", encoding="utf-8") as out:
        json.dump({"functions": functions}, out)
