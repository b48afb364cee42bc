//! From a call and the configuration to what is asked for and who is trusted.

use serde_json::json;
use webimport_core::config::{Config, Layer};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, Error, Fault};
use webimport_core::json;
use webimport_core::metadata::RoleKind;
use webimport_core::names::Selector;
use webimport_core::repository::{Lookup, Repository};
use webimport_core::resolve::{Offline, Options, Resolution, Trust};
use webimport_core::workflow::RootTrust;

use crate::simulator::{Client, Simulator, URL};

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::of(text.as_bytes())
}

fn root() -> String {
    format!("sha256:{}", digest("root"))
}

/// A configuration that pins the root of the repository, with these releases.
fn config(frozen: bool, releases: &serde_json::Value) -> Config {
    let value = json!({
        "frozen": frozen,
        "repositories": {URL: {"root": root()}},
        "releases": releases,
    });
    Config::parse(&value.to_string(), Layer::Notebook).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "each caller writes it out")]
fn options(value: serde_json::Value) -> Options {
    read_options(&value).unwrap()
}

fn read_options(value: &serde_json::Value) -> Result<Options, Fault> {
    Options::read(json::read(value.to_string().as_bytes())?)
}

fn code<T>(result: Result<T, impl webimport_core::error::Coded>) -> Result<T, &'static str> {
    result.map_err(|error| error.code())
}

fn of(url: &str, with: serde_json::Value, config: &Config) -> Result<Resolution, Error> {
    Resolution::of(url, &options(with), config)
}

#[test]
fn options_have_these_forms_and_no_other() {
    assert_eq!(options(json!({})), Options::default());
    let all = options(json!({
        "root": "sha256:00", "version": "1.0", "sha256": "00", "modules": ["a"],
        "allow_shadow": ["b"], "offline": "only", "trust": "first-use",
        "speculative": true
    }));
    assert_eq!(
        all,
        Options {
            root: Some("sha256:00".into()),
            version: Some("1.0".into()),
            sha256: Some("00".into()),
            modules: Some(vec!["a".into()]),
            allow_shadow: vec!["b".into()],
            offline: Some(Offline::Only),
            trust: Some(Trust::FirstUse),
            speculative: true,
        }
    );
    assert_eq!(
        options(json!({"offline": "stale"})).offline,
        Some(Offline::Stale)
    );
    assert_eq!(
        options(json!({"offline": null, "trust": null, "root": null})),
        Options::default()
    );
    for bad in [
        json!({"offline": true}),
        json!({"offline": "Only"}),
        json!({"trust": "FirstUse"}),
        json!({"trust": "always"}),
        json!({"allow_shadow": "json"}),
        json!({"Root": "sha256:00"}),
        json!({"verify": false}),
        json!({"speculative": "yes"}),
    ] {
        assert!(read_options(&bad).is_err(), "{bad}");
    }
}

#[test]
fn bare_names_come_from_the_config() {
    let config = config(
        false,
        &json!({"mylib": {"repository": URL, "version": "1.0"}, "other": {}}),
    );
    let resolution = of("mylib", json!({}), &config).unwrap();
    assert_eq!(resolution.repository.as_str(), URL);
    assert_eq!(
        resolution.bases,
        std::slice::from_ref(&resolution.repository)
    );
    assert_eq!(resolution.root, RootTrust::Pin(digest("root")));
    assert_eq!(
        resolution.selector,
        Some(Selector::Version("1.0".parse().unwrap()))
    );
    for unknown in ["other", "mylib2"] {
        let error = of(unknown, json!({}), &config).unwrap_err();
        assert_eq!(error.code(), "url.invalid");
        assert!(error.to_string().contains(unknown), "{error}");
    }
}

#[test]
fn rejects_a_repository_without_a_root() {
    let none = Config::default();
    let url = format!("{URL}/mylib");
    let error = of(&url, json!({}), &none).unwrap_err();
    assert_eq!(error.code(), "trust.no_root");
    assert!(error.hint().contains(URL), "{}", error.hint());
    // A pin of another repository is none.
    let error = of(
        "https://code.example.org/repo2/mylib",
        json!({}),
        &config(false, &json!({})),
    );
    assert_eq!(error.unwrap_err().code(), "trust.no_root");

    let trust = |with, config: &Config| of(&url, with, config).unwrap().root;
    assert_eq!(
        trust(json!({"root": root()}), &none),
        RootTrust::Pin(digest("root"))
    );
    assert_eq!(
        trust(json!({"trust": "first-use"}), &none),
        RootTrust::FirstUse
    );
    assert_eq!(
        trust(json!({"trust": "first-use"}), &config(false, &json!({}))),
        RootTrust::Pin(digest("root")),
        "a pin is not given up for first use"
    );
}

