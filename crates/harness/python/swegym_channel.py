"""pytest plugin: tells the harness what became of each test, over a socket that nothing printed can reach.

Loaded by `-p swegym_channel` before any code of the project. SWEGYM_CHANNEL names the descriptor of the socket, in
which a key lies, once. Each line is `HMAC-SHA256 SP JSON`, numbered from 0. Where there is no key (workers of xdist,
a pytest that a test starts) the plugin is silent.

The code under test shares this process and may look for the key or speak through this plugin. So a line is written with
nothing that it could replace, and what looks like an attempt is told at once, in a line that cannot be taken back.
pytest 3 to 9, Python 3.5 and later; nothing beyond both.
"""

import builtins
import fcntl
import os
import sys
import unittest
from _json import encode_basestring_ascii as quoted
from hashlib import sha256

import pytest

ME = "swegym_channel"
ROOT = os.path.join(os.getcwd(), "")
PYTEST = os.path.join(os.path.dirname(sys.modules["_pytest"].__file__), "")
MOST_NAMES = 50
IDS_A_LINE = 500
# Modules of which nothing may change while tests run.
WATCHED = (
    "_pytest.assertion",
    "_pytest.assertion.rewrite",
    "_pytest.config",
    "_pytest.main",
    "_pytest.outcomes",
    "_pytest.python",
    "_pytest.python_api",
    "_pytest.raises",
    "_pytest.reports",
    "_pytest.runner",
    "_pytest.skipping",
    "_pytest.terminal",
    "_pytest.unittest",
    "pluggy",
    "pluggy._callers",
    "pluggy._hooks",
    "pluggy._manager",
    "pluggy.callers",
    "pluggy.hooks",
    "pluggy.manager",
    "pytest",
    "unittest.case",
    "unittest.mock",
)
# Builtins that programs replace for good reasons.
LOOSE_BUILTINS = {"_", "__import__", "breakpoint", "exit", "help", "input", "open", "print", "quit"}
PROBES = {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "ctypes.cdata", "ctypes.string_at", "os.exec"}


def take_over():
    """The descriptor under another number, and the key; the environment is as it was before the harness."""
    number = os.environ.pop("SWEGYM_CHANNEL", "")
    for name, prefix in (("PYTEST_ADDOPTS", "-p " + ME), ("PYTHONPATH", os.path.dirname(os.path.abspath(__file__)))):
        value = os.environ.get(name, "")
        if value.startswith(prefix):
            rest = value[len(prefix) :].lstrip(" :")
            os.environ[name] = rest
            if not rest:
                del os.environ[name]
    if not number.isdigit():
        return None, b""
    try:
        descriptor = fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(int(number))
        key = b""
        while len(key) < 4096:
            more = os.read(descriptor, 4096)
            if not more:
                break
            key += more
    except OSError:
        return None, b""
    return descriptor, key


def sender(descriptor, key):
    """Takes texts, writes them as lines.

    All state is local to this generator, and what it calls is built in. The first text is preceded by the code that
    may send any, and the parts of this module that must not change. To each line it adds which files of the project
    are on the stack: the harness knows which of them may be there.
    """
    key = key.ljust(64, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in key))
    outer = sha256(bytes(byte ^ 0x5C for byte in key))
    del key
    write, getpid, getframe, quote, root, most = os.write, os.getpid, sys._getframe, quoted, ROOT, MOST_NAMES
    pid, number, size = getpid(), 0, len(ROOT)
    allowed, parts, bottom = yield
    while True:
        text = yield
        if getpid() != pid:
            continue
        frame = getframe(1)
        files, last = [], None
        if frame is None or frame.f_code is not allowed:
            files.append("<not the plugin>")
        while frame is not None:
            path = frame.f_code.co_filename
            ours = path[:size] == root or (path[:1] != "/" and path[:8] != "<frozen ")
            if ours and "/site-packages/" not in path and path not in files:
                files.append(path)
            last, frame = frame, frame.f_back
        if last is not bottom:
            files.append("<not the main thread>")
        for space, part, value, code in parts:
            now = space.get(part)
            if now is not value or (code is not None and now.__code__ is not code):
                files.append("<changed plugin>")
        shown = ",".join([quote(path.encode("utf-8", "replace").decode("utf-8")) for path in files[-most:]])
        line = ('{"n":%d,%s,"from":[%s]}' % (number, text, shown)).encode("ascii")
        middle, end = inner.copy(), outer.copy()
        middle.update(line)
        end.update(middle.digest())
        left = end.hexdigest().encode("ascii") + b" " + line + b"\n"
        try:
            while left:
                left = left[write(descriptor, left) :]
        except OSError:
            pass
        number += 1


