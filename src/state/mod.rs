//! The state directory: state.json, its lock, the start gate, recovery after a crash.
