//! `webimport serve`.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::console::{Console, Report};
use crate::serve::{ServeError, Server};

/// Serve a repository over HTTP.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The repository's folder.
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// The address to listen on. Readers accept plain HTTP from loopback alone.
    #[arg(long = "addr", value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
    /// The port; 0 takes any free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Do not tell each request.
    #[arg(long)]
    quiet: bool,
}

#[derive(Serialize)]
struct Listening {
    url: String,
    repository: PathBuf,
}

impl Report for Listening {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "serving `{}` at {}",
            self.repository.display(),
            self.url
        )
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    serve(arguments, console).map_err(|error| Box::new(error) as Failure)
}

fn serve(arguments: Arguments, console: &Console) -> Result<(), ServeError> {
    let Arguments {
        repository,
        address,
        port,
        quiet,
    } = arguments;
    let log: Option<fn(&str)> = if quiet || console.is_json() {
        None
    } else {
        Some(|line| anstream::eprintln!("{line}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Stopped)?;
    runtime.block_on(async {
        let server = Server::bind(repository.clone(), address, port).await?;
        console.report(&Listening {
            url: server.url()?,
            repository,
        });
        let stop = async {
            // Without a signal handler there is nothing to wait for: the system ends the process.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        server.run(log, stop).await
    })
}
