//! What every command writes, as golden files in `snapshots`: `!` marks standard error, `?` the exit code.
//! Digests are numbered in the order in which they appear.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use support::{WheelBuilder, webimport};
use tempfile::TempDir;

/// Runs several commands in one folder.
struct Session {
    folder: TempDir,
    text: String,
}

impl Session {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            text: String::new(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&mut self, arguments: &str) -> &mut Self {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text
            .push_str(&webimport(self.folder.path(), &arguments));
        self
    }

    /// Runs what the golden file need not show.
    fn prepare(&mut self, arguments: &str) -> &mut Self {
        let before = self.text.len();
        self.run(arguments);
        assert!(self.text.ends_with("? 0\n"), "{}", &self.text[before..]);
        self.text.truncate(before);
        self
    }

    fn repository() -> Self {
        let mut session = Self::new();
        session.prepare("init repo --keys keys");
        session
    }

    fn wheel(&self, wheel: &WheelBuilder) -> String {
        wheel.write(self.path());
        wheel.file_name()
    }

    fn pin(&self) -> String {
        let root = fs::read(self.path().join("repo/metadata/1.root.json")).unwrap();
        format!("sha256:{}", webimport_core::digest::Sha256Digest::of(&root))
    }

    fn golden(&self) -> String {
        let folder = self.path().canonicalize().unwrap();
        golden(&self.text.replace(&*folder.to_string_lossy(), "<folder>"))
    }
}

/// Replaces what differs from run to run.
fn golden(text: &str) -> String {
    let mut digests: HashMap<String, usize> = HashMap::new();
    let mut out = String::new();
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | ':') {
            word.push(character);
            continue;
        }
        let plain = word.strip_prefix("sha256:").unwrap_or(&word);
        if plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let next = digests.len() + 1;
            let number = *digests.entry(plain.to_owned()).or_insert(next);
            out.push_str(&word.replace(plain, &format!("<digest {number}>")));
        } else if word.len() == 20 && word.starts_with("20") && word.ends_with('Z') {
            out.push_str("<time>");
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(character);
    }
    out.truncate(out.len() - 1);
    out
}

/// For its owner alone, where files have such a mode.
fn private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn greet(version: &str) -> WheelBuilder {
    WheelBuilder::new("greet", version)
        .file("greet/words.txt", "hello\n".repeat(100))
        .metadata("Requires-Dist: numpy>=2")
        .metadata("Requires-Python: >=3.11")
}

#[test]
fn help() {
    let mut session = Session::new();
    for command in [
        "--help",
        "new --help",
        "init --help",
        "release --help",
        "snapshot --help",
        "renew --help",
        "keys --help",
        "keys list --help",
        "keys add --help",
        "keys rotate --help",
        "keys revoke --help",
        "keys set --help",
        "keys sign --help",
        "keys publish --help",
        "serve --help",
        "verify --help",
        "doctor --help",
    ] {
        session.run(command);
    }
    assert_snapshot!(session.golden());
}

#[test]
fn usage_errors() {
    let mut session = Session::new();
    session
        .run("publish")
        .run("init repo")
        .run("init repo --json")
        .run("release --repo repo --keys keys")
        .run("release x --repo repo --keys keys --name Not/Good --json")
        .run("release x --repo repo --keys keys --channel 1")
        .run("serve repo --port 70000")
        .run("serve repo --addr localhost --json")
        .run("verify repo/x")
        .run("verify repo/x --root 1234")
        .run("release x --repo repo")
        .run("renew repo --json")
        .run("init repo --keys keys --expires timestamp=0")
        .run("init repo --keys keys --root-keys 0")
        .run("keys add repo --keys keys")
        .run("keys rotate repo --keys keys --role root --public x --encrypt")
        .run("keys set repo --keys keys --threshold root")
        .run("keys set repo --keys keys")
        .run("doctor http://127.0.0.1:1/repo")
        .run("snapshot Greet --repo repo --keys keys")
        .run("snapshot greet@1/0 --repo repo --keys keys")
        .run("snapshot greet --repo repo --keys keys --import greet-more --json")
        .run("snapshot greet --keys keys")
        .run("snapshot greet --repo repo")
        .run("snapshot greet --repo repo --keys keys --remove")
        .run("snapshot greet --repo repo --keys keys --remove stable")
        .run("snapshot greet --repo repo --keys keys --remove all --import greet");
    assert_snapshot!(session.golden());
}

