//! The server as a browser meets it, over loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use support::{TestRepository, WheelBuilder, files};
use ureq::http::{Request, Response};

struct Served {
    repository: TestRepository,
    address: SocketAddr,
    object: String,
}

impl Served {
    fn new() -> Self {
        let repository = TestRepository::new();
        repository
            .release(&[WheelBuilder::new("greet", "1.0+local")])
            .unwrap();
        let object = files(&repository.root())
            .into_iter()
            .find(|file| file.starts_with("objects"))
            .unwrap();
        Self {
            address: support::serve(repository.root()),
            repository,
            object,
        }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Vec<u8>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}/{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .allow_non_standard_methods(true);
        let agent = config.build().new_agent();
        let (parts, mut body) = agent.run(request.body(()).unwrap()).unwrap().into_parts();
        Response::from_parts(parts, body.read_to_vec().unwrap())
    }

    fn get(&self, path: &str) -> Response<Vec<u8>> {
        self.request("GET", path, &[])
    }

    fn file(&self, path: &str) -> Vec<u8> {
        fs::read(self.repository.root().join(path)).unwrap()
    }
}

fn header<'a>(response: &'a Response<Vec<u8>>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[test]
fn every_file_of_a_repository_is_served_as_it_is() {
    let served = Served::new();
    for path in files(&served.repository.root()) {
        if path.starts_with('.') {
            continue;
        }
        let response = served.get(&path.replace('+', "%2B"));
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(*response.body(), served.file(&path), "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        assert_eq!(
            header(&response, "cross-origin-resource-policy"),
            "cross-origin"
        );
        assert_eq!(header(&response, "content-encoding"), "", "{path}");
        let content_type = match path.strip_suffix(".json") {
            Some(_) => "application/json",
            None => "application/octet-stream",
        };
        assert_eq!(header(&response, "content-type"), content_type, "{path}");
        let caching = if path == "metadata/timestamp.json" {
            "no-store"
        } else {
            "public, max-age=31536000, immutable"
        };
        assert_eq!(header(&response, "cache-control"), caching, "{path}");
    }
}

#[test]
fn a_known_tag_saves_the_body() {
    let served = Served::new();
    for path in [
        &*served.object,
        "metadata/timestamp.json",
        "metadata/1.root.json",
    ] {
        let tag = header(&served.get(path), "etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() == 66, "{tag}");
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".into(),
        ] {
            let response = served.request("GET", path, &[("if-none-match", &known)]);
            assert_eq!(
                (response.status().as_u16(), response.body().len()),
                (304, 0),
                "{path} {known}"
            );
            assert_eq!(header(&response, "etag"), tag);
        }
        assert_eq!(
            served
                .request("GET", path, &[("if-none-match", "\"other\"")])
                .status(),
            200
        );
    }
}

#[test]
fn a_range_is_a_part_of_the_file() {
    let served = Served::new();
    let whole = served.file(&served.object);
    let part = |range: &str| served.request("GET", &served.object, &[("range", range)]);
    for (range, expected, shown) in [
        (
            "bytes=0-9",
            &whole[..10],
            format!("bytes 0-9/{}", whole.len()),
        ),
        (
            "bytes=10-",
            &whole[10..],
            format!("bytes 10-{}/{}", whole.len() - 1, whole.len()),
        ),
        (
            "bytes=-5",
            &whole[whole.len() - 5..],
            format!(
                "bytes {}-{}/{}",
                whole.len() - 5,
                whole.len() - 1,
                whole.len()
            ),
        ),
    ] {
        let response = part(range);
        assert_eq!(response.status(), 206, "{range}");
        assert_eq!(response.body(), expected, "{range}");
        assert_eq!(header(&response, "content-range"), shown);
        assert_eq!(
            header(&response, "content-length"),
            expected.len().to_string()
        );
    }
    let response = part("bytes=1000000-");
    assert_eq!(response.status(), 416);
    assert_eq!(
        header(&response, "content-range"),
        format!("bytes */{}", whole.len())
    );
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let response = part("bytes=0-1,4-5");
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (200, whole.len())
    );
    let response = served.request(
        "GET",
        &served.object,
        &[("range", "bytes=0-1"), ("if-range", "\"other\"")],
    );
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (200, whole.len())
    );
}

