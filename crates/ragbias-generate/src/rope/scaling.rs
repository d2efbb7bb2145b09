//! How a file asks for positions to be stretched.

use super::{Scaling, Yarn};
use crate::Result;
use crate::file::GgufFile;

impl Scaling {
    /// The scaling in the file, interpreted as in llama.cpp; keys of `architecture`, which was trained on `context` tokens,
    /// and may have the factors of LongRoPE.
    pub(crate) fn read(file: &GgufFile, architecture: &str, context: u32, longrope: bool) -> Result<Self> {
        let key = |key: &str| format!("{architecture}.rope.{key}");
        let positive = |name: &str| match file.float(&key(name))? {
            Some(number) if number <= 0.0 => {
                Err(file.broken(format!("`{}` is {number}, expected more than 0", key(name))))
            }
            number => Ok(number),
        };
        let given = positive("scaling.factor")?;
        let given = given.map_or_else(|| positive("scale_linear"), |factor| Ok(Some(factor)))?;
        let factor = given.unwrap_or(1.0);
        let magnitude = positive("scaling.attn_factor")?.unwrap_or(1.0);
        let original = file.number(&key("scaling.original_context_length"))?.filter(|&tokens| tokens > 0);
        let yarn = match file.text(&key("scaling.type"))?.unwrap_or("linear") {
            // A factor without a scaling type is ignored, as in llama.cpp.
            "none" => return Ok(Self { magnitude, ..Self::NONE }),
            "linear" => false,
            "yarn" => true,
            // The factors are tensors.
            "longrope" if longrope && file.has_tensor("rope_factors_long.weight") => false,
            other => {
                return Err(file.refused(
                    format!("`{}`", key("scaling.type")),
                    format!("it is `{}`, expected none, linear or yarn", other.escape_debug()),
                    "take another model, or a server that runs this one",
                ));
            }
        };
        if !yarn {
            return Ok(Self { factor, magnitude, ..Self::NONE });
        }
        if factor < 1.0 {
            return Err(file.broken(format!("`{}` is {factor}, expected at least 1", key("scaling.factor"))));
        }
        let extrapolation = file.float(&key("scaling.yarn_ext_factor"))?.filter(|&share| share >= 0.0);
        let yarn = Yarn {
            extrapolation: extrapolation.unwrap_or(1.0),
            fast: positive("scaling.yarn_beta_fast")?.unwrap_or(32.0),
            slow: positive("scaling.yarn_beta_slow")?.unwrap_or(1.0),
            context: original.unwrap_or(context) as f32,
        };
        // Attention is sharpened by this factor for longer contexts.
        let sharpened = 0.1 * factor.ln() + 1.0;
        let name = "scaling.yarn_attn_factor";
        if let Some(given) = positive(name)?
            && (given - 1.0).abs() > 1e-5
            && (given - sharpened).abs() > 1e-5
        {
            return Err(file.refused(
                format!("`{}`", key(name)),
                format!("it is {given}, expected 1 or {sharpened}: other programs disagree on what it means"),
                "take another conversion of the model, or a server that runs it",
            ));
        }
        let sharpened = if yarn.extrapolation > 0.0 { sharpened } else { 1.0 };
        Ok(Self { factor, sharpened, magnitude, yarn: Some(yarn) })
    }
}
