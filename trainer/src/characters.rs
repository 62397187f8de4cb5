//! The character table of a model, [`latch_engine::input::characters`], from the texts that it learns from and from Unicode's data.
//!
//! The table covers the Unicode blocks that the texts have a character of, in one case or the other, and the blocks that any text may have: Latin-1, combining
//! marks, general punctuation, variation selectors and tags. Blocks of symbols that the texts do not have are symbols throughout. What no block covers is a
//! letter as it is. Unassigned characters are what makes the table shortest. Letters of two parts are in it where the texts have them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use latch_engine::input::characters::{ACTION_BITS, DELTA, Kind, TWICE, VALUE_BITS, composition};
use latch_engine::input::text::Tokens;
use unicode_blocks::{UnicodeBlock, find_unicode_block};
use unicode_normalization::char::{compose, decompose_canonical};
use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// The characters beyond ASCII that texts have.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// A bit a code point.
    bits: Vec<u64>,
}

impl Seen {
    /// Those of texts; a letter in two parts counts as the letter.
    pub fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut seen = Seen::default();
        for text in texts.filter(|text| !text.is_ascii()) {
            let mut before = ' ';
            for character in text.chars() {
                let whole = if is_mark(character) { compose(before, character) } else { None };
                before = whole.unwrap_or(character);
                if !before.is_ascii() {
                    seen.add(before);
                }
            }
        }
        seen
    }

    /// Those of both.
    #[must_use]
    pub fn and(mut self, other: Seen) -> Self {
        self.bits.resize(self.bits.len().max(other.bits.len()), 0);
        self.bits.iter_mut().zip(other.bits).for_each(|(bits, more)| *bits |= more);
        self
    }

    fn add(&mut self, character: char) {
        let (word, bit) = (character as usize / 64, character as u32 % 64);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << bit;
    }

    /// The characters in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = char> {
        self.bits.iter().zip(0_u32..).flat_map(|(&bits, word)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).filter_map(move |bit| char::from_u32(word * 64 + bit))
        })
    }

    /// The names of the scripts of the letters, in alphabetical order; `symbols` last where there are some.
    pub fn scripts(&self, tokens: Tokens) -> Vec<&'static str> {
        let letters = self.iter().filter(|letter| letter.is_alphabetic());
        let scripts: BTreeSet<&str> = letters
            .map(|letter| letter.script())
            .filter(|script| !matches!(script, Script::Common | Script::Inherited | Script::Unknown))
            .map(Script::full_name)
            .collect();
        let symbols = self.iter().any(|symbol| class(symbol, tokens) == Some(Class::Kind(Kind::Symbol)));
        scripts.into_iter().chain(symbols.then_some("symbols")).collect()
    }
}

/// A combining mark that compositions have.
fn is_mark(character: char) -> bool {
    composition(0, character.into()).is_some()
}

/// What a character has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A letter as it is.
    Plain,
    /// A letter in lower case, or an ASCII character.
    To(u32),
    /// An ASCII character twice.
    Twice(u8),
    /// One of the other kinds.
    Kind(Kind),
}

/// Scripts that put no spaces between words: a letter is a token.
const ALONE: [Script; 8] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Bopomofo,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
];

/// What a character beyond ASCII is; `None` for one that is not assigned.
fn class(character: char, tokens: Tokens) -> Option<Class> {
    use GeneralCategory as Category;
    let kind = match character {
        '\u{2018}' | '\u{2019}' => return Some(Class::To(u32::from('\''))),
        '\u{201C}' | '\u{201D}' => return Some(Class::To(u32::from('"'))),
        '\u{2013}' | '\u{2014}' => return Some(Class::To(u32::from('-'))),
        '\u{2026}' => return Some(Class::Twice(b'.')),
        // Full-width forms of ASCII.
        '\u{FF01}'..='\u{FF5E}' => return Some(Class::To(u32::from(character) - 0xFEE0)),
        // Joiners, skin tones, tags of flags.
        '\u{200C}' | '\u{200D}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}' => Kind::Extend,
        // Variation selectors.
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => Kind::Nothing,
        // Regional indicators, and letters that are used as symbols.
        '\u{1F1E6}'..='\u{1F1FF}' | '\u{2100}'..='\u{214F}' => Kind::Symbol,
        '가'..='힣' if tokens == Tokens::Syllables => Kind::Alone,
        'ㄱ'..='ㆎ' if tokens == Tokens::Syllables => Kind::Symbol,
        _ if character.is_emoji_char() => Kind::Symbol,
        _ => match character.general_category() {
            Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => Kind::Extend,
            Category::OtherNumber | Category::CurrencySymbol | Category::MathSymbol | Category::OtherSymbol => {
                Kind::Symbol
            }
            Category::Unassigned => return None,
            Category::DecimalNumber => return Some(Class::Plain),
            Category::UppercaseLetter
            | Category::LowercaseLetter
            | Category::TitlecaseLetter
            | Category::ModifierLetter
            | Category::OtherLetter
            | Category::LetterNumber => {
                // The marks of long and repeated kana belong to no script.
                let is_kana = matches!(character, '\u{3000}'..='\u{30FF}' | '\u{FF70}' | '\u{FF9E}' | '\u{FF9F}');
                if !is_kana && !ALONE.contains(&character.script()) {
                    return Some(letter(character, tokens));
                }
                Kind::Alone
            }
            _ => Kind::Separator,
        },
    };
    Some(Class::Kind(kind))
}

