//! What has to be equal is: no answer crosses from one tenant, argument, function, namespace, version or model to another,
//! in flight or at rest.

use std::sync::Arc;

use stampede_runtime::semantic::{Embedded, Embedder, from_fn};
use stampede_runtime::{Config, semantic_coalesce};

use super::help::{World, boarded, settle};
use super::parts::{FakeIndex, Parts, direction, patient};
use super::process::process_with;

#[semantic_coalesce(namespace = "apart", guard = none, query = question, tenant = tenant, skip(world))]
async fn of_tenant(tenant: &str, question: &str, world: Arc<World>) -> usize {
    let _ = (tenant, question);
    world.body().await
}

#[semantic_coalesce(namespace = "apart", guard = none, query = question, skip(world))]
async fn of_arguments(model: &str, question: &str, system: Option<&str>, heat: Vec<u8>, world: Arc<World>) -> usize {
    let _ = (model, question, system, heat);
    world.body().await
}

struct Conversation {
    turn: u32,
    text: String,
    trace: u64,
}

#[semantic_coalesce(namespace = "apart", guard = none, query = conversation.text, key(conversation.turn))]
async fn of_key(conversation: Arc<Conversation>, world: Arc<World>) -> usize {
    let _ = conversation.trace;
    world.body().await
}

