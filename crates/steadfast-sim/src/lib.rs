//! The drift proxy: moves the advertised endpoints of a real Kafka cluster on command.

pub mod proxy;