/// A letter in the case in which tokens have it.
fn letter(character: char, tokens: Tokens) -> Class {
    let lower = lower(character);
    if tokens == Tokens::CasedCharacters || lower == character { Class::Plain } else { Class::To(lower.into()) }
}

/// The lower case of a letter in one character: İ, whose lower case has two, becomes `i`.
fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// The other case of a letter, or itself.
fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(letter)
}

/// What is so of each character of a range; `None` for what is not assigned.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    last: u32,
    class: Option<Class>,
}

/// What an entry of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Letters grow by a difference of 16 bits.
    Grow(u16),
    /// Of pairs, the character of this parity becomes the next one.
    Pair(u32),
    Ascii(u8),
    Kind(Kind),
}

impl Action {
    /// Those that make a character what it has to be, the shortest first.
    fn of(first: u32, class: Class) -> Vec<Action> {
        match class {
            Class::Plain => vec![Action::Grow(0), Action::Pair(first & 1)],
            Class::To(target) => {
                let ascii = u8::try_from(target).ok().filter(u8::is_ascii).map(Action::Ascii);
                let pair = (target == first + 1).then_some(Action::Pair(first & 1 ^ 1));
                let grow = Action::Grow((target as u16).wrapping_sub(first as u16));
                ascii.into_iter().chain(pair).chain([grow]).collect()
            }
            Class::Twice(ascii) => vec![Action::Ascii(ascii | TWICE)],
            Class::Kind(kind) => vec![Action::Kind(kind)],
        }
    }

    /// Whether it makes all characters of a range what they have to be.
    fn fits(self, range: &Range) -> bool {
        let Range { first, last, class } = *range;
        let Some(class) = class else { return true };
        match (self, class) {
            (Action::Grow(0), Class::Plain) => true,
            (Action::Pair(parity), Class::Plain) => first == last && (first ^ parity) & 1 == 0,
            (Action::Grow(delta), Class::To(target)) => {
                first & !0xFFFF | u32::from((first as u16).wrapping_add(delta)) == target
            }
            (Action::Pair(parity), Class::To(target)) => first + ((first ^ parity) & 1) == target,
            (Action::Ascii(ascii), Class::To(target)) => u32::from(ascii) == target,
            (Action::Ascii(ascii), Class::Twice(twice)) => ascii == twice | TWICE,
            (Action::Kind(kind), Class::Kind(wanted)) => kind == wanted,
            _ => false,
        }
    }
}

/// The table for tokens of a kind in texts that have these characters.
pub fn table(tokens: Tokens, seen: &Seen) -> Vec<u32> {
    let ranges = ranges(tokens, &blocks(seen));
    let mut actions: Vec<(u32, Action)> = Vec::new();
    let mut rest = &ranges[..];
    while let Some((first, class)) = rest.iter().find_map(|range| Some((range.first, range.class?))) {
        // What is not assigned is what stands before it.
        let longest = Action::of(first, class)
            .into_iter()
            .map(|action| (rest.iter().take_while(|range| action.fits(range)).count(), action))
            .rev()
            .max_by_key(|(length, _)| *length);
        let Some((length, action)) = longest else { break };
        // A table begins with letters as they are.
        if !(actions.is_empty() && action == Action::Grow(0)) {
            actions.push((first, action));
        }
        rest = &rest[length.max(1)..];
    }
    write(&actions, &compositions(tokens, seen))
}

/// The entries: actions, compositions, differences.
fn write(actions: &[(u32, Action)], compositions: &BTreeMap<u32, u32>) -> Vec<u32> {
    let deltas: BTreeSet<u16> = actions
        .iter()
        .filter_map(|(_, action)| match action {
            Action::Grow(delta) if *delta != 0 => Some(*delta),
            _ => None,
        })
        .collect();
    let value = |delta: &u16| deltas.range(delta..).count() as u32;
    let entries = actions.iter().map(|(first, action)| {
        let (kind, value) = match action {
            Action::Grow(0) => (Kind::Letter, 0),
            Action::Grow(delta) => (Kind::Letter, value(delta)),
            Action::Pair(parity) => (Kind::Paired, *parity),
            Action::Ascii(ascii) => (Kind::Ascii, u32::from(*ascii)),
            Action::Kind(kind) => (*kind, 0),
        };
        first << ACTION_BITS | (kind as u32) << VALUE_BITS | value
    });
    let compositions = compositions.iter().map(|(key, whole)| key << ACTION_BITS | whole);
    entries.chain(compositions).chain(deltas.iter().map(|&delta| DELTA | u32::from(delta))).collect()
}

