// SPDX-License-Identifier: Apache-2.0
//! Who may ask at the TCP listener, and how it speaks to them. Certificates are renewed, so that the files are looked at again and
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::serve::secured::Secured;
use crate::serve::users::Users;
use crate::serve::web_config::{Mark, WebConfig};

/// From one look at the files to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// What holds for a client that comes now. By default everybody may ask, in plain text.
#[derive(Clone, Default)]
pub struct Access(Option<watch::Receiver<Arc<WebConfig>>>);

/// The file from which the access is, and what there is of it to follow it.
pub struct Source {
    path: PathBuf,
    /// Of each file, as it was found last; `None`: it could not be looked at.
    marks: Vec<Option<Mark>>,
    publisher: watch::Sender<Arc<WebConfig>>,
}

impl Access {
    /// As the file says, which has to be right at the start.
    pub fn load(path: &Path) -> Result<(Self, Source)> {
        let config = WebConfig::load(path)?;
        let marks = marks_of(&config);
        let (publisher, receiver) = watch::channel(Arc::new(config));
        let source = Source {
            path: path.to_owned(),
            marks,
            publisher,
        };
        Ok((Self(Some(receiver)), source))
    }

    fn now(&self) -> Option<Arc<WebConfig>> {
        self.0.as_ref().map(|it| Arc::clone(&it.borrow()))
    }

    /// `None`: whoever asks.
    pub fn users(&self) -> Option<Arc<Users>> {
        self.now()?.users.clone()
    }

    pub fn scheme(&self) -> &'static str {
        match self.now() {
            Some(config) if config.tls.is_some() => "https",
            _ => "http",
        }
    }

    /// A connection, on which nothing has been said.
    pub fn secured(&self, stream: TcpStream) -> Secured {
        let tls = self.now().and_then(|it| it.tls.clone());
        Secured::new(stream, tls)
    }
}

impl Source {
    /// The folders that have to be readable later on: those of the files, and of what they are links to.
    pub fn folders(&self) -> Vec<PathBuf> {
        let config = self.publisher.borrow();
        let files = config.files.iter().map(|(path, _)| path);
        let real = files.clone().filter_map(|it| it.canonicalize().ok());
        let all = files.cloned().chain(real);
        // Where it has no folder in its name it is in this one.
        let folder = |file: PathBuf| Path::new(".").join(file.parent()?).canonicalize().ok();
        let mut folders: Vec<_> = all.filter_map(folder).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// Follows the files in a task of its own.
    pub fn follow(mut self) {
        tokio::spawn(async move {
            loop {
                sleep(INTERVAL).await;
                // A file system may take its time.
                match spawn_blocking(move || self.look()).await {
                    Ok(source) => self = source,
                    Err(error) => return log::error!("the web configuration was left: {error}"),
                }
            }
        });
    }

    fn look(mut self) -> Self {
        let look = |path: &Path| Mark::of(&fs::metadata(path).ok()?).ok();
        let found = {
            let config = self.publisher.borrow();
            config.files.iter().map(|(path, _)| look(path)).collect()
        };
        if found == self.marks {
            return self;
        }
        self.marks = found;
        match WebConfig::load(&self.path) {
            Ok(config) => {
                self.marks = marks_of(&config);
                self.publisher.send_replace(Arc::new(config));
                log::info!(
                    "{} or what it names has changed, and is in force",
                    self.path.display()
                );
            }
            Err(error) => {
                log::warn!(
                    "the web configuration has changed, and what was before stays in force: {error:#}"
                );
            }
        }
        self
    }
}

fn marks_of(config: &WebConfig) -> Vec<Option<Mark>> {
    config.files.iter().map(|(_, mark)| Some(*mark)).collect()
}
