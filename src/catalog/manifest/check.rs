//! Checks what a manifest means, collecting every fault.

use std::collections::BTreeSet;

use super::place::{Step, place};
use super::raw::{self, As};
use super::{
    COLUMNS_MAX, Column, Encoding, FORMAT, GOLDEN_ROWS_MAX, GoldenRow, Input, Manifest, ManifestFault, Output,
    SHORTLIST_MAX, Shortlist, Source, TOLERANCE_MAX,
};
use crate::catalog::ContactScope;
use crate::domain::contact::Counted;
use crate::domain::time::Millis;
use Step::{Element, Key};

/// Turns plain keys into a manifest, or into all their faults in the order of the text.
pub(super) fn check(raw: raw::Manifest, text: &str) -> Result<Manifest, Vec<ManifestFault>> {
    let mut faults = Faults {
        text,
        found: Vec::new(),
    };
    check_head(&raw, &mut faults);
    let shortlist = check_shortlist(&raw, &mut faults);
    let columns = check_columns(&raw, &mut faults);
    let golden = check_golden(raw.golden, &columns, raw.input.features, &mut faults);
    if !(raw.tolerance > 0.0 && raw.tolerance <= TOLERANCE_MAX) {
        faults.at(
            &[Key("tolerance")],
            format!("tolerance is {}, allowed are above 0 to {TOLERANCE_MAX}", raw.tolerance),
        );
    }
    if !faults.found.is_empty() {
        faults.found.sort_by_key(|fault| (fault.line, fault.column));
        return Err(faults.found);
    }
    Ok(Manifest {
        name: raw.name,
        version: raw.version,
        description: raw.description,
        data: raw.data,
        file: raw.file,
        sha256: raw.sha256,
        groups: raw.groups,
        shortlist,
        input: Input {
            name: raw.input.name,
            features: raw.input.features,
        },
        output: Output {
            name: raw.output.name,
            column: raw.output.column,
        },
        columns,
        golden,
        tolerance: raw.tolerance,
        metrics: raw.metrics,
    })
}

/// The faults found so far.
struct Faults<'a> {
    text: &'a str,
    found: Vec<ManifestFault>,
}

impl Faults<'_> {
    fn at(&mut self, path: &[Step<'_>], message: impl Into<String>) {
        let (line, column) = place(self.text, path);
        self.found.push(ManifestFault {
            line,
            column,
            message: message.into(),
        });
    }
}

