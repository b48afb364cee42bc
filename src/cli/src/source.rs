//! Where a repository's files come from: a folder, or a server over HTTP.
//!
//! Fetching is bounded and verifies nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use webimport_core::error::{ConfigError, FetchError};
use webimport_core::names::{Channel, ReleaseName, Selector};
use webimport_core::url::{ReleaseUrl, RepositoryUrl};

/// How files are fetched over HTTP.
#[derive(Debug, Clone)]
pub struct Transport {
    /// Tries for each file, where another one may help.
    pub tries: u32,
    /// Before the second try; doubled for each further one.
    pub pause: Duration,
    /// For one file.
    pub timeout: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            tries: 3,
            pause: Duration::from_millis(500),
            timeout: Duration::from_mins(5),
        }
    }
}

/// The page that is asked for.
pub(crate) const ORIGIN: &str = "https://notebook.example.org";

/// Where a repository's files come from.
pub(crate) enum Source {
    Folder(PathBuf),
    Http {
        base: RepositoryUrl,
        agent: ureq::Agent,
        transport: Transport,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Http { base, .. } => base.fmt(f),
        }
    }
}

/// What came back for one file.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// As of HTTP; a folder answers 200 or 404.
    pub(crate) status: u16,
    /// By lower-case name; none from a folder.
    pub(crate) headers: BTreeMap<String, String>,
    /// Of an answer of 200; empty for any other.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body, or the error that readers make of the status. `url` is for messages.
    pub(crate) fn into_file(self, url: String) -> Result<Vec<u8>, FetchError> {
        match self.status {
            200 => Ok(self.body),
            // Object stores answer 403 for what is not there.
            status @ (403 | 404 | 410) => Err(FetchError::NotFound { url, status }),
            status => Err(FetchError::Status { url, status }),
        }
    }
}

impl Source {
    /// The source of a release URL, or of a repository's folder with `/name[@version or channel]` behind it.
    pub(crate) fn of_release(
        release: &str,
        transport: &Transport,
    ) -> Result<(Self, ReleaseName, Selector), ConfigError> {
        let url = |reason: &str| ConfigError::Url {
            url: release.to_owned(),
            reason: reason.to_owned(),
        };
        let stable = || Selector::Channel(Channel::stable());
        if release.contains("://") {
            let ReleaseUrl {
                repository,
                name,
                selector,
            } = release.parse()?;
            let base = repository.ok_or_else(|| url("expected a repository before the name"))?;
            let source = Self::http(base, transport);
            return Ok((source, name, selector.unwrap_or_else(stable)));
        }
        let (folder, last) = release
            .rsplit_once(['/', std::path::MAIN_SEPARATOR])
            .ok_or_else(|| url("expected a URL, or a repository's folder and `/name`"))?;
        // What stands behind the folder has the form of a bare release URL.
        let ReleaseUrl { name, selector, .. } = last.parse()?;
        let folder = if folder.is_empty() { "/" } else { folder };
        Ok((
            Self::Folder(folder.into()),
            name,
            selector.unwrap_or_else(stable),
        ))
    }

    /// The source of a repository's base URL or folder.
    pub(crate) fn of_repository(
        repository: &str,
        transport: &Transport,
    ) -> Result<Self, ConfigError> {
        if repository.contains("://") {
            Ok(Self::http(repository.parse()?, transport))
        } else {
            Ok(Self::Folder(repository.into()))
        }
    }

    fn http(base: RepositoryUrl, transport: &Transport) -> Self {
        Self::Http {
            agent: agent(&base, transport),
            base,
            transport: transport.clone(),
        }
    }

    /// The bytes of a file, `limit` at most. `path` is made of parsed names and digests, never of raw text.
    pub(crate) fn fetch(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.answer(path, limit)?.into_file(self.url(path))
    }

    /// As [`fetch`](Self::fetch), with what else the answer says, whatever its status.
    pub(crate) fn answer(&self, path: &str, limit: u64) -> Result<Answer, FetchError> {
        match self {
            Self::Folder(folder) => read(&folder.join(path), limit),
            Self::Http {
                agent, transport, ..
            } => self.retried(path, transport, |url| {
                get(agent, url, limit, transport.timeout)
            }),
        }
    }

    fn retried(
        &self,
        path: &str,
        transport: &Transport,
        request: impl Fn(&str) -> Result<Answer, FetchError>,
    ) -> Result<Answer, FetchError> {
        let url = self.url(path);
        let mut pause = transport.pause;
        let mut left = transport.tries.max(1);
        loop {
            left -= 1;
            let answer = request(&url);
            let is_transient = match &answer {
                Ok(answer) => FetchError::Status {
                    url: url.clone(),
                    status: answer.status,
                }
                .is_transient(),
                Err(error) => error.is_transient(),
            };
            if left == 0 || !is_transient {
                return answer;
            }
            thread::sleep(pause);
            pause *= 2;
        }
    }

