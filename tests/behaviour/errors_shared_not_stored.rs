//! N callers of a failing function: one execution, N errors, and the next call tries again.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::{Error, SharedError, coalesce};
use tokio::time::{Instant, sleep};

use super::help::{Token, World, all, alone, crowd, freed, is_last};

/// An error that cannot be cloned, with a cause.
#[derive(Debug)]
enum LoadError {
    Disk(io::Error),
    Stampede(Error),
}

impl LoadError {
    fn new() -> LoadError {
        LoadError::Disk(io::Error::new(io::ErrorKind::NotFound, "no such page"))
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Disk(_) => write!(f, "the page could not be loaded"),
            LoadError::Stampede(error) => error.fmt(f),
        }
    }
}

impl StdError for LoadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            LoadError::Disk(error) => Some(error),
            LoadError::Stampede(error) => error.source(),
        }
    }
}

impl From<Error> for LoadError {
    fn from(error: Error) -> LoadError {
        LoadError::Stampede(error)
    }
}

/// The texts of an error and of all its causes.
fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_fail_in_the_time_of_one() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn fails(_key: u32, world: Arc<World>) -> Result<(), String> {
        let number = world.begin();
        sleep(Duration::from_secs(1)).await;
        Err(format!("failure {number}"))
    }

    alone(async {
        let world = World::new();
        let start = Instant::now();
        let callers = crowd(100, || fails(1, Arc::clone(&world))).await;
        assert!(all(callers).await.iter().all(|result| *result == Err("failure 1".to_owned())));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(world.runs(), 1);
        assert_eq!(fails::peek(1), None);

        assert_eq!(fails(1, Arc::clone(&world)).await, Err("failure 2".to_owned()), "the next call tries again");
        let stats = fails::stats();
        assert_eq!((stats.requests, stats.executions, stats.errors, stats.coalesce_hits), (101, 2, 2, 99));
        assert_eq!((stats.cache_size, stats.in_flight), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_does_not_displace_a_kept_value() {
    #[coalesce(ttl = "1h", skip(fail))]
    async fn sometimes(_key: u32, fail: bool) -> Result<&'static str, String> {
        if fail { Err("failure".to_owned()) } else { Ok("kept") }
    }

    alone(async {
        assert_eq!(sometimes(1, false).await, Ok("kept"));
        assert_eq!(sometimes::refresh(1, true).await, Err("failure".to_owned()));
        assert_eq!(sometimes(1, true).await, Ok("kept"));
        sometimes::insert(1, Err("failure".to_owned()));
        assert_eq!(sometimes::peek(1), Some(Ok("kept")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_can_be_cloned_is_cloned() {
    #[coalesce(skip(world))]
    async fn cloned(_key: u32, world: Arc<World>) -> Result<(), Arc<LoadError>> {
        world.body().await;
        Err(Arc::new(LoadError::new()))
    }

    alone(async {
        let world = World::new();
        let callers = crowd(3, || cloned(1, Arc::clone(&world))).await;
        world.open_all();
        let errors = all(callers).await.into_iter().map(|result| result.expect_err("it fails")).collect::<Vec<_>>();
        assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));
        assert!(matches!(*errors[0], LoadError::Disk(_)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clone_wins_where_a_view_would_be_possible_too() {
    #[derive(Clone, Debug, PartialEq)]
    enum Both {
        Own,
        Stampede,
    }

    impl fmt::Display for Both {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl StdError for Both {}

    impl From<Error> for Both {
        fn from(_: Error) -> Both {
            Both::Stampede
        }
    }

    #[coalesce]
    async fn both() -> Result<(), Both> {
        Err(Both::Own)
    }

    alone(async {
        assert_eq!(both().await, Err(Both::Own));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_own_enum_receives_a_view_with_message_and_causes() {
    /// An alias: how results are shared is found by type, not by name.
    type Loaded<T, E = LoadError> = Result<T, E>;

    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> Loaded<()> {
        world.body().await;
        Err(LoadError::new())
    }

    alone(async {
        let world = World::new();
        let callers = crowd(3, || load(1, Arc::clone(&world))).await;
        world.open_all();
        let mut results = all(callers).await;
        // A lone caller gets the same view: code must not behave differently under load.
        results.push(load(2, Arc::clone(&world)).await);
        for result in results {
            let Err(LoadError::Stampede(Error::Shared(shared))) = result else { panic!("not a view: {result:?}") };
            assert_eq!(chain(&shared), ["the page could not be loaded", "no such page"]);
            let original = shared.downcast_ref::<LoadError>().expect("it is this error that was returned");
            assert!(matches!(original, LoadError::Disk(error) if error.kind() == io::ErrorKind::NotFound));
            let error = Error::Shared(shared);
            assert_eq!(chain(&error), ["the page could not be loaded", "no such page"]);
            assert!(error.downcast_ref::<LoadError>().is_some());
            assert!(error.downcast_ref::<io::Error>().is_none());
        }
        assert_eq!(world.runs(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn anyhow_receives_a_view_with_message_and_causes() {
    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> anyhow::Result<()> {
        world.body().await;
        Err(LoadError::new().into())
    }

    alone(async {
        let world = World::new();
        let callers = crowd(3, || load(1, Arc::clone(&world))).await;
        world.open_all();
        let mut results = all(callers).await;
        results.push(load(2, Arc::clone(&world)).await);
        for result in results {
            let error = result.expect_err("it fails");
            assert_eq!(format!("{error:#}"), "the page could not be loaded: no such page");
            let ours = error.downcast_ref::<Error>().expect("a view");
            assert!(matches!(ours.downcast_ref(), Some(LoadError::Disk(_))));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_boxed_error_receives_a_view_with_message_and_causes() {
    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        world.body().await;
        Err(Box::new(LoadError::new()))
    }

    alone(async {
        let world = World::new();
        let callers = crowd(3, || load(1, Arc::clone(&world))).await;
        world.open_all();
        let mut results = all(callers).await;
        results.push(load(2, Arc::clone(&world)).await);
        for result in results {
            let error = result.expect_err("it fails");
            assert_eq!(chain(&*error), ["the page could not be loaded", "no such page"]);
            let ours = error.downcast_ref::<Error>().expect("a view");
            assert!(matches!(ours.downcast_ref(), Some(LoadError::Disk(_))));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_crate_s_own_error_passes_through_other_functions() {
    #[coalesce]
    async fn inner() -> Result<(), LoadError> {
        Err(LoadError::new())
    }

    #[coalesce]
    async fn outer() -> Result<(), LoadError> {
        inner().await
    }

    alone(async {
        let error = outer().await.expect_err("it fails");
        assert_eq!(chain(&error), ["the page could not be loaded", "no such page"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_view_is_an_error_like_any_other() {
    fn is_error<E: StdError + Clone + Send + Sync + 'static>() {}

    is_error::<Error>();
    is_error::<SharedError>();
}

#[tokio::test(start_paused = true)]
async fn an_error_is_dropped_with_its_last_view() {
    #[derive(Debug)]
    struct Heavy(#[expect(dead_code, reason = "held to be counted")] Token);

    impl fmt::Display for Heavy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("heavy")
        }
    }

    impl StdError for Heavy {}

    #[coalesce(ttl = "1h", skip(token))]
    async fn load(_key: u32, token: Token) -> anyhow::Result<()> {
        Err(Heavy(token).into())
    }

    alone(async {
        let token = Token::default();
        let error = load(1, Arc::clone(&token)).await.expect_err("it fails");
        assert!(!is_last(&token));
        drop(error);
        let change = || {
            load::insert(2, ());
            load::invalidate(2);
        };
        freed(&[&token], change).await;
    })
    .await;
}
