//! The checks, each named after the promise that it tries.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Running, Trial, Verdict, shown};
use crate::store::{Id, KEYS_MAX, Place, StoreKey};

/// Long enough to outlast a check.
const LONG: Duration = Duration::from_secs(600);
/// Below a second: a store that counts seconds makes nothing of it, or too much.
const SHORT: Duration = Duration::from_millis(400);
/// How much later than due an entry may still be seen.
const GRACE: Duration = Duration::from_millis(100);

/// The functions whose keys the checks use.
pub(super) const FUNCTIONS: [&str; 8] = ["f", "f*", "fx", "f?", "f[xy]", "f\\", "F", "f_"];

macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        pub(super) const ALL: &[(&str, fn(&Trial) -> Running<'_>)] =
            &[$((stringify!($name), |trial| Box::pin($name(trial)))),*];
    };
}

checks! {
    answers_a_ping,
    misses_what_was_never_set,
    returns_what_was_set,
    returns_a_mebibyte,
    replaces_what_was_set,
    replaces_the_ttl,
    removes_and_tells_whether_it_was_there,
    clears_all_of_a_prefix_and_counts,
    clears_nothing_else,
    clears_thousands,
    keeps_an_entry_until_its_ttl,
    lets_go_of_an_entry_at_its_ttl,
    reading_does_not_prolong,
    a_zero_ttl_keeps_nothing,
    the_longest_ttl_keeps,
    tells_unusual_keys_apart,
    gets_many_in_their_order,
    sets_many,
    replaces_exactly_what_is_there,
    a_hundred_at_once,
    never_answers_with_another_keys_entry,
    a_dropped_call_disturbs_no_other,
}

async fn answers_a_ping(trial: &Trial) -> Verdict {
    trial.backend.ping().await.map_err(|error| format!("`ping` failed: {}", super::whole(&error)))
}

async fn misses_what_was_never_set(trial: &Trial) -> Verdict {
    trial.expect(&trial.key("never"), None, "before any `set`").await
}

async fn returns_what_was_set(trial: &Trial) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).collect();
    let entries: [(&str, &[u8]); 8] = [
        ("empty", b""),
        ("one", b"x"),
        ("zero", b"\0"),
        ("zeros around", b"\0entry\0"),
        ("line ends", b"\r\n$-1\r\n\n"),
        ("not UTF-8", b"\xFF\xFE\xC3\x28"),
        ("looks like a number", b"007"),
        ("every byte", &every_byte),
    ];
    for (id, entry) in entries {
        trial.set(&trial.key(id), entry, LONG).await?;
    }
    for (id, entry) in entries {
        trial.expect(&trial.key(id), Some(entry), "after `set`").await?;
        trial.expect(&trial.key(id), Some(entry), "after `set`, a second time").await?;
    }
    Ok(())
}

async fn returns_a_mebibyte(trial: &Trial) -> Verdict {
    for (id, entry) in [("noise", noise(1, 1 << 20)), ("zeros", vec![0; 1 << 20])] {
        trial.set(&trial.key(id), &entry, LONG).await?;
        trial.expect(&trial.key(id), Some(&entry), "after `set`").await?;
    }
    Ok(())
}

async fn replaces_what_was_set(trial: &Trial) -> Verdict {
    let key = trial.key("a");
    for entry in [&b"first"[..], b"a longer second", b"", b"4"] {
        trial.set(&key, entry, LONG).await?;
        trial.expect(&key, Some(entry), "after another `set`").await?;
    }
    Ok(())
}

async fn replaces_the_ttl(trial: &Trial) -> Verdict {
    let [longer, shorter] = ["longer", "shorter"].map(|id| trial.key(id));
    trial.set(&longer, b"old", SHORT).await?;
    trial.set(&shorter, b"old", LONG).await?;
    trial.set(&longer, b"new", LONG).await?;
    trial.set(&shorter, b"new", SHORT).await?;
    sleep(SHORT + GRACE).await;
    trial.expect(&longer, Some(b"new"), "after a longer ttl replaced a shorter one, which is over").await?;
    trial.expect(&shorter, None, "after a shorter ttl, which is over, replaced a longer one").await
}

