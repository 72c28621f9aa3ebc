use super::*;
use proptest::prelude::*;
use std::{fs::OpenOptions, io::Write as _};

/// Rules of the specification and of the reference implementation's test list.
const RULES: &str = r#"version: 1
name: "Test"
hints:
  gateway_status: 451
---
# by CID: any with that multihash
/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq gateway_status=410

/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/*
/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test*
/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test/*
/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked*
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not
!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions*
/ipns/domain.example
/ipns/domain2.example/path
/ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf
//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7
//6ef262a67f2c7caa9722b0fe46aced2f1559c749eab2bcf2f2701f43f802e900
//fb5a70b1aade810d21e8195a0da05f40ebd099e4b4d6bf088dc604e4fcf34263
//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572
//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM
//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX
//QmX6zeaAb8mC285YbXe4ac7LmX3jvrHBiFrw8kNnCM1bk4
//QmcwfDuZYijxztHVR7w71WtdDaETsrGUU3ARWbNiYD3Hhp
//QmdGtYErkPjfpUPjVMUypoX8XTE9PUTBBF6KE9AwWaBs1e
//QmQouNeftXbxGRt4U8s838diCuMPPHCfpHTR5w8bRREs9d
/ipfs/bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am/a%20b/c%2A
"#;

/// Empty things that half of the network is made of.
const SAFE: &str = "\
/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn
/ipfs/bafyaabakaieac
/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku
/ipfs/bafkqaaa
/ipfs/QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH
/ipfs/bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua
/ipfs/baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa
";

const CID: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";

fn path(text: &str) -> Path {
    Path::parse_strict(text).expect("a path")
}

fn cid(text: &str) -> Cid {
    cairn_store::cid::parse(text).expect("a CID")
}

struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new(lists: &[(&str, &str)]) -> Self {
        let folder = Self { dir: tempfile::tempdir().expect("temp dir") };
        lists.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("writes");
    }

    fn append(&self, name: &str, text: &str) {
        let file = OpenOptions::new().append(true).open(self.dir.path().join(name));
        file.expect("opens").write_all(text.as_bytes()).expect("writes");
    }

    fn open(&self) -> Arc<Denylists> {
        Denylists::open(vec![self.dir.path().to_owned()])
    }
}

#[test]
fn the_rules_of_the_specification_block_what_it_says() {
    let lists = Folder::new(&[("test.deny", RULES)]).open();
    for blocked in [
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "/ipfs/bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "/ipfs/QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/a/b",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/z/",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test/one",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test2",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test/one",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked2",
        "/ipns/domain.example",
        "/ipns/DOMAIN.example.",
        "/ipns/domain-example",
        "/ipns/domain2.example/path",
        "/ipns/domain2-example/path/",
        "/ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf",
        "/ipns/bafzaajaiaejcaotjfs57kieazxny5japcmy5p2pgv2cic77tu6ogghttvurnrufx",
        "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01dlniq",
        "/ipns/bafzaajaiaejca3vrvdzmu4qntwa2pn6apsd4ug5k63ckdyhnd3g6vdvgvujdw62s",
        "/ipns/very-bad-example.eth",
        "/ipns/very-bad-example.eth/",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path",
        "/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path",
        "/ipfs/f01701e20903cf61d46521b05f926ba1634628d0bba8a7ffb5b6d5a3ca310682ca63b5ef0/path",
        "/ipns/my.domain.com",
        "/ipns/my.domain2.com/path",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01dabcd",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01d1234/mypath",
        "/ipns/bafzaajaiaejca3vrvdzmu4qntwa2pn6apsd4ug5k63ckdyhnd3g6vdvgvujczuoq/mypath",
        "/ipfs/bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am/a b/c*",
        "/ipld/QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
    ] {
        assert!(lists.check_path(&path(blocked)).is_some(), "{blocked} is let through");
    }
    for allowed in [
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq/sub2",
        "/ipfs/QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo/sub4",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/tes",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/one/test",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions2",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions/one",
        "/ipns/domainaefa.example",
        "/ipns/domain.example/path",
        "/ipns/domain--example",
        "/ipns/domain2.example",
        "/ipns/domain2.example/path2",
        "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA/path",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path2",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path2",
        "/ipns/my.domain2.com/path2",
        "/ipns/k51qzi5uqu5dixwsch9wpd9rolqby1m0uqj5hhxwtxal0dwltastfmh01d1234/mypath2",
        "/ipfs/bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am/a b/c",
    ] {
        assert_eq!(lists.check_path(&path(allowed)), None, "{allowed}");
    }
}

#[test]
fn blocks_are_checked_by_multihash_and_by_double_hash() {
    let lists = Folder::new(&[("test.deny", RULES)]).open();
    for blocked in [
        "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
        "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e",
        "bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja",
        "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR",
        "QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8",
    ] {
        assert!(lists.check_cid(&cid(blocked)).is_some(), "{blocked}");
    }
    for allowed in [CID, "Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2"] {
        assert_eq!(lists.check_cid(&cid(allowed)), None, "{allowed}");
    }
    let safe = Folder::new(&[("safe.deny", SAFE)]).open();
    assert_eq!(safe.rules(), 0);
}

#[test]
fn the_status_is_the_lists_unless_the_rule_has_its_own() {
    let folder = Folder::new(&[("test.deny", RULES)]);
    let lists = folder.open();
    let own = lists.check_cid(&cid("QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo")).expect("blocked");
    assert_eq!((own.status.code(), own.line), (410, 7));
    assert_eq!(own.list, folder.dir.path().join("test.deny"));
    let all = lists.check_path(&path("/ipns/domain.example")).expect("blocked");
    assert_eq!((all.status.code(), all.line), (451, 16));
    for (header, hints, code) in [
        ("", "", 410),
        ("", " gateway_status=451", 451),
        ("", " a=b gateway_status:451 c", 451),
        ("", " gateway_status=200", 410),
        ("hints: {a: b, gateway_status: \"451\"}\n---\n", "", 451),
        ("hints:\n  gateway_status: 451\nauthor: x\n---\r\n", " gateway_status=410", 410),
        ("other:\n  gateway_status: 451\n---\n", "", 410),
    ] {
        let list = Folder::new(&[("a.deny", &format!("{header}/ipfs/{CID}{hints}\n"))]).open();
        assert_eq!(list.check_cid(&cid(CID)).expect("blocked").status.code(), code, "{header:?} {hints:?}");
    }
}

#[test]
fn the_last_rule_that_matches_counts_in_one_list_and_in_all() {
    let rule = format!("/ipfs/{CID}\n");
    let allow = format!("!{rule}");
    for (lists, blocked) in [
        (vec![("a.deny", format!("{rule}{allow}"))], false),
        (vec![("a.deny", format!("{allow}{rule}"))], true),
        (vec![("a.deny", rule.clone()), ("b.deny", allow.clone())], false),
        (vec![("b.deny", rule.clone()), ("a.deny", allow.clone())], true),
        (vec![("a.deny", format!("/ipfs/{CID}/*\n{allow}"))], false),
        (vec![("a.deny", format!("{allow}/ipfs/{CID}/*\n"))], true),
        (vec![("a.txt", rule.clone())], false),
        // The last line needs no end.
        (vec![("a.deny", format!("/ipfs/{CID}"))], true),
    ] {
        let lists: Vec<(&str, &str)> = lists.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(Folder::new(&lists).open().check_cid(&cid(CID)).is_some(), blocked, "{lists:?}");
    }
}

#[test]
fn bad_lines_are_told_and_the_others_count() {
    let other = "QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo";
    let mut list = format!("/ipfs/nonsense\n/foo/bar\nhello\n//xyz\n/ipns/\n//{}\n", "0".repeat(63)).into_bytes();
    list.extend_from_slice(b"\xff\xfe\n");
    list.extend(vec![b'/'; list::MAX_LINE + 5]);
    list.extend_from_slice(format!("\n/ipfs/{CID}\n").as_bytes());
    let (rules, warnings) = lint(&list);
    assert_eq!(rules, 1, "{warnings:#?}");
    for (line, what) in [
        (1, "no CID"),
        (2, "begins with"),
        (3, "begins with"),
        (4, "neither"),
        (5, "begins"),
        (6, "neither"),
        (7, "UTF-8"),
        (8, "more than"),
    ] {
        let start = format!("line {line}: ");
        assert!(
            warnings.iter().any(|warning| warning.starts_with(&start) && warning.contains(what)),
            "{line}: {warnings:#?}"
        );
    }
    let new = format!("version: 2\n---\n/ipfs/{other}\n");
    assert_eq!(lint(new.as_bytes()).0, 0, "a version that is not known");
    // Without an end within its bounds there is no header.
    let long = format!("a: b\n{}\n---\n/ipfs/{other}\n", "#".repeat(list::MAX_HEADER));
    let (rules, warnings) = lint(long.as_bytes());
    assert_eq!((rules, warnings.len()), (1, 2), "{warnings:?}");
}

#[test]
fn changes_of_lists_are_taken_over() {
    let other = "QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo";
    let folder = Folder::new(&[("b.deny", &format!("/ipfs/{CID}\n"))]);
    let lists = folder.open();
    let state = || {
        // Two looks that find the same.
        lists.poll();
        lists.poll();
        [CID, other].map(|text| lists.check_cid(&cid(text)).is_some())
    };
    assert_eq!(state(), [true, false]);
    folder.append("b.deny", &format!("!/ipfs/{CID}\n/ipfs/{other}"));
    assert_eq!(state(), [false, true], "appended");
    folder.append("b.deny", "/a\n");
    assert_eq!(state(), [false, false], "the last line went on");
    folder.write("b.deny", &format!("/ipfs/{CID}\n#{}\n", "x".repeat(500)));
    assert_eq!(state(), [true, false], "written anew");
    folder.write("a.deny", &format!("!/ipfs/{CID}\n/ipfs/{other}\n"));
    assert_eq!(state(), [true, true], "an earlier list came");
    assert_eq!(lists.check_cid(&cid(CID)).expect("blocked").list, folder.dir.path().join("b.deny"));
    folder.append("a.deny", &format!("!/ipfs/{CID}\n"));
    assert_eq!(state(), [true, true], "a rule of an earlier list does not come after those of a later one");
    fs::remove_file(folder.dir.path().join("b.deny")).expect("removes");
    assert_eq!(state(), [false, true], "a list went");
    fs::remove_dir_all(folder.dir.path()).expect("removes");
    assert_eq!(state(), [false, false], "all went");
}

#[test]
fn a_list_that_is_being_written_blocks_what_it_did() {
    let folder = Folder::new(&[("a.deny", &format!("/ipfs/{CID}\n")), ("b.deny", "/ipns/example.org\n")]);
    let lists = folder.open();
    let blocked = || {
        lists.poll();
        lists.check_cid(&cid(CID)).is_some()
    };
    assert!(blocked());
    let steps = ["", "# a comment\n", &format!("# a comment\n/ipfs/{CID}\n")];
    for step in steps {
        folder.write("a.deny", step);
        assert!(blocked(), "after {step:?} was written");
    }
    assert!(blocked() && blocked());
    // A list that is there, and can't be read.
    let path = folder.dir.path().join("a.deny");
    fs::remove_file(&path).expect("removes");
    fs::create_dir(&path).expect("creates");
    assert!(blocked() && blocked() && blocked(), "nobody took the rule back");
    fs::remove_dir(&path).expect("removes");
    assert!(blocked(), "one look may fall between two writes");
    assert!(!blocked(), "the list is gone");
}

#[test]
fn appended_lines_do_not_make_everything_be_read_again() {
    let folder = Folder::new(&[("a.deny", &format!("/ipfs/{CID}\n"))]);
    let lists = folder.open();
    folder.append("a.deny", "/ipns/example.org\n");
    let mut rules = Vec::new();
    assert!(lists.lists.lock()[0].appended(0, &mut rules));
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].1.line(), 2);
}

proptest! {
    /// Any cut of a list into pieces gives the same rules and warnings.
    #[test]
    fn pieces_do_not_matter(
        lines in prop::collection::vec(prop_oneof![
            Just("---".to_owned()), Just("version: 1".to_owned()), Just(format!("/ipfs/{CID}/x*")), Just(String::new()),
            Just("!/ipns/a.example".to_owned()), Just("# x".to_owned()), "[ -~]{0,12}"], 0..9),
        cut in 0usize..300,
    ) {
        let text = lines.join("\n");
        let cut = cut.min(text.len());
        let read = |pieces: &[&[u8]]| {
            let (mut rules, mut bad) = (Vec::new(), Vec::new());
            let mut parser = list::Parser::default();
            for piece in pieces {
                parser.feed(piece, &mut |rule, line, what| rules.push((rule, line, what)), &mut |line, what| bad.push((line, what)));
            }
            parser.finish(&mut |rule, line, what| rules.push((rule, line, what)), &mut |line, what| bad.push((line, what)));
            (rules, bad)
        };
        prop_assert_eq!(read(&[text.as_bytes()]), read(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]));
    }
}
