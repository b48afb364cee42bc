//! A metadata refresh and a search against a hostile server, with a cache that may be damaged, too: whatever it
//! answers, what is kept and what is believed was signed by who had to, is not older than what was kept before,
//! and belongs together. Signatures are of a scheme that takes no time; the target `key` has the real ones.
//!
//! The input: a byte of [`Scene`], the damage to the cache, then one action for each file that is asked for. An
//! input that ends answers honestly from there on, so that every prefix of an honest answer is explored.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, VerifyError};
use webimport_core::json;
use webimport_core::limits::Limits;
use webimport_core::map::Map;
use webimport_core::repository::{Lookup, Repository};
use webimport_core::time::UnixTime;
use webimport_core::trust::Expiry;
use webimport_core::workflow::{Absence, CachedMetadata, MetadataFetch, Refresh, RootTrust, Step};
use webimport_fuzz::repository::{NOW, Toy, meta, role, signed, trusted};
use webimport_fuzz::{Outcome, refused, target};

target!(check);

/// Files that one refresh and one search may ask for; more would be a loop.
const MOST: usize = 40;

/// The release that every target path of the world stands for.
const CONTENT: &[u8] = b"manifest";

/// A file, and what is signed of it.
type Authentic = (Vec<u8>, Vec<u8>);

/// All that was ever signed, and who can sign what.
struct World {
    /// By path, what the server has.
    files: BTreeMap<String, Vec<u8>>,
    /// Files that are in nobody's interest: old ones, and those of another repository.
    others: Vec<Vec<u8>>,
    /// By role, files and what is signed of them, in canonical form.
    authentic: BTreeMap<&'static str, Vec<Authentic>>,
    pin: Sha256Digest,
    /// What a client has that refreshed before the second version was published, and after.
    before: CachedMetadata,
    after: CachedMetadata,
}

/// The key that signs timestamps from the second root on: what an attacker may have.
fn online() -> Toy {
    Toy(6)
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let root = |version: u64, roots: &[Toy], threshold: u64, timestamps: Toy| {
            let (keys, roles) = trusted(&[
                ("root", roots, threshold),
                ("timestamp", &[timestamps], 1),
                ("snapshot", &[Toy(4)], 1),
                ("targets", &[Toy(5), Toy(9)], 2),
            ]);
            role(
                "root",
                version,
                365,
                json!({"consistent_snapshot": true, "keys": keys, "roles": roles}),
            )
        };
        let roots = [
            (root(1, &[Toy(1)], 1, Toy(3)), vec![Toy(1)]),
            (root(2, &[Toy(1)], 1, online()), vec![Toy(1)]),
            (
                root(3, &[Toy(2), Toy(10)], 2, online()),
                vec![Toy(1), Toy(2), Toy(10)],
            ),
        ];
        let roots: Vec<_> = roots
            .iter()
            .map(|(root, keys)| signed(root, keys))
            .collect();

        let one = published(1, Toy(3), None);
        let two = published(2, online(), Some(delegations()));
        let a = signed(
            &targets(1, &["a/1/release.json", "mylib/2/release.json"], None),
            &[Toy(7)],
        );
        let b = signed(
            &targets(1, &["a/2/release.json", "c/1/release.json"], None),
            &[Toy(8)],
        );
        let stranger = published(3, Toy(20), None);

        let mut world = Self {
            files: BTreeMap::new(),
            others: stranger.into_iter().chain(one.clone()).collect(),
            authentic: BTreeMap::new(),
            pin: Sha256Digest::of(&roots[0]),
            before: cached(&roots[..1], &one),
            after: cached(&roots, &two),
        };
        world.after.targets.insert("a".into(), a.clone());
        let [timestamp, snapshot, targets] = &two;
        let all = [
            ("timestamp", "timestamp.json", vec![timestamp, &one[0]]),
            ("snapshot", "2.snapshot.json", vec![snapshot, &one[1]]),
            ("targets", "2.targets.json", vec![targets, &one[2]]),
            ("a", "1.a.json", vec![&a]),
            ("b", "1.b.json", vec![&b]),
            ("root", "1.root.json", vec![&roots[0]]),
            ("root", "2.root.json", vec![&roots[1]]),
            ("root", "3.root.json", vec![&roots[2]]),
        ];
        for (role, path, versions) in all {
            world
                .files
                .insert(format!("metadata/{path}"), versions[0].clone());
            let files = versions.into_iter().map(|file| {
                let form = form(file).expect("it is metadata");
                (file.clone(), form)
            });
            world.authentic.entry(role).or_default().extend(files);
        }
        world
    }

    fn is_authentic(&self, role: &str, file: &[u8]) -> bool {
        let versions = self.authentic.get(role);
        versions.is_some_and(|versions| versions.iter().any(|own| is_same(file, own)))
    }
}

