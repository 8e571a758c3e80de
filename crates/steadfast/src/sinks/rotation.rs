//! A file of lines that is rotated by size.
//!
//! What [`RotatingFile::append`] has taken is with the operating system: it survives the end of this process,
//! however sudden, and may be acked. It is not synced to the disk, so the end of the *machine* may cost what
//! the system had not written yet. (Syncing every batch would bind the flow to the disk's latency.)
//!
//! A line never stands half in one file and half in another, and none is left half written: what an append
//! that failed (a full disk) has written is cut off again, and so is the half line that a process killed in
//! the middle of a write has left, when the file is opened again. Neither was ever acked.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much is read at once in search of the last newline.
const BLOCK: usize = 64 * 1024;

/// Something could not be done with a file of the sink.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct RotationError {
    /// What was tried.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// The file at `path`, with `path.1` (the youngest) to `path.N` behind it. Every call may block on the disk.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    file: File,
    size: u64,
}

impl RotatingFile {
    /// Opens or creates the file at `path`, to be appended to. It is rotated before a line would take it past
    /// `max_bytes` (a single line may be larger), and `keep` rotated files are kept; with 0 it begins anew.
    ///
    /// # Errors
    /// The file cannot be opened, is no regular file (writing to a pipe may never return), or ends in
    /// something that is no line of JSON.
    pub fn open(path: impl Into<PathBuf>, max_bytes: u64, keep: u32) -> Result<RotatingFile, RotationError> {
        let path = path.into();
        let (file, size) = open(&path).map_err(|source| error("open", &path, source))?;
        Ok(RotatingFile { path, max_bytes, keep, file, size })
    }

