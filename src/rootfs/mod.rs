//! The mount tree of the container, seen from inside.
