//! The picture of a recovery, as SVG: a lane for each partition, a tick for each delivery, the phases shaded.
//!
//! It is read in light and in dark surroundings: its colours follow the reader's preference.

use std::fmt::Write;
use std::time::Duration;

use super::outcome::Outcome;
use super::plan::Mode;
use super::seen::{Move, Seen};
use super::story::millis;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 936.0;
/// Where the strip of phases begins, and how high it is.
const STRIP: f64 = 92.0;
const STRIP_HEIGHT: f64 = 22.0;
/// Where the lanes begin.
const LANES: f64 = STRIP + STRIP_HEIGHT + 8.0;
/// All lanes together, unless they become too high or too low by that.
const LANES_HEIGHT: f64 = 240.0;
/// What a letter of a label takes.
const LETTER: f64 = 6.4;

/// The picture, or none if nothing moved.
pub(crate) fn svg(seen: &Seen, outcome: &Outcome) -> Option<String> {
    let moved = seen.moved.as_ref()?;
    let chart = Chart::over(seen, outcome, moved);
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = chart.draw(&mut svg, seen, outcome);
    Some(svg)
}

/// A shaded stretch of time.
struct Stretch {
    name: &'static str,
    class: &'static str,
    begin: Duration,
    length: Duration,
}

/// Where a time and a partition are on the paper.
struct Chart {
    zero: Duration,
    from: Duration,
    until: Duration,
    partitions: i32,
    lane: f64,
    stretches: Vec<Stretch>,
}

impl Chart {
    fn over(seen: &Seen, outcome: &Outcome, moved: &Move) -> Chart {
        let stretches = stretches(outcome, moved);
        let over = stretches.iter().map(|stretch| stretch.begin + stretch.length).max().unwrap_or(moved.at);
        let resumed = outcome.resumed.values().max().copied().unwrap_or_default();
        let span = over.max(moved.at + resumed).saturating_sub(moved.at).max(Duration::from_millis(20));
        let partitions = seen.plan.partitions;
        Chart {
            zero: moved.at,
            from: moved.at.saturating_sub(span.mul_f64(0.8)),
            until: moved.at + span.mul_f64(1.8),
            partitions,
            lane: (LANES_HEIGHT / f64::from(partitions)).clamp(5.0, 22.0),
            stretches,
        }
    }

    fn draw(&self, svg: &mut String, seen: &Seen, outcome: &Outcome) -> std::fmt::Result {
        let height = self.bottom() + 96.0;
        write!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title">"#
        )?;
        write!(svg, "<style>{STYLE}</style>")?;
        write!(svg, r#"<rect class="paper" width="{WIDTH}" height="{height:.0}" rx="10"/>"#)?;
        heading(svg, seen, outcome)?;
        self.shade(svg)?;
        self.axis(svg)?;
        self.lanes(svg, seen, outcome)?;
        self.mark_move(svg)?;
        self.legend(svg)?;
        proof(svg, outcome, height - 18.0)?;
        svg.push_str("</svg>\n");
        Ok(())
    }

    fn x(&self, at: Duration) -> f64 {
        let share = (at.as_secs_f64() - self.from.as_secs_f64()) / (self.until - self.from).as_secs_f64();
        LEFT + share * (RIGHT - LEFT)
    }

    fn y(&self, partition: i32) -> f64 {
        LANES + f64::from(partition) * self.lane
    }

    fn bottom(&self) -> f64 {
        self.y(self.partitions)
    }

