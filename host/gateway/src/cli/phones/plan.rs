//! From settings files to edits of the directory: who each phone is, whom two files mean, what is there already.

use super::Source;
use crate::manage::{EndpointRow, Stands, UserRow, WrongEdit};
use std::collections::{BTreeMap, HashMap, HashSet};
use switch::{
    directory::record::{Assigned, Edit, EndpointFields, Existing, Password, UserFields},
    limits::kept,
    settings::{EXTENSION, Finding, Imported, PASSWORD, Phone, Settings, Severity, USERNAME, read, rest},
};

/// A settings file, and what is to become of it.
pub(super) struct File<'a> {
    pub(super) source: &'a Source,
    /// Who the phone is; `None` where the file does not say.
    pub(super) who: Option<Who>,
    /// Errors keep it out.
    pub(super) findings: Vec<Finding>,
    pub(super) is: Becomes,
}

/// A phone as its file describes it.
pub(super) struct Who {
    pub(super) imported: Imported,
    pub(super) phone: Phone,
    /// Where username, password and extension stand.
    lines: [Option<usize>; 3],
    /// What is kept of the rest.
    settings: Option<String>,
    /// The endpoint that it is or will be.
    pub(super) endpoint: String,
    /// The user whose it is or will be.
    pub(super) user: String,
}

/// What is to become of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Becomes {
    /// An endpoint of the store.
    Endpoint,
    /// Nothing: the configuration has this very phone.
    Configured,
    /// Nothing: it is wrong.
    Nothing,
}

impl<'a> File<'a> {
    /// Reads a file; `settings`: with what else it says.
    pub(super) fn read(source: &'a Source, settings: bool) -> Self {
        let wrong = |findings| Self { source, who: None, findings, is: Becomes::Nothing };
        let octets = match source.read() {
            Ok(octets) => octets,
            Err(finding) => return wrong(vec![finding]),
        };
        let imported = match read(&octets) {
            Ok(imported) => imported,
            Err(findings) => return wrong(findings),
        };
        let Ok(file) = Settings::new(&octets) else { return wrong(Vec::new()) };
        let phone = imported.phone.clone().with(Phone::of_name(&source.name.to_string_lossy()));
        let mut findings = Vec::new();
        let settings = settings.then(|| rest(file)).and_then(|rest| kept_of(rest, &mut findings));
        let lines = [USERNAME, PASSWORD, EXTENSION].map(|name| file.line_of(name));
        let who = Who { imported, phone, lines, settings, endpoint: String::new(), user: String::new() };
        Self { source, who: Some(who), findings, is: Becomes::Endpoint }
    }

    /// Octets of the text that is kept of it.
    pub(super) fn octets(&self) -> usize {
        self.who.as_ref().and_then(|who| who.settings.as_ref()).map_or(0, String::len)
    }

    fn wrong(&mut self, line: Option<usize>, rule: &'static str, reason: String, remedy: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Error, line, rule, reason, remedy: remedy.into() });
        self.is = Becomes::Nothing;
    }

    /// `folder/file.txt:12`
    fn place(&self, line: Option<usize>) -> String {
        line.map_or_else(|| self.source.path.display().to_string(), |line| format!("{}:{line}", self.source.path.display()))
    }
}

/// What of the rest of a file the directory can keep.
fn kept_of(rest: switch::settings::Rest, findings: &mut Vec<Finding>) -> Option<String> {
    let mut note =
        |severity, line, rule, reason, remedy: &str| findings.push(Finding { severity, line, rule, reason, remedy: remedy.to_owned() });
    // The three that say who the phone is are kept elsewhere.
    if rest.left_out.len() > 3 {
        let reason = format!("{} lines that hold secrets or are no text are not kept with the endpoint", rest.left_out.len() - 3);
        note(Severity::Note, rest.left_out.first().copied(), "left-out", reason, "nothing; keep the file if you need them");
    }
    let characters = rest.text.chars().count();
    if characters > kept::SETTINGS {
        let reason =
            format!("the rest of the file has {characters} characters, {} are kept with an endpoint: none of it is", kept::SETTINGS);
        note(Severity::Warning, None, "not-kept", reason, "nothing, or set what matters with `holdfast endpoint set ID --settings`");
        return None;
    }
    Some(rest.text)
}

