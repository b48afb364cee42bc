//! What the tests of the command line share: wheels, repositories, hostile servers, runs of the program.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use webimport_cli::bytecode::{BytecodeChoice, SourceChoice};
use webimport_cli::keyring::Keyring;
use webimport_cli::keys::KeyFolder;
use webimport_cli::observe::Silent;
use webimport_cli::release::{ReleaseError, ReleaseOptions, Released, release};
use webimport_cli::repository::{Repository, Setup, Validity, init};
use webimport_cli::verify::{CheckError, Transport, VerifiedRelease, VerifyOptions, verify};
use webimport_core::digest::Sha256Digest;
use webimport_core::manifest::{Encoding, ObjectEntry};
use webimport_core::snapshot::{MemorySnapshot, SnapshotRelease};
use webimport_core::time::UnixTime;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// When tests publish: 2026-11-20.
pub(crate) const NOW: UnixTime = UnixTime(1_795_132_800);

/// A wheel to be written. `new` is valid; the tests break it.
#[derive(Clone)]
pub(crate) struct WheelBuilder {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Lines of `METADATA` behind the version.
    pub(crate) metadata: String,
    /// Lines of `RECORD` in place of the right ones.
    pub(crate) record: Option<String>,
}

impl WheelBuilder {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let module = name.replace('-', "_");
        Self {
            name: name.into(),
            version: version.into(),
            files: BTreeMap::from([(
                format!("{module}/__init__.py"),
                format!("VERSION = '{version}'\n").into_bytes(),
            )]),
            metadata: String::new(),
            record: None,
        }
    }

    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    pub(crate) fn metadata(mut self, line: &str) -> Self {
        self.metadata.push_str(line);
        self.metadata.push('\n');
        self
    }

    pub(crate) fn file_name(&self) -> String {
        format!(
            "{}-{}-py3-none-any.whl",
            self.name.replace('-', "_"),
            self.version
        )
    }

    pub(crate) fn dist_info(&self) -> String {
        format!("{}-{}.dist-info", self.name.replace('-', "_"), self.version)
    }

    /// All files, those of the `.dist-info` folder too.
    pub(crate) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let folder = self.dist_info();
        let mut entries: Vec<_> = self.files.clone().into_iter().collect();
        let metadata = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}\n",
            self.name, self.version, self.metadata
        );
        entries.push((format!("{folder}/METADATA"), metadata.into_bytes()));
        let wheel =
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        entries.push((format!("{folder}/WHEEL"), wheel.into()));
        let record = self.record.clone().unwrap_or_else(|| {
            let mut record = String::new();
            for (path, content) in &entries {
                let digest = base64(&Sha256::digest(content));
                writeln!(record, "{path},sha256={digest},{}", content.len()).unwrap();
            }
            record + &folder + "/RECORD,,\n"
        });
        entries.push((format!("{folder}/RECORD"), record.into_bytes()));
        entries
    }

    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(self.file_name());
        fs::write(&path, zip(&self.entries())).unwrap();
        path
    }
}

/// A zip archive.
pub(crate) fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in entries {
        writer
            .start_file(path.as_str(), SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    bits.chunks(6)
        .map(|chunk| {
            let index = (0..6).fold(0, |sum, at| sum * 2 + chunk.get(at).copied().unwrap_or(0));
            char::from(ALPHABET[usize::from(index)])
        })
        .collect()
}

/// A repository with its keys, in a temporary folder.
pub(crate) struct TestRepository {
    pub(crate) folder: TempDir,
    pub(crate) pin: Sha256Digest,
}

impl TestRepository {
    pub(crate) fn new() -> Self {
        Self::with(&Setup::default())
    }

    pub(crate) fn with(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("keys"));
        let pin = init(
            &folder.path().join("repo"),
            &keys,
            setup,
            &Validity::from(NOW),
            &Silent,
        )
        .unwrap();
        Self { folder, pin }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn keys(&self) -> KeyFolder {
        KeyFolder::new(self.folder.path().join("keys"))
    }

    /// The same keys, to sign with.
    pub(crate) fn ring(&self) -> Keyring {
        self.keys().into()
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::open(self.root()).unwrap()
    }

    /// Moves keys to a folder of their own, as if somebody else had them.
    pub(crate) fn give_away(&self, keys: &[&str], to: &str) -> Keyring {
        let folder = self.folder.path().join(to);
        fs::create_dir_all(&folder).unwrap();
        for key in keys {
            fs::rename(self.keys().path().join(key), folder.join(key)).unwrap();
        }
        self.others(KeyFolder::new(folder))
    }

    /// The keys of somebody who knows the root pin.
    pub(crate) fn others(&self, folder: KeyFolder) -> Keyring {
        let mut ring = Keyring::from(folder);
        ring.root = Some(self.pin);
        ring
    }

    /// Every file of the repository, the lock left out, and every key.
    pub(crate) fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        files(self.folder.path())
            .into_iter()
            .filter(|file| !file.ends_with("-lock"))
            .map(|file| {
                (
                    file.clone(),
                    fs::read(self.folder.path().join(file)).unwrap(),
                )
            })
            .collect()
    }

    pub(crate) fn options(&self, sources: &[PathBuf]) -> ReleaseOptions {
        ReleaseOptions {
            sources: sources.to_vec(),
            repository: self.root(),
            keys: self.ring(),
            name: None,
            version: None,
            channel: None,
            bytecode: Some(BytecodeChoice::Off),
            pyodide: None,
            source: SourceChoice::Included,
            entry: Vec::new(),
            snapshot: None,
            webimport: None,
            validity: Validity::from(NOW),
        }
    }

    /// Releases wheels without bytecode.
    pub(crate) fn release(&self, wheels: &[WheelBuilder]) -> Result<Released, ReleaseError> {
        let folder = tempfile::tempdir().unwrap();
        let sources: Vec<PathBuf> = wheels
            .iter()
            .map(|wheel| wheel.write(folder.path()))
            .collect();
        release(&self.options(&sources), &Silent)
    }

    /// Verifies `name[@selector]` in the folder.
    pub(crate) fn verify(&self, release: &str) -> Result<VerifiedRelease, CheckError> {
        self.verify_at(&format!("{}/{release}", self.root().display()), NOW)
    }

    pub(crate) fn verify_at(
        &self,
        release: &str,
        now: UnixTime,
    ) -> Result<VerifiedRelease, CheckError> {
        let transport = Transport {
            tries: 2,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(20),
        };
        verify(
            &VerifyOptions {
                release: release.into(),
                root: self.pin,
                now,
                transport,
            },
            &Silent,
        )
    }
}

