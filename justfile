tools := justfile_directory() / "target/tools"
librdkafka := "steadfast-tests/librdkafka,steadfast-bench/librdkafka"
kafka_3 := "3.9.2"

# What continuous integration runs; .ci/run installs what it needs.
ci: lint test doc deny

# Formatting and lints.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features {{librdkafka}} -- -D warnings

# Those on a real Apache Kafka need JDK 17 and Maven (without them they are ignored), those with librdkafka a C++
# compiler and make. Always the same packages and features: with others all would be built twice.
# Every suite.
test: && test-kafka-3
    cargo test --workspace --features {{librdkafka}}

# What Kafka answers, and the main job, on the last Kafka 3. What other clients make of it is tried on the newest only.
test-kafka-3:
    KAFKA_VERSION={{kafka_3}} cargo test --workspace --features {{librdkafka}} --test wire -- kafka:: --skip clients:: --skip content::
    KAFKA_VERSION={{kafka_3}} cargo test --workspace --features {{librdkafka}} --test kafka -- recovery::
    KAFKA_VERSION={{kafka_3}} cargo test --workspace --features {{librdkafka}} --test kafka -- members::

# Builds all tests and runs none.
build:
    cargo test --workspace --features {{librdkafka}} --no-run

# Puts the jars of both Kafkas where Maven finds them without the network.
jars:
    mvn -q -B -f tests/kafka/pom.xml dependency:resolve
    mvn -q -B -f tests/kafka/pom.xml -Dkafka.version={{kafka_3}} dependency:resolve

# Programs that are missing ignore their trials; .ci/run installs them. `just test` runs them too.
# Trials of what a deployment is made of: the unit, the image, manifests, examples, completions, the manual.
deploy *filter:
    PATH="{{tools}}/bin:{{tools}}/python/bin:$PATH" cargo test --package steadfast --test deploy -- {{filter}}

# The documentation, with every link in it.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Licences, bans and sources of what we depend on.
deny:
    cargo deny check licenses bans sources

fmt:
    cargo fmt --all

# Writes docs/events.md anew from the list of events.
events:
    UPDATE=1 cargo test --quiet --package steadfast --lib events::tests

# The main job in one process, on a cluster in memory: just demo [--mode blackhole] (--help has the rest).
demo *options:
    cargo run --quiet --release --package steadfast -- demo {{options}}

# Draws the README's picture from a real run.
picture:
    cargo run --quiet --release --package steadfast -- demo --rate 6000 --records 24000 --picture docs/recovery.svg

# The main job on a real Kafka: every endpoint moves in mid-flow (old ports refuse; or: just drift blackhole).
drift how="refuse":
    cargo build --quiet --release --package steadfast --package steadfast-bench
    "${CARGO_TARGET_DIR:-target}/release/story" {{how}}

# Simulated worlds with faults drawn at random, all invariants checked: just simulate --seeds 1000 [--from S], --seed S;
# with --crowds groups of up to twenty members.
simulate *options:
    cargo run --quiet --release --package steadfast-tests --bin simulate -- {{options}}

# The mutation check: ten deliberate defects, each against up to 300 simulated worlds (about half an hour).
mutants *options:
    tests/mutations/run {{options}}

# recovery, rebalance: beside today's clients; moves: steadfast alone, with pauses; watch: what idling costs; drift: the
# judgement; assignors: beside Java's.
# Measures: just bench recovery|rebalance|moves|watch|drift|assignors (--help has the options).
bench what *options:
    cargo build --quiet --release --package steadfast --package steadfast-bench {{ if what =~ "recovery|rebalance" { "--features krafka," + librdkafka } else { "" } }}
    "${CARGO_TARGET_DIR:-target}/release/{{what}}" {{options}}