async fn removes_and_tells_whether_it_was_there(trial: &Trial) -> Verdict {
    let [key, other, brief] = ["a", "b", "brief"].map(|id| trial.key(id));
    let removed = async |key, expected: bool, when: &str| match trial.remove(key).await? {
        seen if seen == expected => Ok(()),
        seen => Err(format!("{when}, `remove` said {seen}")),
    };
    removed(&key, false, "before any `set`").await?;
    trial.set(&key, b"1", LONG).await?;
    trial.set(&other, b"2", LONG).await?;
    removed(&key, true, "after `set`").await?;
    trial.expect(&key, None, "after `remove`").await?;
    removed(&key, false, "after `remove`").await?;
    trial.expect(&other, Some(b"2"), "after another key's `remove`").await?;
    trial.set(&brief, b"", SHORT).await?;
    sleep(SHORT + GRACE).await;
    removed(&brief, false, "after the ttl").await?;
    trial.set(&key, b"3", LONG).await?;
    trial.expect(&key, Some(b"3"), "after `remove` and another `set`").await
}

async fn clears_all_of_a_prefix_and_counts(trial: &Trial) -> Verdict {
    let place = trial.place("f");
    let cleared = async |expected: u64, when: &str| match trial.clear(&place).await? {
        seen if seen == expected => Ok(()),
        seen => Err(format!("{when}, `clear` counted {seen} instead of {expected}")),
    };
    cleared(0, "before any `set`").await?;
    let keys = ["", "a", "b", "a*", "a?", "[ab]", "\\", "%", "_", "\n"].map(|id| StoreKey::new(&place, Id::Text(id)));
    for key in &keys {
        trial.set(key, b"entry", LONG).await?;
    }
    cleared(keys.len() as u64, "after some `set`s").await?;
    for key in &keys {
        trial.expect(key, None, "after `clear`").await?;
    }
    cleared(0, "a second time").await?;
    trial.set(&keys[1], b"again", LONG).await?;
    trial.expect(&keys[1], Some(b"again"), "after `clear` and another `set`").await
}

/// Names of functions that are patterns: taken for one, each would clear others.
async fn clears_nothing_else(trial: &Trial) -> Verdict {
    let places: Vec<Place> = FUNCTIONS
        .iter()
        .flat_map(|function| [1, 2, 12].map(|version| Place::new(&trial.namespace, function, version)))
        .collect();
    let keys = |place: &Place| ["a", "A", "a*"].map(|id| StoreKey::new(place, Id::Text(id)));
    for key in places.iter().flat_map(keys) {
        trial.set(&key, key.as_str().as_bytes(), LONG).await?;
    }
    for (at, place) in places.iter().enumerate() {
        let (prefix, counted) = (place.prefix(), trial.clear(place).await?);
        if counted != 3 {
            return Err(format!("`clear` of `{prefix}` counted {counted} instead of 3"));
        }
        for key in keys(place) {
            trial.expect(&key, None, &format!("after `clear` of `{prefix}`")).await?;
        }
        for key in places[at + 1..].iter().flat_map(keys) {
            let entry = Some(key.as_str().as_bytes());
            trial.expect(&key, entry, &format!("after `clear` of `{prefix}`")).await?;
        }
    }
    Ok(())
}

async fn clears_thousands(trial: &Trial) -> Verdict {
    const KEYS: u64 = 2500;
    let mut all = JoinSet::new();
    for number in 0..KEYS {
        let (backend, key) = (Arc::clone(&trial.backend), trial.key(&number.to_string()));
        all.spawn(async move { backend.set(&key, b"entry", LONG).await });
        // A pool's queue is not what is tried here.
        if all.len() >= 50 {
            joined(&mut all).await?.map_err(|error| format!("`set` failed: {}", super::whole(&error)))?;
        }
    }
    while !all.is_empty() {
        joined(&mut all).await?.map_err(|error| format!("`set` failed: {}", super::whole(&error)))?;
    }
    let counted = trial.clear(&trial.place("f")).await?;
    if counted != KEYS {
        return Err(format!("`clear` counted {counted} of {KEYS}"));
    }
    for number in [0, 1, KEYS / 2, KEYS - 1] {
        trial.expect(&trial.key(&number.to_string()), None, "after `clear`").await?;
    }
    Ok(())
}