/// Whether the file has the content of an authentic one: signatures can be added and left out.
fn is_same(file: &[u8], (bytes, content): &Authentic) -> bool {
    file == bytes || form(file).is_some_and(|form| form == *content)
}

/// Timestamp, snapshot and targets of one version.
fn published(version: u64, timestamps: Toy, delegations: Option<Value>) -> [Vec<u8>; 3] {
    let targets = targets(version, &["mylib/1/release.json"], delegations);
    let targets = signed(&targets, &[Toy(5), Toy(9)]);
    let metas = json!({
        "targets.json": meta(version, &targets),
        "a.json": {"version": 1},
        "b.json": {"version": 1},
    });
    let snapshot = signed(
        &role("snapshot", version, 60, json!({"meta": metas})),
        &[Toy(4)],
    );
    let metas = json!({"snapshot.json": meta(version, &snapshot)});
    let timestamp = role("timestamp", version, 30, json!({"meta": metas}));
    [signed(&timestamp, &[timestamps]), snapshot, targets]
}

/// Who may name what: `a` is the last word on `a/…`, `b` has `c/…` and would like to have more.
fn delegations() -> Value {
    let (keys, mut roles) = trusted(&[("a", &[Toy(7)], 1), ("b", &[Toy(8)], 1)]);
    let mut delegated = |name: &str, patterns: &[&str], terminating: bool| {
        let mut role = roles[name].take();
        role["name"] = json!(name);
        role["paths"] = json!(patterns);
        role["terminating"] = json!(terminating);
        role
    };
    let roles = [
        delegated("a", &["a/*/release.json"], true),
        delegated("b", &["[ac]/*/release.json"], false),
    ];
    json!({"keys": keys, "roles": roles})
}

fn targets(version: u64, paths: &[&str], delegations: Option<Value>) -> Value {
    let file = json!({
        "length": CONTENT.len(),
        "hashes": {"sha256": Sha256Digest::of(CONTENT)},
        "custom": {"webimport": {"channels": ["stable"]}},
    });
    let targets: serde_json::Map<_, _> = paths
        .iter()
        .map(|path| ((*path).to_owned(), file.clone()))
        .collect();
    let mut rest = json!({"targets": targets});
    if let Some(delegations) = delegations {
        rest["delegations"] = delegations;
    }
    role("targets", version, 90, rest)
}

fn cached(roots: &[Vec<u8>], files: &[Vec<u8>; 3]) -> CachedMetadata {
    let [timestamp, snapshot, targets] = files.clone();
    CachedMetadata {
        roots: roots.to_vec(),
        timestamp: Some(timestamp),
        snapshot: Some(snapshot),
        targets: Map::from([("targets".to_owned(), targets)]),
        ..CachedMetadata::default()
    }
}

/// What the signatures of a file cover.
fn form(file: &[u8]) -> Option<Vec<u8>> {
    let value = json::parse(file, "file").ok()?;
    Some(json::canonical(value.get("signed")?))
}

fn version(file: &[u8]) -> u64 {
    let value = json::parse(file, "file").ok();
    value
        .and_then(|value| value.get("signed")?.get("version")?.as_u64())
        .unwrap_or(0)
}

/// The input, from front to back; what is not there is zero.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A place in something of this length.
    fn place(&mut self, length: usize) -> usize {
        let place = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
        place % (length + 1)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Some bytes of `file` replaced by others.
    fn spliced(&mut self, file: &[u8]) -> Vec<u8> {
        let start = self.place(file.len());
        let end = (start + usize::from(self.byte())).min(file.len());
        [&file[..start], self.bytes(), &file[end..]].concat()
    }
}

/// What the first byte says.
struct Scene {
    cached: CachedMetadata,
    now: UnixTime,
    /// Whether the server has the key of timestamps.
    is_stolen: bool,
    /// Whether the cache is not what an earlier refresh left there.
    is_damaged: bool,
}

impl Scene {
    fn read(input: &mut Input<'_>) -> Self {
        let byte = input.byte();
        let mut cached = match byte & 3 {
            0 => CachedMetadata::default(),
            1 => WORLD.before.clone(),
            _ => WORLD.after.clone(),
        };
        let is_damaged = byte & 0x80 != 0;
        if is_damaged {
            while damage(&mut cached, input) {}
        }
        let days = match byte >> 2 & 3 {
            0 | 1 => 0,
            2 => 45,
            _ => 400,
        };
        Self {
            cached,
            now: NOW.plus_days(days),
            is_stolen: byte & 0x40 != 0,
            is_damaged,
        }
    }
}

