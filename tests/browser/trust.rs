//! What the browser adds to trust: delegated roles that are fetched and kept, what a failed refresh leaves behind, the
//! clock, and servers that are slow or hostile.

use serde::Deserialize;
use serde_json::{Value, json};
use webimport_browser_tests::fixture::HandMade;
use webimport_browser_tests::hand_signed::{TARGETS, key};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{
    Block, Context, Fault, HandSigned, Page, Realm, RepositoryServer, Setup, Site, tests,
};
use webimport_core::digest::Sha256Digest;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::{Algorithm, SigningKey};

use crate::refusals::{WORLD, refuses};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_release_of_a_delegated_role_loads_with_and_without_its_server,
        a_delegated_role_that_another_key_signed_is_refused,
        a_refresh_that_breaks_off_leaves_what_was_loaded_and_remembers_what_it_saw,
        a_key_that_was_seen_to_be_revoked_stays_revoked,
        what_has_expired_does_not_come_back_with_the_clock,
        speculative_asks_for_the_timestamp_before_the_root_is_answered,
        a_slow_server_does_not_hold_what_is_cached,
        a_hostile_repository_does_not_keep_an_honest_mirror_from_serving,
        a_hostile_mirror_changes_nothing,
        endless_files_are_cut_off,
        metadata_are_stored_whole_or_not_at_all,
    ]
}

/// A repository and its server, and a site whose pages trust it.
struct Bench {
    site: Site,
    repository: HandSigned,
    server: RepositoryServer,
}

/// What a load gave.
#[derive(Debug, PartialEq, Deserialize)]
struct Seen {
    /// The version that was imported.
    value: String,
    offline: bool,
    /// Their codes.
    warnings: Vec<String>,
    role: String,
    keyids: Vec<String>,
    expired: bool,
}

impl Seen {
    /// From the server as it is now, in order.
    fn is_current(&self, version: &str) -> bool {
        self.value == version && !self.offline && !self.expired && self.warnings.is_empty()
    }

    /// From the cache, because of this.
    fn stands_in(&self, version: &str, warning: &str) -> bool {
        self.value == version && self.offline && self.warnings == [warning]
    }
}

impl Bench {
    /// A repository with `victim` 1.0, by the top-level targets.
    async fn new() -> Self {
        let mut repository = HandSigned::new();
        repository.add(TARGETS, &HandMade::package("victim", "1.0"));
        repository.publish();
        Self::of(repository).await
    }

    async fn of(repository: HandSigned) -> Self {
        Self {
            site: Site::start().await,
            server: repository.serve().await,
            repository,
        }
    }

    /// Publishes a version of `victim`, the next generation.
    fn publish(&mut self, version: &str) {
        let release = HandMade::package("victim", version);
        self.repository.add(TARGETS, &release);
        self.repository.publish();
    }

    fn setup(&self) -> Setup {
        Setup::trusting(&self.server.url(), &self.repository.pin())
    }

    async fn visit(&self, context: &Context) -> Page {
        visit(context, &self.site, &self.setup()).await
    }

    /// A call for `victim`.
    fn load(&self, options: &str) -> String {
        format!("await loadRelease('{}/victim'{options})", self.server.url())
    }

    async fn gives(&self, page: &Page, options: &str) -> Seen {
        gives(page, &self.load(options)).await
    }
}

async fn visit(context: &Context, site: &Site, setup: &Setup) -> Page {
    let page = context.open(site, setup).await;
    page.run(WORLD).await;
    page
}

/// A cell that loads, imports and unloads `victim`, and tells what it saw.
fn seeing(load: &str) -> String {
    format!(
        "release = {load}\n\
         import victim\n\
         seen = {{'value': victim.VALUE, 'offline': release.offline, 'warnings': [it['code'] for it in release.warnings],\n\
         **{{key: release.trust[key] for key in ('role', 'keyids', 'expired')}}}}\n\
         release.unload()\n\
         forget('victim')\n\
         seen"
    )
}

