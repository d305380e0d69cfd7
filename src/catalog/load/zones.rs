//! Time zones: the catalog's, and those that customers can say as their own.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::super::read::Sources;
use super::super::{AttributeType, CustomerZones, Schema};
use super::Loader;
use crate::catalog::document::At;
use crate::catalog::values::hint;

impl Loader {
    /// Finds a time zone by its IANA name.
    pub(super) fn time_zone(&mut self, at: At<'_>, name: &str) -> Option<TimeZone> {
        let database = TimeZoneDatabase::bundled();
        let zone = database.get(name).ok();
        if zone.is_none() {
            let names: Vec<String> = database.available().map(|name| name.as_str().to_owned()).collect();
            let hint = match crate::rules::nearest(name, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write an IANA name, as in `Europe/Madrid`".to_owned(),
            };
            self.report
                .error_with_hint(at, format!("there is no time zone `{name}`"), hint);
        }
        zone
    }

    /// Makes time zones of the values of the attribute that says the customer's.
    pub(super) fn customer_zones(&mut self, sources: &Sources<'_>, profile: &Schema) -> Option<CustomerZones> {
        let settings = sources.settings.items.first()?;
        let name = settings.source.time_zone_attribute.as_deref()?;
        let at = settings.at.key("time_zone_attribute");
        let Some(attribute) = profile.attributes.iter().find(|attribute| *attribute.id == *name) else {
            if !self.doubtful.concerns(&format!("profile.{name}")) {
                let names = profile.attributes.iter().map(|attribute| &*attribute.id);
                let message = format!("there is no profile attribute `{name}`");
                self.report.error_with_hint(at, message, hint(name, names));
            }
            return None;
        };
        if attribute.attribute_type != AttributeType::Category {
            let hint = "make it a category whose `values` are IANA names, as in `Europe/Madrid`";
            let message = format!("`profile.{name}` is no category, so it cannot say a time zone");
            self.report.error_with_hint(at, message, hint);
            return None;
        }
        let declared = sources.profile.items.iter().find(|item| item.source.id == name)?;
        let mut zones = Vec::new();
        for (index, (value, symbol)) in attribute.values.iter().enumerate() {
            let at = declared.at.key("values").item(index);
            zones.extend(self.time_zone(at, value).map(|zone| (*symbol, zone)));
        }
        zones.sort_by_key(|&(symbol, _)| symbol);
        Some(CustomerZones {
            attribute: attribute.symbol,
            zones,
        })
    }
}
