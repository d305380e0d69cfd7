//! The contact policy of a simulated bank: drawn as plain data.

use crate::domain::contact::Counted;
use crate::domain::time::Millis;
use crate::sim::draw::Draw;

use super::almanac::Unit;
use super::blueprint::{CHANNELS, GROUPS, LABELS, Offer, OfferId, PLACEMENTS};

/// The campaigns: the same in every version, but for their attempt limits.
pub(super) const CAMPAIGNS: [&str; 2] = ["spring", "autumn"];
/// Directions, as channels and limits name them.
pub(super) const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];
/// For what caps may count separately.
pub(super) const EACH: [&str; 5] = ["offer", "group", "channel", "placement", "campaign"];

/// Whether limits apply to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Applies,
    Exempt,
    ExemptUncounted,
}

impl Policy {
    /// Draws what an offer or group says, which mostly is nothing.
    pub(super) fn draw(draw: &mut Draw) -> Option<Self> {
        match draw.below(30) {
            0 => Some(Self::Applies),
            1 => Some(Self::Exempt),
            2 => Some(Self::ExemptUncounted),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Applies => "applies",
            Self::Exempt => "exempt",
            Self::ExemptUncounted => "exempt_uncounted",
        }
    }
}

/// Which contacts a limit is about; what is empty means all.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) offers: Vec<OfferId>,
    pub(super) groups: Vec<usize>,
    pub(super) labels: Vec<usize>,
    pub(super) channels: Vec<usize>,
    pub(super) directions: Vec<usize>,
    pub(super) placements: Vec<usize>,
    pub(super) campaigns: Vec<usize>,
}

/// How far back a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Rolling(Millis),
    Calendar(Unit),
    Ever,
}

#[derive(Clone, Debug)]
pub(super) struct Cap {
    pub(super) id: String,
    pub(super) at_most: usize,
    pub(super) counted: Counted,
    pub(super) window: Window,
    /// Which of [`EACH`].
    pub(super) each: [bool; EACH.len()],
    pub(super) contacts: Filter,
}

impl Cap {
    /// Tells whether somebody without any id is let through: every other one does, by its number. Attempts never do.
    pub(super) fn is_open(&self) -> bool {
        let number = self
            .id
            .strip_prefix("cap")
            .and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| number % 2 == 1)
    }
}

/// After what something rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Outcome(Counted),
    Ignored,
    Attempted,
}

/// What rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Offer,
    Group,
    Everything,
}

#[derive(Clone, Debug)]
pub(super) struct CoolDown {
    pub(super) id: String,
    pub(super) after: After,
    pub(super) times: usize,
    pub(super) within: Option<Millis>,
    pub(super) rest: Option<Millis>,
    pub(super) on: On,
    pub(super) on_labels: Vec<usize>,
    pub(super) contacts: Filter,
}

/// The attempt limits of a campaign.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    pub(super) at_most: Option<usize>,
    pub(super) apart: Option<Millis>,
}

impl Attempts {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        Self {
            at_most: draw.chance(0.6).then(|| draw.skewed(4)),
            apart: draw.chance(0.6).then(|| Millis::MINUTE.times(spans(draw, 600))),
        }
    }
}

fn spans(draw: &mut Draw, most: usize) -> i64 {
    i64::try_from(1 + draw.below(most)).unwrap_or(1)
}

/// A cap that is never reached still needs its contacts, so that histories fill up.
pub(super) fn never_reached() -> Cap {
    Cap {
        id: "cap0".to_owned(),
        at_most: 1_000,
        counted: Counted::Decided,
        window: Window::Rolling(Millis::DAY.times(9)),
        each: [false; EACH.len()],
        contacts: Filter::default(),
    }
}

pub(super) fn filter(draw: &mut Draw, offers: &[Offer]) -> Filter {
    let some = |draw: &mut Draw, share: f64, count: usize| -> Vec<usize> {
        let given = draw.chance(share);
        (0..count).filter(|_| given && draw.chance(0.5)).collect()
    };
    let named = draw.chance(0.2);
    Filter {
        offers: offers
            .iter()
            .filter(|_| named && draw.chance(0.3))
            .map(|offer| offer.id)
            .collect(),
        groups: some(draw, 0.2, GROUPS.len()),
        labels: some(draw, 0.2, LABELS.len()),
        channels: some(draw, 0.2, CHANNELS.len()),
        directions: some(draw, 0.2, DIRECTIONS.len()),
        placements: some(draw, 0.2, PLACEMENTS.len()),
        campaigns: some(draw, 0.1, CAMPAIGNS.len()),
    }
}

pub(super) fn cap(draw: &mut Draw, number: usize, offers: &[Offer]) -> Cap {
    let counted = if draw.chance(0.6) {
        Counted::ALL[draw.below(3)]
    } else {
        Counted::ALL[3 + draw.below(4)]
    };
    let windows = [
        Window::Rolling(Millis::MINUTE.times(5)),
        Window::Rolling(Millis::HOUR.times(3)),
        Window::Rolling(Millis::DAY),
        Window::Rolling(Millis::DAY.times(9)),
        Window::Calendar(Unit::Hour),
        Window::Calendar(Unit::Day),
        Window::Calendar(Unit::Week),
        Window::Calendar(Unit::Month),
        Window::Ever,
    ];
    let window = windows[draw.below(if matches!(counted, Counted::Decided) { 8 } else { 9 })];
    let each = match draw.below(8) {
        0 | 1 => [false; EACH.len()],
        2..=4 => [true, false, false, false, false],
        5 => [false, true, false, false, false],
        _ => [0; EACH.len()].map(|_| draw.chance(0.4)),
    };
    Cap {
        id: format!("cap{number}"),
        at_most: draw.skewed(6) + usize::from(draw.chance(0.9)),
        counted,
        window,
        each,
        contacts: filter(draw, offers),
    }
}

pub(super) fn cool_down(draw: &mut Draw, number: usize, offers: &[Offer]) -> CoolDown {
    let after = match draw.below(12) {
        0..=2 => After::Outcome(Counted::Refused),
        3 => After::Outcome(Counted::Accepted),
        4 => After::Outcome(Counted::Converted),
        5 => After::Outcome(Counted::Clicked),
        6..=8 => After::Ignored,
        _ => After::Attempted,
    };
    let begun_by_us = matches!(after, After::Ignored | After::Attempted);
    let times = if begun_by_us {
        1 + draw.skewed(5)
    } else {
        1 + draw.skewed(3)
    };
    let within = draw.chance(0.5) && times > 1;
    // What we begin ourselves rests shortly, or nothing would ever be shown.
    let rest = match draw.below(10) {
        0 if !begun_by_us || times > 2 => None,
        1..=4 => Some(Millis::MINUTE.times(spans(draw, 90))),
        5..=8 => Some(Millis::HOUR.times(spans(draw, 20))),
        _ => Some(Millis::DAY.times(spans(draw, if begun_by_us { 3 } else { 20 }))),
    };
    let mut contacts = filter(draw, offers);
    (contacts.placements, contacts.campaigns) = (Vec::new(), Vec::new());
    CoolDown {
        id: format!("rest{number}"),
        after,
        times,
        within: within.then(|| Millis::HOUR.times(3 + spans(draw, 100))),
        rest,
        on: [On::Offer, On::Offer, On::Offer, On::Group, On::Everything][draw.below(5)],
        on_labels: (0..LABELS.len()).filter(|_| draw.chance(0.1)).collect(),
        contacts,
    }
}