#[test]
fn head_says_what_get_would() {
    let served = Served::new();
    for path in [&*served.object, "metadata/timestamp.json"] {
        let (head, get) = (served.request("HEAD", path, &[]), served.get(path));
        assert!(head.body().is_empty());
        for name in [
            "content-length",
            "content-type",
            "etag",
            "cache-control",
            "accept-ranges",
        ] {
            assert_eq!(header(&head, name), header(&get, name), "{path} {name}");
        }
    }
}

#[test]
fn a_page_may_ask_first() {
    let served = Served::new();
    let headers = [
        ("origin", "https://notebook.example.org"),
        ("access-control-request-method", "GET"),
    ];
    let response = served.request("OPTIONS", &served.object, &headers);
    assert_eq!(response.status(), 204);
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert!(header(&response, "access-control-allow-methods").contains("GET"));
    assert!(header(&response, "access-control-allow-headers").contains("range"));
}

#[test]
fn nothing_can_be_written() {
    let served = Served::new();
    for method in ["PUT", "DELETE", "PATCH", "PROPFIND"] {
        let response = served.request(method, "metadata/timestamp.json", &[]);
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(header(&response, "allow"), "GET, HEAD, OPTIONS");
    }
}

#[test]
fn what_is_not_a_file_of_the_repository_is_not_found() {
    let served = Served::new();
    let root = served.repository.root();
    fs::write(root.join("metadata/.webimport-tmp-x.json"), "{}").unwrap();
    fs::write(root.join("metadata/notes.txt"), "").unwrap();
    fs::create_dir_all(root.join("keys")).unwrap();
    fs::write(root.join("keys/root.pem"), "").unwrap();
    fs::create_dir(root.join("metadata/9.root.json")).unwrap();
    let object = served.object.clone();
    for path in [
        "",
        "metadata",
        "metadata/",
        "objects/",
        ".webimport-lock",
        "metadata/.webimport-tmp-x.json",
        "metadata/notes.txt",
        "metadata/9.root.json",
        "metadata/7.root.json",
        "keys/root.pem",
        "%2e%2e/keys/root.pem",
        "metadata/..%2f..%2fkeys/root.pem",
        "metadata/%00",
        "/etc/passwd",
        &format!("{object}/"),
        &object.replace("objects/", "objects//"),
        &object.to_uppercase().replace("OBJECTS", "objects"),
    ] {
        let response = served.get(path);
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(
            header(&response, "access-control-allow-origin"),
            "*",
            "a page has to see the status"
        );
        assert_eq!(header(&response, "cache-control"), "no-store");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_out_is_not_followed() {
    let served = Served::new();
    let root = served.repository.root();
    let key = served.repository.keys().path().join("root.pem");
    std::os::unix::fs::symlink(&key, root.join("metadata/8.root.json")).unwrap();
    assert_eq!(served.get("metadata/8.root.json").status(), 404);
    std::os::unix::fs::symlink("1.root.json", root.join("metadata/9.root.json")).unwrap();
    assert_eq!(served.get("metadata/9.root.json").status(), 200);
}

/// Ends the server with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str], folder: &Path) -> (Program, String) {
    let mut child = support::command(folder, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (Program(child), line)
}

#[test]
fn the_program_says_where_it_listens() {
    let repository = TestRepository::new();
    repository
        .release(&[WheelBuilder::new("greet", "1.0")])
        .unwrap();
    let folder = repository.folder.path().to_owned();

    let (_program, line) = start(&["serve", "repo", "--port", "0", "--quiet"], &folder);
    let url = line.strip_prefix("serving `repo` at ").unwrap().trim();
    repository
        .verify_at(&format!("{url}/greet"), support::NOW)
        .unwrap();

    let (_program, line) = start(&["serve", "repo", "--port", "0", "--json"], &folder);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["repository"], "repo");
    let url = value["url"].as_str().unwrap();
    repository
        .verify_at(&format!("{url}/greet@1.0"), support::NOW)
        .unwrap();

    // Requests are told, in order, on standard error.
    let (mut program, line) = start(&["serve", "repo", "--port", "0"], &folder);
    let url = line.strip_prefix("serving `repo` at ").unwrap().trim();
    repository
        .verify_at(&format!("{url}/greet"), support::NOW)
        .unwrap();
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let length = fs::read(repository.root().join("metadata/1.root.json"))
        .unwrap()
        .len();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        format!("GET /metadata/1.root.json 200 {length}")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .unwrap()
            .starts_with("GET /metadata/2.root.json 404")
    );
}
