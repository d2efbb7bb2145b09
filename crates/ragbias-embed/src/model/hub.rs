//! The Hugging Face hub as a source of files.

use std::path::Path;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, CacheRepo};
use ragbias_core::{Progress, Step, Unit};

use super::registry::{Model, ModelFile};
use super::store::is_whole;

/// Puts every file of the model into `staging`, or says why not.
pub(super) fn fetch(id: &str, model: &Model, staging: &Path, progress: &dyn Progress) -> Result<(), String> {
    let cached = Cache::from_env().model(id.to_owned());
    let mut api = None;
    let step = progress.begin(&format!("pulling {}", model.name), model.bytes(), Unit::Bytes);
    for file in &model.files {
        let target = staging.join(&file.path);
        if is_whole(&target, file).map_err(|error| error.to_string())? || from_cache(&cached, file, &target)?
        {
            step.advance(file.bytes);
            continue;
        }
        let api: &ApiRepo = match &api {
            Some(api) => api,
            None => api.insert(
                ApiBuilder::from_env()
                    .with_progress(false)
                    .build()
                    .map_err(|error| error.to_string())?
                    .model(id.to_owned()),
            ),
        };
        let bytes = Bytes { step: step.as_ref() };
        let path = api
            .download_with_progress(&file.path, bytes)
            .map_err(|error| format!("{}: {error}", file.path))?;
        copy_checked(&path, file, &target)?;
    }
    Ok(())
}

fn from_cache(cached: &CacheRepo, file: &ModelFile, target: &Path) -> Result<bool, String> {
    match cached.get(&file.path) {
        Some(path) if is_whole(&path, file).is_ok_and(|whole| whole) => {
            copy_checked(&path, file, target).map(|()| true)
        }
        _ => Ok(false),
    }
}

fn copy_checked(from: &Path, file: &ModelFile, target: &Path) -> Result<(), String> {
    let copied = (|| {
        if let Some(folder) = target.parent() {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::copy(from, target)?;
        is_whole(target, file)
    })();
    match copied {
        Ok(true) => Ok(()),
        Ok(false) => {
            // A wrong file must not be taken for a partial right one.
            let _ = fs_err::remove_file(target);
            Err(format!("{} has another checksum than the registry's", file.path))
        }
        Err(error) => Err(error.to_string()),
    }
}

pub(super) struct Bytes<'a> {
    pub(super) step: &'a dyn Step,
}

impl hf_hub::api::Progress for Bytes<'_> {
    fn init(&mut self, _: usize, _: &str) {}

    fn update(&mut self, size: usize) {
        self.step.advance(size as u64);
    }

    fn finish(&mut self) {}
}
