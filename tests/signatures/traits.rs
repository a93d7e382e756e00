//! Traits.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use stampede_runtime::coalesce;

use super::help::{shares, work};

/// A native async function.
#[allow(async_fn_in_trait)]
trait Native {
    async fn load(&self, id: u32) -> String;
}

/// The form that promises `Send`.
trait Desugared {
    fn load(&self, id: u32) -> impl Future<Output = String> + Send;
}

#[derive(Clone)]
struct Service {
    base: u32,
}

impl Native for Service {
    #[coalesce(key(self.base, id))]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.base)
    }
}

impl Desugared for Service {
    #[coalesce(key(self.base, id))]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}:{id}", self.base)
    }
}

#[tokio::test(start_paused = true)]
async fn a_native_async_fn_in_an_impl() {
    let service = Service { base: 1 };
    let call = |id| Native::load(&service, id);
    shares(call(1), call(1), call(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_async_fn_where_the_trait_says_impl_future() {
    let service = Service { base: 1 };
    let call = |id| Desugared::load(&service, id);
    shares(call(1), call(1), call(2)).await;
}

/// Not `Clone`, and borrowed.
struct Local<'a> {
    base: &'a str,
    shared: Rc<u32>,
}

impl Native for Local<'_> {
    #[coalesce(key(self.base, id), attached)]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}/{}", self.base, self.shared)
    }
}

#[tokio::test(start_paused = true)]
async fn a_native_async_fn_attached() {
    let base = "a".to_owned();
    let local = Local { base: &base, shared: Rc::new(1) };
    let call = |id| Native::load(&local, id);
    shares(call(1), call(1), call(2)).await;
}

/// Not `Clone`, but all that it borrows may be shared between threads.
struct Threaded<'a> {
    base: &'a str,
}

impl Desugared for Threaded<'_> {
    #[coalesce(key(self.base, id), attached)]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.base)
    }
}

#[tokio::test(start_paused = true)]
async fn an_attached_body_that_is_send_where_the_trait_asks_for_it() {
    let base = "a".to_owned();
    let service = Threaded { base: &base };
    shares(service.load(1), service.load(1), service.load(2)).await;
}

/// Bodies of its own.
trait Defaults: Clone + Send + Sync + 'static {
    fn base(&self) -> u32;

    #[coalesce(key(self.base(), id))]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.base())
    }

    #[coalesce(method)]
    async fn without_receiver(id: u32) -> String {
        work().await;
        format!("{}/{id}", std::any::type_name::<Self>().len())
    }
}

impl Defaults for Service {
    fn base(&self) -> u32 {
        self.base
    }
}

/// Another one.
#[derive(Clone)]
struct Other;

impl Defaults for Other {
    fn base(&self) -> u32 {
        1
    }
}

#[tokio::test(start_paused = true)]
async fn a_default_method() {
    let service = Service { base: 1 };
    shares(service.load_default(1), service.load_default(1), service.load_default(2)).await;
    super::help::shares_nothing(Defaults::load(&service, 1), Defaults::load(&Other, 1)).await;
    let call = |id| Service::without_receiver(id);
    shares(call(1), call(1), call(2)).await;
    super::help::shares_nothing(Service::without_receiver(1), Other::without_receiver(1)).await;
}

impl Service {
    fn load_default(&self, id: u32) -> impl Future<Output = String> {
        Defaults::load(self, id)
    }
}

/// A default method for those that are not `Clone`.
#[allow(async_fn_in_trait)]
trait DefaultsAttached {
    fn base(&self) -> u32;

    #[coalesce(key(self.base(), id), attached)]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.base())
    }
}

impl DefaultsAttached for Local<'_> {
    fn base(&self) -> u32 {
        *self.shared
    }
}

#[tokio::test(start_paused = true)]
async fn a_default_method_attached() {
    let local = Local { base: "a", shared: Rc::new(1) };
    let call = |id| DefaultsAttached::load(&local, id);
    shares(call(1), call(1), call(2)).await;
}

/// What a trait object is made of.
#[async_trait]
trait Object: Send + Sync {
    async fn load(&self, id: u32) -> String;
}

struct Repository {
    base: u32,
}

impl Repository {
    #[coalesce(key(self.base, id))]
    async fn load_shared(self: &Arc<Self>, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.base)
    }
}

#[async_trait]
impl Object for Arc<Repository> {
    async fn load(&self, id: u32) -> String {
        self.load_shared(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_async_trait_object_with_an_inherent_method() {
    let object: Box<dyn Object> = Box::new(Arc::new(Repository { base: 1 }));
    shares(object.load(1), object.load(1), object.load(2)).await;
}

/// A reference to itself, without `Clone`.
struct Plain {
    base: u32,
}

impl Plain {
    #[coalesce(key(self.base, id), attached)]
    async fn load_shared(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.base)
    }
}

#[async_trait]
impl Object for Plain {
    async fn load(&self, id: u32) -> String {
        self.load_shared(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_async_trait_object_with_an_attached_inherent_method() {
    let object: Arc<dyn Object> = Arc::new(Plain { base: 1 });
    shares(object.load(1), object.load(1), object.load(2)).await;
}

/// Generic over what loads.
struct Front<L>(Arc<L>);

impl<L: Desugared + Sync + Send + 'static> Front<L> {
    #[coalesce(skip(self))]
    async fn load(self: &Arc<Self>, id: u32) -> String {
        self.0.load(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_through_a_generic_trait() {
    let front = Arc::new(Front(Arc::new(Service { base: 1 })));
    shares(front.load(1), front.load(1), front.load(2)).await;
}

/// With a parameter, an associated type and a lifetime.
trait Convert<T> {
    type Output;

    #[allow(clippy::needless_lifetimes)] // The row.
    async fn convert<'a>(&self, from: &'a T) -> Self::Output;
}

impl Convert<String> for Service {
    type Output = usize;

    #[coalesce(skip(self))]
    async fn convert<'a>(&self, from: &'a String) -> Self::Output {
        work().await;
        from.len()
    }
}

impl Convert<u32> for Service {
    type Output = u32;

    #[coalesce(skip(self))]
    async fn convert(&self, from: &u32) -> Self::Output {
        work().await;
        from + self.base
    }
}

#[tokio::test(start_paused = true)]
async fn an_associated_type_as_the_result() {
    let service = Service { base: 1 };
    let text = |length: usize| {
        let service = service.clone();
        async move { service.convert(&"a".repeat(length)).await }
    };
    shares(text(1), text(1), text(2)).await;
    shares(service.convert(&1), service.convert(&1), service.convert(&2)).await;
}
