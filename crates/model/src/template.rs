//! A model's own chat template, rendered as the model servers do it.
//!
//! Templates are written for Jinja2 with the settings of the `transformers` library: blocks are trimmed, values have
//! Python's methods, `tojson` writes as Python's `json` does, and `raise_exception` and `strftime_now` are there.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, Value as Slot, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use serde_json::{Map, Value, json};
use swegym_core::{Message, ToolSpec};

use crate::{ModelError, ToolParser};

const NAME: &str = "chat";
/// What one rendering may cost, in the engine's measure: instructions, and 64 bytes of what they make. Templates come
/// with models that anybody publishes; this ends one that never would, well within a second, and before it has made
/// 256 MiB. A long conversation takes a tenth of it. A list that is joined to itself again and again escapes it: the
/// engine goes through its elements without counting them.
const FUEL: u64 = 4_000_000;

/// A chat template and the texts of the tokens that it speaks of.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    tool_parser: ToolParser,
    alternates: bool,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("eos_token", &self.eos_token)
            .field("tool_parser", &self.tool_parser)
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// A template, and the tokens that begin a text and end a turn; empty where there is none.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when it is no template.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, ModelError> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| setup(&format!("{error:#}")))?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", now);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| setup(&format!("{error:#}")))?;
        Ok(Self {
            environment,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
            tool_parser: ToolParser::of_template(source),
            alternates: source.contains("must alternate"),
        })
    }

    /// Reads `tokenizer_config.json` of a model's folder, and `chat_template.jinja` where the template is there.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when a file cannot be read, or there is no template in them.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer_config.json");
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| setup(&format!("`{}`: {error}", path.display())))
        };
        let config: Value = serde_json::from_str(&read(&path)?)
            .map_err(|error| setup(&format!("`{}`: {error}", path.display())))?;
        let file = folder.join("chat_template.jinja");
        let source =
            if file.exists() { Some(read(&file)?) } else { named_template(&config["chat_template"]) };
        let source = source.ok_or_else(|| setup(&format!("`{}` has none", path.display())))?;
        let token = |name: &str| {
            let token = &config[name];
            token.as_str().or(token["content"].as_str()).unwrap_or_default().to_owned()
        };
        Self::new(&source, &token("bos_token"), &token("eos_token"))
    }

    /// The same with another way of reading calls than the template suggests.
    #[must_use]
    pub fn with_tool_parser(self, tool_parser: ToolParser) -> Self {
        Self { tool_parser, ..self }
    }

    /// How calls are read in answers.
    pub fn tool_parser(&self) -> ToolParser {
        self.tool_parser
    }

    /// Whether it refuses conversations in which turns of the user and of the model do not alternate, in the words that
    /// such templates share.
    pub fn alternates(&self) -> bool {
        self.alternates
    }

    /// The token that ends a turn; empty where there is none.
    pub(crate) fn eos_token(&self) -> &str {
        &self.eos_token
    }

    /// The conversation as a text; with the beginning of an answer where one is to follow. Most templates take the
    /// arguments of calls for objects; those that do not get them as text.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the template fails, refuses, or does not come to an end.
    pub fn render(&self, messages: &[Value], tools: &[ToolSpec], answer: bool) -> Result<String, ModelError> {
        let rendered = self.render_as_is(messages, tools, answer);
        rendered.or_else(|error| {
            let messages: Vec<Value> = messages.iter().map(with_arguments_as_text).collect();
            self.render_as_is(&messages, tools, answer).map_err(|_| error)
        })
    }

    fn render_as_is(
        &self,
        messages: &[Value],
        tools: &[ToolSpec],
        answer: bool,
    ) -> Result<String, ModelError> {
        let offered: Vec<Value> =
            tools.iter().map(|tool| json!({"type": "function", "function": tool})).collect();
        let tools = if tools.is_empty() { Slot::from(()) } else { Slot::from(Serde(offered)) };
        let template = self.environment.get_template(NAME).map_err(|error| setup(&format!("{error:#}")))?;
        let rendered = template.render(context! {
            messages => Slot::from(Serde(messages)),
            tools,
            add_generation_prompt => answer,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
        });
        rendered.map_err(|error| setup(&format!("{error:#}")))
    }
}

