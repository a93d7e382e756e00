use super::*;
use crate::store::BackendErrorKind::{Refused, TimedOut, Unreachable};
use crate::store::lease::{Acquired, Asked, End, Token, Waiter, Wish};
use crate::store::{Id, Place, conformance};

const HOUR: Duration = Duration::from_secs(3600);

fn key(id: &str) -> StoreKey {
    StoreKey::new(&Place::new("faulty", "f", 1), Id::Text(id))
}

#[tokio::test(start_paused = true)]
async fn without_faults_it_keeps_what_every_backend_promises() {
    conformance::check(async || FaultyBackend::new()).await;
}

#[tokio::test]
async fn each_verb_has_a_script_of_its_own_and_all_can_be_told_at_once() {
    let backend = FaultyBackend::new();
    let prefix = Place::new("faulty", "f", 1).prefix();
    let kinds = async || {
        let key = key("a");
        let get = backend.get(&key).await.err();
        let set = backend.set(&key, b"entry", HOUR).await.err();
        let remove = backend.remove(&key).await.err();
        let clear = backend.clear(&prefix).await.err();
        let ping = backend.ping().await.err();
        [get, set, remove, clear, ping].map(|error| error.map(|error| error.kind()))
    };
    backend.on(Verb::Set).next(1, Fault::Fail(Refused));
    assert_eq!(kinds().await, [None, Some(Refused), None, None, None]);
    backend.always(Fault::Fail(Unreachable));
    let down = Some(Unreachable);
    assert_eq!(kinds().await, [down, down, down, down, None]);
    backend.on(Verb::Ping).always(Fault::Fail(TimedOut));
    assert_eq!(kinds().await, [down, down, down, down, Some(TimedOut)]);
    backend.heal();
    assert_eq!(kinds().await, [None; 5]);
    assert!(Verb::ALL[..5].iter().all(|verb| backend.on(*verb).asked() == 4));
}

#[tokio::test]
async fn what_is_lost_is_said_to_be_done() {
    let backend = FaultyBackend::new();
    let (there, gone) = (key("there"), key("gone"));
    backend.set(&there, b"entry", HOUR).await.unwrap();
    backend.always(Fault::Lose);
    backend.set(&gone, b"entry", HOUR).await.unwrap();
    assert_eq!(backend.get(&there).await.unwrap(), None);
    assert!(backend.remove(&there).await.unwrap());
    backend.heal();
    assert_eq!(backend.get(&there).await.unwrap().as_deref(), Some(&b"entry"[..]));
    assert_eq!(backend.inner().get(&gone).await.unwrap(), None);
}

#[tokio::test]
async fn entries_are_spoiled_on_their_way_out_or_in() {
    let backend = FaultyBackend::new();
    let key = key("a");
    let replaced = Fault::Replace(Arc::from(*b"other"));
    let spoiled: [(_, &[u8]); 5] = [
        (Fault::FlipBit(0), b"dntry"),
        (Fault::FlipBit(9), b"eltry"), // bit 1 of the second byte
        (Fault::FlipBit(5 * 8), b"dntry"),
        (Fault::Truncate(2), b"en"),
        (replaced.clone(), b"other"),
    ];
    for (fault, expected) in spoiled {
        backend.set(&key, b"entry", HOUR).await.unwrap();
        backend.on(Verb::Get).next(1, fault.clone());
        assert_eq!(backend.get(&key).await.unwrap().as_deref(), Some(expected), "{fault:?}");
        assert_eq!(backend.get(&key).await.unwrap().as_deref(), Some(&b"entry"[..]), "what is kept is whole");
        backend.on(Verb::Set).next(1, fault.clone());
        backend.set(&key, b"entry", HOUR).await.unwrap();
        assert_eq!(backend.get(&key).await.unwrap().as_deref(), Some(expected), "{fault:?}");
        backend.remove(&key).await.unwrap();
    }
    backend.on(Verb::Get).always(Fault::FlipBit(7));
    assert_eq!(backend.get(&key).await.unwrap(), None);
    backend.set(&key, b"", HOUR).await.unwrap();
    assert_eq!(backend.get(&key).await.unwrap().as_deref(), Some(&b""[..]), "there is no bit to turn");
    backend.on(Verb::Get).always(replaced);
    backend.remove(&key).await.unwrap();
    assert_eq!(backend.get(&key).await.unwrap().as_deref(), Some(&b"other"[..]), "also where there is nothing");
}

#[tokio::test(start_paused = true)]
async fn calls_are_written_down_when_they_are_polled() {
    let backend = FaultyBackend::new();
    let (a, prefix) = (key("a"), Place::new("faulty", "f", 1).prefix());
    drop(backend.get(&a));
    assert!(backend.calls().is_empty());
    backend.set(&a, b"entry", HOUR).await.unwrap();
    tokio::time::advance(HOUR).await;
    backend.always(Fault::Fail(Unreachable));
    let _ = backend.get(&a).await;
    let _ = backend.clear(&prefix).await;
    backend.ping().await.unwrap();
    let call = |verb, at| Call { verb, key: None, prefix: None, ttl: None, at };
    let expected = [
        Call { key: Some(a.clone()), ttl: Some(HOUR), ..call(Verb::Set, Duration::ZERO) },
        Call { key: Some(a), ..call(Verb::Get, HOUR) },
        Call { prefix: Some(prefix), ..call(Verb::Clear, HOUR) },
        call(Verb::Ping, HOUR),
    ];
    assert_eq!(backend.calls(), expected);
}

