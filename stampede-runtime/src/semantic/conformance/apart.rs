//! What is not of a partition is never seen in it.

use super::{FUNCTIONS, Put, Trial, Verdict, checks};
use crate::semantic::Partition;

checks! {
    partitions_see_only_their_own,
    unusual_names_are_told_apart,
    clears_all_partitions_of_a_function_and_counts,
    clears_nothing_else,
    clears_thousands,
}

/// Partitions that differ in one part each, or whose parts read alike when written one after the other.
fn partitions(trial: &Trial) -> Vec<Partition> {
    let f = trial.partition("f");
    let tenants = ["tenant", "tenant ", "Tenant", "tenant\u{0301}", "ten", "%", "_", "*", "'", "\\", " ", "null"];
    let models = ["model-2", "model-1 ", "Model-1", "model-1tenant", "", "model-", "%"];
    let arguments = [[1; 32], [0xFF; 32], std::array::from_fn(|at| u8::from(at == 31))];
    let split = |model: &str, tenant: &str| Partition { model: model.into(), tenant: tenant.into(), ..f.clone() };
    let mut all = vec![f.clone(), split("ab", "c"), split("a", "bc"), split("a:b", "c"), split("a", "b:c")];
    all.extend(tenants.map(|tenant| split("model-1", tenant)));
    all.extend(models.map(|model| split(model, "")));
    all.extend(arguments.map(|arguments| Partition { arguments, ..f.clone() }));
    all.extend(["fx", "F"].map(|function| trial.partition(function)));
    all
}

async fn partitions_see_only_their_own(trial: &Trial) -> Verdict {
    let (partitions, to) = (partitions(trial), trial.direction(1));
    let far = trial.at(1, 0.1, 2);
    let responses: Vec<String> = (0..partitions.len()).map(|number| number.to_string()).collect();
    // The same question with the same meaning, everywhere.
    for (partition, response) in partitions.iter().zip(&responses) {
        trial.expect(partition, "a", None, &format!("before `put` into {partition:?}")).await?;
        trial.expect_near(partition, &to, 10, &[], &format!("before `put` into {partition:?}")).await?;
        trial.keep(partition, &Put { response, ..Put::new("a", &to) }).await?;
    }
    let own = async |from: usize, when: &str| {
        for (partition, response) in partitions.iter().zip(&responses).skip(from) {
            trial.expect(partition, "a", Some(response), when).await?;
            let near = trial.nearest(partition, &to, 10).await?;
            if near.len() != 1 || near[0].entry.response != *response {
                let seen: Vec<_> = near.iter().map(|near| near.entry.response.as_str()).collect();
                return Err(format!("{when}, `nearest` in {partition:?} gave the entries of partitions {seen:?}"));
            }
        }
        Ok(())
    };
    own(0, "after `put` into every partition").await?;
    for (at, partition) in partitions.iter().enumerate() {
        let when = format!("after a removal in {partition:?}");
        let removed = if at % 2 == 0 {
            trial.remove_near(partition, &to, 0.5).await?
        } else {
            trial.remove(partition, "a").await?.into()
        };
        if removed != 1 {
            return Err(format!("{when}, it counted {removed}"));
        }
        trial.expect(partition, "a", None, &when).await?;
        // A removal is noted for those that are under way: in its partition and in no other.
        let late = Put { began: super::BEFORE, ..Put::new("b", &far) };
        trial.keep(partition, &late).await?;
        trial.remove(partition, "b").await?;
        own(at + 1, &when).await?;
    }
    Ok(())
}

/// As parts of partitions, with an entry each.
async fn unusual_names_are_told_apart(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let long = "x".repeat(1000);
    let names =
        ["'; DELETE FROM semantic_cache; --", "🦀", "é", "e\u{301}", "a\nb", "a\u{1}b", "\\x41", "A", "a", &long];
    let mut partitions: Vec<Partition> = Vec::new();
    for name in names.iter().map(|name| (*name).into()).chain([format!("{long}y")]) {
        partitions.push(Partition { tenant: name.as_str().into(), ..f.clone() });
        partitions.push(Partition { model: name.into(), ..f.clone() });
    }
    let to = trial.direction(1);
    let responses: Vec<String> = (0..partitions.len()).map(|number| number.to_string()).collect();
    for (partition, response) in partitions.iter().zip(&responses) {
        trial.keep(partition, &Put { response, ..Put::new("a", &to) }).await?;
    }
    for (partition, response) in partitions.iter().zip(&responses) {
        trial.expect(partition, "a", Some(response), "after `put` into partitions with unusual names").await?;
        trial.expect_near(partition, &to, 10, &["a"], "after `put` into partitions with unusual names").await?;
    }
    Ok(())
}

async fn clears_all_partitions_of_a_function_and_counts(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let to = trial.direction(1);
    let cleared = async |expected: u64, when: &str| match trial.clear(&f.namespace).await? {
        seen if seen == expected => Ok(()),
        seen => Err(format!("{when}, `clear` counted {seen} instead of {expected}")),
    };
    cleared(0, "before any `put`").await?;
    let own: Vec<Partition> =
        partitions(trial).into_iter().filter(|partition| partition.namespace == f.namespace).collect();
    for partition in &own {
        for name in ["a", "b"] {
            trial.keep(partition, &Put::new(name, &to)).await?;
        }
    }
    cleared(2 * own.len() as u64, "after some `put`s").await?;
    for partition in &own {
        trial.expect(partition, "a", None, "after `clear`").await?;
        trial.expect_near(partition, &to, 10, &[], "after `clear`").await?;
    }
    cleared(0, "a second time").await?;
    trial.keep(&f, &Put::new("a", &to)).await?;
    trial.expect(&f, "a", Some("a"), "after `clear` and another `put`").await?;
    trial.expect_near(&f, &to, 10, &["a"], "after `clear` and another `put`").await
}

async fn clears_nothing_else(trial: &Trial) -> Verdict {
    let to = trial.direction(1);
    let functions = FUNCTIONS.map(|function| trial.partition(function));
    for function in &functions {
        trial.keep(function, &Put { response: &function.namespace, ..Put::new("a", &to) }).await?;
    }
    for (at, function) in functions.iter().enumerate() {
        let (namespace, counted) = (&function.namespace, trial.clear(&function.namespace).await?);
        if counted != 1 {
            return Err(format!("`clear` of `{namespace}` counted {counted} instead of 1"));
        }
        let when = format!("after `clear` of `{namespace}`");
        trial.expect(function, "a", None, &when).await?;
        for other in &functions[at + 1..] {
            trial.expect(other, "a", Some(&other.namespace), &when).await?;
        }
    }
    Ok(())
}

async fn clears_thousands(trial: &Trial) -> Verdict {
    const ENTRIES: u64 = 1100;
    let f = trial.partition("f");
    let mut all = tokio::task::JoinSet::new();
    for number in 0..ENTRIES {
        let (index, of, to) = (std::sync::Arc::clone(&trial.index), f.clone(), trial.direction(number));
        all.spawn(async move { index.put(&of, Put::new(&number.to_string(), &to).new_of()).await });
        if all.len() >= 20 {
            super::busy::joined(&mut all).await?.map_err(|error| super::whole(&error))?;
        }
    }
    while !all.is_empty() {
        super::busy::joined(&mut all).await?.map_err(|error| super::whole(&error))?;
    }
    let counted = trial.clear(&f.namespace).await?;
    if counted != ENTRIES {
        return Err(format!("`clear` counted {counted} of {ENTRIES}"));
    }
    trial.expect_near(&f, &trial.direction(1), 10, &[], "after `clear`").await
}
