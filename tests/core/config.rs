//! The configuration: its forms, its layers, and what `freeze` writes.

use webimport_core::config::{
    Config, Layer, Loaded, MAX_LENGTH, freeze, parse_root_pin, parse_sha256,
};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, ConfigError};
use webimport_core::names::Selector;
use webimport_core::resolve::{Options, Resolution};
use webimport_core::url::RepositoryUrl;
use webimport_core::workflow::RootTrust;

const REPOSITORY: &str = "https://code.example.org/repo";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Layer::Notebook)
}

fn config(value: &serde_json::Value) -> Config {
    parse(&value.to_string()).unwrap()
}

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::of(text.as_bytes())
}

/// A configuration that uses every key.
fn whole() -> serde_json::Value {
    serde_json::json!({
        "frozen": true,
        "repositories": {
            REPOSITORY: {
                "root": format!("sha256:{}", digest("root")),
                "mirrors": ["https://mirror.example.net/repo/", "http://localhost:8000"],
            },
        },
        "releases": {
            "mylib": {
                "repository": REPOSITORY,
                "version": "1.4.2",
                "sha256": digest("manifest").to_string(),
            },
            "other": {"channel": "next"},
        },
    })
}

#[test]
fn every_key_is_read() {
    let config = config(&whole());
    assert_eq!(config.frozen, Some(true));
    let repository = &config.repositories[&REPOSITORY.parse().unwrap()];
    assert_eq!(repository.root, Some(digest("root")));
    let mirrors: Vec<_> = repository
        .mirrors
        .iter()
        .flatten()
        .map(RepositoryUrl::as_str)
        .collect();
    assert_eq!(
        mirrors,
        ["https://mirror.example.net/repo", "http://localhost:8000"]
    );
    let release = &config.releases[&"mylib".parse().unwrap()];
    assert_eq!(release.repository, Some(REPOSITORY.parse().unwrap()));
    assert_eq!(
        release.selector,
        Some(Selector::Version("1.4.2".parse().unwrap()))
    );
    assert_eq!(release.sha256, Some(digest("manifest")));
    let other = &config.releases[&"other".parse().unwrap()];
    assert_eq!(
        other.selector,
        Some(Selector::Channel("next".parse().unwrap()))
    );
}

#[test]
fn nothing_is_a_config() {
    for text in ["{}", " {} \n", r#"{"repositories":{},"releases":{}}"#] {
        assert_eq!(parse(text).unwrap(), Config::default());
    }
}

