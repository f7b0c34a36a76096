// SPDX-License-Identifier: Apache-2.0
//! In which form log lines are written.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use clap::ValueEnum;
use env_logger::Target;
use humantime::format_rfc3339_millis;
use log::{Level, LevelFilter, Record};
use serde_json::json;

use crate::stderr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines to read
    Text,
    /// An object with `time`, `level`, `target` and `message` in each line
    Json,
    /// With the priority in front as systemd's journal takes it from stderr, which knows the time
    Journal,
}

struct Logging {
    format: LogFormat,
    verbose: u8,
}

static LOGGING: OnceLock<Logging> = OnceLock::new();

/// To be called once, before anything is logged.
pub fn start(verbose: u8, format: LogFormat) {
    LOGGING.get_or_init(|| Logging { format, verbose });
    // By default the few lines of the start, and what goes wrong.
    let (others, own) = match verbose {
        0 => (LevelFilter::Warn, LevelFilter::Info),
        1 => (LevelFilter::Info, LevelFilter::Debug),
        _ => (LevelFilter::Trace, LevelFilter::Trace),
    };
    let mut builder = env_logger::Builder::new();
    builder
        .filter_level(others)
        .filter_module("scope_http_statistics", own);
    if format != LogFormat::Text {
        builder.format(move |out, record| write(out, format, record));
    }
    let to = stderr::unhurried(move |dropped| {
        let words = format!("{dropped} lines were dropped: nobody took them");
        match format {
            LogFormat::Text => format!("({words})"),
            _ => line(format, Level::Warn, module_path!(), &words),
        }
    });
    builder.target(Target::Pipe(Box::new(to))).init();
}

/// The flags with which another process of the agent logs as this one does.
pub fn flags() -> Vec<String> {
    let Some(logging) = LOGGING.get() else {
        return Vec::new();
    };
    let name = logging.format.to_possible_value();
    let format = name.map(|name| format!("--log-format={}", name.get_name()));
    let verbose = std::iter::repeat_n("-v".to_owned(), logging.verbose.into());
    format.into_iter().chain(verbose).collect()
}

/// Why the program ends. Whoever should read it may be gone.
pub fn last_words(format: LogFormat, words: impl Display) {
    let line = match format {
        LogFormat::Text => format!("error: {words}"),
        _ => line(format, Level::Error, module_path!(), &words),
    };
    let mut out = stderr::unhurried(|_| String::new());
    let _ = out.write_all(format!("{line}\n").as_bytes());
}

fn write(out: &mut impl Write, format: LogFormat, record: &Record<'_>) -> io::Result<()> {
    let line = line(format, record.level(), record.target(), record.args());
    writeln!(out, "{line}")
}

fn line(format: LogFormat, level: Level, target: &str, message: &dyn Display) -> String {
    if format == LogFormat::Json {
        let time = format_rfc3339_millis(SystemTime::now()).to_string();
        let level = level.as_str().to_lowercase();
        let message = message.to_string();
        return json!({"time": time, "level": level, "target": target, "message": message})
            .to_string();
    }
    let priority = match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    };
    // Each line is an entry of its own.
    let message = message.to_string().replace('\n', &format!("\n{priority}"));
    format!("{priority}{message}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_journal_gets_a_priority_for_each_line() {
        let line = |level| line(LogFormat::Journal, level, "agent", &"one\ntwo");
        assert_eq!(line(Level::Warn), "<4>one\n<4>two");
        assert_eq!(line(Level::Error), "<3>one\n<3>two");
        assert_eq!(line(Level::Trace), "<7>one\n<7>two");
    }

    #[test]
    fn json_is_one_object_in_a_line_whatever_is_said() {
        let words = "a \"name\"\nand \u{1}";
        let line = line(LogFormat::Json, Level::Info, "agent::part", &words);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], words);
        assert_eq!(value["level"], "info");
        assert_eq!(value["target"], "agent::part");
        let time = value["time"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    }
}
