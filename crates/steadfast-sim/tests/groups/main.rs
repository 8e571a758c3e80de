//! The group side of the embedded cluster, rule by rule, as clients see it.

mod coordinators;
mod fixture;
mod joining;
mod rounds;
