//! The state file: the pinned cluster and the endpoints that worked last.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, NodeId};

use crate::env::Store;

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastKnownGood {
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) endpoints: BTreeMap<i32, Address>,
}

/// The name of the state file.
pub(crate) const LAST_KNOWN_GOOD: &str = "endpoints.json";

impl LastKnownGood {
    /// What is kept of a view.
    pub(crate) fn of(view: &View<NodeId>) -> LastKnownGood {
        let endpoints = view.endpoints.iter().map(|(node, at)| (node.0, at.address.clone())).collect();
        LastKnownGood { cluster: view.cluster.clone(), endpoints }
    }

    /// The view that it was kept of.
    pub(crate) fn view(&self) -> View<NodeId> {
        let endpoints = self.endpoints.iter().map(|(node, at)| (NodeId(*node), at.clone()));
        View::new(self.cluster.clone(), endpoints)
    }

    /// What was stored last; a file that cannot be read counts as none, and is reported.
    pub(crate) fn load(store: &dyn Store) -> Result<Option<LastKnownGood>, String> {
        let bytes = store.load(LAST_KNOWN_GOOD).map_err(|error| error.to_string())?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())).transpose()
    }

    /// Stores it for the next start.
    pub(crate) fn store(&self, store: &dyn Store) -> io::Result<()> {
        store.save(LAST_KNOWN_GOOD, &serde_json::to_vec(self)?)
    }
}