fn check_head(raw: &raw::Manifest, faults: &mut Faults<'_>) {
    if raw.format != FORMAT {
        faults.at(
            &[Key("format")],
            format!("format is {}, this program reads format {FORMAT}", raw.format),
        );
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if raw.name.is_empty() || !raw.name.bytes().all(plain) {
        faults.at(
            &[Key("name")],
            format!(
                "name is \"{}\", allowed are lowercase letters, digits, - and _",
                raw.name
            ),
        );
    }
    if raw.version.is_empty() {
        faults.at(&[Key("version")], "version is empty");
    }
    if raw.file.is_empty() || raw.file.contains(['/', '\\']) || raw.file.starts_with('.') {
        faults.at(
            &[Key("file")],
            format!(
                "file is \"{}\", it must be the plain name of a file beside the manifest",
                raw.file
            ),
        );
    }
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if raw.sha256.len() != 64 || !raw.sha256.bytes().all(hexadecimal) {
        faults.at(
            &[Key("sha256")],
            "sha256 must be 64 lowercase hexadecimal digits, as `sha256sum` prints them",
        );
    }
    let mut seen = BTreeSet::new();
    for (number, group) in raw.groups.iter().enumerate() {
        if !seen.insert(group) {
            faults.at(
                &[Key("groups"), Element(number)],
                format!("group \"{group}\" is listed twice"),
            );
        }
    }
    if raw.columns.is_empty() || raw.columns.len() > COLUMNS_MAX {
        faults.at(
            &[Key("columns")],
            format!(
                "there are {} columns, allowed are 1 to {COLUMNS_MAX}",
                raw.columns.len()
            ),
        );
    }
    if raw.input.features != raw.columns.len() {
        faults.at(
            &[Key("input"), Key("features")],
            format!(
                "features is {}, but there are {} columns",
                raw.input.features,
                raw.columns.len()
            ),
        );
    }
}

/// Which models there are, and which of them can be a first stage, the catalog knows.
fn check_shortlist(raw: &raw::Manifest, faults: &mut Faults<'_>) -> Option<Shortlist> {
    let raw::Shortlist { by, keep } = raw.shortlist.as_ref()?;
    let counted = usize::try_from(*keep).ok();
    let keep_allowed = counted.filter(|keep| (1..=SHORTLIST_MAX).contains(keep));
    if keep_allowed.is_none() {
        faults.at(
            &[Key("shortlist"), Key("keep")],
            format!("keep is {keep}, allowed are 1 to {SHORTLIST_MAX}"),
        );
    }
    let keep = keep_allowed?;
    Some(Shortlist { by: by.clone(), keep })
}

fn check_columns(raw: &raw::Manifest, faults: &mut Faults<'_>) -> Vec<Column> {
    let mut names = BTreeSet::new();
    let mut columns = Vec::with_capacity(raw.columns.len());
    for (number, column) in raw.columns.iter().enumerate() {
        let path = [Key("columns"), Element(number)];
        if column.name.is_empty() || !names.insert(column.name.as_str()) {
            faults.at(
                &[path[0], path[1], Key("name")],
                format!("column name \"{}\" is empty or not the only one", column.name),
            );
        }
        let before = faults.found.len();
        let mut fault = |key: &str, message: String| {
            let message = format!("column \"{}\": {message}", column.name);
            faults.at(&[path[0], path[1], Key(key)], message);
        };
        let source = source(column, &mut fault);
        let encoding = encoding(column, &mut fault);
        let missing = missing(column, source.as_ref(), &mut fault);
        check_transforms(column, &mut fault);
        if let (Some(source), Some(encoding), true) = (source, encoding, faults.found.len() == before) {
            let (name, clip, log1p) = (column.name.clone(), column.clip, column.log1p);
            columns.push(Column {
                name,
                source,
                encoding,
                missing,
                clip,
                log1p,
            });
        }
    }
    columns
}

fn source(column: &raw::Column, fault: &mut impl FnMut(&str, String)) -> Option<Source> {
    if column.from == "contacts" {
        return contacts(column, fault);
    }
    for (key, is_set) in [
        ("count", column.count.is_some()),
        ("scope", column.scope.is_some()),
        ("within", column.within.is_some()),
    ] {
        if is_set {
            fault(
                key,
                format!(
                    "{key} belongs to columns from \"contacts\", this one is from \"{}\"",
                    column.from
                ),
            );
        }
    }
    let (space, name) = column.from.split_once('.').unwrap_or((column.from.as_str(), ""));
    let make = match space {
        "profile" => Source::Profile,
        "offer" => Source::Offer,
        "behaviour" => Source::Behaviour,
        "intent" => Source::Intent,
        "context" => Source::Context,
        _ => {
            fault("from", unknown_source(&column.from, space));
            return None;
        }
    };
    if name.is_empty() {
        fault(
            "from",
            format!("from is \"{}\", a name must follow, as in \"{space}.age\"", column.from),
        );
        return None;
    }
    Some(make(name.to_owned()))
}

fn unknown_source(from: &str, space: &str) -> String {
    const SPACES: [&str; 6] = ["profile", "offer", "behaviour", "intent", "context", "contacts"];
    let near = SPACES
        .iter()
        .copied()
        .find(|known| strsim::damerau_levenshtein(known, space) <= 2);
    let hint = near.map_or_else(String::new, |known| format!(", did you mean {known}?"));
    format!("from is \"{from}\", allowed are profile., offer., behaviour., intent., context. and contacts{hint}")
}

fn contacts(column: &raw::Column, fault: &mut impl FnMut(&str, String)) -> Option<Source> {
    if column.r#as != As::Number {
        fault("as", "contacts are counted, so `as` must be \"number\"".to_owned());
    }
    let within = match column.within.as_deref().map(|text| (text, span(text))) {
        None => None,
        Some((_, Some(span))) => Some(span),
        Some((text, None)) => {
            fault(
                "within",
                format!("within is \"{text}\", allowed is a whole number of d, h or m, as in \"30d\""),
            );
            return None;
        }
    };
    if column.count.is_none() {
        fault(
            "from",
            "contacts need `count`: what is counted, as in \"delivered\"".to_owned(),
        );
    }
    if column.scope.is_none() {
        fault(
            "from",
            "contacts need `scope`: \"offer\", \"group\" or \"all\"".to_owned(),
        );
    }
    Some(Source::Contacts {
        counted: counted(column.count?),
        scope: scope(column.scope?),
        within,
    })
}

const fn counted(count: raw::Count) -> Counted {
    match count {
        raw::Count::Decided => Counted::Decided,
        raw::Count::Delivered => Counted::Delivered,
        raw::Count::Seen => Counted::Seen,
        raw::Count::Clicked => Counted::Clicked,
        raw::Count::Accepted => Counted::Accepted,
        raw::Count::Refused => Counted::Refused,
        raw::Count::Converted => Counted::Converted,
    }
}

const fn scope(scope: raw::Scope) -> ContactScope {
    match scope {
        raw::Scope::Offer => ContactScope::Offer,
        raw::Scope::Group => ContactScope::Group,
        raw::Scope::All => ContactScope::All,
    }
}

