//! The simulated flash refuses what the part's flash refuses, and a slot holds a whole image or none.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::ops::Range;

use latch_engine::Precision;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_firmware_sim::flash::{ERASED, Flash, Slot, SlotError};
use latch_firmware_sim::sim::nor::{NorFlash, Violation};
use latch_parts::parts::{self, Part};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;

fn part(name: &str) -> Part {
    parts::find(name).unwrap()
}

fn image(seed: u64) -> AlignedBytes {
    let words = ["a", "bad", "film", "good", "not"].map(String::from).to_vec();
    let vocabulary = Vocabulary::from_words(words, Unknown::LastRow);
    let weights = Weights::random(vocabulary.rows(), 4, &[8], Pooling::Mean, seed);
    to_image(&weights, &vocabulary, Precision::Int8, &Origin::default()).unwrap()
}

#[test]
fn only_the_start_of_a_page_can_be_erased_and_only_that_page_is() {
    // Sectors of 16, 64 and 128 KiB.
    let mut flash = NorFlash::used(&part("stm32f446"));
    for offset in [4, 0x4000 - 4, 0x1_0000 + 0x4000, 0x3_0000, 0x8_0000, usize::MAX] {
        assert_eq!(flash.erase_page(offset), Err(Violation::NoPageStart { offset }));
    }
    assert_eq!(flash.erases(), 0);
    flash.erase_page(0x1_0000).unwrap();
    let erased: Vec<usize> = (0..flash.bytes().len()).filter(|&at| flash.bytes()[at] == ERASED).collect();
    assert_eq!((erased.first(), erased.last(), erased.len()), (Some(&0x1_0000), Some(&0x1_FFFF), 0x1_0000));
    assert_eq!(flash.erases(), 1);
}

#[test]
fn a_word_is_programmed_whole_aligned_and_inside() {
    for part in parts::PARTS {
        let mut flash = NorFlash::new(part);
        let word_bytes = part.flash.word_bytes;
        let word = vec![0x5A; word_bytes];
        for given in [0, 1, word_bytes - 1, word_bytes + 1] {
            let refused = flash.program_word(0, &vec![0; given]);
            assert_eq!(refused, Err(Violation::WordSize { given, word_bytes }), "{}", part.name);
        }
        for offset in [1, word_bytes / 2, word_bytes + 1] {
            assert_eq!(
                flash.program_word(offset, &word),
                Err(Violation::Misaligned { offset, word_bytes }),
                "{}",
                part.name
            );
        }
        let end = part.flash.bytes();
        assert_eq!(flash.program_word(end, &word), Err(Violation::OutOfRange { offset: end, end }), "{}", part.name);
        assert!(flash.bytes().iter().all(|&byte| byte == ERASED), "a refusal changes nothing");
        flash.program_word(end - word_bytes, &word).unwrap();
        assert_eq!(flash.bytes()[end - word_bytes..], word);
        assert_eq!((flash.erases(), flash.programs()), (0, 1));
    }
}

#[test]
fn bits_only_go_from_1_to_0_until_the_page_is_erased() {
    let mut flash = NorFlash::new(&part("stm32f446"));
    flash.program_word(8, &[0xF0; 4]).unwrap();
    assert_eq!(flash.program_word(8, &[0xF1; 4]), Err(Violation::NotErased { offset: 8 }));
    assert_eq!(flash.bytes()[8..12], [0xF0; 4]);
    flash.program_word(8, &[0x30; 4]).unwrap();
    flash.erase_page(0).unwrap();
    flash.program_word(8, &[0xF1; 4]).unwrap();
}

#[test]
fn a_word_is_programmed_no_more_often_than_its_part_permits() {
    for (name, limit) in [("nrf52840", 2), ("stm32l4r5", 1), ("stm32h743", 1)] {
        let part = part(name);
        let mut flash = NorFlash::new(&part);
        let word = vec![0; part.flash.word_bytes];
        for _ in 0..limit {
            flash.program_word(0, &word).unwrap();
        }
        assert_eq!(flash.program_word(0, &word), Err(Violation::WrittenTooOften { offset: 0, limit }), "{name}");
        flash.erase_page(0).unwrap();
        flash.program_word(0, &word).unwrap();
    }
}

#[test]
fn a_used_flash_takes_nothing_before_it_is_erased() {
    for part in parts::PARTS {
        let mut flash = NorFlash::used(part);
        assert!(flash.program_word(0, &vec![1; part.flash.word_bytes]).is_err(), "{}", part.name);
    }
}

#[test]
fn every_part_takes_an_image_and_reads_it_back() {
    let image = image(1);
    for part in parts::PARTS {
        let mut flash = NorFlash::used(part);
        let slot = Slot::behind(&flash, 32 * 1024).unwrap();
        assert!(slot.start() >= 32 * 1024 && slot.start() + slot.bytes() == part.flash.bytes(), "{}", part.name);
        let programmed = slot.program(&mut flash, &image).unwrap();
        let words = image.len().div_ceil(part.flash.word_bytes);
        assert_eq!((programmed.words, programmed.bytes), (words, words * part.flash.word_bytes), "{}", part.name);
        assert_eq!((flash.programs(), flash.erases()), (words as u64, programmed.pages as u64), "{}", part.name);
        assert_eq!(slot.open(&flash).unwrap().crc(), Image::open(&image).unwrap().crc(), "{}", part.name);
        assert_eq!(slot.contents(&flash)[..image.len()], image[..], "{}", part.name);
    }
}

