//! What a phone does when others answer, or do not.

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

use super::{End, Phone, Purpose};
use gateway::calls::Transmit;
use sip::{Instant, Message, header::Name, message::Method, stack::ClientId};

impl Phone {
    pub(super) fn answered(&mut self, id: ClientId, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let status = message.status();
        let Some(purpose) = self.pending.get(&id).cloned() else { return };
        match purpose {
            Purpose::Register if matches!(status, 401 | 407) && self.registration.as_ref().is_some_and(|dialog| dialog.local_cseq == 1) => {
                self.send_register(Some(message), now, out);
            }
            Purpose::Register if status >= 200 => self.registered = status < 300,
            Purpose::Register => {}
            Purpose::Invite(place) => self.invite_answered(place, message, now, out),
            Purpose::Inside(place, Method::Bye) if status >= 200 => {
                self.calls[place].end.get_or_insert(End::WeHungUp);
            }
            Purpose::Inside(place, method) if status >= 200 => {
                self.calls[place].said.push((method, status));
                // 12.2.1.2: "If the response for a request within a dialog is a 481 or a 408, the UAC SHOULD terminate the dialog."
                if matches!(status, 408 | 481) {
                    self.bye(place, now, out);
                }
            }
            Purpose::Inside(..) => {}
            Purpose::Message => self.message_answered(message, now, out),
        }
    }

    fn invite_answered(&mut self, place: usize, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let (status, cseq) = (message.status(), message.cseq().map_or(0, |cseq| cseq.number));
        let call = &mut self.calls[place];
        if call.up || call.end.is_some() {
            // A re-INVITE, or the 2xx of the first one again.
            if (200..300).contains(&status) {
                call.dialog.refresh_target(message);
                if !call.said.contains(&(Method::Invite, status)) && cseq != call.cseq {
                    call.said.push((Method::Invite, status));
                }
                self.acknowledge(place, cseq, now, out);
            } else if status >= 300 {
                call.said.push((Method::Invite, status));
                if matches!(status, 408 | 481) {
                    self.bye(place, now, out);
                }
            }
            return;
        }
        match status {
            401 | 407 if call.cseq == 1 => self.send_invite(place, Some(message), now, out),
            101..200 => {
                call.dialog.learn(message);
                call.progress.push(status);
                if let Some(rseq) = message.number(Name::RSeq) {
                    let mut writer = call.dialog.request(Method::Prack, b"", 70);
                    writer.header(Name::RAck, format!("{rseq} {cseq} INVITE").as_bytes());
                    let (flow, purpose) = (self.flow(), Purpose::Inside(place, Method::Prack));
                    self.request(writer.finish_request(b""), purpose, flow, now, out);
                }
            }
            200..300 => {
                call.dialog.learn(message);
                call.up = true;
                call.invite = None;
                let cancelled = call.cancelled;
                self.acknowledge(place, cseq, now, out);
                if cancelled {
                    // The answer was faster than the CANCEL: the call is up and is hung up (9.1, 15).
                    self.bye(place, now, out);
                }
            }
            300.. => {
                call.invite = None;
                call.end = Some(if call.cancelled && status == 487 { End::Cancelled } else { End::Refused(status) });
            }
            _ => {}
        }
    }

    pub(super) fn failed(&mut self, id: ClientId, now: Instant, out: &mut Vec<Transmit>) {
        match self.pending.get(&id).cloned() {
            Some(Purpose::Invite(place)) if !self.calls[place].up => {
                self.calls[place].invite = None;
                self.calls[place].end.get_or_insert(End::Unanswered);
            }
            // 15.1.1: the UAC considers the session over whatever becomes of its BYE.
            Some(Purpose::Inside(place, Method::Bye)) => {
                self.calls[place].end.get_or_insert(End::WeHungUp);
            }
            Some(Purpose::Invite(place) | Purpose::Inside(place, _)) => {
                if self.calls[place].up {
                    self.bye(place, now, out);
                }
            }
            Some(Purpose::Register | Purpose::Message) | None => {}
        }
    }
}
