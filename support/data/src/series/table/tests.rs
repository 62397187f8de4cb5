use super::super::tests::{fault_of, load_bytes};
use crate::dataset::Part;
use crate::error::exit_code;
use crate::series::{Missing, SeriesColumns, SeriesReading, SeriesSet, SeriesTask, Target, load, looks_like_series};

fn read(text: &str, task: SeriesTask) -> SeriesSet {
    load_bytes("a.csv", text.as_bytes(), &SeriesReading::of(task)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str, task: SeriesTask) -> String {
    fault_of("a.csv", text, &SeriesReading::of(task))
}

fn columns(change: impl FnOnce(&mut SeriesColumns)) -> SeriesReading {
    let mut columns = SeriesColumns::default();
    change(&mut columns);
    SeriesReading::default().within(columns)
}

/// Id, frames and target of each series.
fn content(set: &SeriesSet) -> Vec<(String, Vec<f32>, Target)> {
    set.series.iter().map(|series| (series.id.clone(), series.frames.to_vec(), series.target.clone())).collect()
}

const LONG: &str =
    "id,time,ax,ay,label\nw1,0,1,-1,walk\nw1,1,2,-2,walk\nr1,0,3,-3,rest\nr1,1,4,-4,rest\nr1,2,5,-5,rest\n";

#[test]
fn a_row_a_time_step_gives_series_by_their_column_and_says_which_columns_were_taken() {
    let set = read(LONG, SeriesTask::Classify);
    assert_eq!((set.channels.join(" "), set.classes.join(" ")), ("ax ay".into(), "rest walk".into()));
    assert_eq!(
        content(&set),
        [
            ("w1".into(), vec![1.0, -1.0, 2.0, -2.0], Target::Class(1)),
            ("r1".into(), vec![3.0, -3.0, 4.0, -4.0, 5.0, -5.0], Target::Class(0))
        ]
    );
    let words = "a row a time step, series column id, label column label, time column time, channels in columns ax, ay";
    assert_eq!(set.layout, words);
    // In another order, with other columns beside.
    let other = "activity,series,gx,note,ay,ax\nwalk,w1,9,hello you,-1,1\nrest,r1,9,x,-3,3\n";
    let reading = columns(|columns| columns.channels = vec!["ax".into(), "5".into()]);
    let set = load_bytes("a.csv", other.as_bytes(), &reading).unwrap();
    assert_eq!((set.channels.join(" "), set.series[1].frames.to_vec()), ("ax ay".into(), vec![3.0, -3.0]));
    assert!(set.layout.ends_with("channels in columns ax, ay, ignored gx, note"), "{}", set.layout);
}

#[test]
fn columns_are_named_by_options_with_a_header_or_without_one() {
    let text = "w1;1;-1;walk\nw1;2;-2;walk\nr1;3;-3;rest\n";
    let reading = columns(|columns| {
        columns.series = Some("1".into());
        columns.labels = vec!["4".into()];
    });
    let set = load_bytes("a.csv", text.as_bytes(), &reading).unwrap();
    assert_eq!((set.series.len(), set.channels.join(" ")), (2, "2 3".into()));
    assert!(set.layout.contains("no header") && set.layout.contains("separated by semicolons"), "{}", set.layout);
    for (change, words) in [
        (columns(|columns| columns.series = Some("trial".into())), "--series-column: "),
        (columns(|columns| columns.labels = vec!["9".into()]), "--label-column: "),
        (columns(|columns| columns.time = Some("when".into())), "--time-column: "),
        (columns(|columns| columns.channels = vec!["az".into()]), "--channels: "),
    ] {
        let message = fault_of("a.csv", LONG, &change);
        assert!(
            message.starts_with(words) && message.contains("its columns are 1 (\"id\"), 2 (\"time\")"),
            "{message}"
        );
    }
}

#[test]
fn labels_of_steps_may_change_within_a_series() {
    let text = "label,ax\nrest,1\nrest,2\nwalk,3\n";
    let set = read(text, SeriesTask::Tag);
    assert_eq!(content(&set), [("1".into(), vec![1.0, 2.0, 3.0], Target::Classes(vec![0, 0, 1]))]);
    let message = refusal(text, SeriesTask::Classify);
    assert!(
        message
            .contains("a.csv:4: the label changes from \"rest\" to \"walk\" within a series, which begins in line 2"),
        "{message}"
    );
    assert!(message.contains("--task tag") && message.contains("--series-column"), "{message}");
    let set = read("target,ax\n0.5,1\n1.5,2\n", SeriesTask::RegressEach);
    assert_eq!(
        (set.series[0].target.clone(), set.outputs.join(" ")),
        (Target::EachValues(vec![0.5, 1.5]), "target".into())
    );
    let reading = SeriesReading {
        task: SeriesTask::RegressEach,
        ..columns(|columns| columns.labels = vec!["u".into(), "v".into()])
    };
    let set = load_bytes("a.csv", b"u,v,ax\n1,2,0\n3,4,9\n", &reading).unwrap();
    assert_eq!(
        (set.series[0].target.clone(), set.outputs.join(" ")),
        (Target::EachValues(vec![1.0, 2.0, 3.0, 4.0]), "u v".into())
    );
    assert_eq!(set.channels, ["ax"]);
    assert!(refusal("label,ax\nrest,1\n,2\n", SeriesTask::Tag).contains("a.csv:3: the label is empty"));
}

#[test]
fn a_series_to_forecast_needs_no_label_and_its_months_are_no_channel() {
    let set = read("Month,passengers\nJan-49,112\nFeb-49,118\n", SeriesTask::Forecast);
    assert_eq!(
        (set.channels.join(" "), content(&set)),
        ("passengers".into(), vec![("1".into(), vec![112.0, 118.0], Target::None)])
    );
    assert_eq!(set.layout, "a row a time step, time column Month, channel in column passengers");
    let set = read(",Quarter,Income\n1,1970 Q1,0.5\n2,1970 Q2,0.7\n", SeriesTask::Forecast);
    assert!(set.layout.contains("time column Quarter") && set.channels == ["Income"], "{}", set.layout);
    assert_eq!(read("112\n118\n132\n", SeriesTask::Forecast).series[0].frames.to_vec(), [112.0, 118.0, 132.0]);
    let set = read("when,what,load\na,x,1\nb,y,2\n", SeriesTask::Forecast);
    assert!(set.layout.contains("time column when") && set.layout.contains("ignored what"), "{}", set.layout);
}

#[test]
fn a_label_behind_the_counted_columns_is_no_step_of_a_series_that_is_to_be_answered() {
    let answer = SeriesReading::to_answer(1);
    for (text, expected) in [
        ("t0,t1,t2,power\n0.5,1.5,2.5,7.5\n3.5,4.5,5,8\n", "a row a series, values in columns t0 to t2"),
        ("id,t0,t1,t2,power\n1,0.5,1.5,2.5,7.5\n2,3.5,4.5,5,8\n", "a row a series, values in columns t0 to t2"),
        ("t0,t1,t2\n0.5,1.5,2.5\n3.5,4.5,5\n", "a row a series, values in columns t0 to t2"),
        // A first column that is not counted may be read as in the training.
        ("age,t0,t1,t2\n3,0.5,1.5,2.5\n4,3.5,4.5,5\n", "a row a series, values in columns age to t2"),
    ] {
        let set = load_bytes("a.csv", text.as_bytes(), &answer).unwrap();
        assert!(set.layout.contains("values in columns") && set.layout.ends_with(&expected[16..]), "{}", set.layout);
        let steps = if text.starts_with("age") { 4 } else { 3 };
        assert!(set.series.iter().all(|series| series.steps() == steps), "{text}");
    }
}

#[test]
fn a_row_a_series_has_its_label_in_the_first_or_the_last_column_with_a_header_or_none() {
    let expected = [
        (vec![0.5, 1.5, 2.5], Target::Class(0)),
        (vec![3.5, 4.5, 5.0], Target::Class(1)),
        (vec![0.1, 0.2, 0.3], Target::Class(0)),
    ];
    for text in [
        "1,0.5,1.5,2.5\n2,3.5,4.5,5\n1,0.1,0.2,0.3\n",
        "0.5,1.5,2.5,1\n3.5,4.5,5,2\n0.1,0.2,0.3,1\n",
        "a,0.5,1.5,2.5\nb,3.5,4.5,5\na,0.1,0.2,0.3\n",
        "0.5,1.5,2.5,a\n3.5,4.5,5,b\n0.1,0.2,0.3,a\n",
        "label,0,1,2\n1,0.5,1.5,2.5\n2,3.5,4.5,5\n1,0.1,0.2,0.3\n",
        "t0,t1,t2,class\n0.5,1.5,2.5,1\n3.5,4.5,5,2\n0.1,0.2,0.3,1\n",
        "t0,t1,t2,what\n0.5,1.5,2.5,7\n3.5,4.5,5,8\n0.1,0.2,0.3,7\n",
        "id,label,t0,t1,t2\nx,1,0.5,1.5,2.5\ny,2,3.5,4.5,5\nz,1,0.1,0.2,0.3\n",
    ] {
        let set = read(text, SeriesTask::Classify);
        let found: Vec<_> = set.series.iter().map(|series| (series.frames.to_vec(), series.target.clone())).collect();
        assert_eq!(found, expected, "{text}\n{}", set.layout);
        assert!(set.layout.starts_with("a row a series, "), "{}", set.layout);
    }
    let set = read("label,0,1,2\n1,0.5,1.5,2.5\n2,3.5,4.5,5\n", SeriesTask::Classify);
    assert_eq!(set.layout, "a row a series, label column label, values in columns 0 to 2");
    let message = refusal("1,2,3,1\n2,5,6,2\n1,8,9,2\n", SeriesTask::Classify);
    assert!(message.contains("not clear whether the label stands in the first or in the last column"), "{message}");
    let reading = columns(|columns| columns.labels = vec!["4".into()]);
    assert_eq!(
        load_bytes("a.csv", b"1,2,3,1\n2,5,6,2\n1,8,9,2\n", &reading).unwrap().series[1].frames.to_vec(),
        [2.0, 5.0, 6.0]
    );
    let reading = SeriesReading { task: SeriesTask::Regress, ..columns(|columns| columns.labels = vec!["1".into()]) };
    let set = load_bytes("a.csv", b"0.5,2,3\n0.7,5,6\n", &reading).unwrap();
    assert_eq!(set.series[1].target, Target::Values(vec![0.7]));
}

#[test]
fn a_first_row_of_numbers_that_count_is_a_series_and_a_longer_one_names_the_columns() {
    let set = read("1,2,3,4.5\n2,5,6,7.5\n1,8,9,3.5\n", SeriesTask::Classify);
    assert_eq!(set.series.len(), 3);
    let set = read("0,1,2,3,4,5,6,7\n1,0,1,0,1,0,1,0.5\n2,0,1,0,1,0,1,0.5\n1,0,1,0,3,0,1,0.5\n", SeriesTask::Forecast);
    assert_eq!((set.series.len(), set.layout.as_str()), (3, "a row a series, values in columns 0 to 7"));
}

#[test]
fn a_shorter_series_ends_in_empty_cells_and_a_ragged_row_is_refused() {
    let set = read("1,0.5,1.5,2.5\n2,3.5,,\n1,0.1,0.2,\n", SeriesTask::Classify);
    assert_eq!((set.lengths(), set.series[1].frames.to_vec()), ((1, 3), vec![3.5]));
    let message = refusal("1,0.5,1.5,2.5\n2,3.5\n1,0.2,0.3,0.4\n", SeriesTask::Classify);
    assert!(message.contains("a.csv:2: the row has 2 cells where the first one has 4"), "{message}");
    let message = refusal("id,ax,label\n1,0,5,a\n1,1,5,a\n", SeriesTask::Classify);
    assert!(
        message.contains("a.csv:2: the row has 4 cells where the first one has 3") && message.contains("decimal comma"),
        "{message}"
    );
    assert!(
        refusal("1,0.5,1.5,2.5\n2,3.5,,4\n1,0.1,0.2,0.3\n", SeriesTask::Classify)
            .contains("a.csv:2: the value of column 3 is missing")
    );
    assert!(
        refusal("1,0.5,1.5,2.5\n2,,,\n1,0.1,0.2,0.3\n", SeriesTask::Classify).contains("a.csv:2: the row has no value")
    );
}

#[test]
fn without_a_header_a_first_series_that_is_shorter_than_others_cuts_none_of_them() {
    let set = read("a,1.5,2.5,,\nb,3.5,4.5,5.5,6.5\na,0.5,0.25,0.125,\n", SeriesTask::Classify);
    let lengths: Vec<usize> = set.series.iter().map(|series| series.frames.steps()).collect();
    assert_eq!(lengths, [2, 4, 3], "{}", set.layout);
}

#[test]
fn a_wrong_cell_is_named_by_file_line_and_column() {
    let message = refusal(&LONG.replace("4,-4", "4,x4"), SeriesTask::Classify);
    assert!(message.contains("a.csv:5: the value of column 4 (ay) is no finite number: \"x4\""), "{message}");
    let message = refusal(&LONG.replace("4,-4", ",-4"), SeriesTask::Classify);
    assert!(
        message.contains("a.csv:5: the value of column 3 (ax) is missing") && message.contains("--missing hold"),
        "{message}"
    );
    assert!(
        refusal(&LONG.replace("4,-4", "inf,-4"), SeriesTask::Classify)
            .contains("a.csv:5: the value of column 3 (ax) is no finite number")
    );
    let message = refusal("1,0.5,1.5,2.5\n2,3.5,oops,5\n1,0.1,0.2,0.3\n", SeriesTask::Classify);
    assert!(message.contains("a.csv:2: the value of column 3 is no finite number"), "{message}");
    let reading = SeriesReading::default().filling(Missing::Hold);
    let set = load_bytes("a.csv", LONG.replace("4,-4", "NaN,-4").as_bytes(), &reading).unwrap();
    assert_eq!(set.series[1].frames.to_vec(), [3.0, -3.0, 3.0, -4.0, 5.0, -5.0]);
}

#[test]
fn a_decimal_comma_is_read_between_semicolons_and_refused_with_a_remedy_between_commas() {
    let set = read("id;ax;label\n1;0,5;a\n1;-1,25;a\n2;3;b\n", SeriesTask::Classify);
    assert_eq!(set.series[0].frames.to_vec(), [0.5, -1.25]);
    assert!(set.layout.ends_with("separated by semicolons, decimal comma"), "{}", set.layout);
    let message = refusal("id,ax,label\n1,\"0,5\",a\n2,\"1,5\",b\n", SeriesTask::Classify);
    assert!(
        message.contains("a.csv:2: the value of column 2 (ax) is no finite number") && message.contains("semicolons"),
        "{message}"
    );
    let message = refusal("id;ax;label\n1;0,5;a\n1;1.234;a\n2;3;b\n", SeriesTask::Classify);
    assert!(message.contains("a.csv:3: ") && message.contains("line 2 has ',' as its decimal mark"), "{message}");
}

#[test]
fn line_ends_of_windows_a_byte_order_mark_and_tabs_change_nothing() {
    let plain = read(LONG, SeriesTask::Classify);
    for text in [
        LONG.replace('\n', "\r\n"),
        format!("\u{feff}{LONG}"),
        LONG.replace(',', "\t"),
        LONG.replace('\n', "\n\n"),
        LONG.replace(',', " , "),
    ] {
        assert_eq!(read(&text, SeriesTask::Classify).sha256, plain.sha256, "{text}");
    }
}

#[test]
fn an_empty_file_and_a_header_alone_are_refused() {
    for text in ["", "\n\n", "id,ax,label\n", "\u{feff}"] {
        for task in [SeriesTask::Classify, SeriesTask::Forecast] {
            assert!(refusal(text, task).contains("there is no series in it"), "{text:?}");
        }
    }
}

#[test]
fn two_series_with_one_id_are_refused_and_named() {
    let text = "id,ax,label\nw1,1,a\nr1,2,b\nw1,3,a\n";
    let message = refusal(text, SeriesTask::Classify);
    assert!(
        message.contains("a.csv:4: the series \"w1\" comes again: its rows from line 2 on have ended"),
        "{message}"
    );
    let message = refusal("id,label,t0,t1,t2\nx,1,0.5,1.5,2.5\ny,2,3.5,4.5,5\nx,1,0.1,0.2,0.3\n", SeriesTask::Classify);
    assert!(
        message.contains("a.csv:4: two series are called \"x\": this one and that at") && message.contains("a.csv:2;"),
        "{message}"
    );
}

#[test]
fn one_sample_a_series_and_one_series_are_read() {
    let set = read("id,ax,label\n1,5,a\n2,6,b\n", SeriesTask::Classify);
    assert_eq!((set.lengths(), set.notes.join("")), ((1, 1), "2 of 2 series have one step".into()));
    let set = load_bytes("a.csv", b"id,ax,label\n1,5,a\n1,6,a\n", &SeriesReading::default());
    assert!(set.unwrap_err().to_string().contains("all 1 labels are \"a\""));
}

#[test]
fn a_time_that_goes_back_within_a_series_is_refused() {
    let message = refusal("time,ax\n0,1\n1,2\n0,3\n", SeriesTask::Forecast);
    assert!(message.contains("a.csv:4: the time goes back from 1 to 0 in column 1 (time)"), "{message}");
}

#[test]
fn a_table_in_which_the_label_or_the_channels_are_not_clear_is_refused_with_its_columns() {
    let message = refusal("id,ax,place,mood\n1,5,a,x\n2,6,b,y\n", SeriesTask::Classify);
    assert!(message.contains("which column has the label; the columns are 1 (\"id\"), 2 (\"ax\")"), "{message}");
    assert!(refusal("id,ax\n1,5\n2,6\n", SeriesTask::Classify).contains("say it with --label-column"));
    assert!(refusal("id,label\n1,a\n2,b\n", SeriesTask::Classify).contains("--channels"));
}

#[test]
fn a_million_steps_are_read_from_either_layout() {
    let long: String = std::iter::once("time,load\n".to_owned())
        .chain((0..1_000_000).map(|step| format!("{step},{}\n", step % 97)))
        .collect();
    assert_eq!(read(&long, SeriesTask::Forecast).lengths(), (1_000_000, 1_000_000));
    let wide = "0.25,".repeat(999_999) + "0.5\n";
    assert_eq!(read(&wide, SeriesTask::Forecast).lengths(), (1_000_000, 1_000_000));
}

#[test]
fn a_folder_of_classes_has_a_recording_in_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("walk/1.csv", "time,ax,ay\n0,1,2\n1,3,4\n");
    write("walk/2.csv", "time,ax,ay\n0,5,6\n");
    write("rest/1.csv", "time,ax,ay\n0,7,8\n");
    write("README.md", "hello");
    let read = || load(folder.path(), Part::Train, &SeriesReading::default());
    let set = read().unwrap();
    assert_eq!((set.classes.join(" "), set.channels.join(" ")), ("rest walk".into(), "ax ay".into()));
    assert_eq!(content(&set)[1], ("walk/1.csv".into(), vec![1.0, 2.0, 3.0, 4.0], Target::Class(1)));
    assert!(set.layout.starts_with("one folder for each class, a row a time step, time column time"), "{}", set.layout);
    assert!(looks_like_series(folder.path(), Part::Train));
    write("rest/2.csv", "time,ax\n0,7\n");
    let error = read().unwrap_err();
    assert_eq!(exit_code(&error), 2);
    assert!(
        error.to_string().contains("2.csv: its channels are ax, and those of ")
            && error.to_string().contains("are ax, ay"),
        "{error}"
    );
    let error = load(folder.path(), Part::Train, &SeriesReading::of(SeriesTask::Regress)).unwrap_err();
    assert!(error.to_string().contains("has no other labels than those"), "{error}");
}