async fn keeps_an_entry_until_its_ttl(trial: &Trial) -> Verdict {
    for ttl in [SHORT, Duration::from_millis(1500), Duration::from_micros(900_500)] {
        let key = trial.key(&format!("{ttl:?}"));
        let begun = Instant::now();
        trial.set(&key, b"entry", ttl).await?;
        let mut looks = 0;
        loop {
            let seen = trial.get(&key).await?;
            // The store's time began after ours: what is answered within the ttl must be there.
            let passed = begun.elapsed();
            if passed >= ttl {
                break;
            }
            if seen.as_deref() != Some(b"entry") {
                return Err(format!("{passed:?} after `set` for {ttl:?}, `get` gave {}", shown(seen.as_deref())));
            }
            looks += 1;
            sleep(Duration::from_millis(20)).await;
        }
        if looks == 0 {
            return Err(format!("one `set` and one `get` took longer than {ttl:?}; nothing could be seen"));
        }
    }
    Ok(())
}

async fn lets_go_of_an_entry_at_its_ttl(trial: &Trial) -> Verdict {
    let ttls = [Duration::from_millis(1), SHORT, Duration::from_millis(1100)];
    for ttl in ttls {
        let key = trial.key(&format!("{ttl:?}"));
        trial.set(&key, b"entry", ttl).await?;
        sleep(ttl + GRACE).await;
        trial.expect(&key, None, &format!("{GRACE:?} after a ttl of {ttl:?}")).await?;
    }
    Ok(())
}

async fn reading_does_not_prolong(trial: &Trial) -> Verdict {
    let key = trial.key("a");
    trial.set(&key, b"entry", SHORT).await?;
    let due = Instant::now() + SHORT + GRACE;
    while Instant::now() < due {
        trial.get(&key).await?;
        sleep_until(due.min(Instant::now() + Duration::from_millis(50))).await;
    }
    trial.expect(&key, None, "after the ttl, within which it was read often").await
}

async fn a_zero_ttl_keeps_nothing(trial: &Trial) -> Verdict {
    let key = trial.key("a");
    trial.set(&key, b"nothing", Duration::ZERO).await?;
    trial.expect(&key, None, "after `set` for no time").await?;
    trial.set(&key, b"old", LONG).await?;
    trial.set(&key, b"new", Duration::ZERO).await?;
    trial.expect(&key, None, "after `set` for no time, in place of an entry").await
}

async fn the_longest_ttl_keeps(trial: &Trial) -> Verdict {
    const DAY: u64 = 86_400;
    let ttls = [25 * DAY, 50 * DAY, 70 * 365 * DAY, i64::MAX as u64, u64::MAX].map(Duration::from_secs);
    for ttl in ttls.into_iter().chain([Duration::MAX]) {
        let key = trial.key(&format!("{ttl:?}"));
        trial.set(&key, b"entry", ttl).await?;
        trial.expect(&key, Some(b"entry"), &format!("after `set` for {ttl:?}")).await?;
    }
    Ok(())
}

async fn tells_unusual_keys_apart(trial: &Trial) -> Verdict {
    let long = "x".repeat(440);
    let texts = [
        "", "a", "A", "a ", " a", "a\0", "a:", ":a", "a/b", "a\\b", "a'b", "a\"b", "a`b", "a%b", "a%25b", "a$1",
        "a{b}", "a}", "a\n", "a\r\n", "é", "e\u{301}", "ß", "ss", "ﬀ", "東", "🦀", "*", "?", "[a]", "a;b", "a--b", "0",
        "00", "-0", "null", "../a",
    ];
    let mut ids: BTreeSet<String> = texts.map(str::to_owned).into();
    // Keys near the greatest length, which differ at the end only; and one that has become a digest.
    ids.extend(["1", "2"].map(|end| format!("{}{end}", &long[..300])));
    ids.extend([long.repeat(2)]);
    let mut keys: Vec<StoreKey> = ids.iter().map(|id| trial.key(id)).collect();
    keys.extend([[0; 32], [1; 32], [0xFF; 32]].map(|digest| StoreKey::new(&trial.place("f"), Id::Digest(digest))));
    let short = Place::new("c", "f", 1);
    let longest = StoreKey::LENGTH_MAX - short.prefix().as_str().len() - 1 - 40;
    let own: String = trial.namespace.chars().filter(char::is_ascii_digit).collect();
    let longest = [0, 1].map(|end| format!("{own:x<40}{}{end}", "y".repeat(longest - 1)));
    keys.extend(longest.iter().map(|id| StoreKey::new(&short, Id::Text(id))));

    for key in &keys {
        trial.set(key, key.as_str().as_bytes(), LONG).await?;
    }
    for key in &keys {
        trial.expect(key, Some(key.as_str().as_bytes()), "after every key was set to its own text").await?;
    }
    for (at, key) in keys.iter().enumerate() {
        if !trial.remove(key).await? {
            return Err(format!("`remove` found no `{key}`, which was there before others were removed"));
        }
        if let Some(next) = keys.get(at + 1) {
            trial.expect(next, Some(next.as_str().as_bytes()), &format!("after `remove` of `{key}`")).await?;
        }
    }
    Ok(())
}

