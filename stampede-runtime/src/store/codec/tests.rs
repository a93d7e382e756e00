use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::*;

const BOTH: [Codec; 2] = [Codec::MessagePack, Codec::Json];
const PLENTY: usize = 1 << 20;

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    for codec in BOTH {
        let payload = codec.encode(value, PLENTY).unwrap();
        assert_eq!(codec.decode::<T>(&payload).as_ref(), Ok(value), "{codec:?}");
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Reply {
    Text(String),
    Parts(Vec<Reply>),
    Number { number: f64 },
    Host(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Started { at: u64 },
    Ended,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    One(Box<Shape>),
    Two(u8, Option<i8>),
    Named { value: Value },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    replies: Vec<Reply>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    finish: Option<String>,
    #[serde(flatten)]
    usage: Usage,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Usage {
    tokens: u64,
    from: IpAddr,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
}

fn answer() -> Answer {
    Answer {
        replies: vec![
            Reply::Text("hi".to_owned()),
            Reply::Parts(vec![Reply::Number { number: 0.1 }]),
            Reply::Parts(vec![]),
        ],
        finish: None,
        usage: Usage { tokens: u64::MAX, from: [127, 0, 0, 1].into(), signature: vec![0, 255] },
        rest: BTreeMap::from([("extra".to_owned(), json!({"a": [1, -2, 0.5, null, true]}))]),
    }
}

#[test]
fn values_survive() {
    survives(&());
    survives(&(true, 'ß', "text".to_owned(), -5_i8, u64::MAX, i64::MIN, 0.1_f32, f64::MIN_POSITIVE));
    survives(&(u128::MAX, i128::MIN, 1_u128, -1_i128));
    survives(&Some(vec![None, Some(1_u8)]));
    survives(&Ok::<u8, String>(1));
    survives(&HashMap::from([(1_u32, "one".to_owned()), (2, String::new())]));
    survives(&vec![Event::Started { at: 1 }, Event::Ended]);
    survives(&vec![Shape::Nothing, Shape::One(Box::new(Shape::Two(1, None))), Shape::Named { value: Value::Null }]);
    survives(&answer());
    survives(&json!({"nested": {"list": [1.5, "two", null]}}));
    survives(&Arc::<str>::from("shared"));
    survives(&"x".repeat(70_000));
}

#[test]
fn json_floats_come_back_bit_by_bit() {
    survives(&vec![0.1 + 0.2, 1e308, 5e-324, -0.0, 122_416_294_033_786_585.0, 2.638_344_616_030_823_3e-256]);
}

#[test]
fn fields_may_be_added_left_out_and_reordered() {
    #[derive(Serialize)]
    struct Old {
        gone: [u8; 3],
        b: String,
        a: u8,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct New {
        a: u8,
        b: String,
        #[serde(default)]
        added: Option<u8>,
    }
    for codec in BOTH {
        let payload = codec.encode(&Old { gone: [1, 2, 3], b: "b".to_owned(), a: 1 }, PLENTY).unwrap();
        assert_eq!(codec.decode(&payload), Ok(New { a: 1, b: "b".to_owned(), added: None }));
    }
}

#[test]
fn what_would_come_back_as_something_else_is_refused() {
    let lossy = |codec: Codec, refused: Result<Vec<u8>, CodecError>| {
        assert!(matches!(refused, Err(CodecError::Lossy(_))), "{codec:?}: {refused:?}");
    };
    for codec in BOTH {
        lossy(codec, codec.encode(&Some(None::<u8>), PLENTY));
        lossy(codec, codec.encode(&vec![Some(())], PLENTY));
        lossy(codec, codec.encode(&Ok::<_, ()>(Some(Value::Null)), PLENTY));
        assert!(codec.encode(&Ok::<_, ()>(None::<u8>), PLENTY).is_ok());
    }
    lossy(Codec::Json, Codec::Json.encode(&[1.0, f64::NAN], PLENTY));
    lossy(Codec::Json, Codec::Json.encode(&Some(f32::INFINITY), PLENTY));
    let payload = Codec::MessagePack.encode(&(f64::INFINITY, f32::NAN), PLENTY).unwrap();
    let (infinity, nan) = Codec::MessagePack.decode::<(f64, f32)>(&payload).unwrap();
    assert!(infinity == f64::INFINITY && nan.is_nan());
    let map = HashMap::from([((1, 2), 3)]);
    assert_eq!(Codec::Json.encode(&map, PLENTY), Err(CodecError::Unwritable));
    let payload = Codec::MessagePack.encode(&map, PLENTY).unwrap();
    assert_eq!(Codec::MessagePack.decode(&payload), Ok(map));
}

#[test]
fn a_unit_struct_is_something_in_message_pack_and_nothing_in_json() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    survives(&Unit);
    let payload = Codec::MessagePack.encode(&Some(Unit), PLENTY).unwrap();
    assert_eq!(Codec::MessagePack.decode(&payload), Ok(Some(Unit)));
    assert!(matches!(Codec::Json.encode(&Some(Unit), PLENTY), Err(CodecError::Lossy(_))));
}

/// Documented: what stands behind `untagged` and `flatten` has no numbers of 128 bits.
#[test]
fn large_integers_do_not_survive_flatten() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        number: u128,
    }
    for codec in BOTH {
        let kept = codec.encode(&Outer { inner: Inner { number: u128::MAX } }, PLENTY);
        let read = kept.and_then(|payload| codec.decode::<Outer>(&payload));
        assert!(matches!(read, Err(CodecError::Mismatch { .. } | CodecError::Unwritable)), "{codec:?}: {read:?}");
    }
}

#[test]
fn writing_stops_at_the_limit() {
    /// Would go on for ever.
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq(std::iter::repeat("text"))
        }
    }
    for codec in BOTH {
        let size = codec.encode(&answer(), PLENTY).unwrap().len();
        assert!(codec.encode(&answer(), size).is_ok());
        for limit in 0..size {
            assert_eq!(codec.encode(&answer(), limit), Err(CodecError::TooLarge { limit }));
        }
    }
    for codec in BOTH {
        assert_eq!(codec.encode(&Endless, 1000), Err(CodecError::TooLarge { limit: 1000 }));
    }
}

