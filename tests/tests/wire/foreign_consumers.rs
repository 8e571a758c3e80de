//! Members of Java and librdkafka that speak the consumer protocol (KIP-848), and groups of theirs that go from one
//! protocol to the other. None is ours: what the cluster does is what they expect of Kafka.

use steadfast_tests::brokers::Brokers;
use steadfast_tests::company::{ALL, Company, await_settling};
use steadfast_tests::either::Scene;

use crate::members::HALF;

pub(crate) const WITH_JAVA: &[Scene] = &[
    ("members::librdkafka_and_java_share_under_the_consumer_protocol", share),
    ("members::a_group_goes_to_the_consumer_protocol_and_back", there_and_back),
];

fn share(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-foreign-consumers");
    let librdkafka = company.librdkafka_of_the_consumer_protocol();
    await_settling(&[(&librdkafka, ALL)]);
    let java = company.java_of_the_consumer_protocol();
    await_settling(&[(&librdkafka, HALF), (&java, HALF)]);
    let third = company.java_of_the_consumer_protocol();
    await_settling(&[(&librdkafka, ALL / 3), (&java, ALL / 3), (&third, ALL / 3)]);
    company.see_off_reader(librdkafka);
    await_settling(&[(&java, HALF), (&third, HALF)]);
    company.kill(java);
    await_settling(&[(&third, ALL)]);
    company.disband_java(third);
}

fn there_and_back(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-migrating");
    let (first, second) = (company.librdkafka("range,roundrobin"), company.java("range"));
    await_settling(&[(&first, HALF), (&second, HALF)]);
    let consumer = company.java_of_the_consumer_protocol();
    await_settling(&[(&first, ALL / 3), (&second, ALL / 3), (&consumer, ALL / 3)]);
    company.see_off(second);
    await_settling(&[(&first, HALF), (&consumer, HALF)]);
    company.see_off(consumer);
    await_settling(&[(&first, ALL)]);
    let last = company.java("range");
    await_settling(&[(&first, HALF), (&last, HALF)]);
    company.see_off_reader(first);
    await_settling(&[(&last, ALL)]);
    company.disband_java(last);
}
