//! Tokens a second with a folded embedding and without: `fold-rate IMAGE FOLDED-IMAGE TEXTS`, or `fold-rate --classic`.
//!
//! Reads the texts of a file (a line each, what stands before a tab left out) in turns through both images, on every backend, with packed weights too where it packs: as ids, which
//! is the network alone, and from their bytes. Of every turn the faster of two runs counts; the ratio is the median over the turns. `--classic`
//! makes `Embedding(20000, 128) > LSTM(128)` with random weights, folds it in 64 MiB, and reads random ids of Zipf's distribution.
//!
//! The verdicts of both must be the same bits, or the program fails.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Model, Precision};
use latch_trainer::folding::fold_to;
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;

/// Turns of both images.
const TURNS: usize = 7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--classic"] => classic(),
        [plain, folded, texts] => {
            let read = |path: &str| std::fs::read(path).with_context(|| format!("cannot read {path}"));
            let (plain, folded) = (AlignedBytes::new(&read(plain)?), AlignedBytes::new(&read(folded)?));
            let texts = String::from_utf8(read(texts)?).context("the texts are no UTF-8")?;
            let texts: Vec<&str> = texts.lines().map(|line| line.rsplit('\t').next().unwrap_or(line)).collect();
            let (plain, folded) = (Image::open(&plain)?, Image::open(&folded)?);
            let ids = ids_of(&Model::new(&plain), &texts)?;
            compare(&plain, &folded, &texts, &ids)
        }
        _ => bail!("give an image, the same folded, and a file of texts; or --classic"),
    }
}

/// The ids that a model reads of texts.
fn ids_of(model: &Model<'_>, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
    let vocabulary = model.vocabulary().context("the image reads no text")?;
    let words = vocabulary.words().map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned()).collect();
    let vocabulary = Vocabulary::from_words(words, Unknown::LastRow);
    Ok(texts.iter().map(|text| vocabulary.ids(text)).collect())
}

/// The classic sizes, with ids as frequent as words are.
fn classic() -> Result<()> {
    const ROWS: u32 = 20_000;
    let words = (0..ROWS).map(|number| format!("w{number}")).collect();
    // Zipf: the cumulated shares of rank r grow as its harmonic number, about as its logarithm.
    let mut noise = 1_u64;
    let mut id = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (noise >> 40) as f64 / (1 << 24) as f64;
        (f64::from(ROWS).powf(uniform) as u32 - 1).min(ROWS - 1)
    };
    let ids: Vec<Vec<u32>> = (0..200).map(|_| (0..230).map(|_| id()).collect()).collect();
    let weights =
        Weights::random(ROWS as usize, 128, &[128], Pooling::Last, 1).calibrated(ids.iter().map(Vec::as_slice));
    let plain = to_image(&weights, &Vocabulary::from_words(words, Unknown::Skip), Precision::Int8, &Origin::default())?;
    let plain = Image::open(&plain)?;
    let folded = fold_to(&plain, &weights, 64 << 20)?;
    compare(&plain, &Image::open(&folded.bytes)?, &[], &ids)
}

fn compare(plain: &Image<'_>, folded: &Image<'_>, texts: &[&str], ids: &[Vec<u32>]) -> Result<()> {
    let description = folded.description();
    let index = folded.projected().context("the second image is not folded")?;
    let tokens: usize = ids.iter().map(Vec::len).sum();
    let ready = ids.iter().flatten().filter(|&&id| index.place(id).is_some()).count();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} and {} bytes; {} of {} ids folded, {:.2} % of {tokens} tokens\n\
         backend             input   Mtokens/s  folded  ratio (median, low, high of {TURNS} turns)",
        plain.len(),
        folded.len(),
        description.embedding.projected,
        description.embedding.rows,
        100.0 * ready as f64 / tokens as f64
    )?;
    for backend in AnyBackend::all() {
        let (plain, folded) = (Model::new(plain).with_backend(backend), Model::new(folded).with_backend(backend));
        compare_models(&mut out, backend.name(), &plain, &folded, texts, ids)?;
        if plain.packed_bytes() > 0 {
            let (mut memory, mut folded_memory) = (vec![0; plain.packed_bytes()], vec![0; folded.packed_bytes()]);
            let (plain, folded) = (plain.pack(&mut memory)?, folded.pack(&mut folded_memory)?);
            compare_models(&mut out, &format!("{}, packed", backend.name()), &plain, &folded, texts, ids)?;
        }
    }
    Ok(())
}

fn compare_models(
    out: &mut impl Write,
    name: &str,
    plain: &Model<'_>,
    folded: &Model<'_>,
    texts: &[&str],
    ids: &[Vec<u32>],
) -> Result<()> {
    let tokens: usize = ids.iter().map(Vec::len).sum();
    for input in ["ids", "text"] {
        if input == "text" && texts.is_empty() {
            continue;
        }
        let run = |model: &Model<'_>| if input == "ids" { read_ids(model, ids) } else { read_texts(model, texts) };
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            let (mut first, mut second) = (f64::MAX, f64::MAX);
            for _ in 0..2 {
                let (time, logits) = run(plain)?;
                let (folded_time, folded_logits) = run(folded)?;
                ensure!(logits == folded_logits, "{name}: other logits with a folded embedding");
                (first, second) = (first.min(time), second.min(folded_time));
            }
            turns.push((first / second, tokens as f64 / first / 1e6, tokens as f64 / second / 1e6));
        }
        turns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, rate, folded_rate) = turns[TURNS / 2];
        let (low, high) = (turns[0].0, turns[TURNS - 1].0);
        writeln!(out, "{name:19} {input:6} {rate:10.3} {folded_rate:7.3}  {ratio:.2} ({low:.2} to {high:.2})")?;
    }
    Ok(())
}

/// Seconds, and the bits of the logit of each list.
fn read_ids(model: &Model<'_>, ids: &[Vec<u32>]) -> Result<(f64, Vec<u32>)> {
    let mut state = AlignedBytes::zeroed(model.state_bytes());
    let mut session = model.session_in(&mut state)?;
    let mut logits = Vec::with_capacity(ids.len());
    let start = Instant::now();
    for ids in ids {
        session.reset();
        session.push_tokens(ids);
        logits.push(session.output().to_bits());
    }
    Ok((start.elapsed().as_secs_f64(), logits))
}

/// The same from the bytes of texts.
fn read_texts(model: &Model<'_>, texts: &[&str]) -> Result<(f64, Vec<u32>)> {
    let mut state = AlignedBytes::zeroed(model.state_bytes());
    let mut session = model.session_in(&mut state)?;
    let mut logits = Vec::with_capacity(texts.len());
    let start = Instant::now();
    for text in texts {
        session.reset();
        session.push_bytes(text.as_bytes());
        session.finish();
        logits.push(session.output().to_bits());
    }
    Ok((start.elapsed().as_secs_f64(), logits))
}
