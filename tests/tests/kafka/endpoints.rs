//! `steadfast endpoints` on a real Kafka: drift through the proxy, and a change between two clusters.

use libtest_mimic::Trial;
use serde_json::{Value, json};
use steadfast_core::ids::ClusterId;
use steadfast_sim::embedded::{Embedded, Spec};
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::finished::run_to_the_end;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::{Workplace, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::writer::Filling;

use crate::cli::told;
use crate::rehearsal::proxied;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("endpoints::drift_is_told_of_brokers_that_moved", drift),
        stage.beside("endpoints::another_cluster_is_accepted_and_so_is_the_way_back", accept),
    ]
}

fn endpoints(workplace: &Workplace, arguments: &[&str]) -> (i32, Value) {
    let file = workplace.config().display().to_string();
    let arguments = [&["endpoints", "--config", &file, "--output", "json"], arguments].concat();
    let (code, out, err) = told(&arguments, workplace);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
}

fn drift(cluster: &Cluster) {
    let (runtime, proxy) = proxied(cluster);
    let workplace = Workplace::new().unwrap();
    workplace.configure(&usual_config(&proxy.bootstrap().to_string(), "endpoints", "endpoints")).unwrap();
    let before = workplace.path("before.json").display().to_string();
    assert_eq!(endpoints(&workplace, &["--save", &before]).0, 0);
    let compare = ["--baseline", before.as_str()];
    let (code, told) = endpoints(&workplace, &compare);
    assert_eq!(
        (code, &told["result"], &told["agreed"]["support"]),
        (0, &json!("no_drift"), &json!(3)),
        "{told:#}"
    );

    let moved = runtime.block_on(proxy.move_endpoints(Nodes::All, Old::BlackHole)).unwrap();
    let (code, told) = endpoints(&workplace, &compare);
    assert_eq!((code, &told["drift"]["action"]), (1, &json!("respawn")), "{told:#}");
    for change in told["drift"]["changes"].as_array().unwrap() {
        let node = i32::try_from(change["node"].as_i64().unwrap()).unwrap();
        assert_eq!(change["kind"], "moved");
        assert_eq!(change["from"], moved.from[&node].to_string());
        assert_eq!(change["to"], moved.to[&node].to_string());
    }
    assert_eq!(told["drift"]["changes"].as_array().map(Vec::len), Some(3), "{told:#}");
}

fn accept(cluster: &Cluster) {
    const TOPIC: &str = "endpoints-accept";
    cluster.create_topic(TOPIC, 2, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    Filling::new(&bootstrap, TOPIC, 2, 30).write().unwrap();
    let workplace = Workplace::new().unwrap();
    let here = usual_config(&bootstrap, TOPIC, TOPIC);
    run_to_the_end(&workplace, &here);
    let (code, told) = endpoints(&workplace, &[]);
    assert_eq!((code, &told["result"]), (0, &json!("no_drift")), "{told:#}");
    let real = told["agreed"]["cluster"].as_str().unwrap().to_owned();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = {
        let _inside = runtime.enter();
        Embedded::on_loopback(&Spec { cluster: ClusterId::from("other"), ..Spec::default() }).unwrap()
    };
    other.with(|cluster| cluster.create_topic(TOPIC, 1)).unwrap();
    workplace.configure(&usual_config(&other.bootstrap().to_string(), TOPIC, TOPIC)).unwrap();
    // What was stored leads to the first cluster, which is there and is the pinned one.
    let (code, told) = endpoints(&workplace, &[]);
    assert_eq!((code, &told["agreed"]["cluster"]), (0, &json!(real)), "{told:#}");
    assert_eq!(told["elsewhere"]["other"], json!([other.bootstrap()]), "{told:#}");
    let (code, told) = endpoints(&workplace, &["--accept-cluster", "other"]);
    assert_eq!((code, &told["was"]), (0, &json!(real)), "{told:#}");
    let nothing = json!([{"partition": 0, "committed": null}]);
    assert_eq!(told["offsets"], json!([{"topic": TOPIC, "partitions": nothing}]));

    workplace.configure(&here).unwrap();
    let (code, told) = endpoints(&workplace, &["--accept-cluster", &real]);
    assert_eq!((code, &told["was"]), (0, &json!("other")), "{told:#}");
    let committed = json!([{"partition": 0, "committed": 30}, {"partition": 1, "committed": 30}]);
    assert_eq!(told["offsets"], json!([{"topic": TOPIC, "partitions": committed}]));
}