/// How a block gets into the table.
enum Cover {
    /// Character by character.
    Exact,
    /// As symbols.
    Symbols,
    /// Not at all: letters as they are.
    No,
}

/// Blocks that any text may have.
const ALWAYS: [UnicodeBlock; 7] = [
    unicode_blocks::LATIN_1_SUPPLEMENT,
    unicode_blocks::COMBINING_DIACRITICAL_MARKS,
    unicode_blocks::GENERAL_PUNCTUATION,
    unicode_blocks::COMBINING_DIACRITICAL_MARKS_FOR_SYMBOLS,
    unicode_blocks::VARIATION_SELECTORS,
    // Of which the skin tones are.
    unicode_blocks::MISCELLANEOUS_SYMBOLS_AND_PICTOGRAPHS,
    unicode_blocks::TAGS,
];

fn cover(block: UnicodeBlock, seen: &BTreeSet<u32>) -> Cover {
    if ALWAYS.contains(&block) || seen.contains(&block.start()) {
        Cover::Exact
    } else if matches!(block.start(), 0x2070..=0x2BFF | 0x1F000..=0x1FAFF) {
        Cover::Symbols
    } else {
        Cover::No
    }
}

/// All blocks beyond ASCII, in order.
static BLOCKS: LazyLock<Vec<UnicodeBlock>> = LazyLock::new(|| {
    let mut blocks: Vec<UnicodeBlock> = Vec::new();
    // A block begins on a multiple of 16.
    for code in (0x80..=u32::from(char::MAX)).step_by(16) {
        let behind = blocks.last().is_none_or(|last| last.end() < code);
        blocks.extend(char::from_u32(code).filter(|_| behind).and_then(find_unicode_block));
    }
    blocks
});

/// The blocks that the texts have a character of, in one case or the other, by their first character.
fn blocks(seen: &Seen) -> BTreeSet<u32> {
    seen.iter()
        .flat_map(|character| [character, lower(character), upper(character)])
        .filter_map(|character| find_unicode_block(character).map(|block| block.start()))
        .collect()
}

/// What all characters beyond ASCII have to be.
fn ranges(tokens: Tokens, blocks: &BTreeSet<u32>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut push = |first: u32, last: u32, class: Option<Class>| match ranges.last_mut() {
        Some(range) if range.class == class && !matches!(class, Some(Class::To(_))) => range.last = last,
        _ if first <= last => ranges.push(Range { first, last, class }),
        _ => {}
    };
    let mut code = 0x80;
    for block in BLOCKS.iter() {
        let (first, last) = (block.start(), block.end());
        // Between blocks, and where no character is, letters are as they are.
        push(code, first.saturating_sub(1), Some(Class::Plain));
        match cover(*block, blocks) {
            Cover::Exact => {
                for code in first..=last {
                    push(code, code, char::from_u32(code).and_then(|character| class(character, tokens)));
                }
            }
            Cover::Symbols => push(first, last, Some(Class::Kind(Kind::Symbol))),
            // The byte-order mark is white space wherever it stands.
            Cover::No if last == BYTE_ORDER_MARK => {
                push(first, last - 1, Some(Class::Plain));
                push(last, last, Some(Class::Kind(Kind::Separator)));
            }
            Cover::No => push(first, last, Some(Class::Plain)),
        }
        code = last + 1;
    }
    push(code, char::MAX.into(), Some(Class::Plain));
    ranges
}

/// The last character of its block.
const BYTE_ORDER_MARK: u32 = 0xFEFF;

/// The letters in two parts whose letter in one part the texts have, by their key.
fn compositions(tokens: Tokens, seen: &Seen) -> BTreeMap<u32, u32> {
    let mut found = BTreeMap::new();
    for character in seen.iter() {
        let cased = |letter| if tokens == Tokens::CasedCharacters { letter } else { lower(letter) };
        let mut whole = character;
        while let Some((base, mark)) = parts(whole)
            && let Some(key) = composition(cased(base).into(), mark.into())
            && composition(cased(whole).into(), mark.into()).is_some()
        {
            found.insert(key, cased(whole).into());
            whole = base;
        }
    }
    found
}

/// A letter without its last combining mark, and the mark.
fn parts(whole: char) -> Option<(char, char)> {
    let mut all = Vec::new();
    decompose_canonical(whole, |part| all.push(part));
    let mark = all.pop()?;
    let base = all.into_iter().map(Some).reduce(|base, mark| compose(base?, mark?))??;
    (compose(base, mark) == Some(whole)).then_some((base, mark))
}

#[cfg(test)]
mod tests;
