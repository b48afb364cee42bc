//! The configuration, from JSON: layers overlay as they should, and what `freeze` writes reads back as pins.
#![no_main]

use webimport_core::config::{Config, Layer, Loaded, freeze};
use webimport_core::digest::Sha256Digest;
use webimport_core::names::Selector;
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let config = match Config::parse(text, Layer::Page) {
        Ok(config) => config,
        Err(error) => return refused(&error),
    };
    assert_eq!(Config::parse(text, Layer::Call).as_ref(), Ok(&config));
    assert_eq!(Config::default().overlaid(&config), config);
    assert_eq!(config.clone().overlaid(&config), config);
    assert_eq!(config.clone().overlaid(&Config::default()), config);
    reads_back(&config);
    Outcome::Accepted
}

/// The frozen form of what the config pins is TOML, and the same pins.
fn reads_back(config: &Config) {
    let root = Sha256Digest::of(b"root");
    let mut loaded = Vec::new();
    for (name, release) in &config.releases {
        if let (Some(repository), Some(Selector::Version(version)), Some(sha256)) =
            (&release.repository, &release.selector, release.sha256)
        {
            loaded.push(Loaded {
                name: name.clone(),
                version: version.clone(),
                sha256,
                repository: repository.clone(),
                root,
            });
        }
    }
    let text = freeze(&loaded, config).expect("a config names a release once, and a repository");
    let table: toml::Table = text.parse().expect("what is frozen is TOML");
    let json = serde_json::to_string(&table).expect("TOML without dates is JSON");
    let frozen = Config::parse(&json, Layer::Notebook).expect("what is frozen is a config");
    assert_eq!(frozen.frozen, Some(true));
    assert_eq!(frozen.releases.len(), loaded.len());
    for it in &loaded {
        let release = &frozen.releases[&it.name];
        assert_eq!(release.repository.as_ref(), Some(&it.repository));
        assert_eq!(
            release.selector,
            Some(Selector::Version(it.version.clone()))
        );
        assert_eq!(release.sha256, Some(it.sha256));
        let repository = &frozen.repositories[&it.repository];
        assert_eq!(repository.root, Some(root));
        let mirrors = config
            .repositories
            .get(&it.repository)
            .and_then(|it| it.mirrors.clone());
        assert_eq!(repository.mirrors, mirrors.filter(|it| !it.is_empty()));
    }
}
