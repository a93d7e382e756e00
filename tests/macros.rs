//! What the attributes say about mistakes: `tests/ui/<attribute>/<mistake>.rs` and the compiler's answer beside it.
//!
//! The answers are those of the one toolchain that is pinned for CI; `TRYBUILD=overwrite` writes them anew.

#[test]
fn every_mistake_is_answered_with_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/*.rs");
}
