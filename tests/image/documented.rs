// SPDX-License-Identifier: Apache-2.0
//! What `deploy/` says about how to run the image.

use std::fs;
use std::path::Path;

const PLUGINS: &str = "/var/run/scope/plugins";

pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of the command that starts a container: its options, and the image last.
fn words() -> Vec<String> {
    let readme = read("deploy/README.md");
    let (_, command) = readme.split_once("\ndocker run ").expect("the command");
    let (command, _) = command.split_once("\n```").expect("the end of its block");
    let words = command.split_whitespace().filter(|word| *word != "\\");
    words.map(str::to_owned).collect()
}

pub fn capabilities() -> Vec<String> {
    let words = words();
    let added = words
        .iter()
        .filter_map(|word| word.strip_prefix("--cap-add="));
    added.map(str::to_owned).collect()
}

/// The options and the image of that command, with `plugins` of the host in place of the probe's own directory.
pub fn run(plugins: &Path) -> (Vec<String>, String) {
    let mut options = words();
    let image = options.pop().expect("an image");
    // A container of a test ends with the test, and does not come again.
    options.retain(|word| word != "--detach" && !word.starts_with("--restart="));
    let mount = format!("{PLUGINS}:{PLUGINS}");
    let mount = options.iter_mut().find(|word| **word == mount);
    *mount.expect("the mount of the plugins") = format!("{}:{PLUGINS}", plugins.display());
    (options, image)
}

/// What the kernel says of a process is what the engine was told, and the agent has given it up after its start.
pub fn has_rights(pid: u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {status}"))
    };
    let number = |name| u64::from_str_radix(line(name).trim(), 16).unwrap();
    let (perfmon, bpf) = (1 << 38, 1 << 39);
    assert_eq!(number("CapBnd:"), perfmon | bpf);
    for set in ["CapPrm:", "CapEff:"] {
        assert_eq!(number(set), 0, "{set}");
    }
    assert_eq!(number("NoNewPrivs:"), 1);
    assert_eq!(number("Seccomp:"), 2, "no filter");
}
