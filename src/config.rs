// SPDX-License-Identifier: Apache-2.0
//! The configuration file: what flags say, by their names, where neither a flag nor the environment says it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::Cli;
use crate::otlp::settings::with_environment;
use crate::small_file;

/// Flags that are about one call of the program.
const NO_KEYS: [&str; 3] = ["config", "help", "version"];

/// Why there is no command line.
pub enum Refusal {
    Flags(clap::Error),
    File(anyhow::Error),
}

/// The command line, with what the file says that it names.
pub fn command_line(args: &[OsString]) -> Result<Cli, Refusal> {
    let cli = parsed(command(), args)?;
    let Some(path) = &cli.config else {
        return Ok(cli);
    };
    let with_file = read(path)
        .and_then(|text| {
            let name = path.display();
            let settings = settings(&text).map_err(|(line, why)| anyhow!("{name}:{line}: {why:#}"));
            Ok(with_defaults(settings?))
        })
        .map_err(Refusal::File)?;
    parsed(with_file, args)
}

fn parsed(command: Command, args: &[OsString]) -> Result<Cli, Refusal> {
    let matches = command.try_get_matches_from(args);
    matches
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(Refusal::Flags)
}

fn command() -> Command {
    with_environment(Cli::command())
}

fn read(path: &Path) -> Result<String> {
    let (text, _) = small_file::read(path)?;
    String::from_utf8(text).with_context(|| format!("cannot read {}", path.display()))
}

/// The names of the keys.
pub fn keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let flags = command.get_arguments();
    flags
        .filter_map(|it| Some((it.get_long()?, it)))
        .filter(|(name, _)| !NO_KEYS.contains(name))
}

/// What a key says, as it would stand on the command line.
struct Setting {
    flag: String,
    values: Vec<String>,
}

/// Of the whole file, or what is wrong and in which line.
fn settings(text: &str) -> Result<Vec<Setting>, (usize, anyhow::Error)> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line(at), anyhow!(error.message().to_owned()))
    })?;
    // The file may name a flag only once, but in any order.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let command = command();
    let settings = entries.into_iter().map(|(name, value)| {
        let line = line(name.span().start);
        setting(&command, name.get_ref(), value).map_err(|error| (line, error))
    });
    settings.filter_map(Result::transpose).collect()
}

/// `None` where it says what is so anyway.
fn setting(command: &Command, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Option<Setting>> {
    let (_, flag) = keys(command)
        .find(|(it, _)| *it == name)
        .with_context(|| format!("there is no key {name:?}: the keys are the flags of --help"))?;
    let value = value.get_ref();
    let values = match flag.get_action() {
        ArgAction::SetTrue => match value.as_bool() {
            Some(true) => vec!["true".to_owned()],
            Some(false) => return Ok(None),
            None => bail!("{name} is true or false"),
        },
        ArgAction::Append => match value.as_array() {
            Some(array) => {
                let values = array.iter().map(|it| scalar(name, it.get_ref()));
                values.collect::<Result<Vec<_>>>()?
            }
            None => bail!("{name} is a list, as in {name} = [\"…\"]"),
        },
        _ => vec![scalar(name, value)?],
    };
    for value in &values {
        check(flag, value)?;
    }
    Ok((!values.is_empty()).then(|| Setting {
        flag: flag.get_id().to_string(),
        values,
    }))
}

fn scalar(name: &str, value: &DeValue<'_>) -> Result<String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Ok(parsed.context("the number is too large")?.to_string())
        }
        other => bail!("{name} is no {}", other.type_str()),
    }
}

/// Whether the flag would take it.
fn check(flag: &Arg, value: &str) -> Result<()> {
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return Ok(());
    }
    // Nothing but this flag, which is as good as given by default.
    let name = flag.get_long().unwrap_or_default();
    let alone = Command::new("").no_binary_name(true);
    let alone = alone.arg(flag.clone().default_value(value.to_owned()));
    let Err(error) = alone.try_get_matches_from::<_, OsString>([]) else {
        return Ok(());
    };
    let text = error.to_string();
    // Without advice that is for command lines.
    let lines = text.lines().take_while(|line| !line.is_empty());
    let words: Vec<_> = lines.map(str::trim).collect();
    let words = words.join(" ");
    bail!("{name}: {}", words.trim_start_matches("error: "))
}

