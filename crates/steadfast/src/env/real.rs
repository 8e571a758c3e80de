//! The doors to the real world: TCP, the system's resolver, clocks, randomness and a directory.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rand::SeedableRng;
use rand::rngs::StdRng;
use steadfast_kafka::transport::{SystemResolver, Tcp};

use super::{Dice, Env, Store, WallClock};
use crate::placement::Placement;

/// The real world, with what must survive kept in `directory`.
pub fn env(directory: PathBuf, placement: Placement) -> Env {
    Env {
        transport: Arc::new(Tcp::new(SystemResolver)),
        wall_clock: wall_clock(),
        dice: Dice::new(StdRng::from_os_rng()),
        store: Arc::new(Directory(directory)),
        placement,
        started: tokio::time::Instant::now(),
    }
}

/// The system's clock.
pub fn wall_clock() -> WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let now = || std::time::SystemTime::now();
    WallClock::new(move || {
        now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}

/// One file per name in a directory.
pub struct Directory(pub PathBuf);

impl Store for Directory {
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(name)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&self, name: &str, value: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let fresh = self.0.join(format!("{name}.new"));
        let mut file = fs::File::create(&fresh)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(&fresh, self.0.join(name))
    }
}

/// Whether the state directory can be written to.
pub fn check_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let probe = directory.join(".probe");
    fs::write(&probe, b"")?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_last_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory(directory.path().join("billing"));
        assert_eq!(store.load("endpoints.json").unwrap(), None);
        store.save("endpoints.json", b"one").unwrap();
        store.save("endpoints.json", b"two").unwrap();
        assert_eq!(store.load("endpoints.json").unwrap(), Some(b"two".to_vec()));
    }
}
