//! Bytes made to hurt whoever reads them: no panic, no deep stack, and no more memory than there are bytes to fill it.
//!
//! `tests/hostile` holds such bytes as files, each a whole entry or a bare payload. A file that a fuzzer finds belongs
//! there.
#![allow(unsafe_code, reason = "the allocator that counts is a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stampede_runtime::store::{
    self, Codec, CodecError, DEPTH_MAX, Envelope, Refused, Storable, Tags, Times, UnixMillis,
};

/// Counts what this thread holds, and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory but a `Cell`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` held at once.
fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.get().0;
    HELD.set((before, before));
    work();
    (HELD.get().1 - before).try_into().unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    name: String,
    #[serde(default)]
    weight: Option<f32>,
    children: Vec<Tree>,
    #[serde(default)]
    kind: Kind,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Leaf,
    Grafted(Box<Kind>),
    Marked {
        #[serde(with = "serde_bytes")]
        mark: Vec<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Reply {
    Text(String),
    Number(i128),
    Parts(Vec<Reply>),
    Named(BTreeMap<String, Reply>),
}

fn tree() -> Tree {
    let leaf = |name: &str, kind| Tree {
        name: name.to_owned(),
        weight: Some(0.5),
        children: vec![],
        kind,
        rest: HashMap::from([("extra".to_owned(), serde_json::json!([1, null, {"a": "b"}]))]),
    };
    let children = vec![leaf("a", Kind::Grafted(Box::new(Kind::Leaf))), leaf("b", Kind::Marked { mark: vec![0, 255] })];
    Tree { children, ..leaf("root", Kind::Leaf) }
}

const LIMIT: usize = 1 << 20;

/// A flat allowance for what does not grow with the input: error texts, first buckets of a map, a first buffer.
const ALLOWANCE: usize = 8 << 10;

/// Reads a payload as one type: it may be refused, and nothing else. `per_byte`: how much memory of this type a byte of
/// input can stand for.
fn read_as<T: Storable>(payload: &[u8], per_byte: usize) {
    for codec in [Codec::MessagePack, Codec::Json] {
        let held = most_held(|| match codec.decode::<T>(payload) {
            Ok(_) | Err(CodecError::TooDeep { .. } | CodecError::Malformed | CodecError::Mismatch { .. }) => {}
            Err(error) => panic!("{codec:?}: {error}: {}", payload.escape_ascii()),
        });
        let limit = ALLOWANCE + payload.len() * per_byte;
        let name = std::any::type_name::<T>();
        let shown = payload[..payload.len().min(100)].escape_ascii();
        assert!(held <= limit, "{codec:?} held {held} for {} bytes as `{name}`: {shown}", payload.len());
    }
}

/// Reads a payload as every type there is here.
fn read(payload: &[u8]) {
    read_as::<()>(payload, 2);
    read_as::<String>(payload, 4);
    read_as::<Vec<u64>>(payload, 3 * size_of::<u64>());
    read_as::<Vec<String>>(payload, 3 * size_of::<String>());
    read_as::<Vec<[u64; 32]>>(payload, 3 * size_of::<[u64; 32]>());
    read_as::<HashMap<u64, u64>>(payload, 6 * size_of::<(u64, u64)>());
    // An entry of three bytes takes a node of the map, which has room for eleven.
    read_as::<Value>(payload, 400);
    // Untagged inside itself: serde keeps a copy of the rest at each level.
    read_as::<Reply>(payload, 64 * DEPTH_MAX);
    read_as::<Kind>(payload, 3 * size_of::<Kind>());
    read_as::<Tree>(payload, 400);
}

/// Reads bytes as an entry.
fn read_entry(entry: &[u8]) -> Result<(), Refused> {
    let mut outcome = Ok(());
    let held = most_held(|| outcome = Envelope::decode(entry, LIMIT).map(drop));
    assert_eq!(held, 0, "an envelope was taken apart with memory");
    for now in [UnixMillis::new(0), UnixMillis::NEVER] {
        if let Err(Refused::Undecodable(CodecError::Panicked)) = store::decode::<Tree>(entry, LIMIT, now) {
            panic!("{}", entry.escape_ascii());
        }
    }
    outcome
}

fn times() -> Times {
    Times::new(UnixMillis::new(1), Duration::from_secs(1), Duration::MAX, Duration::ZERO)
}

fn payloads() -> [Vec<u8>; 2] {
    [Codec::MessagePack, Codec::Json].map(|codec| codec.encode(&tree(), LIMIT).unwrap())
}

#[test]
fn every_file_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files = 0;
    for file in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let _ = read_entry(&bytes);
        read(&bytes);
        for codec in [Codec::MessagePack, Codec::Json] {
            let entry = Envelope { times: times(), codec, payload: &bytes, tags: Tags::NONE }.encode().unwrap();
            assert_eq!(read_entry(&entry), Ok(()), "the envelope is sound, whatever is in it");
        }
        files += 1;
    }
    assert!(files >= 20, "the corpus has {files} files");
}