async fn gives(page: &Page, load: &str) -> Seen {
    read(page.run(&seeing(load)).await)
}

fn read(seen: Value) -> Seen {
    serde_json::from_value(seen).expect("a cell that sees has its fixed form")
}

/// The name of a delegated role, which must lead nowhere in a URL, a database or an object.
const TEAM: &str = "team/../x";
/// Its files, in a URL.
const TEAM_FILES: &str = "metadata/*.team%2F..%2Fx.json";

fn team() -> [SigningKey; 2] {
    [key(Algorithm::Ed25519, 50), key(Algorithm::EcdsaP256, 51)]
}

/// A repository whose releases of `victim` are on the word of a delegated role, which has two keys and needs both.
fn delegating() -> HandSigned {
    let mut repository = HandSigned::new();
    repository.delegate(TEAM, &["victim/*/release.json"], &team(), 2);
    repository.add(TEAM, &HandMade::package("victim", "1.0"));
    repository.publish();
    repository
}

/// TUF 5.6.7, in the browser: the role's file is fetched, verified, told, and kept.
async fn a_release_of_a_delegated_role_loads_with_and_without_its_server(context: Context) {
    let mut keyids = team().map(|key| key.public().id().to_string());
    keyids.sort();
    for realm in [Realm::Page, Realm::Worker] {
        let bench = Bench::of(delegating()).await;
        let pins = json!({"repositories": {bench.server.url(): {"root": bench.repository.pin()}}});
        let setup = Setup {
            realm,
            config: Some(pins),
            ..Setup::default()
        };
        let page = visit(&context, &bench.site, &setup).await;
        let mut first = bench.gives(&page, "").await;
        assert!(first.is_current("1.0"), "{first:?}");
        first.keyids.sort();
        assert_eq!(
            (first.role.as_str(), &first.keyids[..]),
            (TEAM, &keyids[..])
        );
        assert_eq!(bench.server.served(TEAM_FILES), 1);
        let trust = &page.last_load().await["trust"];
        assert_eq!(
            (&trust["role"], &trust["expired"]),
            (&json!(TEAM), &json!(false))
        );
        page.leave().await;

        // What is cached of the role is not fetched again, and does without the server.
        let page = visit(&context, &bench.site, &setup).await;
        let again = bench.gives(&page, ", version='1.0'").await;
        assert!(again.is_current("1.0"), "{again:?}");
        assert_eq!(bench.server.served(TEAM_FILES), 1);
        page.leave().await;
        bench.server.stop().await;
        let page = visit(&context, &bench.site, &setup).await;
        let mut offline = bench.gives(&page, "").await;
        assert!(offline.stands_in("1.0", "fetch.network"), "{offline:?}");
        offline.keyids.sort();
        assert_eq!(
            (offline.role.as_str(), &offline.keyids[..]),
            (TEAM, &keyids[..])
        );
    }
}

/// TUF 5.6.3, arbitrary software: a delegated role's threshold is its delegator's.
async fn a_delegated_role_that_another_key_signed_is_refused(context: Context) {
    let [ed25519, p256] = team();
    let other = key(Algorithm::EcdsaP256, 99);
    for signers in [
        vec![other.clone(), ed25519.clone()],
        vec![p256.clone()],
        Vec::new(),
    ] {
        let mut repository = delegating();
        repository.sign_with(TEAM, &signers);
        repository.publish();
        let mut bench = Bench::of(repository).await;
        let page = bench.visit(&context).await;
        for options in ["", ", version='1.0'"] {
            refuses(&page, &bench.load(options), &["verify.threshold"]).await;
        }
        refuses(&page, &bench.load(", offline='only'"), &["resolve.offline"]).await;

        bench.repository.sign_with(TEAM, &team());
        bench.repository.publish();
        let seen = bench.gives(&page, "").await;
        assert!(seen.is_current("1.0"), "{seen:?}");

        // Where a good one is known, a bad one takes nothing away and brings nothing in.
        let release = HandMade::package("victim", "2.0");
        bench.repository.add(TEAM, &release);
        bench.repository.sign_with(TEAM, &signers);
        bench.repository.publish();
        refuses(&page, &bench.load(""), &["verify.threshold"]).await;
        let offline = bench.gives(&page, ", offline='only'").await;
        assert_eq!(offline.value, "1.0", "{offline:?}");
        page.leave().await;
    }
}

