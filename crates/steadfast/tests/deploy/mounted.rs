//! Stands in for the files that a configuration names on a machine or in a pod.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

/// Where examples and manifests expect files.
const PLACES: [&str; 3] =
    ["/etc/steadfast/", "/run/secrets/steadfast/", "/run/credentials/steadfast@billing.service/"];

/// A directory with what is mounted in these places.
pub(crate) struct Mounted(TempDir);

impl Mounted {
    /// An authority, our certificate with its key, a password and a token.
    pub(crate) fn new() -> Mounted {
        let directory = tempfile::tempdir().unwrap();
        let ours = rcgen::generate_simple_self_signed(["steadfast".to_owned()]).unwrap();
        let keystore = ours.signing_key.serialize_pem() + &ours.cert.pem();
        for (name, content) in [
            ("ca.pem", &*ours.cert.pem()),
            ("client.pem", &keystore),
            ("password", "s3cret\n"),
            ("token", "t0ken\n"),
        ] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Mounted(directory)
    }

    /// A file with this configuration, which finds everything here.
    pub(crate) fn configuration(&self, text: &str) -> PathBuf {
        let here = format!("{}/", self.0.path().display());
        let text = PLACES.iter().fold(text.to_owned(), |text, place| text.replace(place, &here));
        let file = self.0.path().join("steadfast.toml");
        fs::write(&file, text).unwrap();
        file
    }
}
