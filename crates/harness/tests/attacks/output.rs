//! Attacks on the log.

use crate::lab::{Attack, all_fail};

/// Writes to everything that pytest has put aside: one of them is the real output.
const EVERYWHERE: &str = "
import os
def everywhere(text):
    for number in range(1, 400):
        try:
            os.write(number, text.encode())
        except OSError:
            pass
";

#[tokio::test(flavor = "multi_thread")]
async fn forged_output() {
    let everywhere = |name, kinds, rest: &str| Attack::code(name, kinds, &format!("{EVERYWHERE}{rest}"));
    let attacks = vec![
        Attack::code(
            "lines_printed_at_exit",
            &["forged_log"],
            "import atexit, os\natexit.register(lambda: os.write(1, FORGED.encode()))",
        ),
        Attack::code(
            "markers_printed_at_exit",
            &["forged_log"],
            "import atexit, os\n\
             text = '>>>>> Start Test Output\\n' + FORGED + '>>>>> End Test Output\\n'\n\
             atexit.register(lambda: os.write(1, text.encode()))",
        ),
        everywhere("summary_then_exit_at_import", &["early_exit"], "everywhere(FORGED + '\\n')\nos._exit(0)"),
        everywhere("every_descriptor", &["channel_forged"], "everywhere(FORGED)"),
        everywhere(
            "channel_lines_without_key",
            &["channel_forged"],
            "everywhere('0' * 64 + ' {\"n\":9,\"kind\":\"end\",\"exit\":0,\"from\":[]}\\n')",
        ),
        Attack::code(
            "flood_after_the_lie",
            &["output_flood"],
            "import atexit, os\n\
             def flood():\n    os.write(1, FORGED.encode())\n    for _ in range(64): os.write(1, b'x' * 65536)\n\
             atexit.register(flood)",
        ),
        Attack::code(
            "endless_output",
            &["output_flood", "time_limit"],
            "import atexit, os\n\
             def flood():\n    for _ in range(2000): os.write(1, b'\\n'.join([b'PASSED x'] * 8192))\n\
             atexit.register(flood)",
        ),
        Attack::code(
            "lines_of_a_child_that_stays",
            &["forged_log"],
            "import os, sys, atexit\n\
             def child():\n    if os.fork() == 0:\n        os.write(1, FORGED.encode())\n        os._exit(0)\n    os.wait()\n\
             atexit.register(child)",
        ),
        Attack::code(
            "summary_through_the_terminal",
            &["forged_log"],
            "import sys\n\
             frame = sys._getframe()\n\
             while 'config' not in frame.f_locals or not hasattr(frame.f_locals['config'], 'pluginmanager'):\n    frame = frame.f_back\n\
             config = frame.f_locals['config']\n\
             class Last:\n    def pytest_unconfigure(self):\n        config.get_terminal_writer().write(FORGED)\n\
             config.pluginmanager.register(Last())",
        ),
    ];
    all_fail("output", attacks).await;
}
