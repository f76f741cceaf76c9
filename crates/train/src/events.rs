//! Event files that `TensorBoard` reads, next to `metrics.jsonl`.
//!
//! A record is its length (8 bytes), the checksum of the length (4), a message `Event`, and the
//! checksum of the message (4), all little endian; a checksum is CRC-32C, rotated and offset
//! (TensorFlow's `tensorflow/core/lib/io/record_writer.h` and `core/util/event.proto`). Each start of
//! the program writes a file of its own, whose second record says from which step on it counts.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::TrainError;
use super::metrics::StepMetrics;
use korfinsts_base::fs;
use korfinsts_base::protobuf::Message;

/// An event file that is being written.
#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Begins a file after `step`: what earlier files say of later steps no longer counts.
    pub fn begin(folder: &Path, step: usize) -> Result<Self, TrainError> {
        let now = now();
        let name = format!(
            "events.out.tfevents.{:010}.{:09}.korfinsts",
            now.as_secs(),
            now.subsec_nanos()
        );
        let path = folder.join(name);
        let file = fs::create(&path)?;
        let mut events = Self { path, file };
        events.record(Message::default().text(3, "brain.Event:2"))?;
        let start = Message::default().number(1, 1);
        events.record(
            Message::default()
                .number(2, step as i64 + 1)
                .message(7, &start),
        )?;
        Ok(events)
    }

    /// Writes the numbers of a step.
    pub fn write(&mut self, line: &StepMetrics) -> Result<(), TrainError> {
        let mut values = vec![
            (format!("loss/{}", line.kind), line.loss),
            ("learning_rate".to_owned(), line.learning_rate),
            ("gradient_norm".to_owned(), line.gradient_norm),
            ("examples_per_second".to_owned(), line.triplets_per_second),
        ];
        values.extend(line.memory_mib.map(|m| ("memory_mib".to_owned(), m)));
        let masked = line
            .masked
            .map(|n| ("masked_by_guide".to_owned(), n as f32));
        values.extend(masked);
        let scores = line.evaluation.iter();
        values.extend(scores.map(|(name, score)| (format!("dev/{name}"), *score as f32)));
        let summary = values.iter().fold(Message::default(), |summary, (tag, v)| {
            summary.message(1, &Message::default().text(1, tag).float(2, *v))
        });
        let event = Message::default().number(2, line.step as i64);
        self.record(event.message(5, &summary))
    }

    fn record(&mut self, event: Message) -> Result<(), TrainError> {
        let event = event.double(1, now().as_secs_f64()).finish();
        let length = (event.len() as u64).to_le_bytes();
        let parts = [
            &length[..],
            &masked(&length).to_le_bytes(),
            &event,
            &masked(&event).to_le_bytes(),
        ];
        let written = self.file.write_all(&parts.concat());
        Ok(written.map_err(fs::at("write", &self.path))?)
    }
}

fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// The checksum of a record's part.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), as RFC 3720 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| shifted(crc))
    });
    !crc
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use korfinsts_base::protobuf::{Payload, Reader};

    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        for (bytes, expected) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (&descending, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(crc32c(bytes), expected);
        }
    }

    /// The scalars of a message, as `step tag value`; other fields by number.
    fn told(event: &[u8]) -> Vec<String> {
        let end = event.len() as u64;
        let mut wire = Reader::new(Cursor::new(event), end);
        let (mut step, mut found) = (0, Vec::new());
        while let Some(field) = wire.next(end).expect("a field") {
            match (field.number, field.payload) {
                (1, Payload::Fixed64(seconds)) => assert!(f64::from_le_bytes(seconds) > 1.7e9),
                (2, Payload::Varint(n)) => step = n,
                (3, Payload::Bytes { end }) => found.push(wire.string(end).expect("a text")),
                (5, Payload::Bytes { end }) => {
                    while let Some(value) = wire.next(end).expect("a value") {
                        let Payload::Bytes { end } = value.payload else {
                            panic!("{value:?}")
                        };
                        let tag = wire.next(end).expect("a tag").expect("a tag").payload;
                        let Payload::Bytes { end: tag } = tag else {
                            panic!("{tag:?}")
                        };
                        let tag = wire.string(tag).expect("a text");
                        let number = wire.next(end).expect("a number").expect("there").payload;
                        let Payload::Fixed32(number) = number else {
                            panic!("{number:?}")
                        };
                        found.push(format!("{step} {tag} {}", f32::from_le_bytes(number)));
                    }
                }
                (number, _) => {
                    wire.skip(field).expect("skipped");
                    found.push(format!("{step} field {number}"));
                }
            }
        }
        found
    }

    #[test]
    fn records_have_lengths_and_checksums_and_hold_the_numbers_of_a_step() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut events = Events::begin(folder.path(), 6).expect("begun");
        events
            .write(&StepMetrics {
                step: 7,
                stage: "s".into(),
                run: 1,
                kind: "triplets".into(),
                loss: 0.5,
                learning_rate: 0.25,
                gradient_norm: 2.0,
                masked: Some(3),
                triplets_per_second: 8.0,
                memory_mib: None,
                evaluation: BTreeMap::from([("korsts:dev".into(), 0.75)]),
            })
            .expect("written");
        let mut bytes = &fs::read(&events.path).expect("read")[..];
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let n = u64::from_le_bytes(length.try_into().expect("eight")) as usize;
            assert_eq!(rest[..4], masked(length).to_le_bytes());
            let event = &rest[4..4 + n];
            assert_eq!(rest[4 + n..8 + n], masked(event).to_le_bytes());
            found.extend(told(event));
            bytes = &rest[8 + n..];
        }
        let expected = [
            "brain.Event:2",
            "7 field 7",
            "7 loss/triplets 0.5",
            "7 learning_rate 0.25",
            "7 gradient_norm 2",
            "7 examples_per_second 8",
            "7 masked_by_guide 3",
            "7 dev/korsts:dev 0.75",
        ];
        assert_eq!(found, expected);
    }
}