#[test]
fn pin_of_the_call_wins_over_the_config() {
    let other = format!("sha256:{}", digest("other"));
    let url = format!("{URL}/mylib");
    let config = config(false, &json!({}));
    let resolution = of(&url, json!({"root": other}), &config).unwrap();
    assert_eq!(resolution.root, RootTrust::Pin(digest("other")));
    for bad in ["", "sha256:00", &digest("other").to_string()] {
        let error = of(&url, json!({"root": bad}), &config).unwrap_err();
        assert_eq!(error.code(), "config.invalid", "{bad}");
    }
}

#[test]
fn version_comes_from_the_call_then_the_url_then_the_config() {
    let pinned = config(
        false,
        &json!({"mylib": {"repository": URL, "version": "1.0"}}),
    );
    let selector = |url: &str, with| {
        of(url, with, &pinned)
            .unwrap()
            .selector
            .map(|it: Selector| it.to_string())
    };
    assert_eq!(selector("mylib", json!({})).as_deref(), Some("1.0"));
    assert_eq!(selector("mylib@2.0", json!({})).as_deref(), Some("2.0"));
    assert_eq!(selector("mylib@next", json!({})).as_deref(), Some("next"));
    assert_eq!(
        selector("mylib", json!({"version": "3.0"})).as_deref(),
        Some("3.0")
    );
    assert_eq!(
        selector("mylib", json!({"version": "next"})).as_deref(),
        Some("next")
    );
    let url = format!("{URL}/unpinned");
    assert_eq!(selector(&url, json!({})), None);
}

#[test]
fn rejects_a_url_and_an_option_that_disagree() {
    let config = config(false, &json!({"mylib": {"repository": URL}}));
    for (url, version, accepted) in [
        ("mylib@1.0", "1.0", true),
        ("mylib@1.0", "1.0.0", false),
        ("mylib@1.0", "next", false),
        ("mylib@next", "next", true),
        ("mylib@next", "1.0", false),
        ("mylib", "1.0", true),
        ("mylib", "1 0", false),
        ("mylib", "", false),
    ] {
        let result = of(url, json!({"version": version}), &config);
        let expected = if accepted {
            Ok(())
        } else {
            Err("config.invalid")
        };
        assert_eq!(code(result).map(drop), expected, "{url} {version}");
    }
}

#[test]
fn release_pin_comes_from_the_call_or_the_config() {
    let config = config(
        false,
        &json!({"mylib": {"repository": URL, "sha256": digest("config").to_string()}}),
    );
    let sha256 = |with| of("mylib", with, &config).map(|it| it.sha256);
    assert_eq!(sha256(json!({})).unwrap(), Some(digest("config")));
    let call = digest("call").to_string();
    assert_eq!(
        sha256(json!({"sha256": call})).unwrap(),
        Some(digest("call"))
    );
    let prefixed = format!("sha256:{call}");
    assert_eq!(
        sha256(json!({"sha256": prefixed})).unwrap(),
        Some(digest("call"))
    );
    let error = sha256(json!({"sha256": "latest"})).unwrap_err();
    assert_eq!(error.code(), "config.invalid");
}

#[test]
fn frozen_config_rejects_what_has_no_digest() {
    let sha256 = digest("x").to_string();
    let releases = json!({
        "pinned": {"repository": URL, "sha256": sha256},
        "loose": {"repository": URL, "version": "1.0"},
    });
    for (frozen, loose) in [(true, Err("resolve.not_pinned")), (false, Ok(()))] {
        let config = config(frozen, &releases);
        let resolve = |url: &str, with| code(of(url, with, &config)).map(drop);
        assert_eq!(resolve("pinned", json!({})), Ok(()));
        assert_eq!(resolve("loose", json!({})), loose);
        assert_eq!(resolve(&format!("{URL}/stranger"), json!({})), loose);
        // The call's own pin is one, too.
        assert_eq!(resolve("loose", json!({"sha256": sha256})), Ok(()));
    }
}

