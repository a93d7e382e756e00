//! `docs/protocol-vectors.json`, which the page of the protocol gives to those who write it anew: what it says is so, of this
//! crate, of the state machine and of the scripts on a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use stampede_runtime::store::protocol::{At, Command, Ended, Entry, Fault, Kept, Message, Reply, Token, Wanted};
use stampede_runtime::store::{Codec, Envelope, Id, Place, StoreKey, Tags, Times, UnixMillis};

use super::redis_server::RedisServer;
use super::wire::{Said, Subscriber, Wire};

fn all() -> Value {
    serde_json::from_str(include_str!("../../../docs/protocol-vectors.json")).expect("the page's vectors are JSON")
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().unwrap_or_else(|| panic!("a list of {name} in {of}"))
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("a text {name} in {of}"))
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("a number {name} in {of}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("hex")).collect();
    digits.chunks(2).map(|byte| u8::try_from(byte[0] * 16 + byte[1]).expect("two digits")).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a `String` cannot fail");
    }
    hex
}

#[test]
fn keys_are_as_the_page_says() {
    for vector in list(&all(), "keys") {
        let version = u32::try_from(number(vector, "version")).expect("it is small");
        let place = Place::new(text(vector, "namespace"), text(vector, "function"), version);
        let id = match vector["text"].as_str() {
            Some(text) => Id::Text(text),
            None => Id::Digest(bytes(text(vector, "digest")).try_into().expect("32 bytes")),
        };
        assert_eq!(StoreKey::new(&place, id).as_str(), text(vector, "key"));
    }
    for vector in list(&all(), "tags") {
        assert_eq!(StoreKey::of_tag(text(vector, "tag")).as_str(), text(vector, "key"));
    }
}

#[test]
fn envelopes_are_as_the_page_says() {
    for vector in list(&all(), "envelopes") {
        let at = |name| number(vector, name);
        let span = |from: u64, until: u64| match until {
            u64::MAX => Duration::MAX,
            until => Duration::from_millis(until - from),
        };
        let (made, fresh, of_use) = (at("made"), at("fresh_until"), at("use_until"));
        let cost = Duration::from_micros(at("cost_micros"));
        let times = Times::new(UnixMillis::new(made), span(made, fresh), span(fresh, of_use), cost);
        let codec = if text(vector, "codec") == "json" { Codec::Json } else { Codec::MessagePack };
        let payload = bytes(text(vector, "payload"));
        let entry = bytes(text(vector, "entry"));
        let read = Envelope::decode(&entry, 1_000).expect("it is an entry");
        assert_eq!((read.times, read.codec, read.payload), (times, codec, &*payload));
        let tags: Vec<_> = list(vector, "tags").iter().map(|tag| (tag[0].as_str(), tag[1].as_u64())).collect();
        assert!(read.tags.iter().map(|(tag, token)| (Some(tag), Some(token))).eq(tags));
        assert_eq!(hex(&read.encode().expect("it is short")), text(vector, "entry"));
        let untagged = Envelope { times, codec, payload: &payload, tags: Tags::NONE };
        let is_same = untagged.encode().expect("it is short") == entry;
        assert_eq!(is_same, list(vector, "tags").is_empty());
    }
}

/// What a step leaves: parts by name.
type Left = BTreeMap<String, Value>;

/// Who does the steps.
trait Doer {
    /// Calls a script. What it answers, as the server's protocol writes it.
    fn call(&mut self, script: &str, arguments: &[String]) -> Said;
    /// What was published, sorted.
    fn heard(&mut self) -> Vec<(String, String)>;
    fn lapse(&mut self, part: &str);
    fn plant(&mut self, part: &str);
    fn left(&mut self) -> Left;
}

#[test]
fn the_state_machine_answers_as_the_page_says() {
    for vector in list(&all(), "commands") {
        play(vector, &mut Machine::new(vector));
    }
}

#[test]
fn a_server_answers_as_the_page_says() {
    let Some(server) = RedisServer::start("a_server_answers_as_the_page_says") else { return };
    for vector in list(&all(), "commands") {
        let mut wire = Wire::new(&server);
        wire.ask(&["FLUSHALL"]);
        let heard = Subscriber::new(&server);
        play(vector, &mut Real { wire, heard, key: key_of(vector) });
    }
}

