// SPDX-License-Identifier: Apache-2.0
//! The base image of the build: a bare system of this host's own suite, from where its apt gets packages. It is as bare as
//! the one that the Dockerfile names, so that what the build needs has to come from the project's own script.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use common::agent::output_of;

use crate::finish::{enclosed, finish};

const LIMIT: Duration = Duration::from_secs(600);
/// The packages of an older one would all be renewed in the build.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A tarball of the system: the one of an earlier run if it is of the same make and not too old.
pub fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(make)
}

fn make() -> PathBuf {
    let suite = suite();
    let sources = sources(&suite);
    let mut hasher = DefaultHasher::new();
    (std::env::consts::ARCH, &suite, &sources).hash(&mut hasher);
    let name = format!("image-base-{:016x}.tar", hasher.finish());
    let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if is_fresh(&archive) {
        return archive;
    }

    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = |name: &str| folder.path().join(name);
    let list = file("sources.list");
    fs::write(&list, sources).unwrap();
    let partial = file("base.tar");
    let mut command = enclosed("mmdebstrap", folder.path());
    command
        .args(["--variant=minbase", "--dpkgopt=force-unsafe-io", &suite])
        .args([&partial, &list]);
    finish(command, &file("base.log"), LIMIT);
    fs::rename(partial, &archive).unwrap();
    archive
}

fn is_fresh(archive: &Path) -> bool {
    let modified = File::open(archive).and_then(|file| file.metadata()?.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < MAX_AGE))
}

fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let name = (release.lines()).find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.expect("a Debian or Ubuntu with a suite").to_owned()
}

/// Of the sources of apt, the distribution's own.
fn sources(suite: &str) -> String {
    let mut command = Command::new("apt-get");
    let form = "$(ORIGIN) $(RELEASE) deb $(REPO_URI) $(RELEASE) $(COMPONENT)";
    command.args(["indextargets", "--format", form, "Created-By: Packages"]);
    let output = String::from_utf8(output_of(command).stdout).unwrap();
    let mut sources: Vec<_> = output
        .lines()
        .filter_map(|line| {
            let (origin, rest) = line.split_once(' ')?;
            let (release, source) = rest.split_once(' ')?;
            let is_own = ["Debian", "Ubuntu"].contains(&origin) && release.starts_with(suite);
            is_own.then_some(source)
        })
        .collect();
    sources.sort_unstable();
    sources.dedup();
    assert!(!sources.is_empty(), "apt has no lists of {suite}: {output}");
    sources.join("\n") + "\n"
}
