//! Names that are parsed once and safe to put into a path or a URL afterwards.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text does not have the form of the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {form}")]
pub struct NameSyntax {
    what: &'static str,
    form: &'static str,
    text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $form:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameSyntax;

            fn from_str(text: &str) -> Result<Self, NameSyntax> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(120).collect();
                    Err(NameSyntax { what: $what, form: $form, text })
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <alloc::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a release, as in its URL. At most 100 bytes.
    ReleaseName,
    "release name",
    "lower-case letters, digits and inner `.`, `_`, `-`",
    |text| {
        text.len() <= 100
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    }
);

name!(
    /// The version of a release, in practice a PEP 440 version. At most 100 bytes.
    Version,
    "version",
    "starts with a digit, then letters, digits and `.`, `_`, `+`, `!`, `-`",
    |text| {
        text.len() <= 100
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'!' | b'-'))
    }
);

name!(
    /// The name of a channel. At most 50 bytes.
    Channel,
    "channel",
    "starts with a lower-case letter, then lower-case letters, digits and `-`",
    |text| {
        text.len() <= 50
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }
);

name!(
    /// An interpreter's cache tag (`sys.implementation.cache_tag`), such as `cpython-314`. At most 40 bytes.
    CacheTag,
    "cache tag",
    "lower-case letters, digits and `-`",
    |text| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }
);

name!(
    /// The version of a Pyodide, as it says it: `314.0.7`.
    PyodideVersion,
    "version of a Pyodide",
    "digits, letters and inner `.`, the first one a digit",
    |text| {
        (1..=40).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
            && !text.contains("..")
            && !text.ends_with('.')
    }
);

impl Channel {
    /// The channel of a URL that names neither version nor channel.
    pub fn stable() -> Self {
        Self("stable".to_owned())
    }
}

/// Which release of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// This version.
    Version(Version),
    /// Whatever the channel names now.
    Channel(Channel),
}

impl FromStr for Selector {
    type Err = NameSyntax;

    /// Versions start with a digit and channels with a letter, so one text is never both.
    fn from_str(text: &str) -> Result<Self, NameSyntax> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            text.parse().map(Self::Version)
        } else {
            text.parse().map(Self::Channel)
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Channel(channel) => channel.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_names_are_lower_case_and_bounded() {
        for good in ["a", "mylib", "my-lib", "my.lib_2", &"x".repeat(100)] {
            assert!(good.parse::<ReleaseName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "My",
            "-a",
            "a-",
            "a/b",
            "..",
            "a b",
            "é",
            "a@1",
            &"x".repeat(101),
        ] {
            assert!(bad.parse::<ReleaseName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_selector_is_a_version_or_a_channel() {
        assert!(matches!("1.4.2".parse(), Ok(Selector::Version(_))));
        assert!(matches!("1!2.0+local".parse(), Ok(Selector::Version(_))));
        assert!(matches!("next".parse(), Ok(Selector::Channel(_))));
        for bad in ["", "1/2", "Next", "n/../x", "1 2", "%31"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
