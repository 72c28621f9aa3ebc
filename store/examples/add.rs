//! scratch
use cairn_store::{blockstore::*, import::*, kv::*, unixfs::profile::Profile, *};
use std::{sync::Arc, time::Instant};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dir = &a[1];
    std::fs::create_dir_all(dir).unwrap();
    let t = Instant::now();
    let only = dir.ends_with("none");
    let kv: Arc<dyn Kv> = Arc::new(RocksKv::open(dir.as_ref()).unwrap());
    let blocks = Arc::new(KvBlocks::open(kv.clone()).unwrap());
    let mut last = None;
    let mut n = 0;
    let mut on_added = |added: Added| {
        n += 1;
        last = Some(added);
        Ok(())
    };
    let mut on_progress = |_| {};
    let mut c = Committer::new(if only { None } else { Some(blocks) }, None, &mut on_added, &mut on_progress);
    let cancel = Default::default();
    let p = match a.get(3) {
        Some(n) => Profile::named(n).unwrap(),
        None => Profile::unixfs_v0_2015(),
    };
    import(vec![Source::Path(a[2].clone().into())], &Options::new(p), &cancel, &mut c).unwrap();
    let t2 = t.elapsed();
    c.finish().unwrap();
    drop(kv);
    println!("{:?} commit {:?} {n} {}", t.elapsed(), t.elapsed() - t2, last.unwrap().cid);
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
