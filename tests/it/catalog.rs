//! What a catalog's author can rely on: every fault at once, at its place, in plain words.
//!
//! `catalog/faults.txt` has one row for each way to go wrong: a change of the small catalog in `catalog/small`, and below
//! it everything that the loader says then, no more and no less.

use std::collections::BTreeMap;

use nbo::campaign::RUN_LIMIT;
use nbo::catalog::load::{FILE_BYTES_MAX, FILES_MAX};
use nbo::catalog::{Catalog, CatalogFiles, Diagnostic, Shortlist, load};
use nbo::decision::features::counts;
use nbo::decision::{consent, fill, gate};
use nbo::domain::contact::Counted;
use nbo::domain::symbol::Symbols;

fn small() -> CatalogFiles {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    CatalogFiles {
        rules: BTreeMap::from([
            file("catalog.yaml", include_str!("catalog/small/catalog.yaml")),
            file("offers.yaml", include_str!("catalog/small/offers.yaml")),
        ]),
        models: BTreeMap::from([file("bank", include_str!("catalog/small/manifest.json"))]),
        ..CatalogFiles::default()
    }
}

fn loaded(files: &CatalogFiles) -> Result<Catalog, Vec<Diagnostic>> {
    load(files, &Symbols::default())
}

/// Returns what the loader says, a line each: `file:line:column: severity: message (hint)`.
fn said(files: &CatalogFiles) -> Vec<String> {
    let diagnostics = match loaded(files) {
        Ok(catalog) => catalog.warnings,
        Err(diagnostics) => diagnostics,
    };
    let line = |each: &Diagnostic| {
        let hint = each.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!(
            "{}:{}:{}: {}: {}{hint}",
            each.file, each.line, each.column, each.severity, each.message
        )
    };
    diagnostics.iter().map(line).collect()
}

/// Changes one text of the small catalog; nothing when the change does not hit exactly one place.
fn changed(file: &str, from: &str, to: &str) -> Option<CatalogFiles> {
    let mut files = small();
    let text = match file {
        "manifest" => files.models.get_mut("bank")?,
        name => files.rules.get_mut(name)?,
    };
    *text = if text.matches(from).count() == 1 {
        text.replace(from, to)
    } else {
        return None;
    };
    Some(files)
}

#[test]
fn the_small_catalog_is_without_fault() {
    assert_eq!(said(&small()), Vec::<String>::new());
}

