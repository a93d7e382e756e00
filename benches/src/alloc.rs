//! Counts what each thread allocates.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    COUNT.set(COUNT.get() + 1);
    BYTES.set(BYTES.get() + bytes as u64);
}

// SAFETY: every method hands its own arguments on to the system's allocator. The cells have no destructor, so they can
// be used while a thread ends.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What the calling thread has allocated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allocated {
    /// How often.
    pub(crate) count: u64,
    /// How much, what was freed meanwhile included.
    pub(crate) bytes: u64,
}

impl Allocated {
    /// Since the thread began.
    pub(crate) fn so_far() -> Allocated {
        Allocated { count: COUNT.get(), bytes: BYTES.get() }
    }

    /// Since an earlier moment.
    pub(crate) fn since(earlier: Allocated) -> Allocated {
        let now = Allocated::so_far();
        Allocated { count: now.count - earlier.count, bytes: now.bytes - earlier.bytes }
    }
}
