//! The last steps of an assignment: moves of one customer and exchanges between two, each within the room.

use super::{Block, Limits, Room, falling};

/// Rounds of moves and exchanges; each improves the sum, and few are ever needed.
const ROUNDS_MAX: usize = 32;
/// Gains below this are rounding.
const GAIN_MIN: f64 = 1e-9;

/// An assignment under way. At no time is more given than there is room for.
pub(super) struct Repair<'a> {
    block: &'a Block,
    limits: &'a Limits,
    room: &'a [Room],
    used: Vec<u64>,
    chosen: Vec<bool>,
    given: Vec<u32>,
}

/// A change for one customer: takes one choice, and gives up another when the customer's places are full.
#[derive(Clone, Copy, Debug)]
struct Move {
    gain: f64,
    customer: usize,
    take: usize,
    leave: Option<usize>,
}

impl<'a> Repair<'a> {
    pub(super) fn new(block: &'a Block, limits: &'a Limits, room: &'a [Room]) -> Self {
        Self {
            block,
            limits,
            room,
            used: vec![0; room.len()],
            chosen: vec![false; block.choices.len()],
            given: vec![0; block.len()],
        }
    }

    pub(super) fn into_chosen(self) -> Vec<bool> {
        self.chosen
    }

    /// Returns how many units each limit lacks to what should be given.
    pub(super) fn lacking(&self) -> impl Iterator<Item = u64> + '_ {
        let used = self.used.iter().zip(self.room);
        used.map(|(used, room)| room.at_least.saturating_sub(*used))
    }

    /// Gives a choice when the customer has a place and every limit has room.
    pub(super) fn take_if_room(&mut self, customer: usize, take: usize) {
        if self.has_place(customer) && !self.chosen[take] && self.fits(Some(take), None) {
            self.put(customer, take, true);
        }
    }

    /// Meets what must be given, then improves until nothing does.
    pub(super) fn improve(&mut self) {
        self.meet();
        for _ in 0..ROUNDS_MAX {
            if !(self.moves() | self.exchanges()) {
                break;
            }
        }
    }

    fn limits_of(&self, at: usize) -> &'a [u16] {
        self.limits.of(self.block.choices[at].offer)
    }

    fn priority(&self, at: Option<usize>) -> f64 {
        at.map_or(0.0, |at| self.block.choices[at].priority)
    }

    fn has_place(&self, customer: usize) -> bool {
        (self.given[customer] as usize) < self.block.count
    }

    fn put(&mut self, customer: usize, at: usize, give: bool) {
        self.chosen[at] = give;
        let step = |count: u64| if give { count + 1 } else { count - 1 };
        for &limit in self.limits_of(at) {
            let used = &mut self.used[usize::from(limit)];
            *used = step(*used);
        }
        self.given[customer] = if give {
            self.given[customer] + 1
        } else {
            self.given[customer] - 1
        };
    }

    /// Tells whether taking one choice and leaving another keeps every limit: none above, and none that was met unmet.
    fn fits(&self, take: Option<usize>, leave: Option<usize>) -> bool {
        let takes = take.map_or(&[][..], |at| self.limits_of(at));
        let leaves = leave.map_or(&[][..], |at| self.limits_of(at));
        let room_to_take = takes.iter().filter(|limit| !leaves.contains(limit)).all(|&limit| {
            let limit = usize::from(limit);
            self.used[limit] < self.room[limit].at_most
        });
        let enough_to_leave = leaves.iter().filter(|limit| !takes.contains(limit)).all(|&limit| {
            let limit = usize::from(limit);
            self.used[limit] > self.room[limit].at_least
        });
        // An offer whose limit allows nothing is never taken, whatever else is left for it.
        let never = takes.iter().any(|&limit| self.room[usize::from(limit)].at_most == 0);
        room_to_take && enough_to_leave && !never
    }

    fn apply(&mut self, step: Move) {
        if let Some(leave) = step.leave {
            self.put(step.customer, leave, false);
        }
        self.put(step.customer, step.take, true);
    }

    /// Tells whether a move that was found earlier can still be made, and applies it.
    fn apply_if_valid(&mut self, step: Move) -> bool {
        let is_as_found = !self.chosen[step.take]
            && match step.leave {
                Some(leave) => self.chosen[leave],
                None => self.has_place(step.customer),
            };
        let valid = is_as_found && self.fits(Some(step.take), step.leave);
        if valid {
            self.apply(step);
        }
        valid
    }

    /// The choices that a customer could leave to take another: none when there is a place, else each that is given.
    fn leaves(&self, customer: usize) -> impl Iterator<Item = Option<usize>> + '_ {
        let place = self.has_place(customer).then_some(None);
        let full = !self.has_place(customer);
        let given = self.block.range(customer).filter(move |&at| full && self.chosen[at]);
        place.into_iter().chain(given.map(Some))
    }

    /// Returns the lowest priority that a customer could leave; `None` when there is a place, so that nothing need be left.
    fn lowest(&self, customer: usize) -> Option<f64> {
        let lowest = |leave: Option<usize>| self.priority(leave);
        let leaves = self.leaves(customer).map(lowest).min_by(f64::total_cmp);
        leaves.filter(|_| !self.has_place(customer))
    }

    /// Returns the best move of a customer that takes `take`, if one keeps the limits.
    fn best_with(&self, customer: usize, take: usize) -> Option<Move> {
        if self.chosen[take] {
            return None;
        }
        let steps = self.leaves(customer).filter(|&leave| self.fits(Some(take), leave));
        let steps = steps.map(|leave| Move {
            gain: self.priority(Some(take)) - self.priority(leave),
            customer,
            take,
            leave,
        });
        steps.max_by(|a, b| a.gain.total_cmp(&b.gain))
    }

    /// Gives what limits must give, where it costs least.
    fn meet(&mut self) {
        for limit in 0..self.room.len() {
            // Each round every customer can take one; a limit that covers several offers may need more rounds.
            for _ in 0..self.block.count {
                let Some(short) = self.room[limit]
                    .at_least
                    .checked_sub(self.used[limit])
                    .filter(|&short| short > 0)
                else {
                    break;
                };
                let mut steps = self.steps_into(limit);
                steps.sort_by(|a, b| falling(a.gain, b.gain).then(a.customer.cmp(&b.customer)));
                let mut met = 0;
                for step in steps {
                    if met == short {
                        break;
                    }
                    let adds = step.leave.is_none_or(|leave| !self.covers(limit, leave));
                    met += u64::from(adds && self.apply_if_valid(step));
                }
                if met == 0 {
                    break;
                }
            }
        }
    }

    fn covers(&self, limit: usize, at: usize) -> bool {
        self.limits_of(at)
            .iter()
            .any(|&covering| usize::from(covering) == limit)
    }

    /// Each customer's best move into a limit that leaves nothing of it.
    fn steps_into(&self, limit: usize) -> Vec<Move> {
        let of_customer = |customer: usize| {
            let takes = self.block.range(customer).filter(|&at| self.covers(limit, at));
            let steps = takes.filter_map(|take| {
                let leaves = self.leaves(customer);
                let leaves = leaves.filter(|leave| leave.is_none_or(|leave| !self.covers(limit, leave)));
                let fitting = leaves.filter(|&leave| !self.chosen[take] && self.fits(Some(take), leave));
                let steps = fitting.map(|leave| Move {
                    gain: self.priority(Some(take)) - self.priority(leave),
                    customer,
                    take,
                    leave,
                });
                steps.max_by(|a, b| a.gain.total_cmp(&b.gain))
            });
            steps.max_by(|a, b| a.gain.total_cmp(&b.gain))
        };
        (0..self.block.len()).filter_map(of_customer).collect()
    }

    /// Makes the moves that gain, the largest gains first; tells whether there was one. A free place is always filled.
    fn moves(&mut self) -> bool {
        let mut steps = Vec::new();
        for customer in 0..self.block.len() {
            // Most customers have their best, and no limit need be asked to see that.
            let lowest = self.lowest(customer);
            let may_gain = |&take: &usize| lowest.is_none_or(|lowest| self.priority(Some(take)) - lowest > GAIN_MIN);
            let takes = self.block.range(customer).filter(may_gain);
            let moves = takes.filter_map(|take| self.best_with(customer, take));
            steps.extend(moves.filter(|step| step.leave.is_none() || step.gain > GAIN_MIN));
        }
        steps.sort_by(|a, b| falling(a.gain, b.gain).then((a.customer, a.take).cmp(&(b.customer, b.take))));
        let mut moved = false;
        for step in steps {
            moved |= self.apply_if_valid(step);
        }
        moved
    }

    /// Passes units of full limits on from who loses least to who gains most; tells whether there was one.
    fn exchanges(&mut self) -> bool {
        let mut exchanged = false;
        for limit in 0..self.room.len() {
            if self.used[limit] == self.room[limit].at_most && self.used[limit] > 0 {
                exchanged |= self.exchange(limit);
            }
        }
        exchanged
    }

    fn exchange(&mut self, limit: usize) -> bool {
        let mut holders: Vec<(f64, usize, usize)> = Vec::new();
        let mut seekers: Vec<Move> = Vec::new();
        for customer in 0..self.block.len() {
            for at in self.block.range(customer).filter(|&at| self.covers(limit, at)) {
                if self.chosen[at] {
                    let instead = self.instead(customer, at, limit);
                    holders.push((self.priority(Some(at)) - self.priority(instead), customer, at));
                } else {
                    let worst = self
                        .leaves(customer)
                        .min_by(|&a, &b| self.priority(a).total_cmp(&self.priority(b)));
                    let gain = self.priority(Some(at)) - self.priority(worst.flatten());
                    seekers.push(Move {
                        gain,
                        customer,
                        take: at,
                        leave: worst.flatten(),
                    });
                }
            }
        }
        holders.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        seekers.sort_by(|a, b| falling(a.gain, b.gain).then(a.take.cmp(&b.take)));
        let mut exchanged = false;
        let mut holders = holders.into_iter().peekable();
        for seeker in seekers {
            // Of one customer's two offers the better one was chosen already.
            while holders
                .next_if(|&(_, customer, at)| customer == seeker.customer || !self.chosen[at])
                .is_some()
            {}
            let Some(&(loss, customer, at)) = holders.peek() else {
                break;
            };
            if seeker.gain <= loss + GAIN_MIN {
                break;
            }
            if self.try_exchange(customer, at, seeker, limit) {
                exchanged = true;
                holders.next();
            }
        }
        exchanged
    }

    /// The best other choice of a customer who gives up `at` and with it the unit of `limit`.
    fn instead(&self, customer: usize, at: usize, limit: usize) -> Option<usize> {
        let others = self.block.range(customer).filter(|&other| !self.chosen[other]);
        let others = others.filter(|&other| !self.covers(limit, other) && self.fits(Some(other), Some(at)));
        others.max_by(|&a, &b| self.priority(Some(a)).total_cmp(&self.priority(Some(b))))
    }

    /// Makes one exchange when it still gains with everything that changed meanwhile; else leaves all as it was.
    fn try_exchange(&mut self, holder: usize, at: usize, seeker: Move, limit: usize) -> bool {
        self.put(holder, at, false);
        let was_leaving = seeker.leave;
        let found = self
            .best_with(seeker.customer, seeker.take)
            .filter(|step| was_leaving.is_none() || step.leave.is_some());
        let Some(step) = found else {
            self.put(holder, at, true);
            return false;
        };
        self.apply(step);
        let places = self
            .block
            .range(holder)
            .filter(|&other| !self.chosen[other] && other != at);
        let others = places.filter(|&other| !self.covers(limit, other) && self.fits(Some(other), None));
        let instead = others.max_by(|&a, &b| self.priority(Some(a)).total_cmp(&self.priority(Some(b))));
        if let Some(other) = instead {
            self.put(holder, other, true);
        }
        let unmet = |limit: &u16| self.used[usize::from(*limit)] < self.room[usize::from(*limit)].at_least;
        let breaks = self.limits_of(at).iter().any(unmet);
        if !breaks && step.gain > self.priority(Some(at)) - self.priority(instead) + GAIN_MIN {
            return true;
        }
        if let Some(other) = instead {
            self.put(holder, other, false);
        }
        self.put(step.customer, step.take, false);
        if let Some(leave) = step.leave {
            self.put(step.customer, leave, true);
        }
        self.put(holder, at, true);
        false
    }
}
