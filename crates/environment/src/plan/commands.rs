//! The shell commands of a spec, without the parts that a build sandbox cannot or must not run.

use super::LeftOut;

/// Programs whose effect is on the host's system, which images only show.
const SYSTEM: &str = "it installs packages of the operating system, which images take from the host";
/// Nothing after the base commit may come into an image.
const LATER_HISTORY: &str =
    "it would bring history after the base commit into the image; tags up to it are there";

/// The commands, and what of them is left out. A part that is left out becomes `:`, so that what is joined to it by
/// `&&`, `||` or `;` goes on as if it had succeeded.
pub(super) fn runnable<'a>(commands: impl IntoIterator<Item = &'a String>) -> (Vec<String>, Vec<LeftOut>) {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for command in commands {
        let mut text = String::new();
        let mut something = false;
        for part in parts(command) {
            match reason(part.text) {
                Some(reason) => {
                    left_out.push(LeftOut { what: part.text.trim().to_owned(), reason });
                    text.push_str(if part.text.starts_with(' ') { " : " } else { ": " });
                }
                None => {
                    something |= !part.text.trim().is_empty();
                    text.push_str(part.text);
                }
            }
            text.push_str(part.operator);
        }
        if something {
            kept.push(text);
        }
    }
    (kept, left_out)
}

/// A simple command and the operator after it.
struct Part<'a> {
    text: &'a str,
    operator: &'a str,
}

/// Splits where `&&`, `||`, `;` or a line break stands outside of quotes.
fn parts(command: &str) -> Vec<Part<'_>> {
    let bytes = command.as_bytes();
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    let mut quote = None;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let operator = match (quote, bytes[at]) {
            (None, b';' | b'\n') => 1,
            (None, _) if rest.starts_with(b"&&") || rest.starts_with(b"||") => 2,
            (None, byte @ (b'\'' | b'"')) => {
                quote = Some(byte);
                0
            }
            (None | Some(b'"'), b'\\') => {
                at += 1;
                0
            }
            (Some(open), byte) if open == byte => {
                quote = None;
                0
            }
            _ => 0,
        };
        if operator > 0 {
            parts.push(Part { text: &command[begin..at], operator: &command[at..at + operator] });
            begin = at + operator;
        }
        at += operator.max(1);
    }
    parts.push(Part { text: &command[begin..], operator: "" });
    parts
}

/// Why a simple command is not run, if so.
fn reason(command: &str) -> Option<String> {
    let is_assignment = |word: &&str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut words = command.split_whitespace().skip_while(is_assignment).skip_while(|word| *word == "sudo");
    let program = words.next()?;
    let words: Vec<&str> = words.collect();
    let reason = match program {
        "apt-get" | "apt" | "yum" | "apk" | "dnf" => match system_packages(&words) {
            packages if packages.is_empty() => SYSTEM.to_owned(),
            packages => format!("{SYSTEM}; where tests need them, install there: {packages}"),
        },
        "conda" | "mamba" | "micromamba" => {
            "there is no conda; say what it installs in `pip_packages`".to_owned()
        }
        "locale-gen" => "locales are the host's; C.UTF-8 is there".to_owned(),
        "npm" if words.contains(&"--location=global") || words.contains(&"-g") => {
            "programs of the host stay as they are".to_owned()
        }
        "git" if matches!(words.first(), Some(&("fetch" | "pull" | "clone"))) => LATER_HISTORY.to_owned(),
        "git" if words.starts_with(&["remote", "add"]) => LATER_HISTORY.to_owned(),
        _ if words.iter().any(|word| word.starts_with("/etc/")) => "files in /etc are the host's".to_owned(),
        _ => return None,
    };
    Some(reason)
}

/// What `apt-get install` is asked for.
fn system_packages(words: &[&str]) -> String {
    let after = words.iter().skip_while(|word| **word != "install").skip(1);
    after.filter(|word| !word.starts_with('-')).copied().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(command: &str) -> (Vec<String>, Vec<LeftOut>) {
        runnable([&command.to_owned()])
    }

    #[test]
    fn what_installs_into_the_system_is_left_out_with_its_packages() {
        let (kept, left_out) = run("apt-get -y update && apt-get install -y build-essential cmake");
        assert_eq!((kept.len(), left_out.len()), (0, 2));
        assert!(left_out[1].reason.ends_with("install there: build-essential cmake"), "{left_out:?}");
        let (kept, left_out) = run("DEBIAN_FRONTEND=noninteractive apt-get install -y ffmpeg");
        assert_eq!((kept.len(), left_out.len()), (0, 1));
    }

    #[test]
    fn what_stands_beside_it_runs_as_if_it_had_succeeded() {
        let (kept, left_out) = run("cd bokehjs && npm install --location=global npm && npm ci && cd ../");
        assert_eq!(kept, ["cd bokehjs && : && npm ci && cd ../"]);
        assert_eq!(left_out[0].what, "npm install --location=global npm");
        assert_eq!(run("apt-get update; make").0, [": ; make"]);
    }

    #[test]
    fn nothing_brings_later_history() {
        for command in
            ["git fetch upstream --tags", "git remote add upstream https://host/o/n.git", "git pull"]
        {
            let (kept, left_out) = run(command);
            assert_eq!((kept.len(), left_out.len()), (0, 1), "{command}");
        }
        assert_eq!(run("git submodule update --init mypy/typeshed || true").1, []);
    }

    #[test]
    fn commands_stay_byte_for_byte() {
        for command in [
            r#"sed -i 's/a && b; apt-get/c/' "x; y" && echo \; || true;"#,
            "pip install \"setuptools<66\"; printf \"1\n\" | python setup.py develop; bokeh sampledata;",
            "{ tail -n1 a | grep -q \".\" && echo \"\"; } >> a; pip install b",
        ] {
            assert_eq!(run(command), (vec![command.to_owned()], vec![]));
        }
    }

    proptest! {
        #[test]
        fn any_command_is_split_without_loss(command in "\\PC*") {
            let parts = parts(&command);
            let joined: String = parts.iter().flat_map(|part| [part.text, part.operator]).collect();
            prop_assert_eq!(joined, command);
        }
    }
}
