//! Where messages go: stderr, and the file of `--log` in the form that managers parse.
