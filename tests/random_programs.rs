//! Random programs of calls, refreshes, departures, endings and invalidations. After every step, all that can be seen is
//! what a sequential model says, and the model is written from the documentation.
//!
//! `PROPTEST_CASES=5000 cargo test --test random_programs` runs more of them. (Not with `--release`: expiry would not
//! follow the paused clock.)

mod random_programs {
    mod body;
    mod function;
    mod model;
    mod play;
    mod program;

    /// One test for each function.
    macro_rules! follow_the_model {
        ($($function:ident),* $(,)?) => {
            $(
                #[test]
                fn $function() {
                    play::random_programs_of(&function::$function());
                }
            )*
        };
    }

    follow_the_model!(
        shared, kept, small, picky, of_value, thorough, viewed, timed, patient, narrow, strict, everything
    );
}
