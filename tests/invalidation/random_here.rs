//! Random programs of one process: calls, ends of bodies, writes and every way to invalidate, on two functions and on a model of
//! them. After each step the two agree on what has been executed, what callers have got and what is kept.
//!
//! `PROPTEST_CASES=5000` asks for more programs than the usual.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stampede_runtime::testing::isolate;
use stampede_runtime::{
    cached, expire_tags, invalidate_all, invalidate_namespace, invalidate_pattern, invalidate_tags,
};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::yield_now;

const KEYS: usize = 3;
/// Values are tagged with what is left of their version.
const PARTS: u64 = 3;

/// What was read from the database: which version, and of what.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    key: usize,
    version: u64,
}

impl Row {
    fn part(self) -> u64 {
        self.version % PARTS
    }
}

#[derive(Default)]
struct World {
    versions: [u64; KEYS],
    /// Of the bodies that have begun: what ends them.
    bodies: Vec<Option<oneshot::Sender<()>>>,
}

thread_local! {
    /// Of the one program that this thread plays.
    static WORLD: RefCell<World> = RefCell::default();
}

async fn body(key: usize) -> Row {
    let (row, end) = WORLD.with_borrow_mut(|world| {
        let (ends, end) = oneshot::channel();
        world.bodies.push(Some(ends));
        (Row { key, version: world.versions[key] }, end)
    });
    let _ = end.await;
    row
}

#[cached(ttl = "1h", namespace = "here::named", key = "key:{key}", tags("key:{key}", |row| [format!("part:{}", row.part())]))]
async fn named(key: usize) -> Row {
    body(key).await
}

#[cached(ttl = "1h", namespace = "here::plain", tags("key:{key}", |row| [format!("part:{}", row.part())]))]
async fn plain(key: usize) -> Row {
    body(key).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Named,
    Plain,
}

type Place = (Of, usize);

#[derive(Clone, Debug)]
enum Step {
    Call(Place),
    /// One of the callers leaves.
    Leave(usize),
    /// One of the bodies ends.
    End(usize),
    /// A version more in the database, and then that.
    Write(usize, How),
    Insert(Place),
}

#[derive(Clone, Debug)]
enum How {
    Nothing,
    Key(Place),
    ExpireKey(Place),
    Clear(Of),
    Tag(usize),
    ExpireTag(usize),
    Part(u64),
    Pattern(usize),
    AnyPattern,
    Namespace(Of),
    Above,
    All,
}

fn step() -> impl Strategy<Value = Step> {
    let of = prop_oneof![Just(Of::Named), Just(Of::Plain)];
    let place = (of.clone(), 0..KEYS);
    let how = prop_oneof![
        Just(How::Nothing),
        place.clone().prop_map(How::Key),
        place.clone().prop_map(How::ExpireKey),
        of.clone().prop_map(How::Clear),
        (0..KEYS).prop_map(How::Tag),
        (0..KEYS).prop_map(How::ExpireTag),
        (0..PARTS).prop_map(How::Part),
        (0..KEYS).prop_map(How::Pattern),
        Just(How::AnyPattern),
        of.prop_map(How::Namespace),
        Just(How::Above),
        Just(How::All),
    ];
    prop_oneof![
        6 => place.clone().prop_map(Step::Call),
        1 => any::<usize>().prop_map(Step::Leave),
        4 => any::<usize>().prop_map(Step::End),
        3 => (0..KEYS, how).prop_map(|(key, how)| Step::Write(key, how)),
        1 => place.prop_map(Step::Insert),
    ]
}

/// What one key of one function has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Empty,
    Flying(usize),
    Kept(Row),
}

struct Flight {
    place: Place,
    row: Row,
    /// Parts that were invalidated since it began: what is of one of them is not kept.
    refused: BTreeSet<u64>,
    callers: usize,
    is_over: bool,
}

#[derive(Default)]
struct Model {
    versions: [u64; KEYS],
    slots: Vec<(Place, Slot)>,
    flights: Vec<Flight>,
}

