//! The clock of deadlines: a thread of its own that advances the engine's epoch while a decision is being made.
//!
//! It must be an OS thread, because a guest that spins holds up whatever shares its thread. Every half millisecond it looks whether anybody is deciding, and ticks
//! if so: a decision is noticed within that time without having to wake anybody, which would cost it as much as it costs itself. After a tenth of a
//! second without any it sleeps until the next decision wakes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};
use wasmtime::EngineWeak;

/// Time between two ticks.
pub(super) const TICK: Duration = Duration::from_micros(500);
/// Looks at nobody before it sleeps.
const QUIET_LOOKS: u32 = 200;

#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    deciding: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// Somebody is deciding, until this is dropped.
pub(super) struct Deciding<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread. It ends when the ticker is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("policy-ticker".to_owned()).spawn(move || run(&engine, &theirs))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// To be held while a component runs.
    pub(super) fn deciding(&self) -> Deciding<'_> {
        self.shared.deciding.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Deciding(&self.shared)
    }
}

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        self.0.deciding.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.thread.unpark();
    }
}

fn run(engine: &EngineWeak, shared: &Shared) {
    let mut quiet = 0;
    let mut next = Instant::now();
    while !shared.stop.load(SeqCst) {
        if shared.deciding.load(SeqCst) > 0 {
            quiet = 0;
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        } else {
            quiet += 1;
        }
        if quiet < QUIET_LOOKS {
            let now = Instant::now();
            // Waking a little late each time must not add up; ticks that were missed are not made up for.
            next = (next + TICK).max(now);
            thread::sleep(next - now);
        } else {
            // Announced first and looked again after: a decision that begins in between sees `asleep` and wakes us.
            shared.asleep.store(true, SeqCst);
            if shared.deciding.load(SeqCst) == 0 && !shared.stop.load(SeqCst) {
                thread::park();
            }
            shared.asleep.store(false, SeqCst);
            quiet = 0;
            // The decision that woke us is seen at once.
            next = Instant::now();
        }
    }
}
