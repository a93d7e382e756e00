//! Random policies, and random programs of calls, refreshes, departures, inserts and invalidations under them. Every
//! answer, its time, every body that begins, `peek` and the statistics are what a sequential model says, and the model is
//! written from the documentation.
//!
//! `PROPTEST_CASES=20000 cargo test --test policy` runs more of them. (Not with `--release`: expiry would not follow the
//! paused clock.)

mod policy {
    mod dice;
    mod function;
    mod model;
    mod play;
    mod program;

    #[test]
    fn what_is_configured_alone_is_followed() {
        play::random_programs_of(&function::plain());
    }

    #[test]
    fn what_attributes_say_is_followed_unless_it_is_overridden() {
        play::random_programs_of(&function::hooked());
    }
}