    /// As [`answer`](Self::answer) without a body; a folder says the file's length as a server does.
    pub(crate) fn head(&self, path: &str) -> Result<Answer, FetchError> {
        match self {
            Self::Folder(folder) => {
                let metadata = folder.join(path).metadata();
                Ok(match metadata.ok().filter(std::fs::Metadata::is_file) {
                    Some(metadata) => Answer {
                        status: 200,
                        headers: [("content-length".into(), metadata.len().to_string())].into(),
                        body: Vec::new(),
                    },
                    None => Answer {
                        status: 404,
                        ..Answer::default()
                    },
                })
            }
            Self::Http {
                agent, transport, ..
            } => self.retried(path, transport, |url| head(agent, url, transport.timeout)),
        }
    }

    /// Where a file is, for messages.
    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(path).display().to_string(),
            Self::Http { base, .. } => base.join(path),
        }
    }
}

fn read(path: &Path, limit: u64) -> Result<Answer, FetchError> {
    let broken = |error: io::Error| FetchError::Network {
        url: path.display().to_string(),
        reason: error.to_string(),
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Answer {
                status: 404,
                ..Answer::default()
            });
        }
        other => other.map_err(broken)?,
    };
    let body = bounded(file, limit)
        .map_err(broken)?
        .ok_or_else(|| FetchError::TooLarge {
            url: path.display().to_string(),
            limit,
        })?;
    Ok(Answer {
        status: 200,
        body,
        ..Answer::default()
    })
}

/// `None` for more than `limit` bytes.
pub(crate) fn bounded(source: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn agent(base: &RepositoryUrl, transport: &Transport) -> ureq::Agent {
    let secure = base.as_str().starts_with("https:");
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(transport.timeout))
        .timeout_connect(Some(Duration::from_secs(15)))
        .user_agent(concat!("webimport/", env!("CARGO_PKG_VERSION")))
        .https_only(secure)
        .max_redirects_will_error(false);
    if !secure {
        // Loopback: a redirect could lead to another host without encryption, and a proxy is another host.
        config = config.max_redirects(0).proxy(None);
    }
    config.build().new_agent()
}

fn head(agent: &ureq::Agent, url: &str, timeout: Duration) -> Result<Answer, FetchError> {
    // As a browser sends it: some servers allow other origins only when they are asked.
    let response = agent.head(url).header("origin", ORIGIN).call();
    response
        .map(|response| answered(&response))
        .map_err(|error| failed(error, url, timeout))
}

/// Status and headers.
fn answered<B>(response: &ureq::http::Response<B>) -> Answer {
    let mut answer = Answer {
        status: response.status().as_u16(),
        ..Answer::default()
    };
    for (name, value) in response.headers() {
        // A header that is there twice means the same as one with both values (RFC 9110, 5.3).
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        answer
            .headers
            .entry(name.as_str().to_owned())
            .and_modify(|before| *before = format!("{before}, {text}"))
            .or_insert(text);
    }
    answer
}

fn failed(error: ureq::Error, url: &str, timeout: Duration) -> FetchError {
    match error {
        ureq::Error::Timeout(_) => FetchError::Timeout {
            url: url.to_owned(),
            seconds: u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
        },
        other => FetchError::Network {
            url: url.to_owned(),
            reason: other.to_string(),
        },
    }
}

fn get(
    agent: &ureq::Agent,
    url: &str,
    limit: u64,
    timeout: Duration,
) -> Result<Answer, FetchError> {
    let failed = |error| failed(error, url, timeout);
    let response = agent.get(url).header("origin", ORIGIN).call();
    let mut response = response.map_err(failed)?;
    let mut answer = answered(&response);
    if answer.status != 200 {
        return Ok(answer);
    }
    let announced = response.body().content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(FetchError::TooLarge {
            url: url.to_owned(),
            limit,
        });
    }
    let mut bytes = Vec::new();
    let outcome = response
        .body_mut()
        .as_reader()
        .take(limit + 1)
        .read_to_end(&mut bytes);
    let got = bytes.len() as u64;
    match outcome {
        Ok(_) if got > limit => Err(FetchError::TooLarge {
            url: url.to_owned(),
            limit,
        }),
        Ok(_) => {
            answer.body = bytes;
            Ok(answer)
        }
        Err(error) => match (ureq::Error::from(error), announced) {
            (ureq::Error::Io(_), Some(expected)) if got < expected => Err(FetchError::Truncated {
                url: url.to_owned(),
                expected,
                got,
            }),
            (error, _) => Err(failed(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_and_folders_are_paths() {
        let of = |text: &str| Source::of_release(text, &Transport::default());
        assert!(matches!(
            of("http://code.example.org/repo/a"),
            Err(ConfigError::Insecure { .. })
        ));
        assert!(matches!(
            of("http://127.0.0.1:8000/a"),
            Ok((Source::Http { .. }, _, _))
        ));
        assert!(matches!(
            of("https://code.example.org/repo/a@1.0"),
            Ok((Source::Http { .. }, _, Selector::Version(_)))
        ));
        assert!(matches!(
            of("./repo/a@next"),
            Ok((Source::Folder(_), _, Selector::Channel(_)))
        ));
        assert!(of("a").is_err());
        assert!(of("repo/A").is_err());
    }
}