fn setup(why: &str) -> ModelError {
    ModelError::Setup { message: format!("chat template: {why}") }
}

/// A template, or that of several which is for tools, else the default one.
fn named_template(value: &Value) -> Option<String> {
    if let Some(list) = value.as_array() {
        let named = |name: &str| list.iter().find(|entry| entry["name"] == name);
        let entry = named("tool_use").or(named("default"))?;
        return entry["template"].as_str().map(str::to_owned);
    }
    value.as_str().map(str::to_owned)
}

/// A message as templates expect it: arguments of calls are objects.
pub(crate) fn template_message(message: &Message) -> Value {
    let mut value = json!(message);
    for call in value.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let arguments = &mut call["function"]["arguments"];
        let written = arguments.as_str().unwrap_or_default();
        let object = match serde_json::from_str::<Map<String, Value>>(written) {
            Ok(object) => object.into(),
            Err(_) if written.trim().is_empty() => json!({}),
            Err(_) => json!({"unparsed_arguments": written}),
        };
        *arguments = object;
    }
    value
}

fn with_arguments_as_text(message: &Value) -> Value {
    let mut message = message.clone();
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let arguments = &mut call["function"]["arguments"];
        *arguments = arguments.to_string().into();
    }
    message
}

fn raise(message: String) -> Result<Slot, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// The time is UTC, wherever the machine is.
fn now(format: &str) -> Result<String, minijinja::Error> {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let text = jiff::fmt::strtime::format(format, &now);
    text.map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn to_json(value: &Slot, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut text = Vec::new();
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let format = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, PythonFormat)),
    };
    let failed = |error: String| minijinja::Error::new(ErrorKind::BadSerialization, error);
    written.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(text).map_err(|error| failed(error.to_string()))
}

/// One line, with a space after each comma and colon.
struct PythonFormat;

impl Formatter for PythonFormat {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, to: &mut W) -> std::io::Result<()> {
        to.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swegym_core::{Role, ToolCall};

    use super::*;

    fn render(source: &str, messages: &[Message], tools: &[ToolSpec]) -> Result<String, ModelError> {
        let messages: Vec<Value> = messages.iter().map(template_message).collect();
        ChatTemplate::new(source, "<s>", "</s>").unwrap().render(&messages, tools, true)
    }

    #[test]
    fn what_templates_of_models_use_is_there() {
        let source = r#"
{%- if tools %}
    {{- "tools: " + (tools[0] | tojson) }}
{% endif -%}
{%- set ns = namespace(last=0) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and not message.content.startswith('<tool') %}
        {%- set ns.last = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.tool_calls is defined and message.tool_calls %}
        {%- for name, value in message.tool_calls[0].function.arguments.items() %}
            {{- '\n' ~ name ~ '=' ~ value }}
        {%- endfor %}
    {%- else %}
        {{- '\n' + message.role + ': ' + message.content.split('</think>')[-1].lstrip('\n') }}
    {%- endif %}
{%- endfor %}
{{ ns.last }}{{ eos_token }}"#;
        let messages = [
            Message::text(Role::User, "<b>"),
            Message::calling("", vec![ToolCall::new("a", "f", &json!({"z": "ü", "a": 1}))]),
            Message::text(Role::Assistant, "<think>\n</think>\n\nyes"),
        ];
        let tools = [ToolSpec {
            name: "f".into(),
            description: "d".into(),
            parameters: json!({"b": [1, 2], "a": {}}),
        }];
        let expected = "tools: {\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"d\", \
                        \"parameters\": {\"b\": [1, 2], \"a\": {}}}}\n\nuser: <b>\nz=ü\na=1\nassistant: yes0</s>";
        assert_eq!(render(source, &messages, &tools).unwrap(), expected);
        assert!(render(source, &messages, &[]).unwrap().starts_with("\nuser"));
    }