/// TUF 5.4.5: what was verified before a refresh failed is kept, so that nobody can take it back afterwards.
async fn a_refresh_that_breaks_off_leaves_what_was_loaded_and_remembers_what_it_saw(
    context: Context,
) {
    for (fault, refusal) in [
        (Fault::Status(404), None),
        (Fault::FlipBit(200), Some("verify.digest")),
    ] {
        let mut bench = Bench::new().await;
        let page = bench.visit(&context).await;
        let seen = bench.gives(&page, "").await;
        assert!(seen.is_current("1.0"), "{seen:?}");
        page.leave().await;
        let old = bench.repository.file("metadata/timestamp.json");
        bench.publish("2.0");

        bench.server.fault("metadata/2.snapshot.json", fault);
        let page = bench.visit(&context).await;
        match refusal {
            None => {
                let seen = bench.gives(&page, "").await;
                assert!(seen.stands_in("1.0", "fetch.not_found"), "{seen:?}");
            }
            Some(code) => {
                refuses(&page, &bench.load(""), &[code]).await;
            }
        }
        page.leave().await;
        bench.server.mend();

        let page = bench.visit(&context).await;
        let seen = bench.gives(&page, ", offline='only'").await;
        assert_eq!(
            (seen.value.as_str(), seen.expired),
            ("1.0", false),
            "{seen:?}"
        );
        bench
            .server
            .fault("metadata/timestamp.json", Fault::Replace(old));
        refuses(&page, &bench.load(""), &["verify.rollback"]).await;
        bench.server.mend();
        let seen = bench.gives(&page, "").await;
        assert!(seen.is_current("2.0"), "{seen:?}");
        page.kill().await;
    }
}

/// TUF 5.3.8, key compromise: a new root counts from when it was seen, even if the refresh that saw it failed.
async fn a_key_that_was_seen_to_be_revoked_stays_revoked(context: Context) {
    let stolen = key(Algorithm::EcdsaP256, 2);
    let mut bench = Bench::new().await;
    let page = bench.visit(&context).await;
    bench.gives(&page, "").await;
    page.leave().await;

    let new = key(Algorithm::EcdsaP256, 20);
    bench.repository.set_key(RoleKind::Timestamp, new.clone());
    bench.repository.publish_root();
    bench.publish("2.0");
    bench
        .server
        .fault("metadata/2.snapshot.json", Fault::Status(500));
    let page = bench.visit(&context).await;
    page.cell(&seeing(&bench.load(""))).await;
    assert!(has(&bench.server.requests(), "metadata/2.snapshot.json"));
    page.kill().await;
    bench.server.mend();

    // The thief hides the new root and signs a later state with the old key.
    bench.repository.sign_with("timestamp", &[stolen]);
    bench.publish("3.0");
    bench
        .server
        .fault("metadata/2.root.json", Fault::Status(404));
    let page = bench.visit(&context).await;
    refuses(&page, &bench.load(""), &["verify.threshold"]).await;
    // Who has not seen the new root cannot know.
    let elsewhere = visit(&context, &Site::start().await, &bench.setup()).await;
    let seen = bench.gives(&elsewhere, "").await;
    assert!(seen.is_current("3.0"), "{seen:?}");

    bench.server.mend();
    bench.repository.sign_with("timestamp", &[new]);
    bench.publish("4.0");
    let seen = bench.gives(&page, "").await;
    assert!(seen.is_current("4.0"), "{seen:?}");
}

