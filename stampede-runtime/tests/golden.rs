//! The bytes that stand in stores: files which every later version must read, and which this one writes to the byte.
//!
//! A failure here means that a fleet in the middle of an upgrade would find its cache cold, or worse. Do not mend the
//! file: make a new format. `STAMPEDE_GOLDEN=write` writes files that are not there yet, and no others.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stampede_runtime::store::{self, Codec, Envelope, Refused, Storable, Times, UnixMillis};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Quote {
    symbol: String,
    price: f64,
    volume: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    kind: Kind,
    tags: BTreeMap<String, i64>,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Spot,
    Future { due: u32 },
    Basket(Vec<Kind>),
}

fn quote() -> Quote {
    Quote {
        symbol: "ØRE".to_owned(),
        price: 21.625,
        volume: 1 << 40,
        note: None,
        kind: Kind::Basket(vec![Kind::Spot, Kind::Future { due: 2031 }]),
        tags: BTreeMap::from([("a".to_owned(), -1), ("b".to_owned(), 300)]),
        signature: vec![0, 127, 128, 255],
    }
}

/// 2026-01-02T03:04:05.678Z; fresh for a minute, then stale for an hour; made in 1.234567 s.
fn times() -> Times {
    let [ttl, stale] = [60, 3600].map(Duration::from_secs);
    Times::new(UnixMillis::new(1_767_323_045_678), ttl, stale, Duration::from_micros(1_234_567))
}

fn frozen<T: Storable + PartialEq + Debug>(name: &str, value: &T, times: Times, codec: Codec) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let written = store::encode(value, times, codec, 1000).unwrap();
    if !path.exists() && std::env::var_os("STAMPEDE_GOLDEN").is_some_and(|it| it == "write") {
        fs::write(&path, &written).unwrap();
    }
    let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written.escape_ascii().to_string(), golden.escape_ascii().to_string(), "{name} is written differently");
    let (read, read_times) = store::decode::<T>(&golden, 1000, times.made()).unwrap();
    assert_eq!((&read, read_times), (value, times), "{name} is read differently");
    assert_eq!(Envelope::decode(&golden, 1000).unwrap().encode().unwrap(), golden);
}

#[test]
fn entries_are_frozen() {
    let never = Times::new(UnixMillis::new(0), Duration::MAX, Duration::ZERO, Duration::MAX);
    frozen("quote.v1.msgpack.bin", &quote(), times(), Codec::MessagePack);
    frozen("quote.v1.json.bin", &quote(), times(), Codec::Json);
    frozen("unit.v1.msgpack.bin", &(), never, Codec::MessagePack);
    frozen("numbers.v1.msgpack.bin", &(u64::MAX, i64::MIN, u128::MAX, 0.1_f32, 'ß', true), times(), Codec::MessagePack);
    frozen("numbers.v1.json.bin", &(u64::MAX, i64::MIN, u128::MAX, 0.1_f32, 'ß', true), times(), Codec::Json);
    frozen("result.v1.msgpack.bin", &Err::<Option<u8>, _>("no".to_owned()), times(), Codec::MessagePack);
}

/// A format of the future: a reader of today must see that it is one, whatever follows.
#[test]
fn a_newer_format_is_known_by_its_fifth_byte() {
    let golden = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/newer.v2.bin")).unwrap();
    let refused = store::decode::<Quote>(&golden, 1000, UnixMillis::new(0)).unwrap_err();
    assert_eq!(refused, Refused::NewerFormat(2));
}
