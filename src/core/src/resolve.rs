//! From a call to what exactly is asked for and who is trusted to answer.
//!
//! Pure: the call's options and the configuration layers in, a [`Resolution`] out. No pin is ever dropped: a
//! nearer version with a farther `sha256` ends in a refusal, not in an unpinned load.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::{Config, ReleaseConfig, parse_root_pin, parse_sha256};
use crate::digest::Sha256Digest;
use crate::error::{ConfigError, Error, Fault, ResolveError, TrustError};
use crate::fields::{self, Fields};
use crate::json::Value;
use crate::names::{Channel, ReleaseName, Selector, Version};
use crate::repository::{LocatedRelease, Lookup, Repository};
use crate::url::{ReleaseUrl, RepositoryUrl};
use crate::workflow::RootTrust;

/// The options of one `loadRelease` call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Root pin, `sha256:<hex>`.
    pub root: Option<String>,
    /// A version or a channel.
    pub version: Option<String>,
    /// The digest of the release manifest.
    pub sha256: Option<String>,
    /// Top-level import names that are asked for; each must be in the release.
    pub modules: Option<Vec<String>>,
    /// Import names that this release may have although something else has them.
    pub allow_shadow: Vec<String>,
    /// What to do about the network.
    pub offline: Option<Offline>,
    /// How a repository without a pin is treated.
    pub trust: Option<Trust>,
    /// Whether metadata are fetched before it is known that they are needed: an answer sooner, a request more
    /// where the refresh fails early.
    pub speculative: bool,
}

impl Options {
    /// Reads the JSON object of options. Each can be left out; those that are an `Option` here can be `null` as well.
    ///
    /// # Errors
    /// A value of another form, or an option that does not exist.
    pub fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let mut given = |name: &str| {
            let value = fields.optional(name);
            value.filter(|value| !matches!(value, Value::Null))
        };
        let options = Self {
            root: given("root").map(fields::text).transpose()?,
            version: given("version").map(fields::text).transpose()?,
            sha256: given("sha256").map(fields::text).transpose()?,
            modules: given("modules").map(fields::texts).transpose()?,
            offline: match given("offline") {
                Some(value) => Some(match value.as_str() {
                    Some("only") => Offline::Only,
                    Some("stale") => Offline::Stale,
                    _ => return Err(other("offline", "`only` or `stale`")),
                }),
                None => None,
            },
            trust: match given("trust") {
                Some(value) => Some(match value.as_str() {
                    Some("first-use") => Trust::FirstUse,
                    _ => return Err(other("trust", "`first-use`")),
                }),
                None => None,
            },
            allow_shadow: match fields.optional("allow_shadow") {
                Some(value) => fields::texts(value)?,
                None => Vec::new(),
            },
            speculative: match fields.optional("speculative") {
                Some(value) => fields::truth(&value)?,
                None => false,
            },
        };
        fields.done()?;
        Ok(options)
    }
}

fn other(name: &str, expected: &str) -> Fault {
    Fault::new(format_args!("`{name}`: expected {expected}"))
}

/// The `offline` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// Make no request; the cache has it or the load is refused.
    Only,
    /// Make no request, and take expired metadata for what was verified before.
    Stale,
}

/// The `trust` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Believe the root that the server offers the first time, and only that one afterwards.
    FirstUse,
}

/// What is asked for and who is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Where the release is from.
    pub repository: RepositoryUrl,
    /// Where files are fetched, in order: the repository, then its mirrors.
    pub bases: Vec<RepositoryUrl>,
    /// How its first root is known.
    pub root: RootTrust,
    /// The release's name.
    pub name: ReleaseName,
    /// Which one, where the call or the config says so.
    pub selector: Option<Selector>,
    /// The manifest's digest, where it is pinned.
    pub sha256: Option<Sha256Digest>,
}

impl Resolution {
    /// Resolves a call. `config` is all layers merged.
    ///
    /// # Errors
    /// [`ConfigError`] for what cannot be read, [`TrustError::NoRoot`], [`ResolveError::NotPinned`].
    pub fn of(url: &str, options: &Options, config: &Config) -> Result<Self, Error> {
        let ReleaseUrl {
            repository,
            name,
            selector,
        } = url.parse()?;
        let pinned = config.releases.get(&name).cloned().unwrap_or_default();
        let ReleaseConfig {
            repository: configured,
            selector: pinned_selector,
            sha256: pinned_sha256,
        } = pinned;

        let repository = repository.or(configured).ok_or_else(|| ConfigError::Url {
            url: name.to_string(),
            reason: "the config gives this name no repository".into(),
        })?;
        let asked = options
            .version
            .as_deref()
            .map(|text| {
                text.parse::<Selector>()
                    .map_err(|error| option("version", &error.to_string()))
            })
            .transpose()?;
        if let (Some(asked), Some(of_url)) = (&asked, &selector)
            && asked != of_url
        {
            let reason = format!("the URL says `{of_url}` and the option says `{asked}`");
            return Err(option("version", &reason).into());
        }
        let sha256 = options
            .sha256
            .as_deref()
            .map(|text| {
                parse_sha256(text)
                    .ok_or_else(|| option("sha256", "expected 64 lower-case hex digits"))
            })
            .transpose()?
            .or(pinned_sha256);
        if config.frozen == Some(true) && sha256.is_none() {
            return Err(ResolveError::NotPinned {
                name: name.to_string(),
            }
            .into());
        }

        let known = config.repositories.get(&repository);
        let root = options
            .root
            .as_deref()
            .map(|text| {
                parse_root_pin(text).ok_or_else(|| {
                    option("root", "expected `sha256:` and 64 lower-case hex digits")
                })
            })
            .transpose()?
            .or(known.and_then(|entry| entry.root));
        let root = match (root, options.trust) {
            (Some(pin), _) => RootTrust::Pin(pin),
            (None, Some(Trust::FirstUse)) => RootTrust::FirstUse,
            (None, None) => {
                return Err(TrustError::NoRoot {
                    repository: repository.to_string(),
                }
                .into());
            }
        };
        let mirrors = known
            .and_then(|entry| entry.mirrors.clone())
            .unwrap_or_default();
        let bases = core::iter::once(repository.clone())
            .chain(mirrors)
            .collect();
        // A pin says more than the channel that stands beside it. A channel that the call names is another
        // matter: it has to be the pinned release, or the call is refused.
        let pinned_selector = pinned_selector
            .filter(|selector| sha256.is_none() || matches!(selector, Selector::Version(_)));
        Ok(Self {
            repository,
            bases,
            root,
            name,
            selector: asked.or(selector).or(pinned_selector),
            sha256,
        })
    }

