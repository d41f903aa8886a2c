//! JSON as Python's `json` reads it: numbers of any size, `NaN` and `Infinity` too.

use std::collections::HashMap;

use serde_json::Value;

use super::int::{DIGITS_LIMIT, canonical};

/// Lists and objects in each other beyond which Python gives up (`RecursionError`).
const DEPTH_LIMIT: usize = 990;

/// A value of Python that JSON can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `None`.
    Null,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number of any size, in plain decimal.
    Int(String),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A dictionary, in the order of its keys, of which each is there once.
    Object(Vec<(String, Self)>),
}

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON (`JSONDecodeError`), or it has half of a surrogate pair, which no text of ours can hold.
    #[error("read the JSON: it is none from byte {0} on")]
    Syntax(usize),
    /// It has a number that Python refuses to read (`ValueError`).
    #[error("read the JSON: a number has more than {DIGITS_LIMIT} digits")]
    TooManyDigits,
    /// It is nested too deeply (`RecursionError`).
    #[error("read the JSON: it is nested more than {DEPTH_LIMIT} levels deep")]
    TooDeep,
}

impl Json {
    /// Reads a text as `json.loads` does. Of equal keys the last one counts, in the place of the first.
    ///
    /// # Errors
    /// [`JsonError`] where `json.loads` raises an exception.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader { text, position: 0 };
        reader.skip_space();
        let value = reader.value()?;
        reader.skip_space();
        if reader.rest().is_empty() { Ok(value) } else { Err(reader.unexpected()) }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) if number.is_f64() => Self::Float(number.as_f64().unwrap_or_default()),
            Value::Number(number) => Self::Int(number.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(values) => Self::List(values.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(key, value)| (key.clone(), value.into())).collect())
            }
        }
    }
}

/// What a text has at the place of a value.
enum Begun {
    Whole(Json),
    Open(Open),
}

/// A list or an object of which more is to be read.
enum Open {
    List(Vec<Json>),
    Object(Fields),
}

#[derive(Default)]
struct Fields {
    fields: Vec<(String, Json)>,
    /// Where the field of a key lies.
    places: HashMap<String, usize>,
    /// Key of the value that comes next.
    key: String,
}

impl Open {
    fn end(&self) -> &'static str {
        match self {
            Self::List(_) => "]",
            Self::Object(_) => "}",
        }
    }

    fn add(&mut self, value: Json) {
        match self {
            Self::List(values) => values.push(value),
            Self::Object(Fields { fields, places, key }) => {
                let key = std::mem::take(key);
                let place = *places.entry(key.clone()).or_insert(fields.len());
                match fields.get_mut(place) {
                    Some(field) => field.1 = value,
                    None => fields.push((key, value)),
                }
            }
        }
    }

    fn close(self) -> Json {
        match self {
            Self::List(values) => Json::List(values),
            Self::Object(Fields { fields, .. }) => Json::Object(fields),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn unexpected(&self) -> JsonError {
        JsonError::Syntax(self.position)
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.position += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), JsonError> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Keeps what is open on a heap of its own: a thread's stack is too small for what Python reads.
    fn value(&mut self) -> Result<Json, JsonError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            if open.len() > DEPTH_LIMIT {
                return Err(JsonError::TooDeep);
            }
            let mut value = match self.begin()? {
                Begun::Whole(value) => value,
                Begun::Open(inner) => {
                    open.push(inner);
                    continue;
                }
            };
            loop {
                let Some(mut outer) = open.pop() else { return Ok(value) };
                outer.add(value);
                self.skip_space();
                if self.take(outer.end()) {
                    value = outer.close();
                    continue;
                }
                self.expect(",")?;
                self.skip_space();
                self.key(&mut outer)?;
                open.push(outer);
                break;
            }
        }
    }

    /// Reads a value up to its end, or to the first value in it.
    fn begin(&mut self) -> Result<Begun, JsonError> {
        let mut open = if self.take("\"") {
            return self.string().map(|text| Begun::Whole(Json::Text(text)));
        } else if self.take("[") {
            Open::List(Vec::new())
        } else if self.take("{") {
            Open::Object(Fields::default())
        } else {
            return self.word().map(Begun::Whole);
        };
        self.skip_space();
        if self.take(open.end()) {
            return Ok(Begun::Whole(open.close()));
        }
        self.key(&mut open)?;
        Ok(Begun::Open(open))
    }

    /// Where fields are read, the key of the next one and what follows it up to the value.
    fn key(&mut self, open: &mut Open) -> Result<(), JsonError> {
        if let Open::Object(fields) = open {
            self.expect("\"")?;
            fields.key = self.string()?;
            self.skip_space();
            self.expect(":")?;
            self.skip_space();
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Json, JsonError> {
        let words = [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ];
        match words.into_iter().find(|(word, _)| self.take(word)) {
            Some((_, value)) => Ok(value),
            None => self.number(),
        }
    }

    /// What follows the opening quote, and the closing one.
    fn string(&mut self) -> Result<String, JsonError> {
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            value.push_str(&rest[..plain]);
            self.position += plain;
            if self.take("\"") {
                return Ok(value);
            }
            self.expect("\\")?;
            value.push(self.escaped()?);
        }
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Result<char, JsonError> {
        let escapes = [
            ("\"", '"'),
            ("\\", '\\'),
            ("/", '/'),
            ("b", '\u{8}'),
            ("f", '\u{c}'),
            ("n", '\n'),
            ("r", '\r'),
            ("t", '\t'),
        ];
        if let Some((_, character)) = escapes.into_iter().find(|(escape, _)| self.take(escape)) {
            return Ok(character);
        }
        let begin = self.unexpected();
        let mut units = vec![self.unit()?];
        if (0xd800..0xdc00).contains(&units[0]) && self.take("\\") {
            units.push(self.unit()?);
        }
        let mut characters = char::decode_utf16(units);
        match (characters.next(), characters.next()) {
            (Some(Ok(character)), None) => Ok(character),
            _ => Err(begin),
        }
    }

    /// `u` and four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, JsonError> {
        self.expect("u")?;
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.unexpected())?;
        self.position += 4;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let begin = self.position;
        let negative = self.take("-");
        let whole = self.digits();
        if whole.is_empty() {
            return Err(self.unexpected());
        }
        if whole.len() > 1 && whole.starts_with('0') {
            // Only the zero is the number; what follows it is out of place.
            self.position -= whole.len() - 1;
            return Err(self.unexpected());
        }
        let has_fraction = self.optional_part(|reader| reader.take("."));
        let has_exponent = self.optional_part(|reader| {
            let found = reader.take("e") || reader.take("E");
            let _sign = found && (reader.take("+") || reader.take("-"));
            found
        });
        if has_fraction || has_exponent {
            let written = &self.text[begin..self.position];
            return written.parse().map(Json::Float).map_err(|_| self.unexpected());
        }
        if whole.len() > DIGITS_LIMIT {
            return Err(JsonError::TooManyDigits);
        }
        Ok(Json::Int(canonical(negative, whole)))
    }

    fn digits(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        self.position += end;
        &rest[..end]
    }

    /// Takes a part of a number that begins in some way and goes on with digits, or nothing of it.
    fn optional_part(&mut self, begins: impl FnOnce(&mut Self) -> bool) -> bool {
        let begin = self.position;
        let found = begins(self) && !self.digits().is_empty();
        if !found {
            self.position = begin;
        }
        found
    }
}

#[cfg(test)]
mod tests;
