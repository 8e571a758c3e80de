//! Whole-service suites on a real Apache Kafka.
