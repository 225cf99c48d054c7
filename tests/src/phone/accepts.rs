//! How a phone takes a call or a change of it: the 2xx until its ACK comes, and what becomes of it when the other side gives up.

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

use super::{Alarm, End, Phone, T1, T2, call::Answered};
use gateway::calls::Transmit;
use sip::{
    Instant, Message,
    build::Writer,
    header::Name,
    stack::{Outbox, ServerId},
};

impl Phone {
    /// Answers an INVITE with 200, and again until the ACK comes (13.3.1.4).
    pub(super) fn accept(&mut self, place: usize, id: ServerId, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let mut writer = Writer::response(message, 200, "OK", Some(&self.calls[place].tag()));
        writer.header(Name::Contact, self.contact().as_bytes()).header(Name::ContentType, b"application/sdp");
        self.dress_answer(place, message, &mut writer, now);
        let response = writer.finish_response(&self.session(message.body()));
        self.calls[place].answers.push(Answered { cseq, id, response: response.clone(), interval: T1, until: now + 64 * T1 });
        self.arm(now + T1, Alarm::Again(place, cseq));
        let mut effects = Outbox::new();
        self.stack.respond(id, response, now, &mut effects);
        self.work(effects, now, out);
    }

    pub(super) fn answer_again(&mut self, place: usize, cseq: u32, now: Instant, out: &mut Vec<Transmit>) {
        let Some(answer) = self.calls[place].answers.iter_mut().find(|answer| answer.cseq == cseq) else { return };
        if now >= answer.until {
            // "If the server retransmits the 2xx response for 64*T1 seconds without receiving an ACK, the dialog is confirmed, but the session
            // SHOULD be terminated. This is accomplished with a BYE."
            self.calls[place].answers.clear();
            return self.bye(place, now, out);
        }
        answer.interval = (answer.interval * 2).min(T2);
        let (id, response, next) = (answer.id, answer.response.clone(), (now + answer.interval).min(answer.until));
        self.arm(next, Alarm::Again(place, cseq));
        let mut effects = Outbox::new();
        self.stack.respond(id, response, now, &mut effects);
        self.work(effects, now, out);
    }

    pub(super) fn acknowledged(&mut self, message: &Message) {
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        if let Some(call) = self.calls.iter_mut().find(|call| call.owns(message)) {
            call.received.push(message.clone());
            call.answers.retain(|answer| answer.cseq != cseq);
            call.acknowledged += 1;
            call.answers_in_ack += u32::from(!message.body().is_empty());
        }
    }

    pub(super) fn cancelled(&mut self, id: ServerId, now: Instant, out: &mut Vec<Transmit>) {
        let reinvited = self.calls.iter().position(|call| call.asked.as_ref().is_some_and(|(asked, _)| *asked == id));
        if let Some((place, (id, message))) = reinvited.and_then(|place| Some((place, self.calls[place].asked.take()?))) {
            let tag = self.calls[place].tag();
            return self.respond(id, Writer::response(&message, 487, "Request Terminated", Some(&tag)), b"", now, out);
        }
        let found = self.calls.iter().position(|call| call.ringing.as_ref().is_some_and(|(ringing, _)| *ringing == id));
        let Some(place) = found else { return };
        if let Some((id, message)) = self.calls[place].ringing.take() {
            self.calls[place].end = Some(End::Cancelled);
            let tag = self.calls[place].tag();
            self.respond(id, Writer::response(&message, 487, "Request Terminated", Some(&tag)), b"", now, out);
        }
    }
}