const KEY: &str = "stampede:{shop::quote:v1:user:42}";

fn key_of(vector: &Value) -> String {
    vector["tag"].as_str().map_or_else(|| KEY.to_owned(), |tag| StoreKey::of_tag(tag).as_str().to_owned())
}

fn play(vector: &Value, doer: &mut dyn Doer) {
    // What `$1` and the like stand for, once they have been seen.
    let mut known = BTreeMap::<String, u64>::new();
    for (at, step) in list(vector, "steps").iter().enumerate() {
        let here = format!("{}, step {}", text(vector, "name"), at + 1);
        if let Some(part) = step["lapse"].as_str() {
            doer.lapse(part);
            continue;
        }
        if let Some(part) = step["plant"].as_str() {
            doer.plant(part);
            continue;
        }
        let arguments: Vec<_> = list(step, "args").iter().map(|argument| meant(argument, &known)).collect();
        let said = doer.call(text(step, "script"), &arguments);
        compare(&here, &step["reply"], &said, &mut known);
        let heard = doer.heard();
        if let Some(messages) = step["messages"].as_array() {
            let mut expected: Vec<_> = messages
                .iter()
                .map(|message| [0, 1].map(|at| message[at].as_str().expect("a channel and a text").to_owned()))
                .map(|[channel, text]| (channel, text))
                .collect();
            expected.sort();
            assert_eq!(heard, expected, "{here}");
        }
        if let Some(after) = step["after"].as_object() {
            let shown = |value: &Value| match value {
                Value::Object(fields) => {
                    let one = |(field, value): (&String, &Value)| (field.clone(), meant(value, &known).into());
                    Value::Object(fields.iter().map(one).collect())
                }
                other => other.clone(),
            };
            let expected: Left = after.iter().map(|(part, value)| (part.clone(), shown(value))).collect();
            assert_eq!(doer.left(), expected, "{here}");
        }
    }
    // Each is larger than those that were seen before it.
    let numbers: Vec<_> = known.values().collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{}: {known:?}", text(vector, "name"));
}

/// A text, or the number that it stands for.
fn meant(text: &Value, known: &BTreeMap<String, u64>) -> String {
    let text = text.as_str().expect("arguments and fields are texts");
    known.get(text).map_or_else(|| text.to_owned(), u64::to_string)
}

fn compare(here: &str, expected: &Value, said: &Said, known: &mut BTreeMap<String, u64>) {
    match expected {
        Value::Array(parts) => {
            let Said::Many(all) = said else { panic!("{here}: {said:?} instead of {expected}") };
            assert_eq!(parts.len(), all.len(), "{here}: {said:?} instead of {expected}");
            for (part, said) in parts.iter().zip(all) {
                compare(here, part, said, known);
            }
        }
        Value::Number(number) => assert_eq!(said, &Said::Number(number.as_i64().expect("it is small")), "{here}"),
        Value::String(word) if word.starts_with('~') => {
            let most: i64 = word[1..].parse().expect("a span");
            let Said::Number(left) = said else { panic!("{here}: {said:?} instead of {word}") };
            assert!((most - 600_000..=most).contains(left), "{here}: {left} instead of {word}");
        }
        Value::String(word) if word.starts_with('$') => {
            let number: u64 = said.text().parse().expect("a number");
            let is_same = *known.entry(word.clone()).or_insert(number) == number;
            assert!(is_same, "{here}: {number} is not the {word} of before");
        }
        Value::String(word) => match said {
            Said::Error(error) => assert_eq!(error, word, "{here}"),
            said => assert_eq!(&said.text(), word, "{here}"),
        },
        other => panic!("{here}: {other} is no reply"),
    }
}

fn name_of(part: &str, key: &str) -> String {
    match part {
        "value" => key.to_owned(),
        part => format!("{key}:{part}"),
    }
}

/// The scripts on a server.
struct Real {
    wire: Wire,
    heard: Subscriber,
    key: String,
}

