//! The core does what the model does, whatever is done.

use crate::{
    actions::{Action, action},
    core::{Core, Ground, Walker},
    model::Model,
    support::cases,
};
use proptest::prelude::*;

fn compare(actions: &[Action], chunk: usize) {
    let ground = Ground::new(chunk);
    let mut core = Walker::new(Core::new(&ground));
    let mut model = Walker::new(Model::new());
    for (at, action) in actions.iter().enumerate() {
        let (got, expected) = (core.act(action), model.act(action));
        assert_eq!(got, expected, "action {at}: {action:?}");
        // A commit in between changes nothing that can be seen.
        if at % 17 == 16 {
            core.fs.sync();
        }
    }
    let expected = model.all();
    assert_eq!(core.all(), expected);
    core.fs.sync();
    assert_eq!(core.all(), expected, "after a commit");
    drop(core);
    assert_eq!(Walker::new(Core::new(&ground)).all(), expected, "opened again");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_core_does_what_the_model_does(
        actions in proptest::collection::vec(action(), 1..120),
        chunk in prop_oneof![Just(1024usize), Just(4096), Just(262_144)],
    ) {
        compare(&actions, chunk);
    }
}
