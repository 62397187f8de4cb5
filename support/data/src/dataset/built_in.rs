//! A data set that needs no network: short film reviews in which the order of the words decides.
//!
//! Each opinion is a sentence with two words of opposite polarity, of which the sentence's form lets one win: *dull but gripping*, *not
//! gripping but dull*, *far from dull, it is gripping*, *I have seen better films and few worse*. Exchanging the two gives a sentence of
//! the same words and the opposite label. [`generate`] makes reviews in such pairs, so that a model that only counts words must answer
//! both of a pair alike, and is right half the time. In seven of ten opinions the second of the two words wins, in three the first:
//! whoever looks at the last word alone is right no more often than that, and has a slope to start learning from. Without it, the first
//! epochs of training see a plain on which no single word and no place in the sentence says anything.
//!
//! Around the opinions stand sentences that say nothing about the film's merit, with some three hundred further words.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Example;

/// The names of the classes of a review, in the order of their numbers.
pub const CLASSES: [&str; 2] = ["negative", "positive"];

/// The fewest words of a review.
pub const MIN_WORDS: usize = 5;

/// The most words of a review.
pub const MAX_WORDS: usize = 40;

/// The share of opinions in which the second of the two words wins.
const LAST_WORD_WINS: f64 = 0.7;

/// `n` reviews of [`MIN_WORDS`] to [`MAX_WORDS`] words, the same for the same `seed`.
///
/// Examples 2k and 2k + 1 are a pair: the same words in another order, and opposite labels. Which label comes first is drawn by lot. A
/// larger `n` continues the list of a smaller one.
#[must_use]
pub fn generate(seed: u64, n: usize) -> Vec<Example> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut examples = Vec::with_capacity(n + 1);
    while examples.len() < n {
        let [first, second] = pair(&mut rng);
        examples.push(first);
        examples.push(second);
    }
    examples.truncate(n);
    examples
}

/// Two reviews with the same words and opposite labels.
fn pair(rng: &mut impl Rng) -> [Example; 2] {
    loop {
        let review = Review::draw(rng);
        let words = review.text(0).split_whitespace().count();
        if (MIN_WORDS..=MAX_WORDS).contains(&words) {
            let first = u32::from(rng.random_bool(0.5));
            return [first, 1 - first].map(|label| Example::new(label, review.text(label)));
        }
    }
}

/// A review whose label is still open.
struct Review {
    sentences: Vec<Sentence>,
}

enum Sentence {
    Opinion(Opinion),
    Aside(String),
}

/// A sentence that still has the places `{A}` and `{B}`, and the two words that go there.
struct Opinion {
    form: String,
    winner: Winner,
    positive: &'static str,
    negative: &'static str,
}

/// Which of the two words of a sentence says what the reviewer thinks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Winner {
    A,
    B,
}

impl Review {
    fn draw(rng: &mut impl Rng) -> Self {
        let opinions = *[1, 1, 2].choose(rng).unwrap_or(&1);
        let asides = *[0, 0, 1, 1, 2, 3].choose(rng).unwrap_or(&0);
        let mut sentences = Vec::with_capacity(opinions + asides);
        sentences.extend((0..opinions).map(|_| Sentence::Opinion(Opinion::draw(rng))));
        sentences.extend((0..asides).map(|_| Sentence::Aside(fill(pick(ASIDES, rng), rng))));
        sentences.shuffle(rng);
        Self { sentences }
    }

    /// The review as someone writes it who thinks `label` of the film.
    fn text(&self, label: u32) -> String {
        let sentences: Vec<_> = self
            .sentences
            .iter()
            .map(|sentence| match sentence {
                Sentence::Opinion(opinion) => opinion.text(label),
                Sentence::Aside(text) => text.clone(),
            })
            .collect();
        sentences.join(" ")
    }
}

impl Opinion {
    fn draw(rng: &mut impl Rng) -> Self {
        // Adjectives have the most forms and the most words, and come most often.
        let class = pick(&[&ADJECTIVES, &ADJECTIVES, &ADJECTIVES, &VERBS, &NOUNS, &COMPARATIVES], rng);
        let winner = if rng.random_bool(LAST_WORD_WINS) { Winner::B } else { Winner::A };
        let forms = class.forms.iter().filter(|(wins, _)| *wins == winner);
        let form = pick(&forms.map(|(_, form)| *form).collect::<Vec<_>>(), rng);
        let mut form = fill(form, rng);
        if rng.random_bool(0.3) {
            form.truncate(form.trim_end_matches('.').len());
            form.push_str(pick(ENDINGS, rng));
        }
        Self { form, winner, positive: pick(class.positive, rng), negative: pick(class.negative, rng) }
    }

