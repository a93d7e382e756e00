//! What is put is there, whole.

use tokio::time::Instant;

use super::{COST, GRACE, LONG, Put, Trial, Verdict, checks, hash, shown, whole};

checks! {
    answers_a_ping,
    misses_what_was_never_put,
    returns_what_was_put,
    returns_any_text,
    returns_a_mebibyte,
    replaces_what_was_put,
    tells_hashes_apart,
    a_hit_changes_no_answer,
    removes_and_tells_whether_it_was_there,
}

async fn answers_a_ping(trial: &Trial) -> Verdict {
    trial.index.ping().await.map_err(|error| format!("`ping` failed: {}", whole(&error)))
}

async fn misses_what_was_never_put(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    let when = "before any `put`";
    trial.expect(&f, "never", None, when).await?;
    trial.expect_near(&f, &to, 10, &[], when).await?;
    trial.hit(&f, "never").await?;
    let counted = (trial.remove_near(&f, &to, -1.0).await?, trial.clear(&f.namespace).await?);
    if counted != (0, 0) || trial.remove(&f, "never").await? {
        return Err(format!("{when}, something was removed: {counted:?}"));
    }
    Ok(())
}

async fn returns_what_was_put(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let put = Put { response: r#"{"answer": 42}"#, ..Put::new("What is it?", &trial.direction(1)) };
    let begun = Instant::now();
    trial.keep(&f, &put).await?;
    let exact = trial.exact(&f, put.name).await?.ok_or("`exact` found nothing after `put`")?;
    let near = trial.nearest(&f, &put.embedding, 1).await?.pop().ok_or("`nearest` found nothing after `put`")?;
    for (entry, verb) in [(exact, "exact"), (near.entry, "nearest")] {
        let passed = begun.elapsed();
        if entry.hash != hash(put.name) || entry.question != put.name || entry.response != put.response {
            let texts = (shown(Some(&entry.question)), shown(Some(&entry.response)));
            return Err(format!("`{verb}` gave another entry than the one that was put: {texts:?}"));
        }
        // The two clocks may count different grains.
        let slack = std::time::Duration::from_millis(2);
        let lives = entry.age <= passed + slack && entry.fresh <= LONG && entry.fresh + passed + slack >= LONG;
        if !lives || !entry.past.is_zero() {
            let times = (entry.age, entry.fresh, entry.past);
            return Err(format!("{passed:?} after `put` for {LONG:?}, `{verb}` says of age, fresh and past {times:?}"));
        }
        if entry.cost.abs_diff(COST) > slack {
            return Err(format!("`{verb}` says that it took {:?} to make, and it took {COST:?}", entry.cost));
        }
    }
    Ok(())
}

/// Texts that some language, protocol or store takes for something else. NUL is excluded by [`New::question`].
///
/// [`New::question`]: crate::semantic::index::New::question
async fn returns_any_text(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let controls: String = (1..32).chain([127, 133, 159]).filter_map(char::from_u32).collect();
    let texts = [
        "",
        " ",
        " a ",
        "a",
        "A",
        "'; DROP TABLE semantic_cache; --",
        "\" OR \"\"=\"",
        "$1 %s {} ? :name @x",
        "100% of_it \\ \\\\ \\x00 \\u0000",
        "null",
        "é",
        "e\u{301}",
        "🦀👩‍👩‍👧‍👦 ﷺ \u{202E}abc\u{FEFF}",
        "\u{10FFFF}\u{FFFD}",
        controls.as_str(),
    ];
    let responses: Vec<String> = texts.iter().map(|text| serde_json::Value::from(*text).to_string()).collect();
    // JSON that a parser would write in another way, or read as something else.
    let spelt =
        [r#"{ "b":1,"a" : 1.50e+2, "a":2 }"#, "12345678901234567890123456789", "\"\\u0000\\ud83e\\udd80\\/\"", "1.0"];
    for (seed, (text, response)) in (0..).zip(texts.iter().zip(&responses)) {
        trial.keep(&f, &Put { response, ..Put::new(text, &trial.direction(seed)) }).await?;
    }
    for (seed, (text, response)) in (0..).zip(texts.iter().zip(&responses)) {
        trial.expect(&f, text, Some(response), "after `put` of unusual texts").await?;
        trial.expect_near(&f, &trial.direction(seed), 1, &[text], "after `put` of unusual texts").await?;
    }
    for response in spelt {
        trial.keep(&f, &Put { response, ..Put::new("spelt", &trial.direction(99)) }).await?;
        trial.expect(&f, "spelt", Some(response), "after `put` of JSON in unusual spelling").await?;
    }
    Ok(())
}

async fn returns_a_mebibyte(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let mut numbers = String::new();
    for number in 0..170_000 {
        numbers += &number.to_string();
        numbers.push(' ');
    }
    numbers.truncate((1 << 20) - 2);
    let response = format!("\"{numbers}\"");
    let question = &numbers[..crate::semantic::QUESTION_BYTES_MAX];
    trial.keep(&f, &Put { response: &response, ..Put::new(question, &trial.direction(1)) }).await?;
    trial.expect(&f, question, Some(&response), "after `put`").await?;
    trial.expect_near(&f, &trial.direction(1), 1, &[question], "after `put`").await
}

async fn replaces_what_was_put(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    for (seed, response) in (0..).zip(["\"first\"", "\"a longer second\"", "\"\"", "4"]) {
        trial.keep(&f, &Put { response, ..Put::new("a", &trial.direction(seed)) }).await?;
        trial.expect(&f, "a", Some(response), "after another `put`").await?;
        // Found by its new meaning, and once.
        let near = trial.nearest(&f, &trial.direction(seed), 10).await?;
        let seen: Vec<_> = near.iter().map(|near| (near.similarity, near.entry.response.as_str())).collect();
        let [(similarity, of)] = seen[..] else {
            return Err(format!("after another `put` of one question, `nearest` found {} entries", seen.len()));
        };
        if similarity < 0.99 || of != response {
            return Err(format!("after another `put`, `nearest` gave {} at {similarity}", shown(Some(of))));
        }
    }
    let removed = (trial.remove(&f, "a").await?, trial.clear(&f.namespace).await?);
    if removed == (true, 0) { Ok(()) } else { Err(format!("one question was kept more than once: {removed:?}")) }
}

/// Hashes that differ in one bit, at either end.
async fn tells_hashes_apart(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let hashes = [[0; 32], with(0, 1), with(0, 0x80), with(31, 1), with(31, 0x80), [0xFF; 32]];
    let to = trial.direction(1);
    for (number, hash) in hashes.iter().enumerate() {
        let response = number.to_string();
        let put = Put { response: &response, ..Put::new("one question", &to) };
        let new = crate::semantic::index::New { hash: *hash, ..put.new_of() };
        trial.index.put(&f, new).await.map_err(|error| format!("`put` failed: {}", whole(&error)))?;
    }
    for (number, hash) in hashes.iter().enumerate() {
        let seen = trial.index.exact(&f, hash).await.map_err(|error| format!("`exact` failed: {}", whole(&error)))?;
        if seen.as_ref().map(|entry| &*entry.response) != Some(&*number.to_string()) {
            return Err(format!("`exact` of hash {number} of {} gave another entry, or none", hashes.len()));
        }
    }
    Ok(())
}

fn with(at: usize, byte: u8) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[at] = byte;
    hash
}

async fn a_hit_changes_no_answer(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    trial.keep(&f, &Put { response: "1", ..Put::new("a", &to) }).await?;
    let before = trial.exact(&f, "a").await?.ok_or("`exact` found nothing after `put`")?;
    for _ in 0..10 {
        trial.hit(&f, "a").await?;
    }
    trial.expect(&f, "a", Some("1"), "after `hit`").await?;
    trial.expect_near(&f, &to, 10, &["a"], "after `hit`").await?;
    let after = trial.exact(&f, "a").await?.ok_or("`exact` found nothing after `hit`")?;
    if after.fresh > before.fresh || after.age + GRACE < before.age {
        return Err(format!("`hit` made an entry younger: fresh for {:?}, then {:?}", before.fresh, after.fresh));
    }
    Ok(())
}

async fn removes_and_tells_whether_it_was_there(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    let removed = async |name, expected: bool, when: &str| match trial.remove(&f, name).await? {
        seen if seen == expected => Ok(()),
        seen => Err(format!("{when}, `remove` said {seen}")),
    };
    removed("a", false, "before any `put`").await?;
    trial.keep(&f, &Put::new("a", &to)).await?;
    trial.keep(&f, &Put::new("b", &trial.at(1, 0.5, 2))).await?;
    removed("a", true, "after `put`").await?;
    trial.expect(&f, "a", None, "after `remove`").await?;
    trial.expect_near(&f, &to, 10, &["b"], "after `remove` of what was nearer").await?;
    removed("a", false, "after `remove`").await?;
    trial.expect(&f, "b", Some("b"), "after another entry's `remove`").await?;
    trial.keep(&f, &Put { response: "3", ..Put::new("a", &to) }).await?;
    trial.expect(&f, "a", Some("3"), "after `remove` and another `put`").await?;
    trial.expect_near(&f, &to, 10, &["a", "b"], "after `remove` and another `put`").await
}