#[test]
fn new() {
    let mut session = Session::new();
    session
        .run("new my-lib")
        .run("new my-lib")
        .run("new other --name Good.Name --json")
        .run("new 1st")
        .run("new x --name class --json");
    fs::write(session.path().join("file"), "").unwrap();
    session.run("new file/below --name a");
    assert_snapshot!(session.golden());
}

#[test]
fn init() {
    let mut session = Session::new();
    session
        .run("init repo --keys keys")
        .run("init repo --keys other")
        .run("init other --keys keys")
        .run("init third --keys third/keys")
        .run("init third --keys third/../third/keys")
        .run("init fourth/repo --keys fourth --json")
        .run("init json --keys json-keys --json")
        .run("init json --keys json-keys --json");
    assert_snapshot!(session.golden());
}

#[test]
fn init_with_options() {
    let mut session = Session::new();
    fs::write(session.path().join("passphrase"), "open sesame\n").unwrap();
    private(&session.path().join("passphrase"));
    session
        .run("init repo --keys keys --root-keys 3 --root-threshold 4")
        .run("init repo --keys keys --root-keys 3 --encrypt")
        .run(
            "init repo --keys keys --root-keys 3 --algorithm ecdsa --expires timestamp=7 --expires root=730 \
             --encrypt --passphrase-file passphrase",
        )
        .run("keys list repo --keys keys")
        .run("keys list repo --keys keys --passphrase-file passphrase --json");
    assert_snapshot!(session.golden());
}