#[semantic_coalesce(namespace = "apart", guard = none, skip(world))]
async fn one(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "apart", guard = none, skip(world))]
async fn two(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

mod elsewhere {
    use std::sync::Arc;

    use stampede_runtime::semantic_coalesce;

    use super::World;

    #[semantic_coalesce(namespace = "elsewhere", guard = none, skip(world))]
    pub(super) async fn one(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }
}

/// The same function, as it was before.
mod before {
    use std::sync::Arc;

    use stampede_runtime::semantic_coalesce;

    use super::World;

    #[semantic_coalesce(namespace = "versions", guard = none, skip(world))]
    pub(super) async fn versioned(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }
}

/// And as it is now.
mod after {
    use std::sync::Arc;

    use stampede_runtime::semantic_coalesce;

    use super::World;

    #[semantic_coalesce(namespace = "versions", guard = none, version = 1, skip(world))]
    pub(super) async fn versioned(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }
}

/// Tries a question in every place, at rest and in flight; each has to be executed.
async fn all_apart<const N: usize, F>(places: [&dyn Fn(&'static str, Arc<World>) -> F; N])
where
    F: Future<Output = usize> + Send + 'static,
{
    let world = World::new();
    let mut calls = Vec::new();
    for call in places {
        calls.push(boarded(call("@0 one", Arc::clone(&world))).await);
    }
    assert_eq!(world.runs(), N, "in flight");
    // Each has its own paraphrases.
    for call in places {
        calls.push(boarded(call("@10 other", Arc::clone(&world))).await);
    }
    assert_eq!(world.runs(), N, "in flight");
    world.open_all();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    let of_one: Vec<_> = (1..=N).collect();
    assert_eq!(answers, [of_one.clone(), of_one].concat());
    settle().await;
    for (at, call) in places.into_iter().enumerate() {
        assert_eq!(call("@5 third", Arc::clone(&world)).await, at + 1, "at rest");
    }
}

#[tokio::test(start_paused = true)]
async fn tenants() {
    let parts = Parts::new();
    patient(&parts, async {
        let of = |tenant: &'static str| move |question, world| of_tenant(tenant, question, world);
        // Names that try to be another's.
        let tenants = ["", "a", "A", "a ", "a\0", "a\u{FFFD}", "%", "a%", "_", "a'--", "a:b", "ａ"].map(of);
        let tenants = tenants.each_ref().map(|call| call as &dyn Fn(_, _) -> _);
        all_apart(tenants).await;
        // Of one, nothing of the others is taken out.
        of_tenant::invalidate("a", "@0 one").await.unwrap();
        let world = World::at_ease();
        assert_eq!(of_tenant("A", "@2 fourth", Arc::clone(&world)).await, 3);
        assert_eq!(of_tenant("a", "@2 fourth", Arc::clone(&world)).await, 1, "of this world");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn arguments() {
    let parts = Parts::new();
    patient(&parts, async {
        let of = |model: &'static str, system: Option<&'static str>, heat: &'static [u8]| {
            move |question, world| of_arguments(model, question, system, heat.to_vec(), world)
        };
        let places = [
            of("m", None, &[]),
            of("n", None, &[]),
            of("M", None, &[]),
            of("m", Some(""), &[]),
            of("m", Some("be brief"), &[]),
            of("m", Some("be  brief"), &[]),
            of("m", None, &[0]),
            of("m", None, &[0, 0]),
        ];
        all_apart(places.each_ref().map(|call| call as &dyn Fn(_, _) -> _)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_key_and_not_what_is_not() {
    let parts = Parts::new();
    patient(&parts, async {
        let of = |turn, trace| {
            move |question: &'static str, world| {
                of_key(Arc::new(Conversation { turn, text: question.to_owned(), trace }), world)
            }
        };
        all_apart([&of(1, 1), &of(2, 1)]).await;
        let world = World::at_ease();
        assert_eq!(of(1, 9)("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(of(2, 9)("@3 fourth", Arc::clone(&world)).await, 2);
        assert_eq!(world.runs(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn functions_and_namespaces() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(one("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(two("@0 one", Arc::clone(&world)).await, 2);
        assert_eq!(elsewhere::one("@0 one", Arc::clone(&world)).await, 3);
        assert_eq!(two("@10 other", Arc::clone(&world)).await, 2);
        one::clear().await.unwrap();
        assert_eq!(elsewhere::one("@10 other", Arc::clone(&world)).await, 3);
        assert_eq!(two("@5 third", Arc::clone(&world)).await, 2);
        assert_eq!(one("@5 third", Arc::clone(&world)).await, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn versions() {
    let (parts, world) = (Parts::new(), World::at_ease());
    patient(&parts, async { assert_eq!(before::versioned("@0 one", Arc::clone(&world)).await, 1) }).await;
    patient(&parts, async {
        assert_eq!(after::versioned("@0 one", Arc::clone(&world)).await, 2);
        assert_eq!(after::versioned("@10 other", Arc::clone(&world)).await, 2);
    })
    .await;
    patient(&parts, async { assert_eq!(before::versioned("@10 other", Arc::clone(&world)).await, 1) }).await;
}

/// A process with this embedder.
async fn with<T>(embedder: impl Embedder, index: &Arc<FakeIndex>, test: impl Future<Output = T>) -> T {
    process_with(Config::builder().embedder(embedder).index("pgvector", Arc::clone(index)), test).await
}

#[tokio::test(start_paused = true)]
async fn models() {
    let (index, world) = (FakeIndex::new(), World::at_ease());
    let model = |name: &'static str, dimensions| {
        from_fn(name, dimensions, move |texts: Vec<String>| async move {
            let all =
                texts.iter().map(|text| direction(text).into_iter().chain([0.0; 9]).take(dimensions.max(3)).collect());
            Ok::<_, String>(all.collect::<Vec<Vec<f32>>>())
        })
    };
    let call = |question: &'static str| one(question, Arc::clone(&world));
    with(model("m", 3), &index, async { assert_eq!(call("@0 one").await, 1) }).await;
    // Another one answers the same question anew.
    with(model("n", 3), &index, async { assert_eq!((call("@0 one").await, call("@10 other").await), (2, 2)) }).await;
    // So does one of the same name and other dimensions.
    with(model("m", 5), &index, async { assert_eq!((call("@0 one").await, call("@10 other").await), (3, 3)) }).await;
    with(model("m", 3), &index, async { assert_eq!((call("@10 other").await, call("@0 one").await), (1, 1)) }).await;
}

/// What does not say how many dimensions it has may change them; then nothing is near, and exact hits stay.
#[tokio::test(start_paused = true)]
async fn dimensions() {
    struct Grown(usize);

    impl Embedder for Grown {
        fn model_id(&self) -> &'static str {
            "grown"
        }

        fn dimensions(&self) -> usize {
            0
        }

        fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
            Box::pin(async {
                let all = texts.iter().map(|text| direction(text).into_iter().chain([0.0; 9]).take(self.0).collect());
                Ok(all.collect())
            })
        }
    }

    let (index, world) = (FakeIndex::new(), World::at_ease());
    let call = |question: &'static str| one(question, Arc::clone(&world));
    with(Grown(3), &index, async { assert_eq!(call("@0 one").await, 1) }).await;
    with(Grown(7), &index, async {
        assert_eq!(call("@0 one").await, 1, "exactly this one");
        assert_eq!((call("@10 other").await, call("@15 third").await), (2, 2));
    })
    .await;
    with(Grown(3), &index, async { assert_eq!(call("@5 fourth").await, 1) }).await;
}
