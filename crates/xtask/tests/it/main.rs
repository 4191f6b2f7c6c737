//! `xtask` as developers call it: the program, from outside.

#[cfg(unix)]
mod postgres;
