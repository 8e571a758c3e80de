//! `steadfast endpoints`: what each witness says of the cluster's endpoints, what is agreed, and whether that is what it
//! was; and the deliberate change to another cluster.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use steadfast_core::endpoints::race::Source;
use steadfast_core::ids::ClusterId;
use steadfast_kafka::transport::{Resolver, SystemResolver, Tcp};

use super::run::load;
use super::{ConfigArgs, Exit, Output};
use crate::config::Config;
use crate::dialler::Dialler;
use crate::drift::last_known_good::{LAST_KNOWN_GOOD, LastKnownGood};
use crate::env::real::{self, Directory};
use crate::service::state_directory;
use baseline::Baseline;
use report::{Pin, Report, Standards};
use survey::{Asker, Plan, Survey};

mod accept;
mod baseline;
mod offsets;
mod report;
mod survey;
mod table;

/// Arguments of `steadfast endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Exits with 0 if nothing drifted or there is nothing to compare with, with 1 if something did (or \
                  --accept-cluster was refused), with 69 if it cannot be said because too few or none answer."
)]
pub struct EndpointsArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Compare with the view that --save left in this file, instead of the one that a service agreed on last.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save", "accept_cluster"])]
    pub baseline: Option<PathBuf>,
    /// Write the agreed view into this file, and compare it with nothing.
    #[arg(long, value_name = "FILE", conflicts_with = "accept_cluster")]
    pub save: Option<PathBuf>,
    /// Change to this cluster on purpose: pin it, if it is what the witnesses agree on. The service has to be stopped.
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub accept_cluster: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command.
pub fn endpoints(args: &EndpointsArgs) -> Exit {
    let config = match load(&args.config) {
        Ok((config, _)) => Arc::new(config),
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return Exit::Internal;
        }
    };
    let here = Here::of(config);
    runtime.block_on(async {
        match &args.accept_cluster {
            Some(id) => accept::accept(&here, &ClusterId::from(id.as_str()), args.output).await,
            None => look(&here, args).await,
        }
    })
}

/// What is known before anybody is asked.
struct Here {
    config: Arc<Config>,
    directory: PathBuf,
    /// What a service that ran here agreed on last.
    stored: Option<LastKnownGood>,
    dialler: Dialler,
}

impl Here {
    fn of(config: Arc<Config>) -> Here {
        let directory = state_directory(&config);
        let stored = LastKnownGood::load(&Directory(directory.clone())).unwrap_or_else(|error| {
            eprintln!("{} is not used: {error}", directory.join(LAST_KNOWN_GOOD).display());
            None
        });
        let dialler = Dialler::of_command(Arc::new(Tcp::new(SystemResolver)), Arc::clone(&config));
        Here { config, directory, stored, dialler }
    }

    /// As a service that is started here would be pinned.
    fn pin(&self) -> Option<Pin> {
        let configured = self.config.drift.cluster_id.clone();
        let configured = configured.map(|cluster| Pin { cluster, from: "drift.cluster_id".to_owned() });
        let stored = self.stored.as_ref().and_then(|good| good.cluster.clone());
        let from = || self.stored_at().display().to_string();
        configured.or_else(|| stored.map(|cluster| Pin { cluster, from: from() }))
    }

    fn stored_at(&self) -> PathBuf {
        self.directory.join(LAST_KNOWN_GOOD)
    }

    /// The view that was stored, to compare with.
    fn stored_baseline(&self) -> Option<Baseline> {
        let good = self.stored.as_ref().filter(|good| !good.endpoints.is_empty())?;
        Some(Baseline { from: self.stored_at(), saved_at: None, view: good.view() })
    }

    /// Asks the bootstrap servers, whoever stands in what was stored or in `baseline`, and whoever they name.
    async fn survey(
        &self,
        resolver: &impl Resolver,
        pin: Option<ClusterId>,
        baseline: Option<&Baseline>,
    ) -> Survey {
        let mut asker = Asker::new(&self.config, self.dialler.clone());
        let mut sources = asker.bootstrap(resolver).await;
        let stored = self.stored.iter().flat_map(|good| good.endpoints.values());
        sources.extend(stored.map(|at| (at.clone(), Source::LastKnownGood)));
        let in_use = baseline.map(|baseline| baseline.view.clone());
        let listed = in_use.iter().flat_map(|view| view.endpoints.values());
        sources.extend(listed.map(|endpoint| (endpoint.address.clone(), Source::InUse)));
        asker.survey(Plan { sources, pin, in_use }).await
    }
}

async fn look(here: &Here, args: &EndpointsArgs) -> Exit {
    let baseline = match &args.baseline {
        Some(file) => match Baseline::read(file) {
            Ok(baseline) => Some(baseline),
            Err(error) => {
                eprintln!("--baseline {} holds no saved view: {error}", file.display());
                return Exit::Usage;
            }
        },
        None => here.stored_baseline(),
    };
    let pin = here.pin();
    let pinned = pin.as_ref().map(|pin| pin.cluster.clone());
    let survey = here.survey(&SystemResolver, pinned, baseline.as_ref()).await;
    let (saving, threshold) = (args.save.is_some(), here.config.drift.threshold);
    let baseline = baseline.filter(|_| !saving);
    let report = Report::of(survey, &Standards { pin, baseline, threshold, saving });
    if let (Some(file), Some(agreed)) = (&args.save, &report.agreed)
        && let Err(error) = baseline::save(file, agreed.to_keep(), real::wall_clock().rfc3339())
    {
        eprintln!("{} cannot be written: {error}", file.display());
        return Exit::StateDirectory;
    }
    args.output.print(&report, table::table);
    report.result.exit()
}
