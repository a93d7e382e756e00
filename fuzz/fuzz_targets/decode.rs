//! Bytes from a store, as an entry and as a bare payload: refused or read, and what was read can be written again.
//!
//! `cargo +nightly fuzz run decode fuzz/corpus/decode stampede-runtime/tests/hostile -- -rss_limit_mb=512`
//!
//! A file that it finds goes to `stampede-runtime/tests/hostile`, where the ordinary tests read it.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stampede_runtime::store::{self, Codec, CodecError, Envelope, Refused, Storable, Times, UnixMillis, Tags};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    name: String,
    weight: Option<f32>,
    children: Vec<Tree>,
    kind: Kind,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Leaf,
    Grafted(Box<Kind>),
    Pair(i64, Option<char>),
    Marked { mark: Vec<u8> },
}

const LIMIT: usize = 1 << 20;

fn read<T: Storable + PartialEq>(payload: &[u8]) {
    for codec in [Codec::MessagePack, Codec::Json] {
        let value: T = match codec.decode(payload) {
            Ok(value) => value,
            Err(CodecError::Panicked) => panic!("{codec:?} panicked"),
            Err(_) => continue,
        };
        for codec in [Codec::MessagePack, Codec::Json] {
            match codec.encode(&value, 16 * LIMIT) {
                // NaN is not itself, and the reader of JSON goes some levels deeper than its writer.
                Ok(written) => {
                    if let Ok(again) = codec.decode::<T>(&written) {
                        let rewritten = codec.encode(&again, 16 * LIMIT).expect("it was written before");
                        assert!(again == value || rewritten == written, "{codec:?} made another value");
                    } else {
                        panic!("{codec:?} cannot read what it wrote");
                    }
                }
                Err(CodecError::Lossy(_) | CodecError::TooDeep { .. } | CodecError::Unwritable) => {}
                Err(error) => panic!("{codec:?}: {error}"),
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    match store::decode::<Tree>(bytes, LIMIT, UnixMillis::new(0)) {
        Ok(_) => {
            let envelope = Envelope::decode(bytes, LIMIT).expect("it was read before");
            assert_eq!(envelope.encode().as_deref(), Ok(bytes), "two entries of one meaning");
        }
        Err(Refused::Undecodable(CodecError::Panicked)) => panic!("panicked behind an envelope"),
        Err(_) => {}
    }
    let times = Times::new(UnixMillis::new(1), Duration::from_secs(1), Duration::ZERO, Duration::ZERO);
    let entry = Envelope { times, codec: Codec::MessagePack, payload: bytes, tags: Tags::NONE }.encode().expect("it is small");
    assert_eq!(Envelope::decode(&entry, bytes.len()).map(|envelope| envelope.payload), Ok(bytes));
    read::<Value>(bytes);
    read::<Tree>(bytes);
    read::<Vec<Option<u64>>>(bytes);
    read::<BTreeMap<i64, (String, f64)>>(bytes);
});
