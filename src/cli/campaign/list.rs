//! The list of a run as a file: one row for each offer of each customer, and for each reason when reasons were asked for.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::server::wire::customer::Identity;
use crate::server::wire::{self, CustomerOffers, Rung, Stage};

/// Rows that are gathered before they are written: some tens of MB.
const ROWS_PER_GROUP: usize = 100_000;

/// The columns of a CSV file, in order; those of a Parquet file have the same names.
const COLUMNS: [&str; 20] = [
    "customer",
    "anonymous",
    "decision_id",
    "rank",
    "offer_id",
    "group",
    "name",
    "priority",
    "propensity",
    "context_weight",
    "value",
    "lever",
    "rung",
    "withheld_stage",
    "withheld_rule",
    "withheld_because",
    "eligible_again_at",
    "decided_at",
    "control",
    "hold_outs",
];

const SCHEMA: &str = "message list {
    REQUIRED BYTE_ARRAY customer (UTF8);
    REQUIRED BOOLEAN anonymous;
    OPTIONAL BYTE_ARRAY decision_id (UTF8);
    OPTIONAL INT32 rank;
    REQUIRED BYTE_ARRAY offer_id (UTF8);
    OPTIONAL BYTE_ARRAY group (UTF8);
    OPTIONAL BYTE_ARRAY name (UTF8);
    OPTIONAL DOUBLE priority;
    OPTIONAL FLOAT propensity;
    OPTIONAL FLOAT context_weight;
    OPTIONAL DOUBLE value;
    OPTIONAL DOUBLE lever;
    OPTIONAL BYTE_ARRAY rung (UTF8);
    OPTIONAL BYTE_ARRAY withheld_stage (UTF8);
    OPTIONAL BYTE_ARRAY withheld_rule (UTF8);
    OPTIONAL BYTE_ARRAY withheld_because (UTF8);
    OPTIONAL INT64 eligible_again_at (TIMESTAMP(MILLIS,true));
    OPTIONAL INT64 decided_at (TIMESTAMP(MILLIS,true));
    OPTIONAL BOOLEAN control;
    OPTIONAL BYTE_ARRAY hold_outs (UTF8);
}";

/// One row: an offer that is given, or one that is withheld.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    customer: String,
    anonymous: bool,
    decision_id: Option<String>,
    rank: Option<i32>,
    offer_id: String,
    group: Option<String>,
    name: Option<String>,
    priority: Option<f64>,
    factors: Option<wire::Factors>,
    rung: Option<&'static str>,
    stage: Option<&'static str>,
    rule: Option<String>,
    because: Option<String>,
    eligible_again_at: Option<i64>,
    decided_at: Option<i64>,
    /// Whether the control content is to be sent; of an offer that is given only.
    control: Option<bool>,
    /// All hold-outs that the customer is in, with `;` between them.
    hold_outs: Option<String>,
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn millis(time: Option<&wire::Timestamp>) -> Option<i64> {
    time.map(|time| {
        time.seconds
            .saturating_mul(1_000)
            .saturating_add(i64::from(time.nanos) / 1_000_000)
    })
}

/// Returns the rows of one customer.
fn rows(of: CustomerOffers) -> impl Iterator<Item = Row> {
    let (anonymous, customer) = match of.customer.and_then(|customer| customer.identity) {
        Some(Identity::AnonymousId(id)) => (true, id),
        Some(Identity::Id(id)) => (false, id),
        None => (false, String::new()),
    };
    let every = Row {
        customer,
        anonymous,
        decision_id: some(of.decision_id),
        decided_at: millis(of.decided_at.as_ref()),
        hold_outs: some(of.hold_outs.join(";")),
        ..Row::default()
    };
    let withheld = Row {
        decision_id: None,
        ..every.clone()
    };
    let offers = of.offers.into_iter().map(move |offer| Row {
        rank: i32::try_from(offer.rank).ok(),
        priority: Some(offer.priority),
        factors: offer.factors,
        rung: Some(rung(offer.rung())),
        offer_id: offer.offer_id,
        group: some(offer.group),
        name: some(offer.name),
        control: Some(offer.control),
        ..every.clone()
    });
    let reasons = of.withheld.into_iter().map(move |reason| Row {
        stage: Some(stage(reason.stage())),
        eligible_again_at: millis(reason.eligible_again_at.as_ref()),
        offer_id: reason.offer_id,
        rule: some(reason.rule),
        because: some(reason.because),
        ..withheld.clone()
    });
    offers.chain(reasons)
}

const fn rung(rung: Rung) -> &'static str {
    match rung {
        Rung::Unspecified => "",
        Rung::Model => "model",
        Rung::FirstStage => "first_stage",
        Rung::LastGood => "last_good",
        Rung::Start => "start",
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Unspecified => "",
        Stage::HardSuppression => "hard_suppression",
        Stage::Eligibility => "eligibility",
        Stage::Applicability => "applicability",
        Stage::Suitability => "suitability",
        Stage::ContactPolicy => "contact_policy",
        Stage::Placement => "placement",
    }
}

/// The formats of a list, by the ending of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Parquet,
}

impl Format {
    /// Finds the format of a file.
    pub(super) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => bail!(
                "{}: a list is written as `.parquet` or `.csv`, by the ending of its name",
                path.display()
            ),
        }
    }
}

/// A list that is being written.
pub(super) enum List {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    Parquet {
        file: Box<SerializedFileWriter<BufWriter<File>>>,
        waiting: Vec<Row>,
    },
}

