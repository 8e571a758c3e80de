//! Members of a group that are played under virtual time too, while endpoints move. What needs no moves stands in
//! tests/tests/wire.

use libtest_mimic::Trial;
use steadfast_tests::stage::Stage;

use crate::staged;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    staged::members::trials(stage)
}
