//! Runs tests in browsers: one trial for each test and browser, with a report when a fact does not hold.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::browser::{Browser, Browsers, Session};
use crate::page::Page;
use crate::site::{Setup, Site};
use crate::{scratch, tools};

/// How long one test may take in one browser.
const TEST_DEADLINE: Duration = Duration::from_mins(5);

type TestFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A test: its name, the browsers it runs in, and its function.
#[derive(Clone)]
pub struct Test {
    name: String,
    browsers: Vec<Browser>,
    deadline: Duration,
    function: Arc<dyn Fn(Context) -> TestFuture + Send + Sync>,
}

impl Test {
    /// A test for both browsers.
    pub fn new<F, R>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + 'static,
    {
        let function = Arc::new(move |context| -> TestFuture { Box::pin(function(context)) });
        Self {
            name: name.into(),
            browsers: vec![Browser::Chromium, Browser::Firefox],
            deadline: TEST_DEADLINE,
            function,
        }
    }

    /// The same with another deadline than five minutes.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same for these browsers only.
    #[must_use]
    pub fn only_in(mut self, browsers: &[Browser]) -> Self {
        self.browsers = browsers.to_vec();
        self
    }
}

/// Names the tests of a module: `tests![rejects_this, accepts_that]` makes the list of [`Test`]s.
#[macro_export]
macro_rules! tests {
    ($($function:ident),* $(,)?) => {
        vec![$($crate::suite::Test::new(concat!(module_path!(), "::", stringify!($function)), $function)),*]
    };
}

struct Inner {
    browser: Browser,
    browsers: Arc<Browsers>,
    session: Session,
    more_sessions: Mutex<Vec<Session>>,
    pages: Mutex<Vec<Page>>,
}

/// What a test gets: a browser session.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

impl Context {
    async fn new(browsers: &Arc<Browsers>, browser: Browser) -> Self {
        let session = browsers.session(browser).await;
        Self(Arc::new(Inner {
            browser,
            browsers: Arc::clone(browsers),
            session,
            more_sessions: Mutex::default(),
            pages: Mutex::default(),
        }))
    }

    /// The browser that this test runs in.
    pub fn browser(&self) -> Browser {
        self.0.browser
    }

    /// An empty tab.
    pub async fn tab(&self) -> Page {
        let page = self.0.session.open().await;
        self.remember(&page);
        page
    }

    /// A tab at this URL.
    pub async fn visit(&self, url: &str) -> Page {
        let page = self.tab().await;
        page.goto(url).await;
        page
    }

    /// A tab with a test page on which Pyodide is up.
    pub async fn open(&self, site: &Site, setup: &Setup) -> Page {
        let page = self.visit(&site.add_page(setup)).await;
        page.ready()
            .await
            .unwrap_or_else(|raised| panic!("the page did not start: {raised}"));
        page
    }

    /// A browser process of this test's own, on a profile that outlives it. The test closes the session.
    pub async fn browser_with_profile(&self, profile: &Path) -> Session {
        let session = self
            .0
            .browsers
            .session_with_profile(self.0.browser, profile)
            .await;
        self.0
            .more_sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(session.clone());
        session
    }

    /// Includes this page in the report of a failure.
    pub fn remember(&self, page: &Page) {
        self.0
            .pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(page.clone());
    }

    /// What the pages show when a test has failed.
    async fn report(&self, name: &str) -> String {
        let mut report = String::new();
        let pages = self
            .0
            .pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (index, page) in pages.iter().enumerate() {
            // A tab that the test has closed has nothing to say.
            let look = async { (page.log().await, page.screenshot().await) };
            let look = tokio::time::timeout(
                Duration::from_secs(20),
                AssertUnwindSafe(look).catch_unwind(),
            )
            .await;
            let Ok(Ok((log, picture))) = look else {
                continue;
            };
            let file = tools::workspace().join(format!(
                "target/browser-failures/{}-{index}.png",
                name.replace("::", "-")
            ));
            std::fs::create_dir_all(file.parent().expect("in a folder"))
                .expect("target is writable");
            std::fs::write(&file, picture).expect("target is writable");
            let _ = write!(
                report,
                "\n--- page {index}, {}\n{}",
                file.display(),
                log.join("\n")
            );
        }
        report
    }
}

thread_local! {
    /// The last panic of a trial's thread, with its place, which a caught payload does not have.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the tests that the command line asks for, ends the browsers, and exits the process.
pub fn run(tests: &[Test]) -> ! {
    let mut arguments = Arguments::from_args();
    // Browsers are heavy; more at once makes each slower than its deadlines.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(2).min(2));
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let browsers = Arc::new(Browsers::default());
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|last| *last.borrow_mut() = Some(info.to_string()));
    }));

    let mut trials = Vec::new();
    for browser in [Browser::Chromium, Browser::Firefox] {
        for test in tests
            .iter()
            .filter(|test| test.browsers.contains(&browser))
            .cloned()
        {
            let (runtime, browsers) = (Arc::clone(&runtime), Arc::clone(&browsers));
            // `browser::theme::fact` is called `chromium::theme::fact`.
            let fact = test
                .name
                .split_once("::")
                .map_or(test.name.as_str(), |(_, fact)| fact);
            let name = format!("{browser}::{fact}");
            let label = name.clone();
            trials.push(Trial::test(name, move || {
                runtime.block_on(trial(&browsers, browser, &test, &label))
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    runtime.block_on(browsers.end());
    scratch::remove_all();
    conclusion.exit()
}

async fn trial(
    browsers: &Arc<Browsers>,
    browser: Browser,
    test: &Test,
    name: &str,
) -> Result<(), Failed> {
    let context = AssertUnwindSafe(Context::new(browsers, browser))
        .catch_unwind()
        .await
        .map_err(|payload| message(&*payload))?;
    let outcome = AssertUnwindSafe((test.function)(context.clone())).catch_unwind();
    let failure = match tokio::time::timeout(test.deadline, outcome).await {
        Ok(Ok(())) => None,
        Ok(Err(payload)) => Some(message(&*payload)),
        Err(_) => Some(format!("not done within {} s", test.deadline.as_secs())),
    };
    let failure = match failure {
        Some(message) => Some(message + &context.report(name).await),
        None => None,
    };
    let more = std::mem::take(
        &mut *context
            .0
            .more_sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    for session in more {
        session.close().await;
    }
    match failure {
        None => {
            browsers.give_back(browser, context.0.session.clone()).await;
            Ok(())
        }
        // A browser in which a test failed may be in any state.
        Some(message) => {
            context.0.session.clone().close().await;
            Err(Failed::from(message))
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    PANIC
        .with(|last| last.borrow_mut().take())
        .unwrap_or_else(|| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            text.or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message")
                .to_owned()
        })
}
