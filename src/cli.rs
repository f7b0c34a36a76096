// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::kernel::backend::Backend;
use crate::kernel::load::Options;
use crate::logging::LogFormat;
use crate::model::selection::{Rule, Selection};
use crate::otlp::settings::OtlpFlags;
use crate::serve::web::Listen;
use crate::terminal::address::Url;
use crate::tls::helper::COMMAND;

const AFTER_HELP: &str = "\
The socket:
  The report is GET /report on <PLUGINS_ROOT>/http-statistics/http-statistics.sock, \
which is there as soon as requests are counted, and which Weave Scope's probe finds by itself. To look at it:
    cd /var/run/scope/plugins/http-statistics
    curl --unix-socket http-statistics.sock http://plugin/report

The page:
  http://127.0.0.1:9476/ shows every process and its last minute, http://127.0.0.1:9476/metrics is for Prometheus, by workload. \
--listen moves them or turns them off.

Needs:
  Linux with BTF (/sys/kernel/btf/vmlinux).
  Root, or the capabilities CAP_BPF and CAP_PERFMON to count, CAP_DAC_READ_SEARCH for the syscall backend, \
CAP_SYS_PTRACE to look into TLS, and CAP_SYS_RESOURCE before Linux 5.11; and a plugins root that can be written.
  In a container, the host's pid namespace; in one of its own the agent shows the host's pids all the same.
  After its start it keeps of all that no more than it needs.
  \"scope-http-statistics check\" says what of this is there and what works.

Exit codes:
  0  ended by SIGTERM or SIGINT
  1  error at run time; of check: no backend works
  2  wrong command line or configuration file";

/// Counts HTTP requests per process in the kernel, for Weave Scope, Prometheus and the eye.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do, if not to run the agent
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Directory in which Weave Scope's probe looks for plugins
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        default_value = "/var/run/scope/plugins"
    )]
    pub plugins_root: PathBuf,

    /// Host id that the probe uses, if it is not the kernel's host name
    #[arg(long, value_name = "NAME", env = "SCOPE_HOSTNAME")]
    hostname: Option<String>,

    /// Address and port of the metrics and the page, or "none"
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        global = true,
        env = "SCOPE_HTTP_LISTEN",
        default_value = "127.0.0.1:9476"
    )]
    pub listen: Listen,

    /// Name that the page is asked by through a proxy in front of it; may be given several times
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,

    /// File with the certificate and the users of --listen, in the format of Prometheus' exporters
    #[arg(long, value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,

    #[command(flatten)]
    pub otlp: OtlpFlags,

    /// How to see the bytes of sockets
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    backend: BackendChoice,

    /// Most processes to keep counters of; what any more serve counts for their workload only
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_processes: u32,

    /// Most workloads (an executable in a control group each) to tell apart; what is over counts for all others of its
    /// control group
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_workloads: u32,

    /// In /metrics show each process, with its `process_pid`, in place of workloads
    #[arg(long)]
    pub per_process: bool,

    /// Connections whose state is kept where their sockets cannot hold it, the least recently used going first: under
    /// `syscall`, under `fexit` before Linux 6.4, and on Linux 7
    #[arg(long, value_name = "N", default_value_t = 65536, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// HTTP/2 connections whose state is kept, the least recently used going first
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_h2_connections: u32,

    /// Whether to look into TLS, in the libraries of the processes that serve it
    #[arg(long, value_enum, default_value_t = Tls::Auto)]
    tls: Tls,

    /// Connections within TLS whose state is kept, the least recently used going first
    #[arg(long, value_name = "N", default_value_t = 16384, value_parser = clap::value_parser!(u32).range(1..))]
    max_tls_connections: u32,

    /// Show only workloads with this property, one of executable=NAME, unit=NAME, container=ID and port=NUMBER, with `*`
    /// for any characters; may be given several times
    #[arg(long, value_name = "PROPERTY=VALUE")]
    include: Vec<Rule>,

    /// Do not show workloads with this property, which goes before --include
    #[arg(long, value_name = "PROPERTY=VALUE")]
    exclude: Vec<Rule>,

    /// File that says by the names of flags, as TOML, what neither flags nor the environment say
    #[arg(long, value_name = "FILE", global = true, env = "SCOPE_HTTP_CONFIG")]
    pub config: Option<PathBuf>,

    /// How log lines are written to stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,

    /// Log more; twice for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// What asks a running agent, or what one would do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is served, live: of the running agent, or, where there is none, of one for as long as this runs
    Top {
        /// The page of an agent, of this host or another, in place of this host's socket
        #[arg(long, value_name = "http://HOST:PORT")]
        url: Option<Url>,
        /// Seconds from one look to the next
        #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
        interval: u64,
    },
    /// Print one report of the running agent as JSON, as Weave Scope gets it
    Report {
        /// As a table to read instead
        #[arg(long, conflicts_with = "json")]
        table: bool,
        /// Processes and workloads with their names, for scripts, as /api/v1 has them
        #[arg(long)]
        json: bool,
        /// The page of an agent, of this host or another, in place of this host's socket
        #[arg(long, value_name = "http://HOST:PORT")]
        url: Option<Url>,
    },
    /// What is installed beside the program: the manual's pages, and completions for shells
    #[command(hide = true)]
    Generate { folder: PathBuf },
    /// What an agent starts itself, to look into TLS
    #[command(hide = true, name = COMMAND)]
    LookIntoTls,
    /// Try each backend, and say what works on this host and what does not, and why
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BackendChoice {
    /// The best one that this kernel offers
    Auto,
    /// Socket tracepoints: the cheapest, since Linux 6.4
    Sock,
    /// System call tracepoints: Linux 5.10 to 7.1
    Syscall,
    /// What `sock` sees, and transfers by `io_uring` and of 32-bit programs too, where trampolines are allowed
    Fexit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    /// Where the libraries are known, and the agent has the rights for it
    Auto,
    /// Only count the connections
    Off,
}