fn wav(path: &std::path::Path, rate: u32, samples: &[i16]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec =
        hound::WavSpec { channels: 2, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

#[test]
fn sounds_in_folders_of_classes_are_read_in_parts_of_the_full_scale() {
    let folder = tempfile::tempdir().unwrap();
    for (class, value) in [("no", 16_384), ("yes", -32_768)] {
        wav(&folder.path().join("train").join(class).join("a.wav"), 8_000, &[value, 1, 0, value]);
    }
    let read = |reading: &SeriesReading| load(folder.path(), Part::Train, reading);
    let set = read(&SeriesReading::default()).unwrap();
    assert_eq!(content(&set)[1], ("yes/a.wav".into(), vec![-1.0, 1.0 / 32_768.0, 0.0, -1.0], Target::Class(1)));
    assert_eq!((set.layout.as_str(), set.channels.join(" ")), ("one folder for each class, 8000 Hz", "1 2".into()));
    let one = read(&columns(|columns| columns.channels = vec!["2".into()])).unwrap();
    assert_eq!(one.series[0].frames.to_vec(), [1.0 / 32_768.0, 0.5]);
    wav(&folder.path().join("train/yes/b.wav"), 16_000, &[0; 4]);
    let message = read(&SeriesReading::default()).unwrap_err().to_string();
    assert!(message.contains("b.wav: it has 16000 Hz, and ") && message.contains("has 8000 Hz"), "{message}");
    let path = folder.path().join("train/yes/b.wav");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 10, 43, whole.len() - 3] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = load(&path, Part::Train, &SeriesReading::of(SeriesTask::Forecast)).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{length}: {error:?}");
    }
}

