use super::*;

#[test]
fn bytes_are_read_in_three_ways_and_nothing_else_is() {
    assert_eq!(parse_bytes("262144"), Ok(262_144));
    assert_eq!(parse_bytes("256KiB"), Ok(262_144));
    assert_eq!(parse_bytes("2 MiB"), Ok(2_097_152));
    for text in ["", "KiB", "256KB", "-1", "1.5MiB", "0x10", "99999999999999MiB"] {
        assert!(parse_bytes(text).is_err(), "{text}");
    }
}

#[test]
fn times_are_read_with_their_unit_and_nothing_else_is() {
    assert_eq!(microseconds("500us"), Ok(500.0));
    assert_eq!(microseconds("1.5 ms"), Ok(1_500.0));
    assert_eq!(microseconds("1s"), Ok(1e6));
    for text in ["", "500", "us", "-1ms", "0us", "infs", "NaNs"] {
        assert!(microseconds(text).is_err(), "{text}");
    }
}
