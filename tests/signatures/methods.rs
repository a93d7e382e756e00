//! Receivers.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use stampede_runtime::coalesce;

use super::help::{shares, work};

/// A cheap handle.
#[derive(Clone)]
struct Handle {
    base: u32,
}

impl Handle {
    #[coalesce(skip(self), companion = borrowed)]
    async fn borrowed(&self, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n))]
    async fn by_field(&self, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base))]
    async fn by_value(self) -> u32 {
        work().await;
        self.base
    }

    #[coalesce(key(self.base))]
    async fn by_value_and_changed(mut self) -> u32 {
        work().await;
        self.base += 1;
        self.base
    }

    #[coalesce(key(self.base), attached)]
    async fn by_value_changed_and_attached(mut self) -> u32 {
        work().await;
        self.base += 1;
        self.base
    }

    #[coalesce(key(self.base), attached)]
    async fn by_value_attached(self) -> u32 {
        work().await;
        self.base
    }

    #[coalesce(key(self.base))]
    async fn boxed(self: Box<Self>) -> u32 {
        work().await;
        self.base
    }

    #[coalesce(ttl = "1h", method, companion = without)]
    async fn without_receiver(n: u32) -> u32 {
        work().await;
        n
    }

    #[coalesce(method)]
    async fn makes_self(base: u32) -> Self {
        work().await;
        Handle { base }
    }
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_self_that_is_clone() {
    let handle = Handle { base: 1 };
    shares(handle.borrowed(1), handle.borrowed(1), handle.borrowed(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_field_of_self_in_the_key() {
    let (one, equal, other) = (Handle { base: 1 }, Handle { base: 1 }, Handle { base: 2 });
    shares(one.by_field(1), equal.by_field(1), other.by_field(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_self_by_value() {
    shares(Handle { base: 1 }.by_value(), Handle { base: 1 }.by_value(), Handle { base: 2 }.by_value()).await;
}

#[tokio::test(start_paused = true)]
async fn a_self_by_value_that_is_mut() {
    let call = |base| Handle { base }.by_value_and_changed();
    shares(call(1), call(1), call(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_self_by_value_attached() {
    let call = |base| Handle { base }.by_value_attached();
    shares(call(1), call(1), call(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_self_by_value_that_is_mut_attached() {
    let call = |base| Handle { base }.by_value_changed_and_attached();
    shares(call(1), call(1), call(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_boxed_self() {
    let call = |base| Box::new(Handle { base }).boxed();
    shares(call(1), call(1), call(2)).await;
}

#[tokio::test(start_paused = true)]
async fn no_receiver() {
    shares(Handle::without_receiver(1), Handle::without_receiver(1), Handle::without_receiver(2)).await;
    let _isolated = stampede_runtime::testing::isolate();
    Handle::without_receiver(1).await;
    assert_eq!(Handle::without_peek(1), Some(1));
}

#[tokio::test(start_paused = true)]
async fn no_receiver_and_self_as_the_result() {
    let call = |base| async move { Handle::makes_self(base).await.base };
    shares(call(1), call(1), call(2)).await;
}

/// Not `Clone`.
struct Store {
    base: u32,
}

impl Store {
    #[coalesce(skip(self), attached)]
    async fn borrowed(&self, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n))]
    async fn shared(self: Arc<Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n), attached, companion = shared_attached)]
    async fn shared_attached(self: Arc<Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n))]
    async fn pointed(self: &Arc<Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n), attached)]
    async fn pointed_attached(self: &Arc<Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n), attached)]
    async fn counted(self: Rc<Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n), attached)]
    async fn counted_pointer(self: &Rc<Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n), attached)]
    async fn pinned(self: Pin<&Self>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n))]
    async fn pinned_and_shared(self: Pin<Arc<Self>>, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(key(self.base, n), attached)]
    #[allow(clippy::needless_arbitrary_self_type)] // The row.
    async fn spelt_out(self: &Self, n: u32) -> u32 {
        work().await;
        self.base + n
    }

    #[coalesce(skip(self))]
    async fn unused(&self, n: u32) -> u32 {
        work().await;
        n
    }
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_self_that_is_not_clone_attached() {
    let store = Store { base: 1 };
    shares(store.borrowed(1), store.borrowed(1), store.borrowed(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_self_that_the_body_does_not_need() {
    let store = Store { base: 1 };
    shares(store.unused(1), store.unused(1), store.unused(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_arc_self() {
    let store = || Arc::new(Store { base: 1 });
    shares(store().shared(1), store().shared(1), store().shared(2)).await;
    shares(store().shared_attached(1), store().shared_attached(1), store().shared_attached(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_an_arc_self() {
    let store = Arc::new(Store { base: 1 });
    shares(store.pointed(1), store.pointed(1), store.pointed(2)).await;
    shares(store.pointed_attached(1), store.pointed_attached(1), store.pointed_attached(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_rc_self_attached() {
    let store = || Rc::new(Store { base: 1 });
    shares(store().counted(1), store().counted(1), store().counted(2)).await;
    let store = store();
    shares(store.counted_pointer(1), store.counted_pointer(1), store.counted_pointer(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pinned_borrow_of_self_attached() {
    let store = Store { base: 1 };
    let store = Pin::new(&store);
    shares(store.pinned(1), store.pinned(1), store.pinned(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pinned_arc_self() {
    let store = Arc::pin(Store { base: 1 });
    shares(store.clone().pinned_and_shared(1), store.clone().pinned_and_shared(1), store.pinned_and_shared(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_self_spelt_out() {
    let store = Store { base: 1 };
    shares(store.spelt_out(1), store.spelt_out(1), store.spelt_out(2)).await;
}

/// Borrows what it works on.
struct Parser<'a> {
    text: &'a str,
}

impl<'a> Parser<'a> {
    #[coalesce(key(self.text, n), attached)]
    async fn word(&self, n: usize) -> Option<String> {
        work().await;
        let words: Vec<&'a str> = self.text.split(' ').collect();
        words.get(n).map(ToString::to_string)
    }

    #[coalesce(key(text), attached, method)]
    async fn longest(text: &'a str) -> usize {
        work().await;
        text.split(' ').map(str::len).max().unwrap_or_default()
    }
}

impl Parser<'_> {
    #[coalesce(key(self.text, n), attached, companion = letter)]
    async fn letter(&self, n: usize) -> Option<char> {
        work().await;
        self.text.chars().nth(n)
    }

    #[coalesce(key(self.text), attached)]
    async fn used_up(self) -> usize {
        work().await;
        self.text.len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_self_with_borrowed_fields_attached() {
    let text = "one two".to_owned();
    let parser = Parser { text: &text };
    shares(parser.word(0), parser.word(0), parser.word(1)).await;
    shares(parser.letter(0), parser.letter(0), parser.letter(1)).await;
    shares(Parser::longest(&text), Parser::longest(&text), Parser::longest("three")).await;
    let used_up = |text| Parser { text }.used_up();
    shares(used_up(&text), used_up(&text), used_up("three")).await;
}

#[tokio::test(start_paused = true)]
async fn the_siblings_of_a_self_with_borrowed_fields() {
    let _isolated = stampede_runtime::testing::isolate();
    let text = "one two".to_owned();
    Parser { text: &text }.letter(0).await;
    assert_eq!(Parser::letter_stats().executions, 1);
    assert_eq!(Parser { text: &text }.letter_peek(0), None);
    Parser { text: &text }.letter_insert(0, Some('x'));
}

/// A whole `self` in the key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Query {
    text: String,
}

impl Query {
    #[coalesce(key(self))]
    async fn run(&self) -> usize {
        work().await;
        self.text.len()
    }

    #[coalesce(key(self))]
    async fn run_by_value(self) -> usize {
        work().await;
        self.text.len()
    }

    #[coalesce(key = "{self.text}:{n}")]
    async fn by_text(&self, n: usize) -> usize {
        work().await;
        self.text.len() + n
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_self_in_the_key() {
    let query = |text: &str| Query { text: text.to_owned() };
    let (one, equal, other) = (query("a"), query("a"), query("ab"));
    shares(one.run(), equal.run(), other.run()).await;
    shares(one.by_text(1), equal.by_text(1), other.by_text(1)).await;
    shares(one.run_by_value(), equal.run_by_value(), other.run_by_value()).await;
}
