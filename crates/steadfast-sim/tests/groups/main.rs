//! The group side of the embedded cluster, rule by rule, as clients see it.

mod administration;
mod chaos;
mod commits;
mod consumers;
mod coordinators;
mod fixture;
mod joining;
mod leaving;
mod offsets;
mod protocols;
mod rounds;
mod statics;
mod transactions;
mod versions;
