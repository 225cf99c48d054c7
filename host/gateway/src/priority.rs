//! Which threads wait when the processor is full.

/// How far behind the others, on the scale of nice(1).
const NICE: i32 = 10;

/// Puts the calling thread behind those that carry calls: on a full machine it is their turn first. For threads that write down or finish what no other call
/// waits for. Not for those that swap policies: an operator who mends one waits, and so do the calls that it should have had.
pub(crate) fn behind_the_calls() {
    // `None` is the calling thread on Linux, whose nice values belong to threads.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread keeps the priority of those that carry calls");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_steps_back() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let inside = std::thread::spawn(|| {
            behind_the_calls();
            rustix::process::getpriority_process(None).unwrap()
        });
        assert_eq!(inside.join().unwrap(), (NICE).max(before));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }
}
