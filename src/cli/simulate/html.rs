//! The report as one page with plots, which needs nothing from anywhere else: no script, no font, no network.
//!
//! The plots are inline SVG, written here: bars and one line need no library, take their colours from the page's style sheet, so that
//! they follow the reader's light or dark scheme, and have a text alternative. Every number is in the tables below them as well.

mod page;
mod plots;

pub(super) use page::page;