/// A page whose clock is days ahead of the server's.
async fn visit_ahead(context: &Context, bench: &Bench, realm: Realm, days: u32) -> Page {
    let pins = json!({"repositories": {bench.server.url(): {"root": bench.repository.pin()}}});
    let setup = Setup {
        realm,
        config: Some(pins),
        prelude: Some(format!(
            "{{ const now = Date.now; Date.now = () => now() + {days} * 86_400_000; }}"
        )),
        ..Setup::default()
    };
    visit(context, &bench.site, &setup).await
}

/// TUF 5.4.4, freeze: what has expired has expired, whatever the clock says later.
async fn what_has_expired_does_not_come_back_with_the_clock(context: Context) {
    let mut bench = Bench::new().await;
    bench
        .repository
        .add(TARGETS, &HandMade::package("other", "1.0"));
    bench.repository.publish();
    let page = visit_ahead(&context, &bench, Realm::Page, 0).await;
    let seen = bench.gives(&page, "").await;
    assert!(seen.is_current("1.0"), "{seen:?}");
    page.leave().await;

    // Forty days on, with metadata for thirty; and then the clock is as it was.
    for (days, realm) in [(40, Realm::Page), (0, Realm::Worker)] {
        let page = visit_ahead(&context, &bench, realm, days).await;
        for options in ["", ", offline='only'", ", version='1.0'"] {
            refuses(&page, &bench.load(options), &["verify.expired"]).await;
        }
        let seen = bench.gives(&page, ", offline='stale'").await;
        assert!(
            seen.expired && seen.stands_in("1.0", "verify.expired"),
            "{days} days: {seen:?}"
        );
        // Only ever what is there.
        bench.server.forget_requests();
        let other = bench.load(", offline='stale'").replace("/victim", "/other");
        refuses(&page, &other, &["resolve.offline"]).await;
        assert_eq!(bench.server.requests(), []);
        page.kill().await;
    }
    // The metadata themselves are good for whoever has not seen them expire.
    let elsewhere = visit(&context, &Site::start().await, &bench.setup()).await;
    let seen = bench.gives(&elsewhere, "").await;
    assert!(seen.is_current("1.0"), "{seen:?}");

    bench.repository.valid_for(60);
    bench.repository.publish();
    for days in [0, 40] {
        let page = visit_ahead(&context, &bench, Realm::Page, days).await;
        let seen = bench.gives(&page, "").await;
        assert!(seen.is_current("1.0"), "{days} days: {seen:?}");
        let seen = bench.gives(&page, ", offline='only'").await;
        assert!(!seen.expired && seen.warnings.is_empty(), "{seen:?}");
        page.leave().await;
    }
}

const NEXT_ROOT: &str = "metadata/2.root.json";
const TIMESTAMP: &str = "metadata/timestamp.json";

async fn speculative_asks_for_the_timestamp_before_the_root_is_answered(context: Context) {
    let mut bench = Bench::new().await;
    let old = bench.repository.file(TIMESTAMP);
    for rotated in [false, true] {
        if rotated {
            let new = key(Algorithm::EcdsaP256, 20);
            bench.repository.set_key(RoleKind::Timestamp, new);
            bench.repository.publish_root();
            bench.repository.publish();
        }
        let mut results = Vec::new();
        for (options, ahead) in [("", false), (", speculative=True", true)] {
            bench.server.forget_requests();
            bench.server.fault(NEXT_ROOT, Fault::Hold);
            let site = Site::start().await;
            let page = visit(&context, &site, &bench.setup()).await;
            let started = page.start_python(&seeing(&bench.load(options))).await;
            let asked = |path| move |log: &[_]| has(log, path);
            bench
                .server
                .wait_for_requests("the next root", asked(NEXT_ROOT))
                .await;
            if ahead {
                bench
                    .server
                    .wait_for_requests("the timestamp", asked(TIMESTAMP))
                    .await;
            } else {
                assert!(!has(&bench.server.requests(), TIMESTAMP));
            }
            bench.server.mend();
            bench.server.release_held();
            let seen = page.finish_python(started).await;
            let seen = read(seen.unwrap_or_else(|raised| panic!("{raised}")));
            assert!(seen.is_current("1.0"), "{seen:?}");
            assert_eq!(bench.server.served(TIMESTAMP), 1);
            results.push(seen);
            page.kill().await;
        }
        assert_eq!(results[0], results[1]);
    }
    // What came early is judged by the root that came late.
    bench.server.fault(TIMESTAMP, Fault::Replace(old));
    let page = bench.visit(&context).await;
    for options in ["", ", speculative=True"] {
        refuses(&page, &bench.load(options), &["verify.threshold"]).await;
    }
}

