//! A data set that needs no network, of classes of very different size: made-up text messages, of which one in a hundred is an advertisement.
//!
//! No word alone tells the classes apart: friends write of prizes and say `free` and `now` too, and as they write a hundred times as much, most of these words are theirs. It is several such
//! words together that make an advertisement. A model that answers `ham` to everything is right 99 times of a hundred, and finds nothing.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Example;

/// The names of the classes of a message, in the order of their numbers.
pub const CLASSES: [&str; 2] = ["ham", "spam"];

/// One message of so many is an advertisement.
pub const ONE_OF: usize = 100;

/// `n` messages, the same for the same `seed`: of every [`ONE_OF`] in a row exactly one is `spam`. A larger `n` continues the list of a smaller one.
#[must_use]
pub fn generate(seed: u64, n: usize) -> Vec<Example> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut examples = Vec::with_capacity(n);
    let mut spam = 0;
    for at in 0..n {
        if at % ONE_OF == 0 {
            spam = at + rng.random_range(0..ONE_OF);
        }
        let label = u32::from(at == spam);
        examples.push(Example::new(label, message(label, &mut rng)));
    }
    examples
}

/// One message: one to three sentences about nothing in particular, and three whose words an advertisement takes from its own lists, and a friend hardly ever.
fn message(label: u32, rng: &mut ChaCha8Rng) -> String {
    let own = if label == 1 { 1.0 } else { FRIENDS_USE_IT };
    let mut sentences: Vec<String> = (0..rng.random_range(1..=3)).map(|_| filled(pick(NEWS, rng), own, rng)).collect();
    sentences.push(filled(pick(OFFERS, rng), own, rng));
    sentences.push(filled(pick(CALLS, rng), own, rng));
    sentences.push(filled(pick(REMINDERS, rng), own, rng));
    sentences.shuffle(rng);
    sentences.join(" ")
}

/// How often a friend's message has the word of an advertisement where it could have a plain one.
const FRIENDS_USE_IT: f64 = 0.15;

/// One of `list`, which is not empty.
fn pick<T: Copy>(list: &[T], rng: &mut ChaCha8Rng) -> T {
    list[rng.random_range(0..list.len())]
}

/// A sentence with a word in each of its places; `own` is the chance that one comes from an advertisement's list.
fn filled(form: &str, own: f64, rng: &mut ChaCha8Rng) -> String {
    let (mut text, mut rest) = (String::new(), form);
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').unwrap_or((behind, ""));
        text.push_str(before);
        if let Some(place) = PLACES.iter().find(|place| place.name == name) {
            let list = if !place.own.is_empty() && rng.random_bool(own) { place.own } else { place.plain };
            text.push_str(pick(list, rng));
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

static NEWS: &[&str] = &[
    "are you coming to the {place} at {hour}?",
    "i am still at the {place} and will be late.",
    "can you bring the {thing} when you come?",
    "mum says dinner is at {hour}.",
    "the {thing} is at the {place}.",
    "happy birthday to {name}!",
    "no news from {name} yet, maybe on {day}.",
    "we need milk and a {thing}.",
    "stop at the {place} and get the {thing}, please.",
    "{name} wants to go to the {place} on {day}.",
];

static OFFERS: &[&str] = &[
    "there is a {quality} {offer} for {name}.",
    "your {quality} {offer} waits.",
    "this {offer} is {quality}, says {name}.",
    "ask {name} for the {quality} {offer}.",
];

static CALLS: &[&str] = &["{do} it {soon}.", "please {do} it for {name} {soon}.", "{do} it before {day}, or {soon}."];

static REMINDERS: &[&str] =
    &["{name} says {offer}, {soon}.", "so {quality}, {do} {soon}.", "the {offer} for {name}: {do}!"];

/// A place in a sentence: what stands there, and what stands there in an advertisement, where that is something else.
struct Place {
    name: &'static str,
    plain: &'static [&'static str],
    own: &'static [&'static str],
}

const fn plain(name: &'static str, plain: &'static [&'static str]) -> Place {
    Place { name, plain, own: &[] }
}

const THINGS: &[&str] = &[
    "book", "umbrella", "key", "cake", "jacket", "letter", "guitar", "bike", "bag", "parcel", "lamp", "chair", "puzzle",
];

static PLACES: [Place; 9] = [
    plain("hour", &["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]),
    plain("day", &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "tomorrow"]),
    plain("thing", THINGS),
    plain(
        "name",
        &[
            "anna", "ben", "carla", "dave", "emma", "frank", "grace", "henry", "ida", "jack", "kate", "liam", "mia",
            "noah", "olga", "paul", "rosa", "sam", "tina", "uma",
        ],
    ),
    plain(
        "place",
        &[
            "office", "station", "library", "pub", "gym", "kitchen", "school", "cinema", "market", "garden",
            "hospital", "airport", "park", "bakery",
        ],
    ),
    Place {
        name: "quality",
        plain: &["good", "new", "nice", "big", "old", "blue", "small", "broken"],
        own: &["free", "guaranteed", "exclusive", "bonus", "premium", "lucky"],
    },
    Place { name: "offer", plain: THINGS, own: &["prize", "voucher", "cruise", "jackpot", "reward", "holiday"] },
    Place {
        name: "do",
        plain: &["bring", "keep", "fetch", "return", "wash", "check", "find", "mend"],
        own: &["claim", "collect", "redeem", "win", "subscribe", "order"],
    },
    Place {
        name: "soon",
        plain: &["later", "soon", "quickly", "again", "somehow", "first", "together", "there"],
        own: &["now", "today", "immediately", "instantly", "tonight", "asap"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn one_message_of_a_hundred_is_an_advertisement_and_the_seed_decides_which() {
        let messages = generate(1, 5_000);
        for hundred in messages.chunks(ONE_OF) {
            assert_eq!(hundred.iter().filter(|example| example.label == 1).count(), 1);
        }
        assert_eq!(messages[..120], generate(1, 120));
        assert_ne!(messages[..100], generate(2, 100));
        let different: HashSet<&str> = messages.iter().map(|example| example.text.as_str()).collect();
        assert!(different.len() > 4_500, "{}", different.len());
        assert!(
            messages.iter().all(|example| !example.text.contains(['{', '}', '\t']) && !example.text.contains("  "))
        );
    }

    #[test]
    fn no_word_alone_tells_an_advertisement_from_a_message() {
        let messages = generate(1, 50_000);
        let words = |text: &str| -> HashSet<String> {
            text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 2).map(str::to_owned).collect()
        };
        let mut counts: std::collections::HashMap<String, [usize; 2]> = std::collections::HashMap::new();
        for example in &messages {
            for word in words(&example.text) {
                counts.entry(word).or_default()[example.label as usize] += 1;
            }
        }
        // Every word of the lists of advertisements is more often in a friend's message.
        for word in PLACES.iter().flat_map(|place| place.own) {
            let [ham, spam] = counts[*word];
            assert!(ham > spam && spam > 20, "{word}: {ham} {spam}");
        }
    }
}
