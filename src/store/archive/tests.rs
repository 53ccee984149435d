//! Archives of a few records, every bit of them.

use std::io::BufReader;

use super::{ArchiveError, ArchiveFile, Existing, Fault, Reader, References, Summary, Writer};
use crate::store::record::Record;

const PERSON: &str = r#"{"kind":"person","userId":"000102030405060708090aff","email":"e","name":"Zoë","username":"u","provider":"sms","role":"USER","emailVerified":true,"callerMetadata":{"a":1.10},"blocked":false,"firstContact":"1970-01-01T00:00:00.000Z","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z"}"#;
const NOTICE: &str = r#"{"kind":"notice","userId":"000102030405060708090aff","key":"balance","givenAt":"2026-11-22T12:00:00.007Z"}"#;
const GRAPH: &str = r#"{"kind":"graph","userId":"000102030405060708090aff","lastItem":2,"entities":1,"observations":1,"relations":0}"#;
const ENTITY: &str = r#"{"kind":"entity","userId":"000102030405060708090aff","number":1,"name":"Tea","type":"thing","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z"}"#;
const OBSERVATION: &str = r#"{"kind":"observation","userId":"000102030405060708090aff","number":2,"entity":1,"text":"green","createdAt":"1970-01-01T00:00:00.000Z"}"#;
const MARK: &str = r#"{"kind":"mark","name":"catch-up","moment":"2026-11-22T12:00:00.007Z"}"#;

fn record(json: &str) -> Record {
    Record::from_json(json).unwrap()
}

