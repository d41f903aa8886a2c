//! Attacks on the plugin of the harness, from the code under test.

use crate::lab::{Attack, all_fail};
use crate::runner::CONFIG;

#[tokio::test(flavor = "multi_thread")]
async fn abused_plugins() {
    let hooks = |name, kinds, code: &str| Attack::code(name, kinds, &format!("{CONFIG}{code}"));
    let attacks = vec![
        hooks(
            "plugin_is_unregistered",
            &["early_exit"],
            "config.pluginmanager.unregister(config.pluginmanager.get_plugin('swegym_channel_reporter'))\n\
             import atexit, os\natexit.register(lambda: (os.write(1, FORGED.encode()), os._exit(0)))",
        ),
        hooks(
            "plugin_is_made_to_speak",
            &["forged_report"],
            "ours = config.pluginmanager.get_plugin('swegym_channel_reporter')\n\
             class Report: pass\n\
             def lie(nodeid):\n\
             \x20   for when in ('setup', 'call', 'teardown'):\n\
             \x20       report = Report()\n\
             \x20       report.nodeid, report.when, report.outcome = nodeid, when, 'passed'\n\
             \x20       ours.pytest_runtest_logreport(report)\n\
             lie('tests/test_calc.py::test_mean_of_nothing')\n\
             import os; os._exit(0)",
        ),
        hooks(
            "plugin_speaks_in_a_thread",
            &["forged_report"],
            "import threading\n\
             ours = config.pluginmanager.get_plugin('swegym_channel_reporter')\n\
             thread = threading.Thread(target=ours.say, args=('\"kind\":\"end\",\"exit\":0',))\n\
             thread.start(); thread.join()\n\
             import os; os._exit(0)",
        ),
        hooks(
            "plugin_speaks_at_exit",
            &["forged_report", "channel_forged"],
            "import atexit\n\
             ours = config.pluginmanager.get_plugin('swegym_channel_reporter')\n\
             atexit.register(ours.say, '\"kind\":\"end\",\"exit\":0')",
        ),
        Attack::code(
            "functions_of_the_plugin_lie",
            &["forged_report"],
            "import sys\n\
             ours = sys.modules['swegym_channel']\n\
             real = ours.name\n\
             ours.name = lambda text: real('passed' if text == 'failed' else text)",
        ),
        Attack::code(
            "memory_is_searched_for_the_key",
            &["process_probed"],
            "import gc, types\n\
             for found in gc.get_objects():\n\
             \x20   if isinstance(found, types.GeneratorType) and found.gi_code.co_name == 'sender':\n\
             \x20       found.send('\"kind\":\"end\",\"exit\":0,\"from\":[]')\n\
             import os; os._exit(0)",
        ),
        hooks(
            "closure_is_opened",
            &["forged_report", "channel_forged"],
            "ours = config.pluginmanager.get_plugin('swegym_channel_reporter')\n\
             for cell in ours.say.__closure__:\n\
             \x20   if hasattr(cell.cell_contents, 'send'):\n\
             \x20       cell.cell_contents.send('\"kind\":\"end\",\"exit\":0,\"from\":[]')\n\
             import os; os._exit(0)",
        ),
    ];
    all_fail("plugin", attacks).await;
}