    /// The strip of phases, and their shades over the lanes.
    fn shade(&self, svg: &mut String) -> std::fmt::Result {
        let depth = self.bottom() - LANES;
        for Stretch { name, class, begin, length } in &self.stretches {
            let (x, end) = (self.x(*begin), self.x(*begin + *length));
            let width = (end - x).max(1.0);
            write!(
                svg,
                r#"<rect class="shade {class}" x="{x:.2}" y="{LANES}" width="{width:.2}" height="{depth:.1}"/>"#
            )?;
            write!(
                svg,
                r#"<rect class="{class}" x="{x:.2}" y="{STRIP}" width="{width:.2}" height="{STRIP_HEIGHT}"/>"#
            )?;
            if width > letters(name) + 8.0 {
                let (x, y) = (x + width / 2.0, STRIP + STRIP_HEIGHT / 2.0 + 4.0);
                write!(svg, r#"<text class="on" x="{x:.1}" y="{y}" text-anchor="middle">{name}</text>"#)?;
            }
        }
        Ok(())
    }

    fn axis(&self, svg: &mut String) -> std::fmt::Result {
        let bottom = self.bottom();
        let step = step((self.until - self.from).as_secs_f64() * 1e3 / 9.0);
        let before = (self.zero - self.from).as_secs_f64() * 1e3;
        let after = (self.until - self.zero).as_secs_f64() * 1e3;
        let mut ms = -(before / step).floor() * step;
        while ms <= after {
            let x = LEFT + (ms + before) / (before + after) * (RIGHT - LEFT);
            write!(svg, r#"<line class="grid" x1="{x:.1}" y1="{LANES}" x2="{x:.1}" y2="{bottom:.1}"/>"#)?;
            // At the very edge a label would not fit.
            if x < RIGHT - 20.0 {
                let (sign, y) = (if ms > 0.0 { "+" } else { "" }, bottom + 16.0);
                write!(
                    svg,
                    r#"<text class="dim" x="{x:.1}" y="{y:.1}" text-anchor="middle">{sign}{ms:.0} ms</text>"#
                )?;
            }
            ms += step;
        }
        Ok(())
    }

    fn lanes(&self, svg: &mut String, seen: &Seen, outcome: &Outcome) -> std::fmt::Result {
        let every = (12.0 / self.lane).ceil() as i32;
        for partition in 0..self.partitions {
            let (top, middle) = (self.y(partition), self.y(partition) + self.lane / 2.0);
            if partition % every == 0 {
                let (x, y) = (LEFT - 10.0, middle + 4.0);
                write!(
                    svg,
                    r#"<text class="dim" x="{x}" y="{y:.1}" text-anchor="end">partition {partition}</text>"#
                )?;
            }
            write!(
                svg,
                r#"<line class="lane" x1="{LEFT}" y1="{middle:.1}" x2="{RIGHT}" y2="{middle:.1}"/>"#
            )?;
            write!(svg, r#"<path class="tick" d="{}"/>"#, self.ticks(seen, partition, top))?;
            if let Some(after) = outcome.resumed.get(&partition) {
                let (x, radius) = (self.x(self.zero + *after), (self.lane / 4.0).clamp(1.5, 3.5));
                write!(svg, r#"<circle class="first" cx="{x:.1}" cy="{middle:.1}" r="{radius:.1}"/>"#)?;
            }
        }
        Ok(())
    }

    /// A partition's deliveries as one path: records that came in one batch are one tick.
    fn ticks(&self, seen: &Seen, partition: i32, top: f64) -> String {
        let (top, length) = (top + self.lane * 0.2, self.lane * 0.6);
        let mut path = String::new();
        let mut last = f64::MIN;
        let its = seen.deliveries.iter().filter(|delivery| delivery.mark.partition == partition);
        for delivery in its.filter(|delivery| (self.from..=self.until).contains(&delivery.at)) {
            let x = self.x(delivery.at);
            if x - last >= 0.5 {
                let _ = write!(path, "M{x:.1} {top:.1}v{length:.1}");
                last = x;
            }
        }
        path
    }

    fn mark_move(&self, svg: &mut String) -> std::fmt::Result {
        let (x, bottom) = (self.x(self.zero), self.bottom());
        let (top, y) = (STRIP - 8.0, STRIP - 14.0);
        write!(svg, r#"<line class="move" x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom:.1}"/>"#)?;
        write!(
            svg,
            r#"<text class="strong" x="{x:.1}" y="{y}" text-anchor="middle">every endpoint moves</text>"#
        )
    }

    /// Every phase by name and length, since some are too short to be labelled where they are.
    fn legend(&self, svg: &mut String) -> std::fmt::Result {
        let y = self.bottom() + 42.0;
        let mut x = LEFT;
        for Stretch { name, class, length, .. } in &self.stretches {
            let label = format!("{name} {} ms", millis(*length));
            let top = y - 9.0;
            write!(svg, r#"<rect class="{class}" x="{x:.1}" y="{top:.1}" width="10" height="10" rx="2"/>"#)?;
            write!(svg, r#"<text x="{:.1}" y="{y:.1}">{label}</text>"#, x + 15.0)?;
            x += letters(&label) + 34.0;
        }
        Ok(())
    }
}

/// What is shaded: the time in which nobody could know, then the phases of the respawn.
fn stretches(outcome: &Outcome, moved: &Move) -> Vec<Stretch> {
    let Some(phases) = &outcome.phases else { return Vec::new() };
    let begin = phases.begin().max(moved.at);
    let unnoticed =
        Stretch { name: "unnoticed", class: "p0", begin: moved.at, length: begin.saturating_sub(moved.at) };
    let classes = ["p1", "p2", "p3", "p4", "p5"];
    let named = phases.named().into_iter().zip(classes);
    let phases = named.map(|((name, begin, length), class)| Stretch { name, class, begin, length });
    std::iter::once(unnoticed).chain(phases).collect()
}

fn heading(svg: &mut String, seen: &Seen, outcome: &Outcome) -> std::fmt::Result {
    let plan = &seen.plan;
    let title = match outcome.recovery {
        Some(recovery) => {
            format!("Every endpoint moves; {} ms later every partition flows again", millis(recovery))
        }
        None => "Every endpoint moves; not every partition flows again".to_owned(),
    };
    let old = match plan.mode {
        Mode::Refused => "the old ports refuse",
        Mode::Blackhole => "the old ports stay open, and silent",
    };
    write!(svg, r#"<text class="title" id="title" x="24" y="32">{title}</text>"#)?;
    write!(
        svg,
        r#"<text class="dim" x="24" y="52">Embedded cluster, brokers: {}, {} records/s; {old}. A tick is a delivery, a dot the first record written after the move.</text>"#,
        plan.brokers, plan.rate
    )
}

fn proof(svg: &mut String, outcome: &Outcome, y: f64) -> std::fmt::Result {
    let Outcome { produced, consumed, lost, redelivered, rebalances, respawns, .. } = outcome;
    write!(
        svg,
        r#"<text class="strong" x="{LEFT}" y="{y:.1}">produced {produced} · consumed {consumed} · lost {lost} · redelivered {redelivered} · rebalances {rebalances} · respawns {respawns}</text>"#
    )
}

/// What a label takes, about.
fn letters(label: &str) -> f64 {
    label.chars().count() as f64 * LETTER
}

/// The next of 1, 2, 5, 10, 20, 50, ... that is not below.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    steps.into_iter().find(|step| *step >= least).unwrap_or(power)
}

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:17px;font-weight:600}.strong{font-weight:600}.dim{fill:#59636e}.on{font-size:11px;fill:#fff}\
.paper{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;stroke-width:.5}.lane{stroke:#d1d9e0;stroke-width:1}\
.tick{stroke:#0969da;stroke-width:1.4;fill:none}.first{fill:#1a7f37;stroke:#fff}\
.move{stroke:#cf222e;stroke-width:1.8}.shade{opacity:.13}\
.p0{fill:#818b98}.p1{fill:#bc4c00}.p2{fill:#9a6700}.p3{fill:#8250df}.p4{fill:#bf3989}.p5{fill:#1a7f37}\
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.dim{fill:#9198a1}.on{fill:#0d1117}\
.paper{fill:#0d1117;stroke:#3d444d}.grid,.lane{stroke:#3d444d}.tick{stroke:#4493f8}\
.first{fill:#3fb950;stroke:#0d1117}.move{stroke:#f85149}.shade{opacity:.2}\
.p0{fill:#9198a1}.p1{fill:#db6d28}.p2{fill:#d29922}.p3{fill:#ab7df8}.p4{fill:#db61a2}.p5{fill:#3fb950}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::plan::Plan;
    use crate::demo::sample;

    fn drawn(seen: &Seen) -> String {
        svg(seen, &Outcome::of(seen)).unwrap()
    }

    #[test]
    fn a_recovery_is_drawn_with_a_lane_for_each_partition_and_its_phases() {
        let svg = drawn(&sample::clean());
        assert_eq!(svg.matches("class=\"lane\"").count(), 2);
        assert_eq!(svg.matches("class=\"first\"").count(), 2);
        assert_eq!(svg.matches("class=\"shade").count(), 6);
        for text in ["unnoticed 4.0 ms", "discover 15 ms", "handover 0.5 ms", "52 ms later", "lost 0"] {
            assert!(svg.contains(text), "{text:?} is not in\n{svg}");
        }
    }

    #[test]
    fn only_deliveries_in_the_window_are_drawn() {
        let seen = sample::clean();
        let ticks: usize = drawn(&seen).matches("v").count();
        let mut far = seen.clone();
        far.deliveries.push(sample::delivery(0, 99, 9_000));
        assert_eq!(drawn(&far).matches("v").count(), ticks);
    }

    #[test]
    fn every_element_is_closed() {
        let svg = drawn(&sample::clean());
        let opened = svg.matches('<').count() - svg.matches("</").count() - svg.matches("/>").count();
        assert_eq!(opened, svg.matches("</").count());
    }

    #[test]
    fn many_partitions_stay_on_the_paper_and_few_do_not_fill_it() {
        let height = |partitions| {
            let seen = Seen { plan: Plan { partitions, ..sample::PLAN }, ..sample::clean() };
            let svg = drawn(&seen);
            let (_, from) = svg.split_once("height=\"").unwrap();
            from.split_once('"').unwrap().0.parse::<f64>().unwrap()
        };
        assert!(height(1) < height(12) && height(12) < height(100) && height(100) < 750.0);
    }

    #[test]
    fn a_run_without_a_move_has_no_picture() {
        let seen = Seen { moved: None, ..sample::clean() };
        assert_eq!(svg(&seen, &Outcome::of(&seen)), None);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 1.1, 4.0, 7.0, 13.0, 260.0].map(step), [1.0, 1.0, 2.0, 5.0, 10.0, 20.0, 500.0]);
    }
}
