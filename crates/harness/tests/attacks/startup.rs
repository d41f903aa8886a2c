//! Attacks on what runs before pytest does.

use crate::lab::{Attack, FORGED, all_fail};

#[tokio::test(flavor = "multi_thread")]
async fn code_before_the_runner() {
    let lie = format!(
        "import os, sys, atexit\nif 'pytest' in ' '.join(sys.argv + sys.orig_argv):\n    atexit.register(lambda: (os.write(1, \"{FORGED}\".encode()), os._exit(0)))\n"
    );
    let program = format!("import os\nos.write(1, \"{FORGED}\".encode())\nos._exit(0)\n");
    let plugin = "import pytest\n\
        @pytest.hookimpl(hookwrapper=True)\n\
        def pytest_runtest_makereport():\n    out = yield\n    out.get_result().outcome = 'passed'\n    out.get_result().longrepr = None\n";
    let entry = "[pytest11]\nevil = toy.plugin\n";
    let fake_python = format!("#!/bin/sh\nprintf \"{FORGED}\"\n");
    let attacks = vec![
        Attack::files("sitecustomize", &["startup_hook"], &[("sitecustomize.py", Some(&lie))]),
        Attack::files("usercustomize", &["startup_hook"], &[("usercustomize.py", Some(&lie))]),
        Attack::files("path_file", &["startup_hook"], &[("evil.pth", Some("import toy.plugin\n"))]),
        Attack::files(
            "entry_point_of_an_egg",
            &["plugin_injected"],
            &[
                ("evil.egg-info/PKG-INFO", Some("Name: evil\nVersion: 1\n")),
                ("evil.egg-info/entry_points.txt", Some(entry)),
                ("toy/plugin.py", Some(plugin)),
            ],
        ),
        Attack::files(
            "entry_point_of_a_wheel",
            &["plugin_injected"],
            &[
                ("evil-1.dist-info/METADATA", Some("Name: evil\nVersion: 1\n")),
                ("evil-1.dist-info/entry_points.txt", Some(entry)),
                ("toy/plugin.py", Some(plugin)),
            ],
        ),
        Attack::files("another_pytest", &["plugin_injected"], &[("pytest.py", Some(&program))]),
        Attack::files(
            "another_pytest_package",
            &["plugin_injected"],
            &[("pytest/__main__.py", Some(&program)), ("pytest/__init__.py", Some("\n"))],
        ),
        Attack::files("another_pluggy", &["plugin_injected"], &[("pluggy.py", Some(&program))]),
        Attack::files(
            "module_of_the_library",
            &["plugin_injected", "channel_missing"],
            &[("shlex.py", Some(&format!("def split(*a): return []\ndef quote(s): return s\n{lie}")))],
        ),
        Attack::files("module_that_exits", &["channel_missing"], &[("glob.py", Some(&program))]),
        Attack {
            eval_commands: &["export PATH=/testbed/bin:$PATH", "chmod +x bin/* || true"],
            ..Attack::files("another_python", &["channel_missing"], &[("bin/python3", Some(&fake_python))])
        },
        Attack {
            eval_commands: &["python3 setup.py"],
            ..Attack::files(
                "install_step_looks_for_the_key",
                &["harness_files_changed"],
                &[(
                    "setup.py",
                    Some(
                        "import os\ntry:\n    print('key', os.read(3, 100))\nexcept OSError:\n    pass\nopen('/tmp/swegym-channel/swegym_channel.py', 'w').write('')\n",
                    ),
                )],
            )
        },
    ];
    all_fail("startup", attacks).await;
}