#[test]
fn depth_is_limited_in_both_directions() {
    fn shape(depth: usize) -> Shape {
        (0..depth).fold(Shape::Nothing, |inside, _| Shape::One(Box::new(inside)))
    }
    fn value(depth: usize) -> Value {
        (0..depth).fold(Value::Null, |inside, at| if at % 2 == 0 { json!([inside]) } else { json!({"a": inside}) })
    }
    survives(&shape(DEPTH_MAX));
    survives(&value(DEPTH_MAX));
    survives(&(0..DEPTH_MAX - 1).fold(Reply::Parts(vec![]), |inside, _| Reply::Parts(vec![inside])));
    for codec in BOTH {
        let too_deep = CodecError::TooDeep { limit: DEPTH_MAX };
        assert_eq!(codec.encode(&shape(DEPTH_MAX + 1), PLENTY), Err(too_deep.clone()));
        assert_eq!(codec.encode(&value(DEPTH_MAX + 1), PLENTY), Err(too_deep));
    }
    let variants = [b"\x81\xA3One".repeat(1_000_000), b"\xA7Nothing".to_vec()].concat();
    assert!(matches!(Codec::MessagePack.decode::<Shape>(&variants), Err(CodecError::TooDeep { .. })));
    let variants = [b"{\"One\":".repeat(1_000_000), b"null".to_vec()].concat();
    assert_eq!(Codec::Json.decode::<Shape>(&variants).unwrap_err(), CodecError::Malformed);
}

#[test]
fn another_type_is_a_mismatch_that_says_nothing_of_the_value() {
    for codec in BOTH {
        let payload = codec.encode(&("secret", 4711), PLENTY).unwrap();
        let error = codec.decode::<Answer>(&payload).unwrap_err();
        assert!(matches!(error, CodecError::Mismatch { .. }), "{error:?}");
        let error = codec.decode::<(u32, u32)>(&payload).unwrap_err();
        assert_eq!(error.to_string(), "the bytes are not those of a `(u32, u32)`");
    }
    // A map of two is not a variant, though its beginning is.
    let two = Codec::MessagePack.encode(&BTreeMap::from([("One", "Nothing"), ("Two", "")]), PLENTY).unwrap();
    assert!(matches!(Codec::MessagePack.decode::<Shape>(&two), Err(CodecError::Mismatch { .. })));
}

#[test]
fn a_panic_is_an_error() {
    #[derive(Debug)]
    struct Bad;
    impl Serialize for Bad {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("serialize")
        }
    }
    impl<'de> Deserialize<'de> for Bad {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Bad, D::Error> {
            panic!("deserialize")
        }
    }
    for codec in BOTH {
        assert_eq!(codec.encode(&Bad, PLENTY), Err(CodecError::Panicked));
        let payload = codec.encode(&1, PLENTY).unwrap();
        assert_eq!(codec.decode::<Bad>(&payload).unwrap_err(), CodecError::Panicked);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inside| {
        prop_oneof![
            proptest::collection::vec(inside.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map(".{0,8}", inside, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_survives(value in any_value()) {
        survives(&value);
    }
}