def name(text):
    return quoted(str(text).encode("utf-8", "replace").decode("utf-8"))


def names(texts):
    return "[%s]" % ",".join([name(text) for text in texts])


def speaker(lines):
    """Gives lines to the sender, in order, also those that come up while it writes."""
    waiting = []

    def say(text):
        waiting.append(text)
        try:
            while waiting:
                lines.send(waiting[0])
                del waiting[0]
        except ValueError:
            pass  # It is writing right now: an event inside it, or another thread.

    next(lines)
    lines.send((say.__code__, own_parts(), outermost(sys._getframe())))
    return say


def own_parts():
    """Functions of this module and methods of its classes, with what they are made of."""
    spaces = [globals(), vars(Reporter), vars(Watch)]
    functions = [(space, part, value) for space in spaces for part, value in space.items() if callable(value)]
    return [(space, part, value, getattr(value, "__code__", None)) for space, part, value in functions]


def project_files(frame):
    """Files on the stack that are the project's, or none at all, such as `<string>`."""
    found = []
    while frame is not None and len(found) < MOST_NAMES:
        path = frame.f_code.co_filename
        ours = path.startswith(ROOT) or not path.startswith(("/", "<frozen "))
        if ours and "/site-packages/" not in path and path not in found:
            found.append(path)
        frame = frame.f_back
    return found


def raised_at(traceback):
    """The file that raised, or that called the function of pytest that did."""
    path = ""
    while traceback is not None:
        here = traceback.tb_frame.f_code.co_filename
        path = path if here.startswith(PYTEST) else here
        traceback = traceback.tb_next
    return path


