//! The time zone in which a customer's days begin and end.

use jiff::tz::TimeZone;

use crate::catalog::Catalog;
use crate::domain::profile::Profile;
use crate::domain::value::Value;

/// Returns the customer's time zone: the one that the attribute says which the catalog names for it, else the catalog's.
#[must_use]
pub fn of<'a>(catalog: &'a Catalog, profile: &Profile) -> &'a TimeZone {
    let own = || {
        let zones = catalog.customer_zones.as_ref()?;
        match profile.attribute(zones.attribute) {
            Value::Category(value) => zones.of_value(value),
            _ => None,
        }
    };
    own().unwrap_or(&catalog.time_zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{catalog_set, symbol};

    const ZONES: &str =
        "attributes: {profile: [{id: zone, type: category, values: [Europe/Madrid, Atlantic/Canary, Asia/Tokyo]}]}";

    fn said(catalog: &Catalog, zone: Option<&str>) -> String {
        let own = zone.map(|zone| (symbol(catalog, "zone"), Value::Category(symbol(catalog, zone))));
        let profile = Profile {
            attributes: own.into_iter().collect(),
            ..Profile::default()
        };
        of(catalog, &profile).iana_name().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_customer_lives_in_the_zone_that_the_profile_says_else_in_the_catalogs() {
        let catalog = catalog_set(", time_zone_attribute: zone", ZONES);
        assert_eq!(said(&catalog, Some("Asia/Tokyo")), "Asia/Tokyo");
        assert_eq!(said(&catalog, Some("Atlantic/Canary")), "Atlantic/Canary");
        assert_eq!(said(&catalog, None), "Europe/Madrid");
        // What the profile keeps from a catalog that listed more zones.
        assert_eq!(said(&catalog, Some("savings")), "Europe/Madrid");
        let without = catalog_set("", ZONES);
        assert_eq!(said(&without, Some("Asia/Tokyo")), "Europe/Madrid");
    }
}