impl Doer for Real {
    fn call(&mut self, script: &str, arguments: &[String]) -> Said {
        const VOID: &str = include_str!("../../src/store/redis/void.lua");
        let (body, parts): (&str, &[&str]) = match script {
            "acquire" => (include_str!("../../src/store/redis/acquire.lua"), &["value", "lease", "outcome"]),
            "renew" => (include_str!("../../src/store/redis/renew.lua"), &["lease"]),
            "end" => (include_str!("../../src/store/redis/end.lua"), &["value", "lease", "outcome"]),
            "overwrite" => (include_str!("../../src/store/redis/overwrite.lua"), &["value", "lease", "outcome"]),
            "replace" => (include_str!("../../src/store/redis/replace.lua"), &["value"]),
            "remove" => (include_str!("../../src/store/redis/remove.lua"), &["value", "lease", "outcome"]),
            "release" => (include_str!("../../src/store/redis/release.lua"), &["lease"]),
            "agree" => (include_str!("../../src/store/redis/agree.lua"), &["value"]),
            "change" => (include_str!("../../src/store/redis/change.lua"), &["value"]),
            other => panic!("there is no script {other}"),
        };
        let whole =
            if matches!(script, "acquire" | "agree" | "change") { body.to_owned() } else { format!("{VOID}{body}") };
        let count = parts.len().to_string();
        let keys: Vec<_> = parts.iter().map(|part| name_of(part, &self.key)).collect();
        let mut command = vec![b"EVAL".as_slice(), whole.as_bytes(), count.as_bytes()];
        command.extend(keys.iter().chain(arguments).map(String::as_bytes));
        self.wire.call(&command)
    }

    fn heard(&mut self) -> Vec<(String, String)> {
        self.heard.heard(&mut self.wire)
    }

    fn lapse(&mut self, part: &str) {
        self.wire.ask(&["DEL", &name_of(part, &self.key)]);
    }

    fn plant(&mut self, part: &str) {
        let name = name_of(part, &self.key);
        self.wire.ask(&["DEL", &name]);
        self.wire.ask(&["SADD", &name, "nobody's"]);
    }

    fn left(&mut self) -> Left {
        let mut left = Left::new();
        for part in ["value", "lease", "outcome"] {
            let name = name_of(part, &self.key);
            let what = match &*self.wire.ask(&["TYPE", &name]) {
                "none" => continue,
                "string" => self.wire.ask(&["GET", &name]).into(),
                "hash" => {
                    let Said::Many(all) = self.wire.call(&[b"HGETALL", name.as_bytes()]) else { panic!("a list") };
                    let fields = all.chunks(2).map(|pair| (pair[0].text(), pair[1].text().into()));
                    Value::Object(fields.collect())
                }
                _ => "foreign".into(),
            };
            left.insert(part.to_owned(), what);
        }
        left
    }
}

/// The state machine.
struct Machine {
    key: String,
    at: At,
    entry: Entry,
    token: Token,
    messages: Vec<Message>,
}

impl Machine {
    fn new(vector: &Value) -> Machine {
        let at = At { micros: 1_700_000_000_000_000, is_full: false };
        Machine { key: key_of(vector), at, entry: Entry::default(), token: Token::default(), messages: Vec::new() }
    }
}

