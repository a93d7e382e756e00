//! Where a function stands, and who wrote it.

use std::pin::Pin;

use stampede_runtime::{coalesce, coalesce_by_content};

use super::help::{runs, shares, shares_all, shares_nothing, work};

macro_rules! loader {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($argument:ident: $type:ty) -> $result:ty $body:block) => {
        $(#[$attribute])*
        #[coalesce(ttl = "1h")]
        $visibility async fn $name($argument: $type) -> $result {
            work().await;
            $body
        }
    };
}

loader! {
    /// Made by a macro.
    #[allow(clippy::unused_async)]
    pub(crate) fn from_macro(text: &str) -> Result<usize, String> {
        if text.is_empty() { return Err("empty".to_owned()); }
        Ok(text.len())
    }
}

loader! { fn from_macro_by_option(text: Option<&str>) -> usize { text.map_or(0, str::len) } }
loader! { fn from_macro_by_value(n: u32) -> u32 { n + 1 } }

#[tokio::test(start_paused = true)]
async fn a_function_that_macro_rules_wrote() {
    shares(from_macro("a"), from_macro("a"), from_macro("")).await;
    shares(from_macro_by_option(Some("a")), from_macro_by_option(Some("a")), from_macro_by_option(None)).await;
    shares(from_macro_by_value(1), from_macro_by_value(1), from_macro_by_value(2)).await;
}

macro_rules! names_of_its_own {
    ($name:ident, $ttl:expr, $key:expr) => {
        #[coalesce(ttl = $ttl, key($key, id))]
        async fn $name(id: u32) -> u32 {
            work().await;
            id
        }
    };
}

names_of_its_own!(hygienic, "1h", 7_u8);

#[tokio::test(start_paused = true)]
async fn a_macro_that_names_the_arguments_itself() {
    shares(hygienic(1), hygienic(1), hygienic(2)).await;
    assert_eq!(hygienic::stats().executions, 0);
}

macro_rules! whole {
    ($item:item) => {
        #[coalesce]
        $item
    };
}

