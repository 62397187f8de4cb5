//! The files that people have go in without a script, and `latch train` says what it read; what is wrong with labels and texts is said by name.

use crate::support::{Answer, Place, succeed};

/// A chain that trains in a blink, and knows so many words.
fn chain(words: usize) -> String {
    format!("text {words} > embedding 4 > gru 4 > dense")
}

/// Trains on `data` for an epoch with more arguments.
fn train(place: &Place, data: &str, more: &[&str]) -> Answer {
    let model = chain(60);
    let fixed = ["train", "--data", data, "--out", "run", "--epochs", "1"];
    let model = ["--model", model.as_str()];
    let model: &[&str] = if more.contains(&"--model") { &[] } else { &model };
    let _ = std::fs::remove_dir_all(place.file("run"));
    succeed(&mut place.latch(fixed.iter().chain(model).chain(more)))
}

/// The line that says what was read.
fn read(answer: &Answer) -> &str {
    answer.stdout.lines().find(|line| line.starts_with("read ")).unwrap_or_else(|| panic!("{answer:?}"))
}

/// Questions as they are published: `CLASS:kind` before each, with a letter of Latin-1.
fn questions() -> Vec<u8> {
    let question = |number: usize| {
        let (label, text) = [
            ("DESC:manner", "How does a caf\u{e9} number"),
            ("ENTY:animal", "Which cat has number"),
            ("HUM:ind", "Who wrote number"),
        ][number % 3];
        format!("{label} {text} {number} ?\n")
    };
    let text: String = (0..90).map(question).collect();
    text.chars().map(|letter| u32::from(letter) as u8).collect()
}

#[test]
fn questions_with_their_labels_in_front_train_by_a_pattern_in_latin_1_and_are_judged_likewise() {
    let place = Place::with_data(20);
    place.write("train.label", questions());
    let options = ["--label-pattern", r"^(\w+):\w+ ", "--encoding", "latin-1"];
    let answer = train(&place, "train.label", &options);
    assert!(read(&answer).starts_with("read 90 texts, 3 classes (DESC 30, ENTY 30, HUM 30), "), "{answer:?}");
    assert!(read(&answer).contains("labels by the pattern") && read(&answer).contains("encoding windows-1252"));
    assert!(String::from_utf8(place.read("run/vocabulary.txt")).unwrap().lines().any(|word| word == "caf\u{e9}"));
    // The run keeps how its data is read, and so does its file of options.
    succeed(&mut place.latch(["export", "--run", "run", "--out", "q.latch"]));
    succeed(&mut place.latch(["train", "--config", "run/latch.toml", "--out", "again"]));
    assert!(place.read("run/best.network") == place.read("again/best.network"));
    let eval = ["eval", "--image", "q.latch", "--data", "train.label", "--json"];
    let line = succeed(place.latch(eval).args(options)).json();
    assert_eq!((line["n"].as_u64(), line["unknown"]["tokens"].as_u64().unwrap() > 400), (Some(90), true), "{line}");

    let fine = train(&place, "train.label", &["--label-pattern", r"^(\w+:\w+) ", "--encoding", "latin-1"]);
    assert!(read(&fine).contains("3 classes (DESC:manner 30, "), "{fine:?}");
    let words = ["train.label:1: ", "--encoding windows-1252"];
    let bare = ["train", "--data", "train.label", "--label-pattern", r"^(\w+):", "--out", "new", "--json"];
    place.refuse(&mut place.latch(bare), &words);
}

#[test]
fn a_folder_with_a_file_for_each_class_trains_and_its_licence_is_named_and_left_out() {
    let place = Place::with_data(20);
    std::fs::create_dir(place.file("names")).unwrap();
    for (class, end) in [("Czech", "ova"), ("Irish", "an"), ("Greek", "os")] {
        let names: String = (0..30)
            .map(|number| format!("{}{end}\n", ["Mar", "Pet", "Jan"][number % 3].repeat(1 + number / 3)))
            .collect();
        place.write(&format!("names/{class}.txt"), names);
    }
    place.write("names/LICENSE", "Permission is granted\n");
    let answer = train(&place, "names", &[]);
    assert!(
        read(&answer).starts_with(
            "read 90 texts, 3 classes (Czech 30, Greek 30, Irish 30), one file for each class, LICENSE left out; "
        ),
        "{answer:?}"
    );
}

