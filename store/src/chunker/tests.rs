use super::*;
use proptest::prelude::*;

/// Cuts all of `bytes`, giving the chunker windows that end where `steps` (repeated) says.
fn cuts(spec: ChunkerSpec, bytes: &[u8], steps: &[usize]) -> Vec<usize> {
    let mut chunker = Chunker::new(spec);
    let mut steps = steps.iter().cycle();
    let (mut out, mut start, mut end) = (Vec::new(), 0, 0);
    while start < bytes.len() {
        if let Some(len) = chunker.next_cut(&bytes[start..end], end == bytes.len()) {
            out.push(len);
            start += len;
        } else {
            assert!(end - start < chunker.max_chunk(), "{spec}: no cut in a full window");
            end = (end + steps.next().copied().unwrap_or(1)).min(bytes.len());
        }
    }
    out
}

/// The rule of the Rabin chunker, written down without tables and without rolling.
fn rabin_by_definition(bytes: &[u8], min: usize, avg: usize, max: usize) -> Vec<usize> {
    const POLYNOMIAL: u128 = 17_437_180_132_763_653;
    let mask = (1u128 << avg.ilog2()) - 1;
    let (mut out, mut start) = (Vec::new(), 0);
    for end in 1..=bytes.len() {
        let len = end - start;
        let is_cut = len >= min && {
            let mut value = bytes[end - 16..end].iter().fold(0u128, |v, &b| v << 8 | u128::from(b));
            while value >> 53 != 0 {
                value ^= POLYNOMIAL << (127 - value.leading_zeros() - 53);
            }
            value & mask == 0
        };
        if is_cut || len == max || end == bytes.len() {
            out.push(len);
            start = end;
        }
    }
    out
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    // splitmix64
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56) as u8
        })
        .collect()
}

#[test]
fn sizes_are_cut_exactly() {
    let bytes = noise(10, 1);
    assert_eq!(cuts(ChunkerSpec::Size(4), &bytes, &[3]), [4, 4, 2]);
    assert_eq!(cuts(ChunkerSpec::Size(5), &bytes, &[100]), [5, 5]);
    assert_eq!(cuts(ChunkerSpec::Size(11), &bytes, &[100]), [10]);
    assert_eq!(Chunker::new(ChunkerSpec::Size(4)).next_cut(&[], true), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rabin_keeps_to_its_definition(seed: u64, len in 0usize..6000, min in 16usize..200, more in 1usize..300,
                                     most in 1usize..600, steps in proptest::collection::vec(1usize..700, 1..5)) {
        let (avg, max) = (min + more, min + more + most);
        let bytes = noise(len, seed);
        let got = cuts(ChunkerSpec::Rabin { min, avg, max }, &bytes, &steps);
        prop_assert_eq!(got, rabin_by_definition(&bytes, min, avg, max));
    }

    #[test]
    fn windows_do_not_move_cuts(seed: u64, len in 0usize..1_500_000,
                                steps in proptest::collection::vec(1000usize..400_000, 1..5)) {
        let bytes = noise(len, seed);
        for spec in [ChunkerSpec::Buzhash, ChunkerSpec::Size(77_777), ChunkerSpec::Rabin { min: 30_000, avg: 65_536, max: 100_000 }] {
            prop_assert_eq!(cuts(spec, &bytes, &steps), cuts(spec, &bytes, &[usize::MAX >> 1]));
        }
    }
}

#[test]
fn lanes_find_the_first_cut() {
    // The average is just where four fingerprints run at once; the shortest chunk is not.
    let bytes = noise(3 << 20, 7);
    for (min, avg, max) in [(16, 16_384, 100_000), (5000, 32_768, 60_001), (60_000, 65_536, 70_000)] {
        let got = cuts(ChunkerSpec::Rabin { min, avg, max }, &bytes, &[70_001, 9, 4096]);
        assert_eq!(got, rabin_by_definition(&bytes, min, avg, max));
    }
}

#[test]
fn texts_are_read_as_deployed_nodes_read_them() {
    for (text, spec) in [
        ("", "size-262144"),
        ("default", "size-262144"),
        ("size-1", "size-1"),
        ("size-2096896", "size-2096896"),
        ("rabin", "rabin-87381-262144-393216"),
        ("rabin-48", "rabin-16-48-72"),
        ("rabin-1397930", "rabin-465976-1397930-2096895"),
        ("rabin-16-17-18", "rabin-16-17-18"),
        ("rabin-min:16-avg:32-max:64", "rabin-16-32-64"),
        ("buzhash", "buzhash"),
        ("buzhash-whatever", "buzhash"),
    ] {
        assert_eq!(ChunkerSpec::parse(text).expect(text).to_string(), spec, "{text}");
    }
    let too_large = "chunker parameters may not exceed the maximum chunk size of 2096896";
    for (text, message) in [
        ("sizes-3", "unrecognized chunker option: sizes-3"),
        ("-", "unrecognized chunker option: -"),
        ("size", "incorrect chunker string format (expected size-{size})"),
        ("size--5", "incorrect chunker string format (expected size-{size})"),
        ("size-x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("size-", "strconv.Atoi: parsing \"\": invalid syntax"),
        ("size-99999999999999999999", "strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
        ("size-0", "chunker size must be greater than 0"),
        ("size-2096897", too_large),
        ("rabin-1397932", too_large),
        ("rabin-18446744073709551615", too_large),
        ("rabin-16-32-2096897", too_large),
        ("rabin-47", "rabin min must be greater than 16"),
        ("rabin-15-32-64", "rabin min must be greater than 16"),
        ("rabin-16-16-64", "incorrect format: rabin-min must be smaller than rabin-avg"),
        ("rabin-16-64-64", "incorrect format: rabin-avg must be smaller than rabin-max"),
        ("rabin-avg:16-32-64", "first label must be min"),
        ("rabin-16-min:32-64", "second label must be avg"),
        ("rabin-16-32-avg:64", "final label must be max"),
        ("rabin-1-2", "incorrect format (expected 'rabin' 'rabin-[avg]' or 'rabin-[min]-[avg]-[max]'"),
    ] {
        assert_eq!(ChunkerSpec::parse(text).expect_err(text).to_string(), message, "{text}");
    }
}