#[test]
fn every_fault_is_told_with_its_place_and_what_was_meant() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in include_str!("catalog/faults.txt").split("\n\n") {
        let mut lines = row.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let Some(change) = lines.next() else { continue };
        let (file, change) = change.split_once(" | ").expect(change);
        let (from, to) = change.split_once(" =>").expect(change);
        let unescaped = |text: &str| text.replace("\\n", "\n").replace("\\t", "\t").replace('␇', "\u{7}");
        let expected: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        let to = to.strip_prefix(' ').unwrap_or(to);
        let changed = changed(file, &unescaped(from), &unescaped(to));
        let said = changed.map_or_else(|| vec!["hits no place, or several".to_owned()], |files| said(&files));
        rows += 1;
        if said != expected {
            let indented: Vec<String> = said.iter().map(|line| format!("  {line}")).collect();
            wrong.push(format!("{file} | {from} => {to}\n{}", indented.join("\n")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows say something else:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn no_rule_can_be_named_like_a_reason_that_is_built_in() {
    let built_in = [
        fill::ERASED,
        fill::UNKNOWN_CUSTOMER,
        fill::OPT_OUT,
        fill::NO_ROOM,
        fill::HISTORY_FULL,
        fill::NOT_FOR_PLACEMENT,
        fill::NO_TREATMENT,
        fill::SHOWN_ELSEWHERE,
        fill::GROUP_FULL,
        fill::OUTRANKED,
        consent::NO_CONSENT,
        consent::OBJECTED,
        gate::NOT_YET_VALID,
        gate::NO_LONGER_VALID,
        RUN_LIMIT,
    ];
    for name in built_in {
        let said = said(&changed("offers.yaml", "id: seen_often", &format!("id: {name}")).unwrap());
        let expected = format!(
            "offers.yaml:40:10: error: `{name}` is the name of a reason that is built in (explanations tell what kept an offer out by its \
             name only; give it another id)"
        );
        assert_eq!(said, [expected]);
    }
}

#[test]
fn broken_syntax_in_one_file_hides_nothing_in_the_others_and_blames_nobody_for_it() {
    let mut files = small();
    let offers = files.rules.get_mut("offers.yaml").unwrap();
    *offers = offers.replace("start_propensity: 0.2", "start_propensity: 2");
    let catalog = files.rules.get_mut("catalog.yaml").unwrap();
    *catalog = catalog.replace("places: [home_page,", "places: [home_page]");
    assert_eq!(
        said(&files),
        [
            "catalog.yaml:8:21: error: this does not fit the lines above (keys of the same thing begin in the same column, \
             and nothing goes on after a closing quote, `]` or `}`)",
            "offers.yaml:4:23: error: `start_propensity` must be from 0 to 1, not 2",
        ]
    );
}

#[test]
fn an_empty_file_is_a_warning_and_no_file_an_error() {
    let mut files = small();
    files
        .rules
        .insert("later.yaml".to_owned(), "# nothing yet\n".to_owned());
    assert_eq!(
        said(&files),
        ["later.yaml:1:1: warning: the file is empty (remove it, or write into it what it is for)"]
    );
    let expected = "(no file):1:1: error: there is no catalog: no file ends in `.yaml`";
    assert_eq!(said(&CatalogFiles::default()), [expected]);
}

#[test]
fn characters_that_are_not_utf_8_are_refused_with_their_place() {
    let files = changed("offers.yaml", "Own the world", "Own the w\u{fffd}rld").unwrap();
    let expected =
        "offers.yaml:33:29: error: here is a character that is not UTF-8 (remove it, and save the file as UTF-8)";
    assert_eq!(said(&files), [expected]);
}

#[test]
fn files_beyond_the_limits_are_refused_unread() {
    let mut files = small();
    files
        .rules
        .insert("huge.yaml".to_owned(), "#".repeat(FILE_BYTES_MAX + 1));
    let expected = format!(
        "huge.yaml:1:1: error: the file has {} bytes; at most {FILE_BYTES_MAX} are read",
        FILE_BYTES_MAX + 1
    );
    assert_eq!(said(&files), [expected]);

    let many = (0..=FILES_MAX).map(|number| (format!("{number}.yaml"), "offers: []".to_owned()));
    let files = CatalogFiles {
        rules: many.collect(),
        ..CatalogFiles::default()
    };
    let said = said(&files);
    assert!(
        said.iter()
            .any(|line| line.contains("there are 1001 files; at most 1000 are read")),
        "{said:?}"
    );
}

#[test]
fn a_file_with_broken_syntax_does_not_hide_the_faults_of_the_others() {
    let mut files = changed("offers.yaml", "profile.age ", "profile.agee ").unwrap();
    let broken = |text: &str| ("broken.yaml".to_owned(), text.to_owned());
    files.rules.extend([broken(
        "# More of them.\nplacements:\n  - {id: corner, channels: [web\n",
    )]);
    let lines = said(&files);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("broken.yaml:"), "{lines:?}");
    assert!(
        lines[1].contains("there is no profile.agee (did you mean profile.age?)"),
        "{lines:?}"
    );
    // What the broken file declares may be what is missing elsewhere, so nobody is wrong for naming it.
    for declares in [
        "attributes:\n  profile: [",
        " attributes: {profile: [",
        "\"attributes\": [",
        "{attributes: [",
    ] {
        files.rules.extend([broken(declares)]);
        let lines = said(&files);
        assert!(
            lines.len() == 1 && lines[0].starts_with("broken.yaml:"),
            "{declares}: {lines:?}"
        );
    }
}

#[test]
fn of_a_flood_of_faults_the_first_thousand_are_told() {
    let files = changed(
        "offers.yaml",
        "caps:\n",
        &format!("caps:\n{}", "  - {}\n".repeat(5_000)),
    )
    .unwrap();
    assert_eq!(said(&files).len(), 1_000);
}

#[test]
fn two_models_for_one_group_are_refused() {
    let mut files = changed("catalog.yaml", "models: [bank]", "models: [bank, other]").unwrap();
    let manifest = files.models["bank"].replace("\"name\": \"bank\"", "\"name\": \"other\"");
    files.models.insert("other".to_owned(), manifest);
    let expected = "models/other/manifest.json:9:14: error: two models score the group `savings` \
                    (take it out of one manifest's `groups`, or one model out of the catalog's `models`)";
    assert_eq!(said(&files), [expected]);
}

/// Returns the small catalog with a shortlist in its model, and with the folder `cheap` beside it, whose manifest is spoilt by `change`.
fn with_shortlist(by: &str, (from, to): (&str, &str)) -> CatalogFiles {
    let shortlist = format!("[\"savings\"],\n  \"shortlist\": {{\"by\": \"{by}\", \"keep\": 20}}");
    let mut files = small();
    let manifest = files.models["bank"].clone();
    let cheap = manifest.replace("[\"savings\"]", "[]");
    assert!(cheap.contains(from), "nothing to replace: {from}");
    files.models.insert("cheap".to_owned(), cheap.replacen(from, to, 1));
    let model = manifest.replace("[\"savings\"]", &shortlist);
    files.models.insert("bank".to_owned(), model);
    files
}

#[test]
fn a_first_stage_comes_along_although_the_catalog_does_not_name_it_and_scores_no_group_of_its_own() {
    for (groups, listed) in [("[]", false), ("[\"fund\"]", false), ("[]", true), ("[\"fund\"]", true)] {
        let mut files = with_shortlist("cheap", ("[]", groups));
        if listed {
            let text = files.rules.get_mut("catalog.yaml").unwrap();
            *text = text.replace("models: [bank]", "models: [cheap, bank]");
        }
        let catalog = loaded(&files).unwrap();
        let (first, own) = if listed { (0, 1) } else { (1, 0) };
        assert_eq!(&*catalog.models[first].name, "cheap");
        assert_eq!(catalog.models[own].shortlist, Some(Shortlist { by: first, keep: 20 }));
        let model = |group: &str| catalog.groups.iter().find(|each| &*each.id == group).unwrap().model;
        let of_fund = (listed && groups != "[]").then_some(first);
        assert_eq!((model("savings"), model("fund")), (Some(own), of_fund));
        let other = files.models["cheap"].replace("For tests.", "For other tests.");
        files.models.insert("cheap".to_owned(), other);
        assert_ne!(loaded(&files).unwrap().version, catalog.version);
    }
}

#[test]
fn every_fault_of_a_shortlist_is_told_with_its_place() {
    let nothing = ("[]", "[]");
    let chain = ("[]", "[], \"shortlist\": {\"by\": \"bank\", \"keep\": 3}");
    let rows = [
        (
            "cheep",
            nothing,
            "models/bank/manifest.json:10:23: error: there is no model `cheep`: no `models/cheep/manifest.json` (did you mean \
             `cheap`?)",
        ),
        (
            "bank",
            nothing,
            "models/bank/manifest.json:10:23: error: the first stage of `bank` is `bank` itself, which would save nothing (name a \
             model that costs less)",
        ),
        (
            "cheap",
            ("behaviour.searches_7d", "behaviour.searches"),
            "models/cheap/manifest.json:16:34: error: the column `searches` reads `behaviour.searches`, which the catalog has not \
             (allowed are searches_7d, searches_by_7d_fund, searches_by_7d_foreign_exchange, results_30d, days_since_login, \
             last_category, sessions_30d)",
        ),
        (
            "cheap",
            ("0.00001", "7"),
            "models/cheap/manifest.json:27:16: error: tolerance is 7, allowed are above 0 to 0.001",
        ),
    ];
    for (by, change, expected) in rows {
        assert_eq!(said(&with_shortlist(by, change)), [expected]);
    }
    let both = [
        "models/bank/manifest.json:10:23: error: the first stage `cheap` has a shortlist itself; there are two stages at most (take \
         `shortlist` out of `models/cheap/manifest.json`, or name another model)",
        "models/cheap/manifest.json:9:37: error: the first stage `bank` has a shortlist itself; there are two stages at most (take \
         `shortlist` out of `models/bank/manifest.json`, or name another model)",
    ];
    assert_eq!(said(&with_shortlist("cheap", chain)), both);
}

#[test]
fn a_model_that_scores_no_group_and_is_nobodys_first_stage_is_refused() {
    let files = changed("manifest", "[\"savings\"]", "[]").unwrap();
    let expected = "models/bank/manifest.json:9:13: error: `groups` is empty; a model scores at least one group, or is the first \
                    stage of another";
    assert_eq!(said(&files), [expected]);
}

#[test]
fn neither_the_order_of_files_nor_what_is_in_which_matters() {
    let mut files = small();
    let texts: Vec<String> = std::mem::take(&mut files.rules).into_values().collect();
    let text = texts.join("");
    let starts: Vec<usize> = text
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .filter(|&at| text[at..].starts_with(|first: char| first.is_ascii_lowercase()))
        .chain([0, text.len()])
        .collect();
    let mut starts = starts;
    starts.sort_unstable();
    for (number, part) in starts.windows(2).enumerate() {
        files
            .rules
            .insert(format!("{:02}.yaml", 99 - number), text[part[0]..part[1]].to_owned());
    }
    assert!(files.rules.len() > 10);
    let (apart, whole) = (loaded(&files).unwrap(), loaded(&small()).unwrap());
    let ids = |catalog: &Catalog| catalog.offers.iter().map(|offer| offer.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&apart), ids(&whole));
    assert_eq!(apart.warnings, []);
    assert_eq!(apart.models[0].columns.len(), whole.models[0].columns.len());
}

#[test]
fn a_version_names_the_rules_and_the_manifests_in_use() {
    let version = |files: &CatalogFiles| loaded(files).unwrap().version;
    let before = version(&small());
    assert_eq!(before.len(), 16);
    assert_eq!(version(&small()), before);
    let mut unused = small();
    unused.models.insert("unused".to_owned(), "{}".to_owned());
    assert_eq!(version(&unused), before);
    assert_ne!(
        version(&changed("offers.yaml", "Own the world", "Own the World").unwrap()),
        before
    );
    assert_ne!(
        version(&changed("manifest", "For tests.", "For a test.").unwrap()),
        before
    );
}

#[test]
fn names_and_set_values_keep_their_numbers_over_every_later_version() {
    let first = loaded(&small()).unwrap();
    let reordered = changed(
        "catalog.yaml",
        "values: [savings, fund]",
        "values: [loan, fund, savings]",
    )
    .unwrap();
    let second = load(&reordered, &first.symbols).unwrap();
    let name = |catalog: &Catalog, name: &str| catalog.symbols.find(name);
    for known in ["holdings", "fund", "savings_plus", "web", "overseas_branch"] {
        assert_eq!(name(&first, known), name(&second, known), "{known}");
    }
    let bits = |catalog: &Catalog| {
        let values = catalog.symbols.set_values(name(catalog, "holdings").unwrap());
        values
            .iter()
            .map(|value| catalog.symbols.name(*value).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&first), ["savings", "fund"]);
    assert_eq!(bits(&second), ["savings", "fund", "loan"]);
}

#[test]
fn a_value_that_was_removed_is_unknown_to_conditions_although_it_keeps_its_place() {
    let first = loaded(&small()).unwrap();
    let without = changed("catalog.yaml", "values: [savings, fund]", "values: [savings, loan]").unwrap();
    let diagnostics = load(&without, &first.symbols).unwrap_err();
    let in_rules = diagnostics.iter().find(|each| each.file == "offers.yaml").unwrap();
    assert_eq!(in_rules.message, "\"fund\" is not a value of profile.holdings");
}

#[test]
fn a_set_never_has_more_than_64_values_not_even_over_versions() {
    let values = |prefix: &str, count: usize| {
        (0..count)
            .map(|number| format!("{prefix}{number}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let with = |values: &str| {
        changed(
            "catalog.yaml",
            "values: [savings, fund]",
            &format!("values: [savings, fund, {values}]"),
        )
        .unwrap()
    };
    let said_of = |files: &CatalogFiles, before: &Symbols| load(files, before).unwrap_err()[0].message.clone();
    let too_many = said_of(&with(&values("a", 63)), &Symbols::default());
    assert_eq!(too_many, "`holdings` has 65 values; at most 64 are allowed");
    let first = loaded(&with(&values("a", 62))).unwrap();
    let over_time = said_of(&with("b0"), &first.symbols);
    assert_eq!(over_time, "`holdings` had 64 other values already");
}

#[test]
fn what_a_ranking_depends_on_is_known() {
    let plain = loaded(&small()).unwrap();
    assert!(plain.reads.context.is_empty() && !counts(&plain, Counted::Decided));
    let rule = changed(
        "offers.yaml",
        "when: profile.age >= 18",
        "when: context.channel == \"web\"",
    )
    .unwrap();
    assert_eq!(loaded(&rule).unwrap().reads.context, [0]);
    let column = "\"from\": \"behaviour.searches_7d\", \"as\": \"number\", \"missing\": 0";
    let contacts =
        |count: &str| format!("\"from\": \"contacts\", \"as\": \"number\", \"count\": \"{count}\", \"scope\": \"all\"");
    let decided = changed("manifest", column, &contacts("decided")).unwrap();
    assert!(counts(&loaded(&decided).unwrap(), Counted::Decided));
    let clicked = changed("manifest", column, &contacts("clicked")).unwrap();
    let clicked = loaded(&clicked).unwrap();
    assert!(counts(&clicked, Counted::Clicked) && !counts(&clicked, Counted::Seen));
}

#[test]
fn dates_are_days_of_the_catalogs_time_zone() {
    let catalog = loaded(&small()).unwrap();
    let offer = catalog
        .offers
        .iter()
        .find(|offer| &*offer.id == "savings_plus")
        .unwrap();
    assert_eq!(offer.valid_from.to_string(), "2025-12-31T23:00:00Z");
    assert_eq!(offer.valid_until.to_string(), "2026-12-31T23:00:00Z");
}

#[test]
fn whatever_is_cut_out_or_put_in_the_loader_answers() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % limit as u64).unwrap()
    };
    let pieces = [
        ":", ": ", "- ", "\n", "  ", "\t", "'", "\"", "[", "]", "{", "}", "#", "|\n", "&a ", "*a", "!x ", "null", "-1",
        "é", "\u{0}",
    ];
    for _ in 0..150 {
        let mut files = small();
        for _ in 0..=below(3) {
            let number = below(2);
            let text = files.rules.values_mut().nth(number).unwrap();
            let mut characters: Vec<char> = text.chars().collect();
            let at = below(characters.len());
            let until = (at + below(12)).min(characters.len());
            characters.splice(at..until, pieces[below(pieces.len())].chars());
            *text = characters.into_iter().collect();
        }
        for line in said(&files) {
            assert!(line.contains(": error: ") || line.contains(": warning: "), "{line}");
        }
    }
}
