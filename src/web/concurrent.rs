//! Futures that run at once, and futures that wait for each other's turn.
//!
//! `futures-util` has all of it, made anew for each kind of future. Here few are under way at a time, so that each is
//! asked whenever one of them can go on.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Poll, Waker};

use webimport_core::error::Error;

use crate::objects::Object;

/// Work that brings an object, or finds that there is none to bring.
pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = Brought> + 'a>>;

type Brought = Result<Option<Object>, Error>;

/// What the work brings, in its order, of which at most `parallel` are under way; else the first error in that order.
pub(crate) async fn in_order<'a>(
    parallel: usize,
    work: &mut dyn Iterator<Item = Work<'a>>,
) -> Result<Vec<Option<Object>>, Error> {
    let mut under_way: Vec<(Work<'a>, Option<Brought>)> = Vec::new();
    let mut brought = Vec::new();
    loop {
        while under_way.len() < parallel
            && let Some(next) = work.next()
        {
            under_way.push((next, None));
        }
        if under_way.is_empty() {
            return Ok(brought);
        }
        let first = poll_fn(|context| {
            for (work, result) in &mut under_way {
                if result.is_none()
                    && let Poll::Ready(ready) = work.as_mut().poll(context)
                {
                    *result = Some(ready);
                }
            }
            match under_way.first_mut().and_then(|(_, result)| result.take()) {
                Some(first) => Poll::Ready(first),
                None => Poll::Pending,
            }
        });
        brought.push(first.await?);
        drop(under_way.remove(0));
    }
}

/// Both results, of futures that run at once.
pub(crate) async fn both<A, B>(
    mut one: impl Future<Output = A> + Unpin,
    mut other: impl Future<Output = B> + Unpin,
) -> (A, B) {
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(ready) = Pin::new(&mut one).poll(context)
        {
            first = Some(ready);
        }
        if second.is_none()
            && let Poll::Ready(ready) = Pin::new(&mut other).poll(context)
        {
            second = Some(ready);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// Bytes on their way that nobody has to wait for, and that everybody can.
#[derive(Default)]
pub(crate) struct Pending {
    bytes: Cell<u64>,
    /// How often some have arrived.
    arrivals: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Pending {
    /// These are on their way, until [`done`](Self::done) says so.
    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    pub(crate) fn done(&self, bytes: u64) {
        self.bytes.set(self.bytes.get() - bytes);
        self.arrivals.set(self.arrivals.get() + 1);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// How many are on their way.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Waits until some more have arrived.
    pub(crate) async fn arrival(&self) {
        let seen = self.arrivals.get();
        poll_fn(|context| {
            if self.arrivals.get() != seen {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What one future at a time can have.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

/// Somebody's turn, until it is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits until nobody has the turn.
    pub(crate) async fn wait(&self) -> Turn<'_> {
        poll_fn(|context| {
            let turn = self.take();
            if turn.is_none() {
                self.waiting.borrow_mut().push(context.waker().clone());
            }
            turn.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The turn, if nobody has it.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        (!self.taken.replace(true)).then(|| Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.set(false);
        // The first of them takes it; whoever has gone away keeps it from nobody.
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }
}
