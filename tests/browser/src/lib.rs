//! The browser test room: what starts real browsers, serves pages and repositories to them, and breaks both on purpose.
//!
//! A test is an `async fn(Context)` that panics when a fact does not hold. [`suite::run`] makes one trial of it
//! for each browser. A [`Site`] serves a page with the built `webimport.js` and Pyodide, a [`RepositoryServer`]
//! serves a release repository through the product's own server with [`Fault`]s in between, and a [`Page`]
//! runs Python and JavaScript in the tab.
//!
//! Every site listens on a port of its own. An origin includes the port, so each test starts with empty storage,
//! although browsers are shared between tests.
//!
//! There are no sleeps: everything waits for a condition with a deadline.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test harness reports by panicking"
)]

pub mod browser;
pub mod demo;
mod devtools;
pub mod fixture;
pub mod hand_signed;
pub mod http_server;
pub mod page;
pub mod repository_server;
pub mod scratch;
pub mod site;
pub mod suite;
pub mod tools;
pub mod upstream;
pub mod wheel;

pub use browser::{Browser, Session};
pub use hand_signed::HandSigned;
pub use page::{Page, Raised};
pub use repository_server::{Fault, Logged, RepositoryServer};
pub use site::{Block, Pyodide, Realm, Setup, Site};
pub use suite::Context;
