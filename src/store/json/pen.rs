//! The journal as one connection of the index writes it: what others kept is made up for, what changes is noted, and it is on disk
//! before the index says so.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};

use super::capture;
use super::keeper::Signals;
use super::layout::{Layout, failed, sync_folder};
use super::line::{Noted, Voucher};
use super::replay;
use super::segments::{self, Position};
use super::sheet::damaged;
use super::steps::{pieces, step};
use crate::store::sqlite::{Fault, Journal, Outcome, Unit};
use crate::store::{StoreError, StoreResult};

/// How long whoever takes back what it could not commit is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Under which key the index says how much of the journal it has.
pub(super) const APPLIED: &str = "journal";

/// Writes to the journal for one connection.
pub(super) struct Pen {
    layout: Layout,
    store: String,
    signals: Arc<Signals>,
    /// Held from after the index's lock was taken until what was kept is committed or taken back.
    lock: File,
    locked: bool,
    /// The segment that is written to, by its number.
    open: Option<(u64, File)>,
    /// Where the journal ends.
    end: Option<Position>,
    /// Where it ended before this transaction, when something was kept in it.
    before: Option<Position>,
    noted: Vec<Noted>,
    bytes: u64,
    /// What was kept behind this place could not be taken back. It is tried again before anything else is written.
    untaken: Option<Position>,
}

impl Pen {
    pub(super) fn new(layout: &Layout, store: &str, signals: Arc<Signals>) -> StoreResult<Self> {
        let path = layout.journal_lock();
        let lock = lock_file(&path)?;
        Ok(Self {
            layout: layout.clone(),
            store: store.to_owned(),
            signals,
            lock,
            locked: false,
            open: None,
            end: None,
            before: None,
            noted: Vec::new(),
            bytes: 0,
            untaken: None,
        })
    }

    fn take_lock(&mut self) -> StoreResult<()> {
        let begun = Instant::now();
        while !self.locked {
            match self.lock.try_lock() {
                Ok(()) => self.locked = true,
                Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => {
                    let reason = format!("another process kept {} locked; end it, or try again", self.layout.journal_lock().display());
                    return Err(StoreError::unavailable(reason, std::io::Error::from(error)));
                }
            }
        }
        Ok(())
    }

    pub(super) fn release(&mut self) {
        if self.locked {
            if let Err(error) = self.lock.unlock() {
                tracing::error!(error = %error, "the journal's lock could not be given back");
            }
            self.locked = false;
        }
    }

    /// Makes up for what others kept, inside a write transaction, and says where the journal ends then.
    pub(super) fn catch_up(&mut self, unit: &Unit<'_>) -> Outcome<Position> {
        self.take_lock()?;
        let mut position = applied(unit.db)?.ok_or_else(|| damaged(unit.file, "the index does not say how much of the journal it has"))?;
        if let Some(before) = &self.untaken {
            // Another process may have found it meanwhile, and done what it says: then it is stored.
            if *before == position {
                truncate(&self.layout.segment(before.segment), before.offset)?;
            }
            self.untaken = None;
        }
        let first = position.clone();
        let mut seen = false;
        loop {
            let path = self.layout.segment(position.segment);
            let length = match path.metadata() {
                Ok(metadata) => metadata.len(),
                Err(error) => return Err(failed("read", &path, error).into()),
            };
            if length < position.offset {
                return Err(damaged(&path, "it is shorter than it was").into());
            }
            let has_next = self.layout.segment(position.segment + 1).exists();
            if length > position.offset {
                let durable = if has_next { length } else { position.offset };
                let store = self.store.clone();
                let mut lines = Vec::new();
                let read = segments::read_on(&self.layout, &store, &position, durable, |line| {
                    lines.push(replay::Change::of(line)?);
                    Ok(())
                })?;
                for change in &lines {
                    replay::apply(unit, change)?;
                    seen = true;
                }
                if read.torn > 0 {
                    segments::tell_torn(&path, read.torn);
                    truncate(&path, read.end.offset)?;
                }
                position = read.end;
            }
            if !has_next {
                break;
            }
            position = Position { segment: position.segment + 1, offset: 0, ..position };
        }
        if seen {
            // They are in the journal already.
            capture::take(unit.db, unit.now)?;
        }
        if position != first {
            set_applied(unit.db, &position)?;
        }
        self.end = Some(position.clone());
        Ok(position)
    }

    /// Begins the next segment, inside a write transaction after [`Pen::catch_up`]. Returns its number.
    pub(super) fn rotate(&mut self, unit: &Unit<'_>, end: &Position) -> Outcome<u64> {
        let next = begin_segment(&self.layout, &self.store, end.segment + 1, end.next)?;
        set_applied(unit.db, &next)?;
        let segment = next.segment;
        self.end = Some(next);
        self.open = None;
        Ok(segment)
    }