fn has(log: &[webimport_browser_tests::Logged], path: &str) -> bool {
    log.iter().any(|logged| logged.path == path)
}

/// Slow retrieval: no answer, an answer that stops, and one that goes on for ever too slowly.
async fn a_slow_server_does_not_hold_what_is_cached(context: Context) {
    const NAMES: [&str; 3] = ["held", "stalled", "dripping"];
    let site = Site::start().await;
    let (mut servers, mut pins) = (Vec::new(), serde_json::Map::new());
    for name in NAMES {
        let mut repository = HandSigned::new();
        repository.add(TARGETS, &HandMade::package(name, "1.0"));
        repository.publish();
        let server = repository.serve().await;
        pins.insert(server.url(), json!({"root": repository.pin()}));
        servers.push(server);
    }
    let setup = Setup {
        config: Some(json!({"repositories": pins})),
        ..Setup::default()
    };
    let page = context.open(&site, &setup).await;
    let loads: Vec<String> = NAMES
        .iter()
        .zip(&servers)
        .map(|(name, server)| format!("loadRelease('{}/{name}')", server.url()))
        .collect();
    let cell = format!(
        "import asyncio\n\
         releases = await asyncio.gather({})\n\
         import held, stalled, dripping\n\
         seen = [[release.offline, [it['code'] for it in release.warnings]] for release in releases]\n\
         for release in releases: release.unload()\n\
         seen",
        loads.join(", ")
    );
    assert_eq!(
        page.run(&cell).await,
        json!([[false, []], [false, []], [false, []]])
    );
    for (server, fault) in servers
        .iter()
        .zip([Fault::Hold, Fault::Stall(100), Fault::Drip])
    {
        server.fault(TIMESTAMP, fault);
    }
    let late = json!([true, ["fetch.timeout"]]);
    assert_eq!(page.run(&cell).await, json!([late, late, late]));
    servers[2]
        .wait_for_requests("the end of the drip", |log| {
            log.iter().any(|logged| logged.cut_off)
        })
        .await;
    servers.iter().for_each(RepositoryServer::release_held);
}

/// A bench with another server of the same repository, as a mirror.
async fn mirrored() -> (Bench, RepositoryServer, Setup) {
    let bench = Bench::new().await;
    let mirror = bench.repository.serve().await;
    let place = json!({"root": bench.repository.pin(), "mirrors": [mirror.url()]});
    let pins = json!({"repositories": {bench.server.url(): place}});
    let setup = Setup {
        blocks: vec![Block::Inline(pins.to_string())],
        ..Setup::default()
    };
    (bench, mirror, setup)
}

/// What a server sends that is not the repository any more.
fn hostilities(old: &[u8]) -> [(&'static str, Fault, &'static str); 6] {
    [
        (TIMESTAMP, Fault::Replace(old.to_vec()), "verify.rollback"),
        (TIMESTAMP, Fault::FlipBit(120), "verify.threshold"),
        (TIMESTAMP, Fault::Endless, "verify.too_large"),
        ("metadata/*.snapshot.json", Fault::HtmlPage, "verify.length"),
        ("metadata/*.root.json", Fault::HtmlPage, "verify.malformed"),
        ("*", Fault::Replace(b"garbage".to_vec()), "verify.malformed"),
    ]
}