/// All files, and the edits that come of them.
pub(super) struct Plan<'a> {
    pub(super) files: Vec<File<'a>>,
    endpoints: HashMap<&'a str, &'a EndpointRow>,
    users: HashMap<&'a str, &'a UserRow>,
    licence: Option<&'a str>,
    location: Option<&'a str>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        files: Vec<File<'a>>,
        endpoints: &'a [EndpointRow],
        users: &'a [UserRow],
        licence: Option<&'a str>,
        location: Option<&'a str>,
    ) -> Self {
        let endpoints = endpoints.iter().map(|row| (row.username.as_str(), row)).collect();
        let users = users.iter().map(|row| (row.extension.as_str(), row)).collect();
        let mut plan = Self { files, endpoints, users, licence, location };
        plan.same(USERNAME, 0, |who| Some(who.imported.username.clone()));
        plan.same("the hardware address", 3, |who| who.phone.mac.clone());
        plan.name();
        plan
    }

    /// Two files may not say the same of two phones: nobody knows which is right.
    fn same(&mut self, what: &str, line: usize, of: impl Fn(&Who) -> Option<String>) {
        let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, file) in self.files.iter().enumerate() {
            if let Some(value) = file.who.as_ref().and_then(&of) {
                all.entry(value).or_default().push(place);
            }
        }
        for (value, places) in all.into_iter().filter(|(_, places)| places.len() > 1) {
            let line_of = |file: &File<'_>| file.who.as_ref().and_then(|who| who.lines.get(line).copied().flatten());
            let named: Vec<String> =
                places.iter().filter_map(|place| self.files.get(*place)).map(|file| file.place(line_of(file))).collect();
            for (at, place) in places.iter().enumerate() {
                let Some(file) = self.files.get_mut(*place) else { continue };
                // As many as a line holds.
                let others: Vec<&str> =
                    named.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, name)| name.as_str()).take(3).collect();
                let more = named.len().saturating_sub(others.len() + 1);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let reason = format!("{what} `{value}` stands in {}{more}, too", others.join(", "));
                let line = line_of(file);
                file.wrong(line, "same-phone", reason, "leave the file out that is a copy, or export it from its phone again");
            }
        }
    }

    /// Which endpoint and user each file means. Who is there already is found by username and by extension; new ones get ids made of these.
    fn name(&mut self) {
        for file in &mut self.files {
            let Some(who) = &mut file.who else { continue };
            let Imported { username, extension, .. } = &who.imported;
            who.user = self.users.get(extension.as_str()).map_or_else(|| id(&format!("user-{extension}")), |user| user.id.clone());
            let Some(there) = self.endpoints.get(username.as_str()) else {
                who.endpoint = id(username);
                continue;
            };
            who.endpoint.clone_from(&there.id);
            if there.stands == Stands::Store || file.is == Becomes::Nothing {
                continue;
            }
            if there.extension.as_deref() == Some(extension) {
                file.is = Becomes::Configured;
                continue;
            }
            let reason = format!(
                "the username `{username}` is that of endpoint `{}` in the configuration file, whose extension is {}, not {extension}",
                there.id,
                there.extension.as_deref().unwrap_or("none")
            );
            let line = who.lines.first().copied().flatten();
            file.wrong(line, "configured", reason, "change the endpoint in the configuration file, or take it out there");
        }
    }

    /// What is to be changed, and the file that each edit is about: users first, each by the first file that needs it.
    fn all(&self) -> impl Iterator<Item = (usize, Edit)> {
        let files = || self.files.iter().enumerate().filter(|(_, file)| file.is == Becomes::Endpoint);
        let phones = move || files().filter_map(|(place, file)| Some((place, file.who.as_ref()?)));
        let mut named = HashSet::new();
        let users = phones().filter(move |(_, who)| {
            let extension = who.imported.extension.as_str();
            !self.users.contains_key(extension) && named.insert(extension)
        });
        let users = users.map(|(place, who)| {
            let fields = UserFields { extension: Some(who.imported.extension.clone()), ..UserFields::default() };
            (place, Edit::User { id: who.user.clone(), existing: Existing::Not, fields })
        });
        users.chain(phones().map(|(place, who)| (place, self.endpoint(who))))
    }

    fn endpoint(&self, who: &Who) -> Edit {
        let there = self.endpoints.get(who.imported.username.as_str());
        let mut users = there.map_or_else(Vec::new, |row| row.users.clone());
        if !users.iter().any(|assigned| assigned.user == who.user) {
            // It calls as the first.
            users.insert(0, Assigned { user: who.user.clone(), rings: true });
        }
        let fields = EndpointFields {
            model: who.phone.model.clone(),
            mac: who.phone.mac.clone(),
            // Of one that is there it is the name by which it was found.
            username: there.is_none().then(|| who.imported.username.clone()),
            password: Some(Password(who.imported.password.reveal().to_owned())),
            location: self.location.map(str::to_owned),
            licence: self.licence.map(str::to_owned),
            settings: who.settings.clone(),
            users: Some(users),
            ..EndpointFields::default()
        };
        let existing = if there.is_some() { Existing::Must } else { Existing::Not };
        Edit::Endpoint { id: who.endpoint.clone(), existing, fields }
    }

    /// What is to be changed.
    pub(super) fn edits(&self) -> Vec<Edit> {
        self.all().map(|(_, edit)| edit).collect()
    }

    /// The file that each edit is about.
    pub(super) fn owners(&self) -> Vec<usize> {
        self.all().map(|(place, _)| place).collect()
    }

    /// The gateway cannot have it.
    pub(super) fn refuse(&mut self, file: usize, problem: &WrongEdit) {
        let Some(file) = self.files.get_mut(file) else { return };
        let at = match problem.at.as_str() {
            "/id" | "/username" => Some(0),
            "/password" => Some(1),
            at if at == "/extension" || at.starts_with("/users") => Some(2),
            _ => None,
        };
        let line = at.and_then(|at| file.who.as_ref()?.lines.get(at).copied().flatten());
        file.wrong(line, "refused", problem.reason.clone(), problem.remedy.clone());
    }

    /// Files that are wrong.
    pub(super) fn wrong(&self) -> usize {
        self.files.iter().filter(|file| file.is == Becomes::Nothing).count()
    }

    /// Files that are not.
    pub(super) fn right(&self) -> usize {
        self.files.len() - self.wrong()
    }
}

/// An id made of what may hold other characters than an id.
pub(super) fn id(of: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let id: String = of.chars().map(|c| if fits(c) { c } else { '-' }).take(kept::WORD).collect();
    if id.starts_with(|c: char| c.is_ascii_alphanumeric()) { id } else { format!("phone-{id}").chars().take(kept::WORD).collect() }
}