/// Damages one file of the cache; false at the end of the damage.
fn damage(cached: &mut CachedMetadata, input: &mut Input<'_>) -> bool {
    let splice = |file: &mut Vec<u8>, input: &mut Input<'_>| *file = input.spliced(file);
    match input.byte() {
        1 => cached.roots.iter_mut().for_each(|file| splice(file, input)),
        2 => cached
            .timestamp
            .iter_mut()
            .for_each(|file| splice(file, input)),
        3 => cached
            .snapshot
            .iter_mut()
            .for_each(|file| splice(file, input)),
        4 => cached
            .targets
            .iter_mut()
            .for_each(|(_, file)| splice(file, input)),
        5 => cached.roots.reverse(),
        6 => cached.timestamp = Some(other(input)),
        7 => cached.snapshot = Some(other(input)),
        8 => drop(cached.targets.insert("targets".into(), other(input))),
        9 => drop(cached.targets.insert("a".into(), other(input))),
        _ => return false,
    }
    true
}

fn other(input: &mut Input<'_>) -> Vec<u8> {
    let all: Vec<&Vec<u8>> = WORLD.others.iter().chain(WORLD.files.values()).collect();
    all[usize::from(input.byte()) % all.len()].clone()
}

/// What the server says when it is asked for a file.
fn answer(fetch: &MetadataFetch, input: &mut Input<'_>, is_stolen: bool) -> Option<Vec<u8>> {
    let honest = WORLD.files.get(&fetch.path);
    let base = honest.cloned().unwrap_or_default();
    match input.byte() {
        1 => Some(other(input)),
        2 => Some(input.spliced(&base)),
        3 => None,
        4 => Some(input.bytes().to_vec()),
        5 => {
            let file = other(input);
            Some(input.spliced(&file))
        }
        // The content of one file with the signatures of another one.
        6 => {
            let (content, signatures) = (parsed(&other(input)), parsed(&other(input)));
            let both = json!({"signed": content["signed"], "signatures": signatures["signatures"]});
            Some(both.to_string().into_bytes())
        }
        // Anything at all, signed with the keys that a stranger has, and with a stolen one.
        7 => {
            let file = if base.is_empty() { other(input) } else { base };
            let file = parsed(&file)["signed"].to_string();
            let file = input.spliced(file.as_bytes());
            json::parse(&file, "role").ok()?;
            let role = parsed(&file);
            let stolen = if is_stolen { online() } else { Toy(21) };
            Some(signed(&role, &[stolen, Toy(20)]))
        }
        _ => honest.cloned(),
    }
}

fn parsed(file: &[u8]) -> Value {
    serde_json::from_slice(file).unwrap_or_default()
}

fn check(data: &[u8]) -> Outcome {
    let mut input = Input(data);
    let scene = Scene::read(&mut input);
    let start = Refresh::new(
        RootTrust::Pin(WORLD.pin),
        "https://h/r",
        scene.cached.clone(),
        scene.now,
        Limits::default(),
    )
    .with_foreign_scheme(Toy::verifies);
    scene.judge_kept(&start);
    if scene.is_damaged
        && let Ok(offline) = start.clone().offline(Expiry::AcceptStale)
    {
        scene.judge(&offline);
    }
    let mut refresh = start;
    let result = scene.drive(&mut refresh, &mut input);
    scene.judge_kept(&refresh);
    if let Err(error) = result {
        if let Ok(offline) = refresh.offline(Expiry::AcceptStale) {
            scene.judge(&offline);
        }
        return refused(&error);
    }
    let mut repository = match refresh.finish() {
        Ok(repository) => repository,
        Err(error) => return refused(&error),
    };
    assert!(repository.expires() > scene.now, "it has expired");
    scene.judge(&repository);
    // TUF 5.5.4 and 5.6.4, mix and match. Offline, what was verified earlier has to do.
    let kept = repository.verified();
    let snapshot = version(kept.snapshot.as_deref().unwrap_or_default());
    assert_eq!(version(&kept.targets["targets"]), snapshot);
    let timestamp = version(kept.timestamp.as_deref().unwrap_or_default());
    assert!(scene.is_stolen || timestamp == snapshot);
    let result = scene.search(&mut repository, &mut input);
    scene.judge(&repository);
    match result {
        Ok(()) => Outcome::Accepted,
        Err(error) => refused(&error),
    }
}

impl Scene {
    fn drive(&self, refresh: &mut Refresh, input: &mut Input<'_>) -> Result<(), Error> {
        for _ in 0..MOST {
            let Step::Fetch(fetch) = refresh.step()? else {
                return Ok(());
            };
            let file = self.fetch(&fetch, input)?;
            refresh.supply(file)?;
            self.judge_kept(refresh);
        }
        panic!("it asks for ever");
    }

