//! Java's consumer, as a process: `tests/java/PlainConsumer.java`.

use std::io;

use steadfast_tests::checker::{Checker, Delivered, Mark};
use steadfast_tests::java::{Line, Program};

use super::client::{Consumer, Place};

pub(super) struct Process {
    program: Program,
    /// How many of its lines were read.
    lines: usize,
    checker: Checker,
}

impl Process {
    pub(super) fn start(
        Place { bootstrap, name }: Place<'_>,
        settings: &[(&str, &str)],
    ) -> io::Result<Process> {
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut arguments = vec![bootstrap, name, name];
        arguments.extend(settings.iter().map(String::as_str));
        let program = Program::start("PlainConsumer", &arguments)?;
        Ok(Process { program, lines: 0, checker: Checker::default() })
    }
}

impl Consumer for Process {
    fn seen(&mut self) -> Checker {
        let fresh = self.program.lines_from(self.lines);
        self.lines += fresh.len();
        fresh.iter().filter_map(delivered).for_each(|delivered| self.checker.see(delivered));
        self.checker.clone()
    }

    /// It is killed: after a drift its close may take long.
    fn end(self: Box<Self>) {}
}

fn delivered(line: &Line) -> Option<Delivered> {
    let mark = Mark::read(line.json["value"].as_str()?.as_bytes())?;
    Some(Delivered { mark, offset: line.json["offset"].as_i64()?, at: line.at })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_the_program_is_a_delivery() {
        let mark = Mark { partition: 3, sequence: 7 };
        let value = String::from_utf8(mark.value()).unwrap();
        let line = |json| Line { at: SystemTime::UNIX_EPOCH, json };
        let read = delivered(&line(json!({"offset": 9, "value": value})));
        assert_eq!(read, Some(Delivered { mark, offset: 9, at: SystemTime::UNIX_EPOCH }));
        assert_eq!(delivered(&line(json!({"offset": 9, "value": "of somebody else"}))), None);
    }
}
