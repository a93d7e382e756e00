//! A server and the state machine, asked the same.

use std::collections::BTreeSet;
use std::time::Duration;

use stampede_runtime::store::lease::{Acquired, Asked, End, Leases, Token as Right, Waiter, Wish};
use stampede_runtime::store::protocol::{At, Command, Ended, Entry, Fault, Kept, Message, Reply, Server, Wanted};
use stampede_runtime::store::tokens::Tokens;
use stampede_runtime::store::{Backend, BackendError, BackendErrorKind, Id, Place, RedisBackend, StoreKey};

use super::order::Order;
use super::redis_server::{PATIENCE, RedisServer};
use super::wire::{Subscriber, Wire};

pub(super) const HOUR: u64 = 3_600_000;
/// What the two clocks may be apart, and less than any span of these tests: milliseconds.
const SLACK: u64 = 600_000;
/// When the state machine begins, in microseconds.
const ORIGIN: u64 = 1_000_000_000_000_000;
/// Of what tells one value from another.
const HEADER: usize = 48;

pub(super) struct Pair {
    /// Ends the server at the end.
    _server: RedisServer,
    wire: Wire,
    processes: Vec<Process>,
    heard: Subscriber,
    model: Server,
    at: At,
    order: Order,
    /// What kinds of answers there have been.
    pub(super) answers: BTreeSet<&'static str>,
    /// When both began, on the server's clock.
    real_origin: u64,
    /// How far in the future the furthest number is.
    ahead: u64,
}

/// One process, as the server knows it.
struct Process {
    redis: RedisBackend,
    waiter: Box<dyn Waiter>,
}

/// A right to make a value, as each of the two has given it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) owner: String,
    pub(super) real: u64,
    pub(super) model: u64,
}

pub(super) fn key(id: &str) -> StoreKey {
    StoreKey::new(&Place::new("redis", "f", 1), Id::Text(id))
}

