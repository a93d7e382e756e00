//! What decorated functions promise where their values are kept in a backend, too. As in `behaviour`: one file for each promise.

mod backends {
    #[path = "../behaviour/help.rs"]
    mod help;
    mod process;

    mod basics;
    mod broken;
    mod forget;
    mod keys;
    mod random;
    mod ways;
}
