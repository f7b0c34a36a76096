// SPDX-License-Identifier: Apache-2.0
//! Kernels out of Debian's suites, from the mirror that the machine's apt is set up with. The lists are the lab's own, so
//! that neither the machine's packages nor its sources change, and nobody needs to be root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::arch::Arch;

/// Small ones only: those that add to a release, not the releases.
const SUITES: [&str; 5] = [
    "bullseye-security",
    "bookworm-security",
    "bookworm-backports",
    "trixie-security",
    "trixie-backports",
];
/// Of every release that Debian maintains, unlike what a host may be set up to trust.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

pub struct Apt {
    folder: PathBuf,
    names: String,
}

impl Apt {
    /// Brings the lists up to date. What then is not in them could not be fetched.
    pub fn update(folder: &Path, architectures: &[Arch]) -> Result<Self> {
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(directory))?;
        }
        let architectures: Vec<_> = architectures.iter().map(|a| a.debian()).collect();
        let list = sources(&mirrors()?, &architectures.join(","));
        fs::write(folder.join("sources.list"), list)?;
        fs::write(folder.join("status"), "")?;
        let mut apt = Self {
            folder: folder.to_owned(),
            names: String::new(),
        };
        fs::write(folder.join("apt.conf"), apt.configuration(&architectures))?;
        let update = apt.command("apt-get").args(["-qq", "update"]).status();
        if !update.context("apt-get")?.success() {
            eprintln!("apt-get update: not every suite could be reached");
        }
        apt.names = output(apt.command("apt-cache").args(["pkgnames", "linux-"]))?;
        Ok(apt)
    }

    fn configuration(&self, architectures: &[&str]) -> String {
        let folder = self.folder.display();
        let architectures: String = architectures.iter().map(|a| format!("\"{a}\";")).collect();
        format!(
            "Dir::State::lists \"{folder}/lists\";\n\
             Dir::State::status \"{folder}/status\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             Dir::Etc::sourcelist \"{folder}/sources.list\";\n\
             Dir::Etc::sourceparts \"-\";\n\
             APT::Architectures {{{architectures}}};\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
        )
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        command
    }

    /// All that may be kernels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.lines()
    }

    /// The image of the kernel in a package, which is fetched where it is not yet in the folder.
    pub fn image(&self, package: &str, arch: Arch) -> Result<PathBuf> {
        let folder = self.folder.join("images");
        let image = folder.join(package);
        if image.exists() {
            return Ok(image);
        }
        let download = self.folder.join("download").join(package);
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(&download)?;
        let status = self
            .command("apt-get")
            .args(["-qq", "download", &format!("{package}:{}", arch.debian())])
            .current_dir(&download)
            .status()?;
        ensure!(status.success(), "apt-get download {package}: {status}");
        let archive = fs::read_dir(&download)?.next().context("no package")??;
        // Under another name until it is whole.
        let unfinished = download.join("image");
        unpack(&archive.path(), &unfinished)?;
        fs::rename(unfinished, &image)?;
        fs::remove_dir_all(download)?;
        Ok(image)
    }
}

fn unpack(package: &Path, image: &Path) -> Result<()> {
    let mut tar = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb")?;
    let status = Command::new("tar")
        .args(["--extract", "--to-stdout", "--wildcards", "*/vmlinuz*"])
        .stdin(tar.stdout.take().context("no output")?)
        .stdout(File::create(image)?)
        .status()
        .context("tar")?;
    ensure!(
        tar.wait()?.success() && status.success(),
        "{package:?} has no kernel"
    );
    Ok(())
}

/// Where the machine gets Debian's packages from.
#[derive(Debug, PartialEq)]
struct Mirrors {
    releases: String,
    security: String,
}

fn mirrors() -> Result<Mirrors> {
    let targets = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(CODENAME) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    mirrors_in(&targets)
}

fn mirrors_in(targets: &str) -> Result<Mirrors> {
    let find = |security: bool| {
        targets.lines().find_map(|line| {
            let (codename, uri) = line.strip_prefix("Debian ")?.split_once(' ')?;
            (codename.ends_with("-security") == security).then(|| uri.to_owned())
        })
    };
    match (find(false), find(true)) {
        (Some(releases), Some(security)) => Ok(Mirrors { releases, security }),
        _ => bail!("apt knows no mirror of Debian and its security updates: try apt-get update"),
    }
}

fn sources(mirrors: &Mirrors, architectures: &str) -> String {
    let signed = if Path::new(KEYRING).exists() {
        format!(" signed-by={KEYRING}")
    } else {
        String::new()
    };
    let line = |suite: &str| {
        let uri = if suite.ends_with("-security") {
            &mirrors.security
        } else {
            &mirrors.releases
        };
        format!("deb [arch={architectures}{signed}] {uri} {suite} main\n")
    };
    SUITES.iter().copied().map(line).collect()
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{command:?} (the kernels are Debian's packages)"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "\
Example stable http://packages.example/
Debian bookworm-security http://mirror.example/debian-security/
Debian bookworm-updates http://mirror.example/debian/
Debian bookworm http://mirror.example/debian/
";

    #[test]
    fn each_suite_comes_from_the_machines_own_mirror() {
        let list = sources(&mirrors_in(TARGETS).unwrap(), "amd64");
        assert_eq!(list.lines().count(), SUITES.len());
        for line in list.lines() {
            let (_, after) = line.split_once("] ").unwrap();
            let (uri, suite) = after.split_once(' ').unwrap();
            let security = suite.contains("-security");
            let expected = if security {
                "http://mirror.example/debian-security/"
            } else {
                "http://mirror.example/debian/"
            };
            assert_eq!(uri, expected);
        }
    }

    #[test]
    fn without_a_mirror_the_error_says_what_to_try() {
        let error = mirrors_in("Example stable http://packages.example/\n").unwrap_err();
        assert!(error.to_string().contains("apt-get update"), "{error}");
    }
}
