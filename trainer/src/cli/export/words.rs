//! What an export found out, in words and tables.

use crate::early::{DOUBT, EarlyReport, fewest};
use crate::export::judged::{EarlyAnswers, Exported, Findings, Judged};
use crate::metrics::BINS;
use crate::quantizer::Clipped;
use crate::quantizer::saturation::Saturation;
use crate::report::table;
use crate::shown::shown;
use crate::unknown::{percent, thousands};
use latch_engine::image::header::Early;

/// Precision against accuracy, agreement with f32 (of values the signal-to-noise ratio), image bytes, RAM of a stream and time of a `step` on this host.
pub(in crate::cli) fn precision_table(images: &[Judged], step: &str) -> String {
    let values = images.iter().any(|image| image.evaluation.errors.is_some());
    let (first, second) = if values { ("RMSE", "SNR to f32") } else { ("accuracy", "agrees with f32") };
    let heading = ["precision", first, second, "image bytes", "RAM bytes"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows[0].push(format!("ns a {step}"));
    for image in images {
        let evaluation = &image.evaluation;
        let (first, second) = match evaluation.errors {
            Some(errors) => {
                let ratio = evaluation.signal_to_noise(&images[0].evaluation);
                (error(errors.rmse), ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1} dB")))
            }
            None => {
                let agreement = evaluation.agreement(&images[0].evaluation);
                (format!("{:.2} %", 100.0 * evaluation.accuracy), format!("{:.2} %", 100.0 * agreement))
            }
        };
        rows.push(vec![
            format!(
                "{}{}{}",
                image.made.storage.name(),
                if image.made.aware { ", trained" } else { "" },
                if image.folded { ", folded" } else { "" }
            ),
            first,
            second,
            image.made.bytes.len().to_string(),
            image.state_bytes.to_string(),
            format!("{:.0}", evaluation.ns_per_token),
        ]);
    }
    table(&rows)
}

/// An error with four places behind the point, or two digits where it is smaller than these show.
fn error(rmse: f64) -> String {
    if rmse > 0.0 && rmse < 1e-3 { format!("{rmse:.1e}") } else { format!("{rmse:.4}") }
}

/// What early answers save and cost, in words.
pub(in crate::cli) fn early_words(report: &EarlyReport, of: &str) -> String {
    format!(
        "early answers: {} of {} texts {of} stop before their end, {:.1} % of the tokens saved; accuracy {:.2} %, to the end {:.2} %",
        report.stopped,
        report.texts,
        100.0 * report.saved(),
        100.0 * report.early_accuracy,
        100.0 * report.accuracy
    )
}

/// What an export promises of early answers, in words.
fn early_promise(early: &EarlyAnswers) -> String {
    let (allowed, sure) = (percent(early.allowed), percent(1.0 - DOUBT));
    if !early.thresholds.is_empty() {
        return format!(
            "early answers turn at most {allowed} of other texts like these from right to wrong, with a confidence of {sure}"
        );
    }
    match fewest(early.allowed) {
        None => {
            "no early answers: no number of texts shows that none is harmed; allow a little, such as --early-error 0.5%"
                .to_owned()
        }
        Some(fewest) if early.report.texts < fewest as u64 => format!(
            "no early answers: to promise {allowed} with a confidence of {sure} takes {} validation texts, and there are {}; allow more, or give more of them",
            thousands(fewest),
            early.report.texts
        ),
        Some(_) => {
            format!("no early answers: no threshold keeps below {allowed} with a confidence of {sure}; allow more")
        }
    }
}

/// What was found out about the answers, in words; `None` where that is nothing.
pub(super) fn findings(findings: &Findings) -> Option<String> {
    let mut text = String::new();
    if let Some(found) = findings.calibration.as_ref().filter(|found| found.temperature == 1.0) {
        text += &format!(
            "temperature left at 1: no other one fits the {} better; log loss {:.4}, expected calibration error {:.2} % ({BINS} bins)\n",
            findings.answers,
            found.log_loss,
            100.0 * found.calibration_error
        );
    } else if let Some(found) = &findings.calibration {
        text += &format!(
            "temperature {:.3}, fitted on the {} and folded into the head: log loss {:.4} (before {:.4}), expected calibration \
                 error {:.2} % (before {:.2} %; {BINS} bins)\n",
            found.temperature,
            findings.answers,
            found.log_loss,
            found.log_loss_before,
            100.0 * found.calibration_error,
            100.0 * found.calibration_error_before
        );
    }
    if let Some(early) = &findings.early {
        text += &format!("{}\n", early_promise(early));
        text += &format!("{}\n", early_words(&early.report, "of the validation part"));
        for Early { tokens, logit } in &early.thresholds {
            text += &format!("  from {tokens:>5} tokens on a logit of {:.3}\n", f64::from(*logit) / 65_536.0);
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Rows of the embedding that are named one by one.
const NAMED_ROWS: usize = 8;

/// How often integers reach the end of their range on so many training texts, in words.
pub(super) fn saturated(counts: &Saturation, texts: usize) -> String {
    // Of LSTM layers alone is it known.
    let cells = if counts.gates.total == 0 {
        String::new()
    } else {
        format!("gates {}, cells {}, hidden states {}; ", counts.gates, counts.cells, counts.hidden)
    };
    format!("saturated on {texts} training texts: {cells}embedding weights {}\n", counts.embedding)
}

/// Which rows of the embedding lost most of a value, in words; `None` where none has.
pub(super) fn clipped(rows: &[(String, Clipped)]) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let mut text =
        format!("embedding rows that are far larger than the others, and clipped to their range: {}\n", rows.len());
    for (word, Clipped { kept, occurrences, .. }) in rows.iter().take(NAMED_ROWS) {
        text += &format!(
            "  {}: to {:.1} % of its value; it occurs {occurrences} times in the training texts\n",
            shown(word),
            100.0 * kept
        );
    }
    if rows.len() > NAMED_ROWS {
        text += &format!("  and {} more\n", rows.len() - NAMED_ROWS);
    }
    Some(text)
}

/// What folding did, in words; `None` where nothing is folded.
pub(super) fn folding(exported: &Exported, budget: Option<usize>) -> Option<String> {
    let folded = exported.folded.as_ref()?;
    let (chosen, unfolded) = (exported.chosen(), &exported.images[exported.unfolded]);
    let share = folded.share.map_or(String::new(), |share| format!(", {:.2} % of the training tokens", 100.0 * share));
    let same =
        chosen.evaluation.logits.iter().zip(&unfolded.evaluation.logits).filter(|(a, b)| a.to_bits() == b.to_bits());
    Some(format!(
        "folded the {} most frequent ids{share}: {} bytes of a budget of {}; {} of {} logits are the bits of the unfolded image\n",
        folded.ids,
        folded.bytes.len(),
        budget.unwrap_or(folded.bytes.len()),
        same.count(),
        chosen.evaluation.n
    ))
}
