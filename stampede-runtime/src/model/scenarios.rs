//! Three actors each: they start, join, leave, invalidate and finish.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::check;
use super::world::{Body, Failure, Place, World};
use crate::policy::Settings;

const BOTH: [Place; 2] = [Place::Detached, Place::Attached];

#[test]
fn three_callers_make_one_execution() {
    for place in BOTH {
        for body in [Body::Returns, Body::Pauses] {
            check(&format!("three callers, {place:?}, {body:?}"), move || {
                let world = World::keeping(place);
                let actor = match body {
                    Body::Returns => |world: &_| _ = World::call(world, 1, Body::Returns).expect("a value"),
                    _ => |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value"),
                };
                world.play([actor; 3]);
                assert_eq!(world.begun(), 1);
            });
        }
    }
}

#[test]
fn without_ttl_executions_do_not_overlap() {
    for place in BOTH {
        check(&format!("three callers, nothing kept, {place:?}"), move || {
            let world = World::new(place, Settings::new());
            world.play([|world| _ = world.call(1, Body::Pauses).expect("a value"); 3]);
            assert_eq!(world.most_running(), 1);
        });
    }
}

#[test]
fn an_error_reaches_everyone_and_frees_the_key() {
    for place in BOTH {
        check(&format!("three callers, an error, {place:?}"), move || {
            let world = World::keeping(place);
            world.play([|world| assert_eq!(world.call(1, Body::Fails).err(), Some(Failure)); 3]);
            assert_eq!(world.most_running(), 1);
        });
    }
}

#[test]
fn a_panic_reaches_everyone_and_frees_the_key() {
    for place in BOTH {
        check(&format!("two callers, a panic, {place:?}"), move || {
            let world = World::keeping(place);
            world.play(
                [|world| {
                    let call = catch_unwind(AssertUnwindSafe(|| world.call(1, Body::Panics)));
                    assert!(call.is_err());
                }; 2],
            );
            assert_eq!(world.most_running(), 1);
        });
    }
}

#[test]
fn whoever_leaves_leaves_the_rest_alone() {
    for place in BOTH {
        check(&format!("one leaves, two stay, {place:?}"), move || {
            let world = World::keeping(place);
            let stays = |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value");
            world.play([|world| world.leave(1, Body::Pauses), stays, stays]);
        });
    }
}

#[test]
fn all_may_leave() {
    for place in BOTH {
        check(&format!("three leave, {place:?}"), move || {
            let world = World::keeping(place);
            world.play([|world| world.leave(1, Body::Pauses); 3]);
        });
    }
}

#[test]
fn a_body_without_an_end_is_dropped_when_all_have_left() {
    for place in BOTH {
        check(&format!("two leave a body without an end, {place:?}"), move || {
            let world = World::keeping(place);
            world.play([|world| world.leave(1, Body::Hangs); 2]);
        });
    }
}

#[test]
fn an_invalidation_wins_against_flights() {
    for place in BOTH {
        check(&format!("two call, one invalidates, {place:?}"), move || {
            let world = World::keeping(place);
            let calls = |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value");
            world.play([calls, calls, |world| {
                world.invalidate(1);
                world.call(1, Body::Returns).expect("a value");
            }]);
        });
    }
}

#[test]
fn a_clear_wins_against_flights_and_leavers() {
    for place in BOTH {
        check(&format!("one calls, one leaves, one clears, {place:?}"), move || {
            let world = World::keeping(place);
            let calls = |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value");
            world.play([
                calls,
                |world| world.leave(1, Body::Returns),
                |world| {
                    world.clear();
                    world.call(1, Body::Returns).expect("a value");
                },
            ]);
        });
    }
}

#[test]
fn a_refresh_is_not_answered_with_what_began_before() {
    for place in BOTH {
        check(&format!("one calls, one refreshes, one invalidates, {place:?}"), move || {
            let world = World::keeping(place);
            world.play([
                |world| _ = world.call(1, Body::Pauses).expect("a value"),
                |world| _ = world.refresh(1, Body::Returns).expect("a value"),
                |world| world.invalidate(1),
            ]);
        });
    }
}

