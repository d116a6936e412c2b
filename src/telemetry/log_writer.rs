//! The way to standard error, and to standard output while a server runs, which never waits for long for whoever reads it.
//!
//! A pipe holds 64 KiB. When its reader has stopped (a log shipper that hangs, the daemon of the containers that is down), a
//! write waits until it goes on, and with it whoever has a line to log: every page, half of the verifications, the end itself.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait for a reader; what is more is left out.
const MOST: usize = 1_000;
/// How long the first of them is waited for. A reader that is there takes a line at once, so that it is written before
/// whoever wrote it goes on, or ends the process.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long the last one is waited for: nobody writes it when the process has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Writes lines by a thread of its own.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// The line that says how many were left out.
    tell: fn(u64) -> String,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    added: u64,
    written: u64,
    left_out: u64,
    /// Somebody waited for a line in vain, and none was written since.
    is_stuck: bool,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system has none.
    pub fn start(to: impl Write + Send + 'static, tell: fn(u64) -> String) -> io::Result<Self> {
        let writer = Self(Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), tell }));
        let own = writer.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || own.write_all_to(to))?;
        Ok(writer)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut to: impl Write) {
        loop {
            let nothing = |queue: &mut Queue| queue.lines.is_empty();
            let waited = self.0.changed.wait_while(self.queue(), nothing);
            let line = waited.unwrap_or_else(PoisonError::into_inner).lines.pop_front();
            // A log that cannot be written is nobody's error: there is nowhere to say so.
            let _ = to.write_all(&line.unwrap_or_default()).and_then(|()| to.flush());
            let mut queue = self.queue();
            queue.written += 1;
            queue.is_stuck = false;
            drop(queue);
            self.0.changed.notify_all();
        }
    }

    /// Writes a line, or leaves it for a reader that does not come.
    pub fn write_line(&self, line: &[u8]) {
        self.write_within(PATIENCE, line);
    }

    /// Writes a line before the process ends, if there is a reader.
    pub fn write_last_line(&self, line: &[u8]) {
        self.queue().is_stuck = false;
        self.write_within(FAREWELL, line);
    }

    fn write_within(&self, patience: Duration, line: &[u8]) {
        let mut queue = self.queue();
        if queue.lines.len() >= MOST {
            queue.left_out += 1;
            return;
        }
        if queue.left_out > 0 {
            let told = (self.0.tell)(std::mem::take(&mut queue.left_out));
            queue.add(told.into_bytes());
        }
        let own = queue.add(line.to_vec());
        self.0.changed.notify_all();
        let waits = |queue: &mut Queue| queue.written < own && !queue.is_stuck;
        let waited = self.0.changed.wait_timeout_while(queue, patience, waits);
        let (mut queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            queue.is_stuck = true;
            drop(queue);
            self.0.changed.notify_all();
        }
    }
}

impl Queue {
    /// The number of the line: it is written when as many are.
    fn add(&mut self, line: Vec<u8>) -> u64 {
        self.lines.push_back(line);
        self.added += 1;
        self.added
    }
}

impl Write for &LogWriter {
    /// The whole line, as `tracing` gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, pipe};

    use super::*;

    fn tell(lines: u64) -> String {
        format!("{lines} left out\n")
    }

    #[test]
    fn a_line_is_written_before_its_writer_goes_on() {
        let (reader, to) = pipe().unwrap();
        let writer = LogWriter::start(to, tell).unwrap();
        let mut lines = BufReader::new(reader).lines();
        for n in 0..100 {
            writer.write_line(format!("{n}\n").as_bytes());
            let queue = writer.queue();
            assert!(queue.is_stuck || queue.written == n + 1, "{n}");
            drop(queue);
            assert_eq!(lines.next().unwrap().unwrap(), n.to_string());
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_stopped_and_what_was_left_out_is_told_when_it_goes_on() {
        let (reader, to) = pipe().unwrap();
        let writer = LogWriter::start(to, tell).unwrap();
        // More than a pipe and the queue hold.
        let lines: usize = 10_000;
        for n in 0..lines {
            writer.write_line(format!("{n:0100}\n").as_bytes());
        }
        let all = std::thread::spawn(|| {
            BufReader::new(reader).lines().map(Result::unwrap).take_while(|line| line != "end").collect::<Vec<_>>()
        });
        drop(writer.0.changed.wait_while(writer.queue(), |queue| !queue.lines.is_empty()).unwrap());
        writer.write_line(b"end\n");
        let seen = all.join().unwrap();
        let (last, written) = seen.split_last().unwrap();
        for (n, line) in written.iter().enumerate() {
            assert_eq!(line.parse(), Ok(n), "in order, and whole");
        }
        assert!(written.len() >= MOST);
        assert_eq!(*last, format!("{} left out", lines - written.len()));
    }
}