    fn segment(&mut self, number: u64) -> StoreResult<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _file)| *open != number) {
            let path = self.layout.segment(number);
            let file = OpenOptions::new().append(true).open(&path).map_err(|error| failed("opened", &path, error))?;
            self.open = Some((number, file));
        }
        match &mut self.open {
            Some((_number, file)) => Ok(file),
            None => Err(StoreError::Unavailable { reason: "the journal is not open".to_owned(), source: None }),
        }
    }

    fn try_to_keep(&mut self, unit: &Unit<'_>) -> Outcome<()> {
        let Some(mut end) = self.end.clone() else { return Err(Fault::contradiction("the journal's end is not known")) };
        let voucher = Voucher { store: self.store.clone(), segment: end.segment };
        let (batch, mut text) = (end.next, String::new());
        for noted in &self.noted {
            text.push_str(&voucher.write(noted, end.next, batch));
            end.next += 1;
        }
        super::line::sum_of(text.trim_end()).clone_into(&mut end.sum);
        end.offset += text.len() as u64;
        self.bytes = text.len() as u64;
        self.before = self.end.clone();
        let path = self.layout.segment(end.segment);
        let file = self.segment(end.segment)?;
        let mut write = || -> std::io::Result<()> {
            for piece in pieces(text.as_bytes()) {
                step()?;
                file.write_all(piece)?;
            }
            step()?;
            file.sync_data()
        };
        write().map_err(|error| failed("written", &path, error))?;
        set_applied(unit.db, &end)?;
        self.end = Some(end);
        Ok(())
    }

    /// Takes back what was kept and not committed.
    fn take_back(&mut self) -> StoreResult<()> {
        let Some(before) = self.before.take() else { return Ok(()) };
        let path = self.layout.segment(before.segment);
        let cut = truncate(&path, before.offset);
        if let Err(error) = &cut {
            // What is there now may come back with the next process that opens the store: nobody was told that it was stored.
            tracing::error!(error = %error, "what could not be stored could not be taken back either; nothing is written until it can");
            self.untaken = Some(before.clone());
        }
        self.end = Some(before);
        self.open = None;
        cut.map_err(|error| match error {
            StoreError::Unavailable { reason, source } => StoreError::unknown_outcome(reason, source),
            other => other,
        })
    }
}

impl Journal for Pen {
    fn attach(&mut self, db: &Connection) -> Outcome<()> {
        capture::begin(db)
    }

    fn begun(&mut self, unit: &Unit<'_>) -> Outcome<()> {
        self.catch_up(unit).map(|_position| ())
    }

    fn done(&mut self, unit: &Unit<'_>) -> Outcome<()> {
        self.noted.extend(capture::take(unit.db, unit.now)?);
        Ok(())
    }

    fn keep(&mut self, unit: &Unit<'_>) -> Outcome<()> {
        if self.noted.is_empty() { Ok(()) } else { self.try_to_keep(unit) }
    }

    fn committed(&mut self) {
        self.before = None;
        self.noted.clear();
        self.release();
        if self.bytes > 0 {
            self.signals.kept(self.bytes);
            self.bytes = 0;
        }
    }

    fn rolled_back(&mut self) -> StoreResult<()> {
        self.noted.clear();
        self.bytes = 0;
        if !self.locked {
            return Ok(());
        }
        let taken_back = self.take_back();
        self.release();
        taken_back
    }
}

/// Opens a file that is there to be locked.
pub(super) fn lock_file(path: &std::path::Path) -> StoreResult<File> {
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    opened.map_err(|error| failed("opened", path, error))
}

fn truncate(path: &std::path::Path, length: u64) -> StoreResult<()> {
    let cut = || -> std::io::Result<()> {
        step()?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    };
    cut().map_err(|error| failed("cut", path, error))
}

/// Makes a segment with its head, durable. One of a process that died while it made it is made anew.
pub(super) fn begin_segment(layout: &Layout, store: &str, segment: u64, first: u64) -> StoreResult<Position> {
    let path = layout.segment(segment);
    let head = Voucher { store: store.to_owned(), segment }.head(first);
    super::layout::put_unsynced(&path, head.as_bytes(), super::layout::Keep::Nothing)?;
    sync_folder(&layout.journal())?;
    Ok(Position { segment, offset: head.len() as u64, next: first, sum: super::line::sum_of(head.trim_end()).to_owned() })
}

/// How much of the journal the index has.
pub(super) fn applied(db: &Connection) -> Outcome<Option<Position>> {
    let kept: Option<String> =
        db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([APPLIED], |row| row.get(0)).optional()?;
    Ok(kept.as_deref().and_then(Position::parse))
}

/// Says how much it has.
pub(super) fn set_applied(db: &Connection, position: &Position) -> Outcome<()> {
    db.prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute([APPLIED, &position.write()])?;
    Ok(())
}