#[test]
fn of_several_refreshes_the_newest_stays() {
    for place in BOTH {
        for body in [Body::Returns, Body::Pauses] {
            check(&format!("two refresh, one calls, {place:?}, {body:?}"), move || {
                let world = World::keeping(place);
                let refreshes = match body {
                    Body::Returns => |world: &_| World::refresh_with_others(world, 1, Body::Returns),
                    _ => |world: &_| World::refresh_with_others(world, 1, Body::Pauses),
                };
                world.play([refreshes, refreshes, |world| _ = world.call(1, Body::Returns).expect("a value")]);
            });
        }
    }
}

#[test]
fn an_insert_is_not_overwritten_by_what_began_before() {
    for place in BOTH {
        check(&format!("two call, one inserts, {place:?}"), move || {
            let world = World::keeping(place);
            let calls = |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value");
            world.play([calls, calls, |world| {
                let inserted = world.insert(1);
                assert_eq!(world.peek(1), Some(inserted), "what was in the air makes no way for itself");
            }]);
        });
    }
}

#[test]
fn a_circle_begun_from_both_ends_is_found() {
    for place in BOTH {
        check(&format!("one calls 1, which calls 2; one calls 2, which calls 1, {place:?}"), move || {
            let world = World::keeping(place);
            world.play([
                |world| _ = world.call(1, Body::Calls(2)).expect("a value"),
                |world| _ = world.call(2, Body::Calls(1)).expect("a value"),
            ]);
        });
    }
}

#[test]
fn what_is_evicted_is_made_again() {
    check("three keys, room for one", || {
        let settings = Settings::new().ttl(std::time::Duration::from_secs(3_600)).capacity(1);
        let world = World::new(Place::Detached, settings);
        world.play([
            |world| _ = world.call(1, Body::Returns).expect("a value"),
            |world| _ = world.call(2, Body::Returns).expect("a value"),
            |world| {
                world.call(1, Body::Returns).expect("a value");
                world.call(3, Body::Returns).expect("a value");
            },
        ]);
    });
}

#[test]
fn an_old_value_is_refreshed_once() {
    for body in [Body::Returns, Body::Pauses] {
        check(&format!("two find an old value, {body:?}"), move || {
            let world = World::serving_old();
            world.insert_old(1);
            let actor = match body {
                Body::Returns => |world: &_| _ = World::call(world, 1, Body::Returns).expect("a value"),
                _ => |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value"),
            };
            world.play([actor; 2]);
            let stats = world.stats();
            assert_eq!((stats.refreshes, stats.executions), (1, 1), "{stats}");
        });
    }
}

#[test]
fn a_failed_refresh_is_not_tried_again_at_once() {
    check("three find an old value, and its refresh fails", || {
        let world = World::serving_old();
        world.insert_old(1);
        world.play([|world| _ = world.call(1, Body::Fails).expect("an old value"); 3]);
        let stats = world.stats();
        assert_eq!((stats.refreshes, stats.errors, stats.led), (1, 1, 0), "{stats}");
    });
}

#[test]
fn a_refresh_behind_a_call_is_no_way_around_an_invalidation() {
    check("two find an old value, one invalidates", || {
        let world = World::serving_old();
        world.insert_old(1);
        let calls = |world: &_| _ = World::call(world, 1, Body::Pauses).expect("a value");
        world.play([calls, calls, |world| {
            world.invalidate(1);
            world.call(1, Body::Returns).expect("a value");
        }]);
    });
}

#[test]
fn an_old_value_stands_in_for_an_error() {
    for place in BOTH {
        check(&format!("two fail and fall back, one invalidates, {place:?}"), move || {
            let world = World::falling_back(place);
            world.insert_old(1);
            // With a value, or with the error once the old one is gone.
            let calls = |world: &_| _ = World::call(world, 1, Body::Fails);
            world.play([calls, calls, |world| {
                world.invalidate(1);
                // A value, or the error of a flight that began after the invalidation.
                let _ = world.call(1, Body::Returns);
            }]);
        });
    }
}