/// What a caller gets.
#[derive(Clone, Copy)]
enum Gets {
    At(Row),
    From(usize),
}

impl Model {
    fn new() -> Model {
        let places = (0..KEYS).flat_map(|key| [(Of::Named, key), (Of::Plain, key)]);
        Model { slots: places.map(|place| (place, Slot::Empty)).collect(), ..Model::default() }
    }

    fn slot(&mut self, place: Place) -> &mut Slot {
        &mut self.slots.iter_mut().find(|(at, _)| *at == place).expect("all places have one").1
    }

    fn call(&mut self, place: Place) -> Gets {
        match *self.slot(place) {
            Slot::Kept(row) => Gets::At(row),
            Slot::Flying(flight) => {
                self.flights[flight].callers += 1;
                Gets::From(flight)
            }
            Slot::Empty => {
                let row = Row { key: place.1, version: self.versions[place.1] };
                self.flights.push(Flight { place, row, refused: BTreeSet::new(), callers: 1, is_over: false });
                *self.slot(place) = Slot::Flying(self.flights.len() - 1);
                Gets::From(self.flights.len() - 1)
            }
        }
    }

    fn leave(&mut self, number: usize) {
        let flight = &mut self.flights[number];
        flight.callers -= 1;
        if flight.callers == 0 && !flight.is_over {
            self.over(number, false);
        }
    }

    fn over(&mut self, number: usize, is_made: bool) {
        let flight = &mut self.flights[number];
        flight.is_over = true;
        let (place, row, is_refused) = (flight.place, flight.row, flight.refused.contains(&flight.row.part()));
        let slot = self.slot(place);
        if *slot == Slot::Flying(number) {
            *slot = if is_made && !is_refused { Slot::Kept(row) } else { Slot::Empty };
        }
    }

    fn take_out(&mut self, is_meant: impl Fn(Place) -> bool) {
        self.slots.iter_mut().filter(|(place, _)| is_meant(*place)).for_each(|(_, slot)| *slot = Slot::Empty);
    }

    fn invalidate(&mut self, how: &How) {
        match *how {
            How::Nothing => {}
            How::Key(place) | How::ExpireKey(place) => self.take_out(|at| at == place),
            How::Clear(of) | How::Namespace(of) => self.take_out(|at| at.0 == of),
            How::Tag(key) | How::ExpireTag(key) => self.take_out(|at| at.1 == key),
            How::Pattern(key) => self.take_out(|at| at == (Of::Named, key)),
            How::AnyPattern => self.take_out(|at| at.0 == Of::Named),
            How::Above | How::All => self.take_out(|_| true),
            How::Part(part) => {
                for (_, slot) in &mut self.slots {
                    if matches!(slot, Slot::Kept(row) if row.part() == part) {
                        *slot = Slot::Empty;
                    }
                }
                for flight in self.flights.iter_mut().filter(|flight| !flight.is_over) {
                    flight.refused.insert(part);
                }
            }
        }
    }
}

fn invalidate(how: &How) {
    match *how {
        How::Nothing => {}
        How::Key((Of::Named, key)) => drop(named::invalidate(key)),
        How::Key((Of::Plain, key)) => drop(plain::invalidate(key)),
        How::ExpireKey((Of::Named, key)) => drop(named::expire(key)),
        How::ExpireKey((Of::Plain, key)) => drop(plain::expire(key)),
        How::Clear(Of::Named) => drop(named::clear()),
        How::Clear(Of::Plain) => drop(plain::clear()),
        How::Tag(key) => drop(invalidate_tags([format!("key:{key}")])),
        How::ExpireTag(key) => drop(expire_tags([format!("key:{key}")])),
        How::Part(part) => drop(invalidate_tags([format!("part:{part}")])),
        How::Pattern(key) => drop(invalidate_pattern(format!("key:{key}"))),
        How::AnyPattern => drop(invalidate_pattern("key:*")),
        How::Namespace(Of::Named) => drop(invalidate_namespace("here::named")),
        How::Namespace(Of::Plain) => drop(invalidate_namespace("here::plain")),
        How::Above => drop(invalidate_namespace("here")),
        How::All => drop(invalidate_all()),
    }
}

