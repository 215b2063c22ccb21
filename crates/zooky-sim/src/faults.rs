//! What goes wrong.

use crate::network::Break;
use crate::program::Still;
use crate::world::World;

impl World {
    /// Something goes wrong.
    pub(crate) fn fault(&mut self) {
        let now = self.now;
        let program = self.rng.below(self.programs.len());
        let timeout = self.timeouts[program].as_millis() as usize;
        // Mostly short ones; some that last longer than a session.
        let lasts = if self.rng.one_in(3) { 2 * timeout } else { timeout / 3 };
        let until = now + 1 + self.rng.below(lasts) as u64;
        match self.rng.below(20) {
            0..=4 => {
                let how = *self.rng.pick(&[
                    Break::ClientFirst,
                    Break::ServerFirst,
                    Break::HalfOpenClient,
                    Break::HalfOpenServer,
                ]);
                self.trace.note(now, &format!("a connection of program {program} breaks: {how:?}"));
                if let Some(incoming) = self.network.break_one(now, program, how) {
                    self.host.takes(now, incoming, &mut self.trace);
                }
            }
            5..=7 => {
                let (up, down) = *self.rng.pick(&[(true, true), (true, true), (true, false), (false, true)]);
                self.trace
                    .note(now, &format!("program {program} is cut off until {until} ms ({up}, {down})"));
                let way = &mut self.network.ways[program];
                way.blocked_up_ms = if up { until } else { way.blocked_up_ms };
                way.blocked_down_ms = if down { until } else { way.blocked_down_ms };
            }
            8..=10 => {
                let why = *self.rng.pick(&[Still::Stopped, Still::Stopped, Still::Asleep]);
                self.trace.note(now, &format!("program {program} stands still until {until} ms: {why:?}"));
                self.programs[program].stand_still(until, why);
            }
            11 => {
                self.trace.note(now, &format!("the clock of program {program} jumps by {} ms", until - now));
                self.programs[program].machine.sleep((until - now) * 1_000_000);
                self.judge.state().jumped.insert(program);
            }
            12 | 13 => {
                let silently = self.rng.one_in(2);
                self.program_dies(program, silently, until);
            }
            14 => self.host.kill(now, &mut self.network, &mut self.trace, lasts),
            15 => self.host.power_cut(now, &mut self.network, &mut self.trace, lasts),
            16 => {
                self.trace.note(now, "the disk will fail");
                self.host.bad_disk();
            }
            17 => {
                self.trace.note(now, &format!("the server stands still until {until} ms"));
                self.host.stall(until);
            }
            18 => {
                self.trace.note(now, &format!("the disk is slow until {until} ms"));
                self.host.slow_disk(until);
            }
            _ => {
                let by = self.rng.below(20_000) as i64 - 10_000;
                self.trace.note(now, &format!("the server's wall clock is set by {by} ms"));
                self.host.set_wall_clock(by);
            }
        }
    }

    pub(crate) fn program_dies(&mut self, program: usize, silently: bool, until: u64) {
        let how = if silently { "without a word" } else { "and its connections are closed" };
        self.trace.note(self.now, &format!("program {program} dies {how}"));
        self.network.program_died(self.now, program, silently);
        let (judge, was_running) = (self.judge.clone(), self.programs[program].is_running());
        self.programs[program].die(until, || drop(judge.bury(program, was_running)));
    }
}
