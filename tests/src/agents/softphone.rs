//! What every softphone can be told to do and shows, whoever made it. Once it is registered nothing panics: a run over many pairs goes on when one
//! of them fails.

use super::{Baresip, Linphone, Phone, Pjsua, Subject, Way, free_ports};
use std::{fs, path::PathBuf};

/// Whose user agent it is: three stacks that share no code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Make {
    /// baresip (libre).
    Baresip,
    /// pjsua (PJSIP).
    Pjsua,
    /// linphonec (belle-sip).
    Linphone,
}

impl Make {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Baresip, Self::Pjsua, Self::Linphone];

    /// Its name, as one types it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baresip => "baresip",
            Self::Pjsua => "pjsua",
            Self::Linphone => "linphone",
        }
    }

    /// Whether it can join two of its calls (REFER with Replaces). Debian's baresip has no such command.
    #[must_use]
    pub const fn joins(self) -> bool {
        !matches!(self, Self::Baresip)
    }

    /// Whether it can answer with 302. Debian's baresip has no such command.
    #[must_use]
    pub const fn forwards(self) -> bool {
        !matches!(self, Self::Baresip)
    }

    /// Starts one that registers over `way` and returns when its registration was accepted.
    ///
    /// # Panics
    /// When the program is missing, naming the command that brings it; when it cannot register.
    #[must_use]
    pub fn register(self, subject: &Subject, way: Way, phone: &Phone) -> Box<dyn Softphone> {
        match self {
            Self::Baresip => Box::new(Baresip::register(subject, way, phone)),
            Self::Pjsua => Box::new(Pjsua::register(subject, way, phone)),
            Self::Linphone => Box::new(Linphone::register(subject, way, phone)),
        }
    }
}

/// What a person does with a phone. Extensions are without domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order<'a> {
    /// Calls.
    Dial(&'a str),
    /// Takes the call that rings.
    Answer,
    /// Ends every call.
    HangUp,
    /// Puts the call on hold.
    Hold,
    /// Takes the held call back.
    Resume,
    /// Sends the other party on, and leaves (REFER).
    Transfer(&'a str),
    /// Joins the held call and the one that talks, and leaves (REFER with Replaces).
    Join,
    /// Presses a key (RFC 4733).
    Press(char),
    /// Turns the call that rings away: 486, or 603 where the phone knows only that.
    Refuse,
    /// Sends the call that rings elsewhere: 302.
    Forward(&'a str),
}

/// What a phone shows. Each is waited for behind the one that was seen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// Somebody calls.
    Called,
    /// The called phone rings.
    Rings,
    /// The call is answered.
    Talks,
    /// The other side holds the call.
    Held,
    /// The other side took it back.
    Freed,
    /// It holds the call itself, and the other side has agreed.
    Holds,
    /// The other side pressed this key.
    Heard(char),
    /// The call is over.
    Ended,
}

/// RTP packets of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rtp {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// A softphone that has registered.
pub trait Softphone: Send {
    /// Forgets what it has shown so far.
    fn fresh(&mut self);

    /// Does it.
    ///
    /// # Errors
    /// When the program cannot, or is gone.
    fn tell(&mut self, order: Order<'_>) -> Result<(), String>;

    /// Waits until it shows this and returns the line in which it does.
    ///
    /// # Errors
    /// After ten seconds, with what was shown instead.
    fn shows(&mut self, sign: Sign) -> Result<String, String>;

    /// What it counted in the last call that it has shown the end of.
    ///
    /// # Errors
    /// When it counted nothing.
    fn counted(&mut self) -> Result<Rtp, String>;

    /// Everything that it printed, its messages included.
    fn log(&self) -> String;
}

/// A tone of 8,000 samples a second, which the phones send for want of a microphone. Made once for each subject.
pub(super) fn tone(subject: &Subject) -> PathBuf {
    const SECONDS: u32 = 120;
    const RATE: u32 = 8_000;
    let path = subject.folder.path().join("tone.wav");
    if path.is_file() {
        return path;
    }
    let samples = SECONDS * RATE;
    let mut file = Vec::with_capacity(samples as usize * 2 + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(samples * 2 + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend_from_slice(&[1, 0, 1, 0]);
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&[2, 0, 16, 0]);
    file.extend_from_slice(b"data");
    file.extend_from_slice(&(samples * 2).to_le_bytes());
    // A triangle of 400 Hz: twenty samples up and down.
    file.extend((0..samples).flat_map(|n| {
        let place = i16::try_from(n % 20).unwrap_or(0);
        ((if place < 10 { place } else { 20 - place } - 5) * 1_000).to_le_bytes()
    }));
    // Two phones may ask at the same time; each sees the file whole or not at all.
    let own = subject.folder.path().join(format!("tone-{}.wav", free_ports(1)));
    fs::write(&own, file).unwrap();
    fs::rename(own, &path).unwrap();
    path
}
