//! `nbo replay` and `nbo explain`: a past decision, made again and told in words.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};

use super::connect::Server;
use crate::server::wire;
use crate::server::wire::customer::Identity;
use crate::server::wire::decision_service_client::DecisionServiceClient;

/// The longest answer that is taken: the reasons of ten thousand offers.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What both commands ask.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// The decision's id, as its answer had it
    #[arg(long, value_name = "ID")]
    decision: String,
    #[command(flatten)]
    server: Server,
}

/// Makes a past decision again, on the profile, catalog and models of then.
///
/// Prints the same ranking, priorities, factors and reasons, and says whether they are the same as then, bit for bit; exits with
/// 1 when they are not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo replay --decision 6cdbf8a62851cd488e7d6658d2d0adb10572647c
  nbo replay --decision 6cdbf8a62851cd488e7d6658d2d0adb10572647c --json | jq .placements")]
pub struct ReplayArgs {
    #[command(flatten)]
    asked: Asked,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Tells in words why a past decision showed what it showed, and why it withheld the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo explain --decision 6cdbf8a62851cd488e7d6658d2d0adb10572647c
  nbo explain --decision 6cdbf8a62851cd488e7d6658d2d0adb10572647c --offer fund_balanced")]
pub struct ExplainArgs {
    #[command(flatten)]
    asked: Asked,
    /// Tell of this offer only
    #[arg(long, value_name = "OFFER")]
    offer: Option<String>,
}

impl Asked {
    fn again(&self) -> Result<(wire::ReplayDecisionResponse, wire::GetOffersResponse)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let again = runtime.block_on(async {
            let answer = DecisionServiceClient::new(self.server.connect().await?)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .replay_decision(wire::ReplayDecisionRequest {
                    decision_id: self.decision.clone(),
                    omit_content: true,
                })
                .await;
            answer.map_err(|status| anyhow::anyhow!("{}", status.message()))
        })?;
        let again = again.into_inner();
        let decision = again.decision.clone().context("the server sent no decision")?;
        Ok((again, decision))
    }
}

fn instant(time: Option<wire::Timestamp>) -> String {
    let at = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

fn who(customer: Option<&wire::Customer>) -> String {
    match customer.and_then(|customer| customer.identity.as_ref()) {
        Some(Identity::Id(id)) => format!("customer {id}"),
        Some(Identity::AnonymousId(id)) => format!("visitor {id}"),
        None => "nobody".to_owned(),
    }
}

fn stage(reason: &wire::WithheldOffer) -> String {
    let name = reason.stage().as_str_name();
    name.trim_start_matches("STAGE_").to_lowercase().replace('_', " ")
}

fn factors(offer: &wire::RankedOffer) -> wire::Factors {
    offer.factors.unwrap_or_default()
}

impl ReplayArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server cannot be reached, or cannot make the decision again.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let (again, decision) = self.asked.again()?;
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &as_json(&again, &decision))?;
            writeln!(out)?;
        } else {
            write!(out, "{}", as_table(&again, &decision))?;
        }
        Ok(ExitCode::from(u8::from(!again.identical)))
    }
}

fn as_json(again: &wire::ReplayDecisionResponse, decision: &wire::GetOffersResponse) -> Json {
    let offer = |offer: &wire::RankedOffer| {
        let factors = factors(offer);
        json!({
            "offer": offer.offer_id,
            "rank": offer.rank,
            "priority": offer.priority,
            "propensity": factors.propensity,
            "context_weight": factors.context_weight,
            "value": factors.value,
            "lever": factors.lever,
            "rung": offer.rung().as_str_name(),
        })
    };
    let placement = |filled: &wire::PlacementOffers| {
        json!({
            "placement": filled.placement,
            "fallback": filled.fallback,
            "offers": filled.offers.iter().map(offer).collect::<Vec<_>>(),
        })
    };
    let withheld = |reason: &wire::WithheldOffer| {
        json!({
            "offer": reason.offer_id,
            "placement": reason.placement,
            "stage": stage(reason),
            "rule": reason.rule,
            "because": reason.because,
            "part": reason.part,
            "missing": reason.missing,
            "count": reason.count,
            "limit": reason.limit,
            "eligible_again_at": reason.eligible_again_at.map(|at| instant(Some(at))),
        })
    };
    let models = decision
        .models
        .iter()
        .map(|model| json!({"name": model.name, "version": model.version, "path": model.path().as_str_name()}));
    json!({
        "decision": decision.decision_id,
        "identical": again.identical,
        "customer": who(again.customer.as_ref()),
        "channel": again.channel,
        "campaign": again.campaign,
        "decided_at": instant(decision.decided_at),
        "catalog": decision.catalog_version,
        "models": models.collect::<Vec<_>>(),
        "profile_version": decision.profile_version,
        "hold_outs": decision.hold_outs,
        "record": again.record,
        "placements": decision.placements.iter().map(placement).collect::<Vec<_>>(),
        "withheld": decision.withheld.iter().map(withheld).collect::<Vec<_>>(),
    })
}

/// Says by which way a model scored.
fn path(model: &wire::ModelVersion) -> &'static str {
    match model.path() {
        wire::ScoringPath::FactorisedTrees => " as factorised trees",
        wire::ScoringPath::FactorisedSum => " as a factorised sum",
        wire::ScoringPath::OnnxRuntime => " in ONNX Runtime",
        wire::ScoringPath::Unspecified => "",
    }
}