    /// As a client with a limit on bytes fetches.
    fn fetch(
        &self,
        fetch: &MetadataFetch,
        input: &mut Input<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let file = fetch
            .path
            .strip_prefix("metadata/")
            .expect("metadata alone");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
        assert!(file.bytes().all(plain) && !file.starts_with('.'), "{file}");
        match answer(fetch, input, self.is_stolen) {
            Some(file) if file.len() as u64 > fetch.limit => Err(VerifyError::TooLarge {
                subject: fetch.path.clone(),
                limit: fetch.limit,
            }
            .into()),
            None if fetch.absence == Absence::Refused => Err(VerifyError::Malformed {
                subject: fetch.path.clone(),
                reason: "it is not there".into(),
            }
            .into()),
            file => Ok(file),
        }
    }

    /// Looks for targets that some role names, with and without the right to.
    fn search(&self, repository: &mut Repository, input: &mut Input<'_>) -> Result<(), Error> {
        let is_new = version(&repository.verified().targets["targets"]) == 2;
        for (path, expected) in [
            ("mylib/1/release.json", Some("targets")),
            ("a/1/release.json", is_new.then_some("a")),
            // `b` says so, and `a`, before it, is the last word.
            ("a/2/release.json", None),
            ("c/1/release.json", is_new.then_some("b")),
            // `a` says so, and may not.
            ("mylib/2/release.json", None),
        ] {
            let mut fetched = 0;
            let found = loop {
                match repository.target(path)? {
                    Lookup::Found(found) => break found,
                    Lookup::Fetch(fetch) => {
                        if let Some(file) = self.fetch(&fetch, input)? {
                            repository.supply(file)?;
                        }
                    }
                }
                fetched += 1;
                assert!(fetched < MOST, "it asks for ever");
            };
            let role = found.as_ref().map(|found| found.authority.role.as_str());
            assert_eq!(role, expected, "{path}");
            if let Some(found) = found {
                assert_eq!(found.check_bytes(CONTENT), Ok(()));
                assert!(!found.authority.signers.is_empty());
                assert!(found.authority.expires > self.now);
            }
        }
        Ok(())
    }

    /// What would be stored now.
    fn judge_kept(&self, refresh: &Refresh) {
        if let Some((pin, kept)) = refresh.verified() {
            assert_eq!(pin, WORLD.pin);
            self.judge_roots(kept);
            // The rest is what was there before, which is verified when it is used, or new and authentic.
            let is_new = |file: &Vec<u8>, old: Option<&Vec<u8>>| Some(file) != old;
            if let Some(file) = &kept.timestamp
                && is_new(file, self.cached.timestamp.as_ref())
            {
                assert!(self.is_stolen || WORLD.is_authentic("timestamp", file));
            }
            if let Some(file) = &kept.snapshot
                && is_new(file, self.cached.snapshot.as_ref())
            {
                assert!(WORLD.is_authentic("snapshot", file));
            }
            for (role, file) in &kept.targets {
                if is_new(file, self.cached.targets.get(role)) {
                    assert!(WORLD.is_authentic(role, file), "{role}");
                }
            }
        }
    }

    fn judge_roots(&self, kept: &CachedMetadata) {
        let roots = &WORLD.authentic["root"];
        assert!(kept.roots.len() <= roots.len());
        for (root, authentic) in kept.roots.iter().zip(roots) {
            assert!(is_same(root, authentic), "a root that nobody signed");
        }
        assert!(
            kept.clock_floor
                .is_none_or(|floor| floor <= self.now.plus_days(365))
        );
    }

    /// What is believed.
    fn judge(&self, repository: &Repository) {
        assert_eq!(repository.pin(), WORLD.pin);
        let kept = repository.verified();
        self.judge_roots(kept);
        assert!(!kept.roots.is_empty());
        let (Some(timestamp), Some(snapshot), Some(targets)) =
            (&kept.timestamp, &kept.snapshot, kept.targets.get("targets"))
        else {
            panic!("a chain with gaps");
        };
        assert!(self.is_stolen || WORLD.is_authentic("timestamp", timestamp));
        assert!(WORLD.is_authentic("snapshot", snapshot));
        assert!(WORLD.is_authentic("targets", targets));
        let versions = [version(targets), version(snapshot), version(timestamp)];
        assert!(versions.is_sorted(), "{versions:?}");
        // TUF 5.4.3, 5.5.5, rollback; the keys that the client knew sign still.
        if self.cached == WORLD.after {
            assert_eq!(&versions[..2], [2, 2]);
            assert!(versions[2] >= 2);
        }
    }
}
