use super::*;
use clap::{Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
struct Whole {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Bake(Bake),
}

#[derive(Clone, Debug, ValueEnum)]
enum Kind {
    Rye,
    Wheat,
}

#[derive(Debug, clap::Args)]
struct Bake {
    /// Where the options are
    #[arg(long)]
    config: Option<PathBuf>,
    /// What is baked. More than a sentence
    #[arg(long)]
    dough: PathBuf,
    /// Dough of former days
    #[arg(long, value_delimiter = ',')]
    sour: Vec<PathBuf>,
    /// What flour
    #[arg(long, value_enum, default_value = "rye")]
    kind: Kind,
    /// Loaves
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=9))]
    loaves: u64,
    /// Degrees
    #[arg(long, default_value_t = 200.0)]
    heat: f64,
    /// Share of salt
    #[arg(long, default_value_t = 0.5, requires = "sour")]
    salt_share: f64,
    /// With seeds
    #[arg(long)]
    seeds: bool,
}

const OF_A_CALL: [&str; 1] = ["config"];

/// What a file and a command line behind `bake --config FILE` come to.
fn baked(file: &str, line: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bread.toml");
    std::fs::write(&path, file)?;
    let begin = [OsString::from("x"), "bake".into(), "--config".into(), path.into()];
    let line = begin.into_iter().chain(line.iter().map(OsString::from)).collect();
    let whole = <Whole as clap::CommandFactory>::command();
    let line = with_file(&whole, "bake", &OF_A_CALL, line);
    let place = folder.path().display().to_string();
    let line = line.map_err(|error| anyhow::anyhow!("{}", error.to_string().replace(&format!("{place}/"), "")))?;
    let Whole { verb: Verb::Bake(Bake { dough, sour, kind, loaves, heat, salt_share, seeds, .. }) } =
        Whole::try_parse_from(line)?;
    let text = format!("{dough:?} {sour:?} {kind:?} {loaves} {heat} {salt_share} {seeds}");
    Ok(text.replace(&place, "FOLDER"))
}

const FULL: &str = "dough = \"a.txt\"\nsour = [\"b\", \"/c\"]\nkind = \"wheat\"\nloaves = 3\nheat = 180\nsalt-share = 0.25\nseeds = true\n";

#[test]
fn a_file_says_every_kind_of_option_and_paths_are_relative_to_it() {
    let expected = "\"FOLDER/a.txt\" [\"FOLDER/b\", \"/c\"] Wheat 3 180 0.25 true";
    assert_eq!(baked(FULL, &[]).expect("a file"), expected);
    assert_eq!(baked("dough = \"a.txt\"", &[]).expect("a file"), "\"FOLDER/a.txt\" [] Rye 2 200 0.5 false");
}

#[test]
fn the_command_line_counts_before_the_file() {
    let line = ["--loaves", "5", "--dough=d.txt", "--sour", "e"];
    let expected = "\"d.txt\" [\"e\"] Wheat 5 180 0.25 true";
    assert_eq!(baked(FULL, &line).expect("a file"), expected);
}

#[test]
fn a_default_may_stand_in_a_file_without_the_option_that_it_belongs_to() {
    let file = "dough = \"a\"\nsalt-share = 0.50\nloaves = 2\nseeds = false";
    assert_eq!(baked(file, &[]).expect("a file"), "\"FOLDER/a\" [] Rye 2 200 0.5 false");
    assert!(baked("dough = \"a\"\nsalt-share = 0.6", &[]).is_err());
}

#[test]
fn a_mistake_is_named_with_its_line_and_a_remedy() {
    let cases = [
        ("dough = \"a\"\nloavs = 3", "bread.toml:2: unknown key `loavs`; did you mean `loaves`?"),
        ("salt_share = 0.1", "bread.toml:1: unknown key `salt_share`; did you mean `salt-share`?"),
        ("[bread]\nheat = 3", "bread.toml:1: unknown key `bread`; write the options without a [heading]"),
        (
            "cheese = 3",
            "bread.toml:1: unknown key `cheese`; `latch bake --help` lists the options, and a key is an option's name without its dashes",
        ),
        ("config = \"a\"", "bread.toml:1: `config` is for the command line only; take it out of the file"),
        ("\n\nloaves = \"ten\"", "bread.toml:3: `loaves`: \"ten\" is not a whole number; write it as in `loaves = 2`"),
        ("loaves = 10", "bread.toml:1: `loaves`: 10 is not a whole number from 1 to 9; write it as in `loaves = 2`"),
        ("loaves = true", "bread.toml:1: `loaves`: this is true or false; write it as in `loaves = 2`"),
        ("heat = [1]", "bread.toml:1: `heat`: this is a list; write it as in `heat = 200`"),
        ("dough = 5", "bread.toml:1: `dough`: this is a whole number; write it as in `dough = \"DOUGH\"`"),
        ("kind = \"oats\"", "bread.toml:1: `kind`: \"oats\" is unknown here; write one of \"rye\", \"wheat\""),
        ("seeds = 1", "bread.toml:1: `seeds`: this is a whole number; write true or false"),
    ];
    for (file, expected) in cases {
        assert_eq!(baked(file, &[]).expect_err(file).to_string(), expected, "{file}");
    }
    for file in ["dough = a.txt", "dough \"a\"", "heat = 1\nheat = 2"] {
        let error = baked(file, &[]).expect_err(file).to_string();
        assert!(error.starts_with("bread.toml:") && error.contains("; write one `name = value` a line"), "{error}");
    }
}

#[test]
fn the_file_to_begin_with_has_every_option_and_is_read_back() {
    let command = <Whole as clap::CommandFactory>::command();
    let command = command.find_subcommand("bake").expect("the verb").clone();
    let given = [Given { name: "dough", value: "it's.txt".to_owned(), note: "an example: any dough" }];
    let text = Settings::new(&command, &OF_A_CALL).template("Bread.", &given);
    let expected = "# Bread.\n\n# What is baked\ndough = \"it's.txt\"  # an example: any dough\n\n\
        # Dough of former days\n# sour = \"SOUR\"  # an example\n\n\
        # What flour\nkind = \"rye\"\n\n# Loaves\nloaves = 2\n\n# Degrees\nheat = 200\n\n# Share of salt\nsalt-share = 0.5\n\n\
        # With seeds\nseeds = false\n";
    assert_eq!(text, expected);
    assert_eq!(baked(&text, &[]).expect("a file"), "\"FOLDER/it's.txt\" [] Rye 2 200 0.5 false");
}

#[test]
fn the_file_that_is_kept_repeats_the_call() {
    let command = <Whole as clap::CommandFactory>::command();
    let command = command.find_subcommand("bake").expect("the verb").clone();
    let matches =
        command.clone().get_matches_from(["bake", "--dough", "/a", "--sour=/b,/c", "--heat", "1e2", "--seeds"]);
    let text = Settings::new(&command, &OF_A_CALL).resolved("Bread.", &matches, &[("loaves", "7".to_owned())]);
    assert_eq!(
        text,
        "# Bread.\ndough = \"/a\"\nsour = [\"/b\", \"/c\"]\nkind = \"rye\"\nloaves = 7\nheat = 1e2\nsalt-share = 0.5\nseeds = true\n"
    );
    assert_eq!(baked(&text, &[]).expect("a file"), "\"/a\" [\"/b\", \"/c\"] Rye 7 100 0.5 true");
}
