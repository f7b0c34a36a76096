// SPDX-License-Identifier: Apache-2.0
//! The manual's pages and what shells complete, made of the command line itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;

/// What is installed beside the program, into a folder.
pub fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write the manual to {}", folder.display()))?;
    let name = env!("CARGO_PKG_NAME");
    for (shell, file) in [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut shown(), name, &mut script);
        let script = String::from_utf8(script)?;
        // Of a name with dashes clap_complete (4.6.11) makes two names in bash: one when it looks where it is, another when it says
        // what there is.
        let script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
        let path = folder.join(file);
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Of the commands those that are for people.
fn shown() -> Command {
    let all = Cli::command();
    let for_people = all.get_subcommands().filter(|it| !it.is_hide_set());
    Command::new(env!("CARGO_PKG_NAME"))
        .args(all.get_arguments())
        .subcommands(for_people)
}
