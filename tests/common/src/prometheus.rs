// SPDX-License-Identifier: Apache-2.0
//! A real Prometheus.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::agent::folder;
use crate::process::Process;
use crate::servers::free_address;
use crate::web::{self, text};

/// A Prometheus that scrapes the agent each second.
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    pub fn scraping(agent: SocketAddr) -> Self {
        Self::start(agent, "", &[])
    }

    /// One that has to know who the agent is, and to say who it is itself.
    pub fn scraping_securely(agent: SocketAddr, certificate: &Path, user: (&str, &str)) -> Self {
        let (name, password) = user;
        let more = format!(
            "scheme: https, tls_config: {{ca_file: '{}'}}, basic_auth: {{username: {name}, password: {password}}}, ",
            certificate.display()
        );
        Self::start(agent, &more, &[])
    }

    /// One that asks for native histograms.
    pub fn scraping_native_histograms(agent: SocketAddr) -> Self {
        Self::start(agent, "", &["--enable-feature=native-histograms"])
    }

    fn start(agent: SocketAddr, more: &str, flags: &[&str]) -> Self {
        let folder = folder();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: agent, {more}static_configs: [{{targets: ['{agent}']}}]}}]\n"
        );
        fs::write(&config, text).unwrap();
        let address = free_address();
        let mut command = Command::new("prometheus");
        command
            .args(flags)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Process::start(&mut command, "prometheus");
        process.wait_until(|| {
            TcpStream::connect(address).is_ok()
                && web::ask(address, "GET", "/-/ready", &[]).status == 200
        });
        Self {
            _process: process,
            address,
            _folder: folder,
        }
    }

    /// The value of a query whose result is one sample, if there is any yet.
    pub fn query(&self, query: &str) -> Option<f64> {
        number(&self.results(query)[0]["value"][1])
    }

    /// All that it has scraped of each series that a selector selects.
    pub fn samples(&self, selector: &str) -> Vec<Vec<f64>> {
        let results = self.results(&format!("{selector}[1h]"));
        let series = results.as_array().unwrap().iter();
        let values = series.map(|series| series["values"].as_array().unwrap().iter());
        values
            .map(|values| values.filter_map(|value| number(&value[1])).collect())
            .collect()
    }

    fn results(&self, query: &str) -> Value {
        let path: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let text = text(self.address, &format!("/api/v1/query?query={path}"));
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{text}");
        answer["data"]["result"].take()
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}
