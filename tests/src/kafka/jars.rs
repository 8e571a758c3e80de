//! Java, and the jars that Maven fetches once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::process::Process;
use super::version::Version;

const FETCH_LIMIT: Duration = Duration::from_secs(600);
const COMPILE_LIMIT: Duration = Duration::from_secs(120);

/// Has Java log warnings to its error output: its output is for what programs print.
pub(crate) const LOGGING: &str =
    concat!("-Dlog4j2.configurationFile=", env!("CARGO_MANIFEST_DIR"), "/kafka/log4j2.properties");

/// What the suites need and this machine lacks, if anything.
pub fn missing() -> Option<String> {
    // Asking Maven takes half a second, and every trial wants to know.
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let missing = || {
        let missing = ["java", "javac", "mvn"].into_iter().find(|tool| !runs(tool))?;
        Some(format!("{missing} does not run: the suites on a real Kafka need JDK 17 or newer and Maven"))
    };
    MISSING.get_or_init(missing).clone()
}

fn runs(tool: &str) -> bool {
    let version = Command::new(tool).arg("-version").stdin(Stdio::null()).output();
    version.is_ok_and(|version| version.status.success())
}

/// What belongs to the chosen version: its jars, and our classes that were compiled against them.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka").join(Version::chosen().to_string())
}

/// Where the jars are; they are fetched when they are not there, or others than the pom names.
pub(crate) fn fetched() -> io::Result<PathBuf> {
    // Not by two trials at once.
    static FETCHING: Mutex<()> = Mutex::new(());
    let _alone = FETCHING.lock();
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml");
    let jars = target().join("libs");
    let wanted = fs::read(&pom)?;
    if fs::read(jars.join("pom.xml")).is_ok_and(|fetched| fetched == wanted) {
        return jars.canonicalize();
    }
    let (_, partial) = (fs::create_dir_all(target())?, target().join("libs.partial"));
    for left in [&partial, &jars] {
        if left.exists() {
            fs::remove_dir_all(left)?;
        }
    }
    let output = format!("-DoutputDirectory={}", partial.display());
    let (pom_path, version) = (pom.display().to_string(), format!("-Dkafka.version={}", Version::chosen()));
    run(
        ["mvn", "-q", "-B", "-f", &pom_path, "dependency:copy-dependencies", &version, &output],
        FETCH_LIMIT,
    )?;
    fs::write(partial.join("pom.xml"), wanted)?;
    fs::rename(partial, &jars)?;
    jars.canonicalize()
}

/// The class path of the jars and our own Java programs, which are compiled when a source is newer.
pub(crate) fn class_path() -> io::Result<String> {
    static COMPILING: Mutex<()> = Mutex::new(());
    let _alone = COMPILING.lock();
    let jars = fetched()?.display().to_string();
    let classes = target().join("classes");
    let mut sources = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("java"))? {
        sources.push(entry?.path());
    }
    sources.sort();
    let class_path = format!("{jars}/*");
    if !up_to_date(&classes, &sources)? {
        let classes = classes.display().to_string();
        let mut command = vec!["javac".to_owned(), "-Xlint:all".to_owned(), "-Werror".to_owned()];
        command.extend(["-cp".to_owned(), class_path.clone(), "-d".to_owned(), classes]);
        command.extend(sources.iter().map(|source| source.display().to_string()));
        run(command, COMPILE_LIMIT)?;
    }
    Ok(format!("{class_path}:{}", classes.display()))
}

fn up_to_date(classes: &Path, sources: &[PathBuf]) -> io::Result<bool> {
    for source in sources {
        let class = classes.join(source.file_stem().unwrap_or_default()).with_extension("class");
        let compiled = fs::metadata(class).and_then(|class| class.modified());
        if !compiled.is_ok_and(|compiled| {
            fs::metadata(source).and_then(|at| at.modified()).is_ok_and(|at| at < compiled)
        }) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn run<S: AsRef<std::ffi::OsStr>>(command: impl IntoIterator<Item = S>, limit: Duration) -> io::Result<()> {
    let mut process = Process::start(command, Stdio::inherit(), Stdio::inherit())?;
    let status = process.wait(limit)?;
    if !status.success() {
        return Err(io::Error::other(format!("Maven or javac ended with {status}")));
    }
    Ok(())
}
