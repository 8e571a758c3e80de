//! Which assignor a group agrees on.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{RequestKind, ResponseKind, SyncGroupRequest};

use crate::fixture::{GROUP, Join, Stage, text};

#[test]
fn the_assignor_that_most_prefer_of_those_that_all_speak_is_chosen() {
    let mut stage = Stage::new();
    let speaks = |names: &[&'static str]| names.iter().map(|name| (*name, "orders")).collect::<Vec<_>>();
    let wishes =
        [speaks(&["range", "sticky"]), speaks(&["other", "sticky", "range"]), speaks(&["sticky", "range"])];
    let first = stage.invite();
    let join = |member: &str, wish: &Vec<_>| Join { protocols: wish.clone(), ..Join::of(member) };
    stage.join(&join(&first, &wishes[0]));
    let second = stage.invite();
    let third = stage.invite();
    let waiting = [stage.park(&join(&second, &wishes[1])), stage.park(&join(&third, &wishes[2]))];
    let answer = stage.join(&join(&first, &wishes[0]));
    assert_eq!(answer.protocol_name.as_deref(), Some("sticky"));
    for ticket in waiting {
        assert_eq!(stage.joined(ticket).protocol_name.as_deref(), Some("sticky"));
    }
}

#[test]
fn who_speaks_nothing_that_all_others_speak_is_refused() {
    let mut stage = Stage::new();
    stage.stable_alone();
    let inconsistent = ResponseError::InconsistentGroupProtocol.code();
    let foreign = Join { protocols: vec![("other", "orders")], ..Join::new() };
    assert_eq!(stage.join(&foreign).error_code, inconsistent);
    assert_eq!(stage.join(&Join { protocol_type: "connect", ..Join::new() }).error_code, inconsistent);
    assert_eq!(stage.join(&Join { protocols: Vec::new(), ..Join::new() }).error_code, inconsistent);
}

#[test]
fn the_first_member_must_speak_something() {
    let mut stage = Stage::new();
    let inconsistent = ResponseError::InconsistentGroupProtocol.code();
    assert_eq!(stage.join(&Join { protocols: Vec::new(), ..Join::new() }).error_code, inconsistent);
    assert_eq!(stage.join(&Join { protocol_type: "", ..Join::new() }).error_code, inconsistent);
}

#[test]
fn a_sync_for_another_assignor_is_refused() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    let mut sync = |name: Option<&str>| {
        let request = SyncGroupRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(text(&member))
            .with_generation_id(1)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(name.map(text));
        match stage.ask_coordinator(5, RequestKind::SyncGroup(request)) {
            Ok(ResponseKind::SyncGroup(answer)) => answer.error_code,
            other => panic!("{other:?}"),
        }
    };
    let inconsistent = ResponseError::InconsistentGroupProtocol.code();
    assert_eq!(sync(Some("range")), 0);
    assert_eq!(sync(Some("sticky")), inconsistent);
    assert_eq!(sync(None), inconsistent);
}
