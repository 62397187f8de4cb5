//! `latch eval --target`: an image against a pair of sounds.

use std::path::Path;

use anyhow::Result;
use latch_engine::Model;
use latch_engine::image::Image;
use serde::Serialize;

use super::Args;
use crate::cli::output::{answer, print_json};
use crate::counted::counted;
use crate::metrics::signals::{Distance, EMPHASIS};
use crate::pair::{Judged, Pair, check};

#[derive(Serialize)]
struct Line {
    /// Steps that were compared.
    n: usize,
    #[serde(flatten)]
    distance: Distance,
    precision: &'static str,
    backend: &'static str,
    ns_per_step: f64,
    image_bytes: usize,
    state_bytes: usize,
}

/// Judges the image by what it answers to the series of `--data`.
pub(super) fn judge(args: &Args, image: &Image<'_>, target: &Path) -> Result<()> {
    let model = Model::new(image);
    check(&model, &args.image)?;
    let pair = Pair::read(&args.data, target, usize::from(model.channels()))?;
    let Judged { steps, distance, ns_per_step } = pair.judge(&model, &args.image)?;
    let (precision, backend) = (image.description().precision_name(), model.backend().name());
    let Distance { rmse, esr, esr_pre_emphasis, snr_db } = distance;
    let ratio =
        |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3e} ({:.3} %)", 100.0 * ratio));
    let noise = snr_db.map_or("no noise: the answers are the target".to_owned(), |ratio| format!("{ratio:.2} dB"));
    answer(
        args.json,
        format_args!(
            "{} of {} against {}, {precision} on backend {backend}\n\
             RMSE          {rmse:.3e}\n\
             ESR           {}\n\
             ESR emphasis  {}: both behind y(t) - {EMPHASIS} y(t-1)\n\
             SNR           {noise}\n\
             time          {ns_per_step:.0} ns per step, scaling included\n\
             image         {} bytes, {} bytes of RAM a stream",
            counted(steps, "step"),
            args.data.display(),
            target.display(),
            ratio(esr),
            ratio(esr_pre_emphasis),
            image.len(),
            model.state_bytes(),
        ),
    )?;
    if args.json {
        let (image_bytes, state_bytes) = (image.len(), model.state_bytes());
        print_json(&Line { n: steps, distance, precision, backend, ns_per_step, image_bytes, state_bytes })?;
    }
    Ok(())
}
