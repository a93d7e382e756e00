//! The functions that programs are about, and what can be seen of them.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use stampede_runtime::{Error, Stats, coalesce};
use tokio::time::{Instant, sleep};

use super::program::{Attribute, Ending, Ms, Script, span};

/// A call, a refresh or an insert: which step of its program it is.
pub(super) type Call = usize;

/// How a call ended, or what `peek` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The value that was made by this call.
    Value(Call),
    None,
    Error(Call),
    Panic(Call),
    Timeout,
    WaitTimeout,
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    call: Call,
    is_poor: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Fire(Call),
    Stampede(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Stampede(error)
    }
}

type Output = Result<Option<Value>, Trouble>;

fn answer(output: &Output) -> Answer {
    match output {
        Ok(Some(value)) => Answer::Value(value.call),
        Ok(None) => Answer::None,
        Err(Trouble::Fire(call)) => Answer::Error(*call),
        Err(Trouble::Stampede(Error::Timeout { .. })) => Answer::Timeout,
        Err(Trouble::Stampede(Error::WaitTimeout { .. })) => Answer::WaitTimeout,
        Err(Trouble::Stampede(other)) => panic!("nothing in these programs ends a call like this: {other}"),
    }
}

fn output(call: Call, ending: Ending) -> Output {
    match ending {
        Ending::Value | Ending::Poor => Ok(Some(Value { call, is_poor: ending == Ending::Poor })),
        Ending::None => Ok(None),
        Ending::Error => Err(Trouble::Fire(call)),
        // Like `panic!`, without the lines on the standard error.
        Ending::Panic => resume_unwind(Box::new(call.to_string())),
    }
}

/// What has happened in a program, and when.
#[derive(Clone)]
pub(super) struct Log {
    start: Instant,
    events: Arc<Mutex<Events>>,
}

/// What calls were answered with, which bodies have begun, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Events {
    pub(super) answers: BTreeMap<Call, (Answer, Ms)>,
    pub(super) begun: BTreeMap<Call, Ms>,
}

impl Log {
    pub(super) fn new() -> Log {
        Log { start: Instant::now(), events: Arc::default() }
    }

    pub(super) fn events(&self) -> Events {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Events, Ms)) {
        let now = self.start.elapsed().as_millis().try_into().expect("programs are short");
        note(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner), now);
    }
}

/// What a call brings for its body.
#[derive(Clone)]
pub(super) struct Body {
    pub(super) call: Call,
    pub(super) script: Script,
    pub(super) log: Log,
}

impl Body {
    async fn run(self) -> Output {
        self.log.note(|events, now| {
            assert!(events.begun.insert(self.call, now).is_none(), "a body runs twice");
        });
        if self.script.takes > 0 {
            sleep(span(self.script.takes)).await;
        }
        output(self.call, self.script.ending)
    }
}

pub(super) type Pending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Notes how a call ends.
fn noted(body: &Body, call: impl Future<Output = Output> + Send + 'static) -> Pending {
    let (log, number, mut call) = (body.log.clone(), body.call, Box::pin(call));
    Box::pin(async move {
        let answer = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|output| answer(&output)),
            Err(panic) => {
                let call = panic.downcast_ref::<String>().and_then(|call| call.parse().ok());
                Poll::Ready(Answer::Panic(call.expect("only bodies panic, and they say whose they are")))
            }
        })
        .await;
        log.note(|events, now| {
            events.answers.insert(number, (answer, now));
        });
    })
}

/// A decorated function and its companion.
pub(super) struct Function {
    pub(super) attribute: Attribute,
    pub(super) call: fn(Body) -> Pending,
    pub(super) refresh: fn(Body) -> Pending,
    pub(super) insert: fn(Call, Ending),
    pub(super) peek: fn() -> Option<Answer>,
    pub(super) invalidate: fn(),
    pub(super) clear: fn(),
    pub(super) stats: fn() -> Stats,
}

/// Its namespace is that of the configuration.
macro_rules! function {
    ($name:ident, ($($written:tt)*), $attribute:expr) => {
        pub(super) fn $name() -> Function {
            #[coalesce(skip(body), namespace = "policy", $($written)*)]
            async fn function(body: Body) -> Output {
                body.run().await
            }

            Function {
                attribute: $attribute,
                call: |body| noted(&body.clone(), function(body)),
                refresh: |body| noted(&body.clone(), function::refresh(body)),
                insert: |call, ending| {
                    function::insert(output(call, ending));
                },
                peek: || function::peek().as_ref().map(answer),
                invalidate: || _ = function::invalidate(),
                clear: || _ = function::clear(),
                stats: function::stats,
            }
        }
    };
}

const TTL: Duration = Duration::from_millis(2_501);
const NONE_TTL: Duration = Duration::from_millis(706);

function!(plain, (), Attribute { ttl: None, none_ttl: None, is_picky: false });
function!(
    hooked,
    (ttl = TTL, none_ttl = NONE_TTL, cache_if = |value| value.as_ref().is_none_or(|value| !value.is_poor)),
    Attribute { ttl: Some(2_501), none_ttl: Some(706), is_picky: true }
);
