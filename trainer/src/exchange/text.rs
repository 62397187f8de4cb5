//! What a model of texts has besides its layers: what it answers, how it pools, its words and how texts are cut into them.

use anyhow::Result;
use latch_data::composed::composed;
use latch_engine::input::text::{Tokens, Unknown};
use latch_interchange::{self as interchange, Activation, Described, Format, Input, Kind, Matrix, Text};

use super::{Answers, Given, UnknownRule};
use crate::config::chain::Pooling;
use crate::counted::counted;
use crate::dataset::{MAX_CLASSES, MAX_NAME, Task};
use crate::error::{Fault, fault};
use crate::tokenization::Tokenization;
use crate::vocabulary::Vocabulary;

/// The task that a file states; the classes are still to be counted.
pub(super) fn task_of(task: interchange::Task) -> Task {
    match task {
        interchange::Task::Classify => Task::Classify(0),
        interchange::Task::Regress => Task::Regress,
        interchange::Task::Tag => Task::Tag(0),
        interchange::Task::RegressEach => Task::RegressEach,
    }
}

/// What the outputs mean, as a file states it.
pub(super) fn stated(answers: &Answers) -> interchange::Answer {
    let task = match answers.task {
        Task::Classify(_) => interchange::Task::Classify,
        Task::Regress => interchange::Task::Regress,
        Task::Tag(_) => interchange::Task::Tag,
        Task::RegressEach => interchange::Task::RegressEach,
    };
    let classes = Some(answers.classes.clone()).filter(|classes| !classes.is_empty());
    interchange::Answer { task: Some(task), classes }
}

/// What a token is, as a file states it.
fn tokens_stated(tokens: Tokens) -> interchange::Tokens {
    match tokens {
        Tokens::Words => interchange::Tokens::Words,
        Tokens::Syllables => interchange::Tokens::Syllables,
        Tokens::Characters => interchange::Tokens::Chars,
        Tokens::CasedCharacters => interchange::Tokens::CharsCased,
    }
}

/// What a token is that a file states.
fn tokens_of(tokens: interchange::Tokens) -> Tokens {
    match tokens {
        interchange::Tokens::Words => Tokens::Words,
        interchange::Tokens::Syllables => Tokens::Syllables,
        interchange::Tokens::Chars => Tokens::Characters,
        interchange::Tokens::CharsCased => Tokens::CasedCharacters,
    }
}

impl From<interchange::Unknown> for UnknownRule {
    fn from(rule: interchange::Unknown) -> Self {
        match rule {
            interchange::Unknown::Row => UnknownRule::Row,
            interchange::Unknown::Skip => UnknownRule::Skip,
        }
    }
}

/// A vocabulary as a file states it.
///
/// # Errors
/// A fault where unknown words share rows by their hash.
pub(super) fn described(vocabulary: &Vocabulary) -> Result<Text, Fault> {
    let unknown = match vocabulary.unknown {
        Unknown::LastRow => interchange::Unknown::Row,
        Unknown::Skip => interchange::Unknown::Skip,
        Unknown::Hashed(_) => {
            let problem = "its unknown words share rows by their hash, which a file of tensors cannot say";
            let remedy = "train with unknown=row or unknown=skip in the text of --model, or export an image";
            return Err(fault("unknown", problem, remedy));
        }
    };
    Ok(Text {
        vocabulary: Some(vocabulary.words().to_vec()),
        tokens: Some(tokens_stated(vocabulary.tokenization.tokens)),
        characters: Some(vocabulary.tokenization.characters()),
        unknown: Some(unknown),
        cutting: None,
    })
}

/// The table of a model that reads ids, and what its file says of the text.
fn read<'m>(place: &str, model: &'m Described) -> Result<(&'m Matrix, &'m Text), Fault> {
    match (&model.input, model.layers.first().map(|layer| &layer.kind)) {
        (Input::Ids(text), Some(Kind::Embedding(embedding))) => Ok((&embedding.table, text)),
        _ => Err(fault(place, "it reads samples, and no texts", "import it without options of texts")),
    }
}

/// The tensor of the last layer's bias, or its name.
fn head(model: &Described) -> &str {
    let vectors = model.layers.last().map(|layer| (&layer.name, layer.kind.vectors()));
    vectors.map_or("", |(name, vectors)| vectors.first().map_or(name, |vector| &vector.source))
}

/// What the outputs mean, by the file or by the user; one or several classes a text where neither says it.
pub(super) fn answers(place: &str, model: &Described, given: &Given) -> Result<Answers> {
    let stated = model.answer.task.map(task_of);
    refuse_contradiction(place, model, given)?;
    let outputs = model.outputs();
    let task = given.task.or(stated).unwrap_or_default().with_classes(outputs.max(2) as u32);
    let head = format!("{place}: tensor {}", head(model));
    if outputs > MAX_CLASSES as usize {
        let problem = format!("the head has {outputs} outputs, more than an image's {MAX_CLASSES}");
        return Err(fault(head, problem, "train it with fewer classes").into());
    }
    if task.outputs() != outputs {
        let (problem, remedy) = if task.has_values() {
            (format!("the head has {outputs} outputs, but {} has one value", task.name()), "name another --task")
        } else {
            two_outputs(model)
        };
        return Err(fault(head, problem, remedy).into());
    }
    Ok(Answers { task, classes: classes(place, model, task)? })
}

