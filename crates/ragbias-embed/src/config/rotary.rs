//! The rotary positions of `config.json`, in the keys of every release.

use serde_json::{Value, json};

use super::architecture::{Rotary, RotaryScaling};
use super::family::Family;
use super::keys::Keys;
use crate::files::{Object, refuse_unknown};
use crate::{Error, Result};

const SCALING: &str = "rope_scaling";
const PARAMETERS: &str = "rope_parameters";

/// One kind of rotary positions for all layers: `rope_scaling`, or else `rope_parameters`, and `rope_theta`.
pub(super) fn flat(keys: &Keys<'_>, theta: f64) -> Result<Rotary> {
    keys.only("partial_rotary_factor", &json!(1.0))?;
    let scaling = object(keys, SCALING)?.filter(|scaling| !scaling.is_empty());
    let (key, parameters) = match scaling {
        Some(scaling) => (SCALING, scaling),
        None => (PARAMETERS, object(keys, PARAMETERS)?.unwrap_or_default()),
    };
    read(keys, key, &parameters, || keys.positive("rope_theta", theta))
}

/// The kinds of the layers that attend to all tokens and of those that attend to fewer: `rope_parameters` by kind of layer; `thetas` are
/// the keys that give θ where it does not, with their defaults. `rope_scaling` is of the first kind, or of both.
pub(super) fn by_layer(
    keys: &Keys<'_>,
    thetas: [(&'static str, f64); 2],
    scales_both: bool,
) -> Result<[Rotary; 2]> {
    keys.only("partial_rotary_factor", &json!(1.0))?;
    let parameters = object(keys, PARAMETERS)?.unwrap_or_default();
    refuse_unknown(keys.path, &parameters, &KINDS)?;
    let scaling = object(keys, SCALING)?.unwrap_or_default();
    // Releases differ in whether this older name has an effect here.
    if scaling.contains_key("type") && !scaling.contains_key("rope_type") {
        let received = Value::Object(scaling).to_string();
        return Err(keys.refused(SCALING, "the name rope_type for its type", received));
    }
    let kind = |place: usize| {
        let own = match parameters.get(KINDS[place]) {
            None | Some(Value::Null) => Object::new(),
            Some(Value::Object(own)) => own.clone(),
            Some(other) => return Err(keys.refused(PARAMETERS, "an object by layer", other.to_string())),
        };
        let scaling = if place == 0 || scales_both { scaling.clone() } else { Object::new() };
        let all: Object = own.into_iter().chain(scaling).collect();
        let (key, theta) = thetas[place];
        read(keys, PARAMETERS, &all, || keys.positive(key, theta))
    };
    Ok([kind(0)?, kind(1)?])
}

/// Kinds of layers in `rope_parameters` and `layer_types`.
pub(super) const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

fn object(keys: &Keys<'_>, key: &'static str) -> Result<Option<Object>> {
    match keys.file.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object.clone())),
        Some(other) => Err(keys.refused(key, "an object", other.to_string())),
    }
}

fn read(
    keys: &Keys<'_>,
    key: &'static str,
    parameters: &Object,
    theta: impl FnOnce() -> Result<f64>,
) -> Result<Rotary> {
    let known = ["rope_type", "type", "rope_theta", "factor", "partial_rotary_factor"];
    refuse_unknown(keys.path, parameters, &known)?;
    let refused = |expected: &str| {
        let received = Value::Object(parameters.clone()).to_string();
        Err(Error::unsupported(keys.path, key, expected, received))
    };
    let number = |name: &str| parameters.get(name).filter(|value| !value.is_null()).map(Value::as_f64);
    if number("partial_rotary_factor").is_some_and(|factor| factor != Some(1.0)) {
        return refused("partial_rotary_factor 1.0: all of a head is turned");
    }
    let theta = match number("rope_theta") {
        None => theta()?,
        Some(Some(theta)) if theta > 0.0 => theta,
        Some(_) => return refused("a rope_theta above 0"),
    };
    let factor = match number("factor") {
        None => None,
        Some(Some(factor)) if factor >= 1.0 => Some(factor),
        Some(_) => return refused("a factor of 1 or more"),
    };
    let kind = parameters.get("rope_type").or_else(|| parameters.get("type"));
    // The `ntk` of the encoder's own code: a factor for all lengths of text.
    let scaling = match (kind.map_or(Some("default"), Value::as_str), factor) {
        (Some("default"), _) => RotaryScaling::None,
        (Some("linear"), Some(factor)) => RotaryScaling::Linear(factor),
        (Some("ntk"), Some(factor)) if keys.family == Family::New => RotaryScaling::Ntk(factor),
        _ if keys.family == Family::New => {
            return refused("the type default, linear or ntk, with its factor");
        }
        _ => return refused("the rope_type default, or linear with its factor"),
    };
    Ok(Rotary { theta, scaling })
}