    /// Whether a release of that version, which has the pinned digest, answers the call by itself. If not,
    /// signed metadata says what does.
    pub fn is_answered_by(&self, version: &Version) -> bool {
        match &self.selector {
            None => true,
            Some(Selector::Version(asked)) => asked == version,
            Some(Selector::Channel(_)) => false,
        }
    }

    /// The one release that the repository offers for this, equal to the pin where there is one.
    ///
    /// # Errors
    /// [`ResolveError`] for what does not exist, and [`ResolveError::PinMismatch`]; and as
    /// [`Repository::target`].
    pub fn find(&self, repository: &mut Repository) -> Result<Lookup<LocatedRelease>, Error> {
        if let (None, Some(sha256)) = (&self.selector, self.sha256) {
            match repository.release_by_digest(&self.name, sha256)? {
                Lookup::Found(Some(found)) => return Ok(Lookup::Found(found)),
                Lookup::Found(None) => {}
                Lookup::Fetch(fetch) => return Ok(Lookup::Fetch(fetch)),
            }
        }
        let stable = Selector::Channel(Channel::stable());
        let selector = self.selector.as_ref().unwrap_or(&stable);
        match (repository.release(&self.name, selector)?, self.sha256) {
            (Lookup::Found((target, _)), Some(pinned)) if pinned != target.sha256 => {
                Err(ResolveError::PinMismatch {
                    name: target.name.to_string(),
                    version: target.version.to_string(),
                    pinned,
                    got: target.sha256,
                }
                .into())
            }
            (found, _) => Ok(found),
        }
    }
}

fn option(key: &str, reason: &str) -> ConfigError {
    ConfigError::Invalid {
        key: key.into(),
        layer: "call".into(),
        reason: reason.into(),
    }
}

/// Whether the interpreter version `python` (`3.14.2`) satisfies a PEP 440 specifier such as `>=3.9,<4`;
/// `None` if either does not parse. Interpreter versions are plain numbers, so only those are compared:
/// clauses with pre-releases or epochs do not parse.
pub fn python_matches(specifier: &str, python: &str) -> Option<bool> {
    let python = numbers(python)?;
    let mut all = true;
    for clause in specifier
        .split(',')
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
    {
        let at = clause
            .find(|c: char| !matches!(c, '<' | '>' | '=' | '!' | '~'))
            .unwrap_or(clause.len());
        let (operator, version) = clause.split_at(at);
        let version = version.trim();
        let (version, wildcard) = match version.strip_suffix(".*") {
            Some(prefix) => (numbers(prefix)?, true),
            None => (numbers(version)?, false),
        };
        let starts = || (0..version.len()).all(|index| part(&python, index) == version[index]);
        let order = || {
            let length = python.len().max(version.len());
            (0..length)
                .map(|index| part(&python, index).cmp(&part(&version, index)))
                .find(|order| order.is_ne())
        };
        let order = || order().unwrap_or(core::cmp::Ordering::Equal);
        all &= match (operator, wildcard) {
            ("==", true) => starts(),
            ("!=", true) => !starts(),
            ("==" | "===", false) => order().is_eq(),
            ("!=", false) => order().is_ne(),
            (">=", false) => order().is_ge(),
            ("<=", false) => order().is_le(),
            (">", false) => order().is_gt(),
            ("<", false) => order().is_lt(),
            ("~=", false) if version.len() > 1 => {
                let prefix = &version[..version.len() - 1];
                order().is_ge()
                    && (0..prefix.len()).all(|index| part(&python, index) == prefix[index])
            }
            _ => return None,
        };
    }
    Some(all)
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

fn part(version: &[u32], index: usize) -> u32 {
    version.get(index).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_specifiers() {
        for (specifier, python, expected) in [
            (">=3.9", "3.14.2", Some(true)),
            (">=3.9,<3.14", "3.14.2", Some(false)),
            (">=3.14.3", "3.14.2", Some(false)),
            ("~=3.11", "3.14.2", Some(true)),
            ("~=3.11.1", "3.14.2", Some(false)),
            ("!=3.14.*", "3.14.2", Some(false)),
            ("== 3.14.*", "3.14.2", Some(true)),
            ("<4", "3.14.2", Some(true)),
            (">3.14", "3.14.0", Some(false)),
            ("", "3.14.2", Some(true)),
            (">=3.9rc1", "3.14.2", None),
            ("whatever", "3.14.2", None),
        ] {
            assert_eq!(python_matches(specifier, python), expected, "{specifier}");
        }
    }
}
