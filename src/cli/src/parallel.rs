//! Work on many things at once.
//!
//! Results come in the order of the things, and so does the error that is told: how many threads there are, and which
//! is faster, cannot be seen from outside.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Threads for what computes.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// What `work` makes of each item, or the error of the first one that has any. `done` is called on this thread, after
/// each item that was worked on, in no order.
pub(crate) fn map<T, R: Send, E: Send>(
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> Result<R, E> + Sync,
    mut done: impl FnMut(&R),
) -> Result<Vec<R>, E> {
    let count = items.len();
    let mut results: Vec<Option<Result<R, E>>> = Vec::new();
    results.resize_with(count, || None);
    let items = Mutex::new(Some(items.enumerate()));
    let next = || {
        let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
        items.as_mut()?.next()
    };
    let worker = |results: mpsc::Sender<(usize, Result<R, E>)>| {
        while let Some((index, item)) = next() {
            let result = work(item);
            if result.is_err() {
                // Those before this one are in work already, so that the first error is among what comes out.
                *items.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            if results.send((index, result)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, received) = mpsc::channel();
        let worker = &worker;
        let mut workers = 0;
        while count > 1 && workers < threads.min(count) {
            let sender = sender.clone();
            let spawned = thread::Builder::new().spawn_scoped(scope, move || worker(sender));
            if spawned.is_err() {
                // The others do its part.
                break;
            }
            workers += 1;
        }
        if workers == 0 {
            worker(sender);
        } else {
            drop(sender);
        }
        for (index, result) in received {
            if let Ok(result) = &result {
                done(result);
            }
            if let Some(place) = results.get_mut(index) {
                *place = Some(result);
            }
        }
    });
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_for_any_number_of_threads() {
        for threads in [1, 2, 7, 100] {
            let mut seen = 0;
            let squares = map(
                threads,
                0..1_000_u32,
                |number| Ok::<_, ()>(number * number),
                |_| seen += 1,
            );
            let expected: Vec<u32> = (0..1_000).map(|number| number * number).collect();
            assert_eq!(squares, Ok(expected), "{threads} threads");
            assert_eq!(seen, 1_000, "{threads} threads");
        }
        let none: Result<Vec<u32>, ()> = map(2, 0..0, Ok, |_| ());
        assert_eq!(none, Ok(Vec::new()));
    }

    #[test]
    fn the_first_error_is_told() {
        for threads in [1, 2, 7] {
            let refused = map(
                threads,
                0..1_000,
                |number| {
                    if number % 300 == 299 {
                        Err(number)
                    } else {
                        Ok(())
                    }
                },
                |()| (),
            );
            assert_eq!(refused, Err(299), "{threads} threads");
        }
    }
}