impl List {
    pub(super) fn begin(path: &Path, format: Format) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let file = BufWriter::new(file);
        match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(file);
                writer.write_record(COLUMNS)?;
                Ok(Self::Csv(Box::new(writer)))
            }
            Format::Parquet => {
                let schema = Arc::new(parse_message_type(SCHEMA)?);
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
                Ok(Self::Parquet {
                    file: Box::new(writer),
                    waiting: Vec::new(),
                })
            }
        }
    }

    /// Adds the rows of one customer, and returns how many.
    pub(super) fn put(&mut self, of: CustomerOffers) -> Result<u64> {
        let mut count = 0;
        for row in rows(of) {
            count += 1;
            match self {
                Self::Csv(writer) => writer.write_record(record(&row))?,
                Self::Parquet { file, waiting } => {
                    waiting.push(row);
                    if waiting.len() == ROWS_PER_GROUP {
                        write_group(file, waiting)?;
                    }
                }
            }
        }
        Ok(count)
    }

    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Csv(mut writer) => writer.flush()?,
            Self::Parquet { mut file, mut waiting } => {
                if !waiting.is_empty() {
                    write_group(&mut file, &mut waiting)?;
                }
                file.finish()?;
                file.inner_mut().flush()?;
            }
        }
        Ok(())
    }
}

/// Writes a row as CSV: what is not there is empty.
fn record(row: &Row) -> [String; COLUMNS.len()] {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let time = |millis: Option<i64>| text(millis.map(crate::domain::time::Timestamp::from_millis));
    [
        row.customer.clone(),
        row.anonymous.to_string(),
        text(row.decision_id.as_ref()),
        text(row.rank),
        row.offer_id.clone(),
        text(row.group.as_ref()),
        text(row.name.as_ref()),
        text(row.priority),
        text(row.factors.map(|factors| factors.propensity)),
        text(row.factors.map(|factors| factors.context_weight)),
        text(row.factors.map(|factors| factors.value)),
        text(row.factors.map(|factors| factors.lever)),
        text(row.rung),
        text(row.stage),
        text(row.rule.as_ref()),
        text(row.because.as_ref()),
        time(row.eligible_again_at),
        time(row.decided_at),
        text(row.control),
        text(row.hold_outs.as_ref()),
    ]
}

/// Writes the rows that wait, column by column.
fn write_group(file: &mut SerializedFileWriter<BufWriter<File>>, waiting: &mut Vec<Row>) -> Result<()> {
    let rows = std::mem::take(waiting);
    let mut group = Columns {
        group: file.next_row_group()?,
        rows: &rows,
    };
    group.text(|row| Some(row.customer.as_str()), true)?;
    group.booleans(|row| row.anonymous)?;
    group.text(|row| row.decision_id.as_deref(), false)?;
    group.optional::<Int32Type>(|row| row.rank)?;
    group.text(|row| Some(row.offer_id.as_str()), true)?;
    group.text(|row| row.group.as_deref(), false)?;
    group.text(|row| row.name.as_deref(), false)?;
    group.optional::<DoubleType>(|row| row.priority)?;
    group.optional::<FloatType>(|row| row.factors.map(|factors| factors.propensity))?;
    group.optional::<FloatType>(|row| row.factors.map(|factors| factors.context_weight))?;
    group.optional::<DoubleType>(|row| row.factors.map(|factors| factors.value))?;
    group.optional::<DoubleType>(|row| row.factors.map(|factors| factors.lever))?;
    group.text(|row| row.rung, false)?;
    group.text(|row| row.stage, false)?;
    group.text(|row| row.rule.as_deref(), false)?;
    group.text(|row| row.because.as_deref(), false)?;
    group.optional::<Int64Type>(|row| row.eligible_again_at)?;
    group.optional::<Int64Type>(|row| row.decided_at)?;
    group.optional::<BoolType>(|row| row.control)?;
    group.text(|row| row.hold_outs.as_deref(), false)?;
    group.group.close()?;
    Ok(())
}

/// The columns of one group of rows, written in order.
struct Columns<'a, 'f> {
    group: SerializedRowGroupWriter<'f, BufWriter<File>>,
    rows: &'a [Row],
}

impl Columns<'_, '_> {
    fn text(&mut self, of: impl Fn(&Row) -> Option<&str>, required: bool) -> Result<()> {
        let texts = self.rows.iter().map(of);
        if required {
            let texts: Vec<ByteArray> = texts.flatten().map(ByteArray::from).collect();
            return self.write::<ByteArrayType>(&texts, None);
        }
        self.levels::<ByteArrayType>(texts.map(|text| text.map(ByteArray::from)).collect())
    }

    fn booleans(&mut self, of: impl Fn(&Row) -> bool) -> Result<()> {
        let values: Vec<bool> = self.rows.iter().map(of).collect();
        self.write::<BoolType>(&values, None)
    }

    fn optional<T: parquet::data_type::DataType>(&mut self, of: impl Fn(&Row) -> Option<T::T>) -> Result<()> {
        self.levels::<T>(self.rows.iter().map(of).collect())
    }

    fn levels<T: parquet::data_type::DataType>(&mut self, values: Vec<Option<T::T>>) -> Result<()> {
        let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        let values: Vec<T::T> = values.into_iter().flatten().collect();
        self.write::<T>(&values, Some(&levels))
    }

    fn write<T: parquet::data_type::DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Result<()> {
        let mut column = self
            .group
            .next_column()?
            .context("the list has fewer columns than its schema")?;
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()?;
        Ok(())
    }
}
