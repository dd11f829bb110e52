//! The slow road: any JSON, through `simd-json`'s tape, with buffers that are kept.
//!
//! Scanners hand over what is not exactly the shape they were made for. This reads it whatever the order of its keys, its
//! spaces and its escapes, and says what is malformed. After the first few messages it allocates nothing either.

use simd_json::{Buffers, Node, StaticNode, Tape};

/// Parses documents one at a time and keeps the memory.
pub(crate) struct JsonReader {
    text: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl JsonReader {
    pub(crate) fn new() -> Self {
        Self {
            text: Vec::with_capacity(16 << 10),
            buffers: Buffers::new(16 << 10),
            tape: Tape(Vec::with_capacity(1024)),
        }
    }

    /// Gives the document in `frame` to `read`; `None` where `frame` is not JSON.
    pub(crate) fn read<R>(&mut self, frame: &[u8], read: impl FnOnce(Json<'_, '_>) -> R) -> Option<R> {
        self.text.clear();
        self.text.extend_from_slice(frame);
        self.read_text(read)
    }

    /// The same with every number as a string of its own digits: a float would not give them back. Numbers and strings
    /// look alike to `read`.
    pub(crate) fn read_with_numbers_as_text<R>(
        &mut self,
        frame: &[u8],
        read: impl FnOnce(Json<'_, '_>) -> R,
    ) -> Option<R> {
        // Quoting could turn what is no JSON into JSON (a number as a key), so the frame must be JSON as it came.
        self.read(frame, |_| ())?;
        self.text.clear();
        quote_numbers(frame, &mut self.text);
        self.read_text(read)
    }

    fn read_text<R>(&mut self, read: impl FnOnce(Json<'_, '_>) -> R) -> Option<R> {
        // The tape borrows the text for one document: it leaves with one lifetime and comes back empty with another.
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape);
        let result = match parsed {
            Ok(()) if !tape.0.is_empty() => Some(read(Json(&tape.0))),
            _ => None,
        };
        self.tape = tape.reset();
        result
    }
}

/// One value of a document.
#[derive(Clone, Copy)]
pub(crate) struct Json<'tape, 'text>(&'tape [Node<'text>]);

impl<'tape, 'text> Json<'tape, 'text> {
    pub(crate) fn str(self) -> Option<&'text str> {
        match self.0.first() {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn u64(self) -> Option<u64> {
        match self.0.first() {
            Some(Node::Static(StaticNode::U64(value))) => Some(*value),
            Some(Node::Static(StaticNode::I64(value))) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(crate) fn i64(self) -> Option<i64> {
        match self.0.first() {
            Some(Node::Static(StaticNode::I64(value))) => Some(*value),
            Some(Node::Static(StaticNode::U64(value))) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(crate) fn bool(self) -> Option<bool> {
        match self.0.first() {
            Some(Node::Static(StaticNode::Bool(value))) => Some(*value),
            _ => None,
        }
    }

    /// The items of an array.
    pub(crate) fn items(self) -> Option<impl Iterator<Item = Json<'tape, 'text>>> {
        match self.0.split_first() {
            Some((&Node::Array { len, .. }, rest)) => Some(Values(rest).take(len)),
            _ => None,
        }
    }

    /// The only item of an array that has one.
    pub(crate) fn only_item(self) -> Option<Json<'tape, 'text>> {
        let mut items = self.items()?;
        let first = items.next()?;
        items.next().is_none().then_some(first)
    }

    /// The two items of an array that has two.
    pub(crate) fn pair(self) -> Option<(Json<'tape, 'text>, Json<'tape, 'text>)> {
        let mut items = self.items()?;
        let pair = (items.next()?, items.next()?);
        items.next().is_none().then_some(pair)
    }

    /// The fields of an object, in its order.
    pub(crate) fn fields(self) -> Option<impl Iterator<Item = (&'text str, Json<'tape, 'text>)>> {
        let (&Node::Object { len, .. }, rest) = self.0.split_first()? else {
            return None;
        };
        let mut values = Values(rest);
        Some((0..len).map_while(move |_| Some((values.next()?.str()?, values.next()?))))
    }

    /// The values of `keys` in an object: one that is absent is `None`, one that occurs twice makes it all `None`.
    pub(crate) fn get<const N: usize>(self, keys: [&str; N]) -> Option<[Option<Json<'tape, 'text>>; N]> {
        let mut found = [None; N];
        for (key, value) in self.fields()? {
            if let Some(at) = keys.iter().position(|wanted| *wanted == key)
                && found[at].replace(value).is_some()
            {
                return None;
            }
        }
        Some(found)
    }

    /// How many nodes the value takes on the tape.
    fn span(self) -> usize {
        match self.0.first() {
            Some(Node::Object { count, .. } | Node::Array { count, .. }) => 1 + count,
            _ => 1,
        }
    }
}

struct Values<'tape, 'text>(&'tape [Node<'text>]);

impl<'tape, 'text> Iterator for Values<'tape, 'text> {
    type Item = Json<'tape, 'text>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (value, rest) = self.0.split_at_checked(Json(self.0).span())?;
        self.0 = rest;
        Some(Json(value))
    }
}

/// Copies JSON and puts quotes around every number.
fn quote_numbers(json: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let len = match byte {
            b'"' => string_len(&json[at..]),
            b'-' | b'0'..=b'9' => {
                let rest = &json[at..];
                let len = rest
                    .iter()
                    .take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .count();
                out.push(b'"');
                out.extend_from_slice(&rest[..len]);
                out.push(b'"');
                at += len;
                continue;
            }
            _ => 1,
        };
        out.extend_from_slice(&json[at..at + len]);
        at += len;
    }
}

/// The bytes of the string that `json` starts with, with both quotes.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nested_values_in_any_order_and_keeps_its_memory() {
        let mut reader = JsonReader::new();
        for _ in 0..3 {
            let found = reader.read(br#" {"b": [[1, "x"], {"deep": [true]}], "a": 7} "#, |json| {
                let [a, b] = json.get(["a", "b"]).unwrap();
                let items: Vec<_> = b.unwrap().items().unwrap().collect();
                let (one, x) = items[0].pair().unwrap();
                let [deep] = items[1].get(["deep"]).unwrap();
                assert_eq!(deep.unwrap().only_item().unwrap().bool(), Some(true));
                (a.unwrap().u64(), one.u64(), x.str().map(str::to_owned))
            });
            assert_eq!(found, Some((Some(7), Some(1), Some("x".to_owned()))));
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_not_read() {
        let mut reader = JsonReader::new();
        assert_eq!(
            reader.read(br#"{"a":1,"a":2}"#, |json| json.get(["a"]).is_some()),
            Some(false)
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        let mut reader = JsonReader::new();
        let read = |reader: &mut JsonReader, text: &[u8]| {
            reader.read_with_numbers_as_text(text, |json| {
                let [price] = json.get(["price"]).unwrap();
                price.unwrap().str().map(str::to_owned)
            })
        };
        assert_eq!(
            read(&mut reader, br#"{"x":"a\"1","price": 63381.0 }"#),
            Some(Some("63381.0".to_owned()))
        );
        assert_eq!(
            read(&mut reader, br#"{"price":0.00000000,"e":-1.5E+3}"#),
            Some(Some("0.00000000".to_owned()))
        );
        for broken in [
            &br#"{"price":1,2:3}"#[..],
            br#"{"price":1 2}"#,
            br#"{"price":1"#,
            b"",
            b"1 2",
            br#"{"price":01}"#,
        ] {
            assert_eq!(read(&mut reader, broken), None, "{}", String::from_utf8_lossy(broken));
        }
    }
}
