//! How upstream names its images.

use std::fmt::{self, Write};
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};
use swegym_core::InstanceId;

use super::ScriptRules;

/// Digits of the digest that name an environment image.
const KEY_DIGITS: usize = 22;

/// What `str.isprintable` of Python refuses, but for the plain space.
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static UNPRINTABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[\p{C}\p{Z}--\x20]$").unwrap());

/// Processor that an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

/// Name of the image that all others are built on.
pub fn base_image_key(rules: ScriptRules, architecture: Architecture) -> String {
    format!("sweb.base.{}{architecture}:latest", language(rules))
}

/// Name of the image that the lines of an environment script build: a digest of how Python writes the list of them.
pub fn env_image_key(rules: ScriptRules, architecture: Architecture, env_script: &[String]) -> String {
    let lines: Vec<_> = env_script.iter().map(|line| python_repr(line)).collect();
    let digest = Sha256::digest(format!("[{}]", lines.join(", ")));
    let mut digits = format!("{digest:x}");
    digits.truncate(KEY_DIGITS);
    format!("sweb.env.{}{architecture}.{digits}:latest", language(rules))
}

/// Name of the image of an instance.
pub fn instance_image_key(architecture: Architecture, instance_id: &InstanceId) -> String {
    format!("sweb.eval.{architecture}.{}:latest", instance_id.as_str().to_lowercase())
}

/// SWE-bench 4 names the language of base and environment images.
fn language(rules: ScriptRules) -> &'static str {
    match rules {
        ScriptRules::Swegym => "",
        ScriptRules::Swebench4 => "py.",
    }
}

/// `repr` of a Python string.
fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut repr = String::with_capacity(text.len() + 2);
    repr.push(quote);
    for character in text.chars() {
        push_escaped(&mut repr, character, quote);
    }
    repr.push(quote);
    repr
}

fn push_escaped(repr: &mut String, character: char, quote: char) {
    let code = u32::from(character);
    // Writing to a string cannot fail.
    let _ = match character {
        '\n' => write!(repr, "\\n"),
        '\r' => write!(repr, "\\r"),
        '\t' => write!(repr, "\\t"),
        '\\' => write!(repr, "\\\\"),
        _ if character == quote => write!(repr, "\\{quote}"),
        ' '..='~' => write!(repr, "{character}"),
        _ if !is_unprintable(character) => write!(repr, "{character}"),
        _ if code <= 0xff => write!(repr, "\\x{code:02x}"),
        _ if code <= 0xffff => write!(repr, "\\u{code:04x}"),
        _ => write!(repr, "\\U{code:08x}"),
    };
}

fn is_unprintable(character: char) -> bool {
    UNPRINTABLE.is_match(character.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_python_writes_them() {
        let cases = [
            ("a b", "'a b'"),
            ("it's", "\"it's\""),
            ("it's \"x\"", "'it\\'s \"x\"'"),
            ("\"x\"", "'\"x\"'"),
            ("\\\n\r\t\0\x1b\x7f", "'\\\\\\n\\r\\t\\x00\\x1b\\x7f'"),
            ("é\u{a0}\u{ad}\u{85}", "'é\\xa0\\xad\\x85'"),
            ("\u{2028}\u{200b}\u{3000}\u{feff}", "'\\u2028\\u200b\\u3000\\ufeff'"),
            ("中😀\u{e0001}\u{10ffff}\u{378}", "'中😀\\U000e0001\\U0010ffff\\u0378'"),
        ];
        for (text, expected) in cases {
            assert_eq!(python_repr(text), expected);
        }
    }

    #[test]
    fn names_are_as_upstream_has_them() {
        let (fork, swebench) = (ScriptRules::Swegym, ScriptRules::Swebench4);
        assert_eq!(base_image_key(fork, Architecture::Arm64), "sweb.base.arm64:latest");
        assert_eq!(base_image_key(swebench, Architecture::X86_64), "sweb.base.py.x86_64:latest");
        let lines = [
            "source /opt/miniconda3/bin/activate",
            "conda create -n testbed python=3.12  -y",
            "conda activate testbed",
        ]
        .map(str::to_owned);
        assert_eq!(
            env_image_key(fork, Architecture::X86_64, &lines),
            "sweb.env.x86_64.d435652d657932af89a0cf:latest"
        );
        assert_eq!(
            env_image_key(swebench, Architecture::X86_64, &lines),
            "sweb.env.py.x86_64.d435652d657932af89a0cf:latest"
        );
        let id = InstanceId::new("Project-MONAI__MONAI-1").unwrap();
        assert_eq!(
            instance_image_key(Architecture::X86_64, &id),
            "sweb.eval.x86_64.project-monai__monai-1:latest"
        );
    }
}