#[test]
fn rejects_urls_that_are_none_or_insecure() {
    let none = Config::default();
    for (url, expected) in [
        ("https://h/r/mylib", "trust.no_root"),
        ("http://localhost:8000/mylib", "trust.no_root"),
        ("http://h/r/mylib", "url.insecure"),
        ("http://192.168.0.1/mylib", "url.insecure"),
        ("HTTP://h/r/mylib", "url.insecure"),
        ("ftp://h/r/mylib", "url.invalid"),
        ("https://user@h/r/mylib", "url.invalid"),
        ("https://h/r/mylib?x", "url.invalid"),
        ("https://h/r/../mylib", "url.invalid"),
        ("/mylib", "url.invalid"),
        ("r/mylib", "url.invalid"),
        ("", "url.invalid"),
        ("https://h", "url.invalid"),
        ("https://h/r/mylib@", "url.invalid"),
        ("https://h/r/mylib@..", "url.invalid"),
    ] {
        assert_eq!(
            of(url, json!({}), &none).unwrap_err().code(),
            expected,
            "{url}"
        );
    }
}

#[test]
fn mirrors_are_asked_after_the_repository() {
    let value = json!({
        "repositories": {URL: {"root": root(), "mirrors": ["https://m1/r", "https://m2/r"]}}
    });
    let config = Config::parse(&value.to_string(), Layer::Page).unwrap();
    let bases: Vec<_> = of(&format!("{URL}/mylib"), json!({}), &config)
        .unwrap()
        .bases
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(bases, [URL, "https://m1/r", "https://m2/r"]);
}

/// The version that a resolution finds. No role is delegated here.
fn version(resolution: &Resolution, repository: &Repository) -> Result<String, &'static str> {
    match code(resolution.find(&mut repository.clone()))? {
        Lookup::Found((target, _)) => Ok(target.version.to_string()),
        Lookup::Fetch(fetch) => panic!("it asks for {}", fetch.path),
    }
}

/// `mylib` 1.0 (`old`), 2.0 (`stable`, `next`) and `other` 1.0 without a channel.
fn repository() -> Repository {
    let mut simulator = Simulator::new();
    simulator.add_release("mylib", "1.0", b"mylib 1.0", &["old"]);
    simulator.add_release("mylib", "2.0", b"mylib 2.0", &["stable", "next"]);
    simulator.add_release("other", "1.0", b"other 1.0", &[]);
    simulator.publish(RoleKind::Targets);
    Client::new(&simulator).refresh(&simulator).unwrap()
}

#[test]
fn finds_the_release_that_is_asked_for() {
    let repository = repository();
    let config = config(false, &json!({}));
    let find = |url: &str, with| {
        let resolution = of(&format!("{URL}/{url}"), with, &config).unwrap();
        version(&resolution, &repository)
    };
    assert_eq!(
        find("mylib", json!({})),
        Ok("2.0".into()),
        "the channel `stable`"
    );
    assert_eq!(find("mylib@1.0", json!({})), Ok("1.0".into()));
    assert_eq!(find("mylib@old", json!({})), Ok("1.0".into()));
    assert_eq!(find("mylib@next", json!({})), Ok("2.0".into()));
    assert_eq!(find("other@1.0", json!({})), Ok("1.0".into()));
    assert_eq!(find("other", json!({})), Err("resolve.unknown_channel"));
    assert_eq!(find("mylib@3.0", json!({})), Err("resolve.unknown_version"));
    assert_eq!(
        find("mylib@beta", json!({})),
        Err("resolve.unknown_channel")
    );
    assert_eq!(find("mylib2", json!({})), Err("resolve.unknown_name"));
    assert_eq!(find("my", json!({})), Err("resolve.unknown_name"));
}

#[test]
fn hints_list_what_there_is() {
    let repository = repository();
    let config = config(false, &json!({}));
    let hint = |url: &str| {
        let resolution = of(&format!("{URL}/{url}"), json!({}), &config).unwrap();
        resolution.find(&mut repository.clone()).unwrap_err().hint()
    };
    assert_eq!(hint("mylib@3.0"), "versions: 2.0, 1.0");
    assert_eq!(hint("mylib@beta"), "channels: stable, old, next");
    assert_eq!(hint("other"), "channels: none");
    assert_eq!(hint("mylib2"), "the repository has other, mylib");
}

