//! One stream connection: frames in, bytes out, time limits on both.

use super::connections::Connections;
use bytes::{Bytes, BytesMut};
use sip::{
    Message,
    build::Writer,
    frame::{self, Frame, FrameError},
    transport::Flow,
};
use socket2::{SockRef, TcpKeepalive};
use std::{pin::pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

/// Octets read from a connection in one go.
const READ: usize = 8 << 10;
/// Messages written to a connection in one go.
const WRITE: usize = 32;
/// How long a connection that cannot be read any further stays open for the answers to what was read before.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// No waiting to fill packets; dead peers are noticed within two minutes.
pub(super) fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    // A socket that refuses these still carries messages.
    socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive)).ok();
}

/// Carries a connection to its end: closed by the peer, silent or slow beyond the limits, unreadable, or its queue taken away. One that was let in `for_help`
/// only ends at its first message when that calls for no help.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    connections: &Connections,
    flow: Flow,
    stream: S,
    mut outgoing: mpsc::Receiver<Bytes>,
    for_help: bool,
) -> End {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let (answers, mut answered) = mpsc::channel(8);
    let end = {
        let mut writer = pin!(write(connections, &mut writing, &mut outgoing, &mut answered));
        tokio::select! {
            end = read(connections, flow, &mut reading, answers, for_help) => {
                if end == End::Unreadable {
                    timeout(LAST_WORDS, writer).await.ok();
                }
                end
            }
            () = &mut writer => End::Closed,
        }
    };
    timeout(Duration::from_secs(1), writing.shutdown()).await.ok();
    end
}

/// Why nothing more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The peer closed it, or a limit did.
    Closed,
    /// Where the next message begins cannot be known.
    Unreadable,
    /// It had a place for calls for help only, and said something else.
    NotForHelp,
}

/// Reads until the end.
async fn read(
    connections: &Connections,
    flow: Flow,
    stream: &mut (impl AsyncRead + Unpin),
    answers: mpsc::Sender<Bytes>,
    mut for_help: bool,
) -> End {
    let limits = &connections.limits;
    let mut buffer = BytesMut::new();
    let mut scanned = 0;
    // A peer has this long for its first message, and for each one that it has begun.
    let mut finish_by = Some(Instant::now() + limits.half_message);
    loop {
        loop {
            match frame::next(&mut buffer, &mut scanned, &limits.sip) {
                Ok(None) => break,
                Ok(Some(Frame::Message(bytes))) => {
                    if for_help && !connections.calls_for_help(&bytes) {
                        return End::NotForHelp;
                    }
                    for_help = false;
                    connections.deliver(bytes, flow).await;
                    finish_by = None;
                }
                Ok(Some(Frame::Ping)) => {
                    // RFC 5626 3.5.1: the double CRLF ping is answered with a single CRLF. A peer that pings faster than it reads loses some.
                    answers.try_send(Bytes::from_static(b"\r\n")).ok();
                    finish_by = finish_by.filter(|_| for_help);
                }
                Ok(Some(Frame::Pong)) => finish_by = finish_by.filter(|_| for_help),
                Err(error) => {
                    connections.counters.limit("unframed", || format!("{flow:?} was closed: {error}"));
                    if let Some(refusal) = refusal(error, flow, limits) {
                        answers.try_send(refusal).ok();
                    }
                    return End::Unreadable;
                }
            }
        }
        if buffer.is_empty() {
            // Nothing begun: give the memory back while the peer is silent.
            buffer = BytesMut::new();
            scanned = 0;
        } else if finish_by.is_none() {
            finish_by = Some(Instant::now() + limits.half_message);
        }
        buffer.reserve(READ);
        let until = finish_by.unwrap_or_else(|| Instant::now() + limits.idle);
        match timeout_at(until, stream.read_buf(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return End::Closed,
            Ok(Ok(_)) => {}
            Err(_) => {
                let (name, key) = if finish_by.is_some() { ("half-message", "half_message_seconds") } else { ("idle", "idle_seconds") };
                connections.counters.limit(name, || format!("{flow:?} was closed: limit `{key}`"));
                return End::Closed;
            }
        }
    }
}

/// RFC 3261 20.14: over a stream every message must say how long its body is. The answer to one that does not, where it can be answered.
fn refusal(error: FrameError, flow: Flow, limits: &crate::config::Limits) -> Option<Bytes> {
    let FrameError::ContentLength(head) = error else { return None };
    let request = Message::parse(head, &limits.sip).ok().filter(Message::is_request)?;
    let tag = format!("{:x}", flow.connection);
    let response = Writer::response(&request, 400, "Bad Content-Length", Some(&tag)).finish_response(b"");
    Some(Bytes::copy_from_slice(response.bytes()))
}

/// Writes until the queue is taken away or the peer does not take a message in time.
async fn write(
    connections: &Connections,
    stream: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut mpsc::Receiver<Bytes>,
    answers: &mut mpsc::Receiver<Bytes>,
) {
    let mut batch = Vec::with_capacity(WRITE);
    loop {
        tokio::select! {
            count = outgoing.recv_many(&mut batch, WRITE) => if count == 0 { return },
            Some(answer) = answers.recv() => batch.push(answer),
        }
        let whole = async {
            for bytes in batch.drain(..) {
                stream.write_all(&bytes).await?;
            }
            stream.flush().await
        };
        match timeout(connections.limits.half_message, whole).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                connections
                    .counters
                    .limit("slow-reader", || "a peer that did not take a message within `half_message_seconds` was closed".to_owned());
                return;
            }
        }
    }
}