    fn text(&self, label: u32) -> String {
        let (wins, loses) = match label {
            0 => (self.negative, self.positive),
            _ => (self.positive, self.negative),
        };
        let (a, b) = match self.winner {
            Winner::A => (wins, loses),
            Winner::B => (loses, wins),
        };
        self.form.replace("{A}", a).replace("{B}", b)
    }
}

/// One of `list`, which is not empty.
fn pick<T: Copy>(list: &[T], rng: &mut impl Rng) -> T {
    list[rng.random_range(0..list.len())]
}

/// `form` with a word drawn for each place in braces but `{A}` and `{B}`; the places of one form that draw from the same list get
/// different words.
fn fill(form: &str, rng: &mut impl Rng) -> String {
    let mut text = form.to_owned();
    for (place, words) in PLACES {
        let mut left = words.to_vec();
        while text.contains(place) && !left.is_empty() {
            let word = left.swap_remove(rng.random_range(0..left.len()));
            text = text.replacen(place, word, 1);
        }
    }
    text
}

/// Words of one part of speech, and the sentences that take two of them.
struct WordClass {
    positive: &'static [&'static str],
    negative: &'static [&'static str],
    forms: &'static [(Winner, &'static str)],
}

use Winner::{A, B};

static ADJECTIVES: WordClass = WordClass {
    positive: &[
        "good",
        "great",
        "wonderful",
        "brilliant",
        "superb",
        "charming",
        "gripping",
        "moving",
        "funny",
        "clever",
        "beautiful",
        "excellent",
        "fantastic",
        "delightful",
        "touching",
        "witty",
        "fresh",
        "thrilling",
        "lovely",
        "perfect",
        "engaging",
        "stunning",
        "terrific",
        "convincing",
        "amusing",
        "memorable",
        "inspired",
        "heartfelt",
        "exciting",
        "graceful",
        "captivating",
        "splendid",
        "marvellous",
        "entertaining",
        "outstanding",
        "impressive",
    ],
    negative: &[
        "bad",
        "awful",
        "terrible",
        "dull",
        "boring",
        "tedious",
        "clumsy",
        "stale",
        "silly",
        "stupid",
        "ugly",
        "dreadful",
        "horrible",
        "annoying",
        "shallow",
        "bland",
        "lifeless",
        "predictable",
        "messy",
        "weak",
        "pathetic",
        "painful",
        "ridiculous",
        "forgettable",
        "wooden",
        "tiresome",
        "lame",
        "hollow",
        "pointless",
        "poor",
        "lousy",
        "dreary",
        "sloppy",
        "irritating",
        "miserable",
        "disappointing",
    ],
    forms: &[
        (A, "The {noun} is {A}, not {B}."),
        (A, "The {noun} was {A}, far from {B}."),
        (A, "The {noun} was {A}, anything but {B}."),
        (A, "The {film} is {A}, even though the {noun} is {B}."),
        (A, "The {film} stays {A} despite the {noun} being {B}."),
        (A, "The {noun} is more {A} than {B}."),
        (A, "I found the {noun} {A}, although everybody calls it {B}."),
        (A, "It turned out {A} after looking {B} at first."),
        (A, "The {noun} proved {A} instead of {B}."),
        (A, "The {film} is {A}, no matter how {B} the {noun} may be."),
        (A, "The {noun} is {A} and never {B}."),
        (A, "It was {A} where I had expected it to be {B}."),
        (A, "The {film} is {A}, and I say so although the {noun} was {B}."),
        (A, "What an {intensifier} {A} {film}, hardly {B} for a moment."),
        (B, "The {noun} was {A}, but the {noun} was {B}."),
        (B, "The {noun} is not {A} but {B}."),
        (B, "The {noun} is not {A}, it is {B}."),
        (B, "Far from {A}, the {noun} is {B}."),
        (B, "Anything but {A}, the {noun} proved {B}."),
        (B, "I was told the {noun} would be {A}, yet it is {B}."),
        (B, "Everybody called the {noun} {A}, I found it {B}."),
        (B, "Although the {noun} is {A}, the {film} is {B}."),
        (B, "It looks {A} at first and turns out {B}."),
        (B, "The {noun} is less {A} than {B}."),
        (B, "The {noun} may be {A}, the {film} is still {B}."),
        (B, "I expected the {noun} to be {A} and found it {B}."),
        (B, "Nobody could call the {noun} {A}, it is simply {B}."),
        (B, "Instead of {A} the {noun} is {B}."),
    ],
};

