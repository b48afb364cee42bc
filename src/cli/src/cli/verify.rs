//! `webimport verify`.

use std::io::{self, Write};

use clap::Args;
use webimport_core::digest::Sha256Digest;

use super::Failure;
use super::console::{Console, Report, bytes, counted};
use super::signing::root_pin;
use crate::clock::now;
use crate::verify::{Transport, VerifiedRelease, VerifyOptions, verify};

/// Check a published release: metadata, manifest, every object and every file.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A release URL, or a repository's folder with `/name[@version or channel]` behind it.
    #[arg(value_name = "URL")]
    release: String,
    /// The root pin that the publisher gives.
    #[arg(long, value_name = "sha256:HEX", value_parser = root_pin)]
    root: Sha256Digest,
}

impl Report for VerifiedRelease {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "verified {} {} of {}",
            self.name, self.version, self.repository
        )?;
        writeln!(out, "  sha256     {}", self.sha256)?;
        writeln!(out, "  root pin   {}", self.root)?;
        for id in &self.keyids {
            writeln!(out, "  signed by  {id}")?;
        }
        writeln!(out, "  expires    {}", self.expires)?;
        writeln!(out, "  modules    {}", self.modules.join(", "))?;
        let bytecode: Vec<&str> = self.bytecode.iter().map(String::as_str).collect();
        writeln!(
            out,
            "  bytecode   {}",
            if bytecode.is_empty() {
                "none".into()
            } else {
                bytecode.join(", ")
            }
        )?;
        if !self.source {
            writeln!(out, "  source     none")?;
        }
        let loading = if self.partial {
            "in part, as readers import it"
        } else {
            "whole"
        };
        writeln!(out, "  loading    {loading}")?;
        if !self.entry.is_empty() {
            writeln!(out, "  entry      {}", self.entry.join(", "))?;
        }
        writeln!(
            out,
            "  size       {} of {} in {} of {}",
            counted(self.files, "file"),
            bytes(self.decoded_bytes),
            counted(self.objects, "object"),
            bytes(self.bytes)
        )?;
        for update in &self.updates {
            let size = bytes(update.bytes);
            match &update.version {
                Some(version) => writeln!(out, "  update     of {size} from {version}")?,
                None => writeln!(
                    out,
                    "  update     of {size} from {}, which is not named any more",
                    update.from
                )?,
            }
        }
        for snapshot in &self.snapshots {
            let size = bytes(snapshot.bytes);
            writeln!(
                out,
                "  snapshot   of {size} for Pyodide {} and webimport {}",
                snapshot.pyodide, snapshot.webimport
            )?;
        }
        Ok(())
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    let Arguments { release, root } = arguments;
    let options = VerifyOptions {
        release,
        root,
        now: now(),
        transport: Transport::default(),
    };
    let verified = verify(&options, console).map_err(|error| Box::new(error) as Failure)?;
    console.report(&verified);
    Ok(())
}
