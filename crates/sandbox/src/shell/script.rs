//! The lines that bash gets.

use std::fmt::Write;
use std::os::fd::RawFd;

/// Interactive, so that an interrupt leads back to the next line, but without editing, history and profiles.
pub(crate) const ARGV: [&str; 8] =
    ["bash", "--noprofile", "--norc", "--noediting", "+H", "+o", "history", "-i"];

// Bash takes numbers for itself from 10 upwards and from 63 downwards.
/// Standard input of commands.
pub(crate) const STDIN: RawFd = 40;
/// Standard output and error of commands.
pub(crate) const OUTPUT: RawFd = 41;
/// Where bash tells where it stands.
pub(crate) const REPORTS: RawFd = 42;

/// Bash's own output, prompts above all, goes nowhere. Prompts do not run commands.
///
/// The function reports the result of the command before it, under the key `$1`, unless that was done already;
/// `$2` is the tag of the next command. What would act between commands, with bash's own descriptors, is
/// removed: a session has no prompts. Status and order matter: an interrupt may come at any point, and then
/// the function is called once more.
const DEFINITIONS: &str = r#"exec 2>&1
shopt -u promptvars
__swegym=
__swegym() {
builtin local __swegym_status=$?
[[ $__swegym == "$1" ]] || {
{ builtin printf '\0%s\0%s\0' "$1" "$__swegym_status"; builtin pwd; builtin printf '\0'; } >&REPORTS
[[ -z ${3-} ]] || __swegym_state >&REPORTS
__swegym=$1
builtin ulimit -x "$2"
builtin unset -v PROMPT_COMMAND TMOUT
} || builtin :
builtin return $__swegym_status
}
__swegym_state() {
builtin local __swegym_name
for __swegym_name in NAMES; do
[[ -v $__swegym_name && ${!__swegym_name@a} == *x* ]] && builtin printf '%s=%s\0' "$__swegym_name" "${!__swegym_name}"
done
builtin printf '\0'
}
__swegym_return() {
builtin local __swegym_status=$? __swegym_old=${OLDPWD-}
builtin cd . && OLDPWD=$__swegym_old
builtin return $__swegym_status
}
readonly -f __swegym __swegym_state __swegym_return
"#;

/// The number that processes of a command bear: later commands have lower ones.
pub(crate) fn tag(command: u64) -> u64 {
    (1_u64 << 40).saturating_sub(command)
}

/// What bash reads first. Then it tells its process id under this key.
pub(crate) fn definitions(key: &str) -> Vec<u8> {
    let first = tag(1);
    // Every name begins with one of these.
    let names: String =
        ('a'..='z').chain('A'..='Z').chain(['_']).map(|letter| format!("\"${{!{letter}@}}\" ")).collect();
    let definitions = DEFINITIONS.replace("REPORTS", &REPORTS.to_string()).replace("NAMES", names.trim_end());
    format!("{definitions}ulimit -x {first}\nprintf '\\0%s\\0%s\\0' {key} $$ >&{REPORTS}\n").into_bytes()
}

/// Runs the command with this number, and reports its end under this key. Before that the shell may have to go
/// back to its working directory by its path, because another tree lies there now.
///
/// `\` keeps aliases away, `builtin` functions. `&&` keeps `set -e` from ending the shell a second time.
pub(crate) fn command(text: &str, key: &str, number: u64, returns: bool) -> Vec<u8> {
    let first = if returns { "\\__swegym_return;" } else { "" };
    let report = report(key, number, "");
    let text = quote(text.as_bytes());
    format!("{first}\\builtin eval {text} <&{STDIN}- >&{OUTPUT} 2>&{OUTPUT}- {REPORTS}>&-;{report}\n")
        .into_bytes()
}

/// Reports the end of the command with this number, where it was not reported yet. To be said after every
/// command that is not reported soon, and after every interrupt: bash may have dropped the line before.
pub(crate) fn question(key: &str, number: u64) -> Vec<u8> {
    format!("{}\n", report(key, number, "")).into_bytes()
}

/// Reports the state of the shell under this key, after the command with this number.
pub(crate) fn state(key: &str, number: u64) -> Vec<u8> {
    format!("{}\n", report(key, number, " state")).into_bytes()
}

fn report(key: &str, number: u64, what: &str) -> String {
    format!("\\__swegym {key} {}{what}&&\\builtin :", tag(number + 1))
}

/// One word of one line, that stands for these bytes. Only ASCII letters, digits and harmless signs stand for
/// themselves, so that neither the locale nor history expansion matters.
fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 3);
    quoted.push_str("$'");
    for byte in bytes {
        match byte {
            b'\'' | b'\\' | b'!' | 0..=0x1f | 0x7f.. => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\{byte:03o}");
            }
            plain => quoted.push(char::from(*plain)),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What bash takes a word for.
    fn read_back(word: &str, locale: &str) -> Vec<u8> {
        let script = format!("set -H; printf %s {word}");
        let output = Command::new("bash").args(["-c", &script]).env("LC_ALL", locale).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        output.stdout
    }

    #[test]
    fn a_quoted_word_stands_for_its_bytes() {
        let every_byte: Vec<u8> = (1..=255).collect();
        let cases: [&[u8]; 12] = [
            b"",
            b"plain",
            b"'",
            b"\\",
            b"\\'",
            b"a'b\"c`d$(e)${f}",
            b"two\nlines\r\n",
            b"!!\t!x",
            b"\\0011\x011",
            "\u{1f980}\u{e9}".as_bytes(),
            b"\xff\xfe' \\777",
            &every_byte,
        ];
        for bytes in cases {
            for locale in ["C", "C.UTF-8"] {
                let word = quote(bytes);
                assert!(word.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{word}");
                assert_eq!(read_back(&word, locale), bytes, "{word} in {locale}");
            }
        }
    }

    #[test]
    fn pairs_of_awkward_bytes_do_not_merge() {
        let awkward = b"\\'!0179xunc\x01\n\x80\xff\"$`";
        let pairs: Vec<u8> =
            awkward.iter().flat_map(|a| awkward.iter().flat_map(move |b| [*a, *b])).collect();
        assert_eq!(read_back(&quote(&pairs), "C.UTF-8"), pairs);
    }

    #[test]
    fn a_command_is_one_line_whatever_it_holds() {
        for text in ["true", "if", "cat <<E\nx\nE", "echo '", "a\n\n# b", "\\"] {
            let lines = command(text, "key", 7, true);
            assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert!(lines.ends_with(b"\n"));
        }
    }

    #[test]
    fn later_commands_bear_lower_tags() {
        assert!(tag(2) < tag(1) && tag(u64::MAX) < tag(2));
    }
}