#[test]
fn a_folder_with_parts_is_read_with_all_of_them_and_two_files_for_one_part_are_refused() {
    let place = Place::with_data(20);
    std::fs::create_dir(place.file("set")).unwrap();
    let rows = |from: usize, to: usize| -> String {
        (from..to).map(|row| format!("{},text number {row}\n", ["ham", "spam"][row % 2])).collect()
    };
    place.write("set/train.csv", rows(0, 60));
    place.write("set/validation.csv", rows(60, 80));
    place.write("set/test.csv", rows(80, 90) + "ham,text number 0\n");
    let answer = train(&place, "set", &[]);
    assert!(
        read(&answer).contains("; 60 train, 20 validation from ") && read(&answer).contains(", 11 test; "),
        "{answer:?}"
    );
    assert!(answer.stdout.contains("note: 1 of 11 test texts are training texts too"), "{answer:?}");
    assert!(answer.stdout.contains(" of training, ") && answer.stdout.contains(" of validation, "), "{answer:?}");
    let facts: serde_json::Value = serde_json::from_slice(&place.read("run/data.json")).unwrap();
    assert_eq!((facts["test"].as_u64(), facts["unknown"]["test"]["tokens"].as_u64()), (Some(11), Some(33)));
    // A test part that cannot be used is no reason not to train.
    place.write("set/test.csv", "text\nno label\n");
    let answer = train(&place, "set", &[]);
    assert!(answer.stdout.contains("note: the test part is left out: "), "{answer:?}");

    place.write("set/train.tsv", "ham\ta\nspam\tb\n");
    let refused = ["train", "--data", "set", "--out", "new", "--json"];
    place.refuse(&mut place.latch(refused), &["set: train.tsv and train.csv could each be the train part"]);
    std::fs::remove_file(place.file("set/train.tsv")).unwrap();
    place.write("set/dev.csv", rows(60, 70));
    place.refuse(&mut place.latch(refused), &["validation.csv and dev.csv could each be the valid part"]);
}

#[test]
fn the_line_says_duplicates_and_words_and_the_unknown_tokens_come_with_a_warning() {
    let place = Place::with_data(20);
    let row = |row: usize| format!("{}\tgood film of the year {}\n", row % 2, row / 2);
    let rows: String = (0..1_200).map(row).collect();
    place.write("set.tsv", rows);
    let answer = train(&place, "set.tsv", &["--model", &chain(6), "--seed", "1"]);
    let line = read(&answer);
    assert!(
        line.starts_with("read 1,200 texts, 2 classes (0 600, 1 600), 600 duplicates; 1,080 train, 120 validation; "),
        "{line}"
    );
    assert!(
        line.ends_with(" words, 6 kept, 16.6 % unknown") || line.ends_with(" words, 6 kept, 16.5 % unknown"),
        "{line}"
    );
    assert!(
        answer
            .stdout
            .contains("note: 600 texts occur with different labels, such as \"good film of the year 0\" as 0 and as 1"),
        "{answer:?}"
    );
    assert!(answer.stdout.contains("unknown tokens: 16."), "{answer:?}");
    assert!(answer.stderr.contains("warning: 16.") && answer.stderr.contains("unknown to the model"), "{answer:?}");
    let said = succeed(&mut place.latch(["export", "--run", "run", "--out", "set.latch"]));
    assert!(said.stdout.contains("unknown tokens: 16.") && said.stderr.contains("warning: 16."), "{said:?}");
    let said = succeed(&mut place.latch(["predict", "--image", "set.latch", "a good film, of course"])).stdout;
    assert!(said.contains(" tokens; unknown to the model: a, ,, course\n"), "{said}");
    let line = succeed(&mut place.latch(["predict", "--image", "set.latch", "--json", "good zebra"])).json();
    assert_eq!(line["unknown"], serde_json::json!(["zebra"]));
    // Texts of which the model knows no token.
    place.write("other.tsv", "0\tquelque chose\n1\tautre chose\n");
    let said = succeed(&mut place.latch(["eval", "--image", "set.latch", "--data", "other.tsv"]));
    assert!(said.stdout.contains("unknown       100.0 % (4 of 4; most: chose 2, autre 1, quelque 1)"), "{said:?}");
    assert!(said.stderr.contains("warning: no token of the texts is known"), "{said:?}");
}

