//! The demonstration: a cluster, a load and the real service in one process; every endpoint moves in mid-flow, and
//! what happened is told.
//!
//! [`plan`] says what is played, [`seen`] what was seen of it from outside, [`outcome`] what that comes to: these
//! and the three ways to tell it ([`story`], [`report`], [`picture`]) are pure.

mod outcome;
mod picture;
mod plan;
mod report;
mod seen;
mod story;
mod timeline;

#[cfg(test)]
mod sample;