impl Doer for Machine {
    fn call(&mut self, script: &str, arguments: &[String]) -> Said {
        self.at.micros += 1_000;
        let text = |at: usize| arguments[at].as_str();
        let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
        let said = |text: String| Said::Text(text.into_bytes());
        let command = match script {
            "agree" => {
                let (token, now) = self.token.agree(self.at, number(0));
                self.messages.clear();
                return Said::Many(vec![said(token.to_string()), said(now.to_string())]);
            }
            "change" => {
                self.messages = self.token.change(self.at, number(0), text(1), text(2), text(3));
                return Said::Number(1);
            }
            "acquire" => Command::Acquire {
                owner: text(0),
                millis: number(1),
                wanted: match text(2) {
                    "any" => Wanted::Any,
                    "other" => Wanted::Other(text(3).as_bytes()),
                    _ => Wanted::Newest(usize::try_from(number(3)).expect("it is small")),
                },
                joined: number(4),
                waiter: text(5),
            },
            "renew" => Command::Renew { owner: text(0), fence: number(1), millis: number(2) },
            "end" => Command::End {
                owner: text(0),
                fence: number(1),
                with: match text(2) {
                    "value" => Ended::Value {
                        entry: text(4).as_bytes(),
                        millis: number(3),
                        told: text(6).as_bytes(),
                        told_millis: number(5),
                    },
                    "told" => Ended::Told { told: text(6).as_bytes(), told_millis: number(5) },
                    _ => Ended::Nothing,
                },
                forget: text(7) == "1",
                sender: text(8),
            },
            "overwrite" => Command::Overwrite { millis: number(0), entry: text(1).as_bytes(), sender: text(2) },
            "replace" => Command::Replace {
                millis: number(0),
                old: text(1).as_bytes(),
                new: text(2).as_bytes(),
                sender: text(3),
            },
            "remove" => Command::Remove { sender: text(0) },
            "release" => Command::Release,
            other => panic!("there is no script {other}"),
        };
        let (reply, messages) = self.entry.apply(self.at, &self.key, &command);
        self.messages = messages;
        let left = |left: Option<u64>| Said::Number(left.map_or(-1, |left| i64::try_from(left).expect("it is short")));
        match reply {
            Ok(Reply::Done) => Said::Number(1),
            Ok(Reply::Flag(flag)) => Said::Number(flag.into()),
            Ok(Reply::Wait { fence, left: until, entry }) => {
                Said::Many(vec![Said::Number(0), said(fence.to_string()), left(until), Said::Text(entry)])
            }
            Ok(Reply::Lead(fence)) => Said::Many(vec![Said::Number(1), said(fence.to_string())]),
            Ok(Reply::Value(Some((entry, until)))) => Said::Many(vec![Said::Number(2), Said::Text(entry), left(until)]),
            Ok(Reply::Value(None)) => Said::Nothing,
            Ok(Reply::Told(bytes)) => Said::Many(vec![Said::Number(3), Said::Text(bytes)]),
            Err(Fault::Full) => Said::Error("OOM".to_owned()),
            Err(Fault::WrongType) => Said::Error("WRONGTYPE".to_owned()),
        }
    }

    fn heard(&mut self) -> Vec<(String, String)> {
        let all = std::mem::take(&mut self.messages);
        let mut heard: Vec<_> = all.into_iter().map(|message| (message.channel, message.text)).collect();
        heard.sort();
        heard
    }

    fn lapse(&mut self, part: &str) {
        match part {
            "value" => self.entry.value = None,
            "lease" => self.entry.lease = None,
            _ => self.entry.outcome = None,
        }
    }

    fn plant(&mut self, part: &str) {
        match part {
            "value" => self.entry.value = Some(Kept::foreign()),
            "lease" => self.entry.lease = Some(Kept::foreign()),
            _ => self.entry.outcome = Some(Kept::foreign()),
        }
    }

    fn left(&mut self) -> Left {
        let text = |bytes: &[u8]| Value::from(String::from_utf8(bytes.to_vec()).expect("text"));
        let fields = |fields: Vec<(String, Value)>| Value::Object(fields.into_iter().collect());
        let value = self.entry.value.as_ref().map(|kept| kept.what.as_ref().map(|value| text(value)));
        let lease = self.entry.lease.as_ref().map(|kept| {
            kept.what.as_ref().map(|lease| {
                let mut all = vec![("o".to_owned(), lease.owner.clone().into())];
                all.push(("f".to_owned(), lease.fence.to_string().into()));
                all.push(("t".to_owned(), lease.millis.to_string().into()));
                all.extend(lease.is_newest.then(|| ("n".to_owned(), "".into())));
                all.extend(lease.waiters.iter().map(|waiter| (waiter.clone(), "".into())));
                fields(all)
            })
        });
        let outcome = self.entry.outcome.as_ref().map(|kept| {
            kept.what.as_ref().map(|outcome| {
                let fence = outcome.fence.to_string().into();
                fields(vec![("f".to_owned(), fence), ("b".to_owned(), text(&outcome.bytes))])
            })
        });
        let parts = [("value", value), ("lease", lease), ("outcome", outcome)];
        let there = parts.into_iter().filter_map(|(part, what)| Some((part, what?)));
        there.map(|(part, what)| (part.to_owned(), what.unwrap_or_else(|| "foreign".into()))).collect()
    }
}
