//! What is subscribed changes in a running service: a topic that begins to match its pattern, another list in its file.

use libtest_mimic::Trial;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::service::{Service, Workplace};
use steadfast_tests::stage::Stage;

use crate::rehearsal::LIMIT;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("triggers::a_topic_that_appears_is_consumed_from_its_first_record", appears),
        stage.beside("triggers::another_list_of_topics_is_taken_over_without_a_restart", reloaded),
    ]
}

fn config(cluster: &Cluster, group: &str, topics: &str) -> String {
    let bootstrap = cluster.bootstrap();
    format!(
        "{topics}\n\n[kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n\"group.id\" = \"{group}\"\n\n\
         [drift]\npoll_interval = \"500ms\"\n"
    )
}

/// The service goes on from one partition to those of a topic with four, and loses nothing of what is written to them.
fn follows(cluster: &Cluster, mut service: Service, topic: &str) -> Service {
    let plan =
        Plan { bootstrap: cluster.bootstrap(), topic: topic.to_owned(), partitions: 4, per_second: 200 };
    let load = Load::start(plan).unwrap();
    service.wait_until_consuming(LIMIT, 5).unwrap();
    let acked = load.stop().unwrap();
    let verdict = service.verdict_within(LIMIT, &acked).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}\n{}", service.story());
    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
    service
}

fn appears(cluster: &Cluster) {
    cluster.create_topic("triggers-one", 1, &[]).unwrap();
    let workplace = Workplace::new().unwrap();
    workplace
        .configure(&config(cluster, "triggers-pattern", "topics_pattern = \"triggers-.*|__.*\""))
        .unwrap();
    let service = Service::run(&workplace, &[]).unwrap();
    service.wait_until_consuming(LIMIT, 1).unwrap();
    cluster.create_topic("triggers-many", 4, &[]).unwrap();
    let service = follows(cluster, service, "triggers-many");
    let rebalanced = service.events_named("group.rebalanced");
    let reasons: Vec<&str> = rebalanced.iter().filter_map(|event| event.json["reason"].as_str()).collect();
    assert!(reasons.contains(&"topics began or ceased to match the pattern"), "{}", service.story());
    // The topic of the coordinators is there, and matches: it is Kafka's own.
    assert!(!service.story().contains("__consumer_offsets"), "{}", service.story());
}

fn reloaded(cluster: &Cluster) {
    for (topic, partitions) in [("reload-one", 1), ("reload-many", 4)] {
        cluster.create_topic(topic, partitions, &[]).unwrap();
    }
    let workplace = Workplace::new().unwrap();
    workplace.configure(&config(cluster, "triggers-reload", "topics = [\"reload-one\"]")).unwrap();
    let service = Service::run(&workplace, &[]).unwrap();
    service.wait_until_consuming(LIMIT, 1).unwrap();
    let both = "topics = [\"reload-one\", \"reload-many\"]";
    workplace.configure(&config(cluster, "triggers-reload", both)).unwrap();
    let service = follows(cluster, service, "reload-many");
    assert_eq!(service.events_named("config.reloaded")[0].json["applied"], serde_json::json!(["topics"]));
    assert_eq!(service.events_named("service.started").len(), 1);
    let changed = service.events_named("group.rebalanced");
    let changed = changed.iter().filter(|event| event.json["reason"] == "the subscription changed").count();
    assert_eq!(changed, 1, "{}", service.story());
}
