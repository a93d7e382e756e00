use std::time::Duration;

use super::*;
use crate::semantic::conformance;

#[tokio::test(start_paused = true)]
async fn keeps_what_every_index_promises() {
    let shared = Arc::new(EmbeddedIndex::new());
    conformance::check(384, async || Arc::clone(&shared)).await;
    assert!(format!("{shared:?}").contains("partitions: 0, entries: 0, bytes: 0"), "{shared:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_it_on_the_real_clock_and_two_threads_too() {
    conformance::check(16, async || Arc::new(EmbeddedIndex::new())).await;
}

fn partition(tenant: &str) -> Partition {
    Partition { namespace: "f".into(), model: "m".into(), tenant: tenant.into(), arguments: [0; 32] }
}

fn hash(number: usize) -> QuestionHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash
}

fn noise(random: &mut fastrand::Rng, dimensions: usize) -> Embedding {
    Embedding::new((0..dimensions).map(|_| random.f32() - 0.5).collect(), dimensions).unwrap()
}

fn new(number: usize, embedding: &Embedding) -> New<'_> {
    New {
        hash: hash(number),
        question: "mail@example.com",
        embedding,
        response: "\"secret\"",
        ttl: Duration::from_secs(600),
        retention: Duration::ZERO,
        cost: Duration::ZERO,
        began: tokio::time::Instant::now().into_std(),
        capacity: 100_000,
    }
}

/// What is near, by looking at all of them.
fn by_hand(all: &[(usize, Embedding)], to: &Embedding, limit: usize) -> Vec<QuestionHash> {
    let mut near: Vec<_> = all.iter().map(|(number, of)| (of.similarity(to).unwrap(), *number)).collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.into_iter().take(limit).map(|(_, number)| hash(number)).collect()
}

/// Rows move when others go: many puts and removals in random order, and the answer is that of a list.
#[tokio::test]
async fn finds_the_nearest_whatever_came_and_went() {
    let mut random = fastrand::Rng::with_seed(7);
    let (index, of) = (EmbeddedIndex::new(), partition(""));
    let mut all: Vec<(usize, Embedding)> = Vec::new();
    // A block holds 170 rows of these.
    for step in 0..4000 {
        if random.u8(..) < 60 && !all.is_empty() {
            let (number, _) = all.swap_remove(random.usize(..all.len()));
            assert!(index.remove(&of, &hash(number)).await.unwrap());
        } else {
            let (number, embedding) = (random.usize(..1000), noise(&mut random, 384));
            assert!(index.keep(&of, &new(number, &embedding)).unwrap());
            all.retain(|(other, _)| *other != number);
            all.push((number, embedding));
        }
        if step % 50 == 0 {
            let to = noise(&mut random, 384);
            let near = index.look_near(&of, &to, 5).await;
            let near: Vec<_> = near.into_iter().map(|near| near.entry.hash).collect();
            assert_eq!(near, by_hand(&all, &to, 5), "step {step}");
        }
    }
    assert!(all.len() > 340, "several blocks");
}

/// While a long scan lets others have their turn, entries go, come and change.
#[tokio::test]
async fn a_scan_that_pauses_serves_nothing_that_was_removed_meanwhile() {
    let mut random = fastrand::Rng::with_seed(7);
    let (index, of) = (EmbeddedIndex::new(), partition(""));
    let to = noise(&mut random, 384);
    let far = Embedding::new(to.as_slice().iter().map(|number| -number).collect(), 0).unwrap();
    for number in 0..3 {
        index.keep(&of, &new(number, &to)).unwrap();
    }
    for number in 3..6000 {
        index.keep(&of, &new(number, &noise(&mut random, 384))).unwrap();
    }
    let mut near = Box::pin(index.look_near(&of, &to, 3));
    let first = std::future::poll_fn(|context| std::task::Poll::Ready(near.as_mut().poll(context).is_ready())).await;
    assert!(!first, "the scan has to pause");
    assert!(index.remove(&of, &hash(0)).await.unwrap());
    index.keep(&of, &new(1, &far)).unwrap();
    let near = near.await;
    assert_eq!(near.iter().map(|near| near.entry.hash).collect::<Vec<_>>(), [hash(2), hash(1)]);
    assert!(near[0].similarity > 0.99 && near[1].similarity < -0.99, "each as near as it is now");

    let mut removal = Box::pin(index.take_near(&of, &to, 0.9));
    let first = std::future::poll_fn(|context| std::task::Poll::Ready(removal.as_mut().poll(context).is_ready())).await;
    assert!(!first, "the scan has to pause");
    index.keep(&of, &new(1, &to)).unwrap();
    assert_eq!(removal.await, 2, "the one that was put meanwhile, too");
    assert!(index.item(&of, &hash(1)).is_none());
}