def outermost(frame):
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def early_files():
    """Files of the project that were imported before this plugin."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [path for path in files if isinstance(path, str) and os.path.abspath(path).startswith(ROOT)]


class Watch(object):
    """Remembers what pytest, pluggy and unittest are made of."""

    def __init__(self):
        self.modules = [(key, sys.modules[key]) for key in WATCHED if key in sys.modules]
        self.parts = []
        for key, module in self.modules:
            space = vars(module)
            for part, value in list(space.items()):
                if getattr(value, "__module__", None) != key and key != "pytest":
                    continue
                self.parts.append((key, space, part, value, code_of(value)))
                if isinstance(value, type) and value.__module__ == key:
                    inside = vars(value)
                    for inner, method in list(inside.items()):
                        if code_of(method) is not None:
                            label = key + "." + part
                            self.parts.append((label, inside, inner, method, code_of(method)))
        space = vars(builtins)
        for part, value in list(space.items()):
            if part not in LOOSE_BUILTINS and callable(value):
                self.parts.append(("builtins", space, part, value, None))

    def changes(self):
        """What is no longer as it was, and the file of what is there now; each is told once."""
        found = []
        for key, module in self.modules:
            now = sys.modules.get(key)
            if now is not module:
                found.append((key, getattr(now, "__file__", None) or ""))
        self.modules = [(key, module) for key, module in self.modules if sys.modules.get(key) is module]
        kept = []
        for entry in self.parts:
            label, space, part, value, code = entry
            now = space.get(part)
            if now is value and code_of(now) is code:
                kept.append(entry)
            else:
                by = getattr(code_of(now), "co_filename", "")
                if not by.startswith(PYTEST):
                    found.append((label + "." + part, by))
        self.parts = kept
        return found


def code_of(value):
    # Only of types that have it: `pytest.mark` makes something of any name that it is asked for, and warns.
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    return getattr(value, "__code__", None)


class Reporter(object):
    """The hooks. Registered with the first configuration only: tests of plugins make others in this process."""

    __slots__ = ("config", "say", "session", "raised", "calls", "nodes_told", "watch", "__weakref__")

    def __init__(self, config, say):
        self.config, self.say = config, say
        self.session, self.raised, self.calls = None, {}, 0
        self.nodes_told = False
        self.watch = Watch()

    def id(self, nodeid):
        return self.config.cwd_relative_nodeid(nodeid)

    def tell_ids(self, kind, nodeids):
        ids = [self.id(nodeid) for nodeid in nodeids]
        for start in range(0, max(len(ids), 1), IDS_A_LINE):
            self.say('"kind":"%s","ids":%s' % (kind, names(ids[start : start + IDS_A_LINE])))

    def tell_changes(self):
        for what, by in self.watch.changes()[:MOST_NAMES]:
            self.say('"kind":"tampered","what":%s,"by":%s' % (name(what), name(by)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session):
        self.session = session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        self.tell_changes()
        self.tell_ids("collected", [item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        if not self.nodes_told:
            self.nodes_told = True
            self.tell_ids("collected", ids)

    def pytest_deselected(self, items):
        self.tell_ids("deselected", [item.nodeid for item in items])

    def pytest_collectreport(self, report):
        if report.outcome == "failed":
            self.say('"kind":"collect_error","id":%s' % name(self.id(report.nodeid)))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item):
        outcome = yield
        self.raised[item.nodeid, "setup"] = outcome.excinfo

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item):
        outcome = yield
        self.raised[item.nodeid, "call"] = outcome.excinfo

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        raised = self.raised.pop((report.nodeid, report.when), None)
        if report.when == "call":
            self.calls += 1
            if self.calls & (self.calls - 1) == 0:
                self.tell_changes()
        self.say(
            '"kind":"result","id":%s,"phase":%s,"outcome":%s,"xfail":%s,"raised":%s,"at":%s'
            % (
                name(self.id(report.nodeid)),
                name(report.when),
                name(report.outcome),
                "true" if hasattr(report, "wasxfail") else "false",
                name(raised[0].__name__ if raised else ""),
                name(raised_at(raised[2]) if raised else ""),
            )
        )

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config):
        if config is not self.config:
            return
        self.tell_changes()
        status = getattr(self.session, "exitstatus", None)
        self.say('"kind":"end","exit":%s' % ("null" if status is None else "%d" % int(status)))


def listener(say, secrets):
    """Tells of looks into the memory and the descriptors of this process, and of its replacement."""
    getpid, pid = os.getpid, os.getpid()

    def hears(event, args):
        if event == "object.__getattr__":
            found = any(args[0] is secret for secret in secrets)
        elif event == "open":
            path = args[0]
            found = isinstance(path, str) and path.startswith("/proc/") and ("/fd" in path or "/mem" in path)
        else:
            found = event in PROBES
        if found and getpid() == pid:
            if project_files(sys._getframe(1)):
                say('"kind":"probe","what":%s' % name(event))

    return hears


def start():
    descriptor, key = take_over()
    if not key:
        return None
    lines = sender(descriptor, key.strip())
    say = speaker(lines)
    early = early_files()
    say(
        '"kind":"hello","python":%s,"pytest":%s,"early":%s'
        % (name(sys.version.split()[0]), name(pytest.__version__), names(early[:MOST_NAMES]))
    )
    if hasattr(sys, "addaudithook"):
        sys.addaudithook(listener(say, [lines, say]))
    return say


class Starter(object):
    """Waits for the configuration, then makes way."""

    def __init__(self, say):
        self.say = say

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config):
        say, self.say = self.say, None
        if say is not None:
            early_config.pluginmanager.register(Reporter(early_config, say), ME + "_reporter")


STARTER = Starter(start())
pytest_load_initial_conftests = STARTER.pytest_load_initial_conftests