/// Malicious mirror: what one server says badly another one may say well, and the first one's fault is told if none does.
async fn a_hostile_repository_does_not_keep_an_honest_mirror_from_serving(context: Context) {
    let (mut bench, mirror, setup) = mirrored().await;
    let old = bench.repository.file(TIMESTAMP);
    bench.publish("2.0");
    let page = visit(&context, &bench.site, &setup).await;
    let seen = bench.gives(&page, "").await;
    assert!(seen.is_current("2.0"), "{seen:?}");
    assert_eq!(mirror.requests(), [], "a mirror is asked in need alone");

    let mut version = 2;
    for (pattern, fault, code) in hostilities(&old) {
        version += 1;
        bench.publish(&format!("{version}.0"));
        bench.server.fault(pattern, fault.clone());
        mirror.fault("*", Fault::Status(500));
        refuses(&page, &bench.load(""), &[code]).await;
        mirror.mend();
        let seen = bench.gives(&page, "").await;
        assert!(
            seen.is_current(&format!("{version}.0")),
            "{fault:?}: {seen:?}"
        );
        bench.server.mend();
    }
    // Content is taken from whoever has the right bytes.
    for pattern in ["targets/*", "objects/*"] {
        for (fault, code) in [
            (Fault::FlipBit(0), "verify.digest"),
            (Fault::Endless, "verify.too_large"),
        ] {
            version += 1;
            bench.publish(&format!("{version}.0"));
            bench.server.fault(pattern, fault.clone());
            mirror.fault(pattern, Fault::Status(404));
            refuses(&page, &bench.load(""), &[code]).await;
            mirror.mend();
            let seen = bench.gives(&page, "").await;
            assert!(
                seen.is_current(&format!("{version}.0")),
                "{fault:?}: {seen:?}"
            );
            bench.server.mend();
        }
    }
}

/// The other way round: beside an honest repository a mirror is not asked, and alone it can only fail.
async fn a_hostile_mirror_changes_nothing(context: Context) {
    let (mut bench, mirror, setup) = mirrored().await;
    let old = bench.repository.file(TIMESTAMP);
    bench.publish("2.0");
    let page = visit(&context, &bench.site, &setup).await;
    let mut version = 2;
    for (pattern, fault, _) in hostilities(&old) {
        version += 1;
        let (version, next) = (format!("{version}.0"), format!("{version}.1"));
        bench.publish(&version);
        mirror.forget_requests();
        mirror.fault(pattern, fault.clone());
        let seen = bench.gives(&page, "").await;
        assert!(seen.is_current(&version), "{fault:?}: {seen:?}");
        assert_eq!(mirror.requests(), []);

        // What is known stands in for what cannot be reached, whatever the mirror says.
        bench.publish(&next);
        bench.server.fault("*", Fault::HangUp);
        let seen = bench.gives(&page, "").await;
        assert!(
            seen.stands_in(&version, "fetch.network"),
            "{fault:?}: {seen:?}"
        );
        let exactly = format!(", version='{next}'");
        refuses(&page, &bench.load(&exactly), &["fetch.network"]).await;
        mirror.mend();
        let seen = bench.gives(&page, &exactly).await;
        assert!(seen.is_current(&next), "{fault:?}: {seen:?}");
        bench.server.mend();
    }
    version += 1;
    bench.publish(&format!("{version}.0"));
    bench.server.fault("objects/*", Fault::Status(404));
    mirror.fault("objects/*", Fault::FlipBit(0));
    refuses(&page, &bench.load(""), &["fetch.not_found"]).await;
    mirror.mend();
    let seen = bench.gives(&page, "").await;
    assert!(seen.is_current(&format!("{version}.0")), "{seen:?}");
}