fn archive(lines: &[&str]) -> (Vec<u8>, Summary) {
    let mut writer = Writer::begin(Vec::new()).unwrap();
    for line in lines {
        writer.add(&record(line)).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<(Vec<Record>, Summary), ArchiveError> {
    let mut reader = Reader::begin(BufReader::new(bytes))?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok((records, reader.summary().unwrap().clone()))
}

fn faults(lines: &[&str]) -> Vec<Fault> {
    let (mut references, mut faults) = (References::default(), Vec::new());
    for line in lines {
        references.take(&record(line), &mut |fault| faults.push(fault));
    }
    references.end(&mut |fault| faults.push(fault));
    faults
}

#[test]
fn what_was_written_is_read_and_equal_records_give_equal_bytes() {
    let lines = [MARK, PERSON, NOTICE, GRAPH, ENTITY, OBSERVATION];
    let (bytes, written) = archive(&lines);
    let (records, summary) = read(&bytes).unwrap();
    assert_eq!(records, lines.map(record));
    assert_eq!(summary, written);
    assert_eq!((summary.records, summary.bytes), (6, bytes.len() as u64));
    assert_eq!(archive(&lines).0, bytes);
    assert_eq!(read(&archive(&[]).0).unwrap().0, []);
}

#[test]
fn a_bit_flipped_anywhere_is_found_and_its_line_named() {
    let (bytes, _summary) = archive(&[MARK, PERSON, NOTICE]);
    for position in 0..bytes.len() {
        let line = 1 + String::from_utf8_lossy(&bytes[..position]).matches('\n').count() as u64;
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            match read(&flipped) {
                Err(ArchiveError::Damaged { line: named, .. }) => assert_eq!(named, line, "byte {position}, bit {bit}"),
                // The head no longer says what this is.
                Err(ArchiveError::Unsupported(_)) => assert_eq!(line, 1, "byte {position}, bit {bit}"),
                other => panic!("byte {position}, bit {bit} went unnoticed: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_cut_lost_doubled_moved_or_added_is_found() {
    let (bytes, _summary) = archive(&[MARK, PERSON, NOTICE]);
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "cut off after {end} bytes");
    }
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let damaged_in = |order: &[usize]| match read(order.iter().map(|line| lines[*line]).collect::<String>().as_bytes()) {
        Err(ArchiveError::Damaged { line, .. }) => line,
        other => panic!("{order:?} went unnoticed: {other:?}"),
    };
    assert_eq!(damaged_in(&[0, 2, 3, 4]), 2);
    assert_eq!(damaged_in(&[0, 1, 3, 2, 4]), 3);
    assert_eq!(damaged_in(&[0, 1, 2, 2, 3, 4]), 4);
    assert_eq!(damaged_in(&[0, 1, 2, 4]), 4);
    assert_eq!(damaged_in(&[0, 1, 2, 3, 4, 4]), 6);
    assert_eq!(damaged_in(&[0, 1, 2, 3]), 5);
}

#[test]
fn what_is_no_archive_or_a_newer_one_is_told_apart_from_a_damaged_one() {
    for other in ["", "hello\n", "{\"format\":\"scrubjay-json\"}\n", "PK\u{3}\u{4}"] {
        assert!(matches!(read(other.as_bytes()), Err(ArchiveError::Unsupported(reason)) if reason.contains("not an archive")), "{other:?}");
    }
    let mut chain = super::format::Chain::default();
    let newer = chain.seal(r#"{"format":"scrubjay-archive","version":2,"schema":1}"#);
    assert!(matches!(read(newer.as_bytes()), Err(ArchiveError::Unsupported(reason)) if reason.contains("newer")));
}

#[test]
fn records_out_of_order_are_neither_written_nor_read() {
    let mut writer = Writer::begin(Vec::new()).unwrap();
    writer.add(&record(PERSON)).unwrap();
    assert!(writer.add(&record(MARK)).is_err());
    assert!(writer.add(&record(PERSON)).is_err());
}

#[test]
fn what_does_not_fit_together_is_told() {
    assert_eq!(faults(&[MARK, PERSON, NOTICE, GRAPH, ENTITY, OBSERVATION]), []);
    let of = |lines: &[&str]| faults(lines).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of(&[NOTICE]), ["notice of 000102030405060708090aff: its person is missing"]);
    assert_eq!(of(&[PERSON, GRAPH, OBSERVATION]).len(), 2, "no entity, and a wrong count");
    assert_eq!(of(&[PERSON, ENTITY]), ["entity of 000102030405060708090aff: its graph is missing"]);
    let twin = PERSON.replace("090aff", "090bff");
    assert_eq!(of(&[PERSON, &twin]), ["person of 000102030405060708090bff: another person has the same user name"]);
}

#[test]
fn a_file_takes_its_name_when_it_is_whole_and_replaces_none_unasked() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let names = || {
        let mut names: Vec<String> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // What a killed process left is in nobody's way.
    std::fs::write(folder.path().join("a.jsonl.part"), "half of something longer").unwrap();
    let mut file = ArchiveFile::create(&path, Existing::Kept).unwrap();
    file.write_all(b"one").unwrap();
    assert_eq!(names(), ["a.jsonl.part"]);
    let busy = ArchiveFile::create(&path, Existing::Kept).unwrap_err();
    assert_eq!(busy.kind(), std::io::ErrorKind::ResourceBusy);
    file.finish().unwrap();
    assert_eq!((names(), std::fs::read(&path).unwrap()), (vec!["a.jsonl".to_owned()], b"one".to_vec()));

    assert_eq!(ArchiveFile::create(&path, Existing::Kept).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    let mut dropped = ArchiveFile::create(&path, Existing::Replaced).unwrap();
    dropped.write_all(b"half").unwrap();
    drop(dropped);
    assert_eq!((names(), std::fs::read(&path).unwrap()), (vec!["a.jsonl".to_owned()], b"one".to_vec()));
    let mut replacing = ArchiveFile::create(&path, Existing::Replaced).unwrap();
    replacing.write_all(b"two").unwrap();
    replacing.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");

    // Somebody was faster.
    let other = folder.path().join("b.jsonl");
    let late = ArchiveFile::create(&other, Existing::Kept).unwrap();
    std::fs::write(&other, "theirs").unwrap();
    assert_eq!(late.finish().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!((names(), std::fs::read(&other).unwrap()), (vec!["a.jsonl".to_owned(), "b.jsonl".to_owned()], b"theirs".to_vec()));
}
