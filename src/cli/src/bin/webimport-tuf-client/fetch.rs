//! Files over HTTP: bounded in bytes, in time, and from below in speed. Nothing here is believed.

use std::io::Read as _;
use std::time::{Duration, Instant};

use webimport_core::error::FetchError;
use webimport_core::url::is_secure;

/// What a server may take before its speed is judged, and between two parts of an answer.
const GRACE: Duration = Duration::from_secs(20);

/// Bytes a second on the whole, after the grace; slow retrieval.
const MINIMUM_RATE: u64 = 4 * 1024;

/// Fetches files, one at a time, in the order of the calls. There is no second try: the caller sees each answer.
pub(crate) struct Fetcher {
    agent: ureq::Agent,
}

impl Fetcher {
    pub(crate) fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(GRACE))
            .timeout_recv_response(Some(GRACE))
            .timeout_per_read(Some(GRACE))
            .user_agent(concat!("webimport-tuf-client/", env!("CARGO_PKG_VERSION")))
            // Where a redirect leads was not checked.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .new_agent();
        Self { agent }
    }

    /// The bytes of the file, `limit` at most.
    ///
    /// # Errors
    /// Any [`FetchError`].
    pub(crate) fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        if !is_secure(url) {
            return Err(FetchError::Insecure {
                url: url.to_owned(),
            });
        }
        let start = Instant::now();
        let deadline = GRACE + Duration::from_secs(limit / MINIMUM_RATE);
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => slow(url, start.elapsed()),
            other => FetchError::Network {
                url: url.to_owned(),
                reason: other.to_string(),
            },
        };
        let mut response = self
            .agent
            .get(url)
            .config()
            .timeout_global(Some(deadline))
            .build()
            .call()
            .map_err(failed)?;
        match response.status().as_u16() {
            200 => {}
            // Object stores answer 403 for what is not there.
            status @ (403 | 404 | 410) => {
                return Err(FetchError::NotFound {
                    url: url.to_owned(),
                    status,
                });
            }
            status => {
                return Err(FetchError::Status {
                    url: url.to_owned(),
                    status,
                });
            }
        }
        let announced = response.body().content_length();
        let too_large = || FetchError::TooLarge {
            url: url.to_owned(),
            limit,
        };
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = response.body_mut().as_reader();
        let mut bytes = Vec::new();
        let mut part = vec![0; 64 * 1024];
        loop {
            let read = match body.read(&mut part) {
                Ok(0) => return Ok(bytes),
                Ok(read) => read,
                Err(error) => {
                    let got = bytes.len() as u64;
                    return Err(match (ureq::Error::from(error), announced) {
                        (ureq::Error::Io(_), Some(expected)) if got < expected => {
                            FetchError::Truncated {
                                url: url.to_owned(),
                                expected,
                                got,
                            }
                        }
                        (error, _) => failed(error),
                    });
                }
            };
            bytes.extend_from_slice(&part[..read]);
            let got = bytes.len() as u64;
            if got > limit {
                return Err(too_large());
            }
            if is_slow(got, start.elapsed()) {
                return Err(slow(url, start.elapsed()));
            }
        }
    }
}

/// Whether fewer bytes came in this time than the minimum rate asks for.
fn is_slow(got: u64, elapsed: Duration) -> bool {
    let judged = elapsed.saturating_sub(GRACE).as_secs();
    got < judged.saturating_mul(MINIMUM_RATE)
}

fn slow(url: &str, elapsed: Duration) -> FetchError {
    FetchError::Timeout {
        url: url.to_owned(),
        seconds: u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request with `answer` and closes.
    fn served(answer: &'static [u8], limit: u64) -> Result<Vec<u8>, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..read]);
            }
            stream.write_all(answer).unwrap();
        });
        let got = Fetcher::new().get(&url, limit);
        server.join().unwrap();
        got
    }

    #[test]
    fn takes_a_body_of_the_limit_and_no_byte_more() {
        let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let until_closed = b"HTTP/1.0 200 OK\r\n\r\nabc";
        for answer in [&announced[..], &until_closed[..]] {
            assert_eq!(served(answer, 3).unwrap(), b"abc");
            assert!(matches!(
                served(answer, 2),
                Err(FetchError::TooLarge { limit: 2, .. })
            ));
        }
    }

    #[test]
    fn tells_what_is_not_there_from_what_went_wrong() {
        for (answer, not_found) in [
            (
                &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
                true,
            ),
            (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", true),
            (b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n", false),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\nContent-Length: 0\r\n\r\n",
                false,
            ),
        ] {
            match served(answer, 3) {
                Err(FetchError::NotFound { .. }) => assert!(not_found),
                Err(FetchError::Status { .. }) => assert!(!not_found),
                other => panic!("expected a refusal, got {other:?}"),
            }
        }
    }

    #[test]
    fn rejects_a_body_that_ends_early() {
        assert!(matches!(
            served(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 3),
            Err(FetchError::Truncated {
                expected: 3,
                got: 2,
                ..
            })
        ));
    }

    #[test]
    fn plain_http_is_for_loopback() {
        assert!(matches!(
            Fetcher::new().get("http://example.org/a", 3),
            Err(FetchError::Insecure { .. })
        ));
    }

    #[test]
    fn a_body_below_the_minimum_rate_is_slow_once_the_grace_is_over() {
        assert!(!is_slow(0, GRACE));
        let later = GRACE + Duration::from_secs(10);
        assert!(!is_slow(10 * MINIMUM_RATE, later));
        assert!(is_slow(10 * MINIMUM_RATE - 1, later));
    }
}
