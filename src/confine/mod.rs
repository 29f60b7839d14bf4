//! What confines the container's process: credentials, capabilities, labels, limits.
