//! Members under the consumer protocol (KIP-848): the coordinator assigns, and only what moves is given up.

use steadfast_sim::faults::Old;

use super::members::{
    await_owned, expect_given_up_only, expect_nothing_given_up, given_up, joins, owned, rounds,
};
use super::{Company, Endpoints, Gathering, Member, PARTITIONS, named, story};

/// Hands the names of this room's scenarios to a macro: the one list that all stages play.
#[macro_export]
macro_rules! consumer_protocol_scenarios {
    ($play:ident) => {
        $play! { consumer_protocol:
            members_come_and_go_while_every_endpoint_moves,
            a_member_that_crashes_is_replaced,
            a_static_member_that_restarts_is_not_noticed,
            a_group_is_switched_member_by_member,
        }
    };
}

const ALL: usize = PARTITIONS;
const HALF: usize = ALL / 2;
const CONSUMER: &str = "\"group.protocol\" = \"consumer\"\n";

/// The consumer is replaced, the membership is not: nobody gives anything up for it.
pub async fn members_come_and_go_while_every_endpoint_moves(stage: &mut impl Gathering) {
    let mut company = stage.gather("consumer-protocol-moved", Endpoints::Movable).await;
    let (first, second) = pair(&mut company, CONSUMER, CONSUMER).await;
    expect_given_up_only(&first, &owned(&first));
    let before = given_up(&first);
    let moved = company.shift(Old::Refuse).await;
    for member in [&first, &second] {
        let respawned = || member.first_told("consumer.respawned", moved);
        company.until("consumer.respawned", respawned).await;
    }
    company.await_sharing(&[(&first, HALF), (&second, HALF)]).await;
    assert_eq!(given_up(&first), before, "{}", story(&first.events()));
    expect_nothing_given_up(&second);
    company.retire(first).await;
    await_owned(&company, &second, ALL).await;
    expect_nothing_given_up(&second);
    company.await_sharing(&[(&second, ALL)]).await;
    company.disband(vec![second]).await;
}

/// It is missed when its session ends, which the brokers count; who is left goes on from what it had committed.
pub async fn a_member_that_crashes_is_replaced(stage: &mut impl Gathering) {
    let mut company = stage.gather("consumer-protocol-crash", Endpoints::Fixed).await;
    let (first, second) = pair(&mut company, CONSUMER, CONSUMER).await;
    company.crash(first).await;
    await_owned(&company, &second, ALL).await;
    expect_nothing_given_up(&second);
    company.await_sharing(&[(&second, ALL)]).await;
    company.disband(vec![second]).await;
}

/// It leaves for a while, and finds what it had.
pub async fn a_static_member_that_restarts_is_not_noticed(stage: &mut impl Gathering) {
    let mut company = stage.gather("consumer-protocol-static", Endpoints::Fixed).await;
    let first = format!("{CONSUMER}\"group.instance.id\" = \"first\"\n");
    let (first, second) = pair(&mut company, &first, CONSUMER).await;
    let (had, before) = (owned(&first), rounds(&second).len());
    let place = company.retire(first).await;
    let first = company.rejoins(place).await;
    assert_eq!(await_owned(&company, &first, HALF).await, had);
    company.await_sharing(&[(&first, HALF), (&second, HALF)]).await;
    assert_eq!(rounds(&second).len(), before, "{}", story(&second.events()));
    company.disband(vec![first, second]).await;
}

/// The first of the new kind converts the group; the classic one goes on in it until its turn comes.
pub async fn a_group_is_switched_member_by_member(stage: &mut impl Gathering) {
    let mut company = stage.gather("consumer-protocol-switched", Endpoints::Fixed).await;
    let classic = "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n";
    let (first, second) = pair(&mut company, classic, classic).await;
    company.retire(first).await;
    await_owned(&company, &second, ALL).await;
    let first = joins(&mut company, &second, CONSUMER).await;
    assert!(named(second.events(), "member.refused").is_empty(), "{}", story(&second.events()));
    company.retire(second).await;
    await_owned(&company, &first, ALL).await;
    let second = joins(&mut company, &first, CONSUMER).await;
    company.disband(vec![first, second]).await;
}

/// A member alone, and another that joins it.
async fn pair<C: Company>(company: &mut C, one: &str, other: &str) -> (C::Member, C::Member) {
    let first = company.joins(one).await;
    await_owned(company, &first, ALL).await;
    company.await_sharing(&[(&first, ALL)]).await;
    let second = joins(company, &first, other).await;
    (first, second)
}
