//! Changes licence pools in the configuration file as a careful hand would: every other octet stays, and what would not be a valid configuration is not written.
//!
//! What a site has bought stands in that file and nowhere else; a gateway that runs takes the change as it takes any other that is saved.

use super::{Config, Report, read_text};
use crate::data::write_over;
use std::{fs, path::Path};
use switch::directory::Per;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

/// What is to be different about a pool. What is `None` or empty stays as it is, or is the default of a new pool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PoolEdit {
    /// Seats owned.
    pub seats: Option<u32>,
    /// Whom a seat is for.
    pub per: Option<Per>,
    /// Endpoints (or users) whose seats are kept from now on.
    pub reserve: Vec<String>,
    /// Those whose seats are kept no more.
    pub release: Vec<String>,
    /// First day, as a date of TOML.
    pub not_before: Option<String>,
    /// Last day, as a date of TOML.
    pub not_after: Option<String>,
    /// Days for which seats are given after the end.
    pub grace_days: Option<u32>,
}

/// Adds a pool to `file` (`new`) or changes one that is there. With `dry_run` the file is only tried. Returns whether it is different now.
///
/// # Errors
/// What is wrong with the file, before or afterwards, or why it cannot be written; then it is as it was.
pub fn pool(file: &Path, pool: &str, new: bool, edit: &PoolEdit, dry_run: bool) -> Result<bool, Report> {
    let shown = file.display().to_string();
    let trouble = |reason: String, remedy: &str| Report::of_file(&shown, reason, remedy);
    let before = read_text(file).map_err(|reason| trouble(reason, "name the file of the gateway with `--config`"))?;
    Config::parse(&shown, &before, None)?;
    let after = edited(&before, pool, new, edit).map_err(|(reason, remedy)| trouble(reason, &remedy))?;
    Config::parse(&shown, &after, None)?;
    if dry_run || after == before {
        return Ok(after != before);
    }
    // The file itself where the name is a link.
    fs::canonicalize(file)
        .map_err(anyhow::Error::from)
        .and_then(|path| write_over(&path, after.as_bytes()))
        .map_err(|error| trouble(format!("cannot be written: {error:#}"), "let this user write the file and its folder"))?;
    Ok(true)
}

type Wrong = (String, String);

fn edited(text: &str, pool: &str, new: bool, edit: &PoolEdit) -> Result<String, Wrong> {
    let mut document: DocumentMut = text.parse().map_err(|error| (format!("is not TOML: {error}"), "mend it first".to_owned()))?;
    let pools = document.entry("licence").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(pools) = pools.as_array_of_tables_mut() else {
        return Err(("has its pools in one line".to_owned(), "write each as a section of its own: `[[licence]]`".to_owned()));
    };
    let named = |table: &Table| table.get("pool").and_then(Item::as_str) == Some(pool);
    let place = pools.iter().position(named);
    let table = match (place, new) {
        (Some(_), true) => return Err((format!("has a pool `{pool}` already"), format!("change it: `holdfast licence set {pool}`"))),
        (None, false) => {
            let known: Vec<&str> = pools.iter().filter_map(|table| table.get("pool")?.as_str()).collect();
            return Err((format!("has no pool `{pool}`, only {known:?}"), format!("add it: `holdfast licence add {pool} --seats 50`")));
        }
        (Some(place), false) => pools.get_mut(place),
        (None, true) => {
            let mut table = Table::new();
            table.decor_mut().set_prefix("\n");
            put(&mut table, "pool", pool);
            pools.push(table);
            pools.get_mut(pools.len() - 1)
        }
    };
    if let Some(table) = table {
        change(table, edit)?;
    }
    Ok(document.to_string())
}

fn change(table: &mut Table, edit: &PoolEdit) -> Result<(), Wrong> {
    if let Some(seats) = edit.seats {
        put(table, "seats", i64::from(seats));
    }
    if let Some(per) = edit.per {
        put(table, "per", per.name());
    }
    for (key, date) in [("not_before", &edit.not_before), ("not_after", &edit.not_after)] {
        if let Some(date) = date {
            let value: toml_edit::Datetime = date
                .parse()
                .map_err(|_| (format!("`{date}` is no date for `{key}`"), "write it like 2027-06-30 or 2027-06-30T18:00:00Z".to_owned()))?;
            put(table, key, value);
        }
    }
    if let Some(days) = edit.grace_days {
        put(table, "grace_days", i64::from(days));
    }
    if edit.reserve.is_empty() && edit.release.is_empty() {
        return Ok(());
    }
    let mut reserved: Array = table.get("reserved").and_then(Item::as_array).cloned().unwrap_or_default();
    reserved.retain(|owner| !edit.release.iter().any(|released| owner.as_str() == Some(released.as_str())));
    for owner in &edit.reserve {
        if !reserved.iter().any(|there| there.as_str() == Some(owner.as_str())) {
            reserved.push(owner.as_str());
        }
    }
    put(table, "reserved", reserved);
    Ok(())
}

