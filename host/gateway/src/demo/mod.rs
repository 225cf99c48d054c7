//! The demonstration: two scripted phones register over real sockets, one calls the other, and the terminal shows the ladder of the
//! call with each policy's decision and its time beside the message that asked for it.
//!
//! Nothing here is special to the gateway: the phones are ordinary SIP user agents made of the `sip` crate, and the ladder is drawn
//! from what an [`crate::calls::Observer`] sees, which is what the log sees too.

mod feed;
mod hush;
mod ladder;
mod phone;
mod speech;
#[cfg(test)]
mod tests;

pub use feed::{Feed, Watcher, watch};
pub use hush::Log;

use crate::clock::Clock;
use anyhow::Context as _;
use ladder::Ladder;
use phone::Phone;
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// How long any one step may take: an answer to a request, the ringing of the called phone, its hanging up.
const STEP: Duration = Duration::from_secs(5);
/// How long the called phone rings before it is answered.
const RINGS: Duration = Duration::from_millis(300);

/// What a phone needs to register: an endpoint of the configuration, with its password in clear.
#[derive(Clone)]
pub struct Account {
    /// What others dial.
    pub extension: String,
    /// Digest user.
    pub username: String,
    /// Digest password.
    pub password: String,
    /// Display name.
    pub name: String,
}

/// Where the demonstration plays and who is in it.
#[derive(Clone)]
pub struct Scene {
    /// An address on which the gateway listens for UDP. An unspecified one (`0.0.0.0`) is reached through loopback.
    pub gateway: SocketAddr,
    /// The gateway's domain.
    pub domain: String,
    /// The phone that calls.
    pub caller: Account,
    /// The phone that is called.
    pub callee: Account,
}

/// How the ladder is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Three columns for people. Colours are written as escape codes: give a stream that removes them where no terminal listens
    /// (`anstream::stdout()`).
    Ladder,
    /// One JSON object a line: `message` and `speech` events as they happen, and at the end a `result`.
    Json,
}

/// Plays the whole scene against a running gateway whose observer is (or contains) the [`Watcher`] of `feed`, and writes the ladder while it
/// happens. About two seconds.
///
/// # Errors
/// The first step that failed or took longer than five seconds, in a sentence that names the phone and the step.
pub async fn run(scene: &Scene, mut feed: Feed, style: Style, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let clock = Clock::start();
    let gateway = reachable(scene.gateway);
    let mut caller = Phone::new(&scene.caller, &scene.domain, gateway, clock).await?;
    let mut callee = Phone::new(&scene.callee, &scene.domain, gateway, clock).await?;
    let mut ladder = Ladder::new(style, [(caller.address(), &scene.caller), (callee.address(), &scene.callee)]);
    let hush = (style == Style::Ladder).then(hush::Hush::begin);
    ladder.begin(out)?;
    feed.open();

    let outcome = {
        let script = play(&mut caller, &mut callee, &scene.callee.extension);
        tokio::pin!(script);
        loop {
            tokio::select! {
                outcome = &mut script => break outcome,
                event = feed.next() => ladder.add(event, out)?,
                () = tokio::time::sleep(ladder::DECISION_WAIT) => ladder.flush(out)?,
            }
        }
    };
    feed.close();
    while let Some(event) = feed.try_next() {
        ladder.add(event, out)?;
    }
    ladder.finish(&outcome, feed.lost(), out)?;
    out.flush()?;
    drop(hush);
    outcome.map(|_| ())
}

/// Registers `caller` with a running gateway, calls `number`, gives up as soon as it rings, and removes the registration. Status and phrase of what was
/// heard: `180 Ringing`, `403 Number barred`.
///
/// # Errors
/// The step that failed or took longer than five seconds. A call that is refused is no error.
pub async fn call(gateway: SocketAddr, domain: &str, caller: &Account, number: &str) -> anyhow::Result<(u16, String)> {
    let mut phone = Phone::new(caller, domain, reachable(gateway), Clock::start()).await?;
    phone.register().await?;
    let heard = phone.attempt(number).await;
    phone.unregister().await?;
    heard
}

/// The script: it reads as the ladder does. Returns how many packets of speech were heard by caller and callee.
async fn play(caller: &mut Phone, callee: &mut Phone, extension: &str) -> anyhow::Result<speech::Heard> {
    caller.register().await?;
    callee.register().await?;
    let (mut outgoing, incoming) = tokio::try_join!(caller.call(extension), callee.ring())?;
    tokio::time::sleep(RINGS).await;
    callee.answer(&incoming).await?;
    let remote_media = caller.hears_answer(&mut outgoing).await?;
    callee.acknowledged(&incoming).await?;
    let heard =
        speech::exchange(caller.media(), remote_media, callee.media(), incoming.media).await.context("the phones could not talk")?;
    caller.hang_up(&mut outgoing, callee, &incoming).await?;
    caller.unregister().await?;
    callee.unregister().await?;
    Ok(heard)
}

fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}