async fn gets_many_in_their_order(trial: &Trial) -> Verdict {
    let keys = ["b", "never", "a", "empty", "a", "noise"].map(|id| trial.key(id));
    let entries = [Some(b"2".to_vec()), None, Some(b"1".to_vec()), Some(Vec::new()), None, Some(noise(2, 1 << 16))];
    for (key, entry) in keys.iter().zip(&entries) {
        if let Some(entry) = entry {
            trial.set(key, entry, LONG).await?;
        }
    }
    let mut expected = entries.to_vec();
    expected[4].clone_from(&entries[2]);
    let seen = trial.get_many(&keys).await?;
    if seen != expected {
        let seen: Vec<_> = seen.iter().map(|entry| shown(entry.as_deref())).collect();
        return Err(format!("`get_many` of six keys gave {}", seen.join(", ")));
    }
    match trial.get_many(&[]).await? {
        none if none.is_empty() => (),
        some => return Err(format!("`get_many` of no keys gave {} entries", some.len())),
    }
    let keys: Vec<_> = (0..KEYS_MAX).map(|number| trial.key(&number.to_string())).collect();
    trial.set(&keys[KEYS_MAX - 1], b"last", LONG).await?;
    let seen = trial.get_many(&keys).await?;
    match seen.last() {
        Some(Some(entry)) if seen.len() == KEYS_MAX && entry == b"last" => Ok(()),
        _ => Err(format!("`get_many` of {KEYS_MAX} keys gave {} entries, and not that of the last", seen.len())),
    }
}

async fn sets_many(trial: &Trial) -> Verdict {
    let [a, b, c, brief] = ["a", "b", "c", "brief"].map(|id| trial.key(id));
    trial.set(&a, b"old", SHORT).await?;
    trial.set(&c, b"old", LONG).await?;
    let entry = |key: &StoreKey, entry: &[u8], ttl| (key.clone(), entry.to_vec(), ttl);
    let noise = noise(3, 1 << 16);
    let all = [
        entry(&b, b"first", LONG),
        entry(&a, &noise, LONG),
        entry(&b, b"second", LONG),
        entry(&c, b"never", Duration::ZERO),
        entry(&brief, b"", SHORT),
    ];
    trial.set_many(&all).await?;
    trial.expect(&a, Some(&noise), "after `set_many`").await?;
    trial.expect(&b, Some(b"second"), "after `set_many` of two for one key").await?;
    trial.expect(&c, None, "after `set_many` with a ttl of zero").await?;
    sleep(SHORT + GRACE).await;
    trial.expect(&a, Some(&noise), "after the ttl that `set_many` replaced").await?;
    trial.expect(&brief, None, "after the ttl that was given to `set_many`").await?;
    trial.set_many(&[]).await?;
    let all: Vec<_> = (0..KEYS_MAX).map(|number| entry(&trial.key(&number.to_string()), b"many", LONG)).collect();
    trial.set_many(&all).await?;
    for (key, ..) in [&all[0], &all[KEYS_MAX - 1]] {
        trial.expect(key, Some(b"many"), "after `set_many` of as many as there may be").await?;
    }
    Ok(())
}

