//! Releases that are loaded before there is a Python to load them into.
//!
//! A [load](Prefetches::take) of the same takes over what was made ahead, or waits for what is being made; a second one
//! loads by itself. What depends on the interpreter is decided then.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::JsValue;
use webimport_core::error::Error;
use webimport_core::map::sorted;
use webimport_core::names::CacheTag;
use webimport_core::resolve::{Offline, Resolution};
use webimport_core::time::UnixTime;

use crate::concurrent::Turns;
use crate::driver::{Driver, Prepared, Progress};
use crate::request::Request;
use crate::timer::now;

/// Seconds after which a server is asked again, from when all was there: as long as a page may take to start Pyodide over a
/// slow network.
const FRESH: i64 = 120;

/// What one client has loaded ahead.
#[derive(Default)]
pub(crate) struct Prefetches(RefCell<Vec<Rc<Prefetch>>>);

struct Prefetch {
    asked: Asked,
    /// Taken while the release is made.
    making: Turns,
    /// With the time.
    made: RefCell<Option<(UnixTime, Prepared)>>,
    listener: RefCell<Listener>,
}

/// Two loads that ask for the same are answered alike.
#[derive(PartialEq, Eq)]
struct Asked {
    resolution: Resolution,
    /// In order, each once.
    modules: Option<Vec<String>>,
    offline: Option<Offline>,
    tag: CacheTag,
}

impl Asked {
    fn of(driver: &Driver, request: &Request) -> Result<Self, Error> {
        let Request { options, .. } = request;
        Ok(Self {
            resolution: driver.resolve(request)?,
            modules: options.modules.clone().map(|mut modules| {
                modules = sorted(modules);
                modules.dedup();
                modules
            }),
            offline: options.offline,
            tag: request.python.tag.clone(),
        })
    }
}

/// Who is told how far a load is.
#[derive(Default)]
struct Listener {
    function: Option<Function>,
    /// What was told last: JSON text.
    last: Option<String>,
}

impl Prefetches {
    /// Loads a release for a load that is to come. What it describes is JSON text; none if that load has it already.
    pub(crate) async fn prefetch(
        &self,
        driver: &Driver,
        request: Request,
        listener: Option<Function>,
    ) -> Result<Option<String>, Error> {
        let asked = Asked::of(driver, &request)?;
        let known = self.find(&asked, driver.now);
        let prefetch = known.unwrap_or_else(|| {
            let prefetch = Rc::new(Prefetch {
                asked,
                making: Turns::default(),
                made: RefCell::default(),
                listener: RefCell::default(),
            });
            self.0.borrow_mut().push(Rc::clone(&prefetch));
            prefetch
        });
        prefetch.hear(listener);
        let _turn = prefetch.making.wait().await;
        let is_taken = !self.0.borrow().iter().any(|it| Rc::ptr_eq(it, &prefetch));
        if !is_taken && prefetch.made.borrow().is_none() {
            let report = |progress: &Progress<'_>| prefetch.tell(progress.to_text());
            let made = driver.load(request, &report).await;
            let made = made.inspect_err(|_| self.forget(&prefetch))?;
            *prefetch.made.borrow_mut() = Some((now(), made));
        }
        let made = prefetch.made.borrow();
        Ok(made.as_ref().and_then(|(_, made)| made.describe()))
    }

    /// What was loaded ahead for this request, or is being loaded; none if nothing was, if that failed, or if it is no
    /// longer what a load would give.
    ///
    /// # Errors
    /// Those of a load.
    pub(crate) async fn take(
        &self,
        driver: &Driver,
        request: &Request,
        listener: Option<&Function>,
    ) -> Result<Option<Prepared>, Error> {
        let asked = Asked::of(driver, request)?;
        let Some(prefetch) = self.find(&asked, driver.now) else {
            return Ok(None);
        };
        self.forget(&prefetch);
        prefetch.hear(listener.cloned());
        let _turn = prefetch.making.wait().await;
        let Some((_, prepared)) = prefetch.made.take() else {
            return Ok(None);
        };
        if !prepared.fits(request) {
            return Ok(None);
        }
        prepared.files.admit(request)?;
        Ok(Some(prepared))
    }

    fn forget(&self, prefetch: &Rc<Prefetch>) {
        self.0.borrow_mut().retain(|it| !Rc::ptr_eq(it, prefetch));
    }

    /// Forgets what is too old to be asked for.
    fn find(&self, asked: &Asked, now: UnixTime) -> Option<Rc<Prefetch>> {
        let mut all = self.0.borrow_mut();
        all.retain(|it| {
            let made = it.made.borrow().as_ref().map(|(made, _)| made.0);
            made.is_none_or(|made| (0..FRESH).contains(&now.0.saturating_sub(made)))
        });
        all.iter().find(|it| it.asked == *asked).cloned()
    }
}

impl Prefetch {
    /// Has one more listener, in place of the one before. It hears at once how far the load is.
    fn hear(&self, function: Option<Function>) {
        let last = {
            let mut listener = self.listener.borrow_mut();
            listener.function = function;
            listener.last.clone()
        };
        self.tell(last);
    }

    fn tell(&self, progress: Option<String>) {
        let Some(progress) = progress else { return };
        let function = {
            let mut listener = self.listener.borrow_mut();
            listener.last = Some(progress.clone());
            listener.function.clone()
        };
        // Not while anything is borrowed: it may ask for a load.
        tell(function.as_ref(), &progress);
    }
}

/// Tells JavaScript how far a load is. A listener that throws must not stop it.
pub(crate) fn tell(listener: Option<&Function>, progress: &str) {
    if let Some(listener) = listener {
        let _ = listener.call1(&JsValue::UNDEFINED, &progress.into());
    }
}