fn span(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What both said to one question.
#[derive(Debug)]
pub(super) enum Said {
    Lead(Held),
    /// Somebody else leads.
    Wait(Held),
    Other,
}

impl Pair {
    pub(super) async fn start(test: &str) -> Option<Pair> {
        let server = RedisServer::start(test)?;
        let process = || {
            let redis = RedisBackend::builder(server.url());
            let redis = redis.connect_timeout(PATIENCE).response_timeout(PATIENCE).build().expect("the url is right");
            let waiter = redis.waiter(&key("of nobody"));
            Process { redis, waiter }
        };
        let processes = vec![process(), process()];
        for process in &processes {
            process.redis.ping().await.expect("the server answers");
        }
        let heard = Subscriber::new(&server);
        let at = At { micros: ORIGIN, is_full: false };
        let mut wire = Wire::new(&server);
        let time = wire.ask(&["TIME"]);
        let (seconds, _) = time.split_once('\n').expect("the time has two parts");
        let real_origin = seconds.parse::<u64>().expect("seconds") * 1_000_000;
        Some(Pair {
            _server: server,
            wire,
            processes,
            heard,
            model: Server::default(),
            at,
            order: Order::default(),
            answers: BTreeSet::new(),
            real_origin,
            ahead: 0,
        })
    }

    fn tick(&mut self) {
        self.at.micros += 1_000;
    }

    /// The number of a process in messages.
    fn sender(&self, process: usize) -> String {
        self.processes[process].waiter.name()[2..].to_owned()
    }

    fn ask_model(&mut self, key: &StoreKey, command: &Command<'_>) -> (Result<Reply, Fault>, Vec<Message>) {
        self.tick();
        let answer = self.model.entry(self.at, key, command);
        self.answers.insert(match &answer.0 {
            Ok(Reply::Done) => "nothing",
            Ok(Reply::Flag(true)) => "mine",
            Ok(Reply::Flag(false)) => "not mine",
            Ok(Reply::Value(_)) => "value",
            Ok(Reply::Lead(_)) => "lead",
            Ok(Reply::Wait { .. }) => "wait",
            Ok(Reply::Told(_)) => "told",
            Err(Fault::Full) => "full",
            Err(Fault::WrongType) => "wrong type",
        });
        answer
    }

    pub(super) async fn look(&mut self, key: &StoreKey) {
        let real = self.processes[0].redis.look(key).await;
        let (model, messages) = self.ask_model(key, &Command::Look);
        match both(real, model) {
            Some((real, Reply::Value(model))) => same_value(real, model),
            Some((_, other)) => panic!("{other:?}"),
            None => {}
        }
        self.same_left(key, messages);
    }

    pub(super) async fn set(&mut self, key: &StoreKey, entry: &str, millis: u64) {
        let real = self.processes[0].redis.set(key, entry.as_bytes(), span(millis)).await;
        let (model, messages) = self.ask_model(key, &Command::Set { entry: entry.as_bytes(), millis });
        both(real, model);
        self.same_left(key, messages);
    }

    pub(super) async fn acquire(
        &mut self,
        key: &StoreKey,
        process: usize,
        owner: &str,
        wish: Wish<'_>,
        joined: Option<&Held>,
        waits: bool,
    ) -> Said {
        let millis = 2 * HOUR;
        let waiter = waits.then(|| &*self.processes[process].waiter);
        let field = waiter.map_or_else(String::new, |waiter| waiter.name().to_owned());
        let asked = Asked { owner, lease: span(millis), value: wish, joined: joined.map(|held| held.real), waiter };
        let real = self.processes[process].redis.acquire(key, asked).await;
        let wanted = match wish {
            Wish::Any => Wanted::Any,
            Wish::Other(seen) => Wanted::Other(seen),
            Wish::Newest => Wanted::Newest(HEADER),
        };
        let joined = joined.map_or(0, |held| held.model);
        let command = Command::Acquire { owner, millis, wanted, joined, waiter: &field };
        let (model, messages) = self.ask_model(key, &command);
        let said = match both(real, model) {
            Some((Acquired::Value { entry, left }, Reply::Value(model))) => {
                same_value(Some((entry, left)), model);
                Said::Other
            }
            Some((Acquired::Told(real), Reply::Told(model))) => {
                assert_eq!(real, model);
                Said::Other
            }
            Some((Acquired::Lead(Right { owner: real_owner, fence }), Reply::Lead(model))) => {
                assert_eq!(&*real_owner, owner);
                self.order.same(2 * fence, 2 * model);
                Said::Lead(Held { owner: owner.to_owned(), real: fence, model })
            }
            Some((
                Acquired::Wait { fence, left, entry },
                Reply::Wait { fence: model, left: of_model, entry: begins },
            )) => {
                self.order.same(2 * fence, 2 * model);
                near(Some(left), Some(of_model.unwrap_or(0)));
                // The client is told what the value begins with only where it is asked for.
                assert_eq!(entry, begins);
                Said::Wait(Held { owner: String::new(), real: fence, model })
            }
            Some((real, model)) => panic!("the server: {real:?}; the state machine: {model:?}"),
            None => Said::Other,
        };
        self.same_left(key, messages);
        said
    }

    pub(super) async fn renew(&mut self, key: &StoreKey, held: &Held) {
        let right = Right { owner: held.owner.as_str().into(), fence: held.real };
        let real = self.processes[0].redis.renew(key, &right, span(5 * HOUR)).await;
        let command = Command::Renew { owner: &held.owner, fence: held.model, millis: 5 * HOUR };
        let (model, messages) = self.ask_model(key, &command);
        same_flag(real, model);
        self.same_left(key, messages);
    }

    pub(super) async fn end(&mut self, key: &StoreKey, process: usize, held: &Held, end: End<'_>) {
        let right = Right { owner: held.owner.as_str().into(), fence: held.real };
        let real = self.processes[process].redis.end(key, &right, end).await;
        let whole = |span: Duration| u64::try_from(span.as_millis()).expect("it is short");
        let (with, forget) = match end {
            End::Value { entry, ttl, told } => {
                let (told, told_for) = told.unwrap_or_default();
                (Ended::Value { entry, millis: whole(ttl), told, told_millis: whole(told_for) }, false)
            }
            End::Told { outcome, ttl, forget } => (Ended::Told { told: outcome, told_millis: whole(ttl) }, forget),
            End::Nothing { forget } => (Ended::Nothing, forget),
        };
        let sender = self.sender(process);
        let command = Command::End { owner: &held.owner, fence: held.model, with, forget, sender: &sender };
        let (model, messages) = self.ask_model(key, &command);
        same_flag(real, model);
        self.same_left(key, messages);
    }

    pub(super) async fn overwrite(&mut self, key: &StoreKey, process: usize, entry: &str, millis: u64) {
        let real = self.processes[process].redis.overwrite(key, entry.as_bytes(), span(millis)).await;
        let sender = self.sender(process);
        let command = Command::Overwrite { entry: entry.as_bytes(), millis, sender: &sender };
        let (model, messages) = self.ask_model(key, &command);
        both(real, model);
        self.same_left(key, messages);
    }

    pub(super) async fn replace(&mut self, key: &StoreKey, process: usize, old: &str, new: &str, millis: u64) {
        let (old, new, sender) = (old.as_bytes(), new.as_bytes(), self.sender(process));
        let real = self.processes[process].redis.replace(key, old, new, span(millis)).await;
        let (model, messages) = self.ask_model(key, &Command::Replace { old, new, millis, sender: &sender });
        same_flag(real, model);
        self.same_left(key, messages);
    }

    pub(super) async fn remove(&mut self, key: &StoreKey, process: usize) {
        let real = self.processes[process].redis.remove(key).await;
        let sender = self.sender(process);
        let (model, messages) = self.ask_model(key, &Command::Remove { sender: &sender });
        same_flag(real, model);
        self.same_left(key, messages);
    }

    pub(super) async fn read_tag(&mut self, tag: &StoreKey) {
        let real = self.processes[0].redis.read(std::slice::from_ref(tag)).await.expect("the server answers");
        self.tick();
        let model = self.model.tag(tag).get(self.at);
        self.same_tokens(real[0], model);
    }

    pub(super) async fn agree(&mut self, tag: &StoreKey, millis: u64) {
        let agree = self.processes[0].redis.agree(std::slice::from_ref(tag), span(millis)).await;
        let (real, now) = agree.expect("the server answers");
        self.tick();
        let (model, of_model) = self.model.tag(tag).agree(self.at, millis);
        self.same_tokens(Some(real[0]), Some(model));
        self.same_tokens(Some(now), Some(of_model));
        self.same_token_left(tag);
    }

    pub(super) async fn change(&mut self, tag: &StoreKey, process: usize, text: &str, expire: bool) {
        self.processes[process].redis.change(tag, text, expire).await.expect("the server answers");
        let (sender, how) = (self.sender(process), if expire { "e" } else { "t" });
        self.tick();
        let messages = self.model.tag(tag).change(self.at, HOUR, &sender, how, text);
        self.same_messages(messages);
        self.same_token_left(tag);
    }

    /// Something of another kind, under the key of an entry (0), its lease (1) or its outcome (2).
    pub(super) fn plant(&mut self, key: &StoreKey, which: usize) {
        let name = part(key, which);
        self.wire.ask(&["DEL", &name]);
        self.wire.ask(&["SADD", &name, "nobody's"]);
        let entry = self.model.disturb(key);
        match which {
            0 => entry.value = Some(Kept::foreign()),
            1 => entry.lease = Some(Kept::foreign()),
            _ => entry.outcome = Some(Kept::foreign()),
        }
    }

    /// The same under the key of a tag.
    pub(super) fn plant_tag(&mut self, tag: &StoreKey) {
        self.wire.ask(&["DEL", tag.as_str()]);
        self.wire.ask(&["SADD", tag.as_str(), "nobody's"]);
        self.model.tag(tag).0 = Some(Kept::foreign());
    }

    /// A clock that was ahead for a while: what is there has numbers that are far in the future.
    pub(super) fn put_ahead(&mut self, key: &StoreKey, which: usize) {
        // Further each time, and further than these tests let time pass.
        self.ahead += 1_000 * 86_400_000_000;
        let name = part(key, which);
        let (real, model) = (self.real_origin + self.ahead, ORIGIN + self.ahead);
        let entry = self.model.disturb(key);
        entry.expire(self.at);
        let fence = match entry {
            Entry { lease: Some(Kept { what: Some(lease), .. }), .. } if which == 1 => &mut lease.fence,
            Entry { outcome: Some(Kept { what: Some(outcome), .. }), .. } if which == 2 => &mut outcome.fence,
            _ => return,
        };
        *fence = model;
        self.wire.ask(&["HSET", &name, "f", &real.to_string()]);
        self.order.same(2 * real, 2 * model);
    }

    /// Takes a part of an entry away, as one that has run out or was evicted.
    pub(super) fn lapse(&mut self, key: &StoreKey, which: usize) {
        self.wire.ask(&["DEL", &part(key, which)]);
        let entry = self.model.disturb(key);
        match which {
            0 => entry.value = None,
            1 => entry.lease = None,
            _ => entry.outcome = None,
        }
    }

    /// Lets so many milliseconds pass for all that is there.
    pub(super) fn pass(&mut self, millis: u64) {
        for name in self.wire.ask(&["KEYS", "*"]).lines() {
            let left: i64 = self.wire.ask(&["PTTL", name]).parse().expect("a number");
            match u64::try_from(left) {
                Ok(left) if left <= millis => self.wire.ask(&["DEL", name]),
                Ok(left) => self.wire.ask(&["PEXPIRE", name, &(left - millis).to_string()]),
                Err(_) => continue,
            };
        }
        self.at.micros += millis * 1_000;
    }

    pub(super) fn set_full(&mut self, is_full: bool) {
        self.wire.ask(&["CONFIG", "SET", "maxmemory", if is_full { "1" } else { "0" }]);
        self.at.is_full = is_full;
    }

    pub(super) fn is_full(&self) -> bool {
        self.at.is_full
    }

    fn same_tokens(&mut self, real: Option<u64>, model: Option<u64>) {
        assert_eq!(real.is_some(), model.is_some());
        if let (Some(real), Some(model)) = (real, model) {
            assert_eq!(real % 2, model % 2, "whether an invalidation has made it");
            self.order.same(real, model);
        }
    }

    fn same_messages(&mut self, messages: Vec<Message>) {
        let mut model: Vec<_> = messages.into_iter().map(|message| (message.channel, message.text)).collect();
        model.sort();
        assert_eq!(self.heard.heard(&mut self.wire), model);
    }

    /// Compares what is there now, and what was told.
    fn same_left(&mut self, key: &StoreKey, messages: Vec<Message>) {
        self.same_messages(messages);
        let empty = Entry::default();
        let entry = self.model.at(key).unwrap_or(&empty).clone();
        let kinds = ["string", "hash", "hash"];
        let parts = [
            entry.value.as_ref().map(|kept| (kept.what.is_some(), kept.until)),
            entry.lease.as_ref().map(|kept| (kept.what.is_some(), kept.until)),
            entry.outcome.as_ref().map(|kept| (kept.what.is_some(), kept.until)),
        ];
        for (which, (kind, part)) in kinds.into_iter().zip(parts).enumerate() {
            let name = self::part(key, which);
            let real = self.wire.ask(&["TYPE", &name]);
            let model = part.map_or("none", |(is_ours, _)| if is_ours { kind } else { "set" });
            assert_eq!(real, model, "the kind of {name}");
            let left: i64 = self.wire.ask(&["PTTL", &name]).parse().expect("a number");
            let of_model = part.and_then(|(_, until)| until).map(|until| until.saturating_sub(self.at.micros / 1_000));
            near(u64::try_from(left).ok().map(span), of_model);
        }
        if let Some(value) = entry.value.and_then(|kept| kept.what) {
            assert_eq!(self.wire.ask(&["GET", key.as_str()]).as_bytes(), value);
        }
        if let Some(lease) = entry.lease.and_then(|kept| kept.what) {
            let mut fields = self.fields(&part(key, 1));
            let fence = take(&mut fields, "f").expect("a fence").parse::<u64>().expect("a number");
            self.order.same(2 * fence, 2 * lease.fence);
            assert_eq!(take(&mut fields, "o"), Some(lease.owner));
            assert_eq!(take(&mut fields, "t"), Some(lease.millis.to_string()));
            assert_eq!(take(&mut fields, "n").is_some(), lease.is_newest);
            let mut waiters: Vec<_> = fields.into_iter().map(|(field, _)| field).collect();
            let mut of_model = lease.waiters;
            waiters.sort();
            of_model.sort();
            assert_eq!(waiters, of_model);
        }
        if let Some(outcome) = entry.outcome.and_then(|kept| kept.what) {
            let mut fields = self.fields(&part(key, 2));
            let fence = take(&mut fields, "f").expect("a fence").parse::<u64>().expect("a number");
            self.order.same(2 * fence, 2 * outcome.fence);
            assert_eq!(take(&mut fields, "b").map(String::into_bytes), Some(outcome.bytes));
        }
    }

    fn same_token_left(&mut self, tag: &StoreKey) {
        let left: i64 = self.wire.ask(&["PTTL", tag.as_str()]).parse().expect("a number");
        let until = self.model.tag(tag).0.as_ref().and_then(|kept| kept.until);
        near(u64::try_from(left).ok().map(span), until.map(|until| until - self.at.micros / 1_000));
    }

    fn fields(&mut self, name: &str) -> Vec<(String, String)> {
        let all = self.wire.ask(&["HGETALL", name]);
        let all: Vec<_> = all.split('\n').map(str::to_owned).collect();
        all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

fn same_value(real: Option<(Vec<u8>, Option<Duration>)>, model: Option<(Vec<u8>, Option<u64>)>) {
    let ((real, left), (model, of_model)) = (real.unzip(), model.unzip());
    assert_eq!(real, model);
    near(left.flatten(), of_model.flatten());
}

fn part(key: &StoreKey, which: usize) -> String {
    format!("{key}{}", ["", ":lease", ":outcome"][which])
}

fn take(fields: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = fields.iter().position(|(field, _)| field == name)?;
    Some(fields.swap_remove(at).1)
}

/// What both have answered, unless both have refused, for one reason.
#[track_caller]
fn both<T: std::fmt::Debug>(real: Result<T, BackendError>, model: Result<Reply, Fault>) -> Option<(T, Reply)> {
    match (real, model) {
        (Ok(real), Ok(model)) => Some((real, model)),
        (Err(real), Err(model)) => {
            let expected = match model {
                Fault::Full => BackendErrorKind::OutOfMemory,
                Fault::WrongType => BackendErrorKind::Refused,
            };
            assert_eq!(real.kind(), expected);
            None
        }
        (real, model) => panic!("the server: {real:?}; the state machine: {model:?}"),
    }
}

#[track_caller]
fn same_flag(real: Result<bool, BackendError>, model: Result<Reply, Fault>) {
    if let Some((real, model)) = both(real, model) {
        assert_eq!(model, Reply::Flag(real));
    }
}

#[track_caller]
fn near(real: Option<Duration>, model: Option<u64>) {
    let real = real.map(|real| u64::try_from(real.as_millis()).expect("it is short"));
    let is_near = match (real, model) {
        (Some(real), Some(model)) => real.abs_diff(model) < SLACK,
        (real, model) => real == model,
    };
    assert!(is_near, "{real:?} ms left on the server, {model:?} in the state machine");
}
