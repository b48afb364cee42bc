//! Release URLs: an accepted one has one spelling, and is the same place to the URL parser of browsers.
#![no_main]

use url::{ParseError, Url};
use webimport_core::url::{ReleaseUrl, RepositoryUrl, is_secure};
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    // Redirects are judged as a browser spells them.
    if let Ok(url) = Url::parse(text)
        && is_secure(url.as_str())
    {
        assert!(is_encrypted_or_local(&url), "{url}");
    }
    let release: ReleaseUrl = match text.parse() {
        Ok(release) => release,
        Err(error) => return refused(&error),
    };
    let mut shown = release
        .repository
        .as_ref()
        .map_or(String::new(), |it| format!("{it}/"));
    shown.push_str(release.name.as_str());
    if let Some(selector) = &release.selector {
        shown.push('@');
        shown.push_str(&selector.to_string());
    }
    assert_eq!(shown.parse().as_ref(), Ok(&release));
    if let Some(repository) = &release.repository {
        let base = text.rsplit_once('/').map_or("", |(base, _)| base);
        is_one_place(base, repository);
    }
    Outcome::Accepted
}

fn is_one_place(written: &str, repository: &RepositoryUrl) {
    let shown = repository.as_str();
    assert!(is_secure(shown), "{shown}");
    assert!(!shown.ends_with('/'));
    let url = match Url::parse(shown) {
        Ok(url) => url,
        // Whether a label that claims to be Punycode decodes is left to the browser, which then asks nobody.
        Err(ParseError::IdnaError) => {
            assert!(shown.contains("xn--"), "{shown}");
            return;
        }
        Err(error) => panic!("no browser can read {shown}: {error}"),
    };
    assert!(is_encrypted_or_local(&url), "{url}");
    assert_eq!(url.as_str().trim_end_matches('/'), shown);
    assert_eq!((url.query(), url.fragment()), (None, None));
    assert_eq!((url.username(), url.password()), ("", None));
    // As written, too: the host that was checked is the host that is asked.
    let written = Url::parse(written).expect("a browser can read it");
    assert_eq!(written.origin(), url.origin());
    assert_eq!(written.as_str().trim_end_matches('/'), shown);
    let joined = repository.join("objects/ab/c+d");
    let joined = Url::parse(&joined).expect("a browser can read it");
    assert_eq!(joined.origin(), url.origin());
    assert_eq!(joined.as_str(), format!("{shown}/objects/ab/c%2Bd"));
}

fn is_encrypted_or_local(url: &Url) -> bool {
    let is_local = || match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local())
}
