//! The time, and a pause. `gloo-timers` has one too, with channels and closures of its own for it.

use core::pin::Pin;
use core::task::{Context, Poll};

use js_sys::{Date, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use webimport_core::time::UnixTime;

#[wasm_bindgen]
extern "C" {
    // Looked up on the global object, as pages, workers and Node have them in different classes.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(then: &Function, milliseconds: u32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// The time by this device's clock.
pub(crate) fn now() -> UnixTime {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and milliseconds since 1970 fit"
    )]
    let seconds = (Date::now() / 1_000.0) as i64;
    UnixTime(seconds)
}

/// Ready after its time. Whoever drops it before stops the clock.
pub(crate) struct Timer {
    id: JsValue,
    over: JsFuture,
}

impl Timer {
    pub(crate) fn new(milliseconds: u32) -> Self {
        let mut id = JsValue::UNDEFINED;
        let over = Promise::new(&mut |resolve, _| id = set_timeout(&resolve, milliseconds));
        Self {
            id,
            over: over.into(),
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Nothing rejects it.
        Pin::new(&mut self.over).poll(context).map(drop)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}
