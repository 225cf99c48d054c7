//! A running gateway: everything started in order, everything stopped in order.

use crate::{
    callbacks,
    calls::{self, Keep, Observer},
    cdr::Records,
    clock::Clock,
    config::{Config, Listen},
    data::{self, DataFolder, Lock},
    driver, journal,
    keeper::Keeper,
    licences::Warden,
    manage::{Doors, Shown},
    net::{
        Input, Listeners,
        connections::{self, Connections},
        queue::{Door, queues},
        resolve::Resolver,
        tls::{self, Names},
        urgent::Rank,
    },
    notify::{self, Notifier},
    observe::{Both, Counters, Logbook, spans::Spans},
    policy::{Engine, EngineSettings},
    provision,
    record::Recorder,
    store,
    tolls::Cashier,
};
use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sip::{digest::Authenticator, transport::Transport};
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use switch::site::Site;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot, watch},
};
use tokio_rustls::rustls::ServerConfig;

/// How long connections and the store get to finish when the gateway ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Within this time what a shard has handed over is taken in.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long providers get to hear that this gateway is not registered any more.
const UNREGISTER: Duration = Duration::from_secs(2);

/// A gateway that listens. Dropping it without [`Gateway::stop`] ends it roughly: the store keeps what was acknowledged either way.
pub struct Gateway {
    /// Its tables.
    pub site: Arc<Site>,
    /// Its policies.
    pub engine: Arc<Engine>,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Every address that it listens on.
    pub listening: Vec<Listen>,
    /// Bindings that the store had kept.
    pub restored: usize,
    /// Calls of an earlier process that go on, and those that were unreadable.
    pub calls: journal::Found,
    /// The certificate that phones see.
    pub(crate) certificate: Arc<tls::Shown>,
    /// What the certificate must show.
    pub(crate) names: Names,
    /// Whether it asks peers for their certificates.
    pub(crate) verifies: bool,
    /// Where it can be seen and steered.
    pub doors: Doors,
    /// Where decisions are reported as spans.
    spans: Option<Arc<Spans>>,
    /// Tells the resolver that the trunks have changed.
    pub(crate) trunks_changed: Arc<Notify>,
    /// Where bindings are made durable.
    pub(crate) keep: Arc<dyn Keep>,
    /// Who changes the directory.
    pub(crate) keeper: Arc<Keeper>,
    /// Who tells of calls for help.
    pub(crate) notifier: Option<Arc<Notifier>>,
    /// Who looks after the licence pools.
    warden: Arc<Warden>,
    /// Who keeps what calls to the outside have used.
    cashier: Arc<Cashier>,
    /// The queue of the shard that keeps the trunks.
    trunks: Option<Door>,
    stop: watch::Sender<bool>,
    shards: Vec<JoinHandle<()>>,
    store: oneshot::Receiver<()>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
    /// Who writes down what calls for help leave behind: they hear of those that come until the shards have ended.
    told: Vec<tokio::task::JoinHandle<()>>,
    _lock: Lock,
}

