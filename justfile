# What continuous integration runs; .ci/run installs what it needs.
ci: lint test doc deny

# Formatting and lints.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Every suite, that on a real Apache Kafka included (it needs JDK 17 and Maven; without them it is ignored).
test:
    cargo test --workspace

# The documentation, with every link in it.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Licences, bans and sources of what we depend on.
deny:
    cargo deny check licenses bans sources

fmt:
    cargo fmt --all
