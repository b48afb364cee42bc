//! How the first import of one package grows with the release around it, and what the builder takes for the release.

use std::path::Path;

use serde_json::{Value, json};
use webimport_browser_tests::browser::{Browser, Session};
use webimport_browser_tests::fixture::Repository;
use webimport_browser_tests::{Raised, Setup, Site, scratch};

use crate::builder::{self, Built};
use crate::heap;
use crate::loading::try_timed;
use crate::numbers::{Spread, rounded, whole};
use crate::project::{NAME, Project, State};
use crate::server::{Link, Server, Transferred};

/// Modules of the releases; the others are compared with the smallest.
pub(crate) const SIZES: [u32; 3] = [SMALLEST, 10_000, 100_000];
/// With `--short`.
pub(crate) const SHORT: [u32; 2] = [SMALLEST, 10_000];
/// With `--large`, besides.
pub(crate) const LARGE: u32 = 1_000_000;
const SMALLEST: u32 = 100;

/// How often a project is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builds {
    Once,
    /// Then with one module changed, too.
    Twice,
}

/// One project in several sizes, released or refused by the builder.
pub(crate) struct Releases(Vec<Release>);

struct Release {
    project: Project,
    repository: Repository,
    built: Built,
    /// If it is to be built twice, and was not refused.
    again: Option<Built>,
}

impl Releases {
    /// Has the program `webimport` make them.
    pub(crate) async fn make(webimport: &Path, sizes: &[u32], builds: Builds) -> Self {
        let mut releases = Vec::new();
        for &modules in sizes {
            eprintln!("scale: releasing {modules} modules");
            releases.push(Release::make(webimport, Project { modules }, builds).await);
        }
        Self(releases)
    }

    /// What the builder took.
    pub(crate) fn builder(&self) -> Value {
        let mut numbers = json!({});
        for release in &self.0 {
            let mut of_size = release.built.numbers();
            if let Some(again) = &release.again {
                of_size["again"] = again.numbers();
            }
            numbers[release.key()] = of_size;
        }
        json!({"builder": numbers})
    }
}

impl Release {
    async fn make(webimport: &Path, project: Project, builds: Builds) -> Self {
        let repository = Repository::new();
        let release = async |state: State| {
            let folder = scratch::folder("project");
            let wheels = project.wheels(state, &folder);
            let version = state.version();
            let built = builder::release(webimport, &repository, NAME, version, &wheels).await;
            std::fs::remove_dir_all(folder).expect("a scratch folder can be removed");
            built
        };
        let built = release(State::First).await;
        let again = if built.refused.is_none() && builds == Builds::Twice {
            Some(release(State::Changed).await)
        } else {
            None
        };
        Self {
            project,
            repository,
            built,
            again,
        }
    }

    fn key(&self) -> String {
        self.project.modules.to_string()
    }
}

/// What one first import took.
struct First {
    milliseconds: f64,
    transferred: Transferred,
    metadata: usize,
    heap: Option<f64>,
}

/// What was measured of one release.
struct Measured<'a> {
    release: &'a Release,
    imports: Vec<First>,
    /// By the builder, or by readers.
    refused: Option<String>,
}

impl<'a> Measured<'a> {
    fn new(release: &'a Release) -> Self {
        Self {
            release,
            imports: Vec::new(),
            refused: release.built.refused.clone(),
        }
    }

    fn spread(&self, of: impl Fn(&First) -> Option<f64>) -> Option<Spread> {
        let measured: Vec<f64> = self.imports.iter().filter_map(of).collect();
        (!measured.is_empty()).then(|| Spread::of(&measured))
    }

    fn time(&self) -> Option<Spread> {
        self.spread(|import| Some(import.milliseconds))
    }

    fn heap(&self) -> Option<Spread> {
        self.spread(|import| import.heap)
    }

    fn numbers(&self) -> Value {
        let mut numbers = json!({});
        if let Some(refused) = &self.refused {
            numbers["refused"] = json!(refused);
        }
        if let (Some(time), Some(last)) = (self.time(), self.imports.last()) {
            time.put(&mut numbers, "first_import");
            numbers["first_import_bytes"] = json!(last.transferred.bytes);
            numbers["first_import_requests"] = json!(last.transferred.requests);
            numbers["metadata_gzip"] = json!(last.metadata);
        }
        if let Some(heap) = self.heap() {
            numbers["heap"] = whole(heap.median);
        }
        numbers
    }
}

/// The first import from each release, interleaved, each in a fresh page with empty storage.
pub(crate) async fn measure(
    session: &Session,
    browser: Browser,
    releases: &Releases,
    runs: u32,
) -> Value {
    let mut all: Vec<Measured> = releases.0.iter().map(Measured::new).collect();
    for run in 1..=runs {
        eprintln!("scale: run {run} of {runs}");
        for measured in all.iter_mut().filter(|it| it.refused.is_none()) {
            match first_import(session, browser, measured.release).await {
                Ok(import) => measured.imports.push(import),
                Err(raised) => {
                    measured.refused = Some(format!("{} [{}]", raised.message, raised.code()));
                }
            }
        }
    }
    let mut numbers = json!({});
    for measured in &all {
        numbers[measured.release.key()] = measured.numbers();
    }
    compare(&all, &mut numbers);
    numbers
}

/// Each release with the smallest.
fn compare(all: &[Measured], numbers: &mut Value) {
    let (smallest, others) = all.split_first().expect("there are sizes");
    for other in others {
        let key = other.release.key();
        if let (Some(one), Some(base)) = (other.time(), smallest.time()) {
            let ratio = rounded(one.median / base.median, 3);
            numbers[format!("first_import_{key}_over_{SMALLEST}")] = json!(ratio);
        }
        if let (Some(one), Some(base)) = (other.heap(), smallest.heap()) {
            let more = whole(one.median - base.median);
            numbers[format!("heap_{key}_beyond_{SMALLEST}")] = more;
        }
    }
}

async fn first_import(
    session: &Session,
    browser: Browser,
    release: &Release,
) -> Result<First, Raised> {
    let repository = &release.repository;
    // Servers of their own, so that neither storage nor the browser's HTTP cache has anything of an earlier run.
    let server = Server::start(repository.root(), Vec::new(), Link::Loopback).await;
    let site = Site::start().await;
    let setup = Setup {
        prelude: Some(heap::PRELUDE.to_owned()),
        ..Setup::trusting(&server.url(), repository.pin())
    };
    let page = session.open().await;
    page.goto(&site.add_page(&setup)).await;
    page.run("None").await;
    server.forget();
    let cell = format!(
        "release = await loadRelease('{}/{NAME}', modules=['{}'])\n{}",
        server.url(),
        release.project.imported_name(),
        release.project.import(),
    );
    let timed = try_timed(&page, &cell).await;
    let metadata = server.metadata_gzip();
    let heap = match browser {
        Browser::Chromium => Some(heap::of(&page).await),
        Browser::Firefox => None,
    };
    page.kill().await;
    let timed = timed?;
    Ok(First {
        milliseconds: timed.took,
        transferred: server.transferred(timed.ended).await,
        metadata,
        heap,
    })
}