/// Every file below `root`, relative and sorted.
pub(crate) fn files(root: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

/// Copies a folder of plain files.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), target).unwrap();
    }
}

/// A server on loopback that answers each request with the raw bytes that `answer` makes of its path. It ends
/// with the test program.
pub(crate) fn raw_server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read(&mut byte).is_ok_and(|count| count == 1)
                {
                    request.push(byte[0]);
                }
                let line = String::from_utf8_lossy(&request).into_owned();
                if let Some(path) = line.split(' ').nth(1) {
                    let _ = stream.write_all(&answer(path));
                }
            });
        }
    });
    address
}

/// A plain answer.
pub(crate) fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Serves the repository in `root` by the real router. It ends with the test program.
pub(crate) fn serve(root: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, webimport_cli::serve::router(root))
                .await
                .unwrap();
        });
    });
    address
}

/// Runs `webimport` in `folder` and returns what it wrote and how it ended, as a golden file shows it.
pub(crate) fn webimport(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown: Vec<&str> = arguments
        .iter()
        .map(|argument| {
            if is_pin(argument) {
                "sha256:<pin>"
            } else {
                argument
            }
        })
        .collect();
    let mut text = format!("$ webimport {}\n", shown.join(" "));
    text.push_str(&String::from_utf8(output.stdout).unwrap());
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        text.push_str(format!("! {line}").trim_end());
        text.push('\n');
    }
    writeln!(text, "? {}", output.status.code().unwrap()).unwrap();
    text
}

/// The program, with nothing of this machine in its environment.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webimport"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("WEBIMPORT_PYODIDE")
        .env_remove("WEBIMPORT_PASSPHRASE")
        .env("PATH", folder)
        .env("NO_COLOR", "1");
    command
}

/// Says that the running test did nothing, and why. Written past the test runner, which keeps what a test that
/// passes prints to itself.
pub(crate) fn skipped(reason: &str) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "{name}: skipped: {reason}");
}

/// The description of a memory snapshot, and the bytes of its object as stored: with a header, but nobody's memory.
pub(crate) fn memory_snapshot(
    release: &SnapshotRelease,
    pyodide: &str,
) -> (MemorySnapshot, Vec<u8>) {
    let build = Sha256Digest::of(b"build");
    let numbers = [0x706e_7300_u32, 64, 2, 0];
    let mut decoded: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    decoded.extend(build.as_bytes());
    decoded.extend(b"{}");
    decoded.resize(1000, 0);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&decoded).unwrap();
    let stored = gzip.finish().unwrap();
    let snapshot = MemorySnapshot {
        format: webimport_core::snapshot::FORMAT.into(),
        pyodide: pyodide.parse().unwrap(),
        build,
        wasm: Sha256Digest::of(b"wasm"),
        stdlib: Sha256Digest::of(b"stdlib"),
        tag: "cpython-314".parse().unwrap(),
        webimport: "0.1.0".into(),
        object: ObjectEntry {
            sha256: Sha256Digest::of(&stored),
            size: stored.len() as u64,
            encoding: Encoding::Gzip,
            decoded_size: decoded.len() as u64,
            decoded_sha256: Sha256Digest::of(&decoded),
            tag: None,
        },
        releases: vec![release.clone()],
        modules: Vec::new(),
    };
    (snapshot, stored)
}

/// What memory snapshots are made with, as the set-up has installed it and the build has made it.
pub(crate) struct SnapshotTools {
    pub(crate) node: PathBuf,
    pub(crate) pyodide: PathBuf,
    pub(crate) older: PathBuf,
    pub(crate) webimport: PathBuf,
}

impl SnapshotTools {
    /// `None`, and a note, where something is missing.
    pub(crate) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut nodes = std::env::split_paths(&path).map(|folder| folder.join("node"));
        let Some(node) = nodes.find(|node| node.is_file()).filter(|it| is_new(it)) else {
            skipped("the first Node on PATH is not 24 or later");
            return None;
        };
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let packages = target.join("tools/npm/node_modules");
        let tools = Self {
            node,
            pyodide: packages.join("pyodide"),
            older: packages.join("pyodide-0.29"),
            webimport: target.join("site"),
        };
        let files = [
            tools.pyodide.join("pyodide.mjs"),
            tools.older.join("pyodide.mjs"),
            tools.webimport.join("webimport.wasm"),
        ];
        if let Some(missing) = files.iter().find(|file| !file.is_file()) {
            skipped(&format!(
                "`cargo xtask build` has not made `{}`",
                missing.display()
            ));
            return None;
        }
        Some(tools)
    }
}

fn is_new(node: &Path) -> bool {
    let said = Command::new(node).arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major = said.ok().and_then(|said| {
        let (major, _) = said.strip_prefix('v')?.split_once('.')?;
        major.parse::<u32>().ok()
    });
    major.is_some_and(|major| major >= 24)
}

fn is_pin(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|digits| digits.len() == 64)
}
