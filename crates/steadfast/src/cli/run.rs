//! `steadfast run`: consume as a member of the group until told to stop.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::status::{self, Screen};
use super::{ConfigArgs, Exit, RunArgs};
use crate::config::watcher::Source;
use crate::config::{Config, ConfigError, LogFormat, LogLevel};
use crate::env::real;
use crate::log::{Format, Lines};
use crate::service::Service;

/// Runs the command.
pub fn run(args: &RunArgs) -> Exit {
    let (config, source) = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    let screen = (!args.no_status && status::is_possible(&config)).then(Screen::stderr);
    match &screen {
        Some(screen) => log_to(&config, BoxMakeWriter::new(screen.clone())),
        None => log_to_stderr(&config),
    }
    let service = Service::new(config).reload_from(source, !args.no_watch_config);
    let service = if args.until_end { service.until_end(args.start_timeout) } else { service };
    let Some(screen) = screen else { return service.run() };
    let shown = screen.clone();
    let exit = service.on_start(move |control| shown.show(control)).run();
    screen.end();
    exit
}

/// The configuration, and what it was made from.
pub fn load(args: &ConfigArgs) -> Result<(Config, Source), ConfigError> {
    let source =
        Source { path: Some(args.config.clone()), environment: environment(), sets: args.sets.clone() };
    let config = Config::load(&args.config, source.environment.iter().cloned(), &args.sets)?;
    Ok((config, source))
}

/// Variables that are no text cannot be ours.
pub(super) fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// One line per event on standard error: JSON when it is no terminal.
pub fn log_to_stderr(config: &Config) {
    log_to(config, BoxMakeWriter::new(std::io::stderr));
}

fn log_to(config: &Config, writer: BoxMakeWriter) {
    let format = match config.log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
        LogFormat::Auto if std::io::stderr().is_terminal() => Format::Text,
        LogFormat::Auto => Format::Json,
    };
    let level = match config.log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let lines = Lines::new(format, config.instance(), real::wall_clock()).limit_repeats();
    let subscriber = tracing_subscriber::fmt()
        .event_format(lines)
        .with_max_level(LevelFilter::from_level(level))
        .with_writer(writer)
        .finish();
    // A program that embeds the command may have set one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    log_panics();
}

/// From now on a panic is a line of the log.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

/// A panic is a line of the log like any other: who reads the log as JSON reads nothing else.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic whose payload is not text");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(location, thread, %backtrace, "panicked: {message}");
        }
        _ => tracing::error!(location, thread, "panicked: {message}"),
    }
}
