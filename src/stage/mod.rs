//! The choreography: which process does what, and when.
