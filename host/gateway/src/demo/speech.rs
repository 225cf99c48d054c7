//! A moment of speech: packets of real RTP (RFC 3550) between the two phones' own sockets. They never touch the gateway, which is the point.

use anyhow::ensure;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::UdpSocket, time};

/// Packets that each phone sends: half a second of speech.
const PACKETS: u16 = 25;
/// Speech in one packet.
const PACKET_TIME: Duration = Duration::from_millis(20);
/// Samples of 8 kHz in one packet.
const SAMPLES: usize = 160;

/// How many packets arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    /// At the calling phone.
    pub(super) caller: u16,
    /// At the called phone.
    pub(super) callee: u16,
}

/// Both phones speak at once, each to the address that the other's session description gave.
///
/// # Errors
/// When either hears less than half of what was said.
pub(super) async fn exchange(
    caller: &UdpSocket,
    to_callee: SocketAddr,
    callee: &UdpSocket,
    to_caller: SocketAddr,
) -> anyhow::Result<Heard> {
    let (heard_by_caller, heard_by_callee) = tokio::try_join!(speak(caller, to_callee, 1), speak(callee, to_caller, 2))?;
    let heard = Heard { caller: heard_by_caller, callee: heard_by_callee };
    ensure!(
        heard.caller >= PACKETS / 2 && heard.callee >= PACKETS / 2,
        "of {PACKETS} packets each way the caller heard {} and the called phone {}",
        heard.caller,
        heard.callee
    );
    Ok(heard)
}

async fn speak(socket: &UdpSocket, peer: SocketAddr, source: u32) -> anyhow::Result<u16> {
    let mut ticks = time::interval(PACKET_TIME);
    let mut buffer = [0; 512];
    let mut heard = 0;
    let mut said = 0;
    // One tick more than packets: the last packet of the other side gets time to arrive.
    while said <= PACKETS {
        tokio::select! {
            _ = ticks.tick() => {
                if said < PACKETS {
                    socket.send_to(&packet(said, source), peer).await?;
                }
                said += 1;
            }
            received = socket.recv_from(&mut buffer) => {
                let (length, from) = received?;
                if from == peer && length == 12 + SAMPLES {
                    heard += 1;
                }
            }
        }
    }
    Ok(heard)
}

/// A packet of PCMU silence: version 2, payload type 0 (RFC 3551), sequence number, timestamp, source (RFC 3550 5.1).
fn packet(number: u16, source: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(12 + SAMPLES);
    packet.extend([0x80, if number == 0 { 0x80 } else { 0 }]);
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend(source.to_be_bytes());
    packet.resize(12 + SAMPLES, 0xff);
    packet
}

/// The offer or answer of a phone whose RTP socket is bound to `media`.
pub(super) fn description(media: SocketAddr) -> String {
    let (family, ip) = (if media.is_ipv4() { "IP4" } else { "IP6" }, media.ip());
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n",
        media.port()
    )
}

/// Where a session description (RFC 8866) wants its audio: the session's or the medium's `c=` and the port of `m=audio`.
pub(super) fn destination(description: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(description).ok()?;
    let ip = text.lines().find_map(|l| l.strip_prefix("c=IN IP4 ").or_else(|| l.strip_prefix("c=IN IP6 ")))?.trim().parse().ok()?;
    let port = text.lines().find_map(|l| l.strip_prefix("m=audio "))?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}
