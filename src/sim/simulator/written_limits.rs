//! The contact policy of a blueprint as a catalog's lines.

use std::fmt::Write as _;

use super::almanac::Unit;
use super::blueprint::{Blueprint, CHANNELS, GROUPS, LABELS, PLACEMENTS};
use super::rulebook::{After, CAMPAIGNS, DIRECTIONS, EACH, Filter, On, Window};
use super::volumes;
use super::written::names;

impl Blueprint {
    pub(super) fn write_limits(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "caps:")?;
        for cap in &self.caps {
            let (id, most, counted) = (&cap.id, cap.at_most, cap.counted.name());
            write!(text, "  - {{id: {id}, at_most: {most}, of: {counted}")?;
            match cap.window {
                Window::Rolling(window) => write!(text, ", within: {}s", window.get() / 1_000)?,
                Window::Calendar(Unit::Hour) => write!(text, ", per: hour")?,
                Window::Calendar(Unit::Day) => write!(text, ", per: day")?,
                Window::Calendar(Unit::Week) => write!(text, ", per: week")?,
                Window::Calendar(Unit::Month) => write!(text, ", per: month")?,
                Window::Ever => write!(text, ", within: ever")?,
            }
            let each: Vec<usize> = (0..EACH.len()).filter(|&at| cap.each[at]).collect();
            match each.as_slice() {
                [] => {}
                [one] => write!(text, ", each: {}", EACH[*one])?,
                _ => write!(text, ", each: [{}]", names(&each, &EACH))?,
            }
            let placements = PLACEMENTS.map(|placement| placement.id);
            write!(text, "{}", filter(&cap.contacts))?;
            write!(text, ", placements: [{}]", names(&cap.contacts.placements, &placements))?;
            let without_id = if cap.is_open() { "open" } else { "closed" };
            write!(text, ", without_id: {without_id}")?;
            writeln!(text, ", campaigns: [{}]}}", names(&cap.contacts.campaigns, &CAMPAIGNS))?;
        }
        self.write_cool_downs(text)?;
        volumes::write(&self.volumes, text)?;
        self.write_campaigns(text)
    }

    fn write_cool_downs(&self, text: &mut String) -> std::fmt::Result {
        if self.cool_downs.is_empty() {
            return Ok(());
        }
        writeln!(text, "cool_downs:")?;
        for cool_down in &self.cool_downs {
            let after = match cool_down.after {
                After::Outcome(counted) => counted.name(),
                After::Ignored => "ignored",
                After::Attempted => "attempted",
            };
            let (id, times) = (&cool_down.id, cool_down.times);
            write!(text, "  - {{id: {id}, after: {after}, times: {times}")?;
            if let Some(within) = cool_down.within {
                write!(text, ", within: {}s", within.get() / 1_000)?;
            }
            match cool_down.rest {
                Some(rest) => write!(text, ", rest: {}s", rest.get() / 1_000)?,
                None => write!(text, ", rest: for_good")?,
            }
            let on = match cool_down.on {
                On::Offer => "offer",
                On::Group => "group",
                On::Everything => "everything",
            };
            write!(
                text,
                ", on: {on}, on_labels: [{}]",
                names(&cool_down.on_labels, &LABELS)
            )?;
            writeln!(text, "{}}}", filter(&cool_down.contacts))?;
        }
        Ok(())
    }

    fn write_campaigns(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "campaigns:")?;
        for (attempts, id) in self.attempts.iter().zip(CAMPAIGNS) {
            let most = attempts.at_most.map(|most| format!("at_most: {most}"));
            let apart = attempts.apart.map(|apart| format!("apart: {}s", apart.get() / 1_000));
            let limits: Vec<String> = most.into_iter().chain(apart).collect();
            if limits.is_empty() {
                writeln!(text, "  - {{id: {id}}}")?;
            } else {
                writeln!(text, "  - {{id: {id}, attempts: {{{}}}}}", limits.join(", "))?;
            }
        }
        Ok(())
    }
}

fn filter(filter: &Filter) -> String {
    format!(
        ", offers: [{}], groups: [{}], labels: [{}], channels: [{}], directions: [{}]",
        filter
            .offers
            .iter()
            .map(|offer| offer.name())
            .collect::<Vec<_>>()
            .join(", "),
        names(&filter.groups, &GROUPS),
        names(&filter.labels, &LABELS),
        names(&filter.channels, &CHANNELS.map(|(id, ..)| id)),
        names(&filter.directions, &DIRECTIONS),
    )
}
