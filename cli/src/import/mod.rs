//! `omnihub import`: the instances, people, rules and traces of a Python omni-hub, taken over.
//!
//! It writes to the database of this hub itself, not over the admin API: it runs beside
//! `omnihub migrate up`, when no role may be running yet; a million traces do not fit through an API
//! that has no door for them; and secrets go from one database to the other without passing a
//! network. Where a broker is configured, every process is told of what was changed.
//!
//! The cast: `source` reads the other database, and never writes to it; `row` is a row of it;
//! `instance`, `rules`, `people` and `traces` know what rows of theirs are in our words; `removed`
//! is what somebody has removed here since; `target` is this hub; `report` says what was done. What
//! fails for one instance does not touch the others.

mod instance;
mod people;
mod removed;
mod report;
mod row;
mod rules;
mod source;
mod target;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use omnihub_common::{
    channel::ChannelType,
    config::{DataFolder, ProcessSettings},
    instance::{AgentProtocol, ChannelSettings, EvolutionFallback, Instance, InstanceName},
    person::ImportMode,
    secret::Secret,
};

use self::{
    instance::{Draft, INSTANCES},
    removed::Removed,
    report::{Fate, InstanceReport, LeftOut, Report},
    row::{Problem, Row},
    source::Source,
    target::Target,
};
use crate::show;

/// What `import` takes.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The Python hub's database: a SQLite file, or a URL of SQLite or PostgreSQL. It is only read.
    #[arg(value_name = "SOURCE", env = "OMNIHUB_IMPORT_SOURCE", hide_env_values = true)]
    source: String,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Change what is here and differs, and bring back what was removed here.
    #[arg(long)]
    overwrite: bool,
    /// Give an instance another name here; may be repeated.
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    rename: Vec<(String, String)>,
    /// What `automagik` agents of the source speak: automagik-v1 is /api/v1/agent/…/run, automagik
    /// the guide's /api/agent/chat.
    #[arg(long, value_enum, default_value_t = Speech::AutomagikV1)]
    agent_protocol: Speech,
    /// Leave the traces where they are.
    #[arg(long)]
    without_traces: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The protocols that the Python hub called `automagik`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Speech {
    AutomagikV1,
    Automagik,
}

impl From<Speech> for AgentProtocol {
    fn from(speech: Speech) -> Self {
        match speech {
            Speech::AutomagikV1 => Self::AutomagikV1,
            Speech::Automagik => Self::Automagik,
        }
    }
}

fn renaming(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("expected OLD=NEW")?;
    Ok((old.trim().to_owned(), new.trim().to_owned()))
}

/// Takes over what the other database has, and prints the report.
///
/// # Errors
/// When one of the two databases cannot be used, and, after the report, when an instance could not
/// be taken over whole.
pub async fn run(arguments: ImportArgs) -> anyhow::Result<()> {
    let settings = ProcessSettings::load()?;
    let data = DataFolder::open_if_present(&settings)?;
    let source = Source::open(&arguments.source).await?;
    let target = Target::open(&settings, &data).await?;
    let rules = instance::Rules {
        protocol: arguments.agent_protocol.into(),
        fallback: EvolutionFallback::load(&settings),
        schema: source.schema,
    };
    let mut import = Import::new(source, target, &arguments).await?;
    import.instances(&rules).await?;
    import.rules().await;
    import.people().await;
    import.names().await;
    if !arguments.without_traces {
        import.traces().await;
    }
    import.announce(&settings, &data).await;
    let report = import.report;
    show::print(&if arguments.json { report.json()? } else { report.page() })?;
    match (report.failed(), report.incomplete) {
        (0, false) => Ok(()),
        (0, true) => bail!("not everything could be read; the report says what"),
        (failed, _) => {
            bail!("{failed} of {} instances were not taken over whole; the report says why", report.instances.len())
        }
    }
}

/// An instance of the source, as far as what belongs to it must know.
#[derive(Debug)]
struct Tenant {
    /// Its name here.
    name: InstanceName,
    /// Its row here; none in a dry run for one that would be made.
    id: Option<i64>,
    /// It was here before this import.
    was_there: bool,
    channel: ChannelType,
    /// What its payloads must not show.
    secrets: Vec<Secret>,
    /// Its place in the report.
    place: usize,
    /// It can take what belongs to it.
    open: bool,
}

/// Which instance is the default. In the source several may be.
#[derive(Clone, Copy, Debug)]
enum DefaultInstance {
    /// None is.
    None,
    /// One of this hub, from before.
    Here,
    /// One of the source.
    Given,
}

/// An import under way.
#[derive(Debug)]
struct Import {
    source: Source,
    target: Target,
    mode: ImportMode,
    renames: BTreeMap<String, String>,
    removed: Removed,
    default: DefaultInstance,
    /// By their names in the source.
    tenants: BTreeMap<String, Tenant>,
    /// The names of those that could not be taken over.
    refused: BTreeSet<String>,
    report: Report,
    /// The row ids of instances that every process is to read again.
    changed: BTreeSet<i64>,
}