impl Gateway {
    /// Starts a gateway: locks the data folder, binds, restores, loads policies, then reads from the network. `watcher` sees what the log sees.
    ///
    /// # Errors
    /// What stands in the way, and what to do about it.
    #[expect(clippy::too_many_lines, reason = "everything in the order in which it starts, each line needing those above it")]
    pub async fn start(config: &Config, data: &DataFolder, watcher: Option<Arc<dyn Observer>>) -> anyhow::Result<Self> {
        let lock = data.lock()?;
        raise_file_limit();
        survive_size_limit()?;
        let limits = config.limits;
        let clock = Clock::start();
        let counters = Arc::new(Counters::default());
        let listeners = Listeners::bind(&config.listen, limits.shards, limits.datagram_buffer)?;
        warn_of_small_buffers(&listeners, limits.datagram_buffer);
        let listening: Vec<Listen> = listeners.addresses().collect();

        let site = Arc::new(Site::new(config.directory.clone(), limits.site));
        let mut started = start_store(config, data, &site, clock.now(), &counters).await?;
        let keeper = Keeper::new(Arc::clone(&site), &mut started, clock, provision::Keeping::of(config, data));
        let warden = Warden::new(Arc::clone(&site), Arc::clone(&started.store), clock, Arc::clone(&counters));
        let cashier = Cashier::new(Arc::clone(&site), Arc::clone(&started.store), clock, Arc::clone(&counters));
        let records = start_records(config, data, &started.store, &counters);
        let (notifier, alarms) = start_notifier(config, data, clock, &counters).unzip();
        let keep: Arc<dyn Keep> = started.store;

        let callbacks = callbacks::start(data.root(), &site, &counters);
        let (engine, recorder) = start_policies(config, data, &site, &counters)?;

        let names = names(config, &listening);
        let certificate = tls::Shown::load(&config.tls, data, &names)?;
        let server = tls::server_config(Arc::clone(&certificate))?;
        let authorities = authorities(config)?;
        let (doors_of_shards, inboxes): (Vec<_>, Vec<_>) = (0..limits.shards).map(|_| queues(limits.shard_queue)).unzip();
        let parts = connections::Parts {
            shards: doors_of_shards.clone(),
            site: Arc::clone(&site),
            keep: Some(Arc::clone(&keep)),
            counters: Arc::clone(&counters),
            runtime: tokio::runtime::Handle::current(),
            server: match &authorities {
                Some(authorities) => tls::server_config_for_peers(Arc::clone(&certificate), authorities)?,
                None => Arc::clone(&server),
            },
            client: tls::client_config(&config.tls)?,
            authorities,
        };
        let connections = Connections::new(limits, parts, &clock);

        let (servers, remembered) = (config.name_servers.clone(), data.trunks());
        let mut resolver = Resolver::new(Arc::clone(&site), Arc::clone(&connections), listening.clone(), servers, remembered);
        resolver.addresses_first();

        let spans = config.telemetry.as_ref().map(Spans::start).transpose()?.map(Arc::new);
        let more = [
            recorder.map(|recorder| recorder as Arc<dyn Observer>),
            records.clone().map(|records| records as Arc<dyn Observer>),
            notifier.clone().map(|notifier| notifier as Arc<dyn Observer>),
            watcher,
            spans.clone().map(|spans| spans as Arc<dyn Observer>),
        ];
        let observer = observer(&counters, more.into_iter().flatten());
        let authenticator = Arc::new(authenticator(config, data)?);
        let (stop, stopped) = watch::channel(false);
        let mut shards = Vec::new();
        let (journals, calls) = journals(&data.calls(), limits.shards, &counters);
        if let Some(records) = records {
            records.know(&data.records(), &up_before(&journals));
        }
        let exchange = calls::Exchange::new(limits.shards, limits.shard_queue);
        for (index, ((sockets, inbox), calls)) in listeners.udp.into_iter().zip(inboxes).zip(journals).enumerate() {
            let (site, authenticator, keep, observer) =
                (Arc::clone(&site), Arc::clone(&authenticator), Arc::clone(&keep), Arc::clone(&observer));
            let (count, seed) = (limits.shards, data::random_bytes()?);
            let (shard_site, exchange) = (Arc::clone(&site), Arc::clone(&exchange));
            let shard: driver::ShardParts = Box::new(move |runner| calls::Parts {
                index,
                shards: count,
                exchange,
                site: shard_site,
                authenticator,
                runner,
                keep: Some(keep),
                observer,
                seed,
                limits: limits.sip,
            });
            let parts = driver::Parts {
                shard,
                engine: Arc::clone(&engine),
                calls,
                sockets,
                inbox,
                shards: doors_of_shards.clone(),
                backlog: limits.shard_queue,
                connections: Arc::clone(&connections),
                counters: Arc::clone(&counters),
                clock,
                batch: limits.datagram_batch,
                stop: stopped.clone(),
            };
            shards.push(driver::start(format!("shard-{index}"), site, parts)?);
        }
        let mut accepting = accept(listeners.streams, &connections);
        let trunks_changed = Arc::clone(&resolver.changed);
        let mut told = vec![tokio::spawn(callbacks)];
        accepting.push(tokio::spawn(resolver.run(limits.resolve_every)));
        accepting.push(tokio::spawn(Arc::clone(&warden).run()));
        // Not before the shards have taken up the calls of an earlier process.
        accepting.push(tokio::spawn(Arc::clone(&cashier).run()));
        accepting.push(tokio::spawn(Arc::clone(&keeper).run()));
        if let Some((notifier, alarms)) = notifier.clone().zip(alarms) {
            told.push(tokio::spawn(notifier.run(alarms, Arc::clone(&exchange), Arc::clone(&site))));
        }
        let shown = Shown {
            engine: Arc::clone(&engine),
            counters: Arc::clone(&counters),
            keeper: Arc::clone(&keeper),
            site: Arc::clone(&site),
            exchange,
            notifier: notifier.clone(),
            listening: listening.clone().into(),
        };
        let doors = doors(config, data, server, &certificate, &shown);
        Ok(Self {
            site,
            engine,
            counters,
            listening,
            restored: started.restored,
            calls,
            certificate,
            names,
            doors,
            spans,
            trunks_changed,
            keep,
            keeper,
            notifier,
            warden,
            verifies: config.knows_certificates(),
            cashier,
            trunks: doors_of_shards.into_iter().next(),
            stop,
            shards,
            store: started.ended,
            accepting,
            told,
            _lock: lock,
        })
    }

    /// The first address of that transport.
    #[must_use]
    pub fn address(&self, transport: Transport) -> Option<SocketAddr> {
        self.listening.iter().find(|l| l.transport == transport).map(|l| l.address)
    }