fn heading(again: &wire::ReplayDecisionResponse, decision: &wire::GetOffersResponse) -> String {
    let models: Vec<_> = decision
        .models
        .iter()
        .map(|model| format!("{} {}{}", model.name, model.version, path(model)))
        .collect();
    let campaign = if again.campaign.is_empty() {
        String::new()
    } else {
        format!(", campaign {}", again.campaign)
    };
    format!(
        "{} at {}, channel {}{campaign}, catalog {}, models {}\n{}\n",
        who(again.customer.as_ref()),
        instant(decision.decided_at),
        again.channel,
        decision.catalog_version,
        if models.is_empty() { "none".to_owned() } else { models.join(", ") },
        if again.identical {
            "made again from record RECORD: the same as then, bit for bit"
        } else {
            "made again from record RECORD: NOT the same as then (a model had failed, or this release decides otherwise)"
        }
        .replace("RECORD", &again.record.to_string())
    )
}

fn as_table(again: &wire::ReplayDecisionResponse, decision: &wire::GetOffersResponse) -> String {
    let mut text = heading(again, decision);
    for filled in &decision.placements {
        let _ = writeln!(text, "\n{}", filled.placement);
        if filled.offers.is_empty() {
            let _ = writeln!(
                text,
                "  nothing{}",
                if filled.fallback { ": the fallback content" } else { "" }
            );
        }
        for offer in &filled.offers {
            let factors = factors(offer);
            let _ = writeln!(
                text,
                "  {}. {:<28} {:>12.6} = propensity {:.6} × context {} × value {} × lever {}",
                offer.rank,
                offer.offer_id,
                offer.priority,
                factors.propensity,
                factors.context_weight,
                factors.value,
                factors.lever
            );
        }
    }
    if !decision.withheld.is_empty() {
        text.push_str("\nwithheld\n");
    }
    for reason in &decision.withheld {
        let _ = write!(text, "  {:<28} {:<15} {}", reason.offer_id, stage(reason), reason.rule);
        if let (Some(count), Some(limit)) = (reason.count, reason.limit) {
            let _ = write!(text, ", {count} of {limit}");
        }
        if reason.eligible_again_at.is_some() {
            let _ = write!(text, ", again at {}", instant(reason.eligible_again_at));
        }
        text.push('\n');
    }
    text
}

impl ExplainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server cannot be reached, or cannot make the decision again.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let (again, decision) = self.asked.again()?;
        write!(out, "{}", in_words(&again, &decision, self.offer.as_deref()))?;
        Ok(ExitCode::from(u8::from(!again.identical)))
    }
}

fn in_words(again: &wire::ReplayDecisionResponse, decision: &wire::GetOffersResponse, only: Option<&str>) -> String {
    let mut text = heading(again, decision);
    let is_meant = |offer: &str| only.is_none_or(|only| only == offer);
    for filled in &decision.placements {
        let best = filled.offers.first().map(|offer| offer.priority);
        for offer in filled.offers.iter().filter(|offer| is_meant(&offer.offer_id)) {
            let factors = factors(offer);
            let source = match offer.rung() {
                wire::Rung::Model => "the model expects",
                wire::Rung::FirstStage => "the model's first stage expects",
                wire::Rung::LastGood => "the model's last good answer expects",
                _ => "without a model we expect",
            };
            let _ = write!(
                text,
                "\n{} was number {} in {}: {source} {:.2} % to say yes",
                offer.offer_id,
                offer.rank,
                filled.placement,
                factors.propensity * 100.0
            );
            if factors.context_weight > 1.0 {
                let _ = write!(
                    text,
                    ", what the customer did lately makes it weigh {} times",
                    factors.context_weight
                );
            }
            let _ = write!(text, ", a yes is worth {}", factors.value);
            if (factors.lever - 1.0).abs() > f64::EPSILON {
                let _ = write!(text, ", and the business puts {} on the scale", factors.lever);
            }
            let _ = write!(text, ", which makes {:.4}", offer.priority);
            if let Some(best) = best.filter(|_| offer.rank > 1) {
                let _ = write!(text, " ({:.0} % of the first)", offer.priority / best * 100.0);
            }
            text.push('.');
            if offer.control {
                text.push_str(" The customer is in a hold-out and saw the control content.");
            }
        }
    }
    for offers in decision.withheld.chunk_by(|one, other| one.offer_id == other.offer_id) {
        let Some(first) = offers.first().filter(|first| is_meant(&first.offer_id)) else {
            continue;
        };
        let _ = write!(text, "\n{} was withheld: {}", first.offer_id, reason(first));
        for more in &offers[1..] {
            let _ = write!(text, "; besides: {}", reason(more));
        }
        text.push('.');
    }
    text.push('\n');
    text
}

fn reason(withheld: &wire::WithheldOffer) -> String {
    let mut text = if withheld.because.is_empty() {
        format!("{} ({})", withheld.rule, stage(withheld))
    } else {
        format!("{} ({}, {})", withheld.because, stage(withheld), withheld.rule)
    };
    if !withheld.part.is_empty() {
        let _ = write!(text, ", since not {}", withheld.part);
    }
    if !withheld.missing.is_empty() {
        let _ = write!(text, ", for {} was not known", withheld.missing);
    }
    if let (Some(count), Some(limit)) = (withheld.count, withheld.limit) {
        let _ = write!(text, ", {count} counted of {limit} allowed");
    }
    if withheld.eligible_again_at.is_some() {
        let _ = write!(text, ", until {}", instant(withheld.eligible_again_at));
    }
    text
}
