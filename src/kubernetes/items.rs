//! The items of a list, decoded one by one while the response arrives.
//!
//! A page of a hundred objects may have 150 MB: tenants choose how large an object is. Of a response, at
//! most one item is in memory, and what is kept of the others.

use std::marker::PhantomData;

use bytes::Buf as _;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;

/// The longest list without its items. A longer one is no list.
const MAX_ENVELOPE: usize = 64 * 1024;

/// The items of one response.
pub struct Items<Received, K> {
    body: Received,
    /// What was received and not divided yet.
    received: Bytes,
    splitter: Splitter,
    of: PhantomData<fn() -> K>,
}

/// A list without its items.
#[derive(Deserialize)]
struct Envelope {
    metadata: ListMeta,
    #[serde(rename = "items")]
    _items: IgnoredAny,
}

/// Divides a list into its items and the rest. It does not check whether they are
/// valid.
#[derive(Default)]
struct Splitter {
    envelope: Vec<u8>,
    /// The beginning of an item.
    item: Vec<u8>,
    is_in_items: bool,
    /// How many objects and lists are open.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

// === impl Items ===

impl<Received, K> Items<Received, K>
where
    Received: Body<Data = Bytes> + Unpin,
    kube::Error: From<Received::Error>,
    K: DeserializeOwned,
{
    pub fn new(body: Received) -> Self {
        let (received, splitter) = (Bytes::new(), Splitter::default());
        Self { body, received, splitter, of: PhantomData }
    }

    /// The next item; `None` after the last one.
    pub async fn next(&mut self) -> kube::Result<Option<K>> {
        loop {
            if let Some(item) = self.splitter.next(&mut self.received) {
                return item.map(Some).map_err(kube::Error::SerdeError);
            }
            if self.splitter.envelope.len() > MAX_ENVELOPE {
                self.splitter.metadata()?;
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            self.received = frame?.into_data().unwrap_or_default();
        }
    }

    /// The metadata of the list, after its last item.
    ///
    /// # Errors
    /// The response is no complete list.
    pub fn end(self) -> kube::Result<ListMeta> {
        self.splitter.metadata()
    }
}

// === impl Splitter ===

impl Splitter {
    /// Takes the next item from `received`; `None` if it is not complete.
    fn next<K: DeserializeOwned>(&mut self, received: &mut Bytes) -> Option<serde_json::Result<K>> {
        loop {
            let Some(length) = received.iter().position(|byte| self.is_border(*byte)) else {
                let part = std::mem::take(received);
                let part_of = if self.is_in_items { &mut self.item } else { &mut self.envelope };
                part_of.extend_from_slice(&part);
                return None;
            };
            let part = received.split_to(length);
            let border = received.get_u8();
            if !self.is_in_items {
                self.envelope.extend_from_slice(&part);
                self.is_in_items = ends_with_key(&self.envelope, b"items");
                let open: &[u8] = if self.is_in_items { b"[]" } else { b"[" };
                self.envelope.extend_from_slice(open);
                continue;
            }
            self.is_in_items = border == b',';
            let beginning = std::mem::take(&mut self.item);
            let item =
                if beginning.is_empty() { part } else { [beginning, part.into()].concat().into() };
            if !item.trim_ascii().is_empty() {
                return Some(serde_json::from_slice(&item));
            }
        }
    }

    /// Whether `byte` begins a list that may be the items, separates two items, or ends them.
    fn is_border(&mut self, byte: u8) -> bool {
        if self.is_in_string {
            self.is_in_string = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.is_in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                return byte == b'[' && self.depth == 2 && !self.is_in_items;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 1 && self.is_in_items;
            }
            b',' => return self.depth == 2 && self.is_in_items,
            _ => {}
        }
        false
    }

    fn metadata(&self) -> kube::Result<ListMeta> {
        let envelope: serde_json::Result<Envelope> = serde_json::from_slice(&self.envelope);
        Ok(envelope.map_err(kube::Error::SerdeError)?.metadata)
    }
}

/// Whether `json` ends with `"key":`.
fn ends_with_key(json: &[u8], key: &[u8]) -> bool {
    let before_colon = json.trim_ascii_end().strip_suffix(b":");
    let quoted = before_colon.and_then(|rest| rest.trim_ascii_end().strip_suffix(b"\""));
    quoted.and_then(|rest| rest.strip_suffix(key)).is_some_and(|rest| rest.ends_with(b"\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    /// The items of a response that arrives in pieces of `size` bytes, and how the list ends.
    async fn items(text: &str, size: usize) -> (Vec<Value>, kube::Result<ListMeta>) {
        let pieces = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
        let pieces = pieces.map(|piece| Ok::<_, kube::Error>(Frame::data(piece)));
        let mut items = Items::new(StreamBody::new(stream::iter(pieces)));
        let mut all = Vec::new();
        loop {
            match items.next().await {
                Ok(Some(item)) => all.push(item),
                Ok(None) => return (all, items.end()),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn items_are_found_in_any_order_of_fields() {
        let text = r#" {"kind":"L","other":[["items"],{"items":[1]}],"items" : [ {"a":[1,2]} ,
            {"b":"],[{\"\\"} ], "metadata":{"resourceVersion":"5","continue":"x"}} "#;
        for size in 1..text.len() {
            let (items, end) = items(text, size).await;
            assert_eq!(items, [json!({"a": [1, 2]}), json!({"b": "],[{\"\\"})]);
            let end = end.unwrap();
            assert_eq!(
                (end.resource_version.as_deref(), end.continue_.as_deref()),
                (Some("5"), Some("x"))
            );
        }
    }

    #[tokio::test]
    async fn a_list_without_items_is_complete() {
        for items_field in ["[]", "[ \n ]", "null"] {
            let text = format!(r#"{{"metadata":{{"resourceVersion":"5"}},"items":{items_field}}}"#);
            let (items, end) = items(&text, 7).await;
            assert!(items.is_empty() && end.is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_complete_list_is_an_error() {
        let list = r#"{"items":[{"a":1},{"b":2}],"metadata":{"resourceVersion":"5"}}"#;
        for length in 0..list.len() {
            assert!(items(&list[..length], 5).await.1.is_err(), "{length}");
        }
        for text in
            ["{}", "[]", r#"{"items":[]}"#, "<html></html>", r#"{"metadata":{},"items":[{]}"#]
        {
            assert!(items(text, 5).await.1.is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_long_response_that_is_no_list_ends_early() {
        let pieces = stream::repeat_with(|| {
            Ok::<_, kube::Error>(Frame::data(Bytes::from_static(&[b' '; 4096])))
        });
        let mut items = Items::<_, Value>::new(StreamBody::new(pieces));
        assert!(items.next().await.is_err());
    }

    proptest! {
        #[test]
        fn items_equal_those_of_the_whole_list(
            texts in proptest::collection::vec(".{0,9}", 0..5),
            size in 1..40_usize,
        ) {
            let object = |text: &String| json!({text: [text, {"x": text}], "n": BTreeMap::from([(text, 1)])});
            let list: Vec<_> = texts.iter().map(object).collect();
            let text = json!({"items": list, "metadata": {"resourceVersion": "5"}}).to_string();
            let (items, end) = futures::executor::block_on(items(&text, size));
            prop_assert_eq!(items, list);
            prop_assert!(end.is_ok());
        }
    }
}
