//! Signing by another program, which speaks for a key service, a token or an agent.
//!
//! The program runs once for each signature, through the shell, with the bytes to sign on its standard input and
//!
//! | variable | content |
//! | --- | --- |
//! | `WEBIMPORT_SIGN_ROLE` | `root`, `targets`, `snapshot` or `timestamp` |
//! | `WEBIMPORT_SIGN_KEYID` | the key id in the repository's root |
//! | `WEBIMPORT_SIGN_KEY` | the public key, as JSON, as in the repository's root |
//!
//! It prints the signature as hex or base64, for Ed25519 the 64 bytes of RFC 8032, for ECDSA the DER form over the
//! SHA-256 of its input, and exits with 0. Any other exit code says that it cannot sign with this key. Its
//! standard error goes to the terminal. What it prints is verified before it is used, and the variables that hold keys
//! and their passphrase are kept from it, so that it is trusted with nothing but its own key.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use webimport_core::digest::to_hex;
use webimport_core::keys::PublicKey;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::{SignError, Signer};

use crate::program::{self, Guard};

/// Bytes that a program may print; a signature has about 150 as hex.
const OUTPUT_LIMIT: u64 = 4096;

/// Between two looks at whether the program has ended.
const POLL: Duration = Duration::from_millis(5);

/// A program that signs.
#[derive(Debug, Clone)]
pub struct SignerCommand {
    /// For the shell.
    pub command: String,
    /// For one signature; someone may have to touch a token.
    pub timeout: Duration,
}

impl SignerCommand {
    /// A program with two minutes for each signature.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            timeout: Duration::from_mins(2),
        }
    }

    /// The signer for one key.
    pub(crate) fn signer<'a>(&'a self, role: RoleKind, key: &'a PublicKey) -> CommandSigner<'a> {
        CommandSigner {
            command: self,
            role,
            key,
        }
    }
}

/// A program that signs with one key.
pub(crate) struct CommandSigner<'a> {
    command: &'a SignerCommand,
    role: RoleKind,
    key: &'a PublicKey,
}

impl Signer for CommandSigner<'_> {
    fn public(&self) -> &PublicKey {
        self.key
    }

    fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        let key = serde_json::to_string(self.key)?;
        let child = program::hide_keys(&mut shell(&self.command.command))
            .env("WEBIMPORT_SIGN_ROLE", self.role.as_str())
            .env("WEBIMPORT_SIGN_KEYID", self.key.id().to_string())
            .env("WEBIMPORT_SIGN_KEY", key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("the signer command does not start: {error}")))?;
        let printed = run(Guard(child), message, self.command.timeout)?;
        signature(&printed)
            .ok_or_else(|| failed("the signer command printed neither hex nor base64".to_owned()))
    }
}

fn failed(reason: impl Into<String>) -> SignError {
    SignError::Signer(reason.into())
}

fn shell(command: &str) -> Command {
    let (program, option) = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("/bin/sh", "-c")
    };
    let mut shell = Command::new(program);
    shell.args([option, command]);
    shell
}

/// What the program prints, if it succeeds in time.
fn run(mut child: Guard, message: &[u8], timeout: Duration) -> Result<String, SignError> {
    // Both pipes have a thread: a program may print before it has read all, or never end, or leave a child that
    // keeps them open. A thread that is left behind ends with its pipe.
    if let Some(mut stdin) = child.0.stdin.take() {
        let message = message.to_vec();
        // A program that knows its message beforehand need not read it.
        thread::spawn(move || drop(stdin.write_all(&message)));
    }
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.0.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(OUTPUT_LIMIT + 1).read_to_end(&mut bytes);
            drop(sender.send(read.map(|_| bytes)));
        });
    }
    let end = Instant::now() + timeout;
    let late = || {
        failed(format!(
            "the signer command took longer than {} s",
            timeout.as_secs()
        ))
    };
    let printed = receiver
        .recv_timeout(timeout)
        .map_err(|_| late())?
        .map_err(|error| failed(format!("the signer command cannot be read: {error}")))?;
    if printed.len() as u64 > OUTPUT_LIMIT {
        return Err(failed(format!(
            "the signer command printed more than {OUTPUT_LIMIT} bytes"
        )));
    }
    let status = loop {
        match child.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() >= end => return Err(late()),
            Ok(None) => thread::sleep(POLL),
            Err(error) => return Err(failed(format!("the signer command is lost: {error}"))),
        }
    };
    if !status.success() {
        return Err(failed(format!("the signer command ended with {status}")));
    }
    String::from_utf8(printed).map_err(|_| failed("the signer command printed no text"))
}

/// The signature in hex, from hex or base64. No signature is both: an ECDSA one starts with `M` in base64, an
/// Ed25519 one ends with `=`.
fn signature(printed: &str) -> Option<String> {
    let text: String = printed.split_whitespace().collect();
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    let bytes = Base64::decode_vec(&text).ok()?;
    Some(to_hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_as_hex_and_as_base64() {
        assert_eq!(signature("00fF\n").unwrap(), "00ff");
        assert_eq!(signature("AP8Q\nAA==\n").unwrap(), "00ff1000");
        for bad in ["", "\n", "not a signature", "AP8=x"] {
            assert_eq!(signature(bad), None, "{bad}");
        }
    }
}
