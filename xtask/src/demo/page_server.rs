//! A small static file server for the demo page, on loopback only.
//!
//! It answers GET and HEAD from folders laid over one another, one request a connection. It is for a person
//! who looks at the demo, not for publishing: `webimport serve` is what serves repositories.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

/// What the page, Pyodide and `webimport.js` have to work under.
const POLICY: &str = "script-src 'self' 'wasm-unsafe-eval'";

/// The longest request head that is read, in bytes.
const HEAD_LIMIT: u64 = 16 * 1024;

/// A folder whose files are served below a prefix, which is empty or ends with `/`.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) prefix: &'static str,
    pub(crate) folder: PathBuf,
}

/// Serves the layers, earlier ones first, from a thread of its own until the process ends. Says the address.
///
/// # Errors
/// When the port cannot be had.
pub(crate) fn start(layers: Vec<Layer>, port: u16) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
    let address = listener.local_addr()?;
    let layers = Arc::new(layers);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let layers = Arc::clone(&layers);
            // A browser that goes away in mid-answer is its own business.
            std::thread::spawn(move || drop(answer(&layers, &connection)));
        }
    });
    Ok(address)
}

fn answer(layers: &[Layer], mut connection: &TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = BufReader::new(connection.take(HEAD_LIMIT));
    let mut request = String::new();
    head.read_line(&mut request)?;
    // The headers say nothing that matters here, but have to be read before the answer.
    let mut header = String::new();
    while head.read_line(&mut header)? > 2 {
        header.clear();
    }
    let mut words = request.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (status, media_type, body) = match (method, find(layers, target)) {
        ("GET" | "HEAD", Some(file)) => match std::fs::read(&file) {
            Ok(body) => ("200 OK", media_type(&file), body),
            Err(error) => (
                "500 Internal Server Error",
                "text/plain",
                error.to_string().into_bytes(),
            ),
        },
        ("GET" | "HEAD", None) => ("404 Not Found", "text/plain", b"not found\n".to_vec()),
        _ => (
            "405 Method Not Allowed",
            "text/plain",
            b"only GET and HEAD\n".to_vec(),
        ),
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
         Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-cache\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        connection.write_all(&body)?;
    }
    connection.flush()
}

/// The file that a request target such as `/pyodide/pyodide.mjs?x` names.
fn find(layers: &[Layer], target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    };
    layers.iter().find_map(|layer| {
        let below = Path::new(path.strip_prefix(layer.prefix)?);
        // Only plain names: nothing that leads out of the folder. Names with `%` are not used by the page.
        if !below
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
        {
            return None;
        }
        Some(layer.folder.join(below)).filter(|file| file.is_file())
    })
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("py" | "toml" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Vec<Layer> {
        vec![Layer {
            prefix: "crate/",
            folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        }]
    }

    #[test]
    fn finds_a_file_below_its_prefix() {
        assert!(find(&layers(), "/crate/Cargo.toml?x=1").is_some());
        assert!(find(&layers(), "/Cargo.toml").is_none());
    }

    #[test]
    fn finds_nothing_outside_its_folders() {
        for target in [
            "/crate/../Cargo.toml",
            "/crate//etc/passwd",
            "/crate/src/../../Cargo.toml",
            "crate/Cargo.toml",
            "",
        ] {
            assert!(find(&layers(), target).is_none(), "{target}");
        }
    }

    #[test]
    fn answers_over_a_connection_with_the_policy() {
        let address = start(layers(), 0).expect("listens");
        let mut connection = TcpStream::connect(address).expect("connects");
        connection
            .write_all(b"GET /crate/Cargo.toml HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("asks");
        let mut reply = String::new();
        connection.read_to_string(&mut reply).expect("reads");
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(
            reply.contains(&format!("Content-Security-Policy: {POLICY}\r\n")),
            "{reply}"
        );
        assert!(reply.contains("name = \"xtask\""), "{reply}");
    }
}
