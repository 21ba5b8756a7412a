//! A message as a tree of plain values, for people and for `wardctl decode`.

use serde_json::{Value, json};

use super::{Delimiters, Message, Segment};

/// Segments → fields → components → sub-components as JSON: a field without delimiters is a string, one with components an
/// array, a component with sub-components an array in it, and a field that repeats an object with `repetitions`. `joined` in the tests shows that nothing is lost.
pub fn tree(message: &Message<'_>) -> Value {
    let (kind, trigger) = message.kind();
    json!({
        "type": kind,
        "trigger": trigger,
        "control_id": message.control_id(),
        "version": message.field(b"MSH", 12, 1),
        "delimiters": format!("{}{}", char::from(message.delimiters().field), String::from_utf8_lossy(&message.delimiters().declared())),
        "segments": message.segments().map(|segment| branch(&segment, message.delimiters())).collect::<Vec<_>>(),
    })
}

fn branch(segment: &Segment<'_>, delimiters: &Delimiters) -> Value {
    let fields: Vec<Value> = (1..)
        .map_while(|field| segment.field(field).map(|value| (field, value)))
        .map(|(field, value)| match field {
            1 | 2 if matches!(segment.name(), b"MSH" | b"BHS" | b"FHS") => Value::from(String::from_utf8_lossy(value)),
            _ => split(segment, field, value, delimiters),
        })
        .collect();
    json!({ "name": String::from_utf8_lossy(segment.name()), "fields": fields })
}

fn split(segment: &Segment<'_>, field: u16, value: &[u8], delimiters: &Delimiters) -> Value {
    let count = |value: &[u8], delimiter: Option<u8>| delimiter.map_or(1, |delimiter| memchr::memchr_iter(delimiter, value).count() + 1);
    let number = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
    let leaf = |repetition, component, subcomponent| Value::from(segment.text_at(field, repetition, component, subcomponent).unwrap_or_default());
    let component = |repetition, component| {
        let part = segment.raw(field, repetition, component, 0).unwrap_or_default();
        match count(part, delimiters.subcomponent) {
            1 => leaf(repetition, component, 1),
            subcomponents => Value::Array((1..=subcomponents).map(|sub| leaf(repetition, component, number(sub))).collect()),
        }
    };
    let repetition = |repetition| {
        let whole = segment.raw(field, repetition, 0, 0).unwrap_or_default();
        let mut components: Vec<Value> = (1..=count(whole, Some(delimiters.component))).map(|place| component(repetition, number(place))).collect();
        match components.as_slice() {
            [Value::String(_)] => components.remove(0),
            _ => Value::Array(components),
        }
    };
    match count(value, Some(delimiters.repetition)) {
        1 => repetition(1),
        repetitions => json!({ "repetitions": (1..=repetitions).map(|place| repetition(number(place))).collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_shows_every_part() {
        let message = Message::parse(b"MSH|^~\\&|LIS\rPID|1||7^^^A&B~8|\rOBX||\r").unwrap();
        let tree = tree(&message);
        assert_eq!(tree["segments"][0]["fields"], json!(["|", "^~\\&", "LIS"]));
        assert_eq!(tree["segments"][1]["fields"], json!(["1", "", { "repetitions": [["7", "", "", ["A", "B"]], "8"] }, ""]));
        assert_eq!(tree["segments"][2]["fields"], json!(["", ""]));
        let forms = super::tree(&Message::parse(b"MSH|^~\\&|1~2|1^2|1&2|1\r").unwrap());
        assert_eq!(forms["segments"][0]["fields"].as_array().unwrap()[2..], [json!({ "repetitions": ["1", "2"] }), json!(["1", "2"]), json!([["1", "2"]]), json!("1")]);
    }
}
