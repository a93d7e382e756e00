//! The page on reliability names a test for each fault. Here it is seen to that there are such tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Code in the last column of a table: the name of a test program, a space, and the path of a test in it.
fn named(page: &str) -> BTreeSet<(&str, &str)> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end().trim_end_matches('|').rsplit('|').next());
    let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    spans.filter_map(|span| span.split_once(' ')).collect()
}

#[test]
fn every_test_that_it_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let page = read("docs/reliability.md").expect("the page is there");
    let tests = named(&page);
    assert!(tests.len() >= 60, "only {} tests are named", tests.len());
    let is_there = |&&(program, test): &&(&str, &str)| {
        let text = match test.rsplit_once("::") {
            Some((module, _)) => read(&format!("tests/{program}/{}.rs", module.replace("::", "/"))),
            None => {
                read(&format!("stampede-runtime/tests/{program}.rs")).or_else(|| read(&format!("tests/{program}.rs")))
            }
        };
        let name = test.rsplit("::").next().unwrap_or(test);
        text.is_some_and(|text| text.contains(&format!("fn {name}(")))
    };
    let missing: Vec<_> = tests.iter().filter(|test| !is_there(test)).collect();
    assert!(missing.is_empty(), "the page names tests that are not there: {missing:#?}");
}
