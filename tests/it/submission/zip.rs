//! A writer of zip files that lie: every field can be set to what it must not be.

/// One entry.
#[derive(Clone)]
pub struct Raw {
    /// Name in the directory.
    pub name: Vec<u8>,
    /// Name in the entry's own header, where it differs.
    pub local_name: Option<Vec<u8>>,
    /// Content as it is stored.
    pub stored: Vec<u8>,
    /// Declared size.
    pub size: u32,
    /// Declared packed size.
    pub packed: u32,
    /// Checksum.
    pub crc: u32,
    /// 0 stored, 8 deflated.
    pub method: u16,
    /// Flags.
    pub flags: u16,
    /// External attributes: the upper half is a Unix mode.
    pub attributes: u32,
    /// Comment.
    pub comment: Vec<u8>,
    /// Extra field of the directory.
    pub extra: Vec<u8>,
    /// Where it says it begins, where that is a lie.
    pub offset: Option<u32>,
}

impl Raw {
    /// A stored entry without a lie.
    pub fn new(name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        Self {
            name: name.as_ref().to_vec(),
            local_name: None,
            stored: content.to_vec(),
            size: content.len() as u32,
            packed: content.len() as u32,
            crc: crc.sum(),
            method: 0,
            flags: 0,
            attributes: 0o100_644 << 16,
            comment: Vec::new(),
            extra: Vec::new(),
            offset: None,
        }
    }

    /// A deflated entry without a lie.
    pub fn deflated(name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        use std::io::Write as _;
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).expect("deflated");
        let stored = encoder.finish().expect("deflated");
        Self {
            packed: stored.len() as u32,
            stored,
            method: 8,
            ..Self::new(name, content)
        }
    }

    /// The entry with a change.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The file, with what is put before the directory, into the end record's comment and after it.
pub struct Frame<'a> {
    /// Bytes before the first entry.
    pub before: &'a [u8],
    /// Bytes between the entries and the directory.
    pub between: &'a [u8],
    /// Comment of the file.
    pub comment: &'a [u8],
    /// Bytes after everything.
    pub after: &'a [u8],
    /// Number of entries that the end record declares, where that is a lie.
    pub count: Option<u16>,
}

/// Nothing odd.
pub const PLAIN: Frame<'static> = Frame {
    before: b"",
    between: b"",
    comment: b"",
    after: b"",
    count: None,
};

/// Packs entries.
pub fn pack(entries: &[Raw], frame: &Frame<'_>) -> Vec<u8> {
    let mut out = frame.before.to_vec();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = entry.offset.unwrap_or(out.len() as u32);
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        out.extend(b"PK\x03\x04");
        let fields = |out: &mut Vec<u8>, name: usize, extra: usize| {
            out.extend(20_u16.to_le_bytes());
            out.extend(entry.flags.to_le_bytes());
            out.extend(entry.method.to_le_bytes());
            out.extend([0, 0, 0x21, 0]);
            out.extend(entry.crc.to_le_bytes());
            out.extend(entry.packed.to_le_bytes());
            out.extend(entry.size.to_le_bytes());
            out.extend((name as u16).to_le_bytes());
            out.extend((extra as u16).to_le_bytes());
        };
        fields(&mut out, local_name.len(), 0);
        out.extend(local_name);
        out.extend(&entry.stored);
        directory.extend(b"PK\x01\x02");
        directory.extend(0x031E_u16.to_le_bytes());
        fields(&mut directory, entry.name.len(), entry.extra.len());
        directory.extend((entry.comment.len() as u16).to_le_bytes());
        directory.extend([0; 4]);
        directory.extend(entry.attributes.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&entry.name);
        directory.extend(&entry.extra);
        directory.extend(&entry.comment);
    }
    out.extend(frame.between);
    let start = out.len() as u32;
    let count = frame.count.unwrap_or(entries.len() as u16).to_le_bytes();
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend((frame.comment.len() as u16).to_le_bytes());
    out.extend(frame.comment);
    out.extend(frame.after);
    out
}