async fn replaces_exactly_what_is_there(trial: &Trial) -> Verdict {
    let [key, other, brief] = ["a", "b", "brief"].map(|id| trial.key(id));
    let replaced = async |key, old: &[u8], new: &[u8], ttl, expected: bool| {
        let seen = trial.backend.replace(key, old, new, ttl).await;
        match seen.map_err(|error| format!("`replace` failed: {}", super::whole(&error)))? {
            seen if seen == expected => Ok(()),
            seen => Err(format!("`replace` of `{}` by `{}` said {seen}", old.escape_ascii(), new.escape_ascii())),
        }
    };
    replaced(&key, b"", b"new", LONG, false).await?;
    trial.expect(&key, None, "after `replace` of what is not there").await?;
    trial.set(&key, b"one", SHORT).await?;
    trial.set(&other, b"one", LONG).await?;
    replaced(&key, b"two", b"new", LONG, false).await?;
    trial.expect(&key, Some(b"one"), "after `replace` of something else").await?;
    replaced(&key, b"one", b"two\0", LONG, true).await?;
    trial.expect(&key, Some(b"two\0"), "after `replace`").await?;
    trial.expect(&other, Some(b"one"), "after another key's `replace`").await?;
    trial.set(&brief, b"one", LONG).await?;
    replaced(&brief, b"one", b"one", SHORT, true).await?;
    sleep(SHORT + GRACE).await;
    trial.expect(&key, Some(b"two\0"), "after the ttl that `replace` replaced").await?;
    trial.expect(&brief, None, "after the ttl that was given to `replace`").await
}

async fn a_hundred_at_once(trial: &Trial) -> Verdict {
    let mut all = JoinSet::new();
    for number in 0..100_u64 {
        let (backend, key) = (Arc::clone(&trial.backend), trial.key(&number.to_string()));
        all.spawn(async move {
            let entry = noise(number, 1000);
            backend.set(&key, &entry, LONG).await?;
            Ok((number, entry, backend.get(&key).await?))
        });
    }
    while !all.is_empty() {
        let (number, entry, seen) =
            joined(&mut all).await?.map_err(|error: crate::store::BackendError| super::whole(&error))?;
        if seen.as_ref() != Some(&entry) {
            return Err(format!("key {number} of a hundred at once gave {}", shown(seen.as_deref())));
        }
    }
    Ok(())
}

async fn never_answers_with_another_keys_entry(trial: &Trial) -> Verdict {
    const KEYS: u64 = 40;
    let key = |number: u64| trial.key(&format!("{number:b}"));
    for number in 0..KEYS {
        trial.set(&key(number), &labelled(number, 0), LONG).await?;
    }
    let mut all = JoinSet::new();
    for task in 0..20 {
        let backend = Arc::clone(&trial.backend);
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        all.spawn(async move {
            for step in 0..KEYS {
                let number = (task * 7 + step) % KEYS;
                let key = &keys[usize::try_from(number).expect("there are forty")];
                if task % 4 == 0 {
                    let set = backend.set(key, &labelled(number, step), LONG).await;
                    set.map_err(|error| super::whole(&error))?;
                }
                let seen = backend.get(key).await.map_err(|error| super::whole(&error))?;
                if !seen.as_deref().is_some_and(|entry| entry.starts_with(&label(number))) {
                    return Err(format!("`get` of `{key}` gave {} while others were busy", shown(seen.as_deref())));
                }
            }
            Ok(())
        });
    }
    while !all.is_empty() {
        joined(&mut all).await??;
    }
    Ok(())
}

async fn a_dropped_call_disturbs_no_other(trial: &Trial) -> Verdict {
    let [dropped, kept] = ["dropped", "kept"].map(|id| trial.key(id));
    trial.set(&dropped, b"of the dropped", LONG).await?;
    trial.set(&kept, b"of the kept", LONG).await?;
    for round in 0..20 {
        let mut call = trial.backend.get(&dropped);
        poll_fn(|context| {
            let _ = call.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        drop(call);
        let when = format!("after {} dropped calls", round + 1);
        trial.expect(&kept, Some(b"of the kept"), &when).await?;
        trial.expect(&dropped, Some(b"of the dropped"), &when).await?;
    }
    Ok(())
}

async fn joined<T: 'static>(all: &mut JoinSet<T>) -> Result<T, String> {
    let ended = all.join_next().await.ok_or("no task was left")?;
    ended.map_err(|error| format!("a task ended with {error}"))
}

fn label(number: u64) -> Vec<u8> {
    format!("entry of {number};").into_bytes()
}

/// An entry that tells whose it is, of some length.
fn labelled(number: u64, step: u64) -> Vec<u8> {
    let mut entry = label(number);
    entry.resize(entry.len() + usize::try_from(step).expect("it is small") * 10, b'.');
    entry
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