impl Cli {
    /// How the kernel's part is to be.
    pub fn options(&self) -> Options {
        Options {
            backend: self.backend(),
            max_processes: self.max_processes,
            max_workloads: self.max_workloads,
            max_connections: self.max_connections,
            max_h2_connections: self.max_h2_connections,
            max_tls_connections: self.max_tls_connections(),
        }
    }

    /// How many connections are followed within TLS, if any.
    pub fn max_tls_connections(&self) -> Option<u32> {
        (self.tls == Tls::Auto).then_some(self.max_tls_connections)
    }

    /// Which workloads are shown.
    pub fn selection(&self) -> Selection {
        Selection {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
        }
    }

    /// The backend to insist on, if any.
    pub fn backend(&self) -> Option<Backend> {
        match self.backend {
            BackendChoice::Auto => None,
            BackendChoice::Sock => Some(Backend::Sock),
            BackendChoice::Syscall => Some(Backend::Syscall),
            BackendChoice::Fexit => Some(Backend::Fexit),
        }
    }

    /// The host id that the probe gives this host. An empty name is none, as it is for the probe.
    pub fn host(&self) -> String {
        match self.hostname.as_deref() {
            None | Some("") => rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            Some(name) => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Cli {
        Cli::try_parse_from(["scope-http-statistics"].iter().chain(args)).unwrap()
    }

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn backend_is_automatic_unless_named() {
        assert_eq!(parse(&[]).backend(), None);
        assert_eq!(parse(&["--backend", "auto"]).backend(), None);
        assert_eq!(parse(&["--backend", "sock"]).backend(), Some(Backend::Sock));
        assert_eq!(
            parse(&["--backend=syscall"]).backend(),
            Some(Backend::Syscall)
        );
        assert_eq!(parse(&["--backend=fexit"]).backend(), Some(Backend::Fexit));
    }

    #[test]
    fn host_is_the_flag_or_else_the_kernels_name() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(parse(&["--hostname", "node-7"]).host(), "node-7");
        assert_eq!(parse(&["--hostname", ""]).host(), kernel.trim_end());
    }

    #[test]
    fn no_room_at_all_is_refused() {
        for flag in [
            "--max-processes",
            "--max-workloads",
            "--max-connections",
            "--max-h2-connections",
            "--max-tls-connections",
        ] {
            let error = Cli::try_parse_from(["scope-http-statistics", flag, "0"]);
            assert_eq!(error.unwrap_err().exit_code(), 2, "{flag}");
        }
    }
}