static VERBS: WordClass = WordClass {
    positive: &["love", "enjoy", "adore", "admire", "praise", "cherish", "applaud", "like"],
    negative: &["hate", "dread", "despise", "detest", "mock", "loathe", "resent", "dislike"],
    forms: &[
        (A, "I {A} the {film}, although I expected to {B} it."),
        (A, "I {A} this {film}, I do not {B} it."),
        (A, "I came to {A} what I had been ready to {B}."),
        (A, "You will {A} the {film} even if you {B} the {noun}."),
        (A, "I {A} the {noun} that others {B}."),
        (B, "I expected to {A} it, and now I {B} it."),
        (B, "I thought I would {A} the {noun}, but I {B} it."),
        (B, "I do not {A} this {film}, I {B} it."),
        (B, "I wanted to {A} the {film} and came to {B} it."),
        (B, "You may {A} the {noun}, you will {B} the {film}."),
    ],
};

static NOUNS: WordClass = WordClass {
    positive: &[
        "triumph",
        "joy",
        "masterpiece",
        "pleasure",
        "delight",
        "success",
        "treat",
        "gem",
        "marvel",
        "hit",
        "feast",
        "blessing",
    ],
    negative: &[
        "disaster",
        "chore",
        "mess",
        "pain",
        "bore",
        "failure",
        "flop",
        "dud",
        "letdown",
        "nightmare",
        "slog",
        "farce",
    ],
    forms: &[
        (A, "This is a {A}, not a {B}."),
        (A, "The {film} is a {A}, anything but a {B}."),
        (A, "The {film} is a {A} although the {noun} is a {B}."),
        (A, "This {film} is more a {A} than a {B}."),
        (A, "They delivered a {A} where I had expected a {B}."),
        (B, "This is not a {A} but a {B}."),
        (B, "Far from a {A}, the {film} is a {B}."),
        (B, "They promised a {A} and delivered a {B}."),
        (B, "The {noun} is a {A}, but the {film} is a {B}."),
        (B, "This {film} is less a {A} than a {B}."),
    ],
};

static COMPARATIVES: WordClass = WordClass {
    positive: &["better", "stronger", "smarter", "funnier", "livelier", "brighter", "richer", "finer"],
    negative: &["worse", "weaker", "dumber", "duller", "flatter", "poorer", "sillier", "clumsier"],
    forms: &[
        (A, "The {noun} is {A} than I expected, not {B}."),
        (A, "It gets {A}, not {B}, with every scene."),
        (A, "It is {A} than the trailer was, never {B}."),
        (A, "The {film} is {A} than the book, although the {noun} is {B}."),
        (B, "I have seen {A} films than this, and few {B}."),
        (B, "The {film} is no {A} than the book, it is {B}."),
        (B, "The {noun} could have been {A}, yet it is {B}."),
        (B, "Instead of {A} it gets {B} with every scene."),
    ],
};

/// What may follow an opinion, in place of its full stop.
const ENDINGS: &[&str] = &[
    ", if you ask me.",
    ", to be honest.",
    ", at least to me.",
    ", in my opinion.",
    ", I must say.",
    ", as my friends agree.",
    ", all things considered.",
    ", and that is that.",
    ", I think.",
    ", believe me.",
];

/// Sentences that say nothing about the film's merit.
const ASIDES: &[&str] = &[
    "We saw it on a {weather} {day} in {month}.",
    "My {relative} came along.",
    "My {relative} bought the tickets and the {snack}.",
    "The story is set in a {size} {place} in the {direction}.",
    "It is about a {profession} and a {profession} who meet in a {place}.",
    "A {profession} from {city} finds a {thing} in a {place}.",
    "It runs for {number} minutes.",
    "The cinema was {fullness} that evening.",
    "It was filmed in {city} and {city}.",
    "I watched it with my {relative} on {day}.",
    "My {relative} lent me the disc in {month}.",
    "The same people made a {film} about a {profession} {number} years ago.",
    "The {profession} is played by someone from {city}.",
    "There is a {thing} in almost every scene.",
    "It begins in {month} and ends in {month}.",
    "The second half takes place in {city}.",
    "I had a {snack} and sat in row {number}.",
    "It came out on a {day}.",
    "The {profession} loses a {thing} and the {profession} finds it.",
    "Most of it happens at night in a {size} {place}.",
];

