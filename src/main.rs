//! The command-line tool of stampede.
fn main() {}