#[test]
fn every_cut_and_every_flipped_bit_of_an_entry() {
    for codec in [Codec::MessagePack, Codec::Json] {
        let entry = store::encode(&tree(), times(), codec, LIMIT).unwrap();
        assert_eq!(read_entry(&entry), Ok(()));
        for length in 0..entry.len() {
            assert!(read_entry(&entry[..length]).is_err(), "cut to {length}");
        }
        for bit in 0..entry.len() * 8 {
            let mut damaged = entry.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_entry(&damaged).is_err(), "bit {bit}");
        }
    }
}

/// Behind the checksum, as if written so.
#[test]
fn every_cut_and_every_changed_byte_of_a_payload() {
    for payload in payloads() {
        for at in 0..payload.len() {
            read(&payload[..at]);
            for byte in [0x00, 0x81, 0x91, 0xC1, 0xC6, 0xDB, 0xDD, 0xDF, 0xFF, payload[at] ^ 1, payload[at] ^ 0x10] {
                let mut changed = payload.clone();
                changed[at] = byte;
                read(&changed);
            }
        }
    }
}

#[test]
fn headers_that_claim_more_than_there_is() {
    let kinds: [u8; 13] = [0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF];
    for kind in kinds {
        for claim in [[0xFF; 4], [0x7F, 0xFF, 0xFF, 0xFF], [0, 0, 0xFF, 0xFF], [0, 1, 0, 0]] {
            let header = [&[kind][..], &claim].concat();
            for before in [&b""[..], b"\x91", b"\x81\xA8children", b"\x81\xA1a", b"\x92\xC0"] {
                for after in [&b""[..], b"\xC0", &[0xC0; 100], &[0x00; 1000]] {
                    read(&[before, &header, after].concat());
                }
            }
            // A list in a list in a list, each of which claims the rest of the world.
            read(&header.repeat(90));
            read(&[&b"\x81\xA8children"[..], &header].concat().repeat(50));
        }
    }
}

/// On a stack much smaller than that of any thread of tokio's.
#[test]
fn depth_without_end() {
    let deep = || {
        let levels: [(&[u8], &[u8]); 8] = [
            (b"\x91", b"\xC0"),
            (b"\x81\xA1a", b"\xC0"),
            (b"\x81\xA7Grafted", b"\xA4Leaf"),
            (b"\x82\xA4name\xA0\xA8children\x91", b"\xC0"),
            (b"\xDD\x00\x00\x00\x01", b"\xC0"),
            (b"[", b"]"),
            (b"{\"a\":", b"1}"),
            (b"{\"Grafted\":", b"\"Leaf\"}"),
        ];
        for (level, end) in levels {
            for depth in [1, 50, 99, 100, 101, 126, 127, 128, 1000, 100_000] {
                read(&[&level.repeat(depth), end].concat());
                read(&[level.repeat(depth), end.repeat(depth)].concat());
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(deep).unwrap().join().unwrap();
}

#[test]
fn noise() {
    let mut random = fastrand::Rng::with_seed(4711);
    let payloads = payloads();
    for _ in 0..20_000 {
        let mut bytes = match random.u8(0..4) {
            0 => (0..random.usize(0..200)).map(|_| random.u8(..)).collect(),
            // Mostly the beginnings of lists, maps and texts.
            1 => (0..random.usize(0..200))
                .map(|_| random.choice([0x81, 0x92, 0xA1, 0xDC, 0, 1, b'a']).unwrap())
                .collect(),
            codec => payloads[usize::from(codec - 2)].clone(),
        };
        for _ in 0..random.usize(0..4) {
            if !bytes.is_empty() {
                let at = random.usize(..bytes.len());
                match random.u8(0..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => drop(bytes.drain(at..)),
                    _ => bytes.extend_from_within(at..),
                }
            }
        }
        read(&bytes);
        let _ = read_entry(&bytes);
        let entry =
            Envelope { times: times(), codec: Codec::MessagePack, payload: &bytes, tags: Tags::NONE }.encode().unwrap();
        assert_eq!(read_entry(&entry), Ok(()));
    }
}