#[test]
fn rejects_a_release_that_is_not_the_pinned_one() {
    let repository = repository();
    let config = config(false, &json!({}));
    let find = |url: &str, sha256: Sha256Digest| {
        let with = json!({"sha256": sha256.to_string()});
        let resolution = of(&format!("{URL}/{url}"), with, &config).unwrap();
        version(&resolution, &repository)
    };
    let (old, new) = (digest("mylib 1.0"), digest("mylib 2.0"));
    assert_eq!(find("mylib@1.0", old), Ok("1.0".into()));
    assert_eq!(find("mylib@1.0", new), Err("resolve.pin_mismatch"));
    assert_eq!(find("mylib@stable", new), Ok("2.0".into()));
    assert_eq!(
        find("mylib@stable", old),
        Err("resolve.pin_mismatch"),
        "the channel moved on"
    );
    // A pin alone says which version.
    assert_eq!(find("mylib", old), Ok("1.0".into()));
    assert_eq!(find("mylib", new), Ok("2.0".into()));
    assert_eq!(
        find("mylib", digest("other 1.0")),
        Err("resolve.pin_mismatch"),
        "of another name"
    );
    assert_eq!(find("mylib", digest("gone")), Err("resolve.pin_mismatch"));
}

#[test]
fn nearer_version_does_not_shake_off_a_farther_pin() {
    let repository = repository();
    let far = config(
        false,
        &json!({"mylib": {"repository": URL, "version": "1.0", "sha256": digest("mylib 1.0").to_string()}}),
    );
    let near = Config::parse(
        r#"{"releases": {"mylib": {"version": "2.0"}}}"#,
        Layer::Call,
    )
    .unwrap();
    let find = |url: &str, config: &Config| {
        let resolution = of(url, json!({}), config).unwrap();
        version(&resolution, &repository)
    };
    assert_eq!(find("mylib", &far), Ok("1.0".into()));
    assert_eq!(find("mylib@2.0", &far), Err("resolve.pin_mismatch"));
    assert_eq!(
        find("mylib", &far.clone().overlaid(&near)),
        Err("resolve.pin_mismatch")
    );
    let moved = json!({"releases": {"mylib": {"sha256": digest("mylib 2.0").to_string()}}});
    let moved = Config::parse(&moved.to_string(), Layer::Call).unwrap();
    assert_eq!(
        find("mylib", &far.overlaid(&near).overlaid(&moved)),
        Ok("2.0".into())
    );
}

#[test]
fn channel_of_two_releases_names_none() {
    let mut simulator = Simulator::new();
    simulator.add_release("mylib", "2.0", b"mylib 2.0", &["next"]);
    simulator.publish(RoleKind::Targets);
    let resolution = of(
        &format!("{URL}/mylib@next"),
        json!({}),
        &config(false, &json!({})),
    )
    .unwrap();
    let repository = Client::new(&simulator).refresh(&simulator).unwrap();
    assert_eq!(version(&resolution, &repository), Ok("2.0".into()));
    simulator.resign(RoleKind::Targets, |signed| {
        signed["targets"]["mylib/1.0/release.json"]["custom"]["webimport"]["channels"] =
            json!(["next"]);
    });
    let repository = Client::new(&simulator).refresh(&simulator).unwrap();
    let found = version(&resolution, &repository);
    assert_eq!(found, Err("resolve.unknown_channel"));
}

#[test]
fn a_pin_answers_by_itself_unless_the_call_asks_for_something_else() {
    let root = format!("sha256:{}", "a".repeat(64));
    let sha256 = "b".repeat(64);
    let config = |extra: &str| {
        let text = format!(
            r#"{{"releases": {{"mylib": {{"repository": "https://h/r", "sha256": "{sha256}"{extra}}}}}}}"#
        );
        Config::parse(&text, Layer::Page).unwrap()
    };
    let options = Options {
        root: Some(root),
        ..Options::default()
    };
    for (extra, url, version, answered) in [
        ("", "mylib", "1.0", true),
        (r#", "version": "1.0""#, "mylib", "1.0", true),
        (r#", "version": "1.0""#, "mylib", "2.0", false),
        (r#", "channel": "next""#, "mylib", "1.0", true),
        (r#", "version": "1.0""#, "mylib@2.0", "1.0", false),
        ("", "mylib@1.0", "1.0", true),
        ("", "mylib@next", "1.0", false),
    ] {
        let resolution = Resolution::of(url, &options, &config(extra)).unwrap();
        let got = resolution.is_answered_by(&version.parse().unwrap());
        assert_eq!(got, answered, "{extra} {url} {version}");
    }
}
