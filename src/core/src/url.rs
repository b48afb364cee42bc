//! Repository and release URLs.
//!
//! Only the plain forms are accepted, in ASCII: no user, query, fragment, or relative component. What passes
//! means the same to every URL parser, so that the host that was checked is the host that is asked.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::error::ConfigError;
use crate::names::{ReleaseName, Selector};

/// Bytes that a URL may have.
const MAX_LENGTH: usize = 2048;

/// The base URL of a repository, without a `/` at the end: `https:`, or `http:` to a loopback host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryUrl(String);

impl RepositoryUrl {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a file, given by its path inside the repository.
    pub fn join(&self, path: &str) -> String {
        // The one character of a valid path that some object stores read as a space.
        format!("{}/{}", self.0, path.replace('+', "%2B"))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let invalid = |reason: &str| ConfigError::Url {
            url: shown(text),
            reason: reason.to_owned(),
        };
        if text.len() > MAX_LENGTH {
            return Err(invalid("expected at most 2,048 bytes"));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("expected https://"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "https" | "http") {
            return Err(invalid("expected https://"));
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) =
            split_port(authority).ok_or_else(|| invalid("the port is not a number"))?;
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(invalid(
                "expected a host name in ASCII (punycode) or an address in its shortest spelling, without a user",
            ));
        }
        if scheme == "http" && !is_loopback(&host) {
            return Err(ConfigError::Insecure { url: shown(text) });
        }
        let path = path.trim_end_matches('/');
        if let Some(reason) = path_fault(path) {
            return Err(invalid(reason));
        }
        let default = if scheme == "https" { 443 } else { 80 };
        let port = port
            .filter(|port| *port != default)
            .map_or(String::new(), |port| format!(":{port}"));
        Ok(Self(format!("{scheme}://{host}{port}{path}")))
    }
}

/// Whether a URL, as a browser spells it, is `https:`, or `http:` to a loopback host.
pub fn is_secure(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    split_port(authority).is_some_and(|(host, _)| is_loopback(host))
}

/// What the first argument of `loadRelease` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseUrl {
    /// `None` for a bare name, which the config gives a repository.
    pub repository: Option<RepositoryUrl>,
    /// The last component, up to the `@`.
    pub name: ReleaseName,
    /// Behind the `@`.
    pub selector: Option<Selector>,
}

impl FromStr for ReleaseUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError::Url {
            url: shown(text),
            reason,
        };
        let (base, last) = match text.rsplit_once('/') {
            Some((base, last)) => (Some(base), last),
            None => (None, text),
        };
        let (name, selector) = match last.split_once('@') {
            Some((name, selector)) => (name, Some(selector)),
            None => (last, None),
        };
        if name.is_empty() {
            return Err(invalid("expected a release name at the end".into()));
        }
        let repository = base
            .map(str::parse)
            .transpose()
            .map_err(|error| match error {
                ConfigError::Url { reason, .. } => invalid(reason),
                ConfigError::Insecure { .. } => ConfigError::Insecure { url: shown(text) },
                other => other,
            })?;
        Ok(Self {
            repository,
            name: name
                .parse()
                .map_err(|error: crate::names::NameSyntax| invalid(error.to_string()))?,
            selector: selector
                .map(|it| it.replace("%2B", "+").replace("%2b", "+").parse())
                .transpose()
                .map_err(|error: crate::names::NameSyntax| invalid(error.to_string()))?,
        })
    }
}

/// Long input is cut in messages.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[end_of_host..].find(':') {
        None => Some((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at(end_of_host + at);
            let digits = &port[1..];
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            digits.parse().ok().map(|port| (host, Some(port)))
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return is_plain_ipv6(inner);
    }
    let labels_fit = host.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    });
    // A host that ends in a number is an IPv4 address to browsers, in many spellings (`127.1`, `0x7f.1`): only
    // the plain one passes.
    let ends_in_number = host
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()) || label.starts_with("0x"));
    labels_fit && host.len() <= 253 && (!ends_in_number || host.parse::<Ipv4Addr>().is_ok())
}