/// Why two outputs are no answer of two classes, and what to do.
pub(super) fn two_outputs(model: &Described) -> (String, &'static str) {
    let activation = match model.layers.last().map(|layer| &layer.kind) {
        Some(Kind::Dense(dense)) => Some(dense.activation),
        Some(Kind::Activation(activation)) => Some(*activation),
        _ => None,
    };
    match activation {
        None | Some(Activation::Linear | Activation::Softmax) => (
            "the head has 2 outputs, but two classes have one logit, positive for the second".to_owned(),
            "say --task classify or --task tag, if these are the logits of the two: the second less the first is taken",
        ),
        Some(activation) => (
            format!("its 2 outputs go through {}, and are no logits of two classes", activation.name()),
            "train it with softmax, or without an activation, or with one output and sigmoid",
        ),
    }
}

/// Refuses a task that is another than the one that the metadata says. Other formats take their task for granted, and the user knows better.
pub(super) fn refuse_contradiction(place: &str, model: &Described, given: &Given) -> Result<(), Fault> {
    let is_said = matches!(model.source.format, Format::Safetensors(_));
    let stated = model.answer.task.map(task_of).filter(|_| is_said);
    if let (Some(stated), Some(given)) = (stated, given.task)
        && stated.name() != given.name()
    {
        let problem = format!("{} says that the task is {}", metadata_of(place, model, "task"), stated.name());
        return Err(fault("--task", problem, "leave the option out"));
    }
    Ok(())
}

/// The names of the classes, where the file says them.
///
/// # Errors
/// A fault where they are not as many as the task has, or are no names.
pub(super) fn classes(place: &str, model: &Described, task: Task) -> Result<Vec<String>, Fault> {
    let classes = model.answer.classes.clone().unwrap_or_default();
    // Where the user knows better than the file, its names are those of nothing.
    if task.has_values() && !matches!(model.source.format, Format::Safetensors(_)) {
        return Ok(Vec::new());
    }
    let at = metadata_of(place, model, "classes");
    if !classes.is_empty() && classes.len() != task.classes() as usize {
        let problem = format!("it names {}, but the task has {}", counted(classes.len(), "class"), task.classes());
        return Err(fault(at, problem, "correct it, or leave it out"));
    }
    let twice = classes.iter().enumerate().find(|(number, name)| classes[..*number].contains(name));
    let long = |name: &&String| name.is_empty() || name.chars().count() > MAX_NAME;
    if let Some(name) = twice.map(|(_, name)| name).or_else(|| classes.iter().find(long)) {
        let problem = format!("the class {name:?} is named twice, has no name, or has more than {MAX_NAME} characters");
        return Err(fault(at, problem, "correct it, or leave it out"));
    }
    Ok(classes)
}

/// What the head sees, by the file or by the user; nothing pools where each token has an answer.
pub(super) fn pooling(place: &str, model: &Described, task: Task, given: &Given) -> Result<Option<Pooling>> {
    let stated = model.pooling().map(Pooling::from);
    let is_said = matches!(model.source.format, Format::Safetensors(_));
    if task.each_step() {
        return match stated.or(given.pooling) {
            None => Ok(None),
            Some(_) if stated.is_some() && !is_said => {
                let problem = format!("{} has an answer a token, and the network pools them", task.name());
                Err(fault(place, problem, "name another --task").into())
            }
            Some(_) => {
                let at = if stated.is_some() { metadata_of(place, model, "pooling") } else { "--pooling".to_owned() };
                Err(fault(at, "each token has an answer, so that nothing is pooled", "leave it out").into())
            }
        };
    }
    match (stated, given.pooling) {
        (Some(stated), Some(given)) if stated != given => {
            let problem = if is_said {
                format!("{} names another pooling", metadata_of(place, model, "pooling"))
            } else {
                format!("the network in {place} has a pooling of its own")
            };
            Err(fault("--pooling", problem, "leave the option out").into())
        }
        (stated, given) => stated.or(given).map(Some).ok_or_else(|| {
            let remedy = "add --pooling last, mean, max or attention";
            fault(place, "it does not say which pooling the network has", remedy).into()
        }),
    }
}

/// The place of an entry of the metadata.
fn metadata_of(place: &str, model: &Described, entry: &str) -> String {
    match model.source.format {
        Format::Onnx => format!("{place}: metadata {entry}"),
        Format::Safetensors(_) => format!("{place}: metadata latch.{entry}"),
        _ => format!("{place}: its own {entry}"),
    }
}

