//! Looking at blocks, one ahead of the one that is planned and decided, so that the threads have something to do meanwhile.

use super::{Cut, Queue, Run, Stopped};
use crate::campaign::terms::Terms;
use crate::campaign::worker::{Done, Looked, Member, Work};
use crate::campaign::{Asked, BATCH, BLOCK, Caller};
use crate::decision::assign::Block;
use crate::domain::ids::CustomerKey;

/// Tasks of the next block that are looked at while a block is planned and decided: half of a block, far more than the threads do
/// meanwhile.
const TASKS_AHEAD: usize = BLOCK / BATCH / 2;

/// A block of customers and what they can be given.
pub(super) struct Seen {
    pub(super) members: Vec<Member>,
    pub(super) block: Block,
    /// Everybody up to here lies behind with them.
    pub(super) upto: Option<CustomerKey>,
    /// Units of each limit of the run that these customers were given before the run broke off.
    pub(super) given: Vec<u64>,
    /// What those are worth.
    pub(super) given_worth: f64,
    /// What each would get without limits, as a sum of priorities; parallel to `members`.
    pub(super) without_limits: Vec<f64>,
}

/// A block that is being looked at.
pub(super) struct Looking<A> {
    queue: Queue<Done<A>>,
    seen: Seen,
    /// Customers of it so far, those under way included.
    count: usize,
    /// Whether nobody is left to be added.
    at_end: bool,
}

impl<C: Caller> Run<'_, C> {
    /// Looks at everybody of the next block; empty at the end.
    pub(super) fn look(&mut self) -> Result<Seen, Stopped<C::Fault>> {
        loop {
            self.look_on(self.under_way_max, false)?;
            match self.looking.queue.take() {
                None => {
                    let next = Looking::new(&self.terms, self.scanned);
                    return Ok(std::mem::replace(&mut self.looking, next).seen);
                }
                Some(Some(Done::Looked(members, looked))) => {
                    self.looking.seen.add(&self.terms.asked, members, &looked);
                }
                Some(_) => return Err(Stopped::Broken),
            }
            if self.caller.is_gone() {
                return Err(Stopped::Gone);
            }
        }
    }

    /// Has the threads look at some of the next block, for as long as this one is planned and decided.
    pub(super) fn look_ahead(&mut self) -> Result<(), Stopped<C::Fault>> {
        self.look_on(TASKS_AHEAD, true)
    }

    /// Has so many tasks of the next block under way. Of what is looked at ahead no progress is told.
    fn look_on(&mut self, tasks_max: usize, is_ahead: bool) -> Result<(), Stopped<C::Fault>> {
        while !self.looking.at_end && self.looking.count < BLOCK && self.looking.queue.len() < tasks_max {
            let Some(Cut { members, upto }) = self.cut()? else {
                self.looking.at_end = true;
                break;
            };
            self.looking.seen.upto = upto;
            if !members.is_empty() {
                self.looking.count += members.len();
                let job = self.job(Work::Look(members));
                self.looking.queue.submit(&self.tasks, job);
            } else if is_ahead {
                break;
            } else {
                self.tell_progress(upto)?;
            }
        }
        Ok(())
    }

    /// Puts those back who were looked at ahead, by terms that no longer hold.
    pub(super) fn look_anew(&mut self) -> Result<(), Stopped<C::Fault>> {
        let next = Looking::new(&self.terms, self.scanned);
        let Looking { mut queue, seen, .. } = std::mem::replace(&mut self.looking, next);
        let mut members = seen.members;
        while let Some(looked) = queue.take() {
            match looked {
                Some(Done::Looked(some, _)) => members.extend(some),
                _ => return Err(Stopped::Broken),
            }
        }
        self.put_back(members.into_iter());
        Ok(())
    }
}

impl<A> Looking<A> {
    /// Begins a block behind somebody.
    pub(super) fn new(terms: &Terms, behind: Option<CustomerKey>) -> Self {
        Self {
            queue: Queue::default(),
            seen: Seen {
                members: Vec::new(),
                block: Block::new(terms.asked.request.placements[0].count),
                upto: behind,
                given: vec![0; terms.own()],
                given_worth: 0.0,
                without_limits: Vec::new(),
            },
            count: 0,
            at_end: false,
        }
    }
}

impl Seen {
    fn add(&mut self, asked: &Asked, members: Vec<Member>, looked: &[Looked]) {
        for looked in looked {
            self.block.push(&looked.choices);
            self.without_limits.push(looked.without_limits);
            for given in &looked.given {
                self.given_worth += given.priority;
                // What volumes have left is known without them.
                for &limit in asked.limits.of(given.offer) {
                    self.given[usize::from(limit)] += 1;
                }
            }
        }
        self.members.extend(members);
    }
}
