//! What must not meet: each instantiation of a function has a state of its own, and so has each function of one name.

use std::marker::PhantomData;

use stampede_runtime::coalesce;

use super::help::{shares, shares_all, shares_nothing, work};

#[coalesce]
async fn default_of<T: Default + Clone + Send + Sync + 'static>() -> T {
    work().await;
    T::default()
}

#[tokio::test(start_paused = true)]
async fn instantiations_of_a_generic_function() {
    assert_eq!(shares_nothing(default_of::<u8>(), default_of::<u16>()).await, (0, 0));
    assert_eq!(shares_all(default_of::<String>(), default_of::<String>()).await, Default::default());
}

/// A marker that is no part of any argument.
trait Unit: 'static {
    const NAME: &str;
}

struct Metre;

impl Unit for Metre {
    const NAME: &str = "m";
}

struct Foot;

impl Unit for Foot {
    const NAME: &str = "ft";
}

#[derive(Clone)]
struct Meter<U>(PhantomData<fn() -> U>);

impl<U: Unit> Meter<U> {
    const NEW: Self = Meter(PhantomData);

    #[coalesce(skip(self), companion = read)]
    async fn read(&self, at: u32) -> String {
        work().await;
        format!("{at}{}", U::NAME)
    }

    #[coalesce(method, companion = read_static)]
    async fn read_static(at: u32) -> String {
        work().await;
        format!("{at}{}", U::NAME)
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_of_a_generic_impl() {
    let (metre, foot) = (Meter::<Tick>::NEW, Meter::<Tock>::NEW);
    shares(metre.read(1), metre.read(1), metre.read(2)).await;
    assert_eq!(shares_nothing(metre.read(1), foot.read(1)).await, ("1tick".into(), "1tock".into()));
}

#[derive(Clone)]
struct Tick;

impl Unit for Tick {
    const NAME: &str = "tick";
}

#[derive(Clone)]
struct Tock;

impl Unit for Tock {
    const NAME: &str = "tock";
}

#[tokio::test(start_paused = true)]
async fn an_associated_function_of_a_generic_impl() {
    let (metre, foot) = (Meter::<Metre>::read_static, Meter::<Foot>::read_static);
    shares(metre(1), metre(1), metre(2)).await;
    assert_eq!(shares_nothing(metre(1), foot(1)).await, ("1m".into(), "1ft".into()));
}

#[tokio::test(start_paused = true)]
async fn siblings_belong_to_one_instantiation() {
    let _isolated = stampede_runtime::testing::isolate();
    Meter::<Metre>::read_static(1).await;
    assert_eq!(Meter::<Metre>::read_static_stats().executions, 1);
    assert_eq!(Meter::<Foot>::read_static_stats().executions, 0);
}

trait Greet {
    async fn greet(&self, name: &str) -> String;
}

#[derive(Clone)]
struct Polite;

impl Greet for Polite {
    #[coalesce(skip(self))]
    async fn greet(&self, name: &str) -> String {
        work().await;
        format!("good day, {name}")
    }
}

#[derive(Clone)]
struct Curt;

impl Greet for Curt {
    #[coalesce(skip(self))]
    async fn greet(&self, name: &str) -> String {
        work().await;
        name.to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_trait_implemented_for_two_types() {
    shares(Polite.greet("a"), Polite.greet("a"), Polite.greet("b")).await;
    assert_eq!(shares_nothing(Polite.greet("a"), Curt.greet("a")).await, ("good day, a".into(), "a".into()));
}

trait Described: Clone + Send + Sync + 'static {
    const TEXT: &str;

    async fn describe(&self, n: u32) -> String;
}

macro_rules! described {
    ($($name:ident $text:literal)*) => {$(
        #[derive(Clone)]
        struct $name;

        impl Described for $name {
            const TEXT: &str = $text;

            #[coalesce(skip(self))]
            async fn describe(&self, n: u32) -> String {
                work().await;
                format!("{}{n}", Self::TEXT)
            }
        }
    )*};
}

described! { One "one" Two "two" }

#[tokio::test(start_paused = true)]
async fn impls_that_one_macro_wrote() {
    assert_eq!(shares_nothing(One.describe(1), Two.describe(1)).await, ("one1".into(), "two1".into()));
}

/// A blanket implementation: one place in the source, as many instantiations as types.
trait Named {
    async fn named(&self, n: u32) -> String;
}

impl<T: Described> Named for T {
    #[coalesce(skip(self))]
    async fn named(&self, n: u32) -> String {
        work().await;
        format!("{}{n}", Self::TEXT)
    }
}

#[tokio::test(start_paused = true)]
async fn a_blanket_impl() {
    assert_eq!(shares_nothing(One.named(1), Two.named(1)).await, ("one1".into(), "two1".into()));
}

async fn outer<T: Unit>(n: u32) -> String {
    #[coalesce]
    async fn nested<V: Unit>(n: u32) -> String {
        work().await;
        format!("{n}{}", V::NAME)
    }

    nested::<T>(n).await
}

#[tokio::test(start_paused = true)]
async fn a_generic_function_nested_in_a_generic_function() {
    shares(outer::<Metre>(1), outer::<Metre>(1), outer::<Metre>(2)).await;
    assert_eq!(shares_nothing(outer::<Metre>(1), outer::<Foot>(1)).await, ("1m".into(), "1ft".into()));
}

struct Users;
struct Orders;

impl Users {
    #[coalesce(method)]
    async fn load(id: u32) -> String {
        work().await;
        format!("user {id}")
    }
}

impl Orders {
    #[coalesce(method)]
    async fn load(id: u32) -> String {
        work().await;
        format!("order {id}")
    }
}

#[tokio::test(start_paused = true)]
async fn functions_of_one_name_in_two_impls_of_a_module() {
    assert_eq!(shares_nothing(Users::load(1), Orders::load(1)).await, ("user 1".into(), "order 1".into()));
}

#[tokio::test(start_paused = true)]
async fn functions_of_one_name_in_two_blocks() {
    let one = {
        #[coalesce]
        async fn load(id: u32) -> u32 {
            work().await;
            id
        }
        load(1)
    };
    let other = {
        #[coalesce]
        async fn load(id: u32) -> u32 {
            work().await;
            id + 1
        }
        load(1)
    };
    assert_eq!(shares_nothing(one, other).await, (1, 2));
}

#[coalesce(skip(map), companion = none)]
async fn mapped<R: Clone + Send + Sync + 'static>(key: u32, map: impl Fn(u32) -> R + Send + Sync + 'static) -> R {
    work().await;
    map(key)
}

#[tokio::test(start_paused = true)]
async fn closures_have_types_of_their_own() {
    // Two closures are two instantiations, and one closure is one.
    let double = |n| n * 2;
    assert_eq!(shares_all(mapped(1, double), mapped(1, double)).await, (2, 2));
    assert_eq!(shares_nothing(mapped(1, |n| n * 2), mapped(1, |n| n * 3)).await, (2, 3));
}