    /// Ends the gateway: no more is accepted, the shards finish their turn, the store writes what it was given.
    ///
    /// # Errors
    /// When a shard had ended by itself before.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.doors);
        for task in self.accepting {
            task.abort();
        }
        let left = Arc::new(Notify::new());
        if self.trunks.is_some_and(|trunks| trunks.try_send(Input::Leave(Arc::clone(&left)), Rank::First))
            && tokio::time::timeout(UNREGISTER, left.notified()).await.is_err()
        {
            tracing::warn!(
                "a provider was not told within {} s that this gateway ends; its registration lapses by itself",
                UNREGISTER.as_secs()
            );
        }
        self.site.tolls.leave();
        self.stop.send_replace(true);
        let shards = self.shards;
        let joined = tokio::task::spawn_blocking(move || shards.into_iter().map(JoinHandle::join).all(|r| r.is_ok()));
        let all = joined.await.context("the shards")?;
        // What the shards have said last is still read and written.
        tokio::time::sleep(LAST_WORDS).await;
        for task in self.told {
            task.abort();
        }
        let (warden, cashier) = (self.warden, self.cashier);
        let looked = tokio::task::spawn_blocking(move || {
            warden.look();
            cashier.look();
        });
        match tokio::time::timeout(FAREWELL, looked).await {
            Ok(looked) => looked.context("licence pools and accounts of calls to the outside")?,
            Err(_) => tracing::warn!(
                "how licence pools and accounts of calls to the outside stand was not written within {} s: the disk does not answer",
                FAREWELL.as_secs()
            ),
        }
        drop((self.keep, self.keeper));
        if let Some(spans) = self.spans {
            tokio::task::spawn_blocking(move || spans.finish(FAREWELL)).await.context("the spans")?;
        }
        if tokio::time::timeout(FAREWELL, self.store).await.is_err() {
            tracing::warn!("the store did not finish within {} s; what was acknowledged is on disk", FAREWELL.as_secs());
        }
        anyhow::ensure!(all, "a shard had ended by itself; the log says why");
        Ok(())
    }
}

/// What the certificate must show: every address that is listened on, and what phones are told to look for.
fn names(config: &Config, listening: &[Listen]) -> Names {
    let rest = config.rest.iter().map(|rest| rest.listen.ip());
    let provision = config.provision.iter().flat_map(|provision| &provision.https).map(SocketAddr::ip);
    let names = Names::new(&config.domain, listening.iter().map(|listen| listen.address.ip()).chain(rest).chain(provision));
    // Phones are told to look for this one.
    config.provision.iter().fold(names, |names, provision| names.and(provision.controller.host()))
}

/// Whose certificates prove who a peer is, where a trunk is known by one.
fn authorities(config: &Config) -> anyhow::Result<Option<tls::Authorities>> {
    config.knows_certificates().then(|| tls::Authorities::new(config.tls.trunk_authorities.as_deref())).transpose()
}

/// Where whoever runs the gateway comes in.
fn doors(config: &Config, data: &DataFolder, server: Arc<ServerConfig>, certificate: &Arc<tls::Shown>, shown: &Shown) -> Doors {
    let mut doors = Doors::open(data, config.metrics, shown);
    if let Some(rest) = &config.rest {
        doors.open_rest(rest, &config.limits, data, server, shown);
    }
    if let Some(settings) = &config.provision {
        let (limits, root) = (&config.limits, settings.root(&config.tls, data));
        doors.open_provision(&provision::Place { settings, limits, root, certificate: Arc::clone(certificate) }, shown);
    }
    doors
}

/// The log, and all others who see what it sees.
fn observer(counters: &Arc<Counters>, more: impl Iterator<Item = Arc<dyn Observer>>) -> Arc<dyn Observer> {
    let logbook: Arc<dyn Observer> = Arc::new(Logbook::new(Arc::clone(counters)));
    more.fold(logbook, |observer, also| Arc::new(Both(observer, also)))
}

/// The records of calls. Without them calls are carried all the same.
fn start_records(config: &Config, data: &DataFolder, store: &Arc<store::Store>, counters: &Arc<Counters>) -> Option<Arc<Records>> {
    let records = Records::start(&data.records(), config.records, Arc::clone(store), Arc::clone(counters));
    records.inspect_err(|error| tracing::error!("calls are not recorded: {error:#}")).ok()
}

/// Whoever tells of calls for help. These go out in any case.
fn start_notifier(config: &Config, data: &DataFolder, clock: Clock, counters: &Arc<Counters>) -> Option<(Arc<Notifier>, notify::Inbox)> {
    let notifier = Notifier::open(data.root(), &config.notify, config.limits, clock, Arc::clone(counters));
    notifier.inspect_err(|error| tracing::error!("nobody is told of calls for help: {error:#}")).ok()
}