#[tokio::test]
async fn the_latest_calls_are_written_down_and_all_are_counted() {
    let backend = FaultyBackend::new();
    backend.get(&key("first")).await.unwrap();
    for _ in 0..CALLS_MAX {
        backend.get(&key("later")).await.unwrap();
    }
    assert_eq!((backend.on(Verb::Get).asked(), backend.calls().len()), (CALLS_MAX + 1, CALLS_MAX));
    assert_eq!(backend.calls()[0].key, Some(key("later")));
}

#[tokio::test]
async fn debug_shows_no_content() {
    let backend = FaultyBackend::new();
    backend.set(&key("mail@example.com"), b"secret", HOUR).await.unwrap();
    let shown = format!("{backend:?}");
    assert!(!shown.contains("mail") && !shown.contains("secret") && shown.contains("entries: 1"), "{shown}");
}

/// A backend that leads everybody, and says what it was asked.
#[derive(Debug, Default)]
struct Leased(Mutex<Vec<String>>);

impl Leased {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

#[derive(Debug)]
struct Nobody;

impl Waiter for Nobody {
    fn name(&self) -> &'static str {
        "nobody"
    }

    fn woken(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn is_heard(&self) -> bool {
        false
    }
}

impl Backend for Leased {
    fn get<'a>(&'a self, _: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async { Ok(None) })
    }

    fn set<'a>(&'a self, _: &'a StoreKey, _: &'a [u8], _: Duration) -> Pending<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, _: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn clear<'a>(&'a self, _: &'a Prefix) -> Pending<'a, u64> {
        Box::pin(async { Ok(0) })
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }
}

impl Leases for Leased {
    fn look<'a>(&'a self, _: &'a StoreKey) -> Pending<'a, Option<(Vec<u8>, Option<Duration>)>> {
        Box::pin(async { Ok(Some((b"looked".to_vec(), Some(HOUR)))) })
    }

    fn acquire<'a>(&'a self, _: &'a StoreKey, asked: Asked<'a>) -> Pending<'a, Acquired> {
        Box::pin(async move { Ok(Acquired::Lead(Token { owner: asked.owner.into(), fence: 7 })) })
    }

    fn renew<'a>(&'a self, _: &'a StoreKey, token: &'a Token, _: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            self.note(format!("renew {}", token.fence));
            Ok(false)
        })
    }

    fn end<'a>(&'a self, _: &'a StoreKey, _: &'a Token, end: End<'a>) -> Pending<'a, bool> {
        Box::pin(async move {
            self.note(match end {
                End::Value { entry, .. } => format!("end {}", String::from_utf8_lossy(entry)),
                _ => "end".to_owned(),
            });
            Ok(false)
        })
    }

    fn overwrite_many<'a>(&'a self, _: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn overwrite<'a>(&'a self, _: &'a StoreKey, entry: &'a [u8], _: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            self.note(format!("overwrite {}", String::from_utf8_lossy(entry)));
            Ok(())
        })
    }

    fn waiter(&self, _: &StoreKey) -> Box<dyn Waiter> {
        Box::new(Nobody)
    }
}

#[tokio::test]
async fn leases_pass_through_where_there_are_some() {
    assert!(FaultyBackend::new().leases().is_none());
    let (backend, key) = (FaultyBackend::before(Leased::default()), key("a"));
    let leases = backend.leases().expect("the one behind it has them");
    let token = Token { owner: "me".into(), fence: 7 };
    let asked = || Asked { owner: "me", lease: HOUR, value: Wish::Any, joined: None, waiter: None };
    let value = || End::Value { entry: b"value", ttl: HOUR, told: None };

    assert_eq!(leases.look(&key).await.unwrap(), Some((b"looked".to_vec(), Some(HOUR))));
    assert_eq!(leases.acquire(&key, asked()).await.unwrap(), Acquired::Lead(token.clone()));
    assert!(!leases.renew(&key, &token, HOUR).await.unwrap());
    assert!(!leases.end(&key, &token, value()).await.unwrap());
    assert!(!leases.end(&key, &token, End::Nothing { forget: false }).await.unwrap());
    leases.overwrite(&key, b"newest", HOUR).await.unwrap();
    assert_eq!(leases.waiter(&key).name(), "nobody");
    let done = ["renew 7", "end value", "end", "overwrite newest"];
    assert_eq!(*backend.inner().0.lock().unwrap(), done);

    backend.always(Fault::Lose);
    assert_eq!(leases.look(&key).await.unwrap(), None);
    assert_eq!(leases.acquire(&key, asked()).await.unwrap_err().kind(), TimedOut);
    assert!(leases.renew(&key, &token, HOUR).await.unwrap());
    assert!(leases.end(&key, &token, value()).await.unwrap());
    assert!(leases.end(&key, &token, End::Nothing { forget: false }).await.unwrap());
    leases.overwrite(&key, b"newest", HOUR).await.unwrap();
    assert_eq!(*backend.inner().0.lock().unwrap(), done, "none of it was done");

    backend.always(Fault::Truncate(3));
    assert_eq!(leases.look(&key).await.unwrap(), Some((b"loo".to_vec(), Some(HOUR))));
    leases.end(&key, &token, value()).await.unwrap();
    leases.overwrite(&key, b"newest", HOUR).await.unwrap();
    assert_eq!(backend.inner().0.lock().unwrap()[4..], ["end val", "overwrite new"]);
    let asked = [Verb::Look, Verb::Acquire, Verb::Renew, Verb::End, Verb::Overwrite].map(|it| backend.on(it).asked());
    assert_eq!(asked, [3, 2, 2, 5, 3]);
}
