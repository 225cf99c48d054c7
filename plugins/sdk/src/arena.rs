//! The allocator of a policy: memory is handed out upwards and taken back all at once when nothing of a decision is alive any more.
//!
//! A decision lives for microseconds and frees everything by its end, so there is nothing to search, split or merge. What [`keep`] makes lies below
//! a mark that is never passed again. What a policy hides in a variable of its own keeps the decisions after it from being taken back: memory then
//! grows up to the host's limit, the instance is replaced, and the variable is lost, as the contract says it may be.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
};

const PAGE: usize = 65536;

struct Arena {
    /// Where the next piece begins; 0 before the first.
    top: Cell<usize>,
    /// End of the memory that we have.
    end: Cell<usize>,
    /// What lies below stays for ever.
    mark: Cell<usize>,
    /// Pieces alive at or above the mark.
    live: Cell<usize>,
}

// SAFETY: a policy component has one thread; the contract allows no shared memory.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { top: Cell::new(0), end: Cell::new(0), mark: Cell::new(0), live: Cell::new(0) };

unsafe extern "C" {
    /// Placed by the linker behind stack and data.
    static __heap_base: u8;
}

/// Runs `make` and keeps everything that it has allocated for the life of the instance.
pub(crate) fn keep<T>(make: impl FnOnce() -> T) -> T {
    let made = make();
    ARENA.mark.set(ARENA.top.get());
    ARENA.live.set(0);
    made
}

impl Arena {
    /// Makes room up to `end`; false when the host gives no more.
    #[cold]
    fn grow(&self, end: usize) -> bool {
        let pages = (end - self.end.get()).div_ceil(PAGE);
        if core::arch::wasm32::memory_grow::<0>(pages) == usize::MAX {
            return false;
        }
        self.end.set(self.end.get() + pages * PAGE);
        true
    }

    #[cold]
    fn begin(&self) -> usize {
        let base = &raw const __heap_base as usize;
        self.mark.set(base);
        self.end.set(core::arch::wasm32::memory_size::<0>() * PAGE);
        base
    }
}

// SAFETY: pieces never overlap: `top` only moves down over pieces that were freed (the last one, or all above the mark when none is alive).
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut top = self.top.get();
        if top == 0 {
            top = self.begin();
        }
        let start = (top + layout.align() - 1) & !(layout.align() - 1);
        let Some(end) = start.checked_add(layout.size()) else { return ptr::null_mut() };
        if end > self.end.get() && !self.grow(end) {
            return ptr::null_mut();
        }
        self.top.set(end);
        self.live.set(self.live.get() + 1);
        ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let start = piece as usize;
        if start < self.mark.get() {
            return;
        }
        let live = self.live.get() - 1;
        self.live.set(live);
        if live == 0 {
            self.top.set(self.mark.get());
        } else if start + layout.size() == self.top.get() {
            self.top.set(start);
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = piece as usize;
        // The last piece grows and shrinks where it is.
        if start >= self.mark.get() && start + layout.size() == self.top.get() {
            let Some(end) = start.checked_add(size) else { return ptr::null_mut() };
            if end > self.end.get() && !self.grow(end) {
                return ptr::null_mut();
            }
            self.top.set(end);
            return piece;
        }
        // SAFETY: the caller promises that `size` is valid for this alignment; old and new piece do not overlap.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(piece, moved, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            moved
        }
    }
}
