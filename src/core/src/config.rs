//! Configuration: which repositories are trusted by which root, which releases are pinned.
//!
//! One schema, from several places. The nearest to the call wins, key by key: the call's own options, then
//! `configure()`, then the notebook, then the page. TOML is turned into JSON by the host (Python's `tomllib`),
//! which keeps a TOML parser out of the WebAssembly module.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::digest::Sha256Digest;
use crate::error::ConfigError;
use crate::json::{self, Object, Value};
use crate::map::Map;
use crate::names::{Channel, ReleaseName, Selector, Version};
use crate::url::RepositoryUrl;

/// Bytes that one configuration text may have.
pub const MAX_LENGTH: usize = 1024 * 1024;

/// One layer, or all of them merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// True refuses what is not pinned by `sha256`.
    pub frozen: Option<bool>,
    /// By base URL.
    pub repositories: Map<RepositoryUrl, RepositoryConfig>,
    /// By release name.
    pub releases: Map<ReleaseName, ReleaseConfig>,
}

/// `[repositories."https://…"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// The digest of `1.root.json`.
    pub root: Option<Sha256Digest>,
    /// Base URLs that serve the same files, in the order in which they are tried.
    pub mirrors: Option<Vec<RepositoryUrl>>,
}

/// `[releases.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseConfig {
    /// Where a bare name comes from.
    pub repository: Option<RepositoryUrl>,
    /// `version` or `channel`.
    pub selector: Option<Selector>,
    /// The digest of the release manifest.
    pub sha256: Option<Sha256Digest>,
}

/// Where a configuration comes from, from far to near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The page's configuration block, or what was given to `attach`.
    Page,
    /// `webimport.toml`, the notebook's metadata or a PEP 723 block.
    Notebook,
    /// `configure()`.
    Call,
}

impl Layer {
    /// As in messages and at the border to JavaScript.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Notebook => "notebook",
            Self::Call => "call",
        }
    }

    /// The layer of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Page, Self::Notebook, Self::Call]
            .into_iter()
            .find(|layer| layer.as_str() == name)
    }
}

impl Config {
    /// Parses JSON text.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`], [`ConfigError::UnknownKey`] with the key's place, [`ConfigError::Url`],
    /// [`ConfigError::Insecure`].
    pub fn parse(text: &str, layer: Layer) -> Result<Self, ConfigError> {
        let reader = Reader { layer };
        if text.len() > MAX_LENGTH {
            return Err(reader.invalid("", "expected at most 1 MiB"));
        }
        let value = json::parse(text.as_bytes(), "config").map_err(|error| {
            reader.invalid(
                "",
                error
                    .to_string()
                    .trim_start_matches("`config` is malformed: "),
            )
        })?;
        let mut config = Self::default();
        for (key, value) in reader.table(value, "")? {
            match key.as_str() {
                "frozen" => match value {
                    Value::Bool(frozen) => config.frozen = Some(frozen),
                    _ => return Err(reader.invalid("frozen", "expected true or false")),
                },
                "repositories" => {
                    for (url, value) in reader.table(value, "repositories")? {
                        let at = format!("repositories.\"{url}\"");
                        let entry = reader.repository(value, &at)?;
                        if config.repositories.insert(url.parse()?, entry).is_some() {
                            return Err(reader.invalid(&at, "the repository is listed twice"));
                        }
                    }
                }
                "releases" => {
                    for (name, value) in reader.table(value, "releases")? {
                        let at = format!("releases.{name}");
                        let entry = reader.release(value, &at)?;
                        let name = name
                            .parse()
                            .map_err(|error| reader.invalid(&at, &format!("{error}")))?;
                        config.releases.insert(name, entry);
                    }
                }
                _ => return Err(reader.unknown(&key)),
            }
        }
        Ok(config)
    }

    /// Puts `near` on top of this, key by key.
    #[must_use]
    pub fn overlaid(mut self, near: &Self) -> Self {
        self.frozen = near.frozen.or(self.frozen);
        for (url, near) in &near.repositories {
            let entry = self
                .repositories
                .get_or_insert_with(url.clone(), RepositoryConfig::default);
            entry.root = near.root.or(entry.root);
            if near.mirrors.is_some() {
                entry.mirrors.clone_from(&near.mirrors);
            }
        }
        for (name, near) in &near.releases {
            let entry = self
                .releases
                .get_or_insert_with(name.clone(), ReleaseConfig::default);
            if near.repository.is_some() {
                entry.repository.clone_from(&near.repository);
            }
            if near.selector.is_some() {
                entry.selector.clone_from(&near.selector);
            }
            entry.sha256 = near.sha256.or(entry.sha256);
        }
        self
    }
}

/// What is loaded now, for [`freeze`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The digest of its manifest.
    pub sha256: Sha256Digest,
    /// The repository that it came from.
    pub repository: RepositoryUrl,
    /// The pin under which the repository was verified.
    pub root: Sha256Digest,
}

