//! The catalog in force as an answer.

use super::answer::scoring_path;
use super::instant;
use crate::catalog::diagnostic::{Diagnostic, Severity};
use crate::catalog::{Attribute, AttributeType, Catalog, EventType, Schema};
use crate::domain::time::Timestamp;
use crate::engine::Active;
use crate::model::Scorer;
use crate::server::reload::ReloadStatus;
use crate::server::wire;
use crate::telemetry::Reloaded;

/// Puts the catalog into words of the contract, with its offers and names when they are wanted.
#[must_use]
pub fn catalog(active: &Active, wanted: wire::GetCatalogRequest) -> wire::GetCatalogResponse {
    let catalog = &*active.catalog;
    wire::GetCatalogResponse {
        name: catalog.name.to_string(),
        version: catalog.version.to_string(),
        generation: active.generation,
        counts: Some(counts(catalog)),
        models: models(active),
        offers: if wanted.include_offers {
            offers(catalog)
        } else {
            Vec::new()
        },
        schema: wanted.include_schema.then(|| schema(catalog)),
    }
}

fn counts(catalog: &Catalog) -> wire::CatalogCounts {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    wire::CatalogCounts {
        groups: count(catalog.groups.len()),
        offers: count(catalog.offers.len()),
        channels: count(catalog.channels.len()),
        placements: count(catalog.placements.len()),
        caps: count(catalog.caps.len()),
        profile_attributes: count(catalog.profile.attributes.len()),
        event_types: count(catalog.events.len()),
        aggregates: count(catalog.aggregates.len()),
        intents: count(catalog.intents.len()),
        models: count(catalog.models.len()),
    }
}

fn models(active: &Active) -> Vec<wire::CatalogModel> {
    let scored_by = |at: usize| {
        active
            .catalog
            .groups
            .iter()
            .filter(move |group| group.model == Some(at))
    };
    let plans = active.catalog.models.iter().zip(&active.models).enumerate();
    plans
        .map(|(at, (plan, scorer))| wire::CatalogModel {
            name: plan.name.to_string(),
            version: plan.version.to_string(),
            loaded: scorer.is_some(),
            groups: scored_by(at).map(|group| group.id.to_string()).collect(),
            columns: u32::try_from(plan.columns.len()).unwrap_or(u32::MAX),
            path: scoring_path(scorer.as_deref()),
            path_reason: scorer.as_deref().map_or("", Scorer::why).to_owned(),
            shortlist: plan.shortlist.map(|shortlist| wire::Shortlist {
                by: active.catalog.models[shortlist.by].name.to_string(),
                keep: u32::try_from(shortlist.keep).unwrap_or(u32::MAX),
            }),
        })
        .collect()
}

fn offers(catalog: &Catalog) -> Vec<wire::CatalogOffer> {
    let offers = catalog.offers.iter();
    offers
        .map(|offer| wire::CatalogOffer {
            id: offer.id.to_string(),
            name: offer.name.to_string(),
            group: catalog.groups[offer.group].id.to_string(),
            channels: chosen_channels(catalog, offer.treatments.iter().map(Option::is_some)),
            valid_from: instant(offer.valid_from),
            valid_until: instant(offer.valid_until),
        })
        .collect()
}

fn schema(catalog: &Catalog) -> wire::CatalogSchema {
    let places = catalog.places.iter();
    wire::CatalogSchema {
        profile: attributes(&catalog.profile),
        context: attributes(&catalog.context),
        event_types: catalog
            .events
            .iter()
            .map(|event_type| wire::EventTypeSchema {
                id: event_type.id.to_string(),
                attributes: carried(event_type),
            })
            .collect(),
        channels: catalog.channels.iter().map(|channel| channel.id.to_string()).collect(),
        placements: catalog
            .placements
            .iter()
            .map(|placement| wire::PlacementSchema {
                id: placement.id.to_string(),
                channels: chosen_channels(catalog, placement.channels.iter().copied()),
                count_max: u32::try_from(placement.count_max).unwrap_or(u32::MAX),
            })
            .collect(),
        places: places.map(|&place| catalog.symbols.name(place).to_owned()).collect(),
        purposes: catalog.purposes.iter().map(|purpose| purpose.id.to_string()).collect(),
    }
}

fn chosen_channels(catalog: &Catalog, chosen: impl Iterator<Item = bool>) -> Vec<String> {
    let channels = catalog.channels.iter().zip(chosen);
    channels
        .filter(|(_, chosen)| *chosen)
        .map(|(channel, _)| channel.id.to_string())
        .collect()
}

/// Leaves out the last two, the channel and the place, which are fields of an event.
fn carried(event_type: &EventType) -> Vec<wire::AttributeSchema> {
    let declared = event_type.schema.attributes.split_last_chunk::<2>();
    let declared = declared.map_or(&[][..], |(declared, _)| declared);
    declared.iter().map(attribute).collect()
}

fn attributes(schema: &Schema) -> Vec<wire::AttributeSchema> {
    schema.attributes.iter().map(attribute).collect()
}

fn attribute(attribute: &Attribute) -> wire::AttributeSchema {
    let attribute_type = match attribute.attribute_type {
        AttributeType::Number => wire::AttributeType::Number,
        AttributeType::Boolean => wire::AttributeType::Boolean,
        AttributeType::Category => wire::AttributeType::Category,
        AttributeType::Set => wire::AttributeType::Set,
        AttributeType::Date => wire::AttributeType::Date,
    };
    wire::AttributeSchema {
        id: attribute.id.to_string(),
        r#type: attribute_type.into(),
        description: attribute.description.to_string(),
        values: attribute.values.iter().map(|(name, _)| name.to_string()).collect(),
        lowest: attribute.range.map(|range| range.0),
        highest: attribute.range.map(|range| range.1),
    }
}

/// Puts how the last reload went into words of the contract.
#[must_use]
pub fn reload_status(status: &ReloadStatus, version: &str, now: Timestamp) -> wire::GetReloadStatusResponse {
    let age = (now - status.applied_at).get().max(0);
    let result = status
        .last
        .map_or(wire::ReloadResult::Unspecified, |(_, result)| match result {
            Reloaded::Applied => wire::ReloadResult::Applied,
            Reloaded::Unchanged => wire::ReloadResult::Unchanged,
            Reloaded::Refused => wire::ReloadResult::Refused,
        });
    wire::GetReloadStatusResponse {
        applied_version: version.to_owned(),
        applied_at: instant(status.applied_at),
        applied_age: Some(wire::Duration {
            seconds: age / 1_000,
            nanos: i32::try_from(age % 1_000 * 1_000_000).unwrap_or_default(),
        }),
        last_attempt_at: status.last.and_then(|(at, _)| instant(at)),
        last_result: result.into(),
        diagnostics: status.diagnostics.iter().map(diagnostic).collect(),
        watching: status.watching,
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> wire::Diagnostic {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    wire::Diagnostic {
        file: diagnostic.file.clone(),
        line: number(diagnostic.line),
        column: number(diagnostic.column),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone().unwrap_or_default(),
        warning: diagnostic.severity == Severity::Warning,
    }
}