#[test]
fn tables_of_texts_are_told_from_tables_of_series() {
    let looks = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.csv");
        std::fs::write(&path, text).unwrap();
        assert_eq!(looks_like_series(folder.path(), Part::Train), looks_like_series(&path, Part::Train));
        looks_like_series(&path, Part::Train)
    };
    for series in [
        LONG,
        "1,0.5,1.5\n2,3.5,4.5\n",
        "Month,passengers\nJan-49,112\nFeb-49,118\n",
        "label,t0,t1,t2\na,1,2,3\n",
        "date;load\n2020-01-01;1,5\n",
        "datetime_gmt,solar\n2021-05-01 00:00:00+00:00,1\n2021-05-01 00:30:00+00:00,2\n",
        ",Quarter,Income\n1,1970 Q1,0.5\n2,1970 Q2,0.7\n",
    ] {
        assert!(looks(series), "{series}");
    }
    for texts in [
        "label,text\nham,hello\nspam,win\n",
        "text,label\na fine film,1\na bad one,0\n",
        "1,a fine film\n0,a bad one\n",
        "name,language\nAdamos,Greek\nNovak,Czech\n",
        "id,text,stars\n1,good,5\n2,bad,1\n",
        "v1,v2,v3,v4\nham,hello you there,,\nspam,win a prize,,\n",
        "",
    ] {
        assert!(!looks(texts), "{texts}");
    }
}