impl Import {
    async fn new(source: Source, target: Target, arguments: &ImportArgs) -> anyhow::Result<Self> {
        let default = match target.instances.default().await {
            Ok(None) => DefaultInstance::None,
            // One that cannot be read is there, too.
            Ok(Some(_)) | Err(_) => DefaultInstance::Here,
        };
        let removed = Removed::read(&target).await.context("the audit log cannot be read")?;
        let mode = ImportMode { dry_run: arguments.dry_run, overwrite: arguments.overwrite };
        Ok(Self {
            report: Report::new(source.place.clone(), source.schema, mode),
            mode,
            renames: arguments.rename.iter().cloned().collect(),
            tenants: BTreeMap::new(),
            refused: BTreeSet::new(),
            changed: BTreeSet::new(),
            source,
            target,
            removed,
            default,
        })
    }

    /// The instances, one by one: none of them stops the others.
    async fn instances(&mut self, rules: &instance::Rules) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = self.source.page(INSTANCES, after.as_deref()).await.context("the instances cannot be read")?;
            let Some(last) = page.last().map(|row| row.place.clone()) else { break };
            for row in page {
                self.instance(&row, rules).await;
            }
            after = Some(last);
        }
        let unknown = |old: &&String| !self.tenants.contains_key(*old) && !self.refused.contains(*old);
        let unknown: Vec<_> = self.renames.keys().filter(unknown).cloned().collect();
        self.report.remarks.extend(unknown.iter().map(|old| format!("--rename: the source has no instance `{old}`")));
        self.say_who_is_to_post();
        Ok(())
    }

    /// What is imported is not heard of here until Evolution posts to this hub.
    fn say_who_is_to_post(&mut self) {
        let new = |tenant: &Tenant| tenant.open && !tenant.was_there && tenant.channel == ChannelType::Whatsapp;
        if self.tenants.values().any(new) {
            self.report.remarks.push(
                "Evolution posts the messages of new instances here after `omnihub instance update NAME --provision true`"
                    .to_owned(),
            );
        }
    }

    /// Takes over one of them, and says what became of it.
    async fn instance(&mut self, row: &Row, rules: &instance::Rules) {
        let named = row.required("name");
        let theirs = named.as_ref().map_or_else(|_| format!("(row {})", row.place), String::clone);
        let mut entry = InstanceReport::new(&theirs);
        let taken = match named {
            Ok(_) => self.take(row, &theirs, rules, &mut entry).await,
            Err(problem) => Err(problem),
        };
        match taken {
            Ok(tenant) => drop(self.tenants.insert(theirs, tenant.at(self.report.instances.len()))),
            Err(reason) => {
                self.refused.insert(theirs);
                (entry.result, entry.reason) = (Fate::Failed, Some(reason));
            }
        }
        self.report.instances.push(entry);
    }

    async fn take(
        &mut self,
        row: &Row,
        theirs: &str,
        rules: &instance::Rules,
        entry: &mut InstanceReport,
    ) -> Result<Tenant, Problem> {
        let given = self.renames.get(theirs).map_or(theirs, String::as_str);
        entry.name = given.to_owned();
        let name = instance::name(given)?;
        if self.tenants.values().any(|tenant| tenant.name == name) {
            return Err(format!("another instance of the source is called {name} here already"));
        }
        let mut draft = instance::read(row, name, rules)?;
        let there = self.target.instances.get(given).await.map_err(|error| error.with_causes())?;
        let stands = there.as_ref().is_some_and(|there| there.is_default);
        let taken = match self.default {
            DefaultInstance::None => false,
            DefaultInstance::Here => !stands && !self.mode.overwrite,
            DefaultInstance::Given => true,
        };
        if draft.new.is_default && taken {
            draft.new.is_default = false;
            let remedy = format!("`omnihub instance set-default {given}` makes it so");
            draft.remarks.push(format!("it is not the default instance here, another one is; {remedy}"));
        }
        if draft.new.is_default {
            self.default = DefaultInstance::Given;
        }
        entry.remarks = std::mem::take(&mut draft.remarks);
        let secrets = draft.secrets();
        let mut tenant = match there {
            Some(there) => self.present(draft, there, entry).await?,
            None => self.absent(draft, entry).await?,
        };
        // Its payloads may show those that it had there, whatever it has here.
        tenant.secrets.extend(secrets);
        Ok(tenant)
    }

    /// One that is not here.
    async fn absent(&mut self, draft: Draft, entry: &mut InstanceReport) -> Result<Tenant, Problem> {
        let name = draft.new.name.clone();
        let mut tenant = Tenant::new(name, None, channel_of(&draft.new.channel));
        if self.removed.has_instance(tenant.name.as_str()) && !self.mode.overwrite {
            entry.result = Fate::Deleted;
            entry.reason = Some(
                "was deleted here, and stays so with all that belongs to it; --overwrite brings it back".to_owned(),
            );
            tenant.open = false;
            return Ok(tenant);
        }
        if !self.mode.dry_run {
            let made = self.target.instances.create(draft.new).await.map_err(|error| error.with_causes())?;
            self.changed.insert(made.id);
            tenant.know(&made);
        }
        Ok(tenant)
    }

    /// One that is here: it stays as it is, unless the source is to win.
    async fn present(&mut self, draft: Draft, there: Instance, entry: &mut InstanceReport) -> Result<Tenant, Problem> {
        let mut tenant = Tenant::new(there.name.clone(), Some(there.id), there.channel_type());
        tenant.was_there = true;
        tenant.know(&there);
        if channel_of(&draft.new.channel) != tenant.channel {
            return Err(
                "an instance of this name is on another channel here; give this one another name with --rename"
                    .to_owned(),
            );
        }
        entry.differs = draft.differs(&there);
        entry.result = match (entry.differs.is_empty(), self.mode.overwrite) {
            (true, _) => Fate::Unchanged,
            (false, false) => Fate::Kept,
            (false, true) => Fate::Updated,
        };
        if entry.result == Fate::Updated && !self.mode.dry_run {
            let changed = self.target.instances.update(there.name.as_str(), draft.patch()).await;
            let changed = changed.map_err(|error| error.with_causes())?.ok_or("it was deleted here meanwhile")?;
            self.changed.insert(changed.id);
            tenant.know(&changed);
        }
        Ok(tenant)
    }

    /// The instance that a row belongs to, where it takes what belongs to it. A row of none that
    /// the source has is an orphan.
    fn owner(&mut self, instance: Option<&str>) -> Option<String> {
        let name = instance.unwrap_or_default();
        match self.tenants.get(name) {
            Some(tenant) => tenant.open.then(|| name.to_owned()),
            None => {
                self.report.orphans += u64::from(!self.refused.contains(name));
                None
            }
        }
    }

    /// The line of the report of an instance of the source.
    fn entry(&mut self, tenant: &str) -> Option<&mut InstanceReport> {
        let place = self.tenants.get(tenant)?.place;
        self.report.instances.get_mut(place)
    }

    /// Counts something in that line.
    fn tally(&mut self, tenant: &str, count: impl FnOnce(&mut InstanceReport)) {
        if let Some(entry) = self.entry(tenant) {
            count(entry);
        }
    }

    /// What belongs to an instance could not be written: it takes no more, and the others go on.
    fn fail(&mut self, tenant: &str, what: &str, error: &(dyn std::error::Error + 'static)) {
        let reason = format!("its {what} could not be written: {}", causes(error));
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.open = false;
        }
        if let Some(entry) = self.entry(tenant) {
            (entry.result, entry.reason) = (Fate::Failed, Some(reason));
        }
    }

    /// A table of the source could not be read on.
    fn unreadable(&mut self, what: &str, error: &(dyn std::error::Error + 'static)) {
        self.report.incomplete = true;
        self.report.remarks.push(format!("the {what} of the source could not be read to their end: {}", causes(error)));
    }

    /// Notes a row that is left out.
    fn leave_out(&mut self, table: &'static str, row: Option<String>, instance: Option<String>, reason: Problem) {
        self.report.leave_out(LeftOut { table, row: row.unwrap_or_default(), instance, reason });
    }

    async fn announce(&mut self, settings: &ProcessSettings, data: &DataFolder) {
        if let Err(remark) = target::announce(settings, data, &self.changed).await {
            self.report.remarks.push(remark);
        }
    }
}

impl Tenant {
    fn new(name: InstanceName, id: Option<i64>, channel: ChannelType) -> Self {
        Self { name, id, channel, was_there: false, secrets: Vec::new(), place: 0, open: true }
    }

    fn at(self, place: usize) -> Self {
        Self { place, ..self }
    }

    fn know(&mut self, instance: &Instance) {
        self.id = Some(instance.id);
        self.secrets = instance.secrets().into_iter().cloned().collect();
    }
}

fn channel_of(channel: &ChannelSettings) -> ChannelType {
    match channel {
        ChannelSettings::Whatsapp(_) => ChannelType::Whatsapp,
        ChannelSettings::Discord(_) => ChannelType::Discord,
        ChannelSettings::Slack(_) => ChannelType::Slack,
    }
}

/// An error with what caused it, on one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut line = String::new();
    for cause in chain.map(ToString::to_string) {
        if !line.contains(&cause) {
            line = if line.is_empty() { cause } else { format!("{line}: {cause}") };
        }
    }
    line
}