/// The vocabulary, held to the rows of the embedding and to what the tokenizer can give; and the words in it that the tokenizer never gives. The user's words are `listed` in the order
/// of their bytes.
pub(super) fn words(
    place: &str,
    model: &Described,
    given: &Given,
    listed: Option<&Vec<String>>,
) -> Result<(Vocabulary, Vec<String>)> {
    let (table, text) = read(place, model)?;
    let rows = table.rows;
    let (words, at) = match (listed, &text.vocabulary) {
        (Some(listed), Some(stated)) if listed != stated => {
            let problem = format!("{} has other words", metadata_of(place, model, "vocabulary"));
            return Err(fault("--vocabulary", problem, "leave the option out").into());
        }
        (Some(listed), _) => (listed, "--vocabulary".to_owned()),
        (None, Some(stated)) => (stated, metadata_of(place, model, "vocabulary")),
        (None, None) => {
            let remedy = "add --vocabulary, the file that `latch tokens` wrote";
            return Err(fault(place, "it has no vocabulary", remedy).into());
        }
    };
    if words.is_empty() {
        return Err(fault(at, "there is no word in it", "name the file that `latch tokens` wrote").into());
    }
    if let Some(pair) = words.windows(2).find(|pair| pair[0] >= pair[1]) {
        let problem = format!("{:?} stands before {:?}, but words have ids in their byte order", pair[0], pair[1]);
        return Err(fault(at, problem, "number the words as `latch tokens` does").into());
    }
    let unknown = match rows.checked_sub(words.len()) {
        Some(0) => Unknown::Skip,
        Some(1) => Unknown::LastRow,
        _ => {
            let problem = format!(
                "it has {rows} rows for a vocabulary of {} words; wanted are as many, or one more for unknown words",
                words.len()
            );
            let place = format!("{place}: tensor {}", table.source);
            return Err(fault(place, problem, "give the vocabulary that the network was trained with").into());
        }
    };
    if text.unknown.is_some_and(|stated| Unknown::from(UnknownRule::from(stated)) != unknown) {
        let problem = format!("the embedding has {rows} rows for {} words, which is the other rule", words.len());
        return Err(fault(metadata_of(place, model, "unknown"), problem, "correct it, or leave it out").into());
    }
    let vocabulary = Vocabulary::new(words.clone(), unknown, tokenization(place, model, text, given, words)?);
    let are_characters = vocabulary.tokenization.tokens.are_characters();
    // A word that was cut in the middle of `don't` may read differently; one in ten that do are another tokenizer's. A space is a token between two others alone.
    let never = |(id, word): &(u32, &String)| {
        vocabulary.ids(&composed(word)) != [*id] && !(are_characters && word.as_str() == " ")
    };
    let strange: Vec<String> = (0..).zip(words).filter(never).map(|(_, word)| word.clone()).collect();
    if let Some(word) = words.iter().find(|word| word.contains(['\n', '\r'])) {
        return Err(
            fault(at, format!("the word {word:?} has a line's end in it"), "leave it out: no text gives it").into()
        );
    }
    if 10 * strange.len() > words.len() {
        let problem = format!(
            "{} of {} words never come out of Latch's tokenizer, such as {:?}",
            strange.len(),
            words.len(),
            strange[0]
        );
        return Err(fault(at, problem, "train on the ids that `latch tokens` writes").into());
    }
    vocabulary.encode()?;
    Ok((vocabulary, strange))
}

/// Texts that tokenizers cut in different ways.
const EXAMPLES: [&str; 4] = ["Don't stop!", "a well-known case", "3.5% of 1,000", "one/two_three"];

/// The first example that the tool that trained the model cuts otherwise than Latch, with the words of both. Marks that are no words of the model do not count.
pub(super) fn cut_otherwise(model: &Described, vocabulary: &Vocabulary) -> Option<String> {
    let Input::Ids(Text { cutting: Some(cutting), .. }) = &model.input else { return None };
    let marks = |word: &str| !word.chars().any(char::is_alphanumeric);
    EXAMPLES.iter().find_map(|text| {
        let mut ours = Vec::new();
        vocabulary.each_token(text, &mut |token, is_known| {
            let token = String::from_utf8_lossy(token).into_owned();
            if is_known || !marks(&token) {
                ours.push(token);
            }
        });
        let theirs = cutting.cut(text);
        let shown = |words: &[String]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ");
        (ours != theirs)
            .then(|| format!("{text:?} was {} where it was trained, and is {} here", shown(&theirs), shown(&ours)))
    })
}

/// How texts are cut into tokens: as the file says, else as the user does, else into words; by the file's table of characters, else by that of the words.
fn tokenization(
    place: &str,
    model: &Described,
    text: &Text,
    given: &Given,
    words: &[String],
) -> Result<Tokenization, Fault> {
    let stated = text.tokens.map(tokens_of);
    if let (Some(stated), Some(given)) = (stated, given.tokens)
        && stated != given
    {
        let problem = format!("{} names another kind of token", metadata_of(place, model, "tokens"));
        return Err(fault("--tokens", problem, "leave the option out"));
    }
    let tokens = stated.or(given.tokens).unwrap_or_default();
    Ok(match &text.characters {
        Some(characters) => Tokenization::with(tokens, characters),
        None => Tokenization::of_texts(tokens, words.iter().map(String::as_str)),
    })
}
