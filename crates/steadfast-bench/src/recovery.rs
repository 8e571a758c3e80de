//! How long the service takes to recover: 20 moves of each case, measured from outside.

pub mod cases;
pub mod figures;
pub mod report;