#[tokio::test]
async fn hits_are_counted_until_an_entry_is_put_again() {
    let (index, of) = (EmbeddedIndex::new(), partition(""));
    let to = noise(&mut fastrand::Rng::with_seed(1), 8);
    assert_eq!(index.hits(&of, &hash(1)), None);
    index.keep(&of, &new(1, &to)).unwrap();
    for _ in 0..3 {
        index.hit(&of, &hash(1)).await.unwrap();
    }
    assert_eq!(index.hits(&of, &hash(1)), Some(3));
    index.keep(&of, &new(1, &to)).unwrap();
    assert_eq!(index.hits(&of, &hash(1)), Some(0));
}

#[tokio::test]
async fn the_partition_used_least_recently_makes_room() {
    let index = EmbeddedIndex::new().partitions_max(3);
    let to = noise(&mut fastrand::Rng::with_seed(1), 8);
    let left = || ["a", "b", "c", "d"].map(|tenant| index.read().partitions.contains_key(&partition(tenant)));
    for tenant in ["a", "b", "c"] {
        index.keep(&partition(tenant), &new(1, &to)).unwrap();
    }
    assert!(index.exact(&partition("a"), &hash(9)).await.unwrap().is_none(), "a use, if not a hit");
    index.keep(&partition("d"), &new(1, &to)).unwrap();
    assert_eq!(left(), [true, false, true, true]);
    assert!(!index.look_near(&partition("c"), &to, 1).await.is_empty());
    index.keep(&partition("b"), &new(1, &to)).unwrap();
    assert_eq!(left(), [false, true, true, true]);
}

#[tokio::test]
async fn bytes_are_limited_and_the_first_of_the_least_recent_partition_go() {
    let to = noise(&mut fastrand::Rng::with_seed(1), 8);
    let one = Item::new(0, &new(1, &to), clock::instant()).bytes();
    let index = EmbeddedIndex::new().bytes_max(4 * one);
    for (tenant, number) in [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)] {
        index.keep(&partition(tenant), &new(number, &to)).unwrap();
    }
    let is_left = |tenant, number| index.item(&partition(tenant), &hash(number)).is_some();
    assert_eq!([is_left("a", 1), is_left("a", 2), is_left("b", 1)], [false, true, true]);
    assert_eq!(index.read().bytes, 4 * one);

    let large = "x".repeat(5 * one);
    let error = index.keep(&partition("b"), &New { response: &large, ..new(3, &to) });
    assert_eq!(error, Err(BackendErrorKind::TooLarge));
    assert!(!is_left("b", 3), "what is out of date has gone");
    let filling = "x".repeat(3 * one);
    assert_eq!(index.keep(&partition("c"), &New { response: &filling, ..new(1, &to) }), Ok(true));
    assert!(is_left("c", 1) && !is_left("a", 2) && !is_left("b", 1) && !is_left("b", 2), "{index:?}");
    index.take_all("f");
    assert_eq!(index.read().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_goes_with_the_next_put() {
    let (index, of) = (EmbeddedIndex::new(), partition(""));
    let to = noise(&mut fastrand::Rng::with_seed(1), 8);
    for number in 0..10 {
        index.keep(&of, &New { ttl: Duration::from_secs(1), ..new(number, &to) }).unwrap();
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(index.read().partitions[&of].len(), 10);
    index.keep(&of, &new(99, &to)).unwrap();
    assert_eq!(index.read().partitions[&of].len(), 1);
}

#[tokio::test]
async fn a_poisoned_lock_is_no_end() {
    let (index, of) = (Arc::new(EmbeddedIndex::new()), partition(""));
    let to = noise(&mut fastrand::Rng::with_seed(1), 8);
    let poisoning = Arc::clone(&index);
    let ended = std::thread::spawn(move || {
        let _lock = poisoning.write();
        panic!("on purpose");
    });
    assert!(ended.join().is_err() && index.state.is_poisoned());
    index.keep(&of, &new(1, &to)).unwrap();
    assert_eq!(index.look_near(&of, &to, 1).await.len(), 1);
}

#[test]
fn debug_shows_no_content() {
    let index = EmbeddedIndex::new();
    let to = noise(&mut fastrand::Rng::with_seed(1), 8);
    index.keep(&partition("tenant@example.com"), &new(1, &to)).unwrap();
    let shown = format!("{index:?}");
    assert!(!shown.contains("example") && !shown.contains("secret") && shown.contains("entries: 1"), "{shown}");
}
