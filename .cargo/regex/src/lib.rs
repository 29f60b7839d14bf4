//! `regex-lite` under the name `regex`: no Unicode tables, no automata, and 0.9 MB less in a binary that matches short
//! names only. What is missing from it does not compile, so nothing can go wrong unseen.
pub use regex_lite::*;
