//! Which notation a model writes calls in.

use swegym_core::ToolSpec;

use super::answer::Parsed;
use super::{deepseek, hermes, llama, mistral, qwen3_coder};

/// A notation of calls, by the name that vLLM has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolParser {
    /// A JSON object between `<tool_call>` and `</tool_call>`: Hermes, Qwen 2.5 and 3.
    #[default]
    Hermes,
    /// A JSON object with `parameters`, with `<|python_tag|>` before it or alone: Llama 3.1 to 3.3.
    Llama3Json,
    /// `[TOOL_CALLS]` and a JSON list, or a name and its arguments: Mistral.
    Mistral,
    /// Names and JSON between marks of their own: DeepSeek V3, R1 and V3.1.
    DeepSeekV3,
    /// `<function=NAME>` with a `<parameter=NAME>` for each argument: Qwen3-Coder.
    Qwen3Coder,
}

impl ToolParser {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Hermes, Self::Llama3Json, Self::Mistral, Self::DeepSeekV3, Self::Qwen3Coder];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hermes => "hermes",
            Self::Llama3Json => "llama3_json",
            Self::Mistral => "mistral",
            Self::DeepSeekV3 => "deepseek_v3",
            Self::Qwen3Coder => "qwen3_coder",
        }
    }

    /// The one that a chat template writes earlier calls in; [`Self::Hermes`] where it writes none that is known.
    pub fn of_template(source: &str) -> Self {
        let has = |text: &str| source.contains(text);
        match () {
            () if has("<function=") && has("<parameter=") => Self::Qwen3Coder,
            () if has(mistral::CALLS) => Self::Mistral,
            () if has(deepseek::CALL) => Self::DeepSeekV3,
            () if has(hermes::CALL) => Self::Hermes,
            () if has(llama::TAG) || has(r#""parameters": "#) => Self::Llama3Json,
            () => Self::default(),
        }
    }

    /// What begins the first call of a text, as far as there is a mark for it.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Hermes | Self::Qwen3Coder => hermes::CALL,
            Self::Llama3Json => llama::TAG,
            Self::Mistral => mistral::CALLS,
            Self::DeepSeekV3 => deepseek::CALL,
        }
    }

    /// The words before the first call, and the calls; nothing where there are none, or one of them cannot be read.
    pub(super) fn parse<'a>(self, text: &'a str, tools: &[ToolSpec]) -> Option<Parsed<'a>> {
        let parsed = match self {
            Self::Hermes => hermes::parse(text),
            Self::Llama3Json => llama::parse(text),
            Self::Mistral => mistral::parse(text),
            Self::DeepSeekV3 => deepseek::parse(text),
            Self::Qwen3Coder => qwen3_coder::parse(text, tools),
        };
        parsed.filter(|parsed| !parsed.calls.is_empty())
    }

    /// The id of the call of this number. Templates of Mistral refuse ids of other than nine letters and digits.
    pub(super) fn call_id(self, number: u64) -> String {
        match self {
            Self::Mistral => format!("call{:05}", number % 100_000),
            _ => format!("call_{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ToolParser;

    #[test]
    fn templates_tell_what_their_models_write() {
        for (source, parser) in [
            ("{{ '<tool_call>\\n' }}", ToolParser::Hermes),
            ("<tool_call>\\n<function=' + name + '>\\n<parameter=", ToolParser::Qwen3Coder),
            ("{{ '[TOOL_CALLS] [' }}", ToolParser::Mistral),
            ("{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'}}", ToolParser::DeepSeekV3),
            (r#"{{- '"parameters": ' }}"#, ToolParser::Llama3Json),
            ("{{ '<|python_tag|>' }}", ToolParser::Llama3Json),
            ("{{ messages }}", ToolParser::Hermes),
        ] {
            assert_eq!(ToolParser::of_template(source), parser, "{source}");
        }
    }
}
