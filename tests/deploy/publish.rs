// SPDX-License-Identifier: Apache-2.0
//! What somebody needs who publishes the agent: a workflow that is one, licences that may go together, and one version and one
//! name of the image everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::agent::output_of;
use serde_json::Value;

use crate::python;

#[test]
fn the_release_workflow_is_one() {
    let mut lint = python::program("actionlint");
    lint.arg(".github/workflows/release.yml");
    let output = output_of(lint);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// The licences that `deny.toml` allows, which `make audit` asks about, too.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string("deny.toml").unwrap();
    let (_, list) = text.split_once("\nallow = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// All that is built for the agent or its tests, on the kinds of machines that it is for.
fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--format-version=1"]);
    command
        .args(["x86_64", "aarch64"].map(|it| format!("--filter-platform={it}-unknown-linux-gnu")));
    let output = output_of(command);
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<_> = nodes
        .iter()
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .filter(|it| used.contains(it["id"].as_str().unwrap()))
        .cloned()
        .collect()
}

#[test]
fn all_that_is_linked_in_may_be_and_comes_from_crates_io() {
    let allowed = allowed();
    assert!(allowed.len() > 3, "{allowed:?}");
    let may_be = |text: &str| {
        // Before there were expressions, a slash meant OR.
        let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX).unwrap();
        expression.evaluate(|it| {
            it.license.id().is_some_and(|id| allowed.contains(id.name)) && it.addition.is_none()
        })
    };
    let (mut own, mut others) = (0, 0);
    for package in packages() {
        let name = &package["name"];
        match package["source"].as_str() {
            None => own += 1,
            Some(source) => {
                others += 1;
                let registry = "registry+https://github.com/rust-lang/crates.io-index";
                assert_eq!(source, registry, "{name}");
                let text = package["license"].as_str().unwrap();
                assert!(may_be(text), "{name}: {text}");
            }
        }
    }
    assert!(own >= 6 && others > 100, "{own} {others}");
    assert!(!may_be("AGPL-3.0-only"));
    assert!(!may_be("MIT AND GPL-3.0-only"));
}

/// After the only place in a file where it begins a line.
fn value(file: &str, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut values = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(key));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no {key} in {file}"));
    assert!(values.next().is_none(), "{key} twice in {file}");
    value.trim_matches([' ', '"']).to_owned()
}

#[test]
fn there_is_one_version_and_one_image() {
    let version = env!("CARGO_PKG_VERSION");
    let image = value("Cargo.toml", "image = ");
    let chart = "deploy/helm/scope-http-statistics";
    let kustomization = "deploy/kubernetes/kustomization.yaml";
    assert_eq!(value(&format!("{chart}/Chart.yaml"), "version:"), version);
    assert_eq!(
        value(&format!("{chart}/Chart.yaml"), "appVersion:"),
        version
    );
    assert_eq!(value(&format!("{chart}/values.yaml"), "repository:"), image);
    assert_eq!(value(kustomization, "newTag:"), version);
    assert_eq!(value(kustomization, "newName:"), image);
    let named = format!("scope-http-statistics:{version}");
    assert_eq!(value("deploy/kubernetes/daemonset.yaml", "image:"), named);
    let readme = fs::read_to_string("deploy/README.md").unwrap();
    assert!(readme.contains(&format!("\n  {named}\n")), "{named}");

    // What the scripts of packaging/ take out of Cargo.toml is what cargo finds there.
    assert_eq!(value("Cargo.toml", "version = "), version);
    assert_eq!(
        value("Cargo.toml", "repository = "),
        env!("CARGO_PKG_REPOSITORY")
    );
    assert!(value("Cargo.toml", "maintainer = ").ends_with('>'));
    let mut arguments = Command::new("packaging/image-arguments.sh");
    // Of a clone that somebody else owns, as it may be for root.
    arguments.envs([
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
    ]);
    let output = output_of(arguments);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains(&format!("--build-arg=VERSION={version} ")),
        "{said}"
    );
    assert!(
        said.ends_with(&format!("--tag={image}:{version}\n")),
        "{said}"
    );
}
