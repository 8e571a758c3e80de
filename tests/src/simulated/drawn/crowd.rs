//! What a seed draws of a crowd: one group of many members, and what befalls them.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Nodes};
use tracing::Level;

use super::{Drawn, PEACE, SECOND, Settings, whole};
use crate::simulated::deeds::{Deed, Step};
use crate::simulated::world::Plan;

/// So many members at most.
const MOST: usize = 20;

/// What may befall a crowd.
struct Crowd {
    /// Those that are members, or begin to be.
    there: Vec<usize>,
    /// Those that are not.
    away: Vec<usize>,
    steps: Vec<Step>,
}

impl Drawn {
    /// Draws a crowd.
    pub fn crowd(seed: u64) -> Drawn {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x00c0_ffee);
        let mut settings = Settings::draw(&mut dice);
        settings.session = dice.random_range(6..=8) * SECOND;
        settings.rebalance = settings.session + 5 * SECOND;
        let least = Duration::from_micros(dice.random_range(100..2_000));
        let services = dice.random_range(4..=12);
        let mut plan = Plan {
            brokers: 3,
            services,
            partitions: dice.random_range(8..=24),
            settings: settings.to_string(),
            latency: (least, least + Duration::from_millis(3)),
            level: Level::INFO,
            ..Plan::new(seed)
        };
        if dice.random_bool(0.4) {
            plan.load_time = Duration::from_millis(dice.random_range(10..2_000));
        }
        let crowd = Crowd {
            there: (1..=services).collect(),
            away: (services + 1..=MOST).rev().collect(),
            steps: Vec::new(),
        };
        let steps = crowd.befallen(&mut dice, &settings);
        Drawn { rate: 20.0, limits: settings.limits(), plan, steps }
    }
}

impl Crowd {
    fn befallen(mut self, dice: &mut StdRng, settings: &Settings) -> Vec<Step> {
        let mut at = PEACE;
        for _ in 0..dice.random_range(6..=14) {
            at += whole(4 * SECOND.mul_f64(dice.random_range(0.0..1.0)));
            self.befall(dice, at, settings);
        }
        self.steps.sort_by_key(|step| step.at);
        self.steps
    }

    fn befall(&mut self, dice: &mut StdRng, at: Duration, settings: &Settings) {
        match dice.random_range(0..8) {
            0 | 1 => self.join(at),
            2 => self.part(dice, at, Deed::Leave),
            3 => self.part(dice, at, Deed::Kill),
            4 => self.freeze(dice, at, settings.session),
            5 => self.fault(at, Fault::MoveCoordinator),
            6 => self
                .fault(at, Fault::SilenceConnections { nodes: Nodes::one(NodeId(dice.random_range(1..=3))) }),
            _ => {
                let number = self.there[dice.random_range(0..self.there.len())];
                self.steps.push(Step { at, deed: Deed::Crash(number, dice.random_range(0..100)) });
            }
        }
    }

    fn join(&mut self, at: Duration) {
        if let Some(number) = self.away.pop() {
            self.there.push(number);
            self.steps.push(Step { at, deed: Deed::Join(number) });
        }
    }

    /// One goes: somebody stays in any case.
    fn part(&mut self, dice: &mut StdRng, at: Duration, how: fn(usize) -> Deed) {
        if self.there.len() > 2 {
            let number = self.there.swap_remove(dice.random_range(0..self.there.len()));
            self.steps.push(Step { at, deed: how(number) });
        }
    }

    /// One hears nobody, and nobody hears it, for less than its session or for longer.
    fn freeze(&mut self, dice: &mut StdRng, at: Duration, session: Duration) {
        let number = self.there[dice.random_range(0..self.there.len())];
        let until = whole(at + session.mul_f64(dice.random_range(0.2..2.0)));
        let what = format!("service {number} is frozen at {} ms", at.as_millis());
        self.steps.push(Step { at, deed: Deed::Begin(what.clone()) });
        self.steps.push(Step { at, deed: Deed::CutOff(number, true) });
        self.steps.push(Step { at: until, deed: Deed::CutOff(number, false) });
        self.steps.push(Step { at: until, deed: Deed::End(what) });
    }

    fn fault(&mut self, at: Duration, fault: Fault) {
        let what = format!("{fault} at {} ms", at.as_millis());
        self.steps.push(Step { at, deed: Deed::Begin(what.clone()) });
        self.steps.push(Step { at, deed: Deed::Fault(fault) });
        self.steps.push(Step { at, deed: Deed::End(what) });
    }
}
