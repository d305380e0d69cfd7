//! Which processors a server and the generator may use: never the same one while there are enough.
//!
//! Left to itself the system puts two processes that wake each other on one processor or on two, as it happens, and times differ by half.

/// Keeps this thread, and all that it starts, to the generator's processor, the first.
pub(super) fn keep_generator() {
    let allowed = allowed();
    if allowed.len() > 1 {
        keep(&allowed[..1]);
    }
}

/// Keeps this thread, and all that it starts, to processors for a server of so many threads.
pub(super) fn keep_server(threads: usize) {
    keep(for_server(&allowed(), threads));
}

/// Chooses the last ones; all when there are not enough beside the generator's.
fn for_server(allowed: &[usize], threads: usize) -> &[usize] {
    match allowed.len().checked_sub(threads) {
        Some(first @ 1..) => &allowed[first..],
        _ => allowed,
    }
}

#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

#[cfg(target_os = "linux")]
fn keep(cores: &[usize]) {
    use rustix::thread::{CpuSet, sched_setaffinity};

    if cores.is_empty() {
        return;
    }
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    if let Err(error) = sched_setaffinity(None, &set) {
        // The figures differ more then.
        tracing::warn!(%error, "processors cannot be chosen");
    }
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn keep(_: &[usize]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_processors_of_its_own_unless_it_has_more_threads_than_are_left() {
        assert_eq!(for_server(&[0, 1], 1), [1]);
        assert_eq!(for_server(&[0, 1], 2), [0, 1]);
        assert_eq!(for_server(&[2, 3, 6, 7], 2), [6, 7]);
        assert_eq!(for_server(&[4], 1), [4]);
        assert_eq!(for_server(&[], 1), [0; 0]);
    }
}
