//! `ragbias serve`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use ragbias::core::{Embedder, message};
use ragbias::{Embedded, IndexKind, Retriever, Store, StoredEmbedder, Workspace, load_corpus};
use ragbias_postgres::{Address, Documents};
use ragbias_serve::{ServeConfig, Service, Serving, Token, run};
use serde_json::json;

use super::{Session, database};
use crate::args;
use crate::progress::say;

/// The variable that holds the token; a flag would show it to everyone who lists processes.
const TOKEN: &str = "RAGBIAS_SERVE_TOKEN";

/// What is served, as the command line names it; read at the start and at every SIGHUP.
struct Source {
    control: Option<PathBuf>,
    embedder: Option<String>,
    name: Option<String>,
    searched: Option<Searched>,
    index: Option<args::Index>,
    workspace: Workspace,
    store: Store,
}

/// The documents that are searched.
enum Searched {
    /// In memory: a corpus by its name.
    Corpus(String),
    /// Where they are stored: a table of a database.
    Table { address: Address, name: String },
}

impl Session<'_> {
    pub(super) fn serve(&self, command: &args::Serve) -> Result<()> {
        let config = config(&command.limits);
        config.check()?;
        let token = token(command.token_file.as_deref())?;
        let searched = self.searched(command)?;
        // The address is taken before the documents are embedded: a port in use is found at once.
        let address = &command.address;
        let listener =
            TcpListener::bind(address.as_str()).with_context(|| format!("the address {address}"))?;
        let opened = self.workspace(self.models_here()?, false)?;
        let source = Source {
            control: command.control.clone(),
            embedder: command.embedder.clone(),
            name: command.name.clone(),
            searched,
            index: command.index,
            workspace: (*opened).clone(),
            store: opened.store.clone(),
        };
        let service = Service::new(source.read()?, config)?;
        let service = token.map_or(service.clone(), |token| service.guarded_by(token));
        let (bound, serving) = (listener.local_addr()?, service.serving());
        let started = json!({ "address": format!("http://{bound}"), "model": serving.model(), "dim": serving.dim(),
            "documents": serving.documents_served(), "token": service.is_guarded() });
        self.print(&started, || {
            let documents = match serving.documents_served() {
                Some(documents) => format!("{documents} documents and the vectors"),
                None => "the vectors".into(),
            };
            format!("serving {documents} of `{}` at http://{bound}", serving.model())
        })?;
        drop(serving);
        let quiet = self.args.quiet;
        let tell = move |line: &str| {
            if !quiet {
                say(line);
            }
        };
        let again = move || source.read().map_err(|error| message(error.as_ref()));
        Ok(run(&service, listener, again, tell)?)
    }

    fn searched(&self, command: &args::Serve) -> Result<Option<Searched>> {
        if let Some(name) = &command.table {
            let address = database::address(&command.database, self.progress.as_ref())?;
            return Ok(Some(Searched::Table { address, name: name.clone() }));
        }
        Ok(command.corpus.clone().map(Searched::Corpus))
    }
}

impl Source {
    fn read(&self) -> Result<Serving> {
        match &self.searched {
            None => self.vectors(),
            Some(Searched::Corpus(corpus)) => self.corpus(corpus),
            Some(Searched::Table { address, name }) => self.table(address, name),
        }
    }

    fn vectors(&self) -> Result<Serving> {
        let (model, embedder) = self.embedder()?;
        Ok(Serving::embedder(model, embedder)?)
    }

    fn corpus(&self, corpus: &str) -> Result<Serving> {
        let documents = load_corpus(corpus, None, self.workspace.progress())?;
        let backend = self.index.map_or(IndexKind::Exact, IndexKind::from).backend();
        if let Some(control) = &self.control {
            let retriever = Retriever::with(control, &documents, backend, &self.workspace)?;
            return Ok(Serving::retriever(self.name(&folder_name(control)), retriever)?);
        }
        let (model, embedder) = self.embedder()?;
        let stored: Arc<dyn Embedder> = Arc::new(StoredEmbedder::new(Arc::clone(&embedder), &self.store));
        let embedded = Embedded::new(&documents, stored, backend, &self.workspace)?;
        // The vectors of questions are not stored.
        Ok(Serving::retriever(model, Retriever::new(embedded.asked_by(embedder)?))?)
    }

    fn table(&self, address: &Address, name: &str) -> Result<Serving> {
        // The database is asked before a model is loaded, which takes longer.
        let documents = Arc::new(match self.index {
            Some(index) => Documents::open_by(address, name, index.into())?,
            None => Documents::open(address, name)?,
        });
        if let Some(control) = &self.control {
            let retriever = Retriever::over(control, documents, &self.workspace)?;
            return Ok(Serving::retriever(self.name(&folder_name(control)), retriever)?);
        }
        let (model, embedder) = self.embedder()?;
        Ok(Serving::retriever(model, Retriever::over_with(embedder, documents, &self.workspace)?)?)
    }

    /// The embedder without a control, and what requests call it.
    fn embedder(&self) -> Result<(String, Arc<dyn Embedder>)> {
        let model = self.embedder.as_deref().context("expected --control or --embedder")?;
        let embedder = self.workspace.models().embedder(model, self.workspace.progress())?;
        Ok((self.name(model), embedder))
    }

    /// What requests call the embedder, unless they are told otherwise.
    fn name(&self, other: &str) -> String {
        self.name.clone().unwrap_or_else(|| other.to_owned())
    }
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The token from a file, or from the environment.
fn token(file: Option<&Path>) -> Result<Option<Token>> {
    let text = match file {
        Some(file) => Some(fs_err::read_to_string(file)?),
        None => std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty()),
    };
    Ok(text.as_deref().map(Token::new).transpose()?)
}

fn config(limits: &args::Limits) -> ServeConfig {
    ServeConfig::default()
        .batch(limits.batch)
        .queue(limits.queue)
        .texts(limits.max_texts.min(limits.queue))
        .body_bytes(limits.max_body)
        .text_bytes(limits.max_text)
        .connections(limits.connections)
        .timeout(std::time::Duration::from_secs_f64(limits.timeout.clamp(0.0, 1e9)))
}
