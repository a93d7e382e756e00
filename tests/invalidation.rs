//! What is invalidated other than by its key, in memory and in backends: tags, patterns, namespaces, functions that write.

mod invalidation {
    mod gate;

    mod memory;
}