#[test]
fn labels_that_are_odd_are_said_or_refused_by_name() {
    let place = Place::with_data(20);
    let rows = |odd: &str| -> String {
        let plain: String = (0..60).map(|row| format!("{},text number {row}\n", row % 2)).collect();
        plain + odd
    };
    // A class that occurs once, and a label that is a word where the others are numbers; "1.0" is "1".
    place.write("once.csv", rows("n/a,a text without a label\n1.0,a text of class 1\n"));
    let answer = train(&place, "once.csv", &[]);
    assert!(read(&answer).contains("3 classes (0 30, 1 31, n/a 1)"), "{answer:?}");
    assert!(answer.stdout.contains("note: the label n/a is a word, and the others are numbers"), "{answer:?}");
    assert!(answer.stdout.contains("note: the class n/a occurs once: too little to learn from"), "{answer:?}");
    // A class of the training data that the validation data lacks, and the other way around.
    place.write("train.csv", rows("2,two\n2,two again\n2,two once more\n"));
    place.write("valid.csv", rows(""));
    let answer = train(&place, "train.csv", &["--valid", "valid.csv"]);
    assert!(
        answer.stdout.contains("note: no validation text has the class 2: nothing checks its answers"),
        "{answer:?}"
    );
    let only = ["train", "--data", "valid.csv", "--valid", "train.csv", "--out", "new", "--json"];
    place.refuse(&mut place.latch(only), &["train.csv:61: the label \"2\" is none of the known classes (0, 1)"]);
    // Numbers or names in the place of classes.
    let ids: String = (0..10_000).map(|row| format!("{},text number {row}\n", 7 * row)).collect();
    let names: String = (0..10_000).map(|row| format!("user{row},text number {row}\n")).collect();
    let prices: String = (0..10_000).map(|row| format!("{}.5,text number {row}\n", row / 4)).collect();
    for (name, text, words) in [
        ("ids.csv", ids, ["ids.csv:257: ", "at most 256 classes", "row numbers", "--task regress"]),
        ("names.csv", names, ["names.csv:257: ", "at most 256 classes", "like identifiers", "--label-column"]),
        ("prices.csv", prices, ["prices.csv:1025: ", "at most 256 classes", "all numbers", "--task regress"]),
    ] {
        place.write(name, "label,text\n".to_owned() + &text);
        let words = words.map(|word| word.replace(":257:", ":258:").replace(":1025:", ":1026:"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        place.refuse(&mut place.latch(["train", "--data", name, "--out", "new", "--json"]), &words);
    }
}

#[test]
fn a_run_is_the_same_on_one_thread_and_on_many() {
    let place = Place::with_data(2_000);
    let train = |out: &str, threads: &str| {
        let model = chain(100);
        let fixed = ["train", "--data", "data", "--out", out, "--epochs", "1", "--model", &model];
        succeed(place.latch(fixed).env("RAYON_NUM_THREADS", threads));
        ["data.json", "vocabulary.txt", "occurrences", "best.network"].map(|name| place.read(&format!("{out}/{name}")))
    };
    assert!(train("one", "1") == train("three", "3"));
}

#[test]
fn an_option_overrides_that_one_of_the_run_alone_and_eval_says_where_the_others_stand() {
    let place = Place::with_data(20);
    let row = |row: usize| {
        let (label, text) = [("ja", "sch\u{f6}ner Film"), ("nein", "\u{fc}bler Streifen")][row % 2];
        format!("{row};{text} Nummer {row};{label}\n")
    };
    let rows = "nr;v2;v1\n".to_owned() + &(0..60).map(row).collect::<String>();
    let latin: Vec<u8> = rows.chars().map(|letter| u32::from(letter) as u8).collect();
    place.write("train.csv", latin);
    let columns = ["--label-column", "v1", "--text-column", "v2", "--label-map", "ja=good,nein=bad"];
    train(&place, "train.csv", &[&columns[..], &["--encoding", "latin-1"]].concat());
    succeed(&mut place.latch(["export", "--run", "run", "--out", "run.latch"]));
    // The same table in UTF-8, with a spelling that the run does not have.
    place.write("test.csv", rows.replace("59;\u{fc}bler Streifen Nummer 59;nein", "59;\u{fc}bel;NEIN"));
    let eval = ["eval", "--image", "run.latch", "--data", "test.csv", "--json"];
    let more = ["--run", "run", "--encoding", "utf-8", "--label-map", "NEIN=bad"];
    let line = succeed(place.latch(eval).args(more)).json();
    assert_eq!((line["n"].as_u64(), line["unknown"]["share"].as_f64() < Some(0.5)), (Some(60), true), "{line}");
    let of_run = ["export", "--run", "run", "--out", "again.latch", "--data", "test.csv", "--json"];
    succeed(place.latch(of_run).args(&more[2..]));
    succeed(place.latch(["report", "run", "--out", "run.html", "--data", "test.csv"]).args(&more[2..]));
    let tokens = ["tokens", "--run", "run", "--data", "test.csv", "--out", "ids.jsonl"];
    succeed(place.latch(tokens).args(&more[2..]));
    // Without the run nothing of this is known.
    let eval = ["eval", "--image", "run.latch", "--data", "train.csv", "--json"];
    place.refuse(&mut place.latch(eval), &["train.csv:", "; or add --run, if the image's run reads such data"]);
    succeed(place.latch(eval).args(["--run", "run"]));
    let twice = ["train", "--data", "test.csv", "--label-map", "ja=good", "--label-map", "ja=bad", "--out", "new"];
    place.refuse(
        place.latch(twice).args(["--json"]),
        &["--label-map: the label \"ja\" is to be both \"good\" and \"bad\"; name it once"],
    );
}

#[test]
fn labels_of_another_task_are_said_with_the_option_that_learns_them() {
    let place = Place::with_data(20);
    let ratings: String = (0..80).map(|row| format!("{},text number {row}\n", row % 41)).collect();
    place.write("ratings.csv", "rating,text\n".to_owned() + &ratings);
    let answer = train(&place, "ratings.csv", &["--label-column", "rating"]);
    assert!(answer.stdout.contains("each of the 41 is read as a class; --task regress learns"), "{answer:?}");
    let tags: String = (0..60).map(|row| format!("{},to {row}\n", ["O O", "O B", "B O"][row % 3])).collect();
    place.write("tags.csv", "tags,tokens\n".to_owned() + &tags);
    let answer = train(&place, "tags.csv", &[]);
    assert!(answer.stdout.contains("such as \"O O\", and is read as one class; --task tag"), "{answer:?}");
    let right = train(&place, "tags.csv", &["--task", "tag", "--model", "text 60 > embedding 4 > gru 4 > dense"]);
    assert!(!right.stdout.contains("--task"), "{right:?}");
}

#[test]
fn eval_says_how_it_reads_a_table_where_nothing_says_how_its_run_did() {
    let place = Place::with_data(20);
    let rows: String = (0..60).map(|row| format!("{row};text {};{}\n", row % 9, ["no", "yes"][row % 2])).collect();
    place.write("set.csv", "nr;v2;v1\n".to_owned() + &rows);
    train(&place, "set.csv", &[]);
    succeed(&mut place.latch(["export", "--run", "run", "--out", "set.latch"]));
    let eval = ["eval", "--image", "set.latch", "--data", "set.csv"];
    let said = "(if these are others, name them, or add --run FOLDER: it reads as the image's run did)";
    let answer = succeed(&mut place.latch(eval));
    assert!(answer.stdout.contains("read with label column v1, text column v2"), "{answer:?}");
    let one_line = answer.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(one_line.contains(said), "{answer:?}");
    // Not among the answer for machines, and not where it is known.
    let answer = succeed(place.latch(eval).arg("--json"));
    assert!(answer.json()["n"].as_u64() == Some(60) && answer.stderr.contains("read with"), "{answer:?}");
    for told in [&["--run", "run"][..], &["--label-column", "v1", "--text-column", "v2"]] {
        let answer = succeed(place.latch(eval).args(told));
        assert!(!answer.stdout.contains("read with"), "{answer:?}");
    }
}