#[test]
fn a_key_in_the_place_of_an_encrypted_one_is_encrypted_too() {
    let mut session = Session::new();
    fs::write(session.path().join("passphrase"), "open sesame\n").unwrap();
    private(&session.path().join("passphrase"));
    session
        .run("init repo --keys keys --passphrase-file passphrase")
        .run("keys rotate repo --keys keys --passphrase-file passphrase --role root")
        .run("keys rotate repo --keys keys --passphrase-file passphrase --role timestamp");
    let first_line = |file: &str| {
        let text = fs::read_to_string(session.path().join("keys").join(file)).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    assert_eq!(first_line("root.pem"), locked);
    assert_eq!(first_line("root-2.pem"), locked);
    let open = "-----BEGIN PRIVATE KEY-----";
    assert_eq!(first_line("timestamp.pem"), open);
    assert_eq!(first_line("timestamp-2.pem"), open);
}

/// The key ids of a role, in the order of the root.
fn ids(session: &Session, role: &str) -> Vec<String> {
    let text = webimport(session.path(), &["keys", "list", "repo", "--json"]);
    let list: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let roles = list["roles"].as_array().unwrap();
    let role = roles.iter().find(|it| it["role"] == role).unwrap();
    let keys = role["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["keyid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn keys() {
    let mut session = Session::repository();
    session
        .run("keys list repo")
        .run("keys list repo --keys keys")
        .run("keys add repo --keys keys --role root --threshold 2")
        .run("keys rotate repo --keys keys --role timestamp --algorithm ecdsa")
        .run("keys rotate repo --keys keys --role targets --json")
        .run("keys rotate repo --keys keys --role root")
        .run("keys set repo --keys keys --expires timestamp=7 --threshold root=1")
        .run("keys set repo --keys keys --threshold targets=2");
    let root = ids(&session, "root").remove(0);
    session
        .run(&format!("keys revoke repo --keys keys --role root {root}"))
        .run("keys revoke repo --keys keys --role root ffff")
        .run("keys revoke repo --keys keys --role snapshot s")
        .run("keys list repo --keys keys --json")
        .run("keys list none");
    assert_snapshot!(session.golden());
}

#[test]
fn keys_in_several_hands() {
    let mut session = Session::new();
    session.prepare("init repo --keys keys --root-keys 2");
    fs::create_dir(session.path().join("theirs")).unwrap();
    fs::rename(
        session.path().join("keys/root-2.pem"),
        session.path().join("theirs/root-2.pem"),
    )
    .unwrap();
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA7UkoxijRwsbq6QM4kFmVYSlZJzpcY/k2NsFGFKyHN9E=\n\
                  -----END PUBLIC KEY-----\n";
    fs::write(session.path().join("service.pem"), public).unwrap();
    let add = "keys add repo --keys keys --role targets --public service.pem";
    let pin = session.pin();
    let theirs = format!("keys sign repo next.json --keys theirs --root {pin}");
    session
        .run(add)
        .run(&format!("{add} --out next.json"))
        .run("keys publish repo next.json --keys keys")
        .run("keys sign repo next.json --keys theirs --yes")
        .run(&format!(
            "keys sign repo next.json --keys none --root {pin} --yes"
        ))
        .run(&theirs)
        .run(&format!("{theirs} --json"))
        .run(&format!("{theirs} --yes"))
        .run("keys publish repo next.json --keys keys")
        .run("keys sign repo next.json --keys theirs --yes --json")
        .run("keys add repo --keys keys --role targets --public keys/root.pem");
    assert_snapshot!(session.golden());
}

#[test]
fn a_draft_is_shown_before_it_is_signed() {
    let mut session = Session::repository();
    session.prepare("keys set repo --keys keys --threshold root=1 --out next.json");
    let path = session.path().join("next.json");
    let mut draft: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    draft["signatures"] = serde_json::json!([]);
    let root = &mut draft["signed"];
    root["x-webimport-lifetimes"] = serde_json::json!({"timestamp": 3650});
    // Would clear the terminal, and push everything else off it.
    root["x-note"] = format!("\u{1b}[2J{}", "\n".repeat(1000)).into();
    fs::write(&path, draft.to_string()).unwrap();
    session
        .run("keys sign repo next.json --keys keys")
        .run("keys publish repo next.json --keys keys")
        .run("keys publish repo next.json --keys keys --yes");
    assert_snapshot!(session.golden());
}

#[cfg(unix)]
#[test]
fn signer_command() {
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    let pin = session.pin();
    let release = |session: &mut Session, command: &str, root: &[&str]| {
        session.text.push('\n');
        let mut arguments: Vec<&str> = vec!["release", &wheel, "--repo", "repo"];
        arguments.extend(["--bytecode", "off", "--signer-command", command]);
        arguments.extend(root);
        session
            .text
            .push_str(&webimport(session.path(), &arguments));
    };
    release(&mut session, "exit 1", &[]);
    release(&mut session, "exit 1", &["--root", &pin]);
    release(&mut session, "echo 00", &["--root", &pin]);
    assert_snapshot!(session.golden());
}

#[test]
fn renew() {
    let mut session = Session::repository();
    session
        .run("renew repo --keys keys")
        .run("renew repo --keys keys --within 30")
        .run("renew repo --keys keys --within 365 --json");
    fs::remove_file(session.path().join("keys/root.pem")).unwrap();
    session
        .run("renew repo --keys keys --within 400")
        .run("renew repo --keys none --within 30 --json");
    assert_snapshot!(session.golden());
}

#[test]
fn doctor() {
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    session.prepare(&format!(
        "release {wheel} --repo repo --keys keys --bytecode off"
    ));
    let address = support::serve(session.path().join("repo"));
    let pin = session.pin();
    session
        .run("doctor repo")
        .run(&format!(
            "doctor http://{address} --root {pin} --deep --json"
        ))
        .run(&format!("doctor repo --root sha256:{}", "0".repeat(64)))
        .run("doctor none")
        .run("doctor http://code.example.org/repo --json");
    let object = support::files(&session.path().join("repo/objects")).remove(0);
    fs::remove_file(session.path().join("repo/objects").join(object)).unwrap();
    session.run("doctor repo");
    let text = session.golden().replace(&address.to_string(), "<address>");
    assert_snapshot!(text);
}

#[test]
fn release() {
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    let other = session.wheel(
        &WheelBuilder::new("helper", "2.0").file("helper-2.0.data/scripts/run", "#!python\n"),
    );
    let to = "--repo repo --keys keys --bytecode off";
    session
        .run(&format!("release {wheel} {other} {to}"))
        .run(&format!("release {wheel} {other} {to}"))
        .run(&format!("release {wheel} {other} {to} --channel next"))
        .run(&format!("release {wheel} {to}"))
        .run(&format!(
            "release {other} {to} --name renamed --version 3 --json"
        ))
        .run(&format!(
            "release {wheel} {other} --repo repo --keys keys --version 4"
        ));
    assert_snapshot!(session.golden());
}

#[test]
fn release_is_refused() {
    let mut session = Session::repository();
    session.prepare("init elsewhere --keys elsewhere-keys");
    let to = "--repo repo --keys keys --bytecode off";
    let wheel = session.wheel(&greet("1.0"));
    let same = session.wheel(&WheelBuilder::new("same", "1.0").file("greet/__init__.py", "other"));
    let native =
        session.wheel(&WheelBuilder::new("native", "1.0").file("native/fast.so", "\x7fELF"));
    let start = session.wheel(&WheelBuilder::new("start", "1.0").file("start.pth", "import os"));
    let mut changed = WheelBuilder::new("changed", "1.0");
    changed.record = Some("changed/__init__.py,sha256=x,3\n".into());
    let changed = session.wheel(&changed);
    let empty = session.wheel(&WheelBuilder {
        files: [("a-b/x.txt".into(), vec![])].into(),
        ..greet("2.0")
    });
    let needy = (0..=1_000).fold(WheelBuilder::new("needy", "1.0"), |wheel, number| {
        wheel.metadata(&format!("Requires-Dist: needed{number}"))
    });
    let needy = session.wheel(&needy);
    let long = format!(
        "Requires-Dist: needed @ https://x.example/{}",
        "x".repeat(512)
    );
    let long = session.wheel(&WheelBuilder::new("long", "1.0").metadata(&long));
    fs::write(session.path().join("broken-1.0-py3-none-any.whl"), "PK").unwrap();
    fs::create_dir(session.path().join("folder")).unwrap();
    fs::create_dir(session.path().join("project")).unwrap();
    fs::write(
        session.path().join("project/pyproject.toml"),
        "[tool.webimport]\nchanel = 'next'\n",
    )
    .unwrap();
    session
        .run(&format!("release {wheel} --repo none --keys keys"))
        .run(&format!("release {wheel} --repo repo --keys none"))
        .run(&format!(
            "release {wheel} --repo repo --keys elsewhere-keys"
        ))
        .run(&format!("release none.whl {to}"))
        .run(&format!("release folder {to} --json"))
        .run(&format!("release project {to}"))
        .run(&format!("release broken-1.0-py3-none-any.whl {to}"))
        .run(&format!("release {wheel} {same} {to}"))
        .run(&format!("release {wheel} {wheel} {to}"))
        .run(&format!("release {native} {to}"))
        .run(&format!("release {start} {to}"))
        .run(&format!("release {changed} {to}"))
        .run(&format!("release {empty} {to}"))
        .run(&format!("release {needy} {to}"))
        .run(&format!("release {long} {to}"))
        .run(&format!("release {wheel} {to} --no-source"))
        .run(&format!(
            "release {wheel} {to} --entry greet --entry greet.gone"
        ))
        .run(&format!(
            "release {wheel} --repo repo --keys keys --bytecode off,auto"
        ))
        .run(&format!(
            "release {wheel} --repo repo --keys keys --bytecode no-python"
        ));
    fs::write(session.path().join("project/pyproject.toml"), "").unwrap();
    session.run(&format!("release project {to}"));
    assert_snapshot!(session.golden());
}

#[cfg(unix)]
#[test]
fn release_with_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    fs::set_permissions(
        session.path().join("keys/targets.pem"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    session.run(&format!(
        "release {wheel} --repo repo --keys keys --bytecode off"
    ));
    assert_snapshot!(session.golden());
}

#[test]
fn release_beside_another_publisher() {
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    let lock = fs::File::options()
        .write(true)
        .open(session.path().join("repo/.webimport-lock"))
        .unwrap();
    lock.lock().unwrap();
    session.run(&format!(
        "release {wheel} --repo repo --keys keys --bytecode off"
    ));
    lock.unlock().unwrap();
    assert_snapshot!(session.golden());
}

#[test]
fn verify() {
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    session.prepare(&format!(
        "release {wheel} --repo repo --keys keys --bytecode off"
    ));
    let pin = session.pin();
    session
        .run(&format!("verify repo/greet --root {pin}"))
        .run(&format!("verify repo/greet@1.0 --root {pin} --json"))
        .run(&format!("verify repo/greet@next --root {pin}"))
        .run(&format!("verify repo/greet@2.0 --root {pin}"))
        .run(&format!("verify repo/other --root {pin}"))
        .run(&format!("verify none/greet --root {pin}"))
        .run(&format!(
            "verify http://code.example.org/repo/greet --root {pin}"
        ))
        .run(&format!(
            "verify https://code.example.org/repo/Greet --root {pin} --json"
        ))
        .run(&format!("verify greet --root {pin}"));
    let wrong = format!("sha256:{}", "0".repeat(64));
    session.run(&format!("verify repo/greet --root {wrong}"));
    let object = support::files(&session.path().join("repo/objects")).remove(0);
    fs::write(session.path().join("repo/objects").join(object), "changed").unwrap();
    session.run(&format!("verify repo/greet --root {pin}"));
    assert_snapshot!(session.golden());
}

/// Hides sizes and the folder of the object, which every change of what is in the memory changes.
fn without_sizes(text: &str) -> String {
    let mut parts = text.split("\"objects/");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |text, part| {
        text + "\"objects/<folder>" + part.get(2..).unwrap_or_default()
    });
    let mut out = String::new();
    let mut rest = &*text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = number.split_at(end.unwrap_or(number.len()));
        out.push_str(before);
        let is_size = after.starts_with(" MB")
            || ["bytes\":", "heap\":"]
                .iter()
                .any(|key| before.ends_with(key));
        out.push_str(if is_size { "<size>" } else { number });
        rest = after;
    }
    out + rest
}

#[cfg(unix)]
#[test]
fn snapshot() {
    let Some(tools) = support::SnapshotTools::find() else {
        return;
    };
    let mut session = Session::repository();
    let greet = || {
        WheelBuilder::new("greet", "1.0")
            .file("greet/__init__.py", "from . import words\n")
            .file("greet/words.py", "HELLO = 'hello'\n")
    };
    let wheel = session.wheel(&greet());
    let broken = greet().file("greet/words.py", "HELLO = WORLD\n");
    let broken = WheelBuilder {
        version: "2.0".into(),
        ..broken
    };
    let broken = session.wheel(&broken);
    for (name, target) in [
        ("node", &tools.node),
        ("pyodide", &tools.pyodide),
        ("webimport", &tools.webimport),
    ] {
        std::os::unix::fs::symlink(target, session.path().join(name)).unwrap();
    }
    let to = "--repo repo --keys keys --pyodide pyodide --webimport webimport";
    session
        .run(&format!("release {wheel} {to} --bytecode off --snapshot"))
        .run(&format!("snapshot greet {to} --import greet.words"))
        .run(&format!("snapshot greet@1.0 {to} --json"));
    let pin = session.pin();
    session
        .run(&format!("verify repo/greet --root {pin}"))
        .run(&format!("verify repo/greet --root {pin} --json"))
        .run("doctor repo")
        .run("snapshot greet --repo repo --keys keys --remove 0.29.5")
        .run("snapshot greet --repo repo --keys keys --remove 314.0.7")
        .run("snapshot greet@1.0 --repo repo --keys keys --remove all --json")
        .run(&format!("release {broken} {to} --bytecode off --snapshot"))
        .run(&format!("snapshot greet@2.0 {to} --json"));
    assert_snapshot!(without_sizes(&session.golden()));
}

/// A program in the folder, which is all that is on `PATH`.
#[cfg(unix)]
fn program(session: &Session, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = session.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(unix)]
#[test]
fn snapshot_is_refused() {
    let mut session = Session::repository();
    let wheel = session.wheel(&greet("1.0"));
    let to = "--repo repo --keys keys";
    session
        .run(&format!("snapshot greet {to}"))
        .prepare(&format!("release {wheel} {to} --bytecode off"))
        .run(&format!("snapshot greet@2.0 {to}"))
        .run(&format!("snapshot greet@next {to}"))
        .run(&format!("snapshot other {to} --json"))
        .run("snapshot greet --repo none --keys keys")
        .run("snapshot greet --repo repo --keys none")
        .run(&format!("snapshot greet {to} --remove all"))
        .run(&format!("snapshot greet {to} --remove 314.0.7 --json"))
        .run(&format!("snapshot other {to} --remove all"))
        .run(&format!("snapshot greet {to}"));
    program(&session, "node", "echo v20.20.2");
    session
        .run(&format!("snapshot greet {to}"))
        .run(&format!("release {wheel} {to} --snapshot --json"));
    program(&session, "node", "exit 1");
    session.run(&format!("snapshot greet {to}"));
    // It answers what its version is, and nothing else.
    program(
        &session,
        "node",
        "[ \"$1\" = --version ] && echo v24.1.0 || exit 1",
    );
    session
        .run(&format!("snapshot greet {to}"))
        .run(&format!("snapshot greet {to} --pyodide keys"));
    fs::create_dir(session.path().join("pyodide")).unwrap();
    for file in ["pyodide.mjs", "pyodide.asm.wasm", "python_stdlib.zip"] {
        fs::write(session.path().join("pyodide").join(file), "").unwrap();
    }
    session
        .run(&format!(
            "snapshot greet {to} --pyodide pyodide --webimport keys"
        ))
        .run(&format!(
            "snapshot greet {to} --pyodide pyodide --webimport pyodide --json"
        ));
    assert_snapshot!(session.golden());
}

#[test]
fn serve_is_refused() {
    let mut session = Session::repository();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    session
        .run("serve none")
        .run(&format!("serve repo --port {port}"));
    let text = session.golden().replace(&port.to_string(), "<port>");
    assert_snapshot!(text);
}
