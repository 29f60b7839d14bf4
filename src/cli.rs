//! The command line, declared once: help, man pages and completions come from it.