    /// Appends whole lines, each with its newline, rotating between them where needed.
    ///
    /// # Errors
    /// The file named in the error could not be written, rotated or created. Of the lines, those that went
    /// into files rotated by this call may have been kept; appending the same lines again repeats them.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), RotationError> {
        let mut rest = lines;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            match now.is_empty() {
                true => self.rotate()?,
                false => self.write(now)?,
            }
            rest = later;
        }
        Ok(())
    }

    /// Waits until what was appended is on the disk.
    ///
    /// # Errors
    /// The disk cannot take it.
    pub fn sync(&self) -> Result<(), RotationError> {
        self.file.sync_data().map_err(|source| error("sync", &self.path, source))
    }

    /// How many bytes of `lines` go into the present file: whole lines, at least one if the file is empty.
    fn fitting(&self, lines: &[u8]) -> usize {
        let room = usize::try_from(self.max_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let last_that_fits = lines[..room].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let first = || lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1);
        last_that_fits.unwrap_or_else(|| if self.size == 0 { first() } else { 0 })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), RotationError> {
        if let Err(source) = self.file.write_all(lines) {
            self.file
                .set_len(self.size)
                .map_err(|source| error("cut a half line off", &self.path, source))?;
            return Err(error("write to", &self.path, source));
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Moves every file one on, the oldest away, and begins a new one.
    fn rotate(&mut self) -> Result<(), RotationError> {
        // When the present file is gone already, an earlier rotation moved it and then failed to begin a new
        // one: moving the others again at every attempt would lose them one by one.
        if exists(&self.path).map_err(|source| error("look for", &self.path, source))? {
            self.shift()?;
        }
        let (file, size) = open(&self.path).map_err(|source| error("create", &self.path, source))?;
        (self.file, self.size) = (file, size);
        Ok(())
    }

    fn shift(&self) -> Result<(), RotationError> {
        if self.keep == 0 {
            return fs::remove_file(&self.path).map_err(|source| error("remove", &self.path, source));
        }
        for number in (0..self.keep).rev() {
            let from = self.numbered(number);
            match fs::rename(&from, self.numbered(number + 1)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(error("rename", &from, source));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// `path.number`; the present file is number 0.
    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn error(action: &'static str, path: &Path, source: io::Error) -> RotationError {
    RotationError { action, path: path.to_owned(), source }
}

fn exists(path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// The file, ending in a whole line, and its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    // Asked before it is opened: opening a pipe that nobody reads would wait for ever.
    if exists(path)? && !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let found = file.metadata()?.len();
    let whole = end_of_last_line(&mut file, found)?;
    if whole < found {
        check_half_line(&mut file, whole)?;
        file.set_len(whole)?;
    }
    Ok((file, whole))
}

/// How many of the file's bytes are whole lines.
fn end_of_last_line(file: &mut File, size: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..usize::try_from(end - start).unwrap_or(BLOCK)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Only what looks like a line of ours is cut off: a file of somebody else's is left alone.
fn check_half_line(file: &mut File, start: u64) -> io::Result<()> {
    let mut first = [0];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut first)?;
    match first {
        [b'{'] => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected lines of JSON, found an end that is no line: is it a file of another program?",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Place {
            Place(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("orders.jsonl")
        }

        fn open(&self, max_bytes: u64, keep: u32) -> RotatingFile {
            RotatingFile::open(self.path(), max_bytes, keep).unwrap()
        }

        /// The text of every file, by name.
        fn files(&self) -> Vec<(String, String)> {
            let of = |entry: fs::DirEntry| {
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            };
            let mut files: Vec<_> =
                fs::read_dir(self.0.path()).unwrap().map(|entry| of(entry.unwrap())).collect();
            files.sort();
            files
        }

        fn texts(&self) -> Vec<String> {
            self.files().into_iter().map(|(_, text)| text).collect()
        }
    }

    #[test]
    fn lines_are_appended_and_readable_at_once() {
        let place = Place::new();
        let mut file = place.open(100, 1);
        file.append(b"{1}\n").unwrap();
        file.append(b"{2}\n{3}\n").unwrap();
        assert_eq!(place.texts(), ["{1}\n{2}\n{3}\n"]);
        place.open(100, 1).append(b"{4}\n").unwrap();
        assert_eq!(place.texts(), ["{1}\n{2}\n{3}\n{4}\n"]);
    }

    #[test]
    fn the_file_is_rotated_before_a_line_would_take_it_past_its_size() {
        let place = Place::new();
        let mut file = place.open(8, 3);
        file.append(b"{1}\n{2}\n").unwrap();
        assert_eq!(place.texts(), ["{1}\n{2}\n"]);
        file.append(b"{3}\n").unwrap();
        let names = ["orders.jsonl", "orders.jsonl.1"].map(str::to_owned);
        assert_eq!(
            place.files(),
            names.into_iter().zip(["{3}\n", "{1}\n{2}\n"].map(str::to_owned)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn one_append_may_fill_several_files_and_splits_no_line() {
        let place = Place::new();
        place.open(9, 9).append(b"{1}\n{2}\n{3}\n{4}\n{5}\n").unwrap();
        assert_eq!(place.texts(), ["{5}\n", "{3}\n{4}\n", "{1}\n{2}\n"]);
    }

    #[test]
    fn a_line_larger_than_a_file_has_a_file_of_its_own() {
        let place = Place::new();
        place.open(8, 9).append(b"{1}\n{a very long line}\n{2}\n").unwrap();
        assert_eq!(place.texts(), ["{2}\n", "{a very long line}\n", "{1}\n"]);
    }

    #[test]
    fn only_so_many_rotated_files_are_kept() {
        let place = Place::new();
        let mut file = place.open(4, 2);
        for line in ["{1}\n", "{2}\n", "{3}\n", "{4}\n", "{5}\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(place.texts(), ["{5}\n", "{4}\n", "{3}\n"]);
        let none = Place::new();
        none.open(4, 0).append(b"{1}\n{2}\n{3}\n").unwrap();
        assert_eq!(none.texts(), ["{3}\n"]);
    }

    #[test]
    fn the_half_line_of_a_killed_process_is_cut_off() {
        for (found, kept) in [("{1}\n{2", "{1}\n"), ("{1", ""), ("{1}\n", "{1}\n"), ("", "")] {
            let place = Place::new();
            fs::write(place.path(), found).unwrap();
            place.open(100, 1).append(b"{3}\n").unwrap();
            assert_eq!(place.texts(), [format!("{kept}{{3}}\n")], "{found}");
        }
        let place = Place::new();
        let long = "x".repeat(3 * BLOCK);
        fs::write(place.path(), format!("{{1}}\n{{{long}")).unwrap();
        place.open(100, 1).append(b"{3}\n").unwrap();
        assert_eq!(place.texts(), ["{1}\n{3}\n"]);
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let place = Place::new();
        fs::write(place.path(), "precious").unwrap();
        let told = RotatingFile::open(place.path(), 100, 1).unwrap_err().to_string();
        assert!(told.contains("orders.jsonl: expected lines of JSON"), "{told}");
        assert_eq!(place.texts(), ["precious"]);
    }

    #[test]
    fn errors_name_the_file() {
        let place = Place::new();
        let missing = place.0.path().join("missing").join("f");
        let told = RotatingFile::open(&missing, 1, 1).unwrap_err();
        assert_eq!((told.action, told.path), ("open", missing));
        let told = RotatingFile::open(place.0.path(), 1, 1).unwrap_err().to_string();
        assert!(told.ends_with("expected a regular file"), "{told}");
    }

    #[test]
    fn a_rotation_that_fails_again_and_again_loses_no_file() {
        let place = Place::new();
        let mut file = place.open(4, 3);
        file.append(b"{1}\n{2}\n").unwrap();
        // The present file can be moved, but no new one be made in its place.
        fs::rename(place.path(), place.0.path().join("kept")).unwrap();
        std::os::unix::fs::symlink("missing/target", place.path()).unwrap();
        for _ in 0..5 {
            assert_eq!(file.append(b"{3}\n").unwrap_err().action, "create");
        }
        fs::remove_file(place.path()).unwrap();
        file.append(b"{3}\n").unwrap();
        assert_eq!(place.texts(), ["{2}\n", "{3}\n", "{1}\n"]);
    }

    /// Runs itself again in a shell that limits the size of files: past it a write is cut short, then fails.
    #[test]
    fn when_the_disk_is_full_no_half_line_stays() {
        const LINE: usize = 700;
        if let Some(path) = std::env::var_os("STEADFAST_TEST_FULL_DISK") {
            let mut file = RotatingFile::open(PathBuf::from(&path), u64::MAX, 1).unwrap();
            let line = format!("{{{}}}\n", "x".repeat(LINE - 3));
            let taken = (0..100).take_while(|_| file.append(line.as_bytes()).is_ok()).count();
            assert!((1..100).contains(&taken), "{taken}");
            assert_eq!(fs::metadata(path).unwrap().len(), (taken * LINE) as u64);
            assert_eq!(file.append(line.as_bytes()).unwrap_err().action, "write to");
            return;
        }
        let place = Place::new();
        let this = std::env::current_exe().unwrap();
        let limited = "trap '' XFSZ; ulimit -f 4; exec \"$0\" --exact --nocapture \"$1\"";
        let test = "sinks::rotation::tests::when_the_disk_is_full_no_half_line_stays";
        let mut shell = Command::new("sh");
        shell.args(["-c", limited]).arg(this).arg(test).env("STEADFAST_TEST_FULL_DISK", place.path());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!place.texts()[0].is_empty(), "the test did not run");
    }
}
