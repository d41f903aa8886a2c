//! Where calls, parameters and results stand in a text. The patterns are regular expressions of OpenHands, matched by
//! hand: each text is gone over once, whatever it holds.

use std::borrow::Cow;

/// What a call begins with.
pub(super) const CALL_START: &str = "<function=";
/// What ends a call. Servers cut it off, because its beginning is what stops the answer.
pub const CALL_END: &str = "</function>";

const PARAMETER_START: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";
const RESULT_START: &str = "EXECUTION RESULT of [";
const RESULT_NAME_END: &str = "]:\n";

/// What a result begins with.
pub(super) fn result_prefix(name: &str) -> String {
    format!("{RESULT_START}{name}{RESULT_NAME_END}")
}

/// The answer with an end for its call, as OpenHands repairs it before it reads: an answer in which one call begins
/// gets an end, also where it has one already.
pub(super) fn repaired(text: &str) -> Cow<'_, str> {
    let mut starts = text.match_indices(CALL_START);
    if starts.next().is_none() || starts.next().is_some() {
        return Cow::Borrowed(text);
    }
    if text.ends_with("</") {
        Cow::Owned(format!("{text}function>"))
    } else {
        Cow::Owned(format!("{text}\n{CALL_END}"))
    }
}

/// The answer with the end of its call that the server cut off: what the model was about to write, so that an earlier
/// answer can be sent again without a change of its tokens.
pub fn with_end(text: &str) -> Cow<'_, str> {
    let Some(start) = text.find(CALL_START) else { return Cow::Borrowed(text) };
    if text[start..].contains(CALL_END) {
        return Cow::Borrowed(text);
    }
    let begun = (2..CALL_END.len()).rev().find(|&length| text.ends_with(&CALL_END[..length])).unwrap_or(0);
    Cow::Owned(format!("{text}{}", &CALL_END[begun..]))
}

/// Name and body of the first call: `<function=([^>]+)>\n(.*?)</function>`.
pub(super) fn first_call(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let (name, after) = tag(text, CALL_START, &mut from)?;
        if let Some(body) = text[after..].strip_prefix('\n') {
            return body.split_once(CALL_END).map(|(body, _)| (name, body));
        }
    }
}

/// Names and values of parameters: `<parameter=([^>]+)>(.*?)</parameter>`.
pub(super) fn parameters(body: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let (name, after) = tag(body, PARAMETER_START, &mut from)?;
        let (value, _) = body[after..].split_once(PARAMETER_END)?;
        from = after + value.len() + PARAMETER_END.len();
        Some((name, value))
    })
}

/// The next tag that begins with `start`: its name, and where it ends. `from` is set to where a tag that begins later
/// and ends elsewhere can begin: all that begin before that end at the same place.
fn tag<'a>(text: &'a str, start: &str, from: &mut usize) -> Option<(&'a str, usize)> {
    loop {
        let name_start = *from + text[*from..].find(start)? + start.len();
        let name_end = name_start + text[name_start..].find('>')?;
        *from = name_end;
        if name_end > name_start {
            return Some((&text[name_start..name_end], name_end + 1));
        }
    }
}

/// Name and text of a result: `EXECUTION RESULT of \[(.*?)\]:\n(.*)`.
pub(super) fn result(text: &str) -> Option<(&str, &str)> {
    text.split_once(RESULT_START)?.1.split_once(RESULT_NAME_END)
}
