//! Which nodes have confirmed where they are, from one agreed view to the next.

use std::collections::BTreeSet;

use super::view::View;

/// The nodes of `view` that may be used: those that confirm their address now, and those that did so `before` at the
/// same address and do not deny it now. Who is silent denies nothing: it may be what a suspicion is about.
pub fn confirmed<N: Ord + Clone>(
    view: &View<N>,
    verified: &BTreeSet<N>,
    denied: &BTreeSet<N>,
    before: Option<(&View<N>, &BTreeSet<N>)>,
) -> BTreeSet<N> {
    let stands = |node: &N| {
        let was = before.filter(|(_, confirmed)| confirmed.contains(node));
        was.is_some_and(|(before, _)| before.address(node) == view.address(node))
    };
    let usable = |node: &&N| verified.contains(*node) || stands(node) && !denied.contains(*node);
    view.endpoints.keys().filter(usable).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::endpoints::view::Address;

    fn nodes() -> impl Strategy<Value = BTreeSet<i32>> {
        proptest::collection::btree_set(0..6i32, 0..6)
    }

    fn view() -> impl Strategy<Value = View<i32>> {
        proptest::collection::btree_map(0..6i32, 1..4u16, 0..6).prop_map(|endpoints: BTreeMap<i32, u16>| {
            View::new(None, endpoints.into_iter().map(|(node, port)| (node, Address::new("h", port))))
        })
    }

    proptest! {
        #[test]
        fn each_node_counts_on_its_own_word_and_its_last_word_counts(
            before in view(), was in nodes(), now in view(), said in nodes(), denied in nodes(),
        ) {
            let verified: BTreeSet<i32> = said.difference(&denied).copied().collect();
            let found = confirmed(&now, &verified, &denied, Some((&before, &was)));
            for node in 0..6 {
                let listed = now.address(&node).is_some();
                let stayed = was.contains(&node) && before.address(&node) == now.address(&node);
                let expected = listed && !denied.contains(&node) && (verified.contains(&node) || stayed);
                prop_assert_eq!(found.contains(&node), expected, "{}", node);
            }
        }

        #[test]
        fn without_a_view_before_only_those_count_that_say_so_now(now in view(), said in nodes(), denied in nodes()) {
            let found = confirmed(&now, &said, &denied, None);
            prop_assert!(found.iter().all(|node| said.contains(node) && now.address(node).is_some()));
        }

        #[test]
        fn silence_changes_nothing(view in view(), was in nodes()) {
            let once = confirmed(&view, &BTreeSet::new(), &BTreeSet::new(), Some((&view, &was)));
            let twice = confirmed(&view, &BTreeSet::new(), &BTreeSet::new(), Some((&view, &once)));
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(once, was.into_iter().filter(|node| view.address(node).is_some()).collect());
        }
    }
}
