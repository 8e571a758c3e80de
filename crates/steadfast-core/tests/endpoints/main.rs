//! How drift is noticed, agreed on and recovered from, as specifications (docs/ARCHITECTURE.md).

mod agreement;
mod agreement_laws;
mod hours;
mod race;
mod race_laws;
mod respawn;
mod respawn_laws;
mod scene;
