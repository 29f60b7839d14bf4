//! Turns a document that the OCI spec allows into one that the typed model can hold.
//!
//! Needed rarely: oci-spec 0.10 has closed enums, spells some scheduler flags in its own way, reads
//! `"pids": {}` as a limit of 0, and has fields of other platforms that rt must ignore whatever they hold.

use serde_json::Value;

use super::capability;
use super::shape::{Presence, Property, Shape, model_scheduler_flag};

/// Rewrites `value`, whose shape a scan found right.
pub fn normalise(value: &mut Value, shape: &Shape) {
    match (shape, value) {
        (Shape::Object(properties) | Shape::Optional(properties), Value::Object(object)) => {
            for property in *properties {
                let drop_it = match object.get_mut(property.name) {
                    None => false,
                    Some(value) => {
                        normalise(value, &property.shape);
                        is_unset(value, property)
                    }
                };
                if drop_it {
                    object.remove(property.name);
                }
            }
        }
        (Shape::Map(values), Value::Object(object)) => {
            object.values_mut().for_each(|value| normalise(value, values));
        }
        (Shape::List(Shape::Capability), Value::Array(items)) => {
            items.retain(|item| item.as_str().is_some_and(capability::is_known));
        }
        (Shape::List(items), Value::Array(values)) => {
            values.iter_mut().for_each(|value| normalise(value, items));
        }
        (Shape::SchedulerFlag(_), value) => {
            if let Some(name) = value.as_str().and_then(model_scheduler_flag) {
                *value = name.into();
            }
        }
        (Shape::NumberList, Value::String(list)) => list.retain(|character| character != ' '),
        // The kernel takes both for "no limit".
        (Shape::HugeLimit, value) if value.as_u64().is_some_and(|limit| limit > i64::MAX as u64) => {
            *value = i64::MAX.into();
        }
        _ => {}
    }
}

fn is_unset(value: &Value, property: &Property) -> bool {
    match (&property.shape, value) {
        (Shape::Foreign | Shape::Ignored(_), _) | (_, Value::Null) => true,
        (shape, Value::String(text)) => {
            text.is_empty() && property.presence == Presence::Optional && shape.empty_is_unset()
        }
        (Shape::Optional(properties), Value::Object(object)) => {
            properties.first().is_some_and(|first| !object.contains_key(first.name))
        }
        _ => false,
    }
}
