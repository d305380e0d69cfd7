//! Time zones and weeks: the catalog's, and where a customer's own zone is found.

use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::super::read::Sources;
use super::super::values::hint;
use super::super::{AttributeType, CustomerZone, Schema, source};
use super::Loader;
use crate::catalog::document::At;

impl Loader {
    /// Finds a time zone by its IANA name, and reports when there is none.
    pub(super) fn zone(&mut self, at: At<'_>, name: &str) -> Option<TimeZone> {
        let database = TimeZoneDatabase::bundled();
        let zone = database.get(name);
        if zone.is_err() {
            let names: Vec<String> = database.available().map(|name| name.as_str().to_owned()).collect();
            let hint = match crate::rules::nearest(name, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write an IANA name, as in `Europe/Madrid`".to_owned(),
            };
            let message = format!("there is no time zone `{name}`");
            self.report.error_with_hint(at, message, hint);
        }
        zone.ok()
    }

    /// Reads the zone of each value of the attribute that has a customer's own.
    pub(super) fn customer_zone(&mut self, sources: &Sources<'_>, profile: &Schema) -> Option<CustomerZone> {
        let settings = sources.settings.items.first()?;
        let id = settings.source.time_zone_attribute.as_deref()?;
        let at = settings.at.key("time_zone_attribute");
        let Some(position) = profile.attributes.iter().position(|attribute| *attribute.id == *id) else {
            if !self.doubtful.concerns(&format!("profile.{id}")) {
                let hint = hint(id, profile.attributes.iter().map(|attribute| &*attribute.id));
                let message = format!("there is no profile attribute `{id}`");
                self.report.error_with_hint(at, message, hint);
            }
            return None;
        };
        let attribute = &profile.attributes[position];
        if attribute.attribute_type != AttributeType::Category {
            let message = format!("`{id}` is no category, so its values cannot be time zones");
            let hint = "name a category attribute of the profile whose `values` are IANA names, as in `Europe/Madrid`";
            self.report.error_with_hint(at, message, hint);
            return None;
        }
        let item = sources.profile.items.iter().find(|item| item.source.id == id)?;
        let values = item.at.key("values");
        let mut zones = Vec::new();
        for (index, (name, symbol)) in attribute.values.iter().enumerate() {
            zones.extend(self.zone(values.item(index), name).map(|zone| (*symbol, zone)));
        }
        zones.sort_unstable_by_key(|entry| entry.0);
        Some(CustomerZone {
            attribute: attribute.symbol,
            zones,
        })
    }
}

/// Returns the calendar's day of the week.
pub(super) const fn weekday(day: source::Weekday) -> Weekday {
    match day {
        source::Weekday::Monday => Weekday::Monday,
        source::Weekday::Tuesday => Weekday::Tuesday,
        source::Weekday::Wednesday => Weekday::Wednesday,
        source::Weekday::Thursday => Weekday::Thursday,
        source::Weekday::Friday => Weekday::Friday,
        source::Weekday::Saturday => Weekday::Saturday,
        source::Weekday::Sunday => Weekday::Sunday,
    }
}