whole! {
    async fn whole_item(&(left, right): &(u32, u32)) -> u32 {
        work().await;
        left - right
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_handed_through_a_macro() {
    shares(whole_item(&(2, 1)), whole_item(&(2, 1)), whole_item(&(2, 2))).await;
}

macro_rules! methods {
    ($type:ident: $($name:ident = $factor:literal),*) => {
        #[derive(Clone)]
        struct $type(u32);

        impl $type {$(
            #[coalesce(key(self.0))]
            async fn $name(&self) -> u32 {
                work().await;
                self.0 * $factor
            }
        )*}
    };
}

methods!(Scale: double = 2, triple = 3);

#[tokio::test(start_paused = true)]
async fn methods_that_macro_rules_wrote() {
    shares(Scale(1).double(), Scale(1).double(), Scale(2).double()).await;
    assert_eq!(shares_nothing(Scale(1).double(), Scale(1).triple()).await, (2, 3));
}

mod inner {
    use stampede_runtime::coalesce;

    use super::work;

    /// For this crate.
    #[coalesce(ttl = "1h")]
    pub(crate) async fn in_crate(n: u32) -> u32 {
        work().await;
        n
    }

    /// For the module above.
    #[coalesce]
    pub(super) async fn in_super(n: u32) -> u32 {
        work().await;
        n
    }

    /// For a module by its path.
    #[coalesce]
    pub(in crate::signatures) async fn in_path(n: u32) -> u32 {
        work().await;
        n
    }

    pub(super) mod deeper {
        /// For all.
        #[doc(hidden)]
        #[super::coalesce]
        pub async fn hidden(n: u32) -> u32 {
            super::work().await;
            n
        }
    }
}

#[tokio::test(start_paused = true)]
async fn functions_of_any_visibility() {
    use inner::deeper::hidden;
    use inner::{in_crate, in_path, in_super};

    shares(in_crate(1), in_crate(1), in_crate(2)).await;
    shares(in_super(1), in_super(1), in_super(2)).await;
    shares(in_path(1), in_path(1), in_path(2)).await;
    shares(hidden(1), hidden(1), hidden(2)).await;
    assert_eq!(hidden::stats().requests + in_crate::stats().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn a_function_inside_a_function() {
    struct Local(u32);

    #[coalesce(skip(local))]
    async fn nested(local: std::sync::Arc<Local>, n: u32) -> u32 {
        work().await;
        local.0 + n
    }

    let call = |n| nested(Local(1).into(), n);
    shares(call(1), call(1), call(2)).await;
    assert_eq!(nested::stats().requests, 0);
}

const _: () = {
    impl Scale {
        #[coalesce(key(self.0), companion = in_const)]
        async fn in_const(&self) -> u32 {
            work().await;
            self.0
        }
    }
};

#[tokio::test(start_paused = true)]
async fn an_impl_inside_a_const() {
    shares(Scale(1).in_const(), Scale(1).in_const(), Scale(2).in_const()).await;
}

#[coalesce]
async fn factorial(n: u64) -> u64 {
    work().await;
    if n == 0 { 1 } else { n * factorial(n - 1).await }
}

#[tokio::test(start_paused = true)]
async fn a_recursion() {
    assert_eq!(shares_all_of(4, factorial(3), factorial(3)).await, (6, 6));
}

#[coalesce(attached)]
async fn factorial_attached(n: u64) -> u64 {
    work().await;
    if n == 0 { 1 } else { n * factorial_attached(n - 1).await }
}

#[coalesce(attached)]
async fn factorial_boxed(n: u64) -> u64 {
    work().await;
    if n == 0 {
        return 1;
    }
    let rest: Pin<Box<dyn Future<Output = u64>>> = Box::pin(factorial_boxed(n - 1));
    n * rest.await
}

#[tokio::test(start_paused = true)]
async fn an_attached_recursion() {
    assert_eq!(shares_all_of(4, factorial_attached(3), factorial_attached(3)).await, (6, 6));
}

#[tokio::test(start_paused = true)]
async fn an_attached_recursion_through_a_box() {
    assert_eq!(shares_all_of(4, factorial_boxed(3), factorial_boxed(3)).await, (6, 6));
}

#[coalesce]
async fn even(n: u32) -> bool {
    work().await;
    if n == 0 { true } else { odd(n - 1).await }
}

#[coalesce]
async fn odd(n: u32) -> bool {
    work().await;
    if n == 0 { false } else { even(n - 1).await }
}

#[tokio::test(start_paused = true)]
async fn a_recursion_through_another() {
    assert_eq!(shares_all_of(4, even(3), even(3)).await, (false, false));
}

/// Two equal calls whose execution makes others.
async fn shares_all_of<T>(executions: usize, one: impl Future<Output = T>, equal: impl Future<Output = T>) -> (T, T) {
    let _isolated = stampede_runtime::testing::isolate();
    let results = tokio::join!(one, equal);
    assert_eq!(runs(), executions);
    results
}

/// A call in a box.
type Boxed = Pin<Box<dyn Future<Output = u32> + Send>>;

#[tokio::test(start_paused = true)]
async fn a_function_as_a_value() {
    let call: fn(u32) -> _ = from_macro_by_value;
    shares(call(1), call(1), call(2)).await;
    let boxed: Box<dyn Fn(u32) -> Boxed> = Box::new(|n| Box::pin(from_macro_by_value(n)));
    shares(boxed(1), boxed(1), boxed(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_task() {
    let call = |n| async move { tokio::spawn(from_macro_by_value(n)).await.expect("no panic") };
    shares(call(1), call(1), call(2)).await;
}

#[coalesce]
async fn without_arguments() -> u32 {
    work().await;
    7
}

#[coalesce(attached)]
async fn without_arguments_attached() -> u32 {
    work().await;
    7
}

#[coalesce_by_content]
async fn without_content() -> u32 {
    work().await;
    7
}

#[tokio::test(start_paused = true)]
async fn no_arguments_at_all() {
    shares_all(without_arguments(), without_arguments()).await;
    shares_all(without_arguments_attached(), without_arguments_attached()).await;
    shares_all(without_content(), without_content()).await;
}

#[coalesce(companion = none)]
async fn str(text: &str) -> usize {
    work().await;
    text.len()
}

#[tokio::test(start_paused = true)]
async fn a_function_named_like_a_primitive_without_companion() {
    shares(str("a"), str("a"), str("")).await;
}
