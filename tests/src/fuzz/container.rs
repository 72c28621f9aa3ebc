//! CARs, and cutting files into chunks.

use cairn_store::{
    Block,
    car::{CarReader, Section, write_header, write_section},
    chunker::{Chunker, ChunkerSpec, MAX_CHUNK_SIZE},
};

/// Sections lie one behind the other within the input; a CAR of those that are blocks reads back the same.
pub fn car(data: &[u8]) {
    let Ok(mut reader) = CarReader::open(data) else { return };
    let header = reader.header().clone();
    assert!(header.version == 1 || header.version == 2);
    assert!(header.roots.len() * 7 <= data.len(), "{} roots in {} bytes", header.roots.len(), data.len());
    let mut sections: Vec<Section> = Vec::new();
    let mut end = reader.position();
    while let Ok(Some(section)) = reader.next_section() {
        assert_eq!(section.at, end, "a gap between sections");
        end = reader.position();
        assert!(end - section.at > section.data.len() as u64 && end <= data.len() as u64);
        sections.push(section);
    }
    let blocks: Vec<Block> =
        Block::verify_many(sections.into_iter().map(|s| (s.cid, s.data)).collect()).into_iter().flatten().collect();
    let mut copy = Vec::new();
    write_header(&mut copy, &header.roots).expect("a Vec takes all");
    for block in &blocks {
        write_section(&mut copy, block).expect("a Vec takes all");
    }
    let mut reader = CarReader::open(&copy[..]).expect("what was written is read");
    assert_eq!(reader.header().roots, header.roots);
    for block in &blocks {
        let section = reader.next_section().expect("what was written is read").expect("as many as were written");
        assert_eq!((&section.cid, &section.data), (block.cid(), block.data()));
    }
    assert!(reader.next_section().expect("ends well").is_none());
}

/// The first byte chooses a chunker, the second how the input is handed over. Chunks are never empty nor over
/// the limit, nothing is lost, and the cuts do not depend on the windows that the bytes come in.
pub fn chunker(data: &[u8]) {
    let [kind, step, data @ ..] = data else { return };
    // Repeated, so that short inputs reach the smallest chunks too.
    let data = data.repeat(1 + (16 << 10) / data.len().max(1));
    let spec = match kind % 4 {
        0 => ChunkerSpec::parse("size-1000"),
        1 => ChunkerSpec::parse("rabin-64-256-1024"),
        2 => ChunkerSpec::parse("rabin-16-17-40"),
        _ => Ok(ChunkerSpec::Buzhash),
    };
    let Ok(spec) = spec else { return };
    let whole = cuts(spec, &data, data.len());
    assert_eq!(whole.iter().sum::<usize>(), data.len());
    assert!(whole.iter().all(|&cut| cut > 0 && cut <= spec.max_chunk() && cut <= MAX_CHUNK_SIZE));
    assert_eq!(cuts(spec, &data, 1 + usize::from(*step) * 7), whole, "{spec:?} by {step}");
}

fn cuts(spec: ChunkerSpec, data: &[u8], step: usize) -> Vec<usize> {
    let mut chunker = Chunker::new(spec);
    let (mut start, mut end, mut cuts) = (0, 0, Vec::new());
    loop {
        match chunker.next_cut(&data[start..end], end == data.len()) {
            Some(cut) => {
                start += cut;
                cuts.push(cut);
            }
            None if end == data.len() => return cuts,
            None => end = (end + step).min(data.len()),
        }
    }
}
