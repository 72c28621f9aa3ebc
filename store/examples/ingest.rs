//! scratch
use cairn_store::{block::*, blockstore::*, kv::*, *};
use std::{io::Read, sync::Arc, time::Instant};
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let t = Instant::now();
    let kv: Arc<dyn Kv> = Arc::new(RocksKv::open(dir.as_ref()).unwrap());
    println!("open {:?}", t.elapsed());
    let blocks = Arc::new(KvBlocks::open(kv.clone()).unwrap());
    let mut f = std::fs::File::open("/tmp/rand1g").unwrap();
    let t = Instant::now();
    let mut hash = std::time::Duration::ZERO;
    let mut put = std::time::Duration::ZERO;
    let mut bulk = blocks.bulk();
    loop {
        let mut buf = vec![0; 4 << 20];
        let n = f.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        let b = bytes::Bytes::from(buf);
        let parts: Vec<_> = (0..n).step_by(262144).map(|i| b.slice(i..(i + 262144).min(n))).collect();
        let h = Instant::now();
        let bl = Block::seal_many(Prefix::v1(0x55), parts).unwrap();
        hash += h.elapsed();
        let h = Instant::now();
        bulk.put_many(bl).unwrap();
        put += h.elapsed();
    }
    let h = Instant::now();
    bulk.commit(Batch::new()).unwrap();
    println!("total {:?} hash {hash:?} put {put:?} commit {:?}", t.elapsed(), h.elapsed());
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
    let t = Instant::now();
    let mut n = 0;
    for e in blocks.list() {
        let (h, _) = e.unwrap();
        let b = blocks.get(&Cid::new_v1(0x55, h)).unwrap().unwrap();
        n += b.data().len();
    }
    println!("read {n} in {:?}", t.elapsed());
    let t = Instant::now();
    drop(blocks);
    drop(kv);
    println!("close {:?}", t.elapsed());
    let t = Instant::now();
    let kv = RocksKv::open(dir.as_ref()).unwrap();
    println!("reopen {:?}", t.elapsed());
    drop(kv);
}
