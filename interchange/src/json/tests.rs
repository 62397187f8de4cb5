use super::*;

fn refused(text: &str, words: &str) {
    let error = parse(text.as_bytes(), "net").expect_err(words).to_string();
    assert!(error.starts_with("net: ") && error.contains(words), "{error}");
}

#[test]
fn arrays_of_numbers_are_tensors_and_rows_of_different_shapes_are_values() {
    let text =
        r#"{"a":[[1,2.5],[3,-4]],"b":[[[1]],[2]],"c":[],"d":[1,"x"],"e":null,"f":{"g":true},"h":[[1],[2],[3,4]]}"#;
    let mut object = parse(text.as_bytes(), "net").unwrap();
    let tensor = |shape: &[usize], values: &[f32]| Json::Tensor(Tensor { shape: shape.into(), values: values.into() });
    assert_eq!(object.get("a"), Some(&tensor(&[2, 2], &[1.0, 2.5, 3.0, -4.0])));
    assert_eq!(object.get("b"), Some(&Json::Array(vec![tensor(&[1, 1], &[1.0]), tensor(&[1], &[2.0])])));
    assert_eq!(object.get("c"), Some(&Json::Array(Vec::new())));
    assert_eq!(object.get("d"), Some(&Json::Array(vec![Json::Number(1.0), Json::Text("x".into())])));
    assert_eq!((object.get("e"), object.get("z"), object.object("f").is_some()), (None, None, true));
    let keys: Vec<&str> = object.0.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c", "d", "e", "f", "h"]);
    let items = object.take("a").unwrap().into_items().unwrap();
    assert_eq!(items, [tensor(&[2], &[1.0, 2.5]), tensor(&[2], &[3.0, -4.0])]);
    let error = matrix("net", "h".into(), object.take("h"), [3, 1]).unwrap_err().to_string();
    assert!(error.contains("tensor h: its rows differ: row 2 has the shape [2], and the first has [1], but [3, 1]"));
    assert!(object.take("h").is_none());
}

#[test]
fn what_is_no_json_of_a_model_is_refused_with_the_place() {
    refused("", "EOF while parsing a value");
    refused(r#"{"a":[1,2"#, "line 1");
    refused(r#"{"a":NaN}"#, "expected value at line 1 column 6");
    refused("[1,2]", "it holds numbers in the shape [2]");
    refused(r#"{"a":1,"a":2}"#, "the key \"a\" stands twice");
    refused(r#"{"a":1} x"#, "trailing characters");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    refused(&deep, "more than 16 deep");
    refused(&"{\"a\":".repeat(100_000), "more than 16 deep");
    let many = format!("{{\"a\":[{}{{}}]}}", "{},".repeat(MOST_VALUES));
    refused(&many, "more than 65536 values beside its tensors");
    let uneven = format!("{{\"a\":[{}[1,2]]}}", "[1],".repeat(MOST_VALUES));
    refused(&uneven, "more than 65536 values beside its tensors");
    refused(&format!("{{\"a\":{}1{}}}", "[".repeat(5), "]".repeat(5)).replace("1", "\u{1}"), "line 1");
}

#[test]
fn a_long_array_takes_little_more_memory_than_its_numbers() {
    let text = format!("{{\"a\":[{}1]}}", "[1],".repeat(300_000).replace("[1]", "1"));
    let object = parse(text.as_bytes(), "net").unwrap();
    let Some(Json::Tensor(tensor)) = object.get("a") else { panic!("a tensor") };
    assert_eq!((tensor.values.len(), tensor.values.capacity()), (300_001, 300_001));
    assert_eq!(object.get("a").unwrap().clone().into_items(), None);
}

#[test]
fn sizes_are_whole_numbers_within_their_range() {
    let object = parse(br#"{"a":3,"b":0,"c":2.5,"d":"4","e":1e30}"#, "net").unwrap();
    assert_eq!(size("net", "a", object.get("a"), 8), Ok(3));
    for (key, words) in
        [("b", "it is 0"), ("c", "it is 2.5"), ("d", "it is \"4\""), ("e", "from 1 to 8"), ("f", "missing")]
    {
        let error = size("net", key, object.get(key), 8).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&format!("net: {key}")), "{error}");
    }
}