struct Caller {
    pending: Pin<Box<dyn Future<Output = Row>>>,
    gets: Gets,
}

fn write(model: &mut Model, key: usize) {
    model.versions[key] += 1;
    WORLD.with_borrow_mut(|world| world.versions[key] += 1);
}

async fn play(program: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut model, mut callers) = (Model::new(), Vec::new());
    WORLD.replace(World::default());
    for step in program {
        match step {
            Step::Call(place) => {
                let pending: Pin<Box<dyn Future<Output = Row>>> = match place.0 {
                    Of::Named => Box::pin(named(place.1)),
                    Of::Plain => Box::pin(plain(place.1)),
                };
                callers.push(Caller { pending, gets: model.call(place) });
            }
            Step::Leave(which) if !callers.is_empty() => {
                let left = callers.swap_remove(which % callers.len());
                if let Gets::From(flight) = left.gets {
                    model.leave(flight);
                }
            }
            Step::End(which) => {
                let running: Vec<_> = (0..model.flights.len()).filter(|at| !model.flights[*at].is_over).collect();
                if let Some(at) = (!running.is_empty()).then(|| running[which % running.len()]) {
                    model.over(at, true);
                    let ends = WORLD.with_borrow_mut(|world| world.bodies[at].take());
                    prop_assert!(ends.is_some_and(|ends| ends.send(()).is_ok()), "{step:?}: body {at} does not run");
                }
            }
            Step::Write(key, ref how) => {
                write(&mut model, key);
                model.invalidate(how);
                invalidate(how);
            }
            Step::Insert(place) => {
                write(&mut model, place.1);
                let row = Row { key: place.1, version: model.versions[place.1] };
                *model.slot(place) = Slot::Kept(row);
                match place.0 {
                    Of::Named => named::insert(place.1, row),
                    Of::Plain => plain::insert(place.1, row),
                }
            }
            Step::Leave(_) => {}
        }
        let mut waiting = Vec::new();
        // Whatever can move on this one thread has moved then.
        for _ in 0..8 {
            for mut caller in std::mem::take(&mut callers) {
                match caller.pending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => waiting.push(caller),
                    Poll::Ready(got) => {
                        let expected = match caller.gets {
                            Gets::At(row) => Some(row),
                            Gets::From(flight) => Some(&model.flights[flight]).filter(|it| it.is_over).map(|it| it.row),
                        };
                        prop_assert_eq!(Some(got), expected, "{:?}", &step);
                    }
                }
            }
            callers.append(&mut waiting);
            yield_now().await;
        }
        for caller in &callers {
            let is_right = matches!(caller.gets, Gets::From(flight) if !model.flights[flight].is_over);
            prop_assert!(is_right, "{step:?}: a caller still waits");
        }
        let begun = WORLD.with_borrow(|world| world.bodies.len());
        prop_assert_eq!(begun, model.flights.len(), "{:?}: executions", &step);
        for (place, slot) in &model.slots {
            let kept = match place.0 {
                Of::Named => named::peek(place.1),
                Of::Plain => plain::peek(place.1),
            };
            let expected = if let Slot::Kept(row) = slot { Some(*row) } else { None };
            prop_assert_eq!(kept, expected, "{:?}: kept of {:?}", &step, place);
        }
    }
    Ok(())
}

#[test]
fn functions_agree_with_the_model_after_each_step() {
    let outcome = TestRunner::new(Config { failure_persistence: None, ..Config::default() }).run(
        &vec(step(), 1..60),
        |program| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("no resources are needed");
            let _inside = runtime.enter();
            let _isolated = isolate();
            runtime.block_on(play(program))
        },
    );
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
