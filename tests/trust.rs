//! Near hits that somebody judges: `verify`, `shadow` and `max_error`.

mod trust {
    mod bound;
    mod place;
    mod shadow;
    mod verify;
}
