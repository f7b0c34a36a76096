// SPDX-License-Identifier: Apache-2.0
//! `make install` and `make uninstall`, into a folder in place of `/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::agent::{folder, output_of};

use crate::{AGENT, stdout};

const NAME: &str = "scope-http-statistics";

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let below = entries.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    let mut all: Vec<_> = below.collect();
    all.sort();
    all
}

fn run(root: &Path, prefix: &str, systemd: &str, args: &[&str]) {
    let mut command = Command::new("scripts/install.sh");
    command
        .args(args)
        .env("PREFIX", prefix)
        .env("DESTDIR", root)
        .env("SYSTEMD", systemd);
    stdout(&output_of(command));
}

#[test]
fn everything_is_where_it_belongs_and_goes_again() {
    for (prefix, systemd, unit) in [
        ("/usr/local", "yes", "etc/systemd/system"),
        ("/usr", "yes", "usr/lib/systemd/system"),
        ("/opt/http", "no", "etc/systemd/system"),
    ] {
        let root = folder();
        let there = |path: &str| root.path().join(path);
        let own = |path: &str| root.path().join(&prefix[1..]).join(path);
        run(root.path(), prefix, systemd, &["install", AGENT.path()]);
        let mut version = Command::new(own("bin").join(NAME));
        version.arg("--version");
        assert!(stdout(&output_of(version)).starts_with(NAME));

        let page = fs::read_to_string(own("share/man/man1").join(format!("{NAME}.1"))).unwrap();
        for part in [".TH", "SCOPE_HOSTNAME", "plugins"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(own("share/man/man1").join(format!("{NAME}-top.1")).exists());
        let completions = own("share/bash-completion/completions").join(NAME);
        let mut bash = Command::new("bash");
        let script = format!(
            ". {}; f=$(complete -p {NAME} | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); \
             COMP_WORDS=({NAME} report --js) COMP_CWORD=2; $f {NAME} --js report; echo ${{COMPREPLY[@]}}; \
             COMP_WORDS=({NAME} lo) COMP_CWORD=1; $f {NAME} lo {NAME}; echo ${{COMPREPLY[@]}}",
            completions.display()
        );
        bash.args(["-c", &script]);
        // And nothing of what is not for people.
        assert_eq!(stdout(&output_of(bash)), "--json\n\n");
        assert!(
            own("share/zsh/site-functions")
                .join(format!("_{NAME}"))
                .exists()
        );
        assert!(
            own("share/fish/vendor_completions.d")
                .join(format!("{NAME}.fish"))
                .exists()
        );

        let unit = there(unit).join(format!("{NAME}.service"));
        assert_eq!(unit.exists(), systemd == "yes");
        if systemd == "yes" {
            let unit = fs::read_to_string(unit).unwrap();
            let started = format!("\nExecStart={prefix}/bin/{NAME}");
            assert!(unit.contains(&started), "no {started} in {unit}");
        }
        run(root.path(), prefix, systemd, &["uninstall"]);
        assert_eq!(files(root.path()), Vec::<PathBuf>::new());
    }
}