/// Call-ID and beginning of the calls of an earlier process.
fn up_before(journals: &[Option<journal::Own>]) -> Vec<(String, sip::Instant)> {
    let saved = journals.iter().flatten().flat_map(|(_, saved)| saved);
    let call = |saved: &journal::Saved| {
        let call = saved.facts.call();
        (String::from_utf8_lossy(call.message.call_id()).into_owned(), call.at)
    };
    saved.map(call).collect()
}

/// The journals of calls, one for each shard. Without them calls are carried all the same, but end with the process.
fn journals(folder: &Path, shards: usize, counters: &Arc<Counters>) -> (Vec<Option<journal::Own>>, journal::Found) {
    match journal::open(folder, shards, counters) {
        Ok((journals, found)) => {
            if found != journal::Found::default() {
                tracing::info!(restored = found.calls, lost = found.lost, torn = found.torn, "calls of an earlier process go on");
            }
            (journals.into_iter().map(Some).collect(), found)
        }
        Err(error) => {
            counters.count("journal-failed");
            tracing::error!("calls are not written down and end with the process: {error:#}");
            ((0..shards).map(|_| None).collect(), journal::Found::default())
        }
    }
}

/// The store, with what it has kept back in `site`.
async fn start_store(
    config: &Config,
    data: &DataFolder,
    site: &Arc<Site>,
    now: sip::Instant,
    counters: &Arc<Counters>,
) -> anyhow::Result<store::Started> {
    let options = store::Options::new(&config.limits, config.degraded);
    store::Store::start(&data.store(), site, now, options, Arc::clone(counters)).await
}

/// The policies, and the record of what they decide.
fn start_policies(
    config: &Config,
    data: &DataFolder,
    site: &Arc<Site>,
    counters: &Arc<Counters>,
) -> anyhow::Result<(Arc<Engine>, Option<Arc<Recorder>>)> {
    let policies = config.policies(data);
    for file in Engine::install_shipped(&policies)? {
        tracing::info!(file, "policy installed");
    }
    let settings = EngineSettings { cache: Some(data.cache()), threads: config.limits.policy_threads, ..EngineSettings::default() };
    let engine = Engine::start(&policies, Arc::clone(site), settings)?;
    let recorder = Recorder::start(&data.decisions(), config.decisions.clone(), Arc::clone(counters)).unwrap_or_else(|error| {
        // No reason to leave phones without service.
        tracing::error!("decisions are not recorded: {error:#}");
        None
    });
    if let Some(recorder) = &recorder {
        engine.record_to(Arc::clone(recorder));
    }
    Ok((engine, recorder))
}

/// Takes stream connections, each listener in a task of its own.
fn accept(streams: Vec<(Transport, SocketAddr, TcpListener)>, connections: &Arc<Connections>) -> Vec<tokio::task::JoinHandle<()>> {
    let accept = |(transport, _, listener): (Transport, SocketAddr, TcpListener)| {
        let connections = Arc::clone(connections);
        tokio::spawn(async move {
            if let Err(error) = connections.accept(transport, listener).await {
                tracing::error!("{} connections are not accepted: {error}", transport.via_token());
            }
        })
    };
    streams.into_iter().map(accept).collect()
}

/// The key is kept, so that a nonce given out before a restart is still good after it.
fn authenticator(config: &Config, data: &DataFolder) -> anyhow::Result<Authenticator> {
    let nonce_seconds = u32::try_from(config.limits.nonce.as_secs()).unwrap_or(u32::MAX);
    let authenticator = Authenticator::new(&config.domain, data.nonce_key()?, nonce_seconds, config.limits.nonce_counts);
    Ok(authenticator.offer(&config.digest))
}

/// Every connection is an open file: as many as this process may have.
fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("the limit of open files stays {soft}: {error}");
    }
}

/// A write beyond a size limit (`ulimit -f`) is an error of that write from now on, as on a full disk, and not the end of the process.
fn survive_size_limit() -> anyhow::Result<()> {
    // The handler stays, whether or not somebody listens.
    signal(SignalKind::from_raw(nix::libc::SIGXFSZ)).map(drop).context("the system gives no signals")
}

fn warn_of_small_buffers(listeners: &Listeners, asked: usize) {
    let smallest = listeners.udp.iter().flatten().map(crate::net::udp::Socket::receive_buffer).min();
    // The kernel reports twice what it grants, for its own book-keeping.
    if let Some(smallest) = smallest.filter(|got| *got < 2 * asked) {
        tracing::warn!(
            "the kernel grants {} kB of receive buffer per UDP socket where {} kB were asked: phones that register all at once must repeat themselves; allow more with `sysctl -w net.core.rmem_max={asked}`",
            smallest / 2 / 1024,
            asked / 1024
        );
    }
}
