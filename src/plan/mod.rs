//! What will be done: pure data, made by pure functions from a `Spec` and the `Host`'s facts.

pub mod namespaces;