/// Reads a span such as `30d`, `12h` or `5m`; `None` when it is something else or not above 0.
fn span(text: &str) -> Option<Millis> {
    let unit = match text.chars().last()? {
        'd' => Millis::DAY,
        'h' => Millis::HOUR,
        'm' => Millis::MINUTE,
        _ => return None,
    };
    let number: u32 = text[..text.len() - 1].parse().ok()?;
    (number > 0).then(|| unit.times(i64::from(number)))
}

fn encoding(column: &raw::Column, fault: &mut impl FnMut(&str, String)) -> Option<Encoding> {
    let takes_value = matches!(column.r#as, As::Equals | As::Contains);
    if column.value.is_some() != takes_value {
        fault(
            "as",
            "`value` goes with \"equals\" and \"contains\", and with them it must be there".to_owned(),
        );
    }
    let takes_order = column.r#as == As::Ordinal;
    if column.order.is_some() != takes_order || column.unknown.is_some() != takes_order {
        fault(
            "as",
            "`order` and `unknown` go with \"ordinal\", and with it both must be there".to_owned(),
        );
    }
    let order = column.order.clone().unwrap_or_default();
    if order.iter().collect::<BTreeSet<_>>().len() != order.len() {
        fault("order", "order lists a category twice".to_owned());
    }
    Some(match column.r#as {
        As::Number => Encoding::Number,
        As::Boolean => Encoding::Boolean,
        As::Equals => Encoding::Equals(column.value.clone()?),
        As::Ordinal => Encoding::Ordinal {
            order,
            unknown: column.unknown?,
        },
        As::Contains => Encoding::Contains(column.value.clone()?),
        As::DaysSince => Encoding::DaysSince,
    })
}

/// Returns the number for a value that is not known. Counts and strengths are always known, and membership has a natural
/// answer, 0; for the rest the training script must have decided, so the manifest must say.
fn missing(column: &raw::Column, source: Option<&Source>, fault: &mut impl FnMut(&str, String)) -> f32 {
    let always_known = matches!(source, Some(Source::Contacts { .. } | Source::Intent(_)));
    let membership = matches!(column.r#as, As::Equals | As::Contains);
    match &column.missing {
        Some(_) if always_known => {
            fault(
                "missing",
                format!("missing has no use here: \"{}\" is always known", column.from),
            );
            0.0
        }
        Some(raw::Missing::Number(number)) => *number,
        Some(raw::Missing::Nan(raw::Nan::Nan)) => f32::NAN,
        None if always_known || membership || source.is_none() => 0.0,
        None => {
            fault(
                "name",
                "`missing` is not there: say which number stands for a value that is not known".to_owned(),
            );
            0.0
        }
    }
}

fn check_transforms(column: &raw::Column, fault: &mut impl FnMut(&str, String)) {
    if let Some([low, high]) = column.clip
        && low >= high
    {
        fault(
            "clip",
            format!("clip is [{low}, {high}], the lower end must come first"),
        );
    }
    let above_minus_one = column.clip.is_none_or(|[low, _]| low > -1.0);
    if column.log1p && !above_minus_one {
        fault(
            "log1p",
            "log1p needs numbers above -1, so clip must begin above -1".to_owned(),
        );
    }
}

fn check_golden(
    raw: Vec<raw::GoldenRow>,
    columns: &[Column],
    features: usize,
    faults: &mut Faults<'_>,
) -> Vec<GoldenRow> {
    if raw.is_empty() || raw.len() > GOLDEN_ROWS_MAX {
        faults.at(
            &[Key("golden")],
            format!(
                "there are {} golden rows, allowed are 1 to {GOLDEN_ROWS_MAX}",
                raw.len()
            ),
        );
    }
    let mut keys: BTreeSet<String> = columns.iter().map(Column::input_key).collect();
    keys.insert("now".to_owned());
    // A column with a fault is not in the list, and its inputs would all look unknown.
    let keys_complete = columns.len() == features;
    let mut rows = Vec::with_capacity(raw.len());
    for (number, golden) in raw.into_iter().enumerate() {
        let path = [Key("golden"), Element(number)];
        if golden.row.len() != features {
            faults.at(
                &[path[0], path[1], Key("row")],
                format!(
                    "golden row {number} has {} numbers, the model takes {features}",
                    golden.row.len()
                ),
            );
        }
        if !(0.0..=1.0).contains(&golden.score) {
            faults.at(
                &[path[0], path[1], Key("score")],
                format!("golden row {number} has score {}, allowed are 0 to 1", golden.score),
            );
        }
        for key in golden.inputs.keys().filter(|key| keys_complete && !keys.contains(*key)) {
            faults.at(
                &[path[0], path[1], Key("inputs"), Key(key)],
                format!("golden row {number} has input \"{key}\", which no column reads"),
            );
        }
        rows.push(GoldenRow {
            inputs: golden
                .inputs
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.known()?)))
                .collect(),
            row: golden
                .row
                .into_iter()
                .map(|number| number.unwrap_or(f32::NAN))
                .collect(),
            score: golden.score,
        });
    }
    rows
}
