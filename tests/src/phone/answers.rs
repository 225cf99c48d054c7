//! What a phone does when others answer, or do not.

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

use super::{End, Phone, Purpose};
use gateway::calls::Transmit;
use sip::{Instant, Message, header::Name, message::Method, stack::ClientId};

impl Phone {
    pub(super) fn answered(&mut self, id: ClientId, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let status = message.status();
        let Some(purpose) = self.pending.get(&id).cloned() else { return };
        if let Purpose::Invite(place) | Purpose::Inside(place, _) = purpose {
            self.calls[place].received.push(message.clone());
        }
        match purpose {
            Purpose::Register if matches!(status, 401 | 407) && self.registration.as_ref().is_some_and(|dialog| dialog.local_cseq == 1) => {
                self.send_register(Some(message), now, out);
            }
            Purpose::Register if status >= 200 => self.bound(message),
            Purpose::Register => {}
            Purpose::Invite(place) => self.invite_answered(id, place, message, now, out),
            Purpose::Inside(place, Method::Bye) if status >= 200 => {
                self.calls[place].end.get_or_insert(End::WeHungUp);
            }
            Purpose::Inside(place, method) if status >= 200 => {
                self.calls[place].said.push((method, status));
                self.pending.remove(&id);
                if method == Method::Update && status < 300 {
                    self.session_agreed(place, message, now);
                }
                // 12.2.1.2: "If the response for a request within a dialog is a 481 or a 408, the UAC SHOULD terminate the dialog." One that is being
                // cancelled ends by that.
                if matches!(status, 408 | 481) && !self.calls[place].cancelled {
                    self.bye(place, now, out);
                }
            }
            Purpose::Inside(..) => {}
            Purpose::Message => self.message_answered(message, now, out),
            Purpose::Subscribe(place, proved) => self.subscribe_answered(place, proved, message, now, out),
        }
    }

    fn invite_answered(&mut self, id: ClientId, place: usize, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let (status, cseq) = (message.status(), message.cseq().map_or(0, |cseq| cseq.number));
        let call = &mut self.calls[place];
        if call.up || call.end.is_some() {
            let again = if status < 200 { None } else { call.reinvite.take_if(|(sent, _)| *sent == id) };
            // A re-INVITE, or the 2xx of the first one again.
            if (200..300).contains(&status) {
                call.dialog.refresh_target(message);
                if !call.said.contains(&(Method::Invite, status)) && cseq != call.cseq {
                    call.said.push((Method::Invite, status));
                }
                let offered = again.as_ref().is_some_and(|(_, again)| again.offers_nothing());
                if cseq != self.calls[place].cseq {
                    self.session_agreed(place, message, now);
                }
                let answer = if offered { self.session(message.body()) } else { Vec::new() };
                self.acknowledge(place, cseq, &answer, now, out);
            } else if status >= 300 {
                call.said.push((Method::Invite, status));
                if let Some((_, again)) = again.filter(|_| status == 491) {
                    self.reinvite_again(place, again, now);
                }
                if matches!(status, 408 | 481) {
                    self.bye(place, now, out);
                }
            }
            return;
        }
        match status {
            // Once for each INVITE that is not the same again.
            401 | 407 if call.challenges <= u32::from(call.session.min.is_some()) => {
                call.challenges += 1;
                self.send_invite(place, Some(message), now, out);
            }
            422 if call.session.min.is_none() => {
                // RFC 4028 7.3: it may try again with at least the Min-SE of the response.
                call.session.min = message.number(Name::MinSe);
                self.send_invite(place, None, now, out);
            }
            101..200 => {
                call.dialog.learn(message);
                call.progress.push(status);
                // RFC 3262 4: each is acknowledged once, and each early dialog counts for itself.
                let tag = message.to().and_then(|to| to.tag()).unwrap_or_default().to_vec();
                let known = |rseq: &u32| call.pracked.contains(&(tag.clone(), *rseq));
                if let Some(rseq) = message.number(Name::RSeq).filter(|rseq| self.habits.pracks && !known(rseq)) {
                    call.pracked.push((tag, rseq));
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
                let answer = if self.habits.calls_offering.is_empty() { self.session(message.body()) } else { Vec::new() };
                self.acknowledge(place, cseq, &answer, now, out);
                self.session_agreed(place, message, now);
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
            Some(Purpose::Register | Purpose::Message | Purpose::Subscribe(..)) | None => {}
        }
    }
}