/// Sets a value; the comment behind the old one stays.
fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
        return;
    }
    table.insert(key, Item::Value(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const FILE: &str = "# The site.\n[sip]\ndomain   =  \"a.example\"   # ours\n\n[[licence]]\npool = \"site\"   # endpoints\nseats = 50      # bought in May\n\
                        reserved = [\"desk-1\"]\n\n[[endpoint]]\nid = \"desk-1\"\nextension = \"1001\"\nusername = \"1001\"\n\
                        password = \"s3cret-Passw0rd\"\nlicence = \"site\"\n";

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holdfast.toml");
        fs::write(&path, FILE).unwrap();
        (folder, path)
    }

    #[test]
    fn a_pool_is_changed_and_nothing_else() {
        let (_folder, path) = file();
        let edit = PoolEdit {
            seats: Some(60),
            per: Some(Per::User),
            release: vec!["desk-1".to_owned()],
            not_after: Some("2031-12-31".to_owned()),
            ..PoolEdit::default()
        };
        assert!(pool(&path, "site", false, &edit, true).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), FILE, "it was only tried");
        assert!(pool(&path, "site", false, &edit, false).unwrap());
        expect![[r##"
            # The site.
            [sip]
            domain   =  "a.example"   # ours

            [[licence]]
            pool = "site"   # endpoints
            seats = 60      # bought in May
            reserved = []
            per = "user"
            not_after = 2031-12-31

            [[endpoint]]
            id = "desk-1"
            extension = "1001"
            username = "1001"
            password = "s3cret-Passw0rd"
            licence = "site"
        "##]]
        .assert_eq(&fs::read_to_string(&path).unwrap());
        assert!(!pool(&path, "site", false, &edit, false).unwrap(), "the same again changes nothing");
    }

    #[test]
    fn a_pool_is_added_at_the_end_of_the_others() {
        let (_folder, path) = file();
        let edit = PoolEdit { seats: Some(5), reserve: vec!["desk-1".to_owned()], grace_days: Some(7), ..PoolEdit::default() };
        assert!(pool(&path, "guests", true, &edit, false).unwrap());
        expect![[r##"
            # The site.
            [sip]
            domain   =  "a.example"   # ours

            [[licence]]
            pool = "site"   # endpoints
            seats = 50      # bought in May
            reserved = ["desk-1"]

            [[licence]]
            pool = "guests"
            seats = 5
            grace_days = 7
            reserved = ["desk-1"]

            [[endpoint]]
            id = "desk-1"
            extension = "1001"
            username = "1001"
            password = "s3cret-Passw0rd"
            licence = "site"
        "##]]
        .assert_eq(&fs::read_to_string(&path).unwrap());
        let loaded = Config::load(&path).unwrap();
        assert_eq!(loaded.config.directory.pools.len(), 2);
    }

    #[test]
    fn what_cannot_be_is_refused_and_the_file_stays() {
        let (_folder, path) = file();
        let seats = |seats| PoolEdit { seats: Some(seats), ..PoolEdit::default() };
        let mut said = String::new();
        for (name, new, edit) in [
            ("site", true, seats(5)),
            ("sites", false, seats(5)),
            ("site", false, seats(0)),
            ("other", true, PoolEdit::default()),
            ("site", false, PoolEdit { not_after: Some("tomorrow".to_owned()), ..PoolEdit::default() }),
        ] {
            let report = pool(&path, name, new, &edit, false).unwrap_err();
            said += &report.to_string().replace(&path.display().to_string(), "holdfast.toml");
            said.push('\n');
            assert_eq!(fs::read_to_string(&path).unwrap(), FILE);
        }
        expect![[r#"
            holdfast.toml: has a pool `site` already; change it: `holdfast licence set site`
            holdfast.toml: has no pool `sites`, only ["site"]; add it: `holdfast licence add sites --seats 50`
            holdfast.toml:1: emergency.trunks: there is no trunk: calls for help cannot leave this site; add a [[trunk]] and name it in `trunks` of [emergency]
            holdfast.toml:8: licence[1].reserved: 1 seats are reserved of 0; reserve no more than there are, or raise `seats`
            holdfast.toml:1: emergency.trunks: there is no trunk: calls for help cannot leave this site; add a [[trunk]] and name it in `trunks` of [emergency]
            holdfast.toml:10: licence[2].seats: is missing; add `seats = 50`
            holdfast.toml: `tomorrow` is no date for `not_after`; write it like 2027-06-30 or 2027-06-30T18:00:00Z
        "#]].assert_eq(&said);
    }
}