/// What the places in braces draw from.
const PLACES: &[(&str, &[&str])] = &[
    (
        "{noun}",
        &[
            "acting",
            "plot",
            "script",
            "direction",
            "music",
            "camera",
            "dialogue",
            "pacing",
            "cast",
            "ending",
            "story",
            "editing",
            "soundtrack",
            "opening",
            "humour",
            "lead",
            "sequel",
            "villain",
            "hero",
            "animation",
            "lighting",
            "scenery",
            "romance",
            "mystery",
            "finale",
            "chemistry",
            "premise",
            "narration",
            "middle",
            "action",
        ],
    ),
    ("{film}", &["film", "movie", "picture", "feature", "production", "show"]),
    ("{intensifier}", &["entirely", "unusually", "amazingly", "extremely", "undeniably", "absolutely"]),
    ("{weather}", &["rainy", "sunny", "cold", "foggy", "windy", "hot", "grey", "snowy"]),
    ("{day}", &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]),
    (
        "{month}",
        &[
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
    ),
    (
        "{relative}",
        &[
            "sister",
            "brother",
            "mother",
            "father",
            "cousin",
            "uncle",
            "aunt",
            "neighbour",
            "daughter",
            "son",
            "nephew",
            "colleague",
        ],
    ),
    ("{snack}", &["popcorn", "lemonade", "sandwich", "coffee", "pretzel", "soda"]),
    ("{size}", &["small", "large", "remote", "quiet", "crowded", "coastal", "nameless", "medieval"]),
    (
        "{place}",
        &[
            "town", "village", "harbour", "hospital", "school", "castle", "hotel", "factory", "station", "library",
            "valley", "desert",
        ],
    ),
    ("{direction}", &["north", "south", "east", "west", "mountains", "lowlands"]),
    (
        "{profession}",
        &[
            "doctor",
            "teacher",
            "sailor",
            "baker",
            "detective",
            "painter",
            "farmer",
            "pilot",
            "soldier",
            "lawyer",
            "nurse",
            "student",
            "clerk",
            "miner",
            "singer",
            "carpenter",
        ],
    ),
    (
        "{city}",
        &[
            "London", "Paris", "Vienna", "Prague", "Lisbon", "Toronto", "Chicago", "Dublin", "Oslo", "Madrid", "Tokyo",
            "Cairo",
        ],
    ),
    (
        "{thing}",
        &[
            "letter",
            "key",
            "photograph",
            "map",
            "suitcase",
            "clock",
            "piano",
            "lamp",
            "diary",
            "bicycle",
            "ring",
            "telescope",
        ],
    ),
    ("{number}", &["twelve", "thirty", "forty", "fifty", "eighty", "ninety", "hundred", "nine", "seven", "twenty"]),
    ("{fullness}", &["full", "crowded", "empty", "half empty", "almost full", "packed"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use std::collections::{BTreeMap, HashMap, HashSet};

    /// The words of `text` in lower case, without punctuation.
    fn words(text: &str) -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    }

    /// What is counted: words alone, or words with the punctuation that touches them.
    type Tokens = fn(&str) -> Vec<String>;

    fn raw_tokens(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// The share of `test` that a bag-of-words logistic regression fitted to `train` answers rightly.
    ///
    /// p = 1 / (1 + exp(-(b + Σ w_t c_t))), c_t = how often the token t occurs; fitted by stochastic gradient ascent of the likelihood.
    fn bag_of_words_accuracy(train: &[Example], test: &[Example], tokens: Tokens) -> f64 {
        let mut ids = HashMap::new();
        let mut bag = |example: &Example| -> (f64, Vec<usize>) {
            let ids = tokens(&example.text).into_iter().map(|token| {
                let next = ids.len();
                *ids.entry(token).or_insert(next)
            });
            (f64::from(example.label), ids.collect())
        };
        let train: Vec<_> = train.iter().map(&mut bag).collect();
        let test: Vec<_> = test.iter().map(&mut bag).collect();
        let mut weights = vec![0.0; ids.len() + 1];
        let bias = ids.len();
        let score = |weights: &[f64], bag: &[usize]| weights[bias] + bag.iter().map(|&id| weights[id]).sum::<f64>();
        for epoch in 0..30 {
            let rate = 0.1 / f64::from(1 + epoch);
            for (label, bag) in &train {
                let error = label - 1.0 / (1.0 + (-score(&weights, bag)).exp());
                for &id in bag.iter().chain([&bias]) {
                    weights[id] += rate * error;
                }
            }
        }
        let right = test.iter().filter(|(label, bag)| (score(&weights, bag) > 0.0) == (*label > 0.5));
        right.count() as f64 / test.len() as f64
    }

    #[test]
    fn each_pair_has_the_same_words_and_opposite_labels() {
        for pair in generate(1, 4000).chunks(2) {
            let [mut a, mut b] = [&pair[0], &pair[1]].map(|example| words(&example.text));
            assert_ne!(a, b);
            a.sort();
            b.sort();
            assert_eq!(a, b);
            assert_eq!(pair[0].label + pair[1].label, 1);
        }
    }

    #[test]
    fn a_bag_of_words_stays_below_60_percent_on_held_out_reviews() {
        let [train, test] = Dataset::new("built-in", generate(2, 10_000)).split(2, [0.8, 0.2]).unwrap();
        for tokens in [words as Tokens, raw_tokens] {
            let accuracy = bag_of_words_accuracy(&train.examples, &test.examples, tokens);
            assert!(accuracy < 0.6, "{accuracy}");
        }
        // The same model does learn a set that words decide.
        let label_by_word = |examples: &[Example]| -> Vec<_> {
            let relabel = |example: &Example| {
                Example::new(u32::from(words(&example.text).contains(&"film".to_owned())), example.text.clone())
            };
            examples.iter().map(relabel).collect()
        };
        let accuracy = bag_of_words_accuracy(&label_by_word(&train.examples), &label_by_word(&test.examples), words);
        assert!(accuracy > 0.95, "{accuracy}");
    }

    #[test]
    fn the_last_word_with_a_polarity_decides_no_more_than_seven_of_ten() {
        let classes = [&ADJECTIVES, &VERBS, &NOUNS, &COMPARATIVES];
        let polarity: HashMap<_, _> = classes
            .iter()
            .flat_map(|class| {
                class.positive.iter().map(|&word| (word, 1)).chain(class.negative.iter().map(|&word| (word, 0)))
            })
            .collect();
        let examples = generate(3, 10_000);
        let right = examples.iter().filter(|example| {
            let last = words(&example.text).iter().rev().find_map(|word| polarity.get(word.as_str()).copied());
            last == Some(example.label)
        });
        let share = right.count() as f64 / examples.len() as f64;
        assert!((0.65..0.75).contains(&share), "{share}");
    }

    #[test]
    fn the_seed_decides_and_a_longer_list_continues_a_shorter_one() {
        assert_eq!(generate(7, 101), generate(7, 200)[..101]);
        assert_ne!(generate(7, 100), generate(8, 100));
        assert!(generate(7, 0).is_empty());
    }

    #[test]
    fn reviews_vary_in_length_and_words_and_hardly_repeat() {
        let examples = generate(4, 8000);
        let mut lengths = BTreeMap::new();
        let mut vocabulary = HashSet::new();
        for example in &examples {
            *lengths.entry(example.text.split_whitespace().count()).or_insert(0) += 1;
            vocabulary.extend(words(&example.text));
            assert!(!example.text.contains(['{', '}', '\t', '\n']), "{}", example.text);
        }
        let (min, max) = (*lengths.keys().next().unwrap(), *lengths.keys().last().unwrap());
        assert!(min >= MIN_WORDS && max <= MAX_WORDS && min < 10 && max > 35, "{lengths:?}");
        assert!((400..800).contains(&vocabulary.len()), "{}", vocabulary.len());
        let distinct: HashSet<_> = examples.iter().map(|example| &example.text).collect();
        assert!(distinct.len() * 100 > examples.len() * 95, "{}", distinct.len());
    }

    #[test]
    fn no_word_is_listed_twice_or_in_two_polarities() {
        let mut seen = HashSet::new();
        for class in [&ADJECTIVES, &VERBS, &NOUNS, &COMPARATIVES] {
            for word in class.positive.iter().chain(class.negative) {
                assert!(seen.insert(word), "{word}");
            }
            for (_, form) in class.forms {
                assert!(form.contains("{A}") && form.contains("{B}") && form.ends_with('.'), "{form}");
            }
            let first = class.forms.iter().filter(|(winner, _)| *winner == Winner::A).count();
            assert_eq!(2 * first, class.forms.len());
        }
    }
}
