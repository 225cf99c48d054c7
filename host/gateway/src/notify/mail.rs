//! Alarms by e-mail.
//!
//! `lettre` writes and sends: the mail library that is kept up, with rustls and without OpenSSL. (`mail-send` brings a second resolver and DKIM that nobody
//! needs here.)

use super::alarm::Alarm;
use crate::config::notify::{Mail, Secret, Security};
use anyhow::Context as _;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use std::time::Duration;

/// Sends an alarm to all recipients: the server has taken it for each of them, or it counts as not sent.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn send(mail: &Mail, alarm: &Alarm, patience: Duration) -> anyhow::Result<()> {
    let mut message = Message::builder().from(mail.from.parse::<Mailbox>().context("from")?).subject(alarm.subject());
    for to in &mail.to {
        message = message.to(to.parse::<Mailbox>().context("to")?);
    }
    // RFC 2156 2.9 and what mail programs look at.
    let message = message.header(ContentType::TEXT_PLAIN).body(alarm.text()).context("the message")?;
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(mail.server.as_str())
        .port(mail.port)
        .timeout(Some(patience))
        .hello_name(ClientId::Domain("holdfast".to_owned()))
        .tls(match mail.security {
            Security::StartTls => Tls::Required(parameters(mail).await?),
            Security::Tls => Tls::Wrapper(parameters(mail).await?),
            Security::None => Tls::None,
        });
    if let Some((name, Secret(password))) = &mail.login {
        server = server.credentials(Credentials::new(name.clone(), password.clone()));
    }
    server.build().send(message).await?;
    Ok(())
}

async fn parameters(mail: &Mail) -> anyhow::Result<TlsParameters> {
    let mut parameters = TlsParameters::builder(mail.server.clone());
    if let Some(file) = &mail.authorities {
        let text = tokio::fs::read(file).await.with_context(|| format!("{} cannot be read", file.display()))?;
        parameters = parameters.add_root_certificate(Certificate::from_pem(&text).with_context(|| file.display().to_string())?);
    }
    Ok(parameters.build()?)
}
