//! The shared functions do what they say.

fn main() {}