/// The TOML text that pins exactly what is loaded, and nothing else may load under it.
///
/// # Errors
/// [`ConfigError::Conflict`] where two releases have one name, or were verified under two pins of one repository.
pub fn freeze(loaded: &[Loaded], mirrors: &Config) -> Result<String, ConfigError> {
    let mut text = String::from("frozen = true\n");
    // Of what is loaded twice, the first.
    let repositories = loaded.iter().rev();
    let repositories = repositories.map(|it| ((&it.repository, it.root), it));
    let repositories: Map<_, _> = repositories.collect();
    for (one, other) in repositories.values().zip(repositories.values().skip(1)) {
        if one.repository == other.repository {
            let key = format!("repositories.\"{}\".root", one.repository);
            return Err(conflict(key, one, other));
        }
    }
    // Neither URLs nor names nor versions can hold a quote, a backslash or a control character. Writing to a
    // `String` cannot fail.
    for (url, root) in repositories.keys() {
        let _ = write!(
            text,
            "\n[repositories.\"{url}\"]\nroot = \"sha256:{root}\"\n"
        );
        if let Some(mirrors) = mirrors
            .repositories
            .get(url)
            .and_then(|entry| entry.mirrors.as_ref())
            && !mirrors.is_empty()
        {
            let quoted: Vec<_> = mirrors
                .iter()
                .map(|mirror| format!("\"{mirror}\""))
                .collect();
            let _ = writeln!(text, "mirrors = [{}]", quoted.join(", "));
        }
    }
    let mut releases: Map<&ReleaseName, &Loaded> = Map::new();
    for other in loaded {
        if let Some(one) = releases.insert(&other.name, other)
            && one != other
        {
            return Err(conflict(format!("releases.{}", one.name), one, other));
        }
    }
    for (name, entry) in releases {
        let Loaded {
            version,
            sha256,
            repository,
            ..
        } = entry;
        let _ = write!(
            text,
            "\n[releases.\"{name}\"]\nrepository = \"{repository}\"\nversion = \"{version}\"\nsha256 = \"{sha256}\"\n"
        );
    }
    Ok(text)
}

fn conflict(key: String, one: &Loaded, other: &Loaded) -> ConfigError {
    let words = |it: &Loaded| format!("`{}` {} of {}", it.name, it.version, it.repository);
    ConfigError::Conflict {
        key,
        one: words(one),
        other: words(other),
    }
}

/// Parses a root pin, `sha256:` and 64 hex digits.
pub fn parse_root_pin(text: &str) -> Option<Sha256Digest> {
    text.strip_prefix("sha256:")?.parse().ok()
}

/// Parses a release pin: 64 hex digits, with or without `sha256:`.
pub fn parse_sha256(text: &str) -> Option<Sha256Digest> {
    text.strip_prefix("sha256:").unwrap_or(text).parse().ok()
}

struct Reader {
    layer: Layer,
}

impl Reader {
    fn invalid(&self, key: &str, reason: &str) -> ConfigError {
        let key = if key.is_empty() { "config" } else { key };
        ConfigError::Invalid {
            key: key.into(),
            layer: self.layer.as_str().into(),
            reason: reason.into(),
        }
    }

    fn unknown(&self, key: &str) -> ConfigError {
        ConfigError::UnknownKey {
            key: key.into(),
            layer: self.layer.as_str().into(),
        }
    }

    fn table(&self, value: Value, at: &str) -> Result<Object, ConfigError> {
        match value {
            Value::Object(map) => Ok(map),
            _ => Err(self.invalid(at, "expected a table")),
        }
    }

    fn text<'a>(&self, value: &'a Value, at: &str) -> Result<&'a str, ConfigError> {
        value
            .as_str()
            .ok_or_else(|| self.invalid(at, "expected text"))
    }

    fn repository(&self, value: Value, at: &str) -> Result<RepositoryConfig, ConfigError> {
        let mut entry = RepositoryConfig::default();
        for (key, value) in self.table(value, at)? {
            let at = format!("{at}.{key}");
            match key.as_str() {
                "root" => {
                    let root = parse_root_pin(self.text(&value, &at)?).ok_or_else(|| {
                        self.invalid(&at, "expected `sha256:` and 64 lower-case hex digits")
                    })?;
                    entry.root = Some(root);
                }
                "mirrors" => {
                    let Value::Array(list) = value else {
                        return Err(self.invalid(&at, "expected a list of URLs"));
                    };
                    let mirrors = list
                        .iter()
                        .map(|url| self.text(url, &at)?.parse())
                        .collect::<Result<_, _>>()?;
                    entry.mirrors = Some(mirrors);
                }
                _ => return Err(self.unknown(&at)),
            }
        }
        Ok(entry)
    }

    fn release(&self, value: Value, at: &str) -> Result<ReleaseConfig, ConfigError> {
        let mut entry = ReleaseConfig::default();
        for (key, value) in self.table(value, at)? {
            let at = format!("{at}.{key}");
            let text = self.text(&value, &at)?;
            let selector = match key.as_str() {
                "repository" => {
                    entry.repository = Some(text.parse()?);
                    continue;
                }
                "sha256" => {
                    let digest = parse_sha256(text)
                        .ok_or_else(|| self.invalid(&at, "expected 64 lower-case hex digits"))?;
                    entry.sha256 = Some(digest);
                    continue;
                }
                "version" => text.parse::<Version>().map(Selector::Version),
                "channel" => text.parse::<Channel>().map(Selector::Channel),
                _ => return Err(self.unknown(&at)),
            };
            let selector = selector.map_err(|error| self.invalid(&at, &error.to_string()))?;
            if entry.selector.replace(selector).is_some() {
                return Err(self.invalid(&at, "expected a version or a channel, got both"));
            }
        }
        Ok(entry)
    }
}
