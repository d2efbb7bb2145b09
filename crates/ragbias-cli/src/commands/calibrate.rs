//! `ragbias calibrate`.

use anyhow::Result;
use ragbias::data::load_axis;
use ragbias::{Calibration, scorer};

use super::Session;
use crate::{args, corrections};

impl Session<'_> {
    pub(super) fn calibrate(&self, command: &args::Calibrate) -> Result<()> {
        let axis = load_axis(&command.axis)?;
        let workspace = self.workspace_here()?;
        let name = command.scorer.as_deref();
        let scorer = scorer::by_name(&axis, name, &workspace)?;
        let label = scorer::label(&axis, name);
        let progress = self.progress.as_ref();
        let calibration =
            Calibration::of(&axis, scorer.as_ref(), label, &command.labels, command.texts.into(), progress)?;
        calibration.write(&command.out)?;
        self.print(&calibration, || corrections::errors(&axis, &calibration, &command.out))
    }
}