/// Whether an address is written as browsers write it: RFC 5952 without the dotted form, so that one address is one
/// repository.
fn is_plain_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>()
        .is_ok_and(|address| address.to_ipv4_mapped().is_none() && address.to_string() == text)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return None;
    }
    let bytes = path.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let fits = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'/' | b'-'
                    | b'.'
                    | b'_'
                    | b'~'
                    | b'@'
                    | b'!'
                    | b'$'
                    | b'('
                    | b')'
                    | b','
                    | b':'
                    | b'='
            )
            || (*byte == b'%'
                && bytes
                    .get(index + 1..index + 3)
                    .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)));
        if !fits {
            return Some(
                "expected a path without query, fragment, white space or control characters",
            );
        }
    }
    let lower = path.to_ascii_lowercase();
    // Browsers read `%2e` as a dot; an encoded slash is read in two ways.
    if lower.contains("%2e")
        || lower.contains("%2f")
        || lower.contains("%5c")
        || lower.contains("%00")
    {
        return Some("expected a path without encoded dots and slashes");
    }
    if path[1..]
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return Some("expected a path without empty or relative components");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Result<String, &'static str> {
        use crate::error::Coded as _;
        text.parse::<RepositoryUrl>()
            .map(|url| url.0)
            .map_err(|error| error.code())
    }

    #[test]
    fn one_spelling_for_one_repository() {
        for text in [
            "https://code.example.org/repo",
            "https://code.example.org/repo/",
            "HTTPS://Code.Example.org:443/repo",
        ] {
            assert_eq!(base(text), Ok("https://code.example.org/repo".into()));
        }
        assert_eq!(
            base("https://code.example.org"),
            Ok("https://code.example.org".into())
        );
        assert_eq!(
            base("https://h:8443/a@b/c"),
            Ok("https://h:8443/a@b/c".into())
        );
        assert_eq!(
            base("https://[2001:DB8::1]/r"),
            Ok("https://[2001:db8::1]/r".into())
        );
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for good in [
            "http://localhost:8000",
            "http://127.0.0.1/r",
            "http://127.8.9.1",
            "http://[::1]:1/r",
            "http://a.localhost",
        ] {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in [
            "http://code.example.org/r",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "http://10.0.0.1",
        ] {
            assert_eq!(base(bad), Err("url.insecure"), "{bad}");
        }
    }

    #[test]
    fn a_redirect_may_go_to_https_or_loopback() {
        for good in [
            "https://h/x?y",
            "http://127.0.0.1:80/x",
            "http://localhost",
            "http://[::1]:8/x",
        ] {
            assert!(is_secure(good), "{good}");
        }
        for bad in [
            "http://h/x",
            "http://localhost@h/x",
            "http://h?localhost",
            "ftp://localhost/x",
            "",
        ] {
            assert!(!is_secure(bad), "{bad}");
        }
    }

    #[test]
    fn rejects_what_two_parsers_read_in_two_ways() {
        for bad in [
            "",
            "code.example.org/r",
            "ftp://h/r",
            "https://",
            "https:///r",
            "https://user@h/r",
            "https://h:p/r",
            "https://h:/r",
            "https://h:99999/r",
            "https://h/r?q",
            "https://h/r#f",
            "https://h/a/../b",
            "https://h/a//b",
            "https://h/%2e%2e/b",
            "https://h/a%2fb",
            "https://h/a b",
            "https://h/é",
            "https://é/r",
            "https://h\\x/r",
            "https://h/r\n",
            "https://127.1/r",
            "https://0x7f.1/r",
            "https://2130706433/r",
            "https://[::1/r",
            "https://[::0]/r",
            "https://[0:0:0:0:0:0:0:1]/r",
            "https://[2001:0db8::1]/r",
            "https://[::ffff:10.0.0.1]/r",
            "https://[::ffff:a00:1]/r",
            "https://a..b/r",
            "https://h/%zz",
        ] {
            assert_eq!(base(bad), Err("url.invalid"), "{bad:?}");
        }
    }

    #[test]
    fn release_urls_have_a_name_and_may_have_a_selector() {
        let url: ReleaseUrl = "https://code.example.org/repo/mylib@1.4.2".parse().unwrap();
        assert_eq!(
            url.repository.unwrap().as_str(),
            "https://code.example.org/repo"
        );
        assert_eq!(url.name.as_str(), "mylib");
        assert_eq!(
            url.selector,
            Some(Selector::Version("1.4.2".parse().unwrap()))
        );

        let url: ReleaseUrl = "https://code.example.org/repo/mylib@next".parse().unwrap();
        assert_eq!(
            url.selector,
            Some(Selector::Channel("next".parse().unwrap()))
        );

        let url: ReleaseUrl = "mylib@1.0%2Bcpu".parse().unwrap();
        assert_eq!(
            (url.repository, url.selector),
            (None, Some(Selector::Version("1.0+cpu".parse().unwrap())))
        );

        assert_eq!("mylib".parse::<ReleaseUrl>().unwrap().selector, None);
        for bad in [
            "",
            "https://h/r/",
            "https://h/r/@1",
            "https://h/r/My@1",
            "https://h/r/a@",
            "a@1@2",
            "../a",
            "https://h/r/a?x",
        ] {
            assert!(bad.parse::<ReleaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_joined_below_the_base() {
        let base: RepositoryUrl = "https://h/r/".parse().unwrap();
        assert_eq!(
            base.join("targets/a/1.0+x/f"),
            "https://h/r/targets/a/1.0%2Bx/f"
        );
    }
}
