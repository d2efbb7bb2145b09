//! `ragbias models`: lists, downloads and verifies base models.

use anyhow::{Result, bail};
use ragbias::models::{FileCheck, ModelStore};
use serde_json::{Value, json};

use super::Session;
use crate::args;

impl Session<'_> {
    pub(super) fn models(&self, command: &args::Models) -> Result<()> {
        let models = self.models_here()?;
        let store = models.store();
        match command {
            args::Models::List => self.list_models(store),
            args::Models::Pull { name } => {
                let path = store.pull(name, self.progress.as_ref())?;
                self.print(&json!({ "name": name, "path": path }), || path.display().to_string())
            }
            args::Models::Path { name } => {
                let Some(path) = store.path(name)? else { return Err(not_here(name)) };
                self.print(&json!({ "name": name, "path": path }), || path.display().to_string())
            }
            args::Models::Verify { names } => self.verify_models(store, names),
        }
    }

    fn list_models(&self, store: &ModelStore) -> Result<()> {
        let rows: Vec<_> = store
            .registry()
            .models()
            .iter()
            .map(|model| {
                let path = store.path(&model.name).ok().flatten();
                json!({ "name": model.name, "kind": model.kind, "about": model.about, "licence": model.licence,
                    "bytes": model.bytes(), "path": path })
            })
            .collect();
        self.print(&json!({ "models": rows }), || {
            let line = |row: &Value| {
                let here = if row["path"].is_null() { "not here" } else { "here" };
                let megabytes = row["bytes"].as_u64().unwrap_or_default() / 1_000_000;
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                format!(
                    "{:14} {:9} {megabytes:4} MB  {here:9} {} ({})",
                    text("name"),
                    text("kind"),
                    text("about"),
                    text("licence")
                )
            };
            rows.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    }

    /// The named models, or all that are present.
    fn verify_models(&self, store: &ModelStore, names: &[String]) -> Result<()> {
        let all = store.registry().models().iter().map(|model| model.name.clone());
        let is_here = |name: &String| store.root().join(name).exists();
        let names: Vec<String> =
            if names.is_empty() { all.filter(is_here).collect() } else { names.to_vec() };
        // Checked before an hour of reading.
        for name in &names {
            store.registry().get(name)?;
            if !is_here(name) {
                return Err(not_here(name));
            }
        }
        let mut checked: Vec<(&str, Vec<FileCheck>)> = Vec::new();
        for name in &names {
            checked.push((name, store.verify(name, self.progress.as_ref())?));
        }
        let rows = checked.iter().map(|(name, files)| {
            let right = files.iter().all(FileCheck::is_right);
            json!({ "name": name, "path": store.root().join(name), "right": right, "files": files })
        });
        self.print(&json!({ "models": rows.collect::<Vec<_>>() }), || {
            let lines =
                checked.iter().flat_map(|(name, files)| files.iter().map(move |file| line(name, file)));
            let lines: Vec<String> = lines.collect();
            if lines.is_empty() {
                format!("no model in {}", store.root().display())
            } else {
                lines.join("\n")
            }
        })?;
        let wrong: Vec<String> = checked
            .iter()
            .flat_map(|(name, files)| {
                files.iter().filter(|file| !file.is_right()).map(move |file| format!("{name}/{}", file.file))
            })
            .collect();
        let damaged = checked.iter().filter(|(_, files)| !files.iter().all(FileCheck::is_right));
        let hints: Vec<String> =
            damaged.map(|(name, _)| format!("hint: `ragbias models pull {name}` fetches it again")).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("not the registry's: {}\n{}", wrong.join(", "), hints.join("\n"))
    }
}

fn line(name: &str, file: &FileCheck) -> String {
    let state = match &file.received {
        _ if file.is_right() => "right".to_owned(),
        Some(received) => format!("wrong: expected the SHA-256 {}, received {received}", file.expected),
        None => "missing".to_owned(),
    };
    format!("{name}/{}: {state}", file.file)
}

fn not_here(name: &str) -> anyhow::Error {
    anyhow::anyhow!("model `{name}` is not here\nhint: `ragbias models pull {name}` fetches it")
}