/// The command line, in which these are given by default.
fn with_defaults(settings: Vec<Setting>) -> Command {
    settings.into_iter().fold(command(), |command, setting| {
        command.mut_arg(setting.flag, |flag| flag.default_values(setting.values))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    const EXAMPLE: &str = include_str!("../packaging/scope-http-statistics.toml");

    fn parse(text: &str, args: &[&str]) -> Result<Cli, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        fs::write(&path, text).unwrap();
        let file = ["agent", "--config", path.to_str().unwrap()];
        let args: Vec<_> = file.iter().chain(args).map(OsString::from).collect();
        command_line(&args).map_err(|refusal| match refusal {
            Refusal::Flags(error) => error.to_string(),
            Refusal::File(error) => {
                let error = format!("{error:#}");
                error.replace(path.to_str().unwrap(), "agent.toml")
            }
        })
    }

    #[test]
    fn the_file_says_what_flags_do_not() {
        let text = "max-processes = 1_009\nverbose = 1\nper-process = true\nexclude = [\"port=80\"]\n\
                    plugins-root = \"/run/somewhere\"\nbackend = 'sock'\n";
        let cli = parse(text, &[]).unwrap();
        assert_eq!((cli.max_processes, cli.verbose), (1009, 1));
        assert!(cli.per_process && cli.backend().is_some());
        assert_eq!(cli.plugins_root.to_str(), Some("/run/somewhere"));
        assert_eq!(cli.selection().exclude.len(), 1);
        let flags = [
            "--max-processes",
            "7",
            "--exclude",
            "port=1",
            "--exclude",
            "port=2",
        ];
        let cli = parse(text, &[&flags[..], &["--plugins-root=/other"]].concat()).unwrap();
        assert_eq!((cli.max_processes, cli.max_workloads), (7, 1024));
        assert_eq!(cli.selection().exclude.len(), 2);
        assert_eq!(cli.plugins_root.to_str(), Some("/other"));
        // Also for those who ask a running agent.
        let cli = parse(text, &["top"]).unwrap();
        assert_eq!(cli.plugins_root.to_str(), Some("/run/somewhere"));
        assert!(
            !parse("per-process = false\ninclude = []", &[])
                .unwrap()
                .per_process
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            (
                "\n\nmax-proceses = 3\n",
                "agent.toml:3: there is no key \"max-proceses\"",
            ),
            ("config = \"x\"\n", "agent.toml:1: there is no key"),
            (
                "# one\nmax-processes = 0\n",
                "agent.toml:2: max-processes: invalid value '0'",
            ),
            (
                "backend = \"best\"\n",
                "agent.toml:1: backend: invalid value 'best'",
            ),
            (
                "listen = \"here\"\n",
                "agent.toml:1: listen: invalid value 'here'",
            ),
            ("listen = true\n", "agent.toml:1: listen is no boolean"),
            (
                "per-process = 1\n",
                "agent.toml:1: per-process is true or false",
            ),
            ("exclude = \"port=1\"\n", "agent.toml:1: exclude is a list"),
            (
                "\nexclude = [\"port=1\",\n\"what\"]\n",
                "agent.toml:2: exclude: invalid value 'what'",
            ),
            (
                "[http]\nlisten = \"none\"\n",
                "agent.toml:1: there is no key \"http\"",
            ),
            (
                "verbose = 1\n\nverbose = 2\n",
                "agent.toml:3: duplicate key",
            ),
            ("verbose 1\n", "agent.toml:1: "),
            (
                "max-processes = 99999999999999999999\n",
                "agent.toml:1: the number is too large",
            ),
        ] {
            let error = parse(text, &[]).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
        let missing = ["agent", "--config", "/nowhere/agent.toml"].map(OsString::from);
        let Err(Refusal::File(error)) = command_line(&missing) else {
            panic!("there is no such file");
        };
        assert!(format!("{error:#}").starts_with("cannot read /nowhere/agent.toml: "));
    }

    /// The lines that would be keys, if they were no comments.
    fn commented() -> String {
        let lines = EXAMPLE.lines();
        let keys = lines.filter_map(|line| line.strip_prefix('#'));
        let keys = keys.filter(|line| !line.starts_with(' ') && line.contains(" = "));
        keys.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_file_of_packages_has_each_flag_and_says_what_is_so_anyway() {
        assert!(
            EXAMPLE
                .lines()
                .all(|line| line.is_empty() || line.starts_with('#'))
        );
        let text = commented();
        let named: Vec<_> = text
            .lines()
            .map(|it| it.split_once(" = ").unwrap().0)
            .collect();
        let mut command = Cli::command();
        command.build();
        let known: BTreeSet<_> = keys(&command).map(|(name, _)| name).collect();
        assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(named.len(), known.len(), "one of them is there twice");
        let help = Cli::command().render_long_help().to_string();
        assert!(known.iter().all(|key| help.contains(&format!("--{key}"))));
        let (with, without) = (parse(&text, &[]).unwrap(), parse("", &[]).unwrap());
        let said = |cli: &Cli| {
            let said = format!("{cli:?}");
            let (_, rest) = said.split_once("config: Some(").unwrap();
            rest.split_once(')').unwrap().1.to_owned()
        };
        assert_eq!(said(&with), said(&without));
    }
}