#[test]
fn rejects_keys_that_no_schema_has() {
    for (text, key) in [
        (r#"{"frozne": true}"#, "frozne"),
        (r#"{"Frozen": true}"#, "Frozen"),
        (r#"{"release": {}}"#, "release"),
        (
            r#"{"releases": {"mylib": {"sha265": "x"}}}"#,
            "releases.mylib.sha265",
        ),
        (
            r#"{"releases": {"mylib": {"root": "x"}}}"#,
            "releases.mylib.root",
        ),
        (
            r#"{"repositories": {"https://h/r": {"pin": "x"}}}"#,
            "repositories.\"https://h/r\".pin",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(
            error,
            ConfigError::UnknownKey {
                key: key.into(),
                layer: "notebook".into()
            }
        );
        assert_eq!(error.code(), "config.unknown_key");
        assert_eq!(
            error.to_string(),
            format!("unknown key `{key}` in the notebook config")
        );
    }
}

#[test]
fn rejects_values_of_another_form_and_names_the_place() {
    for (text, key) in [
        ("", "config"),
        ("[]", "config"),
        ("null", "config"),
        (r#"{"frozen": true"#, "config"),
        (r#"{"frozen": true, "frozen": false}"#, "config"),
        (r#"{"frozen": 1}"#, "frozen"),
        (r#"{"frozen": "true"}"#, "frozen"),
        (r#"{"frozen": null}"#, "frozen"),
        (r#"{"repositories": []}"#, "repositories"),
        (
            r#"{"repositories": {"https://h/r": "sha256:00"}}"#,
            "repositories.\"https://h/r\"",
        ),
        (
            r#"{"repositories": {"https://h/r": {"root": 1}}}"#,
            "repositories.\"https://h/r\".root",
        ),
        (
            r#"{"repositories": {"https://h/r": {"root": "sha256:00"}}}"#,
            "repositories.\"https://h/r\".root",
        ),
        (
            r#"{"repositories": {"https://h/r": {"mirrors": "https://m/r"}}}"#,
            "repositories.\"https://h/r\".mirrors",
        ),
        (
            r#"{"repositories": {"https://h/r": {"mirrors": [1]}}}"#,
            "repositories.\"https://h/r\".mirrors",
        ),
        (r#"{"releases": {"mylib": "1.0"}}"#, "releases.mylib"),
        (r#"{"releases": {"My Lib": {}}}"#, "releases.My Lib"),
        (
            r#"{"releases": {"mylib": {"version": 1}}}"#,
            "releases.mylib.version",
        ),
        (
            r#"{"releases": {"mylib": {"version": "next"}}}"#,
            "releases.mylib.version",
        ),
        (
            r#"{"releases": {"mylib": {"channel": "1.0"}}}"#,
            "releases.mylib.channel",
        ),
        (
            r#"{"releases": {"mylib": {"sha256": "00"}}}"#,
            "releases.mylib.sha256",
        ),
    ] {
        match parse(text).unwrap_err() {
            ConfigError::Invalid {
                key: got, layer, ..
            } => {
                assert_eq!((got.as_str(), layer.as_str()), (key, "notebook"), "{text}");
            }
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn rejects_a_version_beside_a_channel() {
    let text = |keys: &str| format!(r#"{{"releases": {{"mylib": {{{keys}}}}}}}"#);
    let error = parse(&text(r#""version": "1.0", "channel": "next""#)).unwrap_err();
    assert_eq!(error.code(), "config.invalid");
    assert!(error.to_string().contains("both"), "{error}");
    assert!(parse(&text(r#""version": "1.0""#)).is_ok());
    assert!(parse(&text(r#""channel": "next""#)).is_ok());
}

#[test]
fn rejects_urls_that_are_none_or_insecure_wherever_they_are() {
    for (url, code) in [
        ("https://h/r", None),
        ("http://127.0.0.1:8000/r", None),
        ("http://h/r", Some("url.insecure")),
        ("h/r", Some("url.invalid")),
        ("https://h/../r", Some("url.invalid")),
    ] {
        for text in [
            format!(r#"{{"repositories": {{"{url}": {{}}}}}}"#),
            format!(r#"{{"repositories": {{"https://a/b": {{"mirrors": ["{url}"]}}}}}}"#),
            format!(r#"{{"releases": {{"mylib": {{"repository": "{url}"}}}}}}"#),
        ] {
            assert_eq!(parse(&text).err().map(|error| error.code()), code, "{text}");
        }
    }
}

#[test]
fn rejects_one_repository_in_two_spellings() {
    let text = r#"{"repositories": {"https://h/r": {}, "https://H:443/r/": {}}}"#;
    assert_eq!(parse(text).unwrap_err().code(), "config.invalid");
    parse(r#"{"repositories": {"https://h/r": {}, "https://h/R": {}}}"#).unwrap();
}

#[test]
fn rejects_a_text_that_is_too_long() {
    let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    parse(&padded(MAX_LENGTH)).unwrap();
    assert_eq!(
        parse(&padded(MAX_LENGTH + 1)).unwrap_err().code(),
        "config.invalid"
    );
}

#[test]
fn layers_have_names() {
    for layer in [Layer::Page, Layer::Notebook, Layer::Call] {
        assert_eq!(Layer::from_name(layer.as_str()), Some(layer));
    }
    assert_eq!(Layer::from_name("Page"), None);
    let error = Config::parse(r#"{"x": 1}"#, Layer::Page).unwrap_err();
    assert!(error.to_string().contains("page config"), "{error}");
}

#[test]
fn nearer_layer_wins_key_by_key() {
    let far = config(&serde_json::json!({
        "frozen": true,
        "repositories": {
            REPOSITORY: {"root": format!("sha256:{}", digest("far")), "mirrors": ["https://far/r"]},
            "https://only.far/r": {"root": format!("sha256:{}", digest("only far"))},
        },
        "releases": {
            "mylib": {"repository": REPOSITORY, "version": "1.0", "sha256": digest("1.0").to_string()},
            "kept": {"version": "3.0"},
        },
    }));
    assert_eq!(far.clone().overlaid(&Config::default()), far);
    assert_eq!(Config::default().overlaid(&far), far);

    let near = config(&serde_json::json!({
        "repositories": {REPOSITORY: {"root": format!("sha256:{}", digest("near"))}},
        "releases": {"mylib": {"version": "2.0"}, "added": {"channel": "next"}},
    }));
    let merged = far.clone().overlaid(&near);
    let expected = config(&serde_json::json!({
        "frozen": true,
        "repositories": {
            REPOSITORY: {"root": format!("sha256:{}", digest("near")), "mirrors": ["https://far/r"]},
            "https://only.far/r": {"root": format!("sha256:{}", digest("only far"))},
        },
        "releases": {
            "mylib": {"repository": REPOSITORY, "version": "2.0", "sha256": digest("1.0").to_string()},
            "kept": {"version": "3.0"},
            "added": {"channel": "next"},
        },
    }));
    assert_eq!(merged, expected);

    // A nearer channel takes the place of a farther version, and an empty list that of mirrors.
    let nearer = config(&serde_json::json!({
        "frozen": false,
        "repositories": {REPOSITORY: {"mirrors": []}},
        "releases": {"mylib": {"channel": "next"}},
    }));
    let merged = merged.overlaid(&nearer);
    assert_eq!(merged.frozen, Some(false));
    let repository = &merged.repositories[&REPOSITORY.parse().unwrap()];
    assert_eq!(repository.root, Some(digest("near")));
    assert_eq!(repository.mirrors, Some(Vec::new()));
    let release = &merged.releases[&"mylib".parse().unwrap()];
    assert_eq!(
        release.selector,
        Some(Selector::Channel("next".parse().unwrap()))
    );
    assert_eq!(release.sha256, Some(digest("1.0")), "a pin is not lost");
}

#[test]
fn pins_have_one_form() {
    let hex = digest("x").to_string();
    assert_eq!(parse_root_pin(&format!("sha256:{hex}")), Some(digest("x")));
    assert_eq!(parse_sha256(&format!("sha256:{hex}")), Some(digest("x")));
    assert_eq!(parse_sha256(&hex), Some(digest("x")));
    assert_eq!(parse_root_pin(&hex), None, "a root pin names its algorithm");
    for bad in [
        format!("sha512:{hex}"),
        format!("SHA256:{hex}"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256: {hex}"),
        format!("sha256:sha256:{hex}"),
        format!("sha256:{}", &hex[1..]),
        String::new(),
    ] {
        assert_eq!(parse_root_pin(&bad), None, "{bad}");
        assert_eq!(parse_sha256(&bad), None, "{bad}");
    }
}

fn loaded(name: &str, version: &str, repository: &str) -> Loaded {
    Loaded {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        sha256: digest(&format!("{name} {version}")),
        repository: repository.parse().unwrap(),
        root: digest(repository),
    }
}

/// TOML text as the host hands it in: turned into JSON.
fn from_toml(text: &str) -> Config {
    let value: serde_json::Value = toml::from_str(text).unwrap();
    config(&value)
}

#[test]
fn frozen_text_pins_exactly_what_is_loaded() {
    let all = [
        loaded("zeta", "1!2.0.post1+cpu.1", "https://code.example.org/repo"),
        loaded("alpha", "1.0", "https://code.example.org/repo"),
        loaded("my.dotted-name_1", "0.1", "http://127.0.0.1:8000/a@b/c~d"),
    ];
    let mirrors = config(&serde_json::json!({
        "repositories": {
            "https://code.example.org/repo": {
                "root": format!("sha256:{}", digest("another root")),
                "mirrors": ["https://m1.example.org", "https://m2.example.org/x"],
            },
            "https://unused.example.org": {"mirrors": ["https://m3.example.org"]},
        },
        "releases": {"unused": {"version": "1.0"}},
    }));
    let frozen = from_toml(&freeze(&all, &mirrors).unwrap());
    assert_eq!(frozen.frozen, Some(true));
    assert_eq!(frozen.releases.len(), 3);
    assert_eq!(frozen.repositories.len(), 2, "nothing that is not loaded");
    for it in &all {
        for url in [
            it.name.to_string(),
            format!("{}/{}", it.repository, it.name),
        ] {
            let resolution = Resolution::of(&url, &Options::default(), &frozen).unwrap();
            assert_eq!(resolution.name, it.name);
            assert_eq!(
                resolution.selector,
                Some(Selector::Version(it.version.clone()))
            );
            assert_eq!(resolution.sha256, Some(it.sha256));
            assert_eq!(resolution.repository, it.repository);
            assert_eq!(resolution.root, RootTrust::Pin(it.root));
        }
    }
    let bases = |name: &str| {
        let resolution = Resolution::of(name, &Options::default(), &frozen).unwrap();
        resolution
            .bases
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        bases("alpha"),
        [
            "https://code.example.org/repo",
            "https://m1.example.org",
            "https://m2.example.org/x"
        ]
    );
    assert_eq!(bases("my.dotted-name_1"), ["http://127.0.0.1:8000/a@b/c~d"]);
    let other = Resolution::of(
        "https://code.example.org/repo/beta",
        &Options::default(),
        &frozen,
    );
    assert_eq!(other.unwrap_err().code(), "resolve.not_pinned");
}

#[test]
fn frozen_text_does_not_depend_on_the_order_of_loading() {
    let (a, b) = (
        loaded("alpha", "1.0", "https://code.example.org/repo"),
        loaded("beta", "1.0", "https://other.example.org"),
    );
    let none = Config::default();
    let text = freeze(&[a.clone(), b.clone()], &none).unwrap();
    assert_eq!(freeze(&[b, a], &none).unwrap(), text);
    let first = |text: &str| text.lines().next().map(str::to_owned);
    assert_eq!(first(&text).as_deref(), Some("frozen = true"));
}

#[test]
fn frozen_text_of_nothing_lets_nothing_load() {
    let config = from_toml(&freeze(&[], &Config::default()).unwrap());
    assert_eq!(config.frozen, Some(true));
    assert!(config.releases.is_empty() && config.repositories.is_empty());
}

#[test]
fn frozen_text_is_toml_even_if_one_release_was_loaded_twice() {
    let once = loaded("alpha", "1.0", "https://code.example.org/repo");
    let text = freeze(&[once.clone(), once.clone()], &Config::default()).unwrap();
    assert_eq!(text, freeze(&[once], &Config::default()).unwrap());
    from_toml(&text);
}

#[test]
fn what_no_config_can_pin_together_is_not_frozen() {
    let here = "https://code.example.org/repo";
    let alpha = loaded("alpha", "1.0", here);
    let newer = loaded("alpha", "2.0", here);
    let elsewhere = loaded("alpha", "1.0", "https://other.example.org");
    let mut of_other_root = loaded("beta", "1.0", here);
    of_other_root.root = digest("another root");
    for (other, message) in [
        (
            &newer,
            "a config has one `releases.alpha`, `alpha` 1.0 of https://code.example.org/repo and \
             `alpha` 2.0 of https://code.example.org/repo need two",
        ),
        (
            &elsewhere,
            "a config has one `releases.alpha`, `alpha` 1.0 of https://code.example.org/repo and \
             `alpha` 1.0 of https://other.example.org need two",
        ),
        (
            &of_other_root,
            "a config has one `repositories.\"https://code.example.org/repo\".root`, `beta` 1.0 of \
             https://code.example.org/repo and `alpha` 1.0 of https://code.example.org/repo need two",
        ),
    ] {
        // What is loaded twice, beside it, is no conflict.
        let all = [alpha.clone(), other.clone(), alpha.clone(), other.clone()];
        let error = freeze(&all, &Config::default()).unwrap_err();
        assert_eq!(error.code(), "config.conflict");
        assert_eq!(error.to_string(), message);
        assert!(error.hint().contains("unload one"), "{}", error.hint());
        freeze(&all[..1], &Config::default()).unwrap();
        freeze(&all[1..2], &Config::default()).unwrap();
    }
}