/// Endless data: no file is read past its limit, and the connection is closed.
async fn endless_files_are_cut_off(context: Context) {
    let bench = Bench::of(delegating()).await;
    let page = bench.visit(&context).await;
    for pattern in [
        "metadata/1.root.json",
        NEXT_ROOT,
        TIMESTAMP,
        "metadata/*.snapshot.json",
        "metadata/*.targets.json",
        TEAM_FILES,
        "targets/*",
        "objects/*",
    ] {
        bench.server.forget_requests();
        bench.server.fault(pattern, Fault::Endless);
        refuses(&page, &bench.load(""), &["verify.too_large"]).await;
        bench
            .server
            .wait_for_requests("the end of the connection", |log| {
                log.iter().any(|logged| logged.cut_off)
            })
            .await;
        bench.server.mend();
    }
    let seen = bench.gives(&page, "").await;
    assert!(seen.is_current("1.0"), "{seen:?}");
}

/// What happens to a tab or to its first transaction on metadata; whether the new record is there then.
const MOMENTS: [(&str, &str, bool); 3] = [
    (
        "it is killed while it writes",
        "request.addEventListener('success', reached); hold()",
        false,
    ),
    (
        "it is killed when it has written",
        "this.transaction.addEventListener('complete', reached)",
        true,
    ),
    (
        "it is refused at the end",
        "this.transaction.addEventListener('abort', reached);
         request.addEventListener('success', () => this.transaction.abort())",
        false,
    ),
];

/// What has to be stored of the current generation.
fn record(bench: &Bench, generation: u32) -> [Value; 1] {
    let sha256 = |path: &str| Sha256Digest::of(&bench.repository.file(path)).to_string();
    [json!({
        "roots": [sha256("metadata/1.root.json")],
        "timestamp": sha256(TIMESTAMP),
        "snapshot": sha256(&format!("metadata/{generation}.snapshot.json")),
        "targets": [["targets", sha256(&format!("metadata/{generation}.targets.json"))]],
    })]
}

/// State is replaced in one transaction: a tab that goes away leaves the old or the new.
async fn metadata_are_stored_whole_or_not_at_all(context: Context) {
    let mut bench = Bench::new().await;
    let page = bench.visit(&context).await;
    bench.gives(&page, "").await;
    let mut old = record(&bench, 1);
    assert_eq!(page.stored_metadata().await, old);
    page.kill().await;
    for (generation, (moment, action, written)) in (2..).zip(MOMENTS) {
        let version = format!("{generation}.0");
        bench.publish(&version);
        let new = record(&bench, generation);
        // A transaction goes on for as long as it has requests. A second one would never end.
        let prelude = format!(
            "const put = IDBObjectStore.prototype.put;
             const reached = () => {{ window.reached = true; }};
             let first;
             IDBObjectStore.prototype.put = function (...record) {{
               const request = put.apply(this, record);
               if (this.name !== 'metadata') return request;
               const hold = () => this.get('').addEventListener('success', hold);
               first ??= this.transaction;
               if (this.transaction === first) {{ {action}; }} else hold();
               return request;
             }};"
        );
        let setup = Setup {
            prelude: Some(prelude),
            ..bench.setup()
        };
        let page = visit(&context, &bench.site, &setup).await;
        let started = page.start_python(&seeing(&bench.load(""))).await;
        let _: bool = page
            .wait_for("the record", "return window.reached", json!([]))
            .await;
        drop(started);
        page.kill().await;

        let page = bench.visit(&context).await;
        let expected = if written { &new } else { &old };
        assert_eq!(page.stored_metadata().await, *expected, "{moment}");
        let seen = bench.gives(&page, "").await;
        assert!(seen.is_current(&version), "{moment}: {seen:?}");
        assert_eq!(page.stored_metadata().await, new, "{moment}");
        page.kill().await;
        old = new;
    }
}