    #[test]
    fn arguments_are_text_for_templates_that_want_it() {
        let source = "{{ 'a' + messages[0].tool_calls[0].function.arguments }}";
        let call = Message::calling("", vec![ToolCall::new("a", "f", &json!({"b": "\u{fc}"}))]);
        assert_eq!(render(source, &[call], &[]).unwrap(), "a{\"b\":\"\u{fc}\"}");
    }

    #[test]
    fn a_template_can_refuse() {
        let error = render("{{ raise_exception('only text') }}", &[], &[]).unwrap_err();
        assert!(error.to_string().contains("only text"), "{error}");
        assert!(ChatTemplate::new("{% if %}", "", "").is_err());
        let year = render("{{ strftime_now('%Y') }}", &[], &[]).unwrap();
        assert!(year.len() == 4 && year.starts_with('2'), "{year}");
    }

    #[test]
    fn templates_in_which_turns_must_alternate_are_known() {
        let alternates = |source| ChatTemplate::new(source, "", "").unwrap().alternates();
        let strict =
            "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}";
        assert!(alternates(strict) && !alternates("{{ messages }}"));
    }

    #[test]
    fn a_template_without_an_end_is_ended() {
        let many = "{% for a in range(99999) %}{% for b in range(99999) %}";
        let end = "{% endfor %}{% endfor %}";
        for (what, source) in [
            ("a loop", format!("{many}{end}")),
            ("recursion", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}".to_owned()),
            ("output", format!("{many}{{{{ 'x' * 1000 }}}}{end}")),
            (
                "doubling",
                format!("{{% set ns = namespace(x='x') %}}{many}{{% set ns.x = ns.x ~ ns.x %}}{end}"),
            ),
            ("one long text", "{{ 'x' * 10**12 }}".to_owned()),
            ("filters", "{{ ('x' * 9999999)|replace('x', 'y' * 9999) }}".to_owned()),
        ] {
            assert!(render(&source, &[], &[]).is_err(), "{what}");
        }
        let (parentheses, ifs) = ("(".repeat(100_000), "{% if x %}".repeat(100_000));
        assert!(ChatTemplate::new(&format!("{{{{ {parentheses} }}}}"), "", "").is_err());
        assert!(ChatTemplate::new(&ifs, "", "").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_none(
            source in "(\\{%|%\\}|\\{\\{|\\}\\}|for |in |if |set |macro |endfor|endif| x|messages|range\\(9\\)|\\||tojson|'a'|\\[|\\]|\\(|\\)|~|\\*|9| ){0,24}",
        ) {
            if let Ok(template) = ChatTemplate::new(&source, "", "") {
                let _ = template.render(&[json!({"role": "user", "content": "x"})], &[], true);
            }
        }
    }

    #[test]
    fn the_files_of_a_model_are_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ChatTemplate::read(folder.path()).is_err());
        let config = folder.path().join("tokenizer_config.json");
        std::fs::write(&config, r#"{"eos_token": {"content": "</s>"}, "bos_token": null}"#).unwrap();
        assert!(ChatTemplate::read(folder.path()).unwrap_err().to_string().contains("has none"));
        let two = r#"{"eos_token": "</s>", "chat_template": [
            {"name": "default", "template": "d"}, {"name": "tool_use", "template": "t{{ eos_token }}"}]}"#;
        std::fs::write(&config, two).unwrap();
        let rendered = |folder| ChatTemplate::read(folder).unwrap().render(&[], &[], false).unwrap();
        assert_eq!(rendered(folder.path()), "t</s>");
        std::fs::write(folder.path().join("chat_template.jinja"), "file\n").unwrap();
        assert_eq!(rendered(folder.path()), "file");
    }
}
