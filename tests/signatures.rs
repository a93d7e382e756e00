//! What can be shared: one test for each row of `docs/signatures.md` that works, and the row's shape as it stands in
//! real code. Rows that are refused are in `tests/ui`.

mod signatures {
    mod help;

    mod arguments;
    mod generics;
    mod handlers;
    mod instantiations;
    mod meaning;
    mod methods;
    mod places;
    mod results;
    mod stacked;
    mod stored;
    mod sync;
    mod traits;
}
