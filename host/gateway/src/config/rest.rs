//! `[rest]`: the REST API.

use super::reader::{Document, Table};
use crate::data::DataFolder;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Where the tokens are when the file does not say, in the data folder.
const TOKENS: &str = "rest.token";

/// The door of the REST API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rest {
    /// Where it listens: plain HTTP on a loopback address, HTTPS elsewhere.
    pub listen: SocketAddr,
    /// Who may use it, absolute or below the data folder; made when it is not there and the address is a loopback one.
    pub token_file: PathBuf,
}

impl Rest {
    /// Whether only programs of this machine reach it.
    #[must_use]
    pub fn loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }

    /// The token file.
    #[must_use]
    pub fn tokens(&self, data: &DataFolder) -> PathBuf {
        data.root().join(&self.token_file)
    }
}

/// Reads it; off without an address.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Option<Rest> {
    table.known(&["listen", "token_file"]);
    let token_file = table.text("token_file");
    let Some(listen) = table.text("listen") else {
        if let Some(token_file) = token_file.filter(|_| !table.has("listen")) {
            document.error(token_file.line, "rest.listen", "is missing: the REST API is off", "add `listen = \"127.0.0.1:9096\"`");
        }
        return None;
    };
    let Ok(address) = listen.value.parse::<SocketAddr>() else {
        let reason = format!("`{}` is not an address with a port", listen.value);
        document.error(listen.line, "rest.listen", reason, "write it like `listen = \"127.0.0.1:9096\"`");
        return None;
    };
    if let Some(empty) = token_file.as_ref().filter(|token_file| Path::new(&token_file.value).file_name().is_none()) {
        document.error(empty.line, "rest.token_file", "names no file", "write it like `token_file = \"/etc/holdfast/rest.token\"`");
    }
    let named = token_file.is_some();
    let rest = Rest { listen: address, token_file: token_file.map_or_else(|| PathBuf::from(TOKENS), |text| PathBuf::from(text.value)) };
    if !rest.loopback() && !named {
        document.error(
            listen.line,
            "rest.token_file",
            "is missing though others than this machine reach the address: whoever has a token can change every endpoint",
            "make one with `(umask 077; openssl rand -hex 32 > rest.token)` and name it with `token_file`, or listen on 127.0.0.1",
        );
    }
    Some(rest)
}