#[test]
fn a_slot_off_the_pages_is_refused_before_anything_is_erased() {
    let part = part("nrf52840");
    let image = image(1);
    for (start, bytes) in
        [(4096 + 16, 8192 - 16), (4096, 4096 + 16), (4096, 0), (1 << 20, 4096), (4096, 1 << 20), (4096, usize::MAX)]
    {
        let mut flash = NorFlash::used(&part);
        assert_eq!(Slot::new(start, bytes).program(&mut flash, &image), Err(SlotError::Place { start, bytes }));
        assert_eq!(flash.erases(), 0);
        assert!(Slot::new(start, bytes).open(&flash).is_err());
    }
}

#[test]
fn an_image_larger_than_its_slot_is_refused_with_both_sizes_and_the_old_one_stays() {
    let part = part("nrf52840");
    let mut flash = NorFlash::used(&part);
    let slot = Slot::new(0x8000, 4096);
    let old = image(1);
    slot.program(&mut flash, &old).unwrap();
    let too_large = vec![0; 4097];
    assert_eq!(slot.program(&mut flash, &too_large), Err(SlotError::TooLarge { needed: 4100, available: 4096 }));
    assert_eq!(slot.open(&flash).unwrap().crc(), Image::open(&old).unwrap().crc());
}

#[test]
fn bytes_that_are_no_image_do_not_verify() {
    let mut flash = NorFlash::used(&part("nrf52840"));
    let slot = Slot::new(0x8000, 4096);
    assert!(matches!(slot.program(&mut flash, b"no image at all"), Err(SlotError::Image(_))));
    assert!(matches!(slot.program(&mut flash, b""), Err(SlotError::Image(_))));
    let image = image(1);
    assert!(matches!(slot.program(&mut flash, &image[..image.len() - 1]), Err(SlotError::Image(_))));
}

/// A flash whose power fails after a number of operations, or that loses a bit on the way.
struct Faulty {
    flash: NorFlash,
    operations_left: usize,
    stuck: Option<usize>,
}

#[derive(Debug, PartialEq)]
enum Failure {
    Power,
    Rule(Violation),
}

impl Faulty {
    fn operate(&mut self) -> Result<(), Failure> {
        self.operations_left = self.operations_left.checked_sub(1).ok_or(Failure::Power)?;
        Ok(())
    }
}

impl Flash for Faulty {
    type Error = Failure;

    fn bytes(&self) -> &[u8] {
        self.flash.bytes()
    }

    fn word_bytes(&self) -> usize {
        self.flash.word_bytes()
    }

    fn page_at(&self, offset: usize) -> Option<Range<usize>> {
        self.flash.page_at(offset)
    }

    fn erase_page(&mut self, start: usize) -> Result<(), Failure> {
        self.operate()?;
        self.flash.erase_page(start).map_err(Failure::Rule)
    }

    fn program_word(&mut self, offset: usize, word: &[u8]) -> Result<(), Failure> {
        self.operate()?;
        let mut word = word.to_vec();
        if self.stuck == Some(offset) {
            word[0] = 0;
        }
        self.flash.program_word(offset, &word).map_err(Failure::Rule)
    }
}

#[test]
fn wherever_the_power_fails_the_slot_holds_no_image_until_it_holds_the_new_one() {
    let part = part("nrf52840");
    let (old, new) = (image(1), image(2));
    let slot = Slot::new(0x8000, 8192);
    let mut flash = NorFlash::used(&part);
    slot.program(&mut flash, &old).unwrap();
    let mut faulty = Faulty { flash: flash.clone(), operations_left: usize::MAX, stuck: None };
    let programmed = slot.program(&mut faulty, &new).unwrap();
    let operations = programmed.pages + programmed.words;
    assert_eq!(slot.open(&faulty).unwrap().crc(), Image::open(&new).unwrap().crc());
    for cut in 1..operations {
        let mut faulty = Faulty { flash: flash.clone(), operations_left: cut, stuck: None };
        assert_eq!(slot.program(&mut faulty, &new), Err(SlotError::Flash(Failure::Power)));
        assert!(slot.open(&faulty).is_err(), "after {cut} of {operations} operations");
    }
}

#[test]
fn a_byte_that_reads_back_wrong_is_named() {
    let image = image(1);
    let flash = NorFlash::used(&part("nrf52840"));
    let place = (64..image.len()).step_by(4).find(|&at| image[at] != 0).unwrap();
    let offset = 0x8000 + place;
    let mut faulty = Faulty { flash, operations_left: usize::MAX, stuck: Some(offset) };
    assert_eq!(Slot::new(0x8000, 8192).program(&mut faulty, &image), Err(SlotError::ReadBack { offset }));
}
